// For a gateway that judges by patterns itself, because they name the one who asks: what the roles say of its module, and a number
// that tells whether they may say something else by now. Answers come from what is synced, as the Gate's do. The gateway notes
// what it refuses. The I/O threads' (a short mutex).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "kernel/auth/sasl.h"

namespace heptane::auth {

class Rules {
 public:
  virtual ~Rules() = default;
  // In the order of the roles' names; nullopt: the identity is not in force.
  virtual std::optional<Role> grants(const Identity& identity, std::string_view module) const = 0;
  // What these roles say of the module, whoever has them: a device whose credential names them. One that is not there says
  // nothing.
  virtual Role grants_of(const std::set<std::string, std::less<>>& roles, std::string_view module) const {
    (void)roles, (void)module;
    return {};
  }
  // What was made of grants() is good as long as this stays.
  virtual uint64_t generation() const = 0;
  // As Authenticator::allows notes it.
  virtual void note_denied(const Identity& identity, std::string_view from, std::string_view module,
                           std::string_view resource, Verb verb) = 0;
  // A proof that did not hold, of a kind that the Authenticator does not know, as it notes its own.
  virtual void note_failed(std::string_view who, std::string_view from, std::string_view how) {
    (void)who, (void)from, (void)how;
  }
};

// Of a Gate, which outlives them; null: the authenticator is another one, and knows no roles.
std::unique_ptr<Rules> rules_of(Authenticator& authenticator);

}  // namespace heptane::auth
