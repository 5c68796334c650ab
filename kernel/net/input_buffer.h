// Bytes of an unfinished message. Empty, it owns nothing: the idle connection's case. Growing does not clear memory. What
// was handed out by share() is never written to again: bytes are only ever put behind what is there, or into new memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "kernel/base/bytes.h"

namespace heptane::net {

class InputBuffer {
 public:
  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  Bytes view() const { return {data_.get() + begin_, size()}; }

  void append(Bytes bytes) {
    if (bytes.empty()) return;
    if (capacity_ - end_ < bytes.size()) move_to(size() + bytes.size());
    std::memcpy(data_.get() + end_, bytes.data(), bytes.size());
    commit(bytes.size());
  }

  // At most `bytes` of space behind the content, never none; grows by `bytes` only when it is full. What is written there
  // counts after commit().
  MutableBytes tail(size_t bytes) {
    if (capacity_ == end_) move_to(size() + bytes);
    return {data_.get() + end_, std::min<size_t>(bytes, capacity_ - end_)};
  }
  void commit(size_t bytes) { end_ += static_cast<uint32_t>(bytes); }

  // A part of what view() showed before anything was consumed behind it, without a copy; nothing when the part lies
  // elsewhere or would pin much more memory than it has bytes.
  std::optional<Buffer> share(Bytes part) const {
    const std::byte* first = data_.get();
    if (part.data() < first || part.data() + part.size() > first + end_ || part.size() < capacity_ / 2)
      return std::nullopt;
    return Buffer(data_, part);
  }

  // Gives memory back when nothing is left, or little of much.
  void consume(size_t bytes) {
    begin_ += static_cast<uint32_t>(bytes);
    if (empty()) {
      *this = InputBuffer();
    } else if (size() < capacity_ / 4) {
      move_to(size());
    }
  }

 private:
  void move_to(size_t capacity) {
    auto larger = std::make_shared_for_overwrite<std::byte[]>(capacity);
    if (!empty()) std::memcpy(larger.get(), data_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
    capacity_ = static_cast<uint32_t>(capacity);
    data_ = std::move(larger);
  }

  std::shared_ptr<std::byte[]> data_;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace heptane::net
