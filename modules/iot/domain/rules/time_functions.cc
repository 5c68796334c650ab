// Functions of time (times.h), under the names that AWS IoT and EMQX have for them. Numbers are exact: nothing is rounded, but for
// what a unit cannot say.
#include <algorithm>
#include <array>

#include "modules/iot/domain/rules/function_parts.h"
#include "modules/iot/domain/rules/times.h"

namespace heptane::iot::rules {

namespace {

struct Unit {
  std::string_view name;
  Int128 ns;
  size_t digits;  // of a second's fraction
};
constexpr std::array<Unit, 4> kUnits = {
    {{"second", 1'000'000'000, 0}, {"millisecond", 1'000'000, 3}, {"microsecond", 1'000, 6}, {"nanosecond", 1, 9}}};

// EMQX's, with its default.
Result<Unit> unit_at(Arguments arguments, size_t at) {
  if (arguments.size() <= at) return kUnits[0];
  const auto name = text_at(arguments, at);
  if (!name) return name.error();
  const auto* const found =
      std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& one) { return one.name == *name; });
  if (found == kUnits.end()) return wrong_argument("a unit is second, millisecond, microsecond or nanosecond");
  return *found;
}

// Of so many units; what lies beyond every year is cut off, and found wrong later.
Result<Int128> moment_at(Arguments arguments, size_t at, Int128 unit_ns) {
  constexpr Int128 kFar = 1'000'000'000'000'000'000;  // seconds, or anything shorter
  const auto number = number_at(arguments, at);
  if (!number) return number.error();
  const auto count = whole(*number);
  if (!count) return wrong_argument("a time is a whole number: round() it");
  return std::clamp(*count, -kFar, kFar) * unit_ns;
}

// Towards the past.
Value in_units(Int128 ns, Int128 unit_ns) {
  const Int128 rest = (ns % unit_ns + unit_ns) % unit_ns;
  return Value::of(Decimal{(ns - rest) / unit_ns, 0});
}

// AWS's: a pattern, milliseconds, where.
Result<Value> parse_time(Arguments arguments, const Message&) {
  const auto pattern = text_at(arguments, 0);
  if (!pattern) return pattern.error();
  const auto moment = moment_at(arguments, 1, kNsPerMilli);
  if (!moment) return moment.error();
  std::optional<int64_t> offset = 0;
  if (arguments.size() > 2) {
    const auto zone = text_at(arguments, 2);
    if (!zone) return zone.error();
    offset = offset_of_zone(*zone);
    if (!offset) return wrong_argument("a zone is UTC or an offset such as +02:00: there are no names of zones");
  }
  Result<std::string> text = write_moment(*moment, *pattern, *offset);
  if (!text) return text.error();
  return Value::of(std::move(*text));
}

Result<Value> time_to_epoch(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto pattern = text_at(arguments, 1);
  if (!text) return text.error();
  if (!pattern) return pattern.error();
  const auto moment = read_moment(*text, *pattern);
  if (!moment) return moment.error();
  return in_units(*moment, kNsPerMilli);
}

Result<Value> rfc3339_to_unix_ts(Arguments arguments, const Message&) {
  const auto text = text_at(arguments, 0);
  const auto unit = unit_at(arguments, 1);
  if (!text) return text.error();
  if (!unit) return unit.error();
  const auto moment = read_rfc3339(*text);
  if (!moment) return moment.error();
  return in_units(*moment, unit->ns);
}

Result<Value> unix_ts_to_rfc3339(Arguments arguments, const Message&) {
  const auto unit = unit_at(arguments, 1);
  if (!unit) return unit.error();
  const auto moment = moment_at(arguments, 0, unit->ns);
  if (!moment) return moment.error();
  Result<std::string> text = write_rfc3339(*moment, unit->digits);
  if (!text) return text.error();
  return Value::of(std::move(*text));
}

// The record's own: of a message the log's when it was taken, the same whenever the rule is run.
Result<Value> timestamp(Arguments, const Message& message) { return Value::of(Decimal::of(message.timestamp_ms)); }

constexpr Function kFunctions[] = {
    {"timestamp", 0, 0, false, timestamp, true},
    {"now", 0, 0, false, timestamp, true},
    {"parse_time", 2, 3, false, parse_time},
    {"time_to_epoch", 2, 2, false, time_to_epoch},
    {"rfc3339_to_unix_ts", 1, 2, false, rfc3339_to_unix_ts},
    {"unix_ts_to_rfc3339", 1, 2, false, unix_ts_to_rfc3339},
};

}  // namespace

std::span<const Function> time_functions() { return kFunctions; }

}  // namespace heptane::iot::rules
