// What an operator does with the exchange, in the audit trail by the same command.
#pragma once

#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"
#include "kernel/shard/effects.h"

namespace heptane::fintech::exchange {

inline void audit(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
                  Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on, detail, effects);
}

}  // namespace heptane::fintech::exchange
