// The machine of rules (rule_api.h): which rules there are, and for each how far it has read. The shard thread's.
//
// Invariants: a run of inputs is taken only when it begins at the rule's position, and the position moves with its effects in one
// command: whatever is sent again or comes late changes nothing. A refused effect, and an input that a rule can make nothing of,
// is a dead letter in `iot.rules` with nothing else of the input done (logic 5), and the position goes on. What is posted to others is a record of `iot.outbox`, and how far it was
// sent goes on by a command of its own. What rules make that others read is no circle, and no chain longer than kChainMax.
// Its commands are in no transaction; what rules do to the ledger they do as this machine, and orders are those of the firm that the rule names.
// A refused order is a dead letter, too; where its instrument takes none for now the run waits.
#pragma once

#include <atomic>
#include <map>
#include <string>

#include "kernel/shard/draws_on.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/machine/rules/outbox_api.h"
#include "modules/iot/machine/rules/rule_api.h"

namespace heptane::iot::rules {

class RulesMachine final : public StateMachine, public DrawsOn {
 public:
  // Logic 1: transfers, appends and messages. Logic 2: shadows, posts and series, too; a run is measured by what it may tell; nothing of
  // it stays where it is refused; no rule reads iot.outbox.
  static constexpr uint32_t kLogicActions = 2;
  // Logic 3: rules over windows, and with Lua. Logic 4: kLogicOnce.
  static constexpr uint32_t kLogicWindows = 3;
  // Logic 5: of an input all is done or nothing: what a refused effect stands behind is taken back, a transfer too. And orders: kLogicOrders.
  static constexpr uint32_t kLogicWhole = 5;

  MachineId id() const override { return kRulesMachineId; }
  std::string_view name() const override { return "rules"; }
  uint32_t newest_version() const override { return kLogicWhole; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { ++scopes_; }
  void close_scope(ScopeOutcome) override { --scopes_; }
  uint64_t memory_bytes() const override { return bytes_; }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return rules_.empty(); }
  void make_fresh() override;
  bool relieves(CommandType type) const override {
    return type == kDropRule || type == kPauseRule || type == kOutboxCommit;
  }
  RenderView renderer() const override { return render_rules; }
  // What makes transfers, on the ledger; what enters orders, on the exchange.
  std::optional<MachineId> draws_on(CommandType type, Bytes payload) const override;

  // Made where it is not there; nullopt: a client's stream stands in the way (kOutboxTaken).
  static std::optional<PartitionId> outbox_view(const Command& command, Effects& effects);

  const std::map<std::string, RuleRow, std::less<>>& rules() const { return rules_; }
  // For metrics and the runner, which looks again when it has changed; any thread.
  uint64_t rules_count() const { return count_.load(std::memory_order_relaxed); }
  uint64_t paused_count() const { return paused_.load(std::memory_order_relaxed); }
  // Since the start, what recovery did again included.
  uint64_t dead_letters_count() const { return dead_letters_.load(std::memory_order_relaxed); }

 private:
  using Rules = std::map<std::string, RuleRow, std::less<>>;

  void apply_put(const Command& command, Effects& effects);
  void apply_drop(const Command& command, Effects& effects);
  void apply_pause(const Command& command, Effects& effects);
  void apply_resume(const Command& command, Effects& effects);
  void apply_commit(const Command& command, Effects& effects);
  void apply_outbox(const Command& command, Effects& effects);
  // Why the rule is not taken by this logic; empty: it is.
  static std::string wrong_for_logic(const RuleDefinition& rule, uint32_t version);
  std::string wrong_chain(const RuleDefinition& rule) const;
  void recount();

  Rules rules_;
  uint64_t bytes_ = 0;
  size_t scopes_ = 0;
  // deterministic: metrics read them, apply() never does
  std::atomic<uint64_t> count_{0};
  // deterministic: likewise
  std::atomic<uint64_t> paused_{0};
  // deterministic: likewise
  std::atomic<uint64_t> dead_letters_{0};
};

}  // namespace heptane::iot::rules
