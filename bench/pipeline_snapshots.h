// Snapshots beside a pipeline, as the server has them: the helper's thread decides and reads back, the shard comes to rest
// and forks. Made before the pipeline starts; outlives its threads.
#pragma once

#include <algorithm>

#include "bench/pipeline.h"
#include "bench/report.h"
#include "kernel/snapshot/snapshot_taker.h"

namespace heptane::bench {

class PipelineSnapshots {
 public:
  PipelineSnapshots(Pipeline& pipeline, const std::string& directory, const snapshot::SnapshotTakerOptions& options)
      : store_(pipeline.disk(), {directory + "/shard-0/snapshots", directory + "/shard-0/quarantine", 0, 2,
                                 snapshot::kReadAheadBuffers}),
        taker_(store_, pipeline.clock(), options),
        pipeline_(pipeline),
        directory_(directory) {
    must(store_.open(), "open the snapshots");
  }

  // The newest snapshot, then the log behind it.
  log::RecoveryReport restore_and_recover() {
    restore();
    return pipeline_.recover(restored_.from);
  }
  void restore() {
    const auto id = must(snapshot::peek_log_id(pipeline_.disk(), directory_ + "/shard-0/log"), "look at the log");
    restored_ = must(store_.restore(pipeline_.shard(), pipeline_.streams(), id), "restore the snapshot");
  }
  // After the recovery, before pipeline.start().
  void attach(uint64_t replayed_bytes) {
    taker_.start(pipeline_.log().id(), 0, restored_, replayed_bytes);
    taker_.set_report([](const std::string& line) { std::fprintf(stderr, "bench: snapshot: %s\n", line.c_str()); });
    taker_.set_wake_shard([this] { pipeline_.wake_shard(); });
    taker_.set_wake_helper([this] { pipeline_.wake_helper(); });
    pipeline_.set_helper(
        [this] { return taker_.run_once(pipeline_.committer().bytes_total(), pipeline_.committer().watermark()); },
        [this] { return wait_ns(); });
    pipeline_.set_shard_step([this] {
      if (!taker_.wants_state() || pipeline_.shard().rest_awaited()) return;
      pipeline_.shard().when_at_rest(
          [this](const RestPoint& rest) { taker_.take(pipeline_.shard(), pipeline_.streams(), rest); });
    });
  }

  int64_t wait_ns() const {
    const int64_t next_ns = taker_.next_step_ns();
    return next_ns == INT64_MAX ? INT64_MAX : std::max<int64_t>(0, next_ns - now_ns());
  }

  snapshot::SnapshotTaker& taker() { return taker_; }
  const snapshot::RestoredSnapshot& restored() const { return restored_; }

 private:
  snapshot::SnapshotStore store_;
  snapshot::SnapshotTaker taker_;
  Pipeline& pipeline_;
  std::string directory_;
  snapshot::RestoredSnapshot restored_;
};

}  // namespace heptane::bench
