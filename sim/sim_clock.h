// The simulator's clocks: they stand still until someone advances them. UTC may drift against the monotonic clock and
// be stepped either way, as a machine's does. One owner.
#pragma once

#include "kernel/base/clock.h"

namespace heptane::sim {

class SimClock final : public Clock {
 public:
  static constexpr int64_t kDefaultUtcNs = 1'700'000'000'000'000'000;  // 2023-11-14T22:13:20Z

  explicit SimClock(int64_t utc_ns = kDefaultUtcNs) : utc_ns_(utc_ns) {}

  int64_t monotonic_ns() override { return monotonic_ns_; }
  int64_t utc_ns() override { return utc_ns_; }

  // Moves both clocks; UTC by the drift more or less. elapsed_ns >= 0.
  void advance(int64_t elapsed_ns);
  // Moves UTC alone, forward or back.
  void step_utc(int64_t delta_ns);
  // UTC gains this many nanoseconds in each second of monotonic time from now on; |ppb| < 10^9, so UTC itself advances.
  void set_drift_ppb(int64_t ppb);

 private:
  int64_t monotonic_ns_ = 1;
  int64_t utc_ns_;
  int64_t drift_ppb_ = 0;
  int64_t drift_remainder_ = 0;  // in 10^-9 ns, so that many small steps drift as far as one large one
};

}  // namespace heptane::sim
