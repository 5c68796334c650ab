#include "kernel/shard/log_clock.h"

#include <algorithm>

namespace heptane {

namespace {
constexpr int64_t kStepRefusedNs = 3'600'000'000'000;  // an hour
constexpr int64_t kSlewDivisor = 20;                   // at most 5 % faster or slower than the monotonic clock
}  // namespace

void LogClock::start(LogTime last) {
  monotonic_seen_ns_ = clock_.monotonic_ns();
  time_ = std::max(last, clock_.utc_ns());
}

LogTime LogClock::now() {
  const int64_t monotonic_ns = clock_.monotonic_ns();
  const int64_t elapsed_ns = std::max<int64_t>(0, monotonic_ns - monotonic_seen_ns_);
  if (elapsed_ns == 0) return time_;
  monotonic_seen_ns_ = monotonic_ns;
  const int64_t error_ns = clock_.utc_ns() - (time_ + elapsed_ns);
  alarmed_ = error_ns > kStepRefusedNs || error_ns < -kStepRefusedNs;
  const int64_t slew_limit_ns = elapsed_ns / kSlewDivisor;
  const int64_t slew_ns = alarmed_ ? 0 : std::clamp(error_ns, -slew_limit_ns, slew_limit_ns);
  time_ += elapsed_ns + slew_ns;
  return time_;
}

}  // namespace heptane
