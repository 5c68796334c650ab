// Exact decimal numbers: what a rule reckons money with. A number is an integer of at most 36 digits and how many of them stand
// behind the point, at most 18. Nothing is rounded unless the caller says so; only division must, to 18 places, half to even. What
// would not fit is nullopt, never a wrong number. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::iot::rules {

__extension__ typedef __int128 Int128;  // NOLINT(modernize-use-using)

constexpr uint8_t kPlacesMax = 18;
constexpr uint8_t kDigitsMax = 36;

struct Decimal {
  Int128 digits = 0;
  uint8_t places = 0;  // digits behind the point

  static Decimal of(int64_t number) { return {number, 0}; }
  bool is_zero() const { return digits == 0; }
};

// As JSON writes numbers, the exponent included; nullopt: it is none, or does not fit.
std::optional<Decimal> parse_decimal(std::string_view text);
// The shortest form, without an exponent.
std::string to_text(const Decimal& number);
void append_text(std::string& out, const Decimal& number);

std::optional<Decimal> add(const Decimal& one, const Decimal& other);
std::optional<Decimal> subtract(const Decimal& one, const Decimal& other);
std::optional<Decimal> multiply(const Decimal& one, const Decimal& other);
// nullopt also when `other` is 0.
std::optional<Decimal> divide(const Decimal& one, const Decimal& other);
// What is left of a division towards zero; has the sign of `one`.
std::optional<Decimal> remainder(const Decimal& one, const Decimal& other);
// -1, 0, 1.
int compare(const Decimal& one, const Decimal& other);

enum class Rounding : uint8_t { half_away, half_even, to_zero, down, up };
Decimal rounded(const Decimal& number, uint8_t places, Rounding rounding);

// A number without a fraction, as an integer.
std::optional<Int128> whole(const Decimal& number);

}  // namespace heptane::iot::rules
