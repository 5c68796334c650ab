// The ledger as a machine of the shard: commands carry bodies as clients sent them, expiry is a timer, client sessions and
// their last reply are state. What is created is told in two views (views.h). The ledger's clock is the later of the
// command's log time and the last timestamp + events. Who may touch what: domain/ledger/access.h. The shard thread's.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/fintech/domain/ledger/ledger.h"
#include "modules/fintech/domain/ledger/port.h"
#include "modules/fintech/domain/ledger/recount.h"
#include "modules/fintech/machine/ledger/api.h"
#include "modules/fintech/machine/ledger/assets.h"
#include "modules/fintech/machine/ledger/client_sessions.h"
#include "modules/fintech/machine/ledger/ledger_files.h"
#include "modules/fintech/machine/ledger/query_slices.h"
#include "modules/fintech/machine/ledger/views.h"

namespace heptane::fintech {

class LedgerMachine final : public StateMachine, public LedgerPort {
 public:
  // The key of its indexes: nothing that anybody can see depends on it.
  explicit LedgerMachine(uint64_t index_key = 0, uint32_t rows_per_file = kRowsPerFile)
      : ledger_(index_key, rows_per_file) {}

  MachineId id() const override { return kLedgerMachineId; }
  std::string_view name() const override { return "ledger"; }
  void apply(const Command& command, Effects& effects) override;
  void expect(const Command& command) const override;
  void query(const Query& query, Reply& reply) const override;
  std::unique_ptr<QueryInSlices> begin_query(const Query& query) const override { return slices_of(query, false); }
  void open_scope() override;
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override { return ledger_.memory_bytes() + sessions_.memory_bytes(); }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  // Sessions too, without which nothing is read or settled: there are never more than so many.
  bool relieves(CommandType type) const override {
    return type == kExpire || type == kSettleTransfers || type == kRegister || type == kTouch;
  }
  // 2: the answer to a caller without a session says what failed first in its numbers; the views are kept for ever.
  // 3: settlements are commands of their own; sessions that only read are in use.
  // 4: what other machines are refused is audited; a settlement is looked for among the repeats first.
  uint32_t newest_version() const override { return kLogicPortAudit; }
  int64_t apply_budget_ns() const override { return 5'000'000; }  // a full batch
  RenderView renderer() const override { return render_view; }
  MachineFiles* files() override { return &files_; }
  // See LedgerFiles.
  void set_cache_bytes(uint64_t bytes) { files_.set_cache_bytes(bytes); }
  // The recount: behind a start of all that was restored or replayed, at each snapshot of what was made since the last one.
  bool idle_work() override;
  void snapshot_begun() override { recount_due_ = true; }
  std::optional<std::string> take_alarm() override { return std::exchange(alarm_, std::nullopt); }

  const Account* account(Uint128 id) const override { return ledger_.find_account(id); }
  CreateResult open_account(const Account& account, const PortCall& call) override;
  TransferStatus check(const Transfer& transfer, const PortCall& call) override;
  CreateResult transfer(const Transfer& transfer, const PortCall& call) override;
  std::vector<CreateResult> chain(std::span<const Transfer> transfers, const PortCall& call) override;

  // What cannot be read ends the process before anything is acknowledged.
  std::optional<Transfer> find_transfer(Uint128 id) const;
  const Ledger& ledger() const { return ledger_; }
  const ClientSessions& sessions() const { return sessions_; }
  const Assets& assets() const { return assets_; }
  // For metrics; any thread.
  uint64_t recounts_total() const { return recounts_total_.load(std::memory_order_relaxed); }
  uint64_t reads_in_apply_total() const { return reads_in_apply_total_.load(std::memory_order_relaxed); }
  uint64_t recount_differences() const { return recount_differences_.load(std::memory_order_relaxed); }

 private:
  bool settles_something(const Command& command, const Effects& effects) const;
  struct Own {  // small state, taken back whole
    uint64_t last_commit = 0;
    TimerId timer = 0;       // 0 = not armed
    uint64_t timer_due = 0;  // what it is armed for
    // Of the command that is being applied, so not saved: the kinds of refusals by the port that are in the audit trail.
    Sequence told_in = 0;
    uint8_t told = 0;
  };
  enum class Standing : uint8_t { fresh, repeat, refused };
  struct Judgement {
    Standing standing = Standing::fresh;
    LedgerRefusal refusal = LedgerRefusal::dropped;
  };

  void apply_one(const Command& command, Effects& effects);
  void apply_register(const Command& command, Effects& effects);
  void apply_touch(const Command& command, Effects& effects);
  void apply_create(const Command& command, const OperationRow& row, Effects& effects);
  void apply_expire(const Command& command, Effects& effects);
  // ledger_operations.cc
  void apply_asset(const Command& command, Effects& effects);
  void apply_transfer_all(const Command& command, Effects& effects);
  void apply_guard(const Command& command, Effects& effects);
  Result<Uint128> amount_of(const Decimal& decimal, uint32_t ledger) const;
  std::vector<std::byte> create(const OperationRow& row, const MultiBatch& batches, LogTime time);
  bool tell(Sequence sequence, Effects& effects);
  // ledger_port.cc
  std::vector<CreateResult> move(std::span<const Transfer> transfers, const PortCall& call);
  bool audit(const Command& command, Effects& effects, uint8_t& told);
  bool audit_port(const PortCall& call);
  Judgement judge(const Caller& caller) const;
  void rearm(LogTime now, Effects& effects);
  // A timestamp is at least 1.
  static uint64_t ledger_time(LogTime time) { return static_cast<uint64_t>(std::max<LogTime>(1, time)); }
  // ledger_queries.cc
  class RecountSlices;
  std::optional<LedgerRefusal> refusal_of(const OperationRow& row, const Query& query) const;
  std::unique_ptr<QueryInSlices> slices_of(const Query& query, bool may_wait) const;
  void query_now(const Query& query, Reply& reply) const;
  void standing_of(const Query& query, Reply& reply) const;
  void lookup_accounts(const MultiBatch& batches, bool owners, Reply& reply) const;
  void totals(Reply& reply) const;
  Scanned recount_step(Recount& recount, bool may_wait) const;
  void tell(const RecountReport& report) const;

  Ledger ledger_;
  LedgerFiles files_{ledger_};
  ClientSessions sessions_;
  Assets assets_;
  Own own_;
  std::vector<Own> own_before_;  // at the opening of each scope
  std::vector<CreateResult> results_;
  std::vector<Transfer> linked_;  // by the port
  ViewNote note_;
  // Not state: nothing that apply() does depends on it.
  mutable Recount recount_;  // that somebody asked for, from the first transfer on
  Recount running_;          // goes on at each snapshot
  bool recount_due_ = true;
  mutable RecountRow recounted_;
  mutable std::optional<std::string> alarm_;
  mutable std::string recount_damage_;  // what the last one could not read; it found nothing out
  // deterministic: metrics read it, apply() never does; blocks of row files
  std::atomic<uint64_t> reads_in_apply_total_{0};
  // deterministic: metrics read them, apply() never does
  mutable std::atomic<uint64_t> recounts_total_{0};
  // deterministic: likewise; accounts and ledgers, in the last one
  mutable std::atomic<uint64_t> recount_differences_{0};
};

}  // namespace heptane::fintech
