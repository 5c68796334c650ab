// Takes snapshots of a running shard: decides when, has the state written at a moment of rest (by a forked child, or in
// place), reads the file back, gives it its name and thins out the older ones. A failed snapshot costs nothing but itself:
// the server goes on and tries again after some more log.
//
// Phases: idle -> prepared (helper) -> written or being written (shard, between two commands) -> verified, published, idle
// (helper). Whoever moves the phase on owns everything below it until then.
// Threads: run_once the helper's, take the shard's, the rest anywhere.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "kernel/base/clock.h"
#include "kernel/shard/machine_files.h"
#include "kernel/shard/shard.h"
#include "kernel/snapshot/forked_child.h"
#include "kernel/snapshot/huge_pages.h"
#include "kernel/snapshot/snapshot_store.h"

namespace heptane::snapshot {

enum class SnapshotMethod : uint8_t {
  fork,      // the shard stops for the fork alone
  in_place,  // the shard writes the file itself: the simulator, and a server that is stopping
};

struct SnapshotTakerOptions {
  SnapshotMethod method = SnapshotMethod::fork;
  // Of writing and reading back, 0: as fast as it goes. Four times what the log grew since the last one, when that is more:
  // what is logged meanwhile lengthens the next start.
  uint64_t bytes_per_second = 100'000'000;
  // New log before the next one; at least half the size of the last one, and not all of it: what lies behind it is what a
  // restart replays, and 10 GiB of log with 1 GiB of state are to be back within 5 s.
  uint64_t log_bytes_min = uint64_t{256} << 20;
  uint64_t free_bytes_reserve = uint64_t{128} << 20;         // of the disk, on top of 1.5 times the last one
  int64_t child_deadline_ns = int64_t{300} * 1'000'000'000;  // a child whose file has not grown for so long is ended
};

struct SnapshotCounters {
  std::atomic<uint64_t> taken_total{0};
  std::atomic<uint64_t> failed_total{0};
  std::atomic<uint64_t> stuck_total{0};  // of them, children that were ended at their deadline
  std::atomic<Sequence> last_sequence{0};
  std::atomic<uint64_t> last_bytes{0};
  std::atomic<int64_t> last_pause_ns{0};  // of the shard
  std::atomic<uint64_t> answered{0};      // requests up to this number: the state of then is on disk, or was given up
  std::atomic<bool> last_failed{false};   // what the newest attempt came to; set before `answered`
};

class SnapshotTaker {
 public:
  SnapshotTaker(SnapshotStore& store, Clock& clock, SnapshotTakerOptions options)
      : store_(store), clock_(clock), options_(options) {}

  // After recovery; `log_bytes` is the log that was replayed behind the snapshot.
  void start(const LogId& log_id, ShardId shard, const RestoredSnapshot& restored, uint64_t log_bytes);
  // A line for each failure; called on the helper's thread.
  void set_report(std::function<void(const std::string&)> report) { report_ = std::move(report); }
  // After the helper prepared one the shard must take a turn.
  void set_wake_shard(std::function<void()> wake) { wake_shard_ = std::move(wake); }
  void set_wake_helper(std::function<void()> wake) { wake_helper_ = std::move(wake); }

  // One soon, whatever the log's growth. Nothing is written when there is one of this very sequence. Returns the request's
  // number: it has been dealt with when counters().answered is no less.
  uint64_t request() {
    const uint64_t number = requests_.fetch_add(1) + 1;
    requested_.store(true, std::memory_order_release);
    return number;
  }
  // The last one, of a server without traffic: in place and unpaced; a child at work is ended.
  void request_last() {
    last_.store(true, std::memory_order_release);
    (void)request();
  }
  // Helper: pace and growth from now on; the method stays.
  void reconfigure(const SnapshotTakerOptions& options) {
    options_.bytes_per_second = options.bytes_per_second;
    options_.log_bytes_min = options.log_bytes_min;
    options_.free_bytes_reserve = options.free_bytes_reserve;
    options_.child_deadline_ns = options.child_deadline_ns;
  }
  // Helper: whether files that a snapshot names cannot be written for now; then none waits for them.
  void set_no_room_for_files(bool none) { no_room_for_files_ = none; }
  // Nothing requested and nothing at work.
  bool idle() const {
    return !requested_.load(std::memory_order_acquire) && phase_.load(std::memory_order_acquire) == Phase::idle;
  }

  // Helper: one step. `log_bytes_total` counts the log written since start. True when there is more to do at once.
  bool run_once(uint64_t log_bytes_total, Sequence durable);

  // Helper, after run_once: when it has more to do at the latest, on the monotonic clock; INT64_MAX: it cannot tell.
  int64_t next_step_ns() const { return next_step_ns_; }

  // Shard: bring it to rest and call take.
  bool wants_state() const { return phase_.load(std::memory_order_acquire) == Phase::prepared; }
  void take(const Shard& shard, const StreamStore& streams, const RestPoint& rest);

  const SnapshotCounters& counters() const { return counters_; }
  // While wants_state() is over and idle() has not come: the child, -1 without one.
  pid_t child() const { return child_.pid(); }

 private:
  enum class Phase : uint8_t { idle, preparing, prepared, taken, verifying };
  enum class Taken : uint8_t { by_child, in_place, needless };

  bool due(uint64_t log_bytes_total) const;
  bool prepare(uint64_t log_bytes_total);
  bool gather();
  Result<void> open_temporary();
  std::string no_room();
  bool in_place() const { return options_.method == SnapshotMethod::in_place || last_.load(std::memory_order_acquire); }
  bool finish_writing();
  bool child_ended();
  void end_stuck_child();
  bool reading_is_due();
  bool verify(Sequence durable);
  bool files_durable() const;
  void publish();
  void give_up(const std::string& why);
  void end(bool failed);
  void find_pace(uint64_t log_bytes_total);

  SnapshotStore& store_;
  Clock& clock_;
  SnapshotTakerOptions options_;
  std::function<void(const std::string&)> report_;
  std::function<void()> wake_shard_;
  std::function<void()> wake_helper_;
  SnapshotCounters counters_;
  std::atomic<uint64_t> requests_{0};
  std::atomic<bool> requested_{false};
  std::atomic<bool> last_{false};
  std::atomic<Phase> phase_{Phase::idle};

  LogId log_id_{};
  ShardId shard_ = 0;
  uint64_t log_bytes_before_ = 0;  // replayed at start
  uint64_t log_bytes_seen_ = 0;    // when the one at work was prepared
  uint64_t due_log_bytes_ = 0;
  uint64_t answers_ = 0;  // the newest request that the one at work answers
  std::unique_ptr<File> file_;
  SnapshotHeader header_;
  struct NamedFiles {
    const MachineFiles* files;
    std::vector<uint32_t> named;
  };
  std::vector<NamedFiles> named_files_;  // by the one at work
  bool no_room_for_files_ = false;
  Taken taken_ = Taken::needless;
  ForkedChild child_;
  uint64_t child_bytes_ = 0;       // in its file when it was last seen to grow
  int64_t child_progress_ns_ = 0;  // when that was
  bool child_stuck_ = false;
  HugePages huge_pages_;
  Result<void> written_;
  std::unique_ptr<SnapshotFileReader> reader_;
  int64_t verify_begin_ns_ = 0;
  int64_t next_step_ns_ = INT64_MAX;
  uint64_t pace_ = 0;              // bytes per second of the one at work; 0: as fast as it goes
  int64_t paced_from_ns_ = 0;      // when the one before it was prepared, or the start
  uint64_t paced_from_bytes_ = 0;  // log written by then
};

}  // namespace heptane::snapshot
