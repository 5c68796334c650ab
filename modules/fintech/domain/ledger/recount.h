// Counts all balances again from nothing but the transfers, a slice at a time between commands, and compares them with what
// the ledger says: every account, and the totals of every ledger. Not state: a ledger may be counted at any time, and
// another one begins from its first transfer.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "modules/fintech/domain/ledger/ledger.h"

namespace heptane::fintech {

struct RecountReport {
  static constexpr size_t kNamedMost = 16;
  uint64_t transfers = 0;
  uint64_t accounts = 0;
  uint64_t differing_accounts = 0;
  std::vector<Uint128> named;      // of them
  uint64_t differing_ledgers = 0;  // their totals are not what their accounts hold, or debits are not credits

  bool agrees() const { return differing_accounts == 0 && differing_ledgers == 0; }
};

class Recount {
 public:
  // Counts at most `transfers` more, outside of scopes. True: it has come to the end, and `report` is filled.
  bool step(const Ledger& ledger, uint32_t transfers, RecountReport& report);
  uint32_t counted() const { return next_; }

 private:
  void count(const Ledger& ledger, uint32_t number);
  RecountReport compare(const Ledger& ledger);

  uint32_t next_ = 0;
  std::vector<Balances> counted_;  // by the number of the account
  std::set<uint32_t> open_;        // pending transfers that nothing counted so far has resolved
};

}  // namespace heptane::fintech
