// Counts commands whose apply() took longer than its budget, by machine: whoever waits behind one of them waits for it. Costs
// two readings of the processor's counter a command; a clock is only read when that says that it may have been long.
// The shard's thread; the counts are anybody's to read.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>

#include "kernel/base/clock.h"
#include "kernel/base/ticks.h"

namespace heptane {

class ApplyWatch {
 public:
  static constexpr size_t kPlaces = 64;  // machines, by their place in the table; those behind share the last

  void start(Clock& clock) {
    clock_ = &clock;
    start_ticks_ = ticks();
    start_ns_ = clock.monotonic_ns();
  }
  void begin() {
    if (clock_ != nullptr) begin_ticks_ = ticks();
  }
  // What began may have taken a millisecond; then count_long() says whether it took more than its budget.
  bool maybe_long() const { return clock_ != nullptr && ticks() - begin_ticks_ >= kLookTicks; }
  void count_long(size_t place, int64_t budget_ns);
  const std::atomic<uint64_t>& count(size_t place) const { return counts_[std::min(place, kPlaces - 1)]; }

 private:
  // No processor of these years counts more slowly than a million a millisecond.
  static constexpr uint64_t kLookTicks = 1'000'000;

  Clock* clock_ = nullptr;  // null: it has not started
  uint64_t start_ticks_ = 0;
  int64_t start_ns_ = 0;
  uint64_t begin_ticks_ = 0;
  std::array<std::atomic<uint64_t>, kPlaces> counts_{};
};

}  // namespace heptane
