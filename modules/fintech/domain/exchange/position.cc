#include "modules/fintech/domain/exchange/position.h"

#include <algorithm>

#include "modules/fintech/domain/exchange/proportion.h"
#include "modules/fintech/domain/ledger/amount.h"

namespace heptane::fintech::exchange {

namespace {

constexpr int kAverageDecimals = 4;
constexpr int kPowerMax = 38;  // 10^38 < 2^128
constexpr Uint128 kWorthMax = Uint128{1} << 126;

Uint128 ten_to_the(int exponent) {
  Uint128 power = 1;
  for (; exponent > 0; --exponent) power *= 10;
  return power;
}

Uint128 size_of(Int128 number) { return number < 0 ? -static_cast<Uint128>(number) : static_cast<Uint128>(number); }

Int128 signed_of(Uint128 number) { return static_cast<Int128>(number); }

// A part of a whole, rounded down.
Uint128 part_of(Uint128 value, Uint128 part, Uint128 whole) {
  return whole == 0 ? 0 : proportion(value, part, whole)->whole;
}

}  // namespace

void TradedPosition::add(const TradedSide& made) {
  const Int128 before = open();
  TradedSums& sums = of(made.side);
  sums.quantity += made.sums.quantity;
  sums.value += made.sums.value;
  fees += made.fee;
  rebates += made.rebate;
  const Int128 after = open();
  if (before != 0 && (after == 0 || (after < 0) != (before < 0))) begin_round(made);
}

// Of the trade that went through zero, what was beyond it; of one that ended there nothing.
void TradedPosition::begin_round(const TradedSide& made) {
  const Uint128 beyond = size_of(open());
  const Uint128 beyond_for =
      made.sums.value - part_of(made.sums.value, made.sums.quantity - beyond, made.sums.quantity);
  const bool buys = made.side == book::Side::buy;
  flat_quantity = of(made.side).quantity - beyond;
  flat_bought_for = bought.value - (buys ? beyond_for : 0);
  flat_sold_for = sold.value - (buys ? 0 : beyond_for);
  round_since = made.trade;
}

void TradedPosition::restate(const TradedSide& was, const TradedSide* is, uint64_t newest) {
  if (was.trade <= round_since) flat_quantity = flat_bought_for = flat_sold_for = round_since = 0;
  const TradedSide nothing;
  const TradedSide& instead = is == nullptr ? nothing : *is;
  TradedSums& sums = of(was.side);
  sums.quantity = sums.quantity - was.sums.quantity + instead.sums.quantity;
  sums.value = sums.value - was.sums.value + instead.sums.value;
  fees = fees - was.fee + instead.fee;
  rebates = rebates - was.rebate + instead.rebate;
  if (open() == 0) {
    TradedSide end = was;
    end.trade = newest;
    end.sums = {};
    begin_round(end);
  }
}

ProfitAndLoss profit_and_loss(const TradedPosition& position, const Instrument& instrument,
                              std::optional<int64_t> mark) {
  const Int128 open = position.open();
  const TradedSums bought{position.bought.quantity - position.flat_quantity,
                          position.bought.value - position.flat_bought_for};
  const TradedSums sold{position.sold.quantity - position.flat_quantity, position.sold.value - position.flat_sold_for};
  ProfitAndLoss found;
  if (open != 0) found.open_side = open > 0 ? bought : sold;
  found.open_for = part_of(found.open_side.value, size_of(open), found.open_side.quantity);
  const Int128 cost = open > 0 ? signed_of(found.open_for) : -signed_of(found.open_for);
  found.realised = signed_of(position.sold.value) - signed_of(position.bought.value) + cost;
  if (open == 0) {
    found.unrealised = 0;
  } else if (mark) {
    if (const std::optional<Int128> value = worth(instrument, open, *mark)) found.unrealised = *value - cost;
  }
  return found;
}

std::optional<Int128> worth(const Instrument& instrument, Int128 quantity, int64_t price) {
  const int beyond = instrument.price_scale + instrument.quantity_scale - instrument.quote_scale;
  const Uint128 unit = static_cast<Uint128>(price) * ten_to_the(-beyond);
  const std::optional<Quotient> value = proportion(size_of(quantity), unit, ten_to_the(beyond));
  if (!value || value->whole >= kWorthMax) return std::nullopt;
  return quantity < 0 ? -signed_of(value->whole) : signed_of(value->whole);
}

std::string average_cost_text(const Instrument& instrument, const TradedSums& sums) {
  if (sums.quantity == 0) return "0";
  const int beyond = instrument.price_scale + instrument.quantity_scale - instrument.quote_scale;
  const int more = std::min(kAverageDecimals, kPowerMax - beyond);
  const auto decimals = static_cast<uint8_t>(instrument.price_scale + more);
  // No average is above the largest price: it fits.
  const Uint128 average = proportion(sums.value, ten_to_the(beyond + more), sums.quantity)->whole;
  return amount_text(average / ten_to_the(-beyond - more), decimals);
}

}  // namespace heptane::fintech::exchange
