// What an open order holds of its owner's money, and what a fill moves: prefunded instruments.
//
// Held: of a buy, what is left of it at its limit or protection price and the most fees that can still come; of a sell, what is left
// of it in the base asset (its fee comes out of the proceeds). Invariant: after every fill the held amount is that of what is left,
// and the fill's legs and the release add up to the difference, so no fill can fail for want of funds. Exact integers; pure.
#pragma once

#include "modules/fintech/domain/book/book.h"
#include "modules/fintech/domain/exchange/fees.h"
#include "modules/fintech/domain/exchange/instrument.h"

namespace heptane::fintech::exchange {

// Of an order, what its funds depend on.
struct OrderFunds {
  book::Side side = book::Side::buy;
  int64_t price = 0;  // limit or protection
  uint64_t leaves = 0;
  FeeRates rates;  // of its acceptance
  FeeMeter meter;
};

// In the quote asset for a buy, in the base asset for a sell.
Uint128 held(const Instrument& instrument, const OrderFunds& order);

// A fill's postings: amounts of 0 are none.
struct FillLegs {
  Uint128 principal = 0;      // quote: held of the buyer -> available of the seller
  Uint128 base = 0;           // base: held of the seller -> available of the buyer
  Uint128 buyer_fee = 0;      // quote: held of the buyer -> fees
  Uint128 seller_fee = 0;     // quote: available of the seller -> fees; not above the principal
  Uint128 buyer_rebate = 0;   // quote: fees -> available of the buyer
  Uint128 seller_rebate = 0;  // quote: fees -> available of the seller
  Uint128 released = 0;  // quote: held of the buyer -> available of the buyer: a better price, fees that will not come
};

// Of `quantity` at `price`, which is no worse for the buyer than its own; both orders become what is left of them. A rebate's rate is
// at most the taker's of this fill, so that all rebates together are never above all fees.
FillLegs settle(const Instrument& instrument, int64_t price, uint64_t quantity, OrderFunds& buyer, Liquidity buyers,
                OrderFunds& seller, Liquidity sellers);

}  // namespace heptane::fintech::exchange
