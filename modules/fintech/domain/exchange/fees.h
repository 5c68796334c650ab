// Fees of an order, in ppm of what it trades, for the maker and the taker of each fill, with a minimum for the order.
//
// The fee follows the order as a whole: after every fill what has been charged is the sum of its parts rounded up once, and at
// least the minimum. So an order pays the same however many fills it takes, and its worst case is known before the first one. A
// rebate is a negative maker rate: paid for each fill, rounded down, beside the minimum. Rates are those that held when the order
// was accepted, to its end; a rebate is at most what the other order pays for the same fill (holds.h), which was perhaps accepted
// under other rates. Exact integers; pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "kernel/base/result.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech::exchange {

constexpr int32_t kFeePpmMax = 1'000'000;

// Of an account class.
struct FeeRates {
  int32_t maker_ppm = 0;  // below 0: a rebate
  int32_t taker_ppm = 0;
  Uint128 minimum = 0;  // of an order that has paid any fee, in the quote asset's smallest units
};

// Of all classes of an instrument: in range, and no rebate above a taker's rate, or the house would pay for trades.
Result<bool> check_fees(std::span<const FeeRates> classes);

enum class Liquidity : uint8_t { maker, taker };

// What an order has traded for a fee, and paid. Part of the order's state.
struct FeeMeter {
  Uint128 whole = 0;        // smallest units
  uint32_t millionths = 0;  // of one more
  Uint128 charged = 0;
  bool paying = false;  // some fill had a rate above 0
};

struct FillFee {
  Uint128 fee = 0;  // to charge now, at most `proceeds`
  Uint128 rebate = 0;
};

// Of a fill of `notional`; `cap`: what is there to take it from (the proceeds of a sale). What the cap leaves is charged with later
// fills.
FillFee charge(FeeMeter& meter, const FeeRates& rates, Liquidity liquidity, Uint128 notional,
               Uint128 cap = kUint128Max);
// The most that is still to come when `notional` more is traded: never less than what charge() will take for it, however it fills.
Uint128 worst_case(const FeeMeter& meter, const FeeRates& rates, Uint128 notional);

}  // namespace heptane::fintech::exchange
