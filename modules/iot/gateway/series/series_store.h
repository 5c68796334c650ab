// The projection of `iot.lines`: points by database, series and field. New ones are in memory (the head); when the head is full it is
// written to a chunk file, in slices, while the next head fills. What a manifest names is what a restart begins with; the records
// behind its offset are read from the log again.
//
// Invariants: points of one series and time merge by field, the later record wins; `applied` is one past the last record that queries
// see; of two crashes apart from each other no synced point is lost as long as the log holds what no manifest covers; what it does not
// hold is a gap, which the manifest keeps. A file goes when all databases in it are dropped. Files that lie next to each other and are
// small become one (store_merge.cc), which takes their place in a manifest; they are read until every series has the new one, and go
// then. Bounds: the head (twice while it is written), kLogBytesMax of records that no manifest covers, 64 open files, files as the
// logarithm of what they hold, and what series and fields cost, of which memory_bytes() tells.
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
#include <utility>
#include <vector>

#include "kernel/base/disk.h"
#include "modules/iot/gateway/series/chunk_file.h"
#include "modules/iot/gateway/series/select.h"
#include "modules/iot/gateway/series/table_seed.h"
#include "modules/iot/machine/series/key_table.h"

namespace heptane::iot::series {

class SeriesStore {
 public:
  static constexpr Offset kNoLogEnd = INT64_MAX;
  // Records are written to files at the latest when there are so many bytes of them: far less than `iot.lines` keeps.
  static constexpr uint64_t kLogBytesMax = uint64_t{256} << 20;

  // `log_id`: whose records these are.
  SeriesStore(Disk& disk, std::string directory, uint64_t head_bytes_max, LogId log_id = {})
      : disk_(disk), files_(disk), directory_(std::move(directory)), head_bytes_max_(head_bytes_max), log_id_(log_id) {}

  // What a merge leaves free beside the bytes that it takes: more than the server keeps for its log.
  static constexpr uint64_t kFreeBytesMin = uint64_t{1} << 30;

  // What the manifest names, a slice of a file a call. True: there is more. `log_end`: of `iot.lines`; a manifest that shows more is
  // refused, and nothing is deleted then.
  bool load(Offset log_end = kNoLogEnd);
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

  // Whether small files should become one; what a dropped database had is let go in between.
  bool upkeep_due() const { return merge_ || !dropped_.empty() || merge_wanted(); }
  // A slice of it. True: there is more.
  bool upkeep();
  // Of it only what lets go of dropped databases, a slice.
  void sweep();
  // What upkeep gave up and why, once; empty: nothing. Where nothing else is under way.
  std::string take_notice() { return std::exchange(notice_, {}); }

  // Why nothing is taken and answered any more; empty: it is.
  const std::string& failed() const { return failed_; }

  Offset applied() const { return applied_.load(std::memory_order_acquire); }
  uint64_t points_count() const { return points_count_.load(std::memory_order_relaxed); }
  uint64_t files_count() const { return files_count_.load(std::memory_order_relaxed); }
  // How many records of `iot.lines` are in no file, at most, because the log did not hold them any more; any thread.
  uint64_t gap_records() const { return gap_records_.load(std::memory_order_relaxed); }
  uint64_t head_bytes() const { return head_bytes_shown_.load(std::memory_order_relaxed); }
  // What series, fields and the places of their chunks take, points in the head apart.
  uint64_t memory_bytes() const { return memory_bytes_shown_.load(std::memory_order_relaxed); }
  uint64_t merges_count() const { return merges_count_.load(std::memory_order_relaxed); }

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
    size_t operator()(std::string_view text) const { return spread(key_hash(text), table_seed()); }
  };
  struct Series : SeriesEntry {
    std::vector<FieldData> fields;
    Series* next = nullptr;  // that came behind it last: who sends lines sends them in one order again and again
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
    uint64_t bytes = 0;
  };
  // A place among all fields. What is added meanwhile does not move it.
  struct FieldCursor {
    std::string database;
    std::string measurement;
    size_t series = 0;
    size_t field = 0;
  };
  struct MergedField {
    Database* database = nullptr;
    Series* series = nullptr;
    size_t field = 0;
  };
  // Files that become one: their points are written field by field, then the manifest, then each field gets the new chunks.
  struct Merge {
    std::vector<Manifest::NamedFile> inputs;
    uint64_t number = 0;
    std::set<const ChunkFile*> files;  // of the inputs
    std::unique_ptr<ChunkFileWriter> writer;
    FieldCursor at;
    std::optional<TimeRange> rest;  // of the field at hand; none: it is not begun
    Column pending;
    std::vector<MergedField> fields;
    bool unreadable = false;                  // an input, which ends it
    uint64_t bytes = 0;                       // of the new file
    std::shared_ptr<const ChunkFile> sealed;  // it, synced; no manifest names it yet
    std::shared_ptr<const ChunkFile> file;    // it, named by a manifest
    size_t next = 0;                          // of the fields: has the old chunks
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
  // A field of a series in a file that is being loaded.
  struct Found {
    std::string database;
    std::string key;
    std::string field;
    FieldType type = FieldType::real;
    std::vector<ChunkPlace> chunks;
  };
  struct LoadedFile {
    std::shared_ptr<const ChunkFile> file;
    uint64_t number = 0;
    std::vector<Found> found;
    size_t next = 0;
  };
  // The databases in a file.
  struct Content {
    std::set<std::string, std::less<>> live;
    std::set<std::string, std::less<>> dropped;
  };
  class Source;
  using OnlyFiles = const std::set<const ChunkFile*>*;  // nullptr: all

  std::string path_of(uint64_t number) const { return directory_ + "/" + chunk_file_name(number); }
  Result<bool> load_next(Offset log_end);
  Result<void> finish_load(Offset log_end);
  Error beyond_log(Offset shown, Offset end) const;
  Result<bool> load_manifest();
  void load_some();
  Result<void> load_file(const Manifest::NamedFile& named);
  Result<void> check_unnamed(uint64_t number);
  Result<void> remove_strays();
  Manifest next_manifest() const;
  Result<void> remove_files();
  void install(const StoredField& stored, uint64_t number, const std::shared_ptr<const ChunkFile>& file);
  void take_line(const std::string& name, Database& database, const Line& line);
  Series& find_series(Database& database, std::string_view key);
  Series& next_series(Database& database, std::string_view key);
  FieldData& find_field(Database& database, Series& series, std::string_view name, FieldType type, size_t hint);
  void drop(std::string_view database);
  static int64_t end_of_piece(const FieldData& field, const TimeRange& range, OnlyFiles only);
  static Result<Piece> stored_piece(const FieldData& field, const TimeRange& range, OnlyFiles only);
  void look_for_files();
  bool merge_wanted() const { return !merge_ && !dead_files_ && mergeable_.has_value(); }
  Result<void> begin_merge();
  Result<void> check_room(uint64_t bytes);
  Result<bool> merge_some();
  Result<bool> write_merged();
  Series* next_to_merge(size_t& looked_at);
  Series* next_in(const Measurement& measurement, size_t& looked_at);
  Result<size_t> merge_piece(Series& series);
  Result<void> seal_merged();
  Result<void> name_merged();
  void use_merged(const MergedField& merged, const std::vector<ChunkPlace>& places);
  Result<void> swap_some();
  Result<void> give_up_merge();
  void forget_merge();
  void abandon_merge(const Error& why);
  void pause_merges(const Error& why);
  bool merges(std::string_view database) const;
  static uint64_t bytes_of(const Series& series);
  void charge(Database& database, uint64_t bytes);
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
  std::unique_ptr<Merge> merge_;
  std::optional<std::pair<size_t, size_t>>
      mergeable_;                   // of the manifest's files, from the first one up to behind the last one
  std::set<uint64_t> unmergeable_;  // files of a merge that could not read them all
  size_t merge_pause_ = 0;          // so many files are written before the next merge
  size_t merge_failures_ = 0;       // one behind the other
  std::string notice_;
  std::vector<Database> dropped_;                                     // emptied bit by bit
  std::map<uint64_t, std::shared_ptr<const ChunkFile>> chunk_files_;  // those that the manifest names
  Manifest manifest_;
  bool has_manifest_ = false;             // when loading began
  std::map<uint64_t, Content> contents_;  // by a file's number
  bool dead_files_ = false;               // some have nothing live
  uint64_t log_bytes_ = 0;                // of records since the last flush began
  LoadedFile being_loaded_;
  std::optional<size_t> loading_;  // the next file; none: not begun
  uint64_t next_number_ = 1;
  uint64_t generation_ = 0;
  uint64_t points_ = 0;
  uint64_t memory_bytes_ = 0;
  uint64_t merges_ = 0;
  std::string failed_;
  Line line_;
  Series* last_series_ = nullptr;  // of the record that is taken
  std::atomic<Offset> applied_{0};
  std::atomic<uint64_t> points_count_{0};
  std::atomic<uint64_t> files_count_{0};
  std::atomic<uint64_t> gap_records_{0};
  std::atomic<uint64_t> head_bytes_shown_{0};
  std::atomic<uint64_t> memory_bytes_shown_{0};
  std::atomic<uint64_t> merges_count_{0};
};

}  // namespace heptane::iot::series
