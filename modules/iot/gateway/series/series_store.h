// The projection of `iot.lines`: points by database, series and field. New ones are in memory (the head); when the head is full it is
// written to a chunk file, in slices, while the next head fills. What a manifest names is what a restart begins with; the records
// behind its offset are read from the log again.
//
// Invariants: points of one series and time merge by field, the later record wins; `applied` is one past the last record that queries
// see; of two crashes apart from each other no synced point is lost as long as the log holds what no manifest covers; what it does not
// hold is a gap, which the manifest keeps. A file goes when all databases in it are dropped. Bounds: the head (twice while it is
// written), kLogBytesMax of records that no manifest covers, 64 open files, and what a series costs, whose number the machine bounds.
//
// Threads: the worker's, job by job; applied() and the counts any thread's.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel/base/disk.h"
#include "modules/iot/gateway/series/chunk_file.h"
#include "modules/iot/gateway/series/select.h"

namespace heptane::iot::series {

class SeriesStore {
 public:
  // Records are written to files at the latest when there are so many bytes of them: far less than `iot.lines` keeps.
  static constexpr uint64_t kLogBytesMax = uint64_t{256} << 20;

  // `log_id`: whose records these are.
  SeriesStore(Disk& disk, std::string directory, uint64_t head_bytes_max, LogId log_id = {})
      : disk_(disk), files_(disk), directory_(std::move(directory)), head_bytes_max_(head_bytes_max), log_id_(log_id) {}

  // What the manifest names, a file a call. True: there is more.
  bool load();
  // A record of `iot.lines`; one that is known is passed over. No value: the database is dropped.
  void take(Offset offset, std::string_view database, std::string_view lines);
  // The records up to here are gone from the log and in no file.
  void skip_to(Offset offset);
  // The log ends at `end`, before what the files hold: they are another's. Nothing is taken any more.
  void refuse_log(Offset end);

  bool is_full() const { return head_bytes_ >= head_bytes_max_; }
  bool flush_due() const { return !flush_ && (is_full() || log_bytes_ >= kLogBytesMax || dead_files_); }
  bool is_flushing() const { return flush_ != nullptr; }
  bool has_unwritten() const { return head_bytes_ > 0 || applied() > manifest_.offset || dead_files_; }
  // Writes what there is now. Nothing where it is being done, or has failed.
  void begin_flush();
  // A slice of it. True: there is more.
  bool flush();

  // Why nothing is taken and answered any more; empty: it is.
  const std::string& failed() const { return failed_; }

  Offset applied() const { return applied_.load(std::memory_order_acquire); }
  uint64_t points_count() const { return points_count_.load(std::memory_order_relaxed); }
  uint64_t files_count() const { return files_count_.load(std::memory_order_relaxed); }
  // How many records of `iot.lines` are in no file, at most, because the log did not hold them any more; any thread.
  uint64_t gap_records() const { return gap_records_.load(std::memory_order_relaxed); }
  uint64_t head_bytes() const { return head_bytes_shown_.load(std::memory_order_relaxed); }

  // How long a job of a query may take; before the first one.
  void set_query_slice_ns(int64_t slice_ns) { query_slice_ns_ = slice_ns; }
  int64_t query_slice_ns() const { return query_slice_ns_; }

  // Changes when what a source shows is gone: a run over an older one must end.
  uint64_t generation() const { return generation_; }
  // Nullptr: there are no points of the database.
  std::unique_ptr<PointSource> source(const std::string& database) const;
  std::vector<std::string> measurements(const std::string& database) const;

 private:
  struct FileChunk {
    std::shared_ptr<const ChunkFile> file;
    ChunkPlace place;
  };
  struct FieldData {
    std::string name;  // as written
    FieldType type = FieldType::real;
    bool dirty = false;     // in dirty_
    mutable Column head;    // both are settled when they are looked at
    mutable Column frozen;  // being written
    std::vector<FileChunk> chunks;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Series : SeriesEntry {
    std::vector<FieldData> fields;
    std::unordered_map<std::string, size_t, Hash, std::equal_to<>> places;  // of fields, where they are many
    std::optional<size_t> find(std::string_view name) const;
    FieldData& add(std::string_view name, FieldType type);
  };
  struct Measurement {
    std::vector<Series*> series;
    std::map<std::string, FieldType, std::less<>> fields;  // by name as written
  };
  struct Database {
    std::unordered_map<std::string, Series, Hash, std::equal_to<>> series;
    std::map<std::string, Measurement, std::less<>> measurements;
  };
  struct Dirty {
    const std::string* database = nullptr;
    Series* series = nullptr;
    size_t field = 0;
  };
  struct Flush {
    std::unique_ptr<ChunkFileWriter> writer;
    std::vector<Dirty> columns;
    size_t next = 0;
    uint64_t number = 0;
    Offset offset = 0;
  };
  // The databases in a file.
  struct Content {
    std::set<std::string, std::less<>> live;
    std::set<std::string, std::less<>> dropped;
  };
  class Source;

  std::string path_of(uint64_t number) const { return directory_ + "/" + chunk_file_name(number); }
  Result<bool> load_next();
  Result<bool> load_manifest();
  Result<void> load_file(const Manifest::NamedFile& named);
  Result<void> remove_strays(bool has_manifest);
  Manifest next_manifest() const;
  Result<void> remove_files();
  void install(const StoredField& stored, uint64_t number, const std::shared_ptr<ChunkFile>& file);
  void take_line(const std::string& name, Database& database, const Line& line);
  Series& find_series(Database& database, std::string_view key);
  FieldData& find_field(Database& database, Series& series, std::string_view name, FieldType type, size_t hint);
  void drop(std::string_view database);
  Result<bool> flush_some();
  Result<void> finish_flush();
  void fail(const Error& error);
  void count();

  Disk& disk_;
  OpenFiles files_;
  const std::string directory_;
  const uint64_t head_bytes_max_;
  const LogId log_id_;
  int64_t query_slice_ns_ = 0;
  std::map<std::string, Database, std::less<>> databases_;
  std::vector<Dirty> dirty_;
  uint64_t head_bytes_ = 0;
  std::unique_ptr<Flush> flush_;
  Manifest manifest_;
  std::map<uint64_t, Content> contents_;  // by a file's number
  bool dead_files_ = false;               // some have nothing live
  uint64_t log_bytes_ = 0;                // of records since the last flush began
  std::optional<size_t> loading_;         // the next file; none: not begun
  uint64_t next_number_ = 1;
  uint64_t generation_ = 0;
  uint64_t points_ = 0;
  std::string failed_;
  std::string scratch_;
  Line line_;
  std::atomic<Offset> applied_{0};
  std::atomic<uint64_t> points_count_{0};
  std::atomic<uint64_t> files_count_{0};
  std::atomic<uint64_t> gap_records_{0};
  std::atomic<uint64_t> head_bytes_shown_{0};
};

}  // namespace heptane::iot::series
