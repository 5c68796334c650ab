// The projection of all streams in one DuckDB file: tables of records, views over them that SQL shows, and how far they go. What is
// applied and what it says of itself is written in one transaction: a kill at any time leaves one or the other whole. Nothing in it
// is the truth: without the file it comes back out of the log.
//
//   heptane_storage.s17            a stream's records; 17: the id of its first partition, which is nobody else's ever
//   heptane_storage.streams        which streams, as which tables
//   heptane_storage.columns        the fields of their payloads, in the order in which their columns were added
//   heptane_storage.applied        the position, the log and the format
//   public.NAME, MODULE.NAME       what users name: views, at a position where the variable heptane_as_of is set
//   heptane_catalog.tables, .columns     what the connection may read
//
// Threads: one thread's, but for connect() and catalog().
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel/streams/api.h"
#include "kernel/streams/history.h"
#include "modules/data/domain/sql/names.h"
#include "modules/data/worker/sql/duckdb_library.h"
#include "modules/data/worker/sql/records.h"

namespace heptane::data::sql {

constexpr std::string_view kStorageSchema = "heptane_storage";

struct StoreOptions {
  std::string directory;  // DATA/sql
  std::string log_id;
  uint64_t memory_bytes = uint64_t{256} << 20;
  uint32_t threads = 2;
  std::vector<std::string> streams = {"*"};  // which are shown: names, or beginnings that end in `*`
};

// What statements are checked against.
struct Catalog {
  struct Stream {
    std::string name;
    TableName table;
    Sequence gone_upto = 0;  // records up to it are no longer all there
  };
  std::map<std::string, Stream> by_storage;                             // `s17`
  std::map<std::pair<std::string, std::string>, std::string> by_table;  // folded schema and table
  std::set<std::string> system_views;                                   // of DuckDB, without schema
};

class Store {
 public:
  Store(const DuckDb& duckdb, StoreOptions options);

  // Opens or makes the file. Errc::stale: it is of another log or format and must go; corrupt: it cannot be read.
  Result<void> open();
  // The file and what belongs to it get other names: the next open() makes a new one.
  void move_aside();

  Sequence applied() const { return applied_.load(std::memory_order_acquire); }
  // The streams that there are: what is gone is dropped with the next commit, what is new has a table behind it.
  void learn(const std::vector<streams::StreamInfo>& streams);
  bool knows(PartitionId partition) const { return partitions_.contains(partition); }
  // Not to be asked about again: it is of no stream.
  void ignore(PartitionId partition) { partitions_[partition]; }
  bool wants(PartitionId partition, Offset end) const;
  // Records that are there already are passed over.
  Result<void> take(const streams::HistoryBatch& batch);
  size_t rows_taken() const { return rows_taken_; }
  bool dirty() const { return rows_taken_ > 0 || !statements_.empty() || !trims_.empty(); }
  // All that was taken and learned, and that everything up to `applied` is in it. After an error the store is closed: open() again.
  Result<void> commit(Sequence applied);
  // Forgets the rows that were taken since the last commit; what was learned stays.
  void forget_rows();
  void close();

  uint64_t gap_records() const { return gap_records_.load(std::memory_order_relaxed); }
  std::shared_ptr<const Catalog> catalog() const;
  // A connection to what is open. Errc::closed: nothing is.
  Result<OwnedConnection> connect();
  // Where an export may be written.
  std::string export_directory() const { return options_.directory + "/export"; }
  std::string path() const { return options_.directory + "/heptane.duckdb"; }

 private:
  struct Table {
    std::string storage;  // `s17`
    std::string name;
    TableName shown;
    StreamColumns columns;
    size_t columns_written = 0;
    std::vector<TableRow> rows;      // of the next commit
    std::map<int32_t, Offset> next;  // by partition: behind the records that are in the table or in `rows`
    Sequence gone_upto = 0;
    Sequence gone_written = 0;
  };
  struct Partition {
    Table* table = nullptr;  // null: nothing of it is shown
    int32_t index = 0;
    Offset start = 0;  // of the log, as last heard
  };
  struct Trim {
    Table* table = nullptr;
    int32_t index = 0;
    Offset start = 0;
  };

  Result<void> open_database();
  Result<void> make_schemas();
  Result<void> load();
  Result<void> load_streams();
  Result<void> load_columns();
  Result<void> load_offsets(Table& table);
  Result<void> load_system_views();
  Table& table_of(const streams::StreamInfo& stream);
  void add_stream(const streams::StreamInfo& stream);
  void drop(PartitionId first);
  void take(const streams::RecordView& record, Sequence position, Partition& partition);
  bool shows(std::string_view stream) const;
  TableName free_name(std::string_view stream) const;
  void declare_columns(PartitionId first, Table& table);
  void declare_view(const Table& table);
  Result<void> write(Sequence applied);
  Result<void> write_rows(Table& table);
  Result<void> write_trims();
  Result<void> run(const std::string& statement);
  using EachRow = std::function<void(const std::vector<std::string>&)>;
  Result<void> rows(const std::string& query, const EachRow& each);
  void publish();

  const DuckDb& duckdb_;
  const StoreOptions options_;
  mutable std::mutex mutex_;  // of the database and the catalog
  std::unique_ptr<OwnedDatabase> database_;
  std::unique_ptr<OwnedConnection> writer_;
  std::map<PartitionId, std::unique_ptr<Table>> tables_;  // by the first partition
  std::map<PartitionId, Partition> partitions_;
  std::vector<std::string> statements_;  // of the next commit, before its rows
  std::vector<Trim> trims_;              // likewise, behind them
  size_t rows_taken_ = 0;
  std::set<std::string> system_views_;
  std::shared_ptr<const Catalog> catalog_ = std::make_shared<Catalog>();
  std::atomic<Sequence> applied_{0};
  std::atomic<uint64_t> gap_records_{0};
};

}  // namespace heptane::data::sql
