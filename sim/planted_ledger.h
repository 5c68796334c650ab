// Planted bugs of the ledger: mistakes that a ledger makes in real life, each as a layer around the ledger's machine, so that
// the machine under test stays the very one that ships. Without such a bug there is no layer. One owner.
#pragma once

#include "kernel/server/module.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "sim/simulator_bugs.h"

namespace heptane::sim {

// The ledger among the machines; null: there is none.
const fintech::LedgerMachine* find_ledger(const server::Modules& modules);
// Then the ledger's machine has a layer around it, behind which other machines do not find the ledger's own functions.
bool is_of_ledger(PlantedBug bug);
// The modules with the bug in the ledger or the exchange (planted_exchange.h); as they are when it is none of theirs. find_ledger()
// comes before.
server::Modules plant(server::Modules modules, PlantedBug bug);

}  // namespace heptane::sim
