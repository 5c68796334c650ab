// Bytes: views, a reference-counted immutable buffer, and bounds-checked readers and writers for both byte orders.
// Views never own; whoever keeps bytes beyond a call keeps a Buffer. Buffer counts are atomic: a Buffer may be handed to
// another thread; its bytes must not be written once it is shared.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace heptane {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }
inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

template <class T>
T byte_swapped(T value) {
  if constexpr (sizeof(T) == 1)
    return value;
  else if constexpr (sizeof(T) == 2)
    return static_cast<T>(__builtin_bswap16(static_cast<uint16_t>(value)));
  else if constexpr (sizeof(T) == 4)
    return static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(value)));
  else
    return static_cast<T>(__builtin_bswap64(static_cast<uint64_t>(value)));
}

template <class T>
T load_le(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <class T>
T load_be(const std::byte* at) {
  return byte_swapped(load_le<T>(at));
}
template <class T>
void store_le(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
template <class T>
void store_be(std::byte* at, T value) {
  store_le(at, byte_swapped(value));
}
static_assert(std::endian::native == std::endian::little, "little-endian machines only");

// A view of bytes together with what keeps them alive. Copying shares.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<const void> owner, Bytes view) : owner_(std::move(owner)), view_(view) {}

  static Buffer copy_of(Bytes bytes);
  static Buffer copy_of(std::string_view text) { return copy_of(as_bytes(text)); }
  static Buffer take(std::vector<std::byte>&& bytes);
  static Buffer take(std::string&& text);
  // Not owned: the bytes must outlive every copy (literals, mapped files).
  static Buffer borrow(Bytes bytes) { return Buffer(nullptr, bytes); }

  Bytes view() const { return view_; }
  const std::byte* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }
  Buffer slice(size_t offset, size_t length) const { return Buffer(owner_, view_.subspan(offset, length)); }
  Buffer slice(size_t offset) const { return Buffer(owner_, view_.subspan(offset)); }

 private:
  std::shared_ptr<const void> owner_;
  Bytes view_;
};

// Reads forward; a read past the end sets failed() and yields zero or empty, so a parser checks once at its end.
// No read allocates; counts must be checked with `fits` before anything is reserved for them.
class ByteReader {
 public:
  explicit ByteReader(Bytes input) : input_(input) {}

  template <class T>
  T le() {
    return fixed<T, false>();
  }
  template <class T>
  T be() {
    return fixed<T, true>();
  }
  uint8_t u8() { return fixed<uint8_t, false>(); }
  Bytes take(size_t count);
  void skip(size_t count) { take(count); }
  // LEB128, at most 10 bytes; more, or bits beyond 64, fails.
  uint64_t varint();
  // Zigzag, as in Kafka's record format and Protocol Buffers.
  int64_t zigzag();

  // True when `count` items of at least `bytes_each` can still be in the input.
  bool fits(uint64_t count, size_t bytes_each) const { return bytes_each == 0 || count <= remaining() / bytes_each; }
  size_t remaining() const { return input_.size() - position_; }
  size_t position() const { return position_; }
  Bytes rest() const { return input_.subspan(position_); }
  bool failed() const { return failed_; }
  void fail() { failed_ = true; }
  // Everything read and nothing left over.
  bool complete() const { return !failed_ && remaining() == 0; }

 private:
  template <class T, bool big_endian>
  T fixed() {
    if (failed_ || remaining() < sizeof(T)) {
      failed_ = true;
      return T{};
    }
    const std::byte* at = input_.data() + position_;
    position_ += sizeof(T);
    return big_endian ? load_be<T>(at) : load_le<T>(at);
  }

  Bytes input_;
  size_t position_ = 0;
  bool failed_ = false;
};

// Appends to a growing vector.
class ByteWriter {
 public:
  template <class T>
  void le(T value) {
    store_le(grow(sizeof(T)), value);
  }
  template <class T>
  void be(T value) {
    store_be(grow(sizeof(T)), value);
  }
  void u8(uint8_t value) { *grow(1) = std::byte{value}; }
  void append(Bytes bytes) {
    if (!bytes.empty()) std::memcpy(grow(bytes.size()), bytes.data(), bytes.size());
  }
  void append(std::string_view text) { append(as_bytes(text)); }
  void zeros(size_t count) { out_.resize(out_.size() + count); }
  void varint(uint64_t value);
  void zigzag(int64_t value);

  size_t size() const { return out_.size(); }
  std::byte* at(size_t offset) { return out_.data() + offset; }
  Bytes view() const { return out_; }
  std::vector<std::byte> release() { return std::move(out_); }
  void clear() { out_.clear(); }
  void reserve(size_t size) { out_.reserve(size); }

 private:
  std::byte* grow(size_t count) {
    out_.resize(out_.size() + count);
    return out_.data() + out_.size() - count;
  }
  std::vector<std::byte> out_;
};

size_t varint_size(uint64_t value) noexcept;
inline uint64_t zigzag_encoded(int64_t value) noexcept {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}

}  // namespace heptane
