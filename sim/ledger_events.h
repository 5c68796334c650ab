// What the ledger clients of a simulation ask for: a few accounts that all of them share, and transfers of every kind among
// them, most of which may and some of which must not succeed. Which is which the model says (ledger_watch.h). One owner.
#pragma once

#include <vector>

#include "kernel/base/random.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::sim {

class LedgerEvents {
 public:
  LedgerEvents(SeededRandom& random, uint32_t client) : random_(random), client_(client) {}

  // The same ones for every client.
  static std::vector<fintech::Account> accounts();
  // Batches of one request. `past`: a moment that is over, and behind which there may be no transfer yet; for those of
  // imported events.
  std::vector<std::vector<fintech::Transfer>> transfers(uint64_t past);
  // The client's own, from elsewhere; `past` as above. None: there are enough of them.
  std::vector<fintech::Account> imported_accounts(uint64_t past);

 private:
  fintech::Transfer any();
  fintech::Transfer fresh();
  fintech::Transfer pending();
  fintech::Transfer resolving();
  fintech::Transfer again();
  void import(fintech::Transfer& transfer, uint64_t& past);
  uint64_t moment(uint64_t& past);

  SeededRandom& random_;
  const uint32_t client_;
  uint32_t made_ = 0;                      // ids so far
  std::vector<fintech::Transfer> sent_;    // some of them
  std::vector<fintech::Uint128> pending_;  // ids
  std::vector<fintech::Account> imported_;
};

}  // namespace heptane::sim
