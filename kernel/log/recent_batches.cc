#include "kernel/log/recent_batches.h"

#include <algorithm>

namespace heptane::log {

void RecentBatches::add(const BatchPlace& place, Bytes memory, std::shared_ptr<const void> owner) {
  if (!owner || memory.size() > limit_bytes_) return;
  const std::lock_guard lock(mutex_);
  bytes_ += memory.size();
  batches_.push_back({place, memory, std::move(owner)});
  while (bytes_ > limit_bytes_ || batches_.size() > kBatchesMax) {
    bytes_ -= batches_.front().memory.size();
    batches_.pop_front();
  }
}

void RecentBatches::clear() {
  const std::lock_guard lock(mutex_);
  batches_.clear();
  bytes_ = 0;
}

bool RecentBatches::read(uint32_t segment, uint64_t offset, MutableBytes into) const {
  Bytes from;
  std::shared_ptr<const void> owner;  // holds the memory while it is copied without the lock
  {
    const std::lock_guard lock(mutex_);
    const auto behind =
        std::upper_bound(batches_.begin(), batches_.end(), std::pair(segment, offset),
                         [](const std::pair<uint32_t, uint64_t>& wanted, const Recent& recent) {
                           return wanted < std::pair<uint32_t, uint64_t>(recent.place.segment, recent.place.offset);
                         });
    if (behind == batches_.begin()) return false;
    const Recent& recent = *(behind - 1);
    const uint64_t begin = offset - recent.place.offset;
    if (recent.place.segment != segment || begin + into.size() > recent.memory.size()) return false;
    from = recent.memory.subspan(static_cast<size_t>(begin), into.size());
    owner = recent.owner;
  }
  std::copy(from.begin(), from.end(), into.begin());
  return true;
}

}  // namespace heptane::log
