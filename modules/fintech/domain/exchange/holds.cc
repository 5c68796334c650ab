#include "modules/fintech/domain/exchange/holds.h"

#include <algorithm>

#include "kernel/base/assert.h"

namespace heptane::fintech::exchange {

namespace {

// Prices of prefunded instruments are above 0.
Uint128 amount(const Instrument& instrument, int64_t price, uint64_t quantity) {
  return static_cast<Uint128>(notional(instrument, price, quantity));
}

// A rebate is paid out of the other side's fee of the same fill, whenever their rates were set: no more than that one's rate.
FeeRates covered(FeeRates rates, const FeeRates& others, Liquidity liquidity_of_other) {
  const int32_t others_ppm = liquidity_of_other == Liquidity::taker ? others.taker_ppm : 0;
  rates.maker_ppm = std::max(rates.maker_ppm, -others_ppm);
  return rates;
}

}  // namespace

Uint128 held(const Instrument& instrument, const OrderFunds& order) {
  if (order.side == book::Side::sell) return base_units(instrument, order.leaves);
  const Uint128 principal = amount(instrument, order.price, order.leaves);
  return order.leaves == 0 ? 0 : principal + worst_case(order.meter, order.rates, principal);
}

FillLegs settle(const Instrument& instrument, int64_t price, uint64_t quantity, OrderFunds& buyer, Liquidity buyers,
                OrderFunds& seller, Liquidity sellers) {
  HEPTANE_ASSERT(quantity <= buyer.leaves && quantity <= seller.leaves, "a fill of more than is left");
  const Uint128 before = held(instrument, buyer);
  FillLegs legs;
  legs.principal = amount(instrument, price, quantity);
  legs.base = base_units(instrument, quantity);
  const FillFee buyer_fee = charge(buyer.meter, covered(buyer.rates, seller.rates, sellers), buyers, legs.principal);
  const FillFee seller_fee =
      charge(seller.meter, covered(seller.rates, buyer.rates, buyers), sellers, legs.principal, legs.principal);
  legs.buyer_fee = buyer_fee.fee;
  legs.buyer_rebate = buyer_fee.rebate;
  legs.seller_fee = seller_fee.fee;
  legs.seller_rebate = seller_fee.rebate;
  buyer.leaves -= quantity;
  seller.leaves -= quantity;
  const Uint128 taken = legs.principal + legs.buyer_fee + held(instrument, buyer);
  HEPTANE_ASSERT(before >= taken, "a fill takes more than its order holds");
  legs.released = before - taken;
  return legs;
}

}  // namespace heptane::fintech::exchange
