// The machine behind who may do what: users, tokens, roles. Every kept command is an event in the stream `audit`: who did
// what to what, and never a secret. Tokens expire by log time, by a timer each. Bounded: directory.h.
//
// Invariant: an administrator that is the last one keeps the role and stays. The shard thread's; what the I/O threads see of
// it is in the AuthStore, once synced.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/api.h"
#include "kernel/auth/auth_store.h"
#include "kernel/shard/audit_port.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/principal_source.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/users_port.h"

namespace heptane::auth {

class AuthMachine final : public StateMachine, public PrincipalCheck, public AuditPort, public UsersPort {
 public:
  // After recovery: changes are staged there from now on.
  void publish_to(AuthStore& store) { store_ = &store; }
  const Directory& directory() const { return state_; }
  // Before the first command: who is asked of principals that are no users.
  void know(const PrincipalSource& others) { others_ = &others; }

  MachineId id() const override { return machine_ids::kAuth; }
  std::string_view name() const override { return "auth"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { scopes_.emplace_back(); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override { return state_.memory_bytes(); }
  void save(SnapshotWriter& writer) const override { state_.save(writer); }
  Result<void> restore(SnapshotReader& reader) override { return state_.restore(reader); }
  // Taking rights away must work when nothing else does.
  bool relieves(CommandType type) const override {
    return type == kDeleteUser || type == kSetPassword || type == kRevokeToken || type == kRevoke ||
           type == kDeleteRole || type == kExpireToken;
  }

  void audit_denied(const Command& command, std::string_view on, std::string_view detail, uint64_t count,
                    Effects& effects) override;
  void audit_done(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
                  Effects& effects) override {
    audit(command, action, on, effects, detail);
  }

  bool has_user(std::string_view name) const override { return state_.user(name) != nullptr; }
  std::string holder_of(const Principal& principal) const override;

  // The shard's question before it applies a command: the principal is there, as it was when it proved who it is.
  bool in_force(const Principal& principal) const override;

 private:
  void create_user(const Command& command, Effects& effects);
  void alter_user(const Command& command, Effects& effects);
  void delete_user(const Command& command, Effects& effects);
  void set_password(const Command& command, Effects& effects);
  void issue_token(const Command& command, Effects& effects);
  void revoke_token(const Command& command, Effects& effects);
  void create_role(const Command& command, Effects& effects);
  void delete_role(const Command& command, Effects& effects);
  void grant(const Command& command, Effects& effects);
  void revoke(const Command& command, Effects& effects);
  void bootstrap(const Command& command, Effects& effects);
  void report(const Command& command, Effects& effects);
  void note(const Command& command, Effects& effects);

  Directory& changed(const Command& command);  // the state, to be changed by this command
  void put_user(Directory& state, std::string_view name, User user);
  void put_token(Directory& state, std::string_view hash, Token token, LogTime lifetime_ns, Effects& effects);
  void drop_token(Directory& state, std::string hash, Effects& effects);
  void drop_tokens_of(Directory& state, std::string_view owner, Effects& effects);
  // An administrator has something of his own now: the one-time tokens are over.
  void end_one_time_tokens(Directory& state, std::string_view owner, Effects& effects);
  bool is_last_admin(std::string_view user) const;
  std::string who(const Principal& principal) const;
  void audit(const Command& command, std::string_view action, std::string_view on, Effects& effects,
             std::string_view detail = {}, std::string_view outcome = "done");
  void emit(const Command& command, std::string_view by, const std::string& json, Effects& effects);
  void stage();

  Directory state_;
  AuthStore* store_ = nullptr;
  const PrincipalSource* others_ = nullptr;  // null: there are none
  Sequence last_change_ = 0;
  bool dirty_ = false;
  std::vector<std::optional<Directory>> scopes_;  // the state before the scope, kept at its first change
};

}  // namespace heptane::auth
