// Housekeeping of history: moves log segments that no recovery needs into the archive, moves log starts where a stream's
// retention says so, drops archive segments in which nothing lives and writes those again that are mostly dead.
//
// A log segment goes only after the archive segment in its place is synced, read back, named, its directory synced, and
// the shard's index has forgotten the log segment. Log starts move by logged commands alone.
// Threads: run_once the helper's, shard_turn the shard's; between them one mailbox.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "kernel/archive/archive_builder.h"
#include "kernel/base/clock.h"
#include "kernel/shard/shard.h"
#include "kernel/streams/streams_machine.h"

namespace heptane::archive {

struct ArchiverOptions {
  uint64_t target_bytes = uint64_t{256} << 20;          // of log that becomes one archive segment
  uint64_t bytes_per_second = 100'000'000;              // of its writing; 0: as fast as it goes
  int64_t retain_commands_ns = 7 * 86'400'000'000'000;  // then plain commands go; < 0: never
  int64_t look_interval_ns = 10'000'000'000;            // between two looks at retention and dead archive segments
};

struct ArchiverCounters {
  std::atomic<uint64_t> archived_total{0};
  std::atomic<uint64_t> rewritten_total{0};
  std::atomic<uint64_t> dropped_total{0};
  std::atomic<uint64_t> failed_total{0};
  std::atomic<uint64_t> bytes{0};  // of all archive segments
};

class Archiver {
 public:
  Archiver(ArchiveStore& store, log::SegmentLog& log, Clock& clock, ArchiverOptions options)
      : store_(store),
        log_(log),
        clock_(clock),
        options_(options),
        builder_(store, log),
        reader_(store.disk(), store) {}

  // After recovery.
  void start(const LogId& log_id, ShardId shard, uint64_t segment_bytes);
  // Of views; before the first run_once. Outlive this.
  void set_renderers(const ViewRenderers& renderers) { builder_.set_renderers(renderers); }
  void set_report(std::function<void(const std::string&)> report) { report_ = std::move(report); }
  void set_wake_shard(std::function<void()> wake) { wake_shard_ = std::move(wake); }
  void set_wake_helper(std::function<void()> wake) { wake_helper_ = std::move(wake); }

  // Helper: one step. No recovery begins below `needed_from`. `urgent`: the disk is full, so commands that nobody must
  // keep go and nothing waits for a whole target. True when there is more to do at once. An error is the disk's.
  Result<bool> run_once(Sequence needed_from, bool urgent);
  // Helper: pace, retention of commands and the interval from now on; the size of an archive segment stays.
  void reconfigure(const ArchiverOptions& options) {
    options_.bytes_per_second = options.bytes_per_second;
    options_.retain_commands_ns = options.retain_commands_ns;
    options_.look_interval_ns = options.look_interval_ns;
  }
  // Nothing is being made; log segments may be trimmed by others.
  bool idle() const { return !builder_.active() && !forgetting_; }

  // Shard: cheap when there is nothing to do.
  void shard_turn(Shard& shard, streams::StreamsMachine& streams) {
    if (wants_shard_.load(std::memory_order_acquire)) serve(shard, streams);
  }

  const ArchiverCounters& counters() const { return counters_; }

 private:
  // What the shard is asked for, and its answers.
  struct Mail {
    bool look_wanted = false;
    uint32_t forget_upto = 0;  // log segments
    std::vector<streams::LogStart> starts;
    bool look_done = false;
    bool forget_done = false;
    Liveness liveness;
    std::vector<streams::StreamsMachine::Retained> retained;
    int64_t now_ms = 0;
  };

  void serve(Shard& shard, streams::StreamsMachine& streams);
  void post(const std::function<void(Mail&)>& write);
  bool take_answers();
  void apply_retention();
  Result<std::optional<Offset>> retained_start(const streams::StreamsMachine::Retained& row);
  Result<bool> clean();
  struct Life {
    uint64_t bytes = 0;
    bool keep_commands = false;
    bool any = false;
  };
  Result<Life> life_of(const ArchiveSegment& segment, bool keep_commands);
  bool worth_rewriting(const ArchiveSegment& segment, const Life& life) const;
  bool begin_archiving(Sequence needed_from, bool urgent);
  Result<bool> build();
  Result<void> forget_and_trim();
  void give_up(const std::string& why);
  void count_bytes();
  bool commands_expired(LogTime last_time) const;

  ArchiveStore& store_;
  log::SegmentLog& log_;
  Clock& clock_;
  ArchiverOptions options_;
  std::function<void(const std::string&)> report_;
  std::function<void()> wake_shard_;
  std::function<void()> wake_helper_;
  ArchiverCounters counters_;

  // The helper's.
  ArchiveBuilder builder_;
  ArchiveReader reader_;
  LogId log_id_{};
  ShardId shard_ = 0;
  size_t segments_at_once_ = 1;
  Liveness liveness_;
  std::vector<streams::StreamsMachine::Retained> retained_;
  int64_t now_ms_ = 0;
  std::string retention_problem_;  // as it was reported last
  bool looked_ = false;            // liveness_ is there and fresh
  bool clean_due_ = false;         // since the last look
  size_t clean_next_ = 0;          // index into the catalog
  std::map<Sequence, Life>
      rewritten_;  // what lived in archive segments when they were written again, by first sequence
  int64_t next_look_ns_ = 0;
  int64_t retry_ns_ = 0;  // after a failure, not before
  bool asked_ = false;
  uint32_t forgetting_upto_ = 0;  // what the shard was asked to forget
  bool forgetting_ = false;
  bool urgent_ = false;
  int64_t build_begin_ns_ = 0;
  uint64_t build_bytes_ = 0;

  std::mutex mutex_;
  Mail mail_;
  std::atomic<bool> wants_shard_{false};
};

}  // namespace heptane::archive
