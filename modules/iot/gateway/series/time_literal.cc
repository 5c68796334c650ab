#include "modules/iot/gateway/series/time_literal.h"

#include <charconv>
#include <chrono>

#include "kernel/base/time_text.h"

namespace heptane::iot::series {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr size_t kFractionDigits = 9;

// Takes exactly so many digits.
bool take_number(std::string_view& text, size_t digits, int& into) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, into);
  if (error != std::errc() || end != text.data() + digits || into < 0) return false;
  text.remove_prefix(digits);
  return true;
}

bool take_sign(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

bool take_fraction(std::string_view& text, int64_t& ns) {
  if (!take_sign(text, ".")) return true;
  size_t digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++digits)
    if (digits < kFractionDigits) ns = ns * 10 + (text.front() - '0');
  for (size_t i = digits; i < kFractionDigits; ++i) ns *= 10;
  return digits > 0;
}

}  // namespace

std::optional<int64_t> parse_time(std::string_view text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  int64_t fraction = 0;
  const bool date = take_number(text, 4, year) && take_sign(text, "-") && take_number(text, 2, month) &&
                    take_sign(text, "-") && take_number(text, 2, day);
  if (!date) return std::nullopt;
  if (!text.empty()) {
    const bool time = take_sign(text, "T ") && take_number(text, 2, hour) && take_sign(text, ":") &&
                      take_number(text, 2, minute) && take_sign(text, ":") && take_number(text, 2, second) &&
                      take_fraction(text, fraction);
    take_sign(text, "Z");
    if (!time || !text.empty() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  }
  const std::chrono::year_month_day civil{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                          std::chrono::day(static_cast<unsigned>(day))};
  if (!civil.ok()) return std::nullopt;
  const int64_t days = std::chrono::sys_days(civil).time_since_epoch().count();
  const int64_t seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
  int64_t ns = 0;
  if (__builtin_mul_overflow(seconds, kSecondNs, &ns) || __builtin_add_overflow(ns, fraction, &ns)) return std::nullopt;
  return ns;
}

std::string rfc3339(int64_t ns) {
  std::string text = time_text(ns);
  text.pop_back();
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text + 'Z';
}

}  // namespace heptane::iot::series
