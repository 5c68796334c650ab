// A sequence that grows and shrinks at its end, in chunks that never move: an element keeps its address, growth copies
// nothing. Elements are numbered from 0. All chunks but the first ask for huge pages.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernel/base/huge_allocator.h"

namespace heptane::fintech {

template <class T>
class Chunks {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](uint32_t index) { return chunks_[index / kPerChunk][index % kPerChunk]; }
  const T& operator[](uint32_t index) const { return chunks_[index / kPerChunk][index % kPerChunk]; }
  const T& back() const { return (*this)[size_ - 1]; }

  void push_back(const T& value) {
    if (size_ / kPerChunk == chunks_.size()) chunks_.push_back(make_chunk(chunks_.empty()));
    ::new (static_cast<void*>(&(*this)[size_++])) T(value);
  }
  void pop_back() { --size_; }
  void clear() {
    chunks_.clear();
    size_ = 0;
  }
  uint64_t memory_bytes() const { return chunks_.size() * kPerChunk * sizeof(T); }

 private:
  static constexpr size_t kChunkBytes = size_t{4} << 20;
  static constexpr size_t kPerChunk = std::bit_floor(kChunkBytes / sizeof(T));

  struct Free {
    bool small = true;
    void operator()(T* chunk) const {
      small ? std::allocator<T>().deallocate(chunk, kPerChunk) : HugeAllocator<T>().deallocate(chunk, kPerChunk);
    }
  };
  using Chunk = std::unique_ptr<T[], Free>;

  static Chunk make_chunk(bool small) {
    return Chunk(small ? std::allocator<T>().allocate(kPerChunk) : HugeAllocator<T>().allocate(kPerChunk), Free{small});
  }

  std::vector<Chunk> chunks_;
  uint32_t size_ = 0;
};

}  // namespace heptane::fintech
