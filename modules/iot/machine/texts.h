// Texts of the broker's commands: their length as a u16, then their bytes. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernel/base/bytes.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot {

// What is longer than the length can say is cut off.
inline void put_text(ByteWriter& out, std::string_view text) {
  text = text.substr(0, UINT16_MAX);
  out.le<uint16_t>(static_cast<uint16_t>(text.size()));
  out.append(text);
}

inline std::string_view get_text(ByteReader& in) { return as_text(in.take(in.le<uint16_t>())); }

// One that goes into a record, so it must be valid text of at most so many bytes; else the reader has failed.
inline std::string_view get_text(ByteReader& in, size_t most) {
  const std::string_view text = get_text(in);
  if (text.size() > most || (!text.empty() && !valid_text(text))) in.fail();
  return text;
}

}  // namespace heptane::iot
