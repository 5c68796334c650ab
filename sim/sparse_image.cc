#include "sim/sparse_image.h"

#include <algorithm>

namespace heptane::sim {

bool all_zeros(Bytes bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

size_t SparseImage::position(uint64_t index) const {
  // Files mostly grow at their end.
  if (slots_.empty() || slots_.back().index < index) return slots_.size();
  const auto found = std::lower_bound(slots_.begin(), slots_.end(), index,
                                      [](const Slot& slot, uint64_t wanted) { return slot.index < wanted; });
  return static_cast<size_t>(found - slots_.begin());
}

PageRef SparseImage::page(uint64_t index) const {
  const size_t at = position(index);
  return at < slots_.size() && slots_[at].index == index ? slots_[at].page : PageRef();
}

PageRef& SparseImage::slot(uint64_t index) {
  const size_t at = position(index);
  if (at == slots_.size() || slots_[at].index != index)
    slots_.insert(slots_.begin() + static_cast<ptrdiff_t>(at), Slot{index, PageRef()});
  return slots_[at].page;
}

Page& SparseImage::writable(uint64_t index) {
  PageRef& page = slot(index);
  if (!page) {
    page = PageRef(new Page{});
  } else if (page->references > 1) {
    PageRef copy(new Page{0, page->bytes});
    page = std::move(copy);
  }
  return *page.get();
}

void SparseImage::read(uint64_t offset, MutableBytes into) const {
  while (!into.empty()) {
    const size_t within = offset % kPageBytes;
    const size_t count = std::min(into.size(), kPageBytes - within);
    if (const PageRef page = this->page(offset / kPageBytes))
      std::memcpy(into.data(), page->bytes.data() + within, count);
    else
      std::memset(into.data(), 0, count);
    offset += count;
    into = into.subspan(count);
  }
}

PageRef SparseImage::write(uint64_t index, size_t within, Bytes bytes) {
  if (bytes.size() == kPageBytes) {
    PageRef fresh;
    if (!all_zeros(bytes)) {
      fresh = PageRef(new Page);
      std::memcpy(fresh->bytes.data(), bytes.data(), kPageBytes);
    }
    merge(index, fresh, 0xFF);
    return fresh;
  }
  Page& page = writable(index);
  std::memcpy(page.bytes.data() + within, bytes.data(), bytes.size());
  return PageRef(&page);
}

void SparseImage::merge(uint64_t index, const PageRef& from, uint8_t sectors) {
  if (sectors == 0) return;
  if (sectors == 0xFF) {
    const size_t at = position(index);
    const bool stored = at < slots_.size() && slots_[at].index == index;
    if (stored)
      slots_[at].page = from;
    else if (from)
      slot(index) = from;
    return;
  }
  if (!from && !page(index)) return;
  Page& page = writable(index);
  for (size_t sector = 0; sector < kSectorsPerPage; ++sector) {
    if ((sectors >> sector & 1) == 0) continue;
    std::byte* to = page.bytes.data() + sector * kSectorBytes;
    if (from)
      std::memcpy(to, from->bytes.data() + sector * kSectorBytes, kSectorBytes);
    else
      std::memset(to, 0, kSectorBytes);
  }
}

void SparseImage::xor_byte(uint64_t offset, std::byte mask) {
  writable(offset / kPageBytes).bytes[offset % kPageBytes] ^= mask;
}

void SparseImage::truncate(uint64_t size) {
  size_ = size;
  const uint64_t last = size / kPageBytes;
  const size_t within = size % kPageBytes;
  const size_t at = position(last);
  const bool cuts_page = within != 0 && at < slots_.size() && slots_[at].index == last && slots_[at].page;
  if (cuts_page && !all_zeros(Bytes(slots_[at].page->bytes).subspan(within))) {
    Page& page = writable(last);
    std::memset(page.bytes.data() + within, 0, kPageBytes - within);
  }
  slots_.erase(slots_.begin() + static_cast<ptrdiff_t>(within == 0 ? at : position(last + 1)), slots_.end());
}

}  // namespace heptane::sim
