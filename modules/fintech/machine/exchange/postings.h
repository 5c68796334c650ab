// The exchange's money in the ledger: whose account is which, which transfer is for what, and chains of them.
//
// A trading account has for each asset `available` and `held`, whose debits never exceed their credits; the house has for each
// asset `fees` and `omnibus`, against which deposits and withdrawals go, and for a firm that owes it of an asset `receivable`, whose
// credits never exceed their debits (trade_reversal.h). All are sealed (domain/ledger/access.h): nobody outside
// moves anything of them, so what the exchange has checked stays so. Ids are derived: of accounts from account, asset and purse; of
// transfers from the trade and leg (settled_trade.h has those that take one back), from the order and its count of moves, or from the
// deposit's number.
//
// Why a fill cannot fail: its legs are of what its two orders hold (domain/exchange/holds.h); no account of these is ever closed;
// what has been deposited of an asset and not withdrawn is below kSupplyMax, so no transfer is above it, and an order is refused
// once an account that it needs has turned over kTurnoverMax. The shard thread's.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "modules/fintech/domain/exchange/holds.h"
#include "modules/fintech/domain/ledger/access.h"
#include "modules/fintech/domain/ledger/ledger.h"
#include "modules/fintech/domain/ledger/port.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

constexpr Uint128 kSupplyMax = Uint128{1} << 100;
constexpr Uint128 kTurnoverMax = Uint128{1} << 126;

enum class Purse : uint8_t { available = 1, held = 2, fees = 3, omnibus = 4, receivable = 5 };
// Transfer::code.
enum class Purpose : uint16_t {
  deposit = 1,
  withdrawal = 2,
  hold = 3,
  release = 4,
  principal = 5,
  base = 6,
  fee = 7,
  rebate = 8,
  improvement = 9,
  reversal = 10,  // of a trade
  loan = 11,      // receivable -> available
  clearing = 12,  // available -> receivable
};

constexpr uint32_t kHouse = 0;  // in place of a trading account; of `receivable` it is the firm
constexpr Uint128 purse_id(uint32_t account, uint32_t asset, Purse purse) {
  return reserved_id(kExchangeMachineId, uint64_t{account} << 40 | uint64_t{asset} << 8 | static_cast<uint64_t>(purse));
}
// The trading account that it is of, or kHouse.
constexpr uint32_t account_of_purse(Uint128 purse) { return static_cast<uint32_t>(static_cast<uint64_t>(purse) >> 40); }
constexpr uint32_t kLegsMax = 8;  // of a trade
constexpr size_t kChainMax = 24;
constexpr Uint128 trade_leg_id(uint64_t trade, uint32_t leg) {
  return reserved_id(kExchangeMachineId, trade * kLegsMax + leg);
}
constexpr Uint128 order_move_id(uint64_t order, uint16_t move) {
  return reserved_id(kExchangeMachineId, uint64_t{1} << 62 | order << 16 | move);
}
constexpr Uint128 cash_move_id(uint64_t number) { return reserved_id(kExchangeMachineId, uint64_t{2} << 62 | number); }
// What of a deposit clears a receivable.
constexpr Uint128 cash_clearing_id(uint64_t number) { return cash_move_id(uint64_t{1} << 61 | number); }

// Brings into the cache where the ledger will look for an order's first transfer and those of a trade.
void expect_postings(const Ledger& ledger, uint64_t order, uint64_t trade);

// What is on it.
Uint128 balance(const LedgerPort& ledger, uint32_t account, uint32_t asset, Purse purse);
// Below 0: more was given back than was there.
Int128 fees_of(const LedgerPort& ledger, uint32_t asset);
// What a firm owes.
Uint128 owed(const LedgerPort& ledger, uint32_t firm, uint32_t asset);
// Deposited and not withdrawn. Below 0: what firms were lent was withdrawn.
Int128 supply(const LedgerPort& ledger, uint32_t asset);

// Transfers of one command that are all made or none.
class Chain {
 public:
  Chain(LedgerPort& ledger, const PortCall& call) : ledger_(ledger), call_(call) {}

  // Opens the two accounts if they are not there. An error has changed nothing that the caller's scope does not take back.
  Result<void> open(uint32_t account, uint32_t asset);
  Result<void> open_house(uint32_t asset);
  Result<void> open_receivable(uint32_t firm, uint32_t asset) { return open_one(firm, asset, Purse::receivable); }

  struct Tag {
    uint64_t subject = 0;  // user_data_64: the order or trade
    uint32_t instrument = 0;
    Uint128 data = 0;  // user_data_128
  };
  // Nothing for an amount of 0.
  void move(Uint128 id, Purpose purpose, Uint128 debit, Uint128 credit, Uint128 amount, uint32_t asset, Tag tag);
  // The first status that is not `created`; none: all were made.
  std::optional<TransferStatus> post();

 private:
  Result<void> open_one(uint32_t account, uint32_t asset, Purse purse);

  LedgerPort& ledger_;
  const PortCall call_;
  std::array<Transfer, kChainMax> transfers_;  // the first count_ of them
  size_t count_ = 0;
};

}  // namespace heptane::fintech::exchange
