// Anonymous memory on page boundaries, for files opened past the page cache; given back to the system at the end.
#pragma once

#include <sys/mman.h>

#include "kernel/base/assert.h"
#include "kernel/base/bytes.h"

namespace heptane {

class AlignedBuffer {
 public:
  explicit AlignedBuffer(size_t bytes) : bytes_(bytes) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HEPTANE_ASSERT(memory != MAP_FAILED, "no memory for a file's buffer");
    data_ = static_cast<std::byte*>(memory);
  }
  ~AlignedBuffer() { ::munmap(data_, bytes_); }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }

 private:
  std::byte* data_;
  size_t bytes_;
};

}  // namespace heptane
