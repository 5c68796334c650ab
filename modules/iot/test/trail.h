// The machine of users as far as the broker needs it: who there is, and what it was told for the audit trail. Test support.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/shard/audit_port.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/principal_source.h"
#include "kernel/shard/users_port.h"

namespace heptane::iot::test {

class Trail final : public StateMachine, public AuditPort, public UsersPort {
 public:
  MachineId id() const override { return machine_ids::kAuth; }
  std::string_view name() const override { return "auth"; }
  void apply(const Command&, Effects&) override {}
  void query(const Query&, Reply&) const override {}
  void open_scope() override {}
  void close_scope(ScopeOutcome) override {}
  uint64_t memory_bytes() const override { return 0; }
  void save(SnapshotWriter&) const override {}
  Result<void> restore(SnapshotReader&) override { return {}; }

  void audit_denied(const Command&, std::string_view on, std::string_view, uint64_t, Effects&) override {
    told.push_back("denied " + std::string(on));
  }
  void audit_done(const Command&, std::string_view action, std::string_view on, std::string_view detail,
                  Effects&) override {
    told.push_back(std::string(action) + ' ' + std::string(on) + ": " + std::string(detail));
  }

  bool has_user(std::string_view name) const override { return users.contains(name); }
  std::string holder_of(const Principal& principal) const override {
    if (principal.id >= kFirstForeignPrincipal && others != nullptr) return others->holder_of(principal);
    const auto found = names.find(principal.id);
    return found == names.end() ? std::string() : found->second;
  }

  std::vector<std::string> told;
  std::set<std::string, std::less<>> users;
  std::map<uint32_t, std::string> names;  // of users by their ids
  const PrincipalSource* others = nullptr;
};

}  // namespace heptane::iot::test
