// A port of the machine behind the audit trail (machine_ids::kAuth) that other machines find by its interface: they may not
// know that machine. The shard thread's.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernel/shard/state_machine.h"

namespace heptane {

class AuditPort {
 public:
  virtual ~AuditPort() = default;
  // What the sender of the command that is being applied may not do, and tried `count` times in it: an event of that
  // command. Takes room like any (Effects::room_for): at most 512 bytes beside `on` and `detail`.
  virtual void audit_denied(const Command& command, std::string_view on, std::string_view detail, uint64_t count,
                            Effects& effects) = 0;
  // What the sender of the command did with it: an event of that command. Room as above.
  virtual void audit_done(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
                          Effects& effects) = 0;
};

}  // namespace heptane
