// A toy: keys and values with guards, changes emitted as events. Proves the shard together with its unlike sibling, the
// counter ledger; part of no release.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/machine_files.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"

namespace heptane::test {

constexpr MachineId kKvId = machine_ids::kFirstTest;

enum KvCommand : CommandType {
  kKvPut = 1,     // key, value; refused: value over 1,000 bytes, more than 10,000 keys
  kKvDelete = 2,  // key; refused: not there
  kKvExpect = 3,  // guard: key has this value (empty = is not there)
  kKvCrash = 4,   // ends the process in apply(), as a bug would
};

Buffer kv_payload(std::string_view key, std::string_view value);

class KvMachine final : public StateMachine {
 public:
  // As a port: false and nothing changed when refused.
  bool put(std::string_view key, std::string_view value, Sequence sequence, Effects& effects);

  // Events get another text: what a changed apply() without an activation would do.
  void plant_divergence(bool on) { diverges_ = on; }
  // kKvCrash calls this instead of ending the process, and puts its key without a value.
  void on_crash(std::function<void()> instead) { on_crash_ = std::move(instead); }
  // As if its history lay in these files.
  void keep_history_in(MachineFiles& files) { files_ = &files; }
  // Asked at each restore: as if one of those files were missing.
  void lack_files(std::function<bool()> lacks) { lacks_ = std::move(lacks); }

  MachineId id() const override { return kKvId; }
  std::string_view name() const override { return "toy_kv"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;  // payload: key; reply payload: value
  void open_scope() override { scopes_.push_back(undo_.size()); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override { return values_.size() * 128; }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  uint32_t newest_version() const override { return newest_; }  // 2: puts emit the old value as well
  // As an older program.
  void know_versions_upto(uint32_t version) { newest_ = version; }
  MachineFiles* files() override { return files_; }

 private:
  using Values = std::map<std::string, std::string, std::less<>>;
  void remember(Values::iterator at);  // that it holds what it holds
  void remember_absent(std::string_view key);

  bool diverges_ = false;
  std::function<void()> on_crash_;
  MachineFiles* files_ = nullptr;
  std::function<bool()> lacks_;
  uint32_t newest_ = 2;
  Values values_;
  std::string event_;  // of the command at work; kept for its memory
  std::vector<std::function<void()>> undo_;
  std::vector<size_t> scopes_;
};

}  // namespace heptane::test
