// The postings that take a trade back, and those of what was agreed in its place: one chain, with ids made of the trade's number, so
// that it is done once or not at all.
//
// - What the trade moved goes back between what its accounts have available. Its fees and rebates go back too.
// - A correction's fees are the trade's in proportion to the notional, rounded up, rebates rounded down, so that the house never pays more
//   than it gets; a fee above the notional (a minimum) stays. Its legs have the form of every trade's.
// - What an account has not any more is lent by receivable(firm), an account of the house whose credits never exceed its debits; what
//   the account has again at the end of the chain goes back. So accounts never go below zero, and the sum of all is still what was
//   deposited, receivables counted below zero.
// - No order's hold is touched: what goes through `held` leaves it within the chain.
// The shard thread's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "modules/fintech/machine/exchange/settled_trade.h"

namespace heptane::fintech::exchange {

// What the fees of a notional become when it is another one.
Uint128 in_proportion_up(Uint128 fee, Uint128 was, Uint128 is);
Uint128 in_proportion_down(Uint128 rebate, Uint128 was, Uint128 is);

// A trade as it was agreed, under a number of its own.
struct Correction {
  uint64_t trade = 0;
  TradeMarks marks;
  TradeTerms terms;
  FillLegs legs;
};
FillLegs corrected_legs(const SettledTrade& trade, const Instrument& instrument, const TradeTerms& agreed);

class TradeReversal {
 public:
  struct Firms {
    uint32_t buyer = 0;
    uint32_t seller = 0;
  };
  struct Owed {
    uint32_t firm = 0;
    uint32_t asset = 0;
    Uint128 amount = 0;
  };

  TradeReversal(LedgerMachine& ledger, const PortCall& call, const Instrument& instrument, const SettledTrade& trade,
                Firms firms);

  // An error has changed nothing that the caller's scope does not take back.
  Result<void> post(const std::optional<Correction>& correction);
  // By then: what was lent and did not come back.
  const std::vector<Owed>& owed() const { return owed_; }

 private:
  struct Leg {
    Uint128 id = 0;
    Purpose purpose = Purpose::reversal;
    Uint128 debit = 0;
    Uint128 credit = 0;
    Uint128 amount = 0;
    uint32_t asset = 0;
    Chain::Tag tag;
  };
  struct Side {  // its purses
    Uint128 quote = 0;
    Uint128 quote_held = 0;
    Uint128 base = 0;
    Uint128 base_held = 0;
  };
  struct Lent {  // of what is available
    Uint128 purse = 0;
    uint32_t firm = 0;
    uint32_t asset = 0;
    Int128 balance = 0;
    Int128 lowest = 0;
    Uint128 lent() const { return lowest < 0 ? static_cast<Uint128>(-lowest) : 0; }
    Uint128 back() const { return std::min(lent(), static_cast<Uint128>(balance + static_cast<Int128>(lent()))); }
  };

  void add(uint32_t number, Purpose purpose, Uint128 debit, Uint128 credit, Uint128 amount, uint32_t asset);
  void take_back(const Correction* correction);
  // Within `held`: what one of the two needs more or less than came back.
  void adjust(uint32_t number, Uint128 has, Uint128 needs, Uint128 held, Uint128 available, uint32_t asset);
  void settle(const Correction& correction);
  void judge_balances();

  LedgerMachine& ledger_;
  const PortCall call_;
  const SettledTrade& trade_;
  const uint32_t quote_asset_;
  const uint32_t base_asset_;
  const Uint128 fees_;
  Side buyer_;
  Side seller_;
  std::vector<Lent> purses_;
  std::vector<Leg> legs_;
  std::vector<Owed> owed_;
};

}  // namespace heptane::fintech::exchange
