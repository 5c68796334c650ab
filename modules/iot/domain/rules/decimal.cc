#include "modules/iot/domain/rules/decimal.h"

#include <algorithm>
#include <array>

namespace heptane::iot::rules {

namespace {

constexpr auto kPowers = [] {
  std::array<Int128, kDigitsMax + 1> powers{1};
  for (size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();
// At most kDigitsMax.
constexpr Int128 power(unsigned exponent) { return kPowers[exponent]; }
constexpr Int128 kLimit = power(kDigitsMax);
// Factors below it have a product below the limit.
constexpr Int128 kHalfLimit = power(kDigitsMax / 2);

Int128 magnitude(Int128 number) { return number < 0 ? -number : number; }

// Most numbers have fewer than 64 bits, and of those the processor takes digits much faster.
bool is_short(Int128 number) { return number == static_cast<int64_t>(number); }

// Takes zeros off the end, `most` at most; returns how many.
template <class Number>
int take_zeros(Number& number, int most) {
  int taken = 0;
  for (; taken < most && number % 10 == 0; ++taken) number /= 10;
  return taken;
}

int strip_zeros(Int128& number, int most) {
  if (!is_short(number)) return take_zeros(number, most);
  auto small = static_cast<int64_t>(number);
  const int taken = take_zeros(small, most);
  number = small;
  return taken;
}

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
  number.places = static_cast<uint8_t>(number.places - strip_zeros(number.digits, number.places));
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
  const auto end = std::find_if_not(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  const std::string_view digits(text.begin(), end);
  text.remove_prefix(digits.size());
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
  if (digits == 0) return Decimal{};
  places -= strip_zeros(digits, places);
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

namespace {

// A sign, digits and a point.
constexpr size_t kTextMax = kDigitsMax + 3;

// In front of `at`, the last one first, and at least `least` of them.
template <class Number>
char* put_digits(char* at, Number number, int least) {
  for (; number > 0 || least > 0; number /= 10, --least) *--at = static_cast<char>('0' + static_cast<int>(number % 10));
  return at;
}

template <class Number>
char* put_parts(char* at, Number number, int places) {
  if (places == 0) return put_digits(at, number, 1);
  auto unit = static_cast<Number>(power(static_cast<unsigned>(places)));
  at = put_digits(at, static_cast<Number>(number % unit), places);
  *--at = '.';
  return put_digits(at, static_cast<Number>(number / unit), 1);
}

}  // namespace

void append_text(std::string& out, const Decimal& number) {
  const Decimal plain = stripped(number);
  const Int128 whole = magnitude(plain.digits);
  std::array<char, kTextMax> text;
  char* const end = text.data() + text.size();
  char* at =
      is_short(whole) ? put_parts(end, static_cast<int64_t>(whole), plain.places) : put_parts(end, whole, plain.places);
  if (plain.digits < 0) *--at = '-';
  out.append(at, end);
}

std::string to_text(const Decimal& number) {
  std::string out;
  append_text(out, number);
  return out;
}

std::optional<Decimal> add(const Decimal& one, const Decimal& other) {
  const auto both = aligned(one, other);
  return both ? made(both->one + both->other, both->places) : std::nullopt;
}

std::optional<Decimal> subtract(const Decimal& one, const Decimal& other) {
  return add(one, {-other.digits, other.places});
}

std::optional<Decimal> multiply(const Decimal& one, const Decimal& other) {
  const bool small = magnitude(one.digits) < kHalfLimit && magnitude(other.digits) < kHalfLimit;
  if (small) return placed(one.digits * other.digits, one.places + other.places);
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
  if (number.places == 0) return number.digits;
  const Decimal plain = stripped(number);
  return plain.places == 0 ? std::optional(plain.digits) : std::nullopt;
}

}  // namespace heptane::iot::rules
