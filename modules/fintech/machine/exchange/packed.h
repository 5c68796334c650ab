// Plain structs as bytes and back, from one list of their fields: commands, rows of answers and of snapshots. A struct T has
// beside it
//     template <class A, Same<T> S> void fields(A& a, S& t) { a(t.x, t.y); }
// Little-endian; texts (u16), lists (u32) with their length, enumerations as u8, what is optional behind a u8. Equal values,
// equal bytes. Reading never allocates more than the bytes can hold, and refuses enumerators that there are not. Any thread.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"
#include "modules/fintech/domain/exchange/instrument.h"

namespace heptane::fintech::exchange {

template <class S, class T>
concept Same = std::same_as<std::remove_const_t<S>, T>;

// The last enumerator; every enumeration that is packed says its own.
template <class E>
constexpr uint8_t kLast = 0;

template <class T>
constexpr bool kWide = std::is_same_v<T, Uint128> || std::is_same_v<T, Int128>;

class Packer {
 public:
  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  size_t size() const { return size_; }
  Bytes view() const { return Bytes(out_).first(size_); }
  // Before fields at the end of a payload that may lack: those of a later program, told only where there is something to tell.
  static bool goes_on(bool more) { return more; }
  void clear() { size_ = 0; }
  std::vector<std::byte> release() {
    out_.resize(size_);
    return std::move(out_);
  }

 private:
  void put(const std::string& text) {
    const size_t size = std::min<size_t>(text.size(), UINT16_MAX);
    put_le(static_cast<uint16_t>(size));
    std::memcpy(grow(size), text.data(), size);
  }
  template <class T>
  void put(const std::vector<T>& list) {
    put_le(static_cast<uint32_t>(list.size()));
    for (const T& one : list) put(one);
  }
  template <class T>
  void put(const std::optional<T>& value) {
    put_le(static_cast<uint8_t>(value ? 1 : 0));
    if (value) put(*value);
  }
  template <class T>
  void put(const T& value) {
    if constexpr (std::is_enum_v<T> || std::is_same_v<T, bool>) {
      put_le(static_cast<uint8_t>(value));
    } else if constexpr (kWide<T> || std::is_integral_v<T>) {
      put_le(value);
    } else {
      fields(*this, value);
    }
  }

  template <class T>
  void put_le(T value) {
    store_le(grow(sizeof value), value);
  }
  // In steps: a value at a time is mostly a few bytes.
  std::byte* grow(size_t bytes) {
    constexpr size_t kFirst = 256;
    if (out_.size() - size_ < bytes) out_.resize(std::max({kFirst, 2 * out_.size(), size_ + bytes}));
    std::byte* const at = out_.data() + size_;
    size_ += bytes;
    return at;
  }

  std::vector<std::byte> out_;  // the first size_ of them
  size_t size_ = 0;
};

class Unpacker {
 public:
  explicit Unpacker(Bytes bytes) : in_(bytes) {}
  template <class... T>
  void operator()(T&... values) {
    (take(values), ...);
  }
  bool complete() const { return in_.complete(); }
  bool failed() const { return in_.failed(); }
  bool at_end() const { return in_.remaining() == 0; }
  bool goes_on(bool) const { return !at_end(); }

 private:
  void take(std::string& text) { text = as_text(in_.take(in_.le<uint16_t>())); }
  template <class T>
  void take(std::vector<T>& list) {
    const auto count = in_.le<uint32_t>();
    if (!in_.fits(count, 1)) in_.fail();
    list.clear();
    for (uint32_t i = 0; i < count && !in_.failed(); ++i) take(list.emplace_back());
  }
  template <class T>
  void take(std::optional<T>& value) {
    value.reset();
    if (flag()) take(value.emplace());
  }
  template <class T>
  void take(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      value = flag();
    } else if constexpr (std::is_enum_v<T>) {
      const uint8_t number = in_.u8();
      if (number > kLast<T>) in_.fail();
      value = in_.failed() ? T{} : static_cast<T>(number);
    } else if constexpr (kWide<T>) {
      const auto low = in_.le<uint64_t>();
      value = static_cast<T>(Uint128{in_.le<uint64_t>()} << 64 | low);
    } else if constexpr (std::is_integral_v<T>) {
      value = in_.le<T>();
    } else {
      fields(*this, value);
    }
  }
  bool flag() {
    const uint8_t byte = in_.u8();
    if (byte > 1) in_.fail();
    return byte == 1;
  }

  ByteReader in_;
};

template <class T>
Buffer packed(const T& value) {
  Packer packer;
  packer(value);
  return Buffer::take(packer.release());
}

// None: something else, or more.
template <class T>
std::optional<T> unpacked(Bytes bytes) {
  T value{};
  Unpacker unpacker(bytes);
  unpacker(value);
  if (!unpacker.complete()) return std::nullopt;
  return value;
}

}  // namespace heptane::fintech::exchange
