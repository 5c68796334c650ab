// The content of a simulated file: 4 KiB pages shared by reference and copied when written, so that the page cache, the
// platter, every pending write and every clone of a disk hold the same bytes once. A missing page reads as zeros.
// One thread; references are not atomic.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::sim {

constexpr size_t kSectorBytes = 512;
constexpr size_t kPageBytes = 4096;
constexpr size_t kSectorsPerPage = kPageBytes / kSectorBytes;

struct Page {
  uint32_t references = 0;
  std::array<std::byte, kPageBytes> bytes;
};

// Null means a page of zeros.
class PageRef {
 public:
  PageRef() = default;
  explicit PageRef(Page* page) : page_(page) { take(); }
  PageRef(const PageRef& other) : page_(other.page_) { take(); }
  PageRef(PageRef&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  PageRef& operator=(PageRef other) noexcept {
    std::swap(page_, other.page_);
    return *this;
  }
  ~PageRef() {
    if (page_ != nullptr && --page_->references == 0) delete page_;
  }

  Page* get() const { return page_; }
  Page* operator->() const { return page_; }
  explicit operator bool() const { return page_ != nullptr; }

 private:
  void take() {
    if (page_ != nullptr) ++page_->references;
  }
  Page* page_ = nullptr;
};

class SparseImage {
 public:
  uint64_t size() const { return size_; }
  // Bytes of holes and beyond the size are zeros.
  void read(uint64_t offset, MutableBytes into) const;
  PageRef page(uint64_t index) const;

  // Overwrites a part of one page and returns what the page is then. The size is left alone.
  PageRef write(uint64_t index, size_t within, Bytes bytes);
  // Takes the sectors of `from` whose bit is set in `sectors`.
  void merge(uint64_t index, const PageRef& from, uint8_t sectors);
  void xor_byte(uint64_t offset, std::byte mask);

  void grow(uint64_t size) { size_ = size > size_ ? size : size_; }
  // Cuts or extends; what is beyond the size afterwards is zeros.
  void truncate(uint64_t size);

  // Calls each(index, page) for every page that is stored, in order.
  template <class Each>
  void for_each_page(Each&& each) const {
    for (const Slot& slot : slots_)
      if (slot.page) each(slot.index, slot.page);
  }

 private:
  struct Slot {
    uint64_t index = 0;
    PageRef page;
  };
  size_t position(uint64_t index) const;
  PageRef& slot(uint64_t index);
  Page& writable(uint64_t index);

  uint64_t size_ = 0;
  std::vector<Slot> slots_;  // sorted by index
};

bool all_zeros(Bytes bytes);

}  // namespace heptane::sim
