// What another machine of the shard may ask of the ledger while it applies its own command. The caller enlists the ledger
// first (Effects::enlist), so that what it does here is taken back with the caller's scope.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "modules/fintech/domain/ledger/status.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

class LedgerPort {
 public:
  virtual ~LedgerPort() = default;

  // Null: there is none.
  virtual const Account* account(Uint128 id) const = 0;
  // What a transfer would become now. Changes nothing.
  virtual TransferStatus check(const Transfer& transfer, int64_t now) = 0;
  // Creates it, or changes nothing but what a failure leaves (a used-up id). Without time-outs: those need the ledger's
  // own commands.
  virtual CreateResult transfer(const Transfer& transfer, int64_t now) = 0;
  // All of them or none.
  virtual std::vector<CreateResult> chain(std::span<const Transfer> transfers, int64_t now) = 0;
};

}  // namespace heptane::fintech
