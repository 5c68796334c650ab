// The commit role: writes and syncs one batch at a time and moves the watermark. One more batch may wait behind the one in
// flight, so that one worth a write follows without a turn of the shard. Decides nothing.
//
// Invariant: the watermark moves only after the log said `synced`. After an error it never moves again and `on_fatal` is
// called once: the process must end without acknowledging (log.md, Recovery 5).
// Threads: hand_over/take_completed on the shard's, run_once on the commit's; the disk completes on the commit's.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/spsc_ring.h"
#include "kernel/base/telemetry.h"
#include "kernel/log/log.h"
#include "kernel/shard/batch_writer.h"
#include "kernel/shard/link.h"

namespace heptane {

struct Completed {
  BatchWriter* writer = nullptr;
  log::BatchPlace place;
};

class Committer {
 public:
  using Fatal = std::function<void(const Error&)>;

  Committer(log::Log& log, Fatal on_fatal) : log_(log), on_fatal_(std::move(on_fatal)) {}

  void attach(ShardLink& link) { links_.push_back(&link); }
  void set_wake(std::function<void()> wake_commit, std::function<void()> wake_shard);
  // Before the first batch: how long each write and sync takes, and how much it writes. All outlive this.
  void measure(Clock& clock, Histogram& seconds, Histogram& bytes);
  // After recovery: everything up to `durable` is synced.
  void start(Sequence durable);

  // Shard: how many batches were handed over and have not been taken back.
  size_t outstanding() const { return outstanding_; }
  void hand_over(BatchWriter& writer);
  bool take_completed(Completed& completed);

  // Commit: true when it began a write.
  bool run_once();
  // Any thread.
  Sequence watermark() const { return watermark_.load(std::memory_order_acquire); }
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  uint64_t batches_total() const { return batches_total_.load(std::memory_order_relaxed); }
  uint64_t bytes_total() const { return bytes_total_.load(std::memory_order_relaxed); }

 private:
  void on_synced(BatchWriter& writer, Result<log::BatchPlace> place);

  log::Log& log_;
  Fatal on_fatal_;
  Clock* clock_ = nullptr;  // none: nothing is measured
  Histogram* seconds_ = nullptr;
  Histogram* bytes_ = nullptr;
  int64_t begun_ns_ = 0;  // of the one in flight
  std::vector<ShardLink*> links_;
  std::function<void()> wake_commit_;
  std::function<void()> wake_shard_;
  SpscRing<BatchWriter*> waiting_{4};
  SpscRing<Completed> completed_{4};
  size_t outstanding_ = 0;  // shard's
  bool in_flight_ = false;  // commit's
  std::atomic<Sequence> watermark_{0};
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> batches_total_{0};
  std::atomic<uint64_t> bytes_total_{0};
};

}  // namespace heptane
