// The machine of devices: the registry of things (registry.h), who of them is connected, their shadows (shadows.h). The shard
// thread's.
//
// Invariants: a thing is made whole or not at all; what an operator does is in the audit trail by the same command; limits are
// those that the log knew when the command was applied; a shadow is a registered thing's and goes with it. Every request of a
// shadow is answered by the command that carries it, rejections too. Its commands are in no transaction.
#pragma once

#include <atomic>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/machine/devices/registry.h"
#include "modules/iot/machine/devices/shadow_api.h"
#include "modules/iot/machine/devices/shadow_changes.h"
#include "modules/iot/machine/devices/shadows.h"

namespace heptane::iot::devices {

// A machine that hears of things that go.
class ThingWatch {
 public:
  virtual ~ThingWatch() = default;
  virtual MachineId watch_id() const = 0;
  // By the running command. Replies nothing.
  virtual void thing_gone(std::string_view thing, const Command& command, Effects& effects) = 0;
};

class DevicesMachine final : public StateMachine {
 public:
  MachineId id() const override { return kDevicesMachineId; }
  std::string_view name() const override { return "devices"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { ++scopes_; }
  void close_scope(ScopeOutcome) override { --scopes_; }
  uint64_t memory_bytes() const override { return registry_.bytes() + shadows_.bytes(); }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return registry_.fresh() && shadows_.empty(); }
  void make_fresh() override;
  // Who is connected as well: no thing grows by it, and what is not told stays wrong.
  bool relieves(CommandType type) const override {
    return type == kDeleteThing || type == kForgetShadow || type == kConnections || type == kStarted;
  }
  RenderView renderer() const override { return render_shadows; }

  // Before the first command; they hear in the order in which they were added.
  void add_watch(ThingWatch& watch) { watches_.push_back(&watch); }

  // For a machine that makes things in a command of its own: it is made, or what is said of it there is put to what it is. An error
  // has changed nothing.
  Result<void> provision(const Thing& thing, const Command& command, const Effects& effects);

  // For other machines (shadow_commands.cc): what one changes in shadows within its own command. Before it changes anything:
  // the stream that tells of them; nullopt: a client's stream stands in the way (kShadowsTaken).
  static std::optional<PartitionId> shadows_view(const Command& command, Effects& effects);
  // Behind everything that may refuse: keeps, tells and announces it, where the broker has room to. `first`: the first record.
  struct ToldShadows {
    ShadowReply reply;
    Offset first = 0;
  };
  ToldShadows keep(const ShadowChanges& changes, PartitionId partition, const Command& command, Effects& effects);

  const Registry& registry() const { return registry_; }
  const Shadows& shadows() const { return shadows_; }

  // For metrics, and for who asks whether there is anybody to tell of; any thread.
  uint64_t things_count() const { return things_count_.load(std::memory_order_relaxed); }

 private:
  void apply_create(const Command& command, Effects& effects);
  void apply_update(const Command& command, Effects& effects);
  void apply_delete(const Command& command, Effects& effects);
  void apply_connections(const Command& command, Effects& effects);
  // shadow_commands.cc
  void apply_shadow(const Command& command, Effects& effects);
  void apply_forget_shadow(const Command& command, Effects& effects);
  void keep(const std::string& thing, const std::string& name, const Shadow& shadow, LogTime now, Effects& effects);
  void query_shadow(const Query& query, Reply& reply) const;
  void query_shadow_names(const Query& query, Reply& reply) const;
  void count() { things_count_.store(registry_.size(), std::memory_order_relaxed); }

  std::vector<ThingWatch*> watches_;
  Registry registry_;
  Shadows shadows_;
  size_t scopes_ = 0;
  // deterministic: metrics and the gateway read it, apply() never does
  std::atomic<uint64_t> things_count_{0};
};

}  // namespace heptane::iot::devices
