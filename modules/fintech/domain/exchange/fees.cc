#include "modules/fintech/domain/exchange/fees.h"

#include <algorithm>
#include <string>

#include "kernel/base/assert.h"

namespace heptane::fintech::exchange {

namespace {

constexpr uint32_t kMillionths = 1'000'000;

Error wrong_fees(std::string message) { return {Errc::invalid_argument, std::move(message)}; }

// Without a product above 2^128: notional is whole millions and the rest.
void add(FeeMeter& meter, Uint128 notional, uint32_t ppm) {
  const uint64_t rest = static_cast<uint64_t>(notional % kMillionths) * ppm + meter.millionths;
  meter.whole += notional / kMillionths * ppm + rest / kMillionths;
  meter.millionths = static_cast<uint32_t>(rest % kMillionths);
  meter.paying = meter.paying || (ppm > 0 && notional > 0);
}

Uint128 owed(const FeeMeter& meter, const FeeRates& rates) {
  if (!meter.paying) return 0;
  return std::max(meter.whole + (meter.millionths > 0 ? 1 : 0), rates.minimum);
}

Uint128 still_owed(const FeeMeter& meter, const FeeRates& rates) {
  const Uint128 all = owed(meter, rates);
  HEPTANE_ASSERT(all >= meter.charged, "an order has other fee rates than it was accepted with");
  return all - meter.charged;
}

}  // namespace

Result<bool> check_fees(std::span<const FeeRates> classes) {
  int32_t least_taker = kFeePpmMax;
  int32_t most_rebate = 0;
  for (const FeeRates& rates : classes) {
    if (rates.taker_ppm < 0 || rates.taker_ppm > kFeePpmMax)
      return wrong_fees("taker_ppm is 0 to 1000000, not " + std::to_string(rates.taker_ppm));
    if (rates.maker_ppm < -kFeePpmMax || rates.maker_ppm > kFeePpmMax)
      return wrong_fees("maker_ppm is -1000000 to 1000000, not " + std::to_string(rates.maker_ppm));
    if (rates.minimum >> 100 != 0)
      return wrong_fees("the minimum fee is below 2^100 of the quote asset's smallest units");
    least_taker = std::min(least_taker, rates.taker_ppm);
    most_rebate = std::max(most_rebate, -rates.maker_ppm);
  }
  if (most_rebate > least_taker)
    return wrong_fees("a rebate of " + std::to_string(most_rebate) + " ppm is above a taker fee of " +
                      std::to_string(least_taker) + " ppm: the house would pay for such trades");
  return true;
}

FillFee charge(FeeMeter& meter, const FeeRates& rates, Liquidity liquidity, Uint128 notional, Uint128 cap) {
  const int32_t ppm = liquidity == Liquidity::maker ? rates.maker_ppm : rates.taker_ppm;
  FillFee fill;
  if (ppm < 0) {
    FeeMeter rebate;
    add(rebate, notional, static_cast<uint32_t>(-ppm));
    fill.rebate = rebate.whole;
  } else {
    add(meter, notional, static_cast<uint32_t>(ppm));
  }
  fill.fee = std::min(still_owed(meter, rates), cap);
  meter.charged += fill.fee;
  return fill;
}

Uint128 worst_case(const FeeMeter& meter, const FeeRates& rates, Uint128 notional) {
  FeeMeter then = meter;
  add(then, notional, static_cast<uint32_t>(std::max({rates.maker_ppm, rates.taker_ppm, 0})));
  return still_owed(then, rates);
}

}  // namespace heptane::fintech::exchange
