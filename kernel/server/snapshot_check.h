// Every tenth start the newest snapshot is compared with what replay makes of the one before it (log.md, Snapshots), by a
// child of the lowest priority: `heptane log compare`. A difference is an alarm, never an end: the server itself runs on what
// it replayed or restored, and the operator decides.
//
// One child at a time, killed at its deadline and when the server stops. run_once the helper's, take_finding the shard's,
// counters anywhere.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/ids.h"
#include "kernel/server/child_process.h"

namespace heptane::server {

struct SnapshotCheckOptions {
  // Exit code 0: the same; 1: they differ; else nothing was compared. What it prints is reported. Empty: no checks.
  std::vector<std::string> command{};
  int64_t every_starts = 10;  // 0: never
  int64_t deadline_ns = int64_t{3600} * 1'000'000'000;
};

struct SnapshotCheckCounters {
  std::atomic<uint64_t> same_total{0};
  std::atomic<uint64_t> differing_total{0};
  std::atomic<uint64_t> failed_total{0};  // nothing was found out
};

class SnapshotCheck {
 public:
  struct Finding {
    bool same = false;
    std::string text;
  };

  SnapshotCheck(Clock& clock, SnapshotCheckOptions options) : clock_(clock), options_(std::move(options)) {}

  // A line for each result, on the helper's thread.
  void set_report(std::function<void(const std::string&)> report) { report_ = std::move(report); }
  void set_wake_shard(std::function<void()> wake) { wake_shard_ = std::move(wake); }
  // After recovery: the epoch counts starts.
  void start(Epoch epoch) {
    due_ = !options_.command.empty() && options_.every_starts > 0 &&
           epoch % static_cast<uint64_t>(options_.every_starts) == 0;
  }

  // Helper, every turn.
  void run_once(bool stopping);
  // What a comparison found, once: for the audit trail.
  std::optional<Finding> take_finding();

  const SnapshotCheckCounters& counters() const { return counters_; }
  bool at_work() const { return child_.running(); }

 private:
  void begin();
  void end(const ChildProcess::End& end);
  void give_up(const std::string& why);

  Clock& clock_;
  const SnapshotCheckOptions options_;
  std::function<void(const std::string&)> report_;
  std::function<void()> wake_shard_;
  SnapshotCheckCounters counters_;
  bool due_ = false;
  ChildProcess child_;
  int64_t begin_ns_ = 0;
  std::atomic<bool> found_{false};
  std::mutex mutex_;
  std::optional<Finding> finding_;  // under the mutex
};

}  // namespace heptane::server
