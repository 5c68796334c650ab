#include "modules/iot/domain/rules/times.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace heptane::iot::rules {

namespace {

constexpr Int128 kNsPerSecond = 1'000'000'000;
constexpr size_t kFractionDigits = 9;
constexpr int64_t kYearMax = 9'999;

// As it is read on a wall at this offset.
struct Civil {
  int64_t year = 1970;
  int64_t month = 1;
  int64_t day = 1;
  int64_t hour = 0;
  int64_t minute = 0;
  int64_t second = 0;
  int64_t nanos = 0;
  int64_t offset_minutes = 0;
};

Error wrong(std::string why) { return {Errc::invalid_argument, std::move(why)}; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_within(int64_t number, int64_t least, int64_t most) { return number >= least && number <= most; }

Result<Int128> moment_of(const Civil& civil) {
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(civil.year)),
                                         std::chrono::month(static_cast<unsigned>(civil.month)),
                                         std::chrono::day(static_cast<unsigned>(civil.day))};
  const bool good = is_within(civil.year, 1, kYearMax) && date.ok() && is_within(civil.hour, 0, 23) &&
                    is_within(civil.minute, 0, 59) && is_within(civil.second, 0, 59);
  if (!good) return wrong("there is no such date or time");
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t minutes = (days * 24 + civil.hour) * 60 + civil.minute - civil.offset_minutes;
  return Int128{minutes * 60 + civil.second} * kNsPerSecond + civil.nanos;
}

// Of years that have four digits there.
Result<Civil> civil_of(Int128 ns, int64_t offset_minutes) {
  static const Int128 first = *moment_of({.year = 1});
  static const Int128 last =
      *moment_of({.year = kYearMax, .month = 12, .day = 31, .hour = 23, .minute = 59, .second = 59});
  ns += Int128{offset_minutes} * 60 * kNsPerSecond;
  if (ns < first || ns > last + kNsPerSecond - 1) return wrong("the time is not of the years 0001 to 9999");
  Int128 seconds = ns / kNsPerSecond;
  if (ns % kNsPerSecond < 0) --seconds;
  const auto whole = static_cast<int64_t>(seconds);
  const int64_t days = (whole >= 0 ? whole : whole - 86'399) / 86'400;
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  const int64_t of_day = whole - days * 86'400;
  return Civil{static_cast<int>(date.year()),
               static_cast<unsigned>(date.month()),
               static_cast<unsigned>(date.day()),
               of_day / 3'600,
               of_day / 60 % 60,
               of_day % 60,
               static_cast<int64_t>(ns - seconds * kNsPerSecond),
               offset_minutes};
}

std::string digits_of(int64_t number, size_t width) {
  std::string text(width, '0');
  for (size_t at = width; at > 0; number /= 10) text[--at] = static_cast<char>('0' + number % 10);
  return text;
}

bool take_digits(std::string_view& text, size_t count, int64_t& into) {
  if (text.size() < count || !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(count), is_digit))
    return false;
  into = 0;
  for (const char c : text.substr(0, count)) into = into * 10 + (c - '0');
  text.remove_prefix(count);
  return true;
}

bool take_sign(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// Of a second: as many digits as are said, of nine.
bool take_fraction(std::string_view& text, size_t count, int64_t& nanos) {
  if (!take_digits(text, count, nanos)) return false;
  for (size_t i = count; i < kFractionDigits; ++i) nanos *= 10;
  return true;
}

// `Z`, `+02:00` or `+0200`.
bool take_offset(std::string_view& text, int64_t& minutes) {
  minutes = 0;
  if (take_sign(text, "Zz")) return true;
  const bool west = text.starts_with('-');
  int64_t hours = 0;
  int64_t rest = 0;
  if (!take_sign(text, "+-") || !take_digits(text, 2, hours)) return false;
  take_sign(text, ":");
  if (!take_digits(text, 2, rest) || rest > 59 || hours > 23) return false;
  minutes = (hours * 60 + rest) * (west ? -1 : 1);
  return true;
}

std::string offset_text(int64_t minutes, bool colon) {
  const int64_t far = minutes < 0 ? -minutes : minutes;
  return (minutes < 0 ? "-" : "+") + digits_of(far / 60, 2) + (colon ? ":" : "") + digits_of(far % 60, 2);
}

// A part of a pattern: a run of one letter, or a text.
struct Part {
  char letter = 0;  // 0: a text
  size_t count = 0;
  std::string text;
};

struct Letter {
  char letter;
  size_t count;
  int64_t Civil::*field;
};
constexpr std::array<Letter, 6> kLetters = {{{'y', 4, &Civil::year},
                                             {'M', 2, &Civil::month},
                                             {'d', 2, &Civil::day},
                                             {'H', 2, &Civil::hour},
                                             {'m', 2, &Civil::minute},
                                             {'s', 2, &Civil::second}}};
const Letter* find_letter(const Part& part) {
  const auto* const found =
      std::find_if(kLetters.begin(), kLetters.end(), [&](const Letter& one) { return one.letter == part.letter; });
  return found == kLetters.end() ? nullptr : found;
}

bool is_known(const Part& part) {
  if (const Letter* letter = find_letter(part)) return part.count == letter->count;
  if (part.letter == 'S') return part.count <= kFractionDigits;
  return part.letter == 'Z' && part.count <= 2;
}

// Behind its first quote; a quote within is written twice.
Result<Part> quoted_part(std::string_view& rest) {
  Part part;
  if (take_sign(rest, "'")) return Part{0, 0, "'"};
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == '\'' && !take_sign(rest, "'")) return part;
    part.text += c;
  }
  return wrong("the pattern's quote is not closed");
}

Result<Part> next_part(std::string_view& rest) {
  const char first = rest.front();
  if (take_sign(rest, "'")) return quoted_part(rest);
  const size_t run = std::min(rest.find_first_not_of(first), rest.size());
  if (!is_letter(first)) {
    rest.remove_prefix(1);
    return Part{0, 0, std::string(1, first)};
  }
  const Part part{first, run, {}};
  rest.remove_prefix(run);
  if (is_known(part)) return part;
  return wrong("the pattern has " + std::string(run, first) + ": there are yyyy MM dd HH mm ss S Z ZZ and 'texts'");
}

Result<std::vector<Part>> parts_of(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) return wrong("a pattern has at most 64 bytes");
  std::vector<Part> parts;
  while (!pattern.empty()) {
    Result<Part> part = next_part(pattern);
    if (!part) return part.error();
    parts.push_back(std::move(*part));
  }
  return parts;
}

bool take_part(std::string_view& text, const Part& part, Civil& civil) {
  if (const Letter* letter = find_letter(part)) return take_digits(text, part.count, civil.*letter->field);
  if (part.letter == 'S') return take_fraction(text, part.count, civil.nanos);
  if (part.letter == 'Z') return take_offset(text, civil.offset_minutes);
  if (!text.starts_with(part.text)) return false;
  text.remove_prefix(part.text.size());
  return true;
}

std::string text_of(const Part& part, const Civil& civil) {
  if (const Letter* letter = find_letter(part)) return digits_of(civil.*letter->field, part.count);
  if (part.letter == 'S') return digits_of(civil.nanos, kFractionDigits).substr(0, part.count);
  if (part.letter == 'Z') return offset_text(civil.offset_minutes, part.count == 2);
  return part.text;
}

}  // namespace

std::optional<int64_t> offset_of_zone(std::string_view zone) {
  if (zone == "UTC") return 0;
  int64_t minutes = 0;
  if (!take_offset(zone, minutes) || !zone.empty()) return std::nullopt;
  return minutes;
}

Result<Int128> read_moment(std::string_view text, std::string_view pattern) {
  const Result<std::vector<Part>> parts = parts_of(pattern);
  if (!parts) return parts.error();
  Civil civil;
  for (const Part& part : *parts)
    if (!take_part(text, part, civil)) return wrong("the text is no time of the pattern " + std::string(pattern));
  if (!text.empty()) return wrong("the text goes on behind the pattern " + std::string(pattern));
  return moment_of(civil);
}

Result<std::string> write_moment(Int128 ns, std::string_view pattern, int64_t offset_minutes) {
  const Result<std::vector<Part>> parts = parts_of(pattern);
  if (!parts) return parts.error();
  const Result<Civil> civil = civil_of(ns, offset_minutes);
  if (!civil) return civil.error();
  std::string text;
  for (const Part& part : *parts) text += text_of(part, *civil);
  return text;
}

Result<Int128> read_rfc3339(std::string_view text) {
  Civil civil;
  const bool begins = take_digits(text, 4, civil.year) && take_sign(text, "-") && take_digits(text, 2, civil.month) &&
                      take_sign(text, "-") && take_digits(text, 2, civil.day) && take_sign(text, "Tt ") &&
                      take_digits(text, 2, civil.hour) && take_sign(text, ":") && take_digits(text, 2, civil.minute) &&
                      take_sign(text, ":") && take_digits(text, 2, civil.second);
  if (begins && take_sign(text, ".")) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || digits > kFractionDigits || !take_fraction(text, digits, civil.nanos))
      return wrong("a fraction of a second has one to nine digits");
  }
  if (!begins || !take_offset(text, civil.offset_minutes) || !text.empty())
    return wrong("the text is no time as RFC 3339 writes it: 2026-11-30T12:00:00Z");
  return moment_of(civil);
}

Result<std::string> write_rfc3339(Int128 ns, size_t digits) {
  Result<std::string> text = write_moment(ns, "yyyy-MM-dd'T'HH:mm:ss", 0);
  if (!text) return text;
  const Int128 nanos = (ns % kNsPerSecond + kNsPerSecond) % kNsPerSecond;
  if (digits > 0) *text += '.' + digits_of(static_cast<int64_t>(nanos), kFractionDigits).substr(0, digits);
  return *text + 'Z';
}

}  // namespace heptane::iot::rules
