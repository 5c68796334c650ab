// Principals that are not users: a module's machine knows them, by ids from kFirstForeignPrincipal on, which no user has. What the
// shard asks of a principal (principal_check.h) and what the audit trail calls it. State of a machine, so that replay says the
// same. The shard thread's.
#pragma once

#include <string>

#include "kernel/shard/principal_check.h"

namespace heptane {

constexpr uint32_t kFirstForeignPrincipal = 1U << 31;

class PrincipalSource : public PrincipalCheck {
 public:
  virtual std::string principal_name(const Principal& principal) const = 0;
  // Whoever proves to be it, whichever way he proves it; empty: nobody is.
  virtual std::string holder_of(const Principal& principal) const = 0;
};

}  // namespace heptane
