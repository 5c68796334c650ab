// 128-bit numbers and amounts as decimal text. An amount is a whole number of an asset's smallest units; its scale says how
// many of the digits stand behind the point (JPY 0, USD 2, KWD 3, BTC 8, ETH 18). Nothing is ever rounded.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

constexpr uint8_t kScaleMax = 38;  // 10^38 < 2^128

// Digits alone. None: something else, nothing, or 2^128 and more.
std::optional<Uint128> parse_number(std::string_view text);
std::string number_text(Uint128 number);

// `12.5` is 125 with one decimal. None: no such number.
struct Decimal {
  Uint128 digits = 0;
  uint8_t decimals = 0;
};
std::optional<Decimal> parse_decimal(std::string_view text);
// In units of the scale. None: it has more decimals than the scale, or does not fit.
std::optional<Uint128> scaled(const Decimal& decimal, uint8_t scale);
// With all decimals of the scale: `12.50`.
std::string amount_text(Uint128 amount, uint8_t scale);
// The same to where there is room for kAmountBytesMax; one behind its end. The scale is at most kScaleMax.
constexpr size_t kAmountBytesMax = 42;
char* write_amount(char* to, Uint128 amount, uint8_t scale);

}  // namespace heptane::fintech
