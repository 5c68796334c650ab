#include "modules/fintech/domain/exchange/proportion.h"

namespace heptane::fintech::exchange {

namespace {

struct Wide {
  Uint128 high = 0;
  Uint128 low = 0;
};

Wide product(Uint128 a, Uint128 b) {
  constexpr Uint128 kLow = UINT64_MAX;
  const Uint128 low = (a & kLow) * (b & kLow);
  const Uint128 first = (a >> 64) * (b & kLow) + (low >> 64);
  const Uint128 second = (a & kLow) * (b >> 64) + (first & kLow);
  return {(a >> 64) * (b >> 64) + (first >> 64) + (second >> 64), second << 64 | (low & kLow)};
}

// Bit by bit; the quotient fits.
Quotient divided(Wide number, Uint128 by) {
  Uint128 rest = 0;
  Uint128 whole = 0;
  for (int bit = 255; bit >= 0; --bit) {
    const Uint128 from = bit >= 128 ? number.high >> (bit - 128) : number.low >> bit;
    rest = rest << 1 | (from & 1);  // divisors are below 2^127
    whole <<= 1;
    if (rest >= by) {
      rest -= by;
      whole |= 1;
    }
  }
  return {whole, rest == 0};
}

}  // namespace

std::optional<Quotient> proportion(Uint128 a, Uint128 b, Uint128 by) {
  Uint128 small = 0;
  if (!__builtin_mul_overflow(a, b, &small)) return Quotient{small / by, small % by == 0};
  const Wide wide = product(a, b);
  if (wide.high >= by) return std::nullopt;
  return divided(wide, by);
}

}  // namespace heptane::fintech::exchange
