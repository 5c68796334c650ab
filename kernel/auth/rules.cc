#include "kernel/auth/rules.h"

#include <mutex>
#include <string>
#include <utility>

#include "kernel/auth/gate.h"

namespace heptane::auth {

namespace {

constexpr size_t kResourceBytesMax = 1024;

class GateRules final : public Rules {
 public:
  explicit GateRules(Gate& gate) : gate_(gate) {}

  std::optional<Role> grants(const Identity& identity, std::string_view module) const override {
    if (!gate_.enabled()) return *built_in_role(kAdminRole);
    const AuthStore::View directory = gate_.view();
    const User* user = directory->user(identity.name);
    if (user == nullptr || !gate_.in_force(identity)) return std::nullopt;
    return grants_in(*directory, user->roles, module);
  }

  Role grants_of(const std::set<std::string, std::less<>>& roles, std::string_view module) const override {
    return grants_in(*gate_.view(), roles, module);
  }

  // A copy that is looked at stays until there is another one, so no other has its place in memory.
  uint64_t generation() const override {
    AuthStore::View now = gate_.view();
    const std::lock_guard lock(mutex_);
    if (now != seen_) {
      seen_ = std::move(now);
      ++generation_;
    }
    return generation_;
  }

  void note_denied(const Identity& identity, std::string_view from, std::string_view module, std::string_view resource,
                   Verb verb) override {
    std::string what(module);
    what += ':';
    what += resource.substr(0, kResourceBytesMax);
    what += ' ';
    what += verb_name(verb);
    gate_.incidents().note(Incident::denied, identity.name, from, what);
  }

  void note_failed(std::string_view who, std::string_view from, std::string_view how) override {
    gate_.incidents().note(Incident::failed_authentication, who, from, std::string(how));
  }

 private:
  static Role grants_in(const Directory& directory, const std::set<std::string, std::less<>>& roles,
                        std::string_view module) {
    Role grants;
    for (const std::string& name : roles) {
      const Role* role = directory.role(name);
      if (role == nullptr) continue;
      for (const Permission& permission : *role)
        if (permission.module == "*" || permission.module == module) grants.push_back(permission);
    }
    return grants;
  }

  Gate& gate_;
  mutable std::mutex mutex_;
  mutable AuthStore::View seen_;
  mutable uint64_t generation_ = 0;
};

}  // namespace

std::unique_ptr<Rules> rules_of(Authenticator& authenticator) {
  auto* gate = dynamic_cast<Gate*>(&authenticator);
  return gate == nullptr ? nullptr : std::make_unique<GateRules>(*gate);
}

}  // namespace heptane::auth
