// Planted bugs of the exchange, each as a layer around its machine, so that the machine under test stays the very one that ships
// (planted_ledger.h has the ledger's, and puts both where they belong). One owner.
#pragma once

#include <memory>

#include "kernel/shard/state_machine.h"
#include "sim/simulator_bugs.h"

namespace heptane::sim {

bool is_of_exchange(PlantedBug bug);
// The exchange with a layer around it, which holds on to it.
std::unique_ptr<StateMachine> planted_exchange(StateMachine& exchange, PlantedBug bug);

}  // namespace heptane::sim
