#include "modules/fintech/domain/ledger/amount.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "kernel/base/assert.h"

namespace heptane::fintech {

namespace {

bool append_digit(Uint128& number, uint8_t digit) {
  return !__builtin_mul_overflow(number, Uint128{10}, &number) &&
         !__builtin_add_overflow(number, Uint128{digit}, &number);
}

constexpr size_t kDigitsMax = 39;

// Most numbers have 64 bits, and a division of more is slow.
char* write_number(char* to, Uint128 number) {
  constexpr uint64_t kPiece = 10'000'000'000'000'000'000U;
  constexpr int kPieceDigits = 19;
  if (number >> 64 == 0) return std::to_chars(to, to + kDigitsMax, static_cast<uint64_t>(number)).ptr;
  to = write_number(to, number / kPiece);
  auto rest = static_cast<uint64_t>(number % kPiece);
  for (int digit = kPieceDigits; digit-- > 0; rest /= 10) to[digit] = static_cast<char>('0' + rest % 10);
  return to + kPieceDigits;
}

}  // namespace

std::optional<Uint128> parse_number(std::string_view text) {
  const std::optional<Decimal> decimal = parse_decimal(text);
  if (!decimal || text.find('.') != std::string_view::npos) return std::nullopt;
  return decimal->digits;
}

std::string number_text(Uint128 number) {
  char text[kDigitsMax];
  return {text, write_number(text, number)};
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

char* write_amount(char* to, Uint128 amount, uint8_t scale) {
  HEPTANE_ASSERT(scale <= kScaleMax, "no asset has so many decimals");
  char* end = write_number(to, amount);
  if (scale == 0) return end;
  const auto digits = static_cast<size_t>(end - to);
  const size_t zeros = digits <= scale ? scale + 1 - digits : 0;
  if (zeros > 0) {
    std::memmove(to + zeros, to, digits);
    std::memset(to, '0', zeros);
    end += zeros;
  }
  std::memmove(end - scale + 1, end - scale, scale);
  *(end - scale) = '.';
  return end + 1;
}

std::string amount_text(Uint128 amount, uint8_t scale) {
  char text[kAmountBytesMax];
  return {text, write_amount(text, amount, scale)};
}

}  // namespace heptane::fintech
