// The log on disk: a directory of segment files, each a header block and the batches of one stretch of sequences, every
// batch on blocks of its own (FORMAT.md). What is acknowledged is synced; any error of a write or a sync ends appending.
//
// Threads: append on the commit's; maintain and trim on the helper's; read and reader anywhere; recover before all of them.
#pragma once

#include <atomic>
#include <mutex>

#include "kernel/base/random.h"
#include "kernel/log/log.h"
#include "kernel/log/recent_batches.h"
#include "kernel/log/recovery.h"
#include "kernel/log/segment_pool.h"

namespace heptane::log {

constexpr size_t kReadAheadBatches = 8;  // what a server takes

struct SegmentLogOptions {
  std::string directory;             // DATA/shard-0/log
  std::string quarantine_directory;  // DATA/shard-0/quarantine
  std::string data_directory;        // DATA, as messages print it
  ShardId shard = 0;
  uint64_t segment_bytes = uint64_t{64} << 20;  // of new segments; one longer batch gets a segment of its own size
  size_t prepared_segments = 2;
  bool zero_ahead = true;
  // Batches from this size on are written past the page cache (O_DIRECT): no copy, no dirty pages in the way of the sync.
  // Smaller ones go through it, where whoever reads at the end of a quiet log finds them.
  size_t direct_from_bytes = size_t{256} << 10;
  size_t recent_bytes = size_t{32} << 20;  // of such batches are kept in memory while the log is busy
  size_t recovery_read_ahead = 0;          // batches that a thread of its own reads ahead in recover(); 0: no thread
};

// The layout of a data directory.
SegmentLogOptions segment_log_options(const std::string& data_directory, ShardId shard = 0);

class SegmentLog final : public Log {
 public:
  // Makes the directories. Nothing else may use them: hold the data directory's LOCK. `disk` and `random` outlive the log.
  static Result<std::unique_ptr<SegmentLog>> open(Disk& disk, Random& random, SegmentLogOptions options);
  ~SegmentLog() override;

  Result<RecoveryReport> recover(const RecoverFrom& from, const BatchVisitor& visit) override;
  const LogId& id() const override { return id_; }
  void append(PendingBatch& batch, AppendCompletion done) override;
  Result<bool> maintain() override;
  bool wants_maintenance() const override;
  Result<void> read(Sequence from, Sequence upto, const BatchVisitor& visit) override;
  std::unique_ptr<LogReader> reader() override;
  Result<void> trim(Sequence below) override;
  uint64_t prepared_bytes() const override;

  // Commit thread: where the next batch continues.
  Sequence next_sequence() const { return next_sequence_; }
  // Any thread: sequence of the first batch in that segment or in the next one that holds any; the end when none does.
  Sequence first_sequence_of(uint32_t segment) const;
  // Any thread: the highest sequence known synced.
  Sequence durable() const { return durable_.load(std::memory_order_acquire); }
  // Any thread: number of the oldest segment; 0 before there is one.
  uint32_t oldest_segment() const;
  // Any thread: number of the newest segment with nothing at or above `below`, never the one
  // being appended to; 0 = none.
  uint32_t last_segment_below(Sequence below) const;
  // Any thread: segments the commit had to make because none was ready.
  uint64_t segments_made_inline_total() const;

 private:
  SegmentLog(Disk& disk, Random& random, SegmentLogOptions options);

  Result<void> begin(const Recovered& recovered);
  Result<void> begin_new();
  Result<void> roll(uint64_t padded_bytes);
  Result<void> place(PendingBatch& batch);
  Result<File*> file_for(uint64_t padded_bytes);
  void on_synced(Result<void> synced);
  void fail(Error error, AppendCompletion done);
  Result<std::vector<SegmentFile>> segments_from(Sequence from, ScanPosition& start);

  Disk& disk_;
  Random& random_;
  const SegmentLogOptions options_;
  LogId id_{};
  std::unique_ptr<SegmentPool> pool_;

  // Commit thread only.
  std::unique_ptr<File> file_;
  std::unique_ptr<File> direct_;  // the same file past the page cache; opened when first wanted
  uint32_t segment_ = 0;
  uint64_t segment_bytes_ = 0;
  uint64_t offset_ = 0;
  Sequence next_sequence_ = 1;
  ChainValue chain_{};
  std::optional<Error> failure_;
  struct InFlight {
    BatchPlace place;
    Sequence last_sequence = 0;
    uint32_t header_crc = 0;
    uint64_t padded_bytes = 0;
    bool direct = false;
    PendingBatch* batch = nullptr;
    AppendCompletion done;
  };
  std::optional<InFlight> in_flight_;

  // Shared.
  RecentBatches recent_;
  mutable std::mutex index_mutex_;
  std::vector<UsedSegment> used_;  // by number; the last one is being appended to
  std::atomic<Sequence> durable_{0};
  std::atomic<uint64_t> unused_bytes_{0};  // of the segment being appended to
  std::atomic<uint64_t> appended_bytes_{0};
  uint64_t appended_bytes_seen_ = 0;  // helper only
};

}  // namespace heptane::log
