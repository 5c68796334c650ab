#include "modules/fintech/domain/exchange/instrument.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "modules/fintech/domain/ledger/amount.h"

namespace heptane::fintech::exchange {

namespace {

constexpr uint32_t kPowersOfTen = 39;  // that are below 2^128

constexpr auto kPowers = [] {
  std::array<Uint128, kPowersOfTen> powers{1};
  for (size_t n = 1; n < powers.size(); ++n) powers[n] = powers[n - 1] * 10;
  return powers;
}();

Uint128 power_of_ten(uint32_t exponent) { return kPowers[exponent]; }

Uint128 greatest_common(Uint128 a, Uint128 b) {
  while (b != 0) {
    const Uint128 rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

Uint128 size_of(Int128 number) { return number < 0 ? -static_cast<Uint128>(number) : static_cast<Uint128>(number); }

// Decimals of price and quantity together beyond those of the quote asset: a principal is their product over 10 to this.
int decimals_beyond(const Instrument& i) { return i.price_scale + i.quantity_scale - i.quote_scale; }

Error wrong_instrument(std::string message) { return {Errc::invalid_argument, std::move(message)}; }

std::string quantity_text(uint64_t quantity, const Instrument& i) { return amount_text(quantity, i.quantity_scale); }

bool good_symbol(const std::string& symbol) {
  return !symbol.empty() && symbol.size() <= kSymbolMax && std::all_of(symbol.begin(), symbol.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || c == '/';
  });
}

std::optional<Error> check_assets(const Instrument& i) {
  if (!good_symbol(i.symbol))
    return wrong_instrument("a symbol has 1 to 32 letters, digits and . - _ /, not '" + i.symbol + "'");
  if (i.base_asset == i.quote_asset || i.base_asset == 0 || i.quote_asset == 0)
    return wrong_instrument("base and quote are two different assets");
  for (const uint8_t scale : {i.base_scale, i.quote_scale, i.price_scale, i.quantity_scale})
    if (scale > kDecimalsMax) return wrong_instrument("a scale is at most 18, not " + std::to_string(scale));
  if (i.quantity_scale > i.base_scale)
    return wrong_instrument("quantity_scale is " + std::to_string(i.quantity_scale) + ", and the base asset has " +
                            std::to_string(i.base_scale) + " decimals: at most that many");
  return std::nullopt;
}

std::optional<Error> check_steps(const Instrument& i) {
  if (i.steps.empty() || i.steps.size() > kPriceStepsMax) return wrong_instrument("a tick table has 1 to 64 steps");
  for (size_t n = 0; n < i.steps.size(); ++n) {
    const PriceStep& step = i.steps[n];
    const std::string name = "the tick table's step from " + price_text(step.from, i.price_scale);
    if (step.tick <= 0) return wrong_instrument(name + " has no tick above 0");
    if (n > 0 && step.from <= i.steps[n - 1].from)
      return wrong_instrument(name + " does not come after the one before it");
    if (step.from % step.tick != 0 || (n > 0 && step.from % i.steps[n - 1].tick != 0))
      return wrong_instrument(name + " is not on its own tick and the one's before it");
  }
  if (i.steps[0].from > i.price_min)
    return wrong_instrument("the tick table begins above price_min, " + price_text(i.price_min, i.price_scale));
  return std::nullopt;
}

std::optional<Error> check_bounds(const Instrument& i) {
  if (i.lot == 0) return wrong_instrument("a lot is above 0");
  if (i.quantity_min == 0 || i.quantity_min > i.quantity_max || i.quantity_min % i.lot != 0 ||
      i.quantity_max % i.lot != 0)
    return wrong_instrument("quantity_min and quantity_max are whole lots of " + quantity_text(i.lot, i) +
                            ", above 0, the first not above the second");
  if (i.price_min > i.price_max) return wrong_instrument("price_min is above price_max");
  if (i.settlement == Settlement::prefunded && i.price_min <= 0)
    return wrong_instrument("price_min is " + price_text(i.price_min, i.price_scale) +
                            ": prices of 0 and below need settlement = net");
  if (!on_tick(i, i.price_min) || !on_tick(i, i.price_max))
    return wrong_instrument("price_min and price_max are on ticks");
  if (i.collar_ppm == 0 || i.collar_ppm > kMillion || i.call_band_ppm == 0 || i.call_band_ppm > kMillion)
    return wrong_instrument("collar_ppm and call_band_ppm are 1 to 1000000");
  return std::nullopt;
}

// The multiple of `unit`, at least one, that is nearest.
Uint128 nearest_multiple(Uint128 number, Uint128 unit) {
  return std::max<Uint128>((number + unit / 2) / unit, 1) * unit;
}

// The lots that go with every tick are the multiples of this.
Uint128 lot_unit(const Instrument& i, Uint128 divisor) {
  Uint128 unit = 1;
  for (const PriceStep& step : i.steps) {
    const Uint128 needed = divisor / greatest_common(static_cast<Uint128>(step.tick), divisor);
    unit = unit / greatest_common(unit, needed) * needed;
  }
  return unit;
}

std::optional<Error> check_principal(const Instrument& i) {
  const int beyond = decimals_beyond(i);
  if (beyond <= 0) return std::nullopt;
  const Uint128 divisor = power_of_ten(static_cast<uint32_t>(beyond));
  for (const PriceStep& step : i.steps) {
    const auto tick = static_cast<Uint128>(step.tick);
    const Uint128 together = tick * i.lot;
    if (together % divisor == 0) continue;
    const Uint128 tick_unit = divisor / greatest_common(i.lot, divisor);
    const auto both = static_cast<uint8_t>(i.price_scale + i.quantity_scale);
    return wrong_instrument("tick " + price_text(step.tick, i.price_scale) + " x lot " + quantity_text(i.lot, i) +
                            " is " + amount_text(together, both) + ", not whole units of " +
                            amount_text(1, i.quote_scale) + ": the nearest lot that works with all ticks is " +
                            amount_text(nearest_multiple(i.lot, lot_unit(i, divisor)), i.quantity_scale) +
                            ", the nearest tick with this lot " +
                            amount_text(nearest_multiple(tick, tick_unit), i.price_scale));
  }
  return std::nullopt;
}

std::optional<Error> check_size(const Instrument& i) {
  const Uint128 price = std::max(size_of(i.price_min), size_of(i.price_max));
  constexpr Uint128 kLimit = Uint128{1} << 127;
  const int beyond = decimals_beyond(i);
  const Uint128 product = price * i.quantity_max;  // of 63 and 64 bits
  const Uint128 factor = beyond < 0 ? power_of_ten(static_cast<uint32_t>(-beyond)) : 1;
  if (product > (kLimit - 1) / factor)
    return wrong_instrument("price_max " + price_text(i.price_max, i.price_scale) + " x quantity_max " +
                            quantity_text(i.quantity_max, i) +
                            " is 2^127 or more of the quote asset's smallest units: lower one of them");
  return std::nullopt;
}

const PriceStep& step_of(const Instrument& i, int64_t price) {
  const auto above = std::upper_bound(i.steps.begin(), i.steps.end(), price,
                                      [](int64_t p, const PriceStep& step) { return p < step.from; });
  return above == i.steps.begin() ? *above : *std::prev(above);
}

int64_t clamped(const Instrument& i, Int128 price) {
  return static_cast<int64_t>(std::clamp<Int128>(price, i.price_min, i.price_max));
}

// `ppm` of the price's size, rounded down.
Int128 part_of(int64_t price, uint32_t ppm) { return static_cast<Int128>(size_of(price) * ppm / kMillion); }

}  // namespace

Result<bool> check_instrument(const Instrument& instrument) {
  for (const auto check : {check_assets, check_steps, check_bounds, check_principal, check_size})
    if (std::optional<Error> error = check(instrument)) return std::move(*error);
  return true;
}

bool differ_in_kind(const Instrument& a, const Instrument& b) {
  return a.base_asset != b.base_asset || a.quote_asset != b.quote_asset || a.base_scale != b.base_scale ||
         a.quote_scale != b.quote_scale || a.price_scale != b.price_scale || a.quantity_scale != b.quantity_scale ||
         a.settlement != b.settlement || a.steps != b.steps || a.lot != b.lot;
}

Int128 notional(const Instrument& instrument, int64_t price, uint64_t quantity) {
  const Int128 product = static_cast<Int128>(price) * static_cast<Int128>(quantity);
  const int beyond = decimals_beyond(instrument);
  if (beyond <= 0) return product * static_cast<Int128>(power_of_ten(static_cast<uint32_t>(-beyond)));
  return product / static_cast<Int128>(power_of_ten(static_cast<uint32_t>(beyond)));
}

Uint128 base_units(const Instrument& instrument, uint64_t quantity) {
  return quantity * power_of_ten(static_cast<uint32_t>(instrument.base_scale - instrument.quantity_scale));
}

bool on_tick(const Instrument& instrument, int64_t price) { return price % step_of(instrument, price).tick == 0; }

int64_t tick_at_most(const Instrument& instrument, int64_t price) {
  const int64_t inside = clamped(instrument, price);
  const int64_t tick = step_of(instrument, inside).tick;
  const int64_t over = ((inside % tick) + tick) % tick;
  return clamped(instrument, Int128{inside} - over);
}

int64_t tick_at_least(const Instrument& instrument, int64_t price) {
  const int64_t inside = clamped(instrument, price);
  const int64_t below = tick_at_most(instrument, inside);
  // The next step begins on this one's tick, so this one's tick leads to it.
  return below == inside ? inside : clamped(instrument, Int128{below} + step_of(instrument, below).tick);
}

std::optional<Error> check_order(const Instrument& i, int64_t price, uint64_t quantity) {
  const auto price_is = [&] { return "price " + price_text(price, i.price_scale); };
  const auto quantity_is = [&] { return "quantity " + quantity_text(quantity, i); };
  const auto refuse = [](std::string text) { return Error{Errc::refused, std::move(text)}; };
  if (price < i.price_min) return refuse(price_is() + " is below price_min " + price_text(i.price_min, i.price_scale));
  if (price > i.price_max) return refuse(price_is() + " is above price_max " + price_text(i.price_max, i.price_scale));
  if (!on_tick(i, price))
    return refuse(price_is() + " is not on the tick " + price_text(step_of(i, price).tick, i.price_scale));
  if (quantity < i.quantity_min)
    return refuse(quantity_is() + " is below quantity_min " + quantity_text(i.quantity_min, i));
  if (quantity > i.quantity_max)
    return refuse(quantity_is() + " is above quantity_max " + quantity_text(i.quantity_max, i));
  if (quantity % i.lot != 0) return refuse(quantity_is() + " is not in lots of " + quantity_text(i.lot, i));
  const Uint128 size = size_of(notional(i, price, quantity));
  if (size < i.notional_min)
    return refuse("notional " + amount_text(size, i.quote_scale) + " is below notional_min " +
                  amount_text(i.notional_min, i.quote_scale));
  return std::nullopt;
}

std::optional<int64_t> protection_price(const Instrument& instrument, book::Side side, std::optional<int64_t> best,
                                        std::optional<int64_t> reference) {
  const std::optional<int64_t> from = best ? best : reference;
  if (!from) return std::nullopt;
  const Int128 reach = part_of(*from, instrument.collar_ppm);
  if (side == book::Side::buy) return tick_at_most(instrument, clamped(instrument, *from + reach));
  return tick_at_least(instrument, clamped(instrument, *from - reach));
}

PriceRange call_band(const Instrument& instrument, int64_t reference) {
  const Int128 reach = part_of(reference, instrument.call_band_ppm);
  return {clamped(instrument, reference - reach), clamped(instrument, reference + reach)};
}

std::string price_text(int64_t price, uint8_t scale) {
  return (price < 0 ? "-" : "") + amount_text(size_of(price), scale);
}

}  // namespace heptane::fintech::exchange
