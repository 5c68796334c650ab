#include "modules/fintech/machine/exchange/settled_trade.h"

namespace heptane::fintech::exchange {

namespace {

Uint128 ten_to_the(int exponent) {
  Uint128 power = 1;
  for (; exponent > 0; --exponent) power *= 10;
  return power;
}

TradeMarks marks_on(const Transfer& principal, const Transfer& base) {
  const auto high = [](Uint128 mark) { return static_cast<uint64_t>(mark >> 64); };
  const auto execs = static_cast<uint64_t>(base.user_data_128);
  return {high(principal.user_data_128), static_cast<uint64_t>(principal.user_data_128), high(base.user_data_128),
          static_cast<uint32_t>(execs >> 32), static_cast<uint32_t>(execs)};
}

}  // namespace

Result<SettledTrade> settled_trade(const LedgerMachine& ledger, uint64_t trade) {
  const auto amount_of = [&](TradeLeg leg) -> Uint128 {
    const auto found = ledger.find_transfer(trade_leg_id(trade, static_cast<uint32_t>(leg)));
    return found ? found->amount : 0;
  };
  const auto principal = ledger.find_transfer(trade_leg_id(trade, static_cast<uint32_t>(TradeLeg::principal)));
  const auto base = ledger.find_transfer(trade_leg_id(trade, static_cast<uint32_t>(TradeLeg::base)));
  if (!principal || !base) return Error{Errc::not_found, "there is no trade " + std::to_string(trade)};
  if (principal->user_data_128 == 0)
    return Error{Errc::unsupported, "trade " + std::to_string(trade) +
                                        " was made before version 2 of the exchange's logic: its orders are not known"};
  SettledTrade found;
  found.trade = trade;
  found.instrument = principal->user_data_32;
  found.marks = marks_on(*principal, *base);
  found.buyer = account_of_purse(principal->debit_account_id);
  found.seller = account_of_purse(base->debit_account_id);
  found.principal = principal->amount;
  found.base = base->amount;
  found.buyer_fee = amount_of(TradeLeg::buyer_fee);
  found.seller_fee = amount_of(TradeLeg::seller_fee);
  found.buyer_rebate = amount_of(TradeLeg::buyer_rebate);
  found.seller_rebate = amount_of(TradeLeg::seller_rebate);
  found.timestamp = principal->timestamp;
  if (const auto busted = ledger.find_transfer(bust_leg_id(trade, 0))) {
    found.busted = true;
    found.corrected_by = static_cast<uint64_t>(busted->user_data_128);
  }
  return found;
}

// Nothing of it was ever rounded.
TradeTerms terms_of(const SettledTrade& trade, const Instrument& instrument) {
  TradeTerms terms;
  terms.quantity = static_cast<uint64_t>(trade.base / ten_to_the(instrument.base_scale - instrument.quantity_scale));
  const int beyond = instrument.price_scale + instrument.quantity_scale - instrument.quote_scale;
  const Uint128 product = trade.principal * ten_to_the(beyond) / ten_to_the(-beyond);
  terms.price = static_cast<int64_t>(product / terms.quantity);
  return terms;
}

}  // namespace heptane::fintech::exchange
