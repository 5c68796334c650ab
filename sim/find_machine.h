// A machine among the modules', by its id. Before bugs are planted. Stateless.
#pragma once

#include "kernel/server/module.h"

namespace heptane::sim {

// Null: there is none.
template <class Machine>
const Machine* find_machine(const server::Modules& modules, MachineId id) {
  for (const auto& module : modules)
    for (StateMachine* machine : module->machines())
      if (machine->id() == id) return static_cast<const Machine*>(machine);
  return nullptr;
}

}  // namespace heptane::sim
