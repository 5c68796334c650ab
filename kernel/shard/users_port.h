// What other machines ask the machine of users (machine_ids::kAuth), by an interface as for its audit trail (audit_port.h). The shard
// thread's.
#pragma once

#include <string>
#include <string_view>

#include "kernel/shard/messages.h"

namespace heptane {

class UsersPort {
 public:
  virtual ~UsersPort() = default;
  virtual bool has_user(std::string_view name) const = 0;
  // A user's name, or what a PrincipalSource calls the holder; empty: the server itself, `local`, or somebody who is not there.
  virtual std::string holder_of(const Principal& principal) const = 0;
};

}  // namespace heptane
