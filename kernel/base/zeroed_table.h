// A table of plain slots that begins as zero bytes, for large hash tables: from 4 MiB on it is mapped by itself, in huge
// pages that the system clears when they are first touched, so that making one of a gigabyte takes no time. Moved, never
// copied. Any thread.
//
// With Fork::leaves_it_out a child has not what is mapped by itself, and must not look: while a child lives nothing of it is copied
// when it is written to.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

namespace heptane {

enum class Fork : uint8_t { takes_it_along, leaves_it_out };

template <class Slot, Fork kFork = Fork::takes_it_along>
class ZeroedTable {
  static_assert(std::is_trivial_v<Slot>);

 public:
  ZeroedTable() = default;
  explicit ZeroedTable(size_t size) : size_(size) { allocate(); }
  ZeroedTable(ZeroedTable&& other) noexcept { swap(other); }
  ZeroedTable& operator=(ZeroedTable&& other) noexcept {
    ZeroedTable(std::move(other)).swap(*this);
    return *this;
  }
  ~ZeroedTable() {
    if (mapping_ != nullptr)
      ::munmap(mapping_, mapped_bytes_);
    else
      std::free(slots_);
  }

  size_t size() const { return size_; }
  Slot& operator[](size_t at) { return slots_[at]; }
  const Slot& operator[](size_t at) const { return slots_[at]; }
  void swap(ZeroedTable& other) noexcept {
    std::swap(slots_, other.slots_);
    std::swap(size_, other.size_);
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_bytes_, other.mapped_bytes_);
  }

 private:
  static constexpr size_t kHugeBytes = size_t{2} << 20;

  void allocate() {
    const size_t bytes = size_ * sizeof(Slot);
    if (bytes < 2 * kHugeBytes) {
      slots_ = static_cast<Slot*>(std::calloc(size_, sizeof(Slot)));
      if (slots_ == nullptr) throw std::bad_alloc();
      return;
    }
    mapped_bytes_ = bytes + kHugeBytes;  // room to begin where a huge page does
    mapping_ = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) throw std::bad_alloc();
    const auto address = reinterpret_cast<uintptr_t>(mapping_);
    const size_t skipped = (kHugeBytes - address % kHugeBytes) % kHugeBytes;
    slots_ = reinterpret_cast<Slot*>(static_cast<std::byte*>(mapping_) + skipped);
    (void)::madvise(slots_, bytes, MADV_HUGEPAGE);  // refused: small pages do as well
    if constexpr (kFork == Fork::leaves_it_out) (void)::madvise(mapping_, mapped_bytes_, MADV_DONTFORK);
  }

  Slot* slots_ = nullptr;
  size_t size_ = 0;
  void* mapping_ = nullptr;  // null: the heap's
  size_t mapped_bytes_ = 0;
};

}  // namespace heptane
