#include "kernel/shard/apply_watch.h"

namespace heptane {

void ApplyWatch::count_long(size_t place, int64_t budget_ns) {
  const uint64_t now_ticks = ticks();
  const double passed_ns = static_cast<double>(clock_->monotonic_ns() - start_ns_);
  const double ns_a_tick = passed_ns / static_cast<double>(now_ticks - start_ticks_);
  const double took_ns = static_cast<double>(now_ticks - begin_ticks_) * ns_a_tick;
  if (took_ns > static_cast<double>(budget_ns))
    counts_[std::min(place, kPlaces - 1)].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace heptane
