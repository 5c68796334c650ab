// The shard's question about who sent a command: is this principal, in this version, still in force? Asked before the
// command is applied, so that a revocation holds from its acknowledgement on, whatever was on its way. Not part of replay:
// what it refuses is not logged. The shard thread's.
#pragma once

#include "kernel/shard/messages.h"

namespace heptane {

class PrincipalCheck {
 public:
  virtual ~PrincipalCheck() = default;
  virtual bool in_force(const Principal& principal) const = 0;
};

}  // namespace heptane
