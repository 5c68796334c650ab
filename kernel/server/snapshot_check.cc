#include "kernel/server/snapshot_check.h"

#include <algorithm>

namespace heptane::server {

namespace {

constexpr int kSame = 0;
constexpr int kDiffer = 1;

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

void SnapshotCheck::run_once(bool stopping) {
  if (stopping) {
    due_ = false;
    child_.kill();
    return;
  }
  if (due_) return begin();
  if (!child_.running()) return;
  if (const std::optional<ChildProcess::End> ended = child_.poll()) return end(*ended);
  if (clock_.monotonic_ns() - begin_ns_ < options_.deadline_ns) return;
  child_.kill();
  give_up("it took longer than " + std::to_string(options_.deadline_ns / 1'000'000'000) + " s");
}

void SnapshotCheck::begin() {
  due_ = false;
  begin_ns_ = clock_.monotonic_ns();
  if (const Result<void> started = child_.start(options_.command); !started) give_up(started.error().message);
}

void SnapshotCheck::end(const ChildProcess::End& end) {
  const std::string text = one_line(end.output);
  if (end.exit_code != kSame && end.exit_code != kDiffer)
    return give_up(text.empty() ? "the comparing process was ended by a signal" : text);
  const bool same = end.exit_code == kSame;
  (same ? counters_.same_total : counters_.differing_total).fetch_add(1, std::memory_order_relaxed);
  if (report_) report_((same ? "the snapshots were compared: " : "THE SNAPSHOTS DIFFER: ") + text);
  {
    const std::lock_guard lock(mutex_);
    finding_ = Finding{same, text};
  }
  found_.store(true, std::memory_order_release);
  if (wake_shard_) wake_shard_();
}

void SnapshotCheck::give_up(const std::string& why) {
  counters_.failed_total.fetch_add(1, std::memory_order_relaxed);
  if (report_) report_("the snapshots were not compared: " + why);
}

std::optional<SnapshotCheck::Finding> SnapshotCheck::take_finding() {
  if (!found_.load(std::memory_order_acquire)) return std::nullopt;
  found_.store(false, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  return std::exchange(finding_, std::nullopt);
}

}  // namespace heptane::server
