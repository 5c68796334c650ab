// The content of one file as a map of offset → bytes that lie elsewhere (in the mapped journal), so that a model of
// gigabytes of writes copies nothing. Invariant: extents do not overlap; what no extent covers reads as zeroes. Extents behind
// size() are invisible until it grows, and truncate() drops them. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace powercut {

class Extents {
 public:
  struct Extent {
    uint64_t bytes;
    const std::byte* data;
  };

  uint64_t size() const { return size_; }
  const std::map<uint64_t, Extent>& extents() const { return extents_; }

  // data null: zeroes. Does not change the size: call `grow` for that.
  void put(uint64_t offset, uint64_t bytes, const std::byte* data);
  void grow(uint64_t size) { size_ = size > size_ ? size : size_; }
  void truncate(uint64_t size);

 private:
  void clear(uint64_t offset, uint64_t bytes);

  std::map<uint64_t, Extent> extents_;
  uint64_t size_ = 0;
};

}  // namespace powercut
