#include "modules/fintech/domain/fix/values.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace heptane::fix {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400;
constexpr size_t kShortMax = 18;  // characters of a decimal number whose digits fit 64 bits in any case
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

// Eight characters at once, the first one lowest.
uint64_t eight(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint64_t four(const char* at) {
  uint32_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Of one to eight characters, in the same order; zeros behind them. Pieces that overlap say the same where they do.
uint64_t up_to_eight(std::string_view text) {
  const size_t size = text.size();
  if (size == 8) return eight(text.data());
  if (size >= 4) return four(text.data()) | four(text.data() + size - 4) << (size - 4) * 8;
  const auto at = [&](size_t i) { return uint64_t{static_cast<unsigned char>(text[i])} << i * 8; };
  return at(0) | at(size / 2) | at(size - 1);
}

constexpr uint64_t of_each(uint64_t byte) { return byte * 0x0101010101010101u; }

// Whether each is a digit: the upper half is 3, and still is with 6 added to the lower one.
bool are_digits(uint64_t word) {
  constexpr uint64_t kUpper = of_each(0xF0);
  return ((word & kUpper) | ((word + of_each(0x06)) & kUpper) >> 4) == of_each(0x33);
}

// The highest bit of each byte that is this one.
uint64_t places_of(char c, uint64_t word) {
  constexpr uint64_t kLow = of_each(0x7F);
  const uint64_t other = word ^ of_each(static_cast<unsigned char>(c));
  return ~(((other & kLow) + kLow) | other | kLow);
}

// One to eight characters moved up, and '0' in front of them.
uint64_t with_zeros(uint64_t word, size_t size) {
  return size == 8 ? word : word << (8 - size) * 8 | of_each('0') >> size * 8;
}

// Of digits: at each byte the number that it and the next one make.
uint64_t pairs_of(uint64_t word) {
  word -= of_each('0');
  return word * 10 + (word >> 8);
}

constexpr uint32_t byte_of(uint64_t word, int i) { return static_cast<uint32_t>(word >> i * 8 & 0xFF); }

// Of eight digits: pairs, then fours, then all.
uint32_t number_of_eight(uint64_t word) {
  constexpr uint64_t kPairs = 0x000000FF000000FFu;
  word = pairs_of(word);
  return static_cast<uint32_t>(((word & kPairs) * 0x000F424000000064u + (word >> 16 & kPairs) * 0x0000271000000001u) >>
                               32);
}

bool all_digits(std::string_view text) {
  if (text.empty()) return false;
  if (text.size() <= 8) return are_digits(with_zeros(up_to_eight(text), text.size()));
  for (const char c : text)
    if (!is_digit(c)) return false;
  return true;
}

// A decimal number without its point.
struct Decimal {
  uint64_t number;
  size_t decimals;
};

// One to eight characters.
bool read_short_decimal(std::string_view value, Decimal& decimal) {
  uint64_t word = up_to_eight(value);
  const uint64_t points = places_of('.', word);
  size_t digits = value.size();
  decimal.decimals = 0;
  if (points != 0) {
    if ((points & (points - 1)) != 0 || digits == 1) return false;
    const size_t before = static_cast<size_t>(__builtin_ctzll(points)) / 8;
    const uint64_t low = (uint64_t{1} << before * 8) - 1;
    word = (word & low) | (word >> 8 & ~low);
    decimal.decimals = --digits - before;
  }
  word = with_zeros(word, digits);
  if (!are_digits(word)) return false;
  decimal.number = number_of_eight(word);
  return true;
}

std::string_view without_sign(std::string_view value) { return value[0] == '-' ? value.substr(1) : value; }

// Digits with at most one point among, before or behind them.
bool is_decimal(std::string_view value) {
  Decimal decimal;
  const std::string_view amount = without_sign(value);
  if (amount.size() <= 8) return !amount.empty() && read_short_decimal(amount, decimal);
  bool point = false;
  bool digit = false;
  for (const char c : amount) {
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

struct Date {
  uint32_t year;
  uint32_t month;
  uint32_t day;
};

// `20261130`.
bool read_date(std::string_view value, Date& date) {
  if (value.size() != 8 || !are_digits(eight(value.data()))) return false;
  const uint64_t pairs = pairs_of(eight(value.data()));
  date = {byte_of(pairs, 0) * 100 + byte_of(pairs, 2), byte_of(pairs, 4), byte_of(pairs, 6)};
  return date.month >= 1 && date.month <= 12 && date.day >= 1 && date.day <= days_of(date.year, date.month);
}

bool is_date(std::string_view value) {
  Date date;
  return read_date(value, date);
}

struct Clock {
  uint32_t second;    // of a day, up to 86,400 with a leap second
  uint32_t fraction;  // nanoseconds
};

// One to nine digits behind the point.
bool read_fraction(std::string_view digits, uint32_t& fraction) {
  if (digits.empty()) return false;
  const size_t first = std::min<size_t>(digits.size(), 8);
  const uint64_t word = with_zeros(up_to_eight(digits.substr(0, first)), first);
  if (!are_digits(word)) return false;
  fraction = number_of_eight(word) * static_cast<uint32_t>(kPowers[9 - first]);
  if (first == digits.size()) return true;
  fraction += digit_of(digits[8]);
  return is_digit(digits[8]);
}

// `04:05:06`, and a fraction of one to nine digits.
bool read_clock(std::string_view value, Clock& clock) {
  constexpr uint64_t kColons = uint64_t{':'} << 16 | uint64_t{':'} << 40;
  constexpr uint64_t kColonBytes = uint64_t{0xFF} << 16 | uint64_t{0xFF} << 40;
  constexpr uint64_t kZeros = uint64_t{'0'} << 16 | uint64_t{'0'} << 40;
  if (value.size() < 8 || value.size() > 18) return false;
  const uint64_t word = eight(value.data());
  const uint64_t digits = (word & ~kColonBytes) | kZeros;
  if ((word & kColonBytes) != kColons || !are_digits(digits)) return false;
  const uint64_t pairs = pairs_of(digits);
  const uint32_t hour = byte_of(pairs, 0);
  const uint32_t minute = byte_of(pairs, 3);
  if (hour > 23 || minute > 59 || byte_of(pairs, 6) > 60) return false;
  clock = {hour * 3'600 + minute * 60 + byte_of(pairs, 6), 0};
  return value.size() == 8 || (value[8] == '.' && read_fraction(value.substr(9), clock.fraction));
}

bool is_clock(std::string_view value) {
  Clock clock;
  return read_clock(value, clock);
}

bool read_timestamp(std::string_view value, Date& date, Clock& clock) {
  return value.size() >= 17 && value[8] == '-' && read_date(value.substr(0, 8), date) &&
         read_clock(value.substr(9), clock);
}

// `202611`, with a day `20261130`, with a week `202611w4`.
bool is_month_year(std::string_view value) {
  if (value.size() == 8 && value[6] == 'w')
    return is_month_year(value.substr(0, 6)) && value[7] >= '1' && value[7] <= '5';
  if (value.size() == 8) return is_date(value);
  if (value.size() != 6 || !all_digits(value)) return false;
  const uint32_t month = digit_of(value[4]) * 10 + digit_of(value[5]);
  return month >= 1 && month <= 12;
}

// Days from 1970, counted in eras of 400 years that begin in March.
constexpr int64_t days_before(const Date& date) {
  const int64_t year = int64_t{date.year} - (date.month <= 2 ? 1 : 0);
  const int64_t era = year / 400;
  const int64_t of_era = year - era * 400;
  const int64_t month = date.month <= 2 ? date.month + 9 : date.month - 3;
  const int64_t of_year = (153 * month + 2) / 5 + date.day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

constexpr Date date_of(int64_t days) {
  days += 719'468;
  const int64_t era = days / 146'097;
  const int64_t of_era = days - era * 146'097;
  const int64_t year = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const int64_t shifted = (5 * of_year + 2) / 153;
  const int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  const int64_t day = of_year - (153 * shifted + 2) / 5 + 1;
  return {static_cast<uint32_t>(year + era * 400 + (month <= 2 ? 1 : 0)), static_cast<uint32_t>(month),
          static_cast<uint32_t>(day)};
}

// Without a look at whether it fits: for at most 19 digits.
uint64_t short_number(std::string_view digits) {
  uint64_t number = 0;
  for (const char c : digits) number = number * 10 + digit_of(c);
  return number;
}

// At most 18 characters.
bool read_decimal(std::string_view value, Decimal& decimal) {
  if (value.size() <= 8) return read_short_decimal(value, decimal);
  if (!is_decimal(value)) return false;
  const size_t point = std::min(value.find('.'), value.size());
  decimal.number = short_number(value.substr(0, point));
  decimal.decimals = point < value.size() ? value.size() - point - 1 : 0;
  for (const char c : value.substr(value.size() - decimal.decimals)) decimal.number = decimal.number * 10 + digit_of(c);
  return true;
}

std::optional<uint64_t> scaled(const Decimal& decimal, size_t scale) {
  uint64_t number = 0;
  if (decimal.decimals <= scale) {
    if (__builtin_mul_overflow(decimal.number, kPowers[scale - decimal.decimals], &number)) return std::nullopt;
    return number;
  }
  const uint64_t more = kPowers[decimal.decimals - scale];
  return decimal.number % more == 0 ? std::optional(decimal.number / more) : std::nullopt;
}

std::optional<uint64_t> short_decimal(std::string_view value, size_t scale) {
  Decimal decimal;
  if (value.empty() || !read_decimal(value, decimal)) return std::nullopt;
  return scaled(decimal, scale);
}

// However many zeros there are behind the last decimal that counts.
std::optional<uint64_t> long_decimal(std::string_view value, int scale) {
  if (!is_decimal(value)) return std::nullopt;
  uint64_t number = 0;
  int missing = -1;  // decimals that are still to come; -1: before the point
  for (const char c : value) {
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
  if (__builtin_mul_overflow(number, kPowers[missing], &number)) return std::nullopt;
  return number;
}

bool is_timestamp(std::string_view value, Number& number) {
  Date date;
  Clock clock;
  if (!read_timestamp(value, date, clock)) return false;
  if (date.year < 1678 || date.year > 2261) return true;  // beyond what nanoseconds in 64 bits hold
  number = {(days_before(date) * kDay + clock.second) * kNsPerSecond + clock.fraction, 0, Number::Kind::time};
  return true;
}

bool is_decimal(std::string_view value, Number& number) {
  const std::string_view amount = without_sign(value);
  if (amount.size() > kShortMax) return is_decimal(value);
  Decimal decimal;
  if (amount.empty() || !read_decimal(amount, decimal)) return false;
  const auto whole = static_cast<int64_t>(decimal.number);
  number = {amount.size() == value.size() ? whole : -whole, static_cast<uint8_t>(decimal.decimals),
            Number::Kind::decimal};
  return true;
}

bool is_whole(std::string_view value, Number& number) {
  const auto whole = integer_of(value);
  if (!whole) return false;
  number = {*whole, 0, Number::Kind::whole};
  return true;
}

// Not negative; above 63 bits it is a number that is not kept.
bool is_number(std::string_view value, Number& number) {
  const auto whole = number_of(value);
  if (whole && *whole <= uint64_t{INT64_MAX}) number = {static_cast<int64_t>(*whole), 0, Number::Kind::whole};
  return whole.has_value();
}

void append_padded(std::string& out, int64_t value, int width) {
  char digits[20];
  for (int i = width; i > 0; --i, value /= 10) digits[i - 1] = static_cast<char>('0' + value % 10);
  out.append(digits, static_cast<size_t>(width));
}

}  // namespace

bool has_form(FieldType type, std::string_view value, Number& number) {
  switch (type) {
    case FieldType::text:
    case FieldType::texts:
    case FieldType::data: return true;
    case FieldType::character: return value.size() == 1;
    case FieldType::boolean: return value.size() == 1 && (value[0] == 'Y' || value[0] == 'N');
    case FieldType::integer: return is_whole(value, number);
    case FieldType::length:
    case FieldType::number:
    case FieldType::count: return is_number(value, number);
    case FieldType::decimal: return is_decimal(value, number);
    case FieldType::timestamp: return is_timestamp(value, number);
    case FieldType::time_only: return is_clock(value);
    case FieldType::date: return is_date(value);
    case FieldType::month_year: return is_month_year(value);
  }
  return false;
}

bool has_form(FieldType type, std::string_view value) {
  Number number;
  return has_form(type, value, number);
}

std::optional<int64_t> integer_of(std::string_view value) {
  if (value.empty()) return std::nullopt;
  const std::string_view digits = without_sign(value);
  const auto number = number_of(digits);
  const uint64_t most = digits.size() == value.size() ? uint64_t{INT64_MAX} : uint64_t{INT64_MAX} + 1;
  if (!number || *number > most) return std::nullopt;
  return static_cast<int64_t>(digits.size() == value.size() ? *number : 0 - *number);
}

std::optional<uint64_t> number_of(std::string_view value) {
  if (value.size() <= 8) {
    if (value.empty()) return std::nullopt;
    const uint64_t word = with_zeros(up_to_eight(value), value.size());
    return are_digits(word) ? std::optional<uint64_t>(number_of_eight(word)) : std::nullopt;
  }
  uint64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [at, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

std::optional<int64_t> decimal_of(std::string_view value, int scale) {
  if (value.empty()) return std::nullopt;
  const std::string_view amount = without_sign(value);
  if (amount.starts_with('-')) return std::nullopt;
  const auto number =
      amount.size() <= kShortMax ? short_decimal(amount, static_cast<size_t>(scale)) : long_decimal(amount, scale);
  if (!number || *number > uint64_t{INT64_MAX}) return std::nullopt;
  return value[0] == '-' ? -static_cast<int64_t>(*number) : static_cast<int64_t>(*number);
}

std::optional<int64_t> decimal_of(const Number& number, int scale) {
  const bool negative = number.value < 0;
  const uint64_t amount = negative ? 0 - static_cast<uint64_t>(number.value) : static_cast<uint64_t>(number.value);
  const auto found = scaled({amount, number.decimals}, static_cast<size_t>(scale));
  if (!found || *found > uint64_t{INT64_MAX}) return std::nullopt;
  return negative ? -static_cast<int64_t>(*found) : static_cast<int64_t>(*found);
}

std::optional<int64_t> timestamp_of(std::string_view value) {
  Number number;
  if (!is_timestamp(value, number) || number.kind != Number::Kind::time) return std::nullopt;
  return number.value;
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
