// One statement from its beginning to its last row: a connection of DuckDB's of its own, in a read-only transaction, whose snapshot
// is what it reads. Ends when it goes. Bounds: rows, time (the engine's watch ends it), the memory of the whole database.
// Threads: a job's at a time; stop() any.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>

#include "modules/data/worker/sql/check.h"
#include "modules/data/worker/sql/rows.h"

namespace heptane::data::sql {

// A file that a statement writes, and when it must stop.
struct ExportFile {
  std::string path;
  uint64_t bytes_max = 0;
  uint64_t free_bytes_min = 0;  // of the disk
};

// What others may do to a statement under way.
class Running {
 public:
  enum class Why : uint8_t { none, cancelled, timeout, disk };

  explicit Running(const DuckDb& duckdb) : duckdb_(duckdb) {}
  void set_handle(duckdb_connection handle);
  void set_deadline(int64_t deadline_ns) { deadline_ns_.store(deadline_ns, std::memory_order_relaxed); }
  void stop(Why why);
  // The watch's: stops it when its time is over or its file too large; again and again until it has heard.
  void look(int64_t now_ns);
  void set_file(ExportFile file);
  bool too_large();
  // Called by the watch when it has been stopped: gives up what is held where nobody is at it.
  void set_let_go(std::function<void()> let_go);
  // The engine ends without it: its thread stops for good where DuckDB gives it back.
  void abandon() { abandoned_.store(true, std::memory_order_release); }
  Why why() const { return why_.load(std::memory_order_acquire); }
  std::optional<Failure> stopped() const;

 private:
  const DuckDb& duckdb_;
  std::mutex mutex_;
  duckdb_connection handle_ = nullptr;  // null: it has ended
  std::atomic<Why> why_{Why::none};
  std::atomic<int64_t> deadline_ns_{0};  // 0: none
  std::atomic<bool> abandoned_{false};
  ExportFile file_;  // without a path: none
  std::function<void()> let_go_;
};

struct StatementTerms {
  std::shared_ptr<Store> store;
  const MayRead* may_read = nullptr;
  std::optional<Sequence> as_of;
  uint64_t rows_max = 0;  // 0: no limit
};

class StatementRun {
 public:
  StatementRun(const DuckDb& duckdb, StatementTerms terms, std::shared_ptr<Running> running);
  ~StatementRun();
  StatementRun(const StatementRun&) = delete;
  StatementRun& operator=(const StatementRun&) = delete;

  // The transaction, the check, the prepared statement: its parameters and columns are known.
  std::optional<Failure> prepare(std::string_view statement);
  std::optional<Failure> execute(const std::vector<Parameter>& parameters);
  // Writes the rows of what was prepared to the file.
  std::optional<Failure> write_parquet(const ExportFile& file);
  // nullptr: that was all.
  Outcome<std::unique_ptr<Rows>> next();

  const std::vector<Type>& parameters() const { return parameters_; }
  const std::vector<Column>& columns() const { return columns_; }
  Sequence position() const { return position_; }
  const std::shared_ptr<Running>& running() const { return running_; }

 private:
  std::optional<Failure> connect();
  std::optional<Failure> begin();
  std::string readable(const Catalog& catalog) const;
  std::optional<Failure> prepare_text(const std::string& statement);
  // Columns that are to be shown as text; empty: none.
  std::string shown_as_text(const std::string& statement);
  std::optional<Failure> run(const std::string& statement);
  std::optional<Failure> run_pending(const std::vector<Parameter>& parameters);
  Failure failed(const char* why) const;

  const DuckDb& duckdb_;
  const StatementTerms terms_;
  const std::shared_ptr<Running> running_;
  std::string statement_;      // as it was checked
  uint32_t prefix_bytes_ = 0;  // of it, before the query
  uint32_t query_begins_ = 0;  // in what the client wrote
  OwnedConnection connection_;
  OwnedPrepared prepared_;
  OwnedPending pending_;
  OwnedResult result_;
  std::vector<Type> parameters_;
  std::vector<Column> columns_;
  std::vector<ColumnForm> forms_;
  Sequence position_ = 0;
  uint64_t rows_ = 0;
};

}  // namespace heptane::data::sql
