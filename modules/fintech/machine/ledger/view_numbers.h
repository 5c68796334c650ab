// Numbers of 128 bits in a note (views.h) and in what is rendered of it. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include "kernel/base/bytes.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

inline void put_number(ByteWriter& out, Uint128 value) {
  uint8_t count = 0;
  for (Uint128 rest = value; rest != 0; rest >>= 8) ++count;
  out.u8(count);
  for (; value != 0; value >>= 8) out.u8(static_cast<uint8_t>(value));
}

// The numbers of one row, put together where they are and then appended at once. At most kBytesMax of them.
class NumberBytes {
 public:
  void number(Uint128 value) {
    const auto high = static_cast<uint64_t>(value >> 64);
    const auto low = static_cast<uint64_t>(value);
    const int bits = high != 0 ? 128 - __builtin_clzll(high) : low != 0 ? 64 - __builtin_clzll(low) : 0;
    const auto count = static_cast<uint8_t>((bits + 7) / 8);
    bytes_[size_++] = std::byte{count};
    store_le(&bytes_[size_], value);
    size_ += count;
  }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_[size_++] = static_cast<std::byte>(value | 0x80);
    bytes_[size_++] = static_cast<std::byte>(value);
  }
  void le(uint64_t value) {
    store_le(&bytes_[size_], value);
    size_ += sizeof value;
  }
  Bytes view() const { return Bytes(bytes_).first(size_); }

 private:
  static constexpr size_t kBytesMax = 256;  // of a transfer 6 x 17 + 7 x 10 + 8, and 16 that store_le may write beyond

  std::array<std::byte, kBytesMax> bytes_;
  size_t size_ = 0;
};

inline Uint128 get_number(ByteReader& reader) {
  const uint8_t count = reader.u8();
  if (count > sizeof(Uint128)) reader.fail();
  Uint128 value = 0;
  const Bytes bytes = reader.take(reader.failed() ? 0 : count);
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

inline std::string decimal(Uint128 value) {
  if (value >> 64 == 0) return std::to_string(static_cast<uint64_t>(value));
  std::string digits;
  for (; value != 0; value /= 10) digits += static_cast<char>('0' + static_cast<int>(value % 10));
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace heptane::fintech
