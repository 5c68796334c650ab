// The broker as a machine of the shard: what is published at QoS 1 and 2 or retained passes through its commands. It keeps
// retained messages and counts the records of `iot.messages` (a view: rendered from the commands, kernel/shard/views.h).
// Connections, and sessions that end with them, are not its business. The shard thread's.
#pragma once

#include <functional>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/retained.h"

namespace heptane::iot {

class BrokerMachine final : public StateMachine {
 public:
  MachineId id() const override { return kBrokerMachineId; }
  std::string_view name() const override { return "broker"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { scopes_.push_back(undo_.size()); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override { return retained_.bytes(); }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return retained_.size() == 0; }
  void make_fresh() override { retained_ = {}; }
  bool relieves(CommandType type) const override { return type == kExpireRetained; }
  RenderView renderer() const override { return render_messages; }

  const RetainedMessages& retained() const { return retained_; }

 private:
  void apply_publish(const Command& command, Effects& effects);
  void apply_expire(const Command& command, Effects& effects);
  PublishStatus publish(const MessageView& message, LogTime now, Effects& effects);
  void forget(std::string_view topic, Effects& effects);
  void undoable(std::string_view topic);

  RetainedMessages retained_;
  std::vector<std::function<void()>> undo_;
  std::vector<size_t> scopes_;  // undo_ sizes at their opening
};

}  // namespace heptane::iot
