// What another machine of the shard may ask of the ledger while it applies its own command. The caller opens a scope first
// when it may refuse later (Effects::open_scope): what it does here is taken back with it.
//
// Invariants: the caller acts as itself (access.h): accounts that it opens are its own, it debits those and the ones that are
// nobody's, and its ids are in its range or in nobody's. What is created stands in the ledger's views like everything else, and a
// time-out is the ledger's to keep. The shard thread's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernel/base/ids.h"
#include "modules/fintech/domain/ledger/status.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane {
struct Command;
class Effects;
}  // namespace heptane

namespace heptane::fintech {

constexpr MachineId kLedgerMachineId = 17;  // behind which the port is, for ever

// The command that the caller is applying: who it is, when it is.
struct PortCall {
  const Command& command;
  Effects& effects;
};

class LedgerPort {
 public:
  virtual ~LedgerPort() = default;

  // Null: there is none.
  virtual const Account* account(Uint128 id) const = 0;
  // Opens one that belongs to the caller. AccountStatus.
  virtual CreateResult open_account(const Account& account, const PortCall& call) = 0;
  // What a transfer would become now. Changes nothing.
  virtual TransferStatus check(const Transfer& transfer, const PortCall& call) = 0;
  // Creates it, or changes nothing but what a failure leaves (a used-up id).
  virtual CreateResult transfer(const Transfer& transfer, const PortCall& call) = 0;
  // All of them or none. When one command makes more records than it may, the command is refused (Effects::refused): the
  // caller rolls its scope back and returns.
  virtual std::vector<CreateResult> chain(std::span<const Transfer> transfers, const PortCall& call) = 0;
};

}  // namespace heptane::fintech
