// What the ledger says of a trade: its postings have ids made of its number and are kept for ever, and two of them carry marks that say
// which orders it was of and whom it was reported to. So a trade can be looked up, busted and corrected however old it is, by at most
// eight transfers. Of trades that were made before version 2 of the exchange's logic there are no marks. The shard thread's.
#pragma once

#include <cstdint>

#include "kernel/base/result.h"
#include "modules/fintech/machine/exchange/postings.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech::exchange {

constexpr uint32_t kLogicMarkedTrades = 2;  // version of the exchange's logic: from it on trades have marks

// Legs of a trade: trade_leg_id.
enum class TradeLeg : uint32_t { principal, base, buyer_fee, seller_fee, buyer_rebate, seller_rebate, improvement };
// Of what takes it back: bust_leg_id.
constexpr uint32_t kBustLegsMax = 32;
constexpr Uint128 bust_leg_id(uint64_t trade, uint32_t leg) {
  return reserved_id(kExchangeMachineId, uint64_t{3} << 62 | (trade * kBustLegsMax + leg));
}

// user_data_128 of the principal, and of the base: the buyer's ExecID, the seller's is the next one, and both FIX sessions.
struct TradeMarks {
  uint64_t buy_order = 0;
  uint64_t sell_order = 0;
  uint64_t buyer_exec = 0;
  uint32_t buyer_session = 0;  // 0: none
  uint32_t seller_session = 0;

  bool there() const { return buy_order != 0; }
  Uint128 of_principal() const { return Uint128{buy_order} << 64 | sell_order; }
  Uint128 of_base() const { return Uint128{buyer_exec} << 64 | uint64_t{buyer_session} << 32 | seller_session; }
};

struct SettledTrade {
  uint64_t trade = 0;
  uint32_t instrument = 0;
  TradeMarks marks;
  uint32_t buyer = 0;  // trading accounts
  uint32_t seller = 0;
  Uint128 principal = 0;
  Uint128 base = 0;
  Uint128 buyer_fee = 0;
  Uint128 seller_fee = 0;
  Uint128 buyer_rebate = 0;
  Uint128 seller_rebate = 0;
  uint64_t timestamp = 0;
  bool busted = false;
  uint64_t corrected_by = 0;
};

// not_found: there is none; unsupported: it has no marks.
Result<SettledTrade> settled_trade(const LedgerMachine& ledger, uint64_t trade);

// Price and quantity, out of the postings.
struct TradeTerms {
  int64_t price = 0;
  uint64_t quantity = 0;
  friend bool operator==(const TradeTerms&, const TradeTerms&) = default;
};
TradeTerms terms_of(const SettledTrade& trade, const Instrument& instrument);

}  // namespace heptane::fintech::exchange
