// A toy: dense accounts with balances, transfers that refuse, holds that expire by timer, notes written through the KV's
// port inside a scope. Unlike the KV in everything: fixed layout, money, timers, calls.
#pragma once

#include <map>
#include <vector>

#include "test/toys/kv_machine.h"

namespace heptane::test {

constexpr MachineId kLedgerId = machine_ids::kFirstTest + 1;

enum LedgerCommand : CommandType {
  kLedgerDeposit = 1,   // to, amount
  kLedgerTransfer = 2,  // from, to, amount; refused: insufficient
  kLedgerHold = 3,      // from, amount, nanoseconds; given back by timer
  kLedgerRelease = 4,   // the timer's
  kLedgerNoted = 5,     // from, to, amount, then note bytes: a transfer and a KV put in one scope
  kLedgerExpect = 6,    // guard: account has at least amount
};

struct LedgerOperation {
  uint32_t from = 0;
  uint32_t to = 0;
  int64_t amount = 0;
  int64_t extra = 0;
};
Buffer ledger_payload(const LedgerOperation& operation, std::string_view note = {});

class CounterLedger final : public StateMachine {
 public:
  static constexpr uint32_t kAccounts = 256;

  MachineId id() const override { return kLedgerId; }
  std::string_view name() const override { return "toy_ledger"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;  // payload: u32 account; numbers[0]: balance
  void open_scope() override { scopes_.push_back(undo_.size()); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override { return sizeof(*this); }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;

  int64_t balance(uint32_t account) const { return balances_[account]; }
  int64_t total() const;  // with what is held; only deposits change it

 private:
  struct Change {
    uint32_t account;
    int64_t before;
  };
  void set(uint32_t account, int64_t balance);
  bool move(const LedgerOperation& operation, Effects& effects);

  std::vector<int64_t> balances_ = std::vector<int64_t>(kAccounts + 1);  // the last one holds what is held
  std::vector<Change> undo_;
  std::vector<size_t> scopes_;
};

}  // namespace heptane::test
