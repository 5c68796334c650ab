// Log time: nanoseconds UTC that follow the monotonic clock, slew towards UTC and never go back. A step of UTC above an
// hour while running is not followed; alarmed() says so. The shard thread's.
#pragma once

#include "kernel/base/clock.h"
#include "kernel/base/ids.h"

namespace heptane {

class LogClock {
 public:
  explicit LogClock(Clock& clock) : clock_(clock) {}
  // After recovery: log time continues above `last`.
  void start(LogTime last);
  // The time to stamp now; >= every earlier one.
  LogTime now();
  bool alarmed() const { return alarmed_; }

 private:
  Clock& clock_;
  LogTime time_ = 0;
  int64_t monotonic_seen_ns_ = 0;
  bool alarmed_ = false;
};

}  // namespace heptane
