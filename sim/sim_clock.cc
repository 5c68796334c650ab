#include "sim/sim_clock.h"

#include "kernel/base/assert.h"

namespace heptane::sim {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

int64_t checked_sum(int64_t a, int64_t b) {
  int64_t sum = 0;
  HEPTANE_ASSERT(!__builtin_add_overflow(a, b, &sum), "simulated time overflows");
  return sum;
}

}  // namespace

void SimClock::advance(int64_t elapsed_ns) {
  HEPTANE_ASSERT(elapsed_ns >= 0, "the monotonic clock never goes back");
  // Seconds and the rest apart: their products with the drift stay inside 64 bits.
  const int64_t seconds = elapsed_ns / kNsPerSecond;
  const int64_t parts = elapsed_ns % kNsPerSecond * drift_ppb_ + drift_remainder_;
  drift_remainder_ = parts % kNsPerSecond;
  int64_t drift_ns = 0;
  HEPTANE_ASSERT(!__builtin_mul_overflow(seconds, drift_ppb_, &drift_ns), "simulated time overflows");
  drift_ns = checked_sum(drift_ns, parts / kNsPerSecond);
  monotonic_ns_ = checked_sum(monotonic_ns_, elapsed_ns);
  utc_ns_ = checked_sum(utc_ns_, checked_sum(elapsed_ns, drift_ns));
}

void SimClock::step_utc(int64_t delta_ns) { utc_ns_ = checked_sum(utc_ns_, delta_ns); }

void SimClock::set_drift_ppb(int64_t ppb) {
  HEPTANE_ASSERT(ppb > -kNsPerSecond && ppb < kNsPerSecond, "a clock that drifts by a second a second");
  drift_ppb_ = ppb;
}

}  // namespace heptane::sim
