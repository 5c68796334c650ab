#include "tools/powercut/extents.h"

namespace powercut {

void Extents::clear(uint64_t offset, uint64_t bytes) {
  uint64_t end = offset + bytes;
  auto it = extents_.upper_bound(offset);
  if (it != extents_.begin()) --it;
  while (it != extents_.end() && it->first < end) {
    uint64_t start = it->first;
    Extent extent = it->second;
    uint64_t extent_end = start + extent.bytes;
    if (extent_end <= offset) {
      ++it;
      continue;
    }
    if (start < offset) {
      it->second.bytes = offset - start;
      ++it;
    } else {
      it = extents_.erase(it);
    }
    if (extent_end > end) it = extents_.emplace(end, Extent{extent_end - end, extent.data + (end - start)}).first;
  }
}

void Extents::put(uint64_t offset, uint64_t bytes, const std::byte* data) {
  if (bytes == 0) return;
  clear(offset, bytes);
  if (data != nullptr) extents_.emplace(offset, Extent{bytes, data});
}

void Extents::truncate(uint64_t size) {
  clear(size, ~uint64_t{0} - size);
  size_ = size;
}

}  // namespace powercut
