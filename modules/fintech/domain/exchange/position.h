// What an account has traded of an instrument and what it gained by it, as sums of its trades alone: bought and sold apart, in the
// instrument's quantities and in the quote asset's smallest units, of which no trade is ever rounded. So a fill costs a few additions,
// and a trade that is taken back is as if it had never been.
//
// A round begins when the position leaves zero and ends when it is back there, or goes through it: then the trade that does it is the
// end of one round and the beginning of the next. In a round everything bought has one average price, everything sold another; what is
// open stands at the average of its side: an exact ratio of two sums. Rounds that ended have realised what was sold for less what was bought for.
//
// A trade of the present round that is taken back leaves its sums. One of an earlier round takes the ends of all rounds with it: from
// then on all that was traded is one round. Nothing here depends on when it was taken back. Pure; one owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "modules/fintech/domain/exchange/instrument.h"

namespace heptane::fintech::exchange {

struct TradedSums {
  Uint128 quantity = 0;
  Uint128 value = 0;  // principal, without fees
  friend bool operator==(const TradedSums&, const TradedSums&) = default;
};

// One side of a trade.
struct TradedSide {
  uint64_t trade = 0;  // numbers ascend
  book::Side side = book::Side::buy;
  TradedSums sums;
  Uint128 fee = 0;
  Uint128 rebate = 0;
};

struct TradedPosition {
  TradedSums bought;  // by all trades that stand
  TradedSums sold;
  Uint128 fees = 0;
  Uint128 rebates = 0;
  // Of them, before the present round; of both sides the same quantity.
  Uint128 flat_quantity = 0;
  Uint128 flat_bought_for = 0;
  Uint128 flat_sold_for = 0;
  uint64_t round_since = 0;  // trades behind this one are of the present round alone

  Int128 open() const { return static_cast<Int128>(bought.quantity) - static_cast<Int128>(sold.quantity); }
  void add(const TradedSide& made);
  // `was` was added once; `is`, if it is there, comes in its place. `newest`: the last trade that there is.
  void restate(const TradedSide& was, const TradedSide* is, uint64_t newest);
  friend bool operator==(const TradedPosition&, const TradedPosition&) = default;

 private:
  TradedSums& of(book::Side side) { return side == book::Side::buy ? bought : sold; }
  void begin_round(const TradedSide& made);
};

// In the quote asset's smallest units.
struct ProfitAndLoss {
  TradedSums open_side;  // of the present round: what is open costs on average value / quantity; 0 / 0: nothing is open
  Uint128 open_for = 0;  // what is open was bought or sold for, rounded down
  // Of what is not open any more, before fees and rebates. It takes what open_for was rounded by, so that the sum of realised and
  // unrealised is exact.
  Int128 realised = 0;
  std::optional<Int128> unrealised;  // none: there is no mark, or it does not fit
};
ProfitAndLoss profit_and_loss(const TradedPosition& position, const Instrument& instrument,
                              std::optional<int64_t> mark);

// What a quantity is worth at a price that need not be on a tick, rounded towards zero; below zero: of a quantity below it. None: 2^126
// of the quote asset's smallest units and more. The price is not below 0.
std::optional<Int128> worth(const Instrument& instrument, Int128 quantity, int64_t price);

// value / quantity as a price with four more decimals than the instrument's, rounded down; `0`: of no quantity.
std::string average_cost_text(const Instrument& instrument, const TradedSums& sums);

}  // namespace heptane::fintech::exchange
