#include "kernel/cli/position.h"

#include <charconv>
#include <ctime>

namespace heptane::cli {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

template <class T>
bool parse_digits(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() && text.front() != '-';
}

// `.5` is 500,000,000; empty is 0.
std::optional<int64_t> parse_fraction(std::string_view text) {
  if (text.empty()) return 0;
  if (text.front() != '.' || text.size() < 2 || text.size() > 10) return std::nullopt;
  int64_t value = 0;
  if (!parse_digits(text.substr(1), value)) return std::nullopt;
  for (size_t digits = text.size() - 1; digits < 9; ++digits) value *= 10;
  return value;
}

}  // namespace

std::optional<Position> parse_position(const std::string& text) {
  const size_t colon = text.find(':');
  Position position;
  if (colon == std::string::npos || !parse_digits(std::string_view(text).substr(0, colon), position.shard) ||
      !parse_digits(std::string_view(text).substr(colon + 1), position.sequence))
    return std::nullopt;
  return position;
}

std::optional<LogTime> parse_time(const std::string& text) {
  std::tm fields{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &fields);
  if (rest == nullptr || !text.ends_with('Z')) return std::nullopt;
  const std::string_view fraction(rest, static_cast<size_t>(text.c_str() + text.size() - 1 - rest));
  const std::optional<int64_t> nanoseconds = parse_fraction(fraction);
  const int64_t seconds = ::timegm(&fields);
  if (!nanoseconds || seconds < 0 || seconds > INT64_MAX / kSecondNs - 1) return std::nullopt;
  return seconds * kSecondNs + *nanoseconds;
}

}  // namespace heptane::cli
