// Through how many rules a message has gone since it came over a bridge. Circles of rules within one server are refused when a rule is
// declared; those of two servers, one's rule feeding the other's over a bridge, are seen by nobody, so messages count: what a
// rule publishes of a message that came over a bridge has the count as the MQTT user property kHops, which bridges carry like any other.
// What would have more than kHopsMax is a dead letter. MQTT 3.1.1 has no properties: the count begins anew there. Pure.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>

namespace heptane::iot::rules {

constexpr std::string_view kHops = "heptane-hops";
constexpr uint8_t kHopsMax = 8;
constexpr const char* kTooManyHops =
    "it has gone through 8 rules since it came over a bridge: rules of several servers feed each other in a circle";

// What the property says: decimal digits; what is more than kHopsMax is one more, what is no number 0.
inline uint8_t hops_of(std::string_view text) {
  uint32_t hops = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hops);
  if (error == std::errc::result_out_of_range) return kHopsMax + 1;
  if (error != std::errc() || end != text.data() + text.size()) return 0;
  return static_cast<uint8_t>(std::min<uint32_t>(hops, kHopsMax + 1));
}

}  // namespace heptane::iot::rules
