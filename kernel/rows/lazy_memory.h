// Memory that begins as zeros and costs what is written to, a small page at a time: for caches that may be large and lie
// anywhere in it. Not in huge pages, of which one byte costs 2 MiB and the time to clear them. A forked child finds zeros, so that
// nothing is copied for its sake. Moved, never copied. Any thread.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "kernel/base/result.h"

namespace heptane::rows {

class LazyMemory {
 public:
  static Result<LazyMemory> map(size_t bytes) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
    if (data == MAP_FAILED)
      return Error{Errc::refused, "the system has no memory for a cache of " + std::to_string(bytes) + " bytes"};
    // Refused: it costs more, nothing else changes.
    (void)::madvise(data, bytes, MADV_NOHUGEPAGE);
    (void)::madvise(data, bytes, MADV_WIPEONFORK);
    return LazyMemory(static_cast<std::byte*>(data), bytes);
  }

  LazyMemory() = default;
  LazyMemory(LazyMemory&& other) noexcept { swap(other); }
  LazyMemory& operator=(LazyMemory&& other) noexcept {
    LazyMemory(std::move(other)).swap(*this);
    return *this;
  }
  ~LazyMemory() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }

  std::byte* data() const { return data_; }
  // It is zeros again, and costs nothing.
  void clear() {
    if (data_ != nullptr && ::madvise(data_, bytes_, MADV_DONTNEED) != 0) std::memset(data_, 0, bytes_);
  }
  void swap(LazyMemory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  LazyMemory(std::byte* data, size_t bytes) : data_(data), bytes_(bytes) {}

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace heptane::rows
