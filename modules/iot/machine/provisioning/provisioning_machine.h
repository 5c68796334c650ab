// The machine that knows what proves who a device is (credentials.h), and how one that shows a claim becomes a thing with a credential
// of its own: by a template, for a certificate that it asked for before (pending_certificates.h). The shard thread's.
//
// Invariants: what is revoked never counts again; a thing's credentials go with it; what an operator does is in the audit trail by the
// same command; whoever was let in by a credential has nothing applied any more once it does not count (in_force). Time outside of a
// command is not known here: what has expired is told by who asks (kQueryProof). Its commands are in no transaction.
#pragma once

#include <atomic>

#include "kernel/shard/effects.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/machine/provisioning/credentials.h"
#include "modules/iot/machine/provisioning/pending_certificates.h"
#include "modules/iot/machine/provisioning/provisioning_api.h"

namespace heptane::iot::devices {

class ProvisioningMachine final : public StateMachine, public ThingWatch, public PrincipalSource {
 public:
  MachineId id() const override { return kProvisioningMachineId; }
  std::string_view name() const override { return "provisioning"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { ++scopes_; }
  void close_scope(ScopeOutcome) override { --scopes_; }
  uint64_t memory_bytes() const override { return credentials_.bytes() + pending_.bytes() + template_bytes_; }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return credentials_.fresh() && templates_.empty(); }
  void make_fresh() override;
  // Taking away what proves something must work when nothing else does.
  bool relieves(CommandType type) const override {
    return type == kChangeCredential || type == kDropCredential || type == kDropTemplate;
  }

  MachineId watch_id() const override { return kProvisioningMachineId; }
  void thing_gone(std::string_view thing, const Command& command, Effects& effects) override;

  bool in_force(const Principal& principal) const override;
  std::string principal_name(const Principal& principal) const override;
  std::string holder_of(const Principal& principal) const override;

  const Credentials& credentials() const { return credentials_; }
  const PendingCertificates& pending() const { return pending_; }

  // For metrics, and for who asks whether there is anything to ask for; any thread.
  uint64_t credentials_count() const { return count_.load(std::memory_order_relaxed); }

 private:
  void apply_add(const Command& command, Effects& effects);
  void apply_change(const Command& command, Effects& effects);
  void apply_drop(const Command& command, Effects& effects);
  static bool is_users(std::string_view thing, Effects& effects);
  // provisioning_commands.cc
  void apply_put_template(const Command& command, Effects& effects);
  void apply_drop_template(const Command& command, Effects& effects);
  void apply_issue(const Command& command, Effects& effects);
  void apply_provision(const Command& command, Effects& effects);
  const CredentialRow* claim_of(const Command& command) const;
  const ProvisioningTemplate* template_of(const CredentialRow& claim, std::string_view name) const;
  std::optional<Error> judge(const ProvisioningTemplate& by, const Thing& thing, const Registry& registry,
                             LogTime now) const;
  void query_templates(const Query& query, Reply& reply) const;
  void query_claims(const Query& query, Reply& reply) const;

  void query_proof(const Query& query, Reply& reply) const;
  void query_of_thing(const Query& query, Reply& reply) const;
  void query_of_things(const Query& query, Reply& reply) const;
  void count() { count_.store(credentials_.size(), std::memory_order_relaxed); }

  Credentials credentials_;
  PendingCertificates pending_;
  std::map<std::string, ProvisioningTemplate, std::less<>> templates_;
  size_t template_bytes_ = 0;
  size_t scopes_ = 0;
  // deterministic: metrics and the gateway read it, apply() never does
  std::atomic<uint64_t> count_{0};
};

}  // namespace heptane::iot::devices
