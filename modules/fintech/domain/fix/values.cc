#include "modules/fintech/domain/fix/values.h"

#include <charconv>

namespace heptane::fix {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400;
constexpr uint64_t kPowers[] = {1,
                                10,
                                100,
                                1'000,
                                10'000,
                                100'000,
                                1'000'000,
                                10'000'000,
                                100'000'000,
                                1'000'000'000,
                                10'000'000'000,
                                100'000'000'000,
                                1'000'000'000'000,
                                10'000'000'000'000,
                                100'000'000'000'000,
                                1'000'000'000'000'000,
                                10'000'000'000'000'000,
                                100'000'000'000'000'000,
                                1'000'000'000'000'000'000};

constexpr uint32_t digit_of(char c) { return static_cast<uint32_t>(c) - '0'; }
constexpr bool is_digit(char c) { return digit_of(c) <= 9; }

bool all_digits(std::string_view text) {
  for (const char c : text)
    if (!is_digit(c)) return false;
  return !text.empty();
}

// Of digits only, as many as fit.
uint32_t small(std::string_view digits) {
  uint32_t value = 0;
  for (const char c : digits) value = value * 10 + digit_of(c);
  return value;
}

std::string_view without_sign(std::string_view value) { return value[0] == '-' ? value.substr(1) : value; }

// Digits with at most one point among, before or behind them.
bool is_decimal(std::string_view value) {
  bool point = false;
  bool digit = false;
  for (const char c : without_sign(value)) {
    if (is_digit(c)) {
      digit = true;
    } else if (c == '.' && !point) {
      point = true;
    } else {
      return false;
    }
  }
  return digit;
}

constexpr bool is_leap(uint32_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

constexpr uint32_t days_of(uint32_t year, uint32_t month) {
  constexpr uint8_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap(year) ? 29 : kDays[month - 1];
}

// `20261130`.
bool is_date(std::string_view value) {
  if (value.size() != 8 || !all_digits(value)) return false;
  const uint32_t month = small(value.substr(4, 2));
  if (month < 1 || month > 12) return false;
  const uint32_t day = small(value.substr(6));
  return day >= 1 && day <= days_of(small(value.substr(0, 4)), month);
}

bool is_two(std::string_view value, size_t at) { return is_digit(value[at]) && is_digit(value[at + 1]); }
uint32_t two(std::string_view value, size_t at) { return digit_of(value[at]) * 10 + digit_of(value[at + 1]); }

// `04:05:06`, and a fraction of one to nine digits.
bool is_clock(std::string_view value) {
  if (value.size() < 8 || value.size() > 18 || value[2] != ':' || value[5] != ':') return false;
  if (!is_two(value, 0) || !is_two(value, 3) || !is_two(value, 6)) return false;
  if (two(value, 0) > 23 || two(value, 3) > 59 || two(value, 6) > 60) return false;
  return value.size() == 8 || (value[8] == '.' && all_digits(value.substr(9)));
}

bool is_timestamp(std::string_view value) {
  return value.size() >= 17 && value[8] == '-' && is_date(value.substr(0, 8)) && is_clock(value.substr(9));
}

// `202611`, with a day `20261130`, with a week `202611w4`.
bool is_month_year(std::string_view value) {
  if (value.size() == 8 && value[6] == 'w')
    return is_month_year(value.substr(0, 6)) && value[7] >= '1' && value[7] <= '5';
  if (value.size() == 8) return is_date(value);
  if (value.size() != 6 || !all_digits(value)) return false;
  const uint32_t month = small(value.substr(4));
  return month >= 1 && month <= 12;
}

// Howard Hinnant's days_from_civil and its inverse count the same days: from 1970, in eras of 400 years that begin in March.
constexpr int64_t days_before(int64_t year, uint32_t month, uint32_t day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = year / 400;
  const int64_t of_era = year - era * 400;
  const int64_t of_year = (153 * (int64_t{month} + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

struct Date {
  int64_t year;
  int64_t month;
  int64_t day;
};

Date date_of(int64_t days) {
  days += 719'468;
  const int64_t era = days / 146'097;
  const int64_t of_era = days - era * 146'097;
  const int64_t year = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const int64_t shifted = (5 * of_year + 2) / 153;
  const int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {year + era * 400 + (month <= 2 ? 1 : 0), month, of_year - (153 * shifted + 2) / 5 + 1};
}

void append_padded(std::string& out, int64_t value, int width) {
  char digits[20];
  for (int i = width; i > 0; --i, value /= 10) digits[i - 1] = static_cast<char>('0' + value % 10);
  out.append(digits, static_cast<size_t>(width));
}

}  // namespace

bool has_form(FieldType type, std::string_view value) {
  switch (type) {
    case FieldType::text:
    case FieldType::texts:
    case FieldType::data: return true;
    case FieldType::character: return value.size() == 1;
    case FieldType::boolean: return value.size() == 1 && (value[0] == 'Y' || value[0] == 'N');
    case FieldType::integer: return all_digits(without_sign(value));
    case FieldType::length:
    case FieldType::number:
    case FieldType::count: return all_digits(value);
    case FieldType::decimal: return is_decimal(value);
    case FieldType::timestamp: return is_timestamp(value);
    case FieldType::time_only: return is_clock(value);
    case FieldType::date: return is_date(value);
    case FieldType::month_year: return is_month_year(value);
  }
  return false;
}

std::optional<int64_t> integer_of(std::string_view value) {
  int64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [at, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

std::optional<uint64_t> number_of(std::string_view value) {
  uint64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [at, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

std::optional<int64_t> decimal_of(std::string_view value, int scale) {
  if (value.empty() || !is_decimal(value)) return std::nullopt;
  uint64_t number = 0;
  int missing = -1;  // decimals that are still to come; -1: before the point
  for (const char c : without_sign(value)) {
    if (c == '.') {
      missing = scale;
      continue;
    }
    if (missing == 0) {
      if (c != '0') return std::nullopt;
      continue;
    }
    if (__builtin_mul_overflow(number, uint64_t{10}, &number) || __builtin_add_overflow(number, digit_of(c), &number))
      return std::nullopt;
    if (missing > 0) --missing;
  }
  if (missing < 0) missing = scale;
  if (__builtin_mul_overflow(number, kPowers[missing], &number) || number > uint64_t{INT64_MAX}) return std::nullopt;
  return value[0] == '-' ? -static_cast<int64_t>(number) : static_cast<int64_t>(number);
}

std::optional<int64_t> timestamp_of(std::string_view value) {
  if (!is_timestamp(value)) return std::nullopt;
  const int64_t year = small(value.substr(0, 4));
  if (year < 1678 || year > 2261) return std::nullopt;  // what nanoseconds in 64 bits hold
  const int64_t days = days_before(year, two(value, 4), two(value, 6));
  const int64_t seconds = days * kDay + two(value, 9) * 3'600 + two(value, 12) * 60 + two(value, 15);
  int64_t fraction = 0;
  if (value.size() > 18) fraction = static_cast<int64_t>(small(value.substr(18)) * kPowers[9 - (value.size() - 18)]);
  return seconds * kNsPerSecond + fraction;
}

std::optional<bool> boolean_of(std::string_view value) {
  if (!has_form(FieldType::boolean, value)) return std::nullopt;
  return value[0] == 'Y';
}

void append_integer(std::string& out, int64_t value) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, static_cast<size_t>(end - digits));
}

void append_decimal(std::string& out, int64_t value, int scale) {
  const uint64_t amount = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  if (value < 0) out += '-';
  append_integer(out, static_cast<int64_t>(amount / kPowers[scale]));
  if (scale == 0) return;
  out += '.';
  append_padded(out, static_cast<int64_t>(amount % kPowers[scale]), scale);
}

void append_timestamp(std::string& out, int64_t time_ns, int digits) {
  int64_t seconds = time_ns / kNsPerSecond;
  if (time_ns % kNsPerSecond < 0) --seconds;
  const int64_t fraction = time_ns - seconds * kNsPerSecond;
  int64_t days = seconds / kDay;
  if (seconds % kDay < 0) --days;
  const int64_t of_day = seconds - days * kDay;
  const Date date = date_of(days);
  append_padded(out, date.year, 4);
  append_padded(out, date.month, 2);
  append_padded(out, date.day, 2);
  out += '-';
  append_padded(out, of_day / 3'600, 2);
  out += ':';
  append_padded(out, of_day / 60 % 60, 2);
  out += ':';
  append_padded(out, of_day % 60, 2);
  if (digits == 0) return;
  out += '.';
  append_padded(out, fraction / static_cast<int64_t>(kPowers[9 - digits]), digits);
}

}  // namespace heptane::fix
