#include "modules/fintech/machine/exchange/trade_reversal.h"

#include <algorithm>

#include "modules/fintech/domain/exchange/proportion.h"
#include "modules/fintech/domain/ledger/status_names.h"

namespace heptane::fintech::exchange {

namespace {

// Numbers of the legs that take it back.
enum BustLeg : uint32_t {
  kBustPrincipal,
  kBustBase,
  kBustBuyerFee,
  kBustSellerFee,
  kBustBuyerRebate,
  kBustSellerRebate,
  kBustQuoteRest,
  kBustBaseRest,
  kBustLoans = 8,      // for each purse
  kBustBackLoans = 12  // likewise
};

}  // namespace

Uint128 in_proportion_up(Uint128 fee, Uint128 was, Uint128 is) {
  if (fee > was) return fee;
  const Quotient share = *proportion(fee, is, was);
  return share.whole + (share.exact ? 0 : 1);
}

Uint128 in_proportion_down(Uint128 rebate, Uint128 was, Uint128 is) {
  return rebate > was ? rebate : proportion(rebate, is, was)->whole;
}

FillLegs corrected_legs(const SettledTrade& trade, const Instrument& instrument, const TradeTerms& agreed) {
  FillLegs legs;
  legs.principal = static_cast<Uint128>(notional(instrument, agreed.price, agreed.quantity));
  legs.base = base_units(instrument, agreed.quantity);
  legs.buyer_fee = in_proportion_up(trade.buyer_fee, trade.principal, legs.principal);
  legs.seller_fee = in_proportion_up(trade.seller_fee, trade.principal, legs.principal);
  legs.buyer_rebate = in_proportion_down(trade.buyer_rebate, trade.principal, legs.principal);
  legs.seller_rebate = in_proportion_down(trade.seller_rebate, trade.principal, legs.principal);
  return legs;
}

TradeReversal::TradeReversal(LedgerMachine& ledger, const PortCall& call, const Instrument& instrument,
                             const SettledTrade& trade, Firms firms)
    : ledger_(ledger),
      call_(call),
      trade_(trade),
      quote_asset_(instrument.quote_asset),
      base_asset_(instrument.base_asset),
      fees_(purse_id(kHouse, quote_asset_, Purse::fees)) {
  const auto side = [&](uint32_t account) {
    return Side{purse_id(account, quote_asset_, Purse::available), purse_id(account, quote_asset_, Purse::held),
                purse_id(account, base_asset_, Purse::available), purse_id(account, base_asset_, Purse::held)};
  };
  buyer_ = side(trade.buyer);
  seller_ = side(trade.seller);
  const auto watch = [&](Uint128 purse, uint32_t account, uint32_t firm, uint32_t asset) {
    const auto same = [purse](const Lent& other) { return other.purse == purse; };
    if (std::any_of(purses_.begin(), purses_.end(), same)) return;
    purses_.push_back({purse, firm, asset, static_cast<Int128>(balance(ledger_, account, asset, Purse::available)), 0});
  };
  watch(buyer_.quote, trade.buyer, firms.buyer, quote_asset_);
  watch(buyer_.base, trade.buyer, firms.buyer, base_asset_);
  watch(seller_.quote, trade.seller, firms.seller, quote_asset_);
  watch(seller_.base, trade.seller, firms.seller, base_asset_);
}

void TradeReversal::add(uint32_t number, Purpose purpose, Uint128 debit, Uint128 credit, Uint128 amount,
                        uint32_t asset) {
  legs_.push_back(
      {bust_leg_id(trade_.trade, number), purpose, debit, credit, amount, asset, {trade_.trade, trade_.instrument, 0}});
}

void TradeReversal::adjust(uint32_t number, Uint128 has, Uint128 needs, Uint128 held, Uint128 available,
                           uint32_t asset) {
  if (needs <= has) return add(number, Purpose::release, held, available, has - needs, asset);
  add(number, Purpose::hold, available, held, needs - has, asset);
}

// What comes in first, so that as little as possible is lent in between. The first leg is there of every trade: whoever finds it
// knows that the trade was busted.
void TradeReversal::take_back(const Correction* correction) {
  constexpr Purpose kBack = Purpose::reversal;
  add(kBustBuyerFee, kBack, fees_, buyer_.quote_held, trade_.buyer_fee, quote_asset_);
  add(kBustSellerFee, kBack, fees_, seller_.quote, trade_.seller_fee, quote_asset_);
  add(kBustPrincipal, kBack, seller_.quote, buyer_.quote_held, trade_.principal, quote_asset_);
  if (correction != nullptr) legs_.back().tag.data = correction->trade;
  add(kBustBase, kBack, buyer_.base, seller_.base_held, trade_.base, base_asset_);
  const Uint128 quote = correction == nullptr ? 0 : correction->legs.principal + correction->legs.buyer_fee;
  adjust(kBustQuoteRest, trade_.principal + trade_.buyer_fee, quote, buyer_.quote_held, buyer_.quote, quote_asset_);
  adjust(kBustBaseRest, trade_.base, correction == nullptr ? 0 : correction->legs.base, seller_.base_held, seller_.base,
         base_asset_);
  add(kBustBuyerRebate, kBack, buyer_.quote, fees_, trade_.buyer_rebate, quote_asset_);
  add(kBustSellerRebate, kBack, seller_.quote, fees_, trade_.seller_rebate, quote_asset_);
}

void TradeReversal::settle(const Correction& correction) {
  const FillLegs& legs = correction.legs;
  const auto leg = [&](TradeLeg which, Purpose purpose, Uint128 debit, Uint128 credit, Uint128 amount, uint32_t asset,
                       Uint128 mark) {
    legs_.push_back({trade_leg_id(correction.trade, static_cast<uint32_t>(which)),
                     purpose,
                     debit,
                     credit,
                     amount,
                     asset,
                     {correction.trade, trade_.instrument, mark}});
  };
  leg(TradeLeg::principal, Purpose::principal, buyer_.quote_held, seller_.quote, legs.principal, quote_asset_,
      correction.marks.of_principal());
  leg(TradeLeg::base, Purpose::base, seller_.base_held, buyer_.base, legs.base, base_asset_,
      correction.marks.of_base());
  leg(TradeLeg::buyer_fee, Purpose::fee, buyer_.quote_held, fees_, legs.buyer_fee, quote_asset_, 0);
  leg(TradeLeg::seller_fee, Purpose::fee, seller_.quote, fees_, legs.seller_fee, quote_asset_, 0);
  leg(TradeLeg::buyer_rebate, Purpose::rebate, fees_, buyer_.quote, legs.buyer_rebate, quote_asset_, 0);
  leg(TradeLeg::seller_rebate, Purpose::rebate, fees_, seller_.quote, legs.seller_rebate, quote_asset_, 0);
}

// How low each purse would go, leg by leg.
void TradeReversal::judge_balances() {
  for (Lent& purse : purses_) {
    for (const Leg& leg : legs_) {
      if (leg.debit == purse.purse) purse.balance -= static_cast<Int128>(leg.amount);
      if (leg.credit == purse.purse) purse.balance += static_cast<Int128>(leg.amount);
      purse.lowest = std::min(purse.lowest, purse.balance);
    }
  }
}

Result<void> TradeReversal::post(const std::optional<Correction>& correction) {
  take_back(correction ? &*correction : nullptr);
  if (correction) settle(*correction);
  judge_balances();
  Chain chain(ledger_, call_);
  const Chain::Tag tag{trade_.trade, trade_.instrument, 0};
  const auto owed_of = [](const Lent& of) { return purse_id(of.firm, of.asset, Purse::receivable); };
  for (uint32_t n = 0; n < purses_.size(); ++n) {
    const Lent& of = purses_[n];
    if (of.lent() == 0) continue;
    HEPTANE_TRY(chain.open_receivable(of.firm, of.asset));
    chain.move(bust_leg_id(trade_.trade, kBustLoans + n), Purpose::loan, owed_of(of), of.purse, of.lent(), of.asset,
               tag);
  }
  for (const Leg& leg : legs_) chain.move(leg.id, leg.purpose, leg.debit, leg.credit, leg.amount, leg.asset, leg.tag);
  for (uint32_t n = 0; n < purses_.size(); ++n) {
    const Lent& of = purses_[n];
    chain.move(bust_leg_id(trade_.trade, kBustBackLoans + n), Purpose::clearing, of.purse, owed_of(of), of.back(),
               of.asset, tag);
    if (of.lent() > of.back()) owed_.push_back({of.firm, of.asset, of.lent() - of.back()});
  }
  if (const std::optional<TransferStatus> failed = chain.post())
    return Error{Errc::refused, "the ledger does not move it: " + std::string(heptane::fintech::status_name(*failed))};
  return {};
}

}  // namespace heptane::fintech::exchange
