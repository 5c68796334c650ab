#include "modules/iot/domain/rules/decimal.h"

#include <algorithm>

namespace heptane::iot::rules {

namespace {

constexpr Int128 power(unsigned exponent) {
  Int128 result = 1;
  for (; exponent > 0; --exponent) result *= 10;
  return result;
}
constexpr Int128 kLimit = power(kDigitsMax);

Int128 magnitude(Int128 number) { return number < 0 ? -number : number; }

// |number| x 10^exponent stays below the limit.
std::optional<Int128> scaled(Int128 number, unsigned exponent) {
  if (number == 0) return 0;
  if (exponent > kDigitsMax || magnitude(number) >= power(kDigitsMax - exponent)) return std::nullopt;
  return number * power(exponent);
}

std::optional<Decimal> made(Int128 digits, uint8_t places) {
  if (magnitude(digits) >= kLimit) return std::nullopt;
  return Decimal{digits, places};
}

Decimal stripped(Decimal number) {
  while (number.places > 0 && number.digits % 10 == 0) {
    number.digits /= 10;
    --number.places;
  }
  return number;
}

bool goes_away(Int128 rest, Int128 unit, bool odd, bool negative, Rounding rounding) {
  const Int128 twice = 2 * rest;
  switch (rounding) {
    case Rounding::half_away: return twice >= unit;
    case Rounding::half_even: return twice > unit || (twice == unit && odd);
    case Rounding::to_zero: return false;
    case Rounding::down: return negative && rest > 0;
    case Rounding::up: return !negative && rest > 0;
  }
  return false;
}

// Both with the same places.
struct Aligned {
  Int128 one;
  Int128 other;
  uint8_t places;
};
std::optional<Aligned> aligned(const Decimal& one, const Decimal& other) {
  const uint8_t places = std::max(one.places, other.places);
  const auto first = scaled(one.digits, static_cast<unsigned>(places - one.places));
  const auto second = scaled(other.digits, static_cast<unsigned>(places - other.places));
  if (!first || !second) return std::nullopt;
  return Aligned{*first, *second, places};
}

// Cuts the digits off the front that are there.
std::string_view take_digits(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

std::optional<int> take_exponent(std::string_view& text) {
  if (text.empty() || (text.front() != 'e' && text.front() != 'E')) return 0;
  text.remove_prefix(1);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const std::string_view digits = take_digits(text);
  if (digits.empty() || digits.size() > 3) return std::nullopt;
  int exponent = 0;
  for (const char c : digits) exponent = exponent * 10 + (c - '0');
  return negative ? -exponent : exponent;
}

// The digits of both parts behind one another; nullopt: too many that count.
std::optional<Int128> joined(std::string_view before, std::string_view behind) {
  Int128 number = 0;
  for (const std::string_view part : {before, behind})
    for (const char c : part) {
      if (number >= kLimit / 10) return std::nullopt;
      number = number * 10 + (c - '0');
    }
  return number;
}

std::optional<Decimal> placed(Int128 digits, int places) {
  for (; places > 0 && digits % 10 == 0 && digits != 0; --places) digits /= 10;
  if (digits == 0) return Decimal{};
  if (places > kPlacesMax) return std::nullopt;
  if (places >= 0) return made(digits, static_cast<uint8_t>(places));
  const auto grown = scaled(digits, static_cast<unsigned>(-places));
  return grown ? std::optional(Decimal{*grown, 0}) : std::nullopt;
}

}  // namespace

std::optional<Decimal> parse_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::string_view before = take_digits(text);
  std::string_view behind;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    behind = take_digits(text);
    if (behind.empty()) return std::nullopt;
  }
  const auto exponent = take_exponent(text);
  if (before.empty() || !exponent || !text.empty()) return std::nullopt;
  while (behind.ends_with('0')) behind.remove_suffix(1);
  const auto digits = joined(before, behind);
  if (!digits) return std::nullopt;
  return placed(negative ? -*digits : *digits, static_cast<int>(behind.size()) - *exponent);
}

std::string to_text(const Decimal& number) {
  const Decimal plain = stripped(number);
  std::string digits;
  for (Int128 rest = magnitude(plain.digits); rest > 0 || digits.empty(); rest /= 10)
    digits += static_cast<char>('0' + static_cast<int>(rest % 10));
  while (digits.size() <= plain.places) digits += '0';
  if (plain.places > 0) digits.insert(plain.places, 1, '.');
  if (plain.digits < 0) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::optional<Decimal> add(const Decimal& one, const Decimal& other) {
  const auto both = aligned(one, other);
  return both ? made(both->one + both->other, both->places) : std::nullopt;
}

std::optional<Decimal> subtract(const Decimal& one, const Decimal& other) {
  return add(one, {-other.digits, other.places});
}

std::optional<Decimal> multiply(const Decimal& one, const Decimal& other) {
  const Decimal left = stripped(one);
  const Decimal right = stripped(other);
  if (left.is_zero() || right.is_zero()) return Decimal{};
  if (magnitude(left.digits) > (kLimit - 1) / magnitude(right.digits)) return std::nullopt;
  return placed(left.digits * right.digits, left.places + right.places);
}

// Digit by digit, so that nothing grows beyond the limit by more than one.
std::optional<Decimal> divide(const Decimal& one, const Decimal& other) {
  if (other.is_zero()) return std::nullopt;
  const auto both = aligned(one, other);
  if (!both) return std::nullopt;
  const Int128 divisor = magnitude(both->other);
  Int128 quotient = magnitude(both->one) / divisor;
  Int128 rest = magnitude(both->one) % divisor;
  const bool negative = (one.digits < 0) != (other.digits < 0);
  for (uint8_t place = 0; place < kPlacesMax; ++place) {
    if (quotient >= kLimit / 10) return std::nullopt;
    rest *= 10;
    quotient = quotient * 10 + rest / divisor;
    rest %= divisor;
  }
  if (goes_away(rest, divisor, quotient % 2 != 0, negative, Rounding::half_even)) ++quotient;
  const auto result = made(negative ? -quotient : quotient, kPlacesMax);
  return result ? std::optional(stripped(*result)) : std::nullopt;
}

std::optional<Decimal> remainder(const Decimal& one, const Decimal& other) {
  if (other.is_zero()) return std::nullopt;
  const auto both = aligned(one, other);
  return both ? std::optional(Decimal{both->one % both->other, both->places}) : std::nullopt;
}

// Numbers that cannot be brought to the same places differ in their whole parts.
int compare(const Decimal& one, const Decimal& other) {
  if (const auto both = aligned(one, other)) return both->one < both->other ? -1 : both->one > both->other ? 1 : 0;
  const Int128 left = one.digits / power(one.places);
  const Int128 right = other.digits / power(other.places);
  return left < right ? -1 : 1;
}

Decimal rounded(const Decimal& number, uint8_t places, Rounding rounding) {
  if (number.places <= places) return number;
  const Int128 unit = power(static_cast<unsigned>(number.places - places));
  const bool negative = number.digits < 0;
  Int128 kept = magnitude(number.digits) / unit;
  const Int128 rest = magnitude(number.digits) % unit;
  if (goes_away(rest, unit, kept % 2 != 0, negative, rounding)) ++kept;
  return {negative ? -kept : kept, places};
}

std::optional<Int128> whole(const Decimal& number) {
  const Decimal plain = stripped(number);
  return plain.places == 0 ? std::optional(plain.digits) : std::nullopt;
}

}  // namespace heptane::iot::rules
