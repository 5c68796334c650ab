// Payloads of Sparkplug B as edge nodes write them, by the rules of Protocol Buffers and nothing of the server's. Test support.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace heptane::iot::test {

inline std::string varint(uint64_t value) {
  std::string out;
  while (value > 0x7F) {
    out += static_cast<char>((value & 0x7F) | 0x80);
    value >>= 7;
  }
  return out + static_cast<char>(value);
}
inline std::string number_field(uint32_t field, uint64_t value) { return varint(field << 3) + varint(value); }
inline std::string bytes_field(uint32_t field, std::string_view bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
inline std::string double_field(uint32_t field, double value) {
  std::string out = varint(field << 3 | 1);
  const auto bits = std::bit_cast<uint64_t>(value);
  for (int i = 0; i < 8; ++i) out += static_cast<char>(bits >> (8 * i));
  return out;
}
inline std::string float_field(uint32_t field, float value) {
  std::string out = varint(field << 3 | 5);
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(bits >> (8 * i));
  return out;
}

// A metric's parts.
inline std::string name_is(std::string_view name) { return bytes_field(1, name); }
inline std::string alias_is(uint64_t alias) { return number_field(2, alias); }
inline std::string time_is(uint64_t ms) { return number_field(3, ms); }
inline std::string type_is(uint32_t type) { return number_field(4, type); }
inline std::string whole_is(uint32_t value) { return number_field(10, value); }
inline std::string long_is(uint64_t value) { return number_field(11, value); }
inline std::string real_is(double value) { return double_field(13, value); }
inline std::string truth_is(bool value) { return number_field(14, value ? 1 : 0); }
inline std::string text_is(std::string_view value) { return bytes_field(15, value); }

inline std::string metric(std::string_view parts) { return bytes_field(2, parts); }
inline std::string at_ms(uint64_t ms) { return number_field(1, ms); }
inline std::string seq(uint64_t number) { return number_field(3, number); }

}  // namespace heptane::iot::test
