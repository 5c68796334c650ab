// Numbers of 128 bits in a note (views.h) and in what is rendered of it. Pure.
#pragma once

#include <algorithm>
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
