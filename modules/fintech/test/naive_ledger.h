// A second ledger, as plain as can be, written from TigerBeetle's reference (docs/reference of 0.17) without a look at the
// first: maps, whole copies for chains, every status that holds is collected and the first of the documented order wins.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech::test {

class NaiveLedger {
 public:
  uint64_t advance(uint64_t now, uint64_t events);
  std::vector<CreateResult> create_accounts(uint64_t timestamp, const std::vector<Account>& events);
  std::vector<CreateResult> create_transfers(uint64_t timestamp, const std::vector<Transfer>& events);
  void expire(uint64_t now, uint32_t limit);

  struct State {
    uint64_t clock = 0;
    std::map<Uint128, Account> accounts;
    std::map<Uint128, Transfer> transfers;
    std::map<Uint128, PendingStatus> pendings;
    std::set<Uint128> failed;
    std::map<std::pair<Uint128, uint64_t>, AccountBalance> balances;  // of accounts with history, at each transfer
  };
  const State& state() const { return state_; }

 private:
  uint32_t account_status(const Account& a, uint64_t now) const;
  uint32_t transfer_status(const Transfer& t, uint64_t now) const;
  void keep_account(const Account& a, uint64_t now);
  void keep_transfer(const Transfer& t, uint64_t now);
  Uint128 moved(const Transfer& t) const;

  State state_;
};

// All statuses but `created`, in the documented order.
const std::vector<uint32_t>& naive_account_order();
const std::vector<uint32_t>& naive_transfer_order();

}  // namespace heptane::fintech::test
