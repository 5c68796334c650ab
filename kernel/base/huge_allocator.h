// An allocator for the large tables of machines: from 4 MiB on it asks for huge pages, so that a random access costs one
// miss of the address translation less. Smaller ones are the standard allocator's. Stateless; any thread.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

namespace heptane {

template <class T>
class HugeAllocator {
 public:
  using value_type = T;
  HugeAllocator() = default;
  template <class U>
  HugeAllocator(const HugeAllocator<U>&) {}

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes < kHugeFrom) return std::allocator<T>().allocate(count);
    const size_t rounded = (bytes + kHugeBytes - 1) / kHugeBytes * kHugeBytes;
    void* memory = std::aligned_alloc(kHugeBytes, rounded);
    if (memory == nullptr) throw std::bad_alloc();
    (void)::madvise(memory, rounded, MADV_HUGEPAGE);  // refused: small pages do as well
    return static_cast<T*>(memory);
  }
  // resize() leaves what it adds as it comes: whoever restores a table fills it.
  template <class U>
  void construct(U* at) {
    ::new (static_cast<void*>(at)) U;
  }
  template <class U, class... Arguments>
  void construct(U* at, Arguments&&... arguments) {
    ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
  }
  void deallocate(T* memory, size_t count) {
    if (count * sizeof(T) < kHugeFrom) return std::allocator<T>().deallocate(memory, count);
    std::free(memory);
  }
  friend bool operator==(const HugeAllocator&, const HugeAllocator&) { return true; }

 private:
  static constexpr size_t kHugeBytes = size_t{2} << 20;
  static constexpr size_t kHugeFrom = 2 * kHugeBytes;
};

}  // namespace heptane
