// Moments as texts, for the rules' SQL: RFC 3339, and patterns with the letters of AWS IoT's parse_time and time_to_epoch (Joda).
// A moment is nanoseconds since 1970 in UTC, years 0001 to 9999; there are offsets (+02:00) and no names of zones, whose rules
// change. Pure; any thread.
//
//   yyyy MM dd HH mm ss   digits, so many      S to SSSSSSSSS   so many digits of the second's fraction
//   Z ZZ   +0200 +02:00   '...'   a text, '' a quote   signs stand for themselves; any other letter is an error
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "modules/iot/domain/rules/decimal.h"

namespace heptane::iot::rules {

constexpr Int128 kNsPerMilli = 1'000'000;
constexpr size_t kPatternBytesMax = 64;

// Minutes east of UTC: `UTC`, `Z`, `+02:00`, `-0530`; less than a day.
std::optional<int64_t> offset_of_zone(std::string_view zone);

// What the pattern does not say is of 1970-01-01T00:00:00Z. Errc::invalid_argument.
Result<Int128> read_moment(std::string_view text, std::string_view pattern);
Result<std::string> write_moment(Int128 ns, std::string_view pattern, int64_t offset_minutes);

// A fraction has at most nine digits.
Result<Int128> read_rfc3339(std::string_view text);
// In UTC, with so many digits of the fraction: 0, 3, 6 or 9.
Result<std::string> write_rfc3339(Int128 ns, size_t digits);

}  // namespace heptane::iot::rules
