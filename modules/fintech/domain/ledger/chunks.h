// A sequence that grows and shrinks at its end, in chunks that never move: an element keeps its address, growth copies
// nothing. Elements are numbered from 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace heptane::fintech {

template <class T, size_t kPerChunk>
class Chunks {
  static_assert((kPerChunk & (kPerChunk - 1)) == 0);

 public:
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](uint32_t index) { return chunks_[index / kPerChunk][index % kPerChunk]; }
  const T& operator[](uint32_t index) const { return chunks_[index / kPerChunk][index % kPerChunk]; }
  const T& back() const { return (*this)[size_ - 1]; }

  void push_back(const T& value) {
    if (size_ / kPerChunk == chunks_.size()) chunks_.push_back(std::make_unique_for_overwrite<T[]>(kPerChunk));
    (*this)[size_++] = value;
  }
  void pop_back() { (*this)[--size_] = T{}; }
  void clear() {
    chunks_.clear();
    size_ = 0;
  }
  uint64_t memory_bytes() const { return chunks_.size() * kPerChunk * sizeof(T); }

 private:
  std::vector<std::unique_ptr<T[]>> chunks_;
  uint32_t size_ = 0;
};

}  // namespace heptane::fintech
