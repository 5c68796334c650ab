#include "modules/fintech/domain/ledger/amount.h"

#include <algorithm>

namespace heptane::fintech {

namespace {

bool append_digit(Uint128& number, uint8_t digit) {
  return !__builtin_mul_overflow(number, Uint128{10}, &number) &&
         !__builtin_add_overflow(number, Uint128{digit}, &number);
}

}  // namespace

std::optional<Uint128> parse_number(std::string_view text) {
  const std::optional<Decimal> decimal = parse_decimal(text);
  if (!decimal || text.find('.') != std::string_view::npos) return std::nullopt;
  return decimal->digits;
}

std::string number_text(Uint128 number) {
  std::string text;
  do {
    text += static_cast<char>('0' + static_cast<int>(number % 10));
    number /= 10;
  } while (number != 0);
  std::reverse(text.begin(), text.end());
  return text;
}

std::optional<Decimal> parse_decimal(std::string_view text) {
  Decimal decimal;
  const size_t point = std::min(text.find('.'), text.size());
  if (point == 0 || point + 1 == text.size()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == point) continue;
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    if (!append_digit(decimal.digits, static_cast<uint8_t>(text[i] - '0'))) return std::nullopt;
  }
  const size_t decimals = point == text.size() ? 0 : text.size() - point - 1;
  if (decimals > kScaleMax) return std::nullopt;
  decimal.decimals = static_cast<uint8_t>(decimals);
  return decimal;
}

std::optional<Uint128> scaled(const Decimal& decimal, uint8_t scale) {
  if (decimal.decimals > scale) return std::nullopt;
  Uint128 amount = decimal.digits;
  for (uint8_t i = decimal.decimals; i < scale; ++i)
    if (!append_digit(amount, 0)) return std::nullopt;
  return amount;
}

std::string amount_text(Uint128 amount, uint8_t scale) {
  std::string text = number_text(amount);
  if (scale == 0) return text;
  if (text.size() <= scale) text.insert(0, scale + 1 - text.size(), '0');
  text.insert(text.size() - scale, 1, '.');
  return text;
}

}  // namespace heptane::fintech
