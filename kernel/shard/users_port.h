// What other machines ask the machine of users (machine_ids::kAuth), by an interface as for its audit trail (audit_port.h). The shard
// thread's.
#pragma once

#include <string_view>

namespace heptane {

class UsersPort {
 public:
  virtual ~UsersPort() = default;
  virtual bool has_user(std::string_view name) const = 0;
};

}  // namespace heptane
