// Of a machine whose commands make another one larger (what they do through its port): such a command is admitted only where that
// one's memory budget has room, too, as its own commands are. Asked before a command is logged, never in replay. The shard thread's.
#pragma once

#include <optional>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"

namespace heptane {

class DrawsOn {
 public:
  virtual ~DrawsOn() = default;
  // Which one that is. nullopt: none. The payload may be malformed.
  virtual std::optional<MachineId> draws_on(CommandType type, Bytes payload) const = 0;
};

}  // namespace heptane
