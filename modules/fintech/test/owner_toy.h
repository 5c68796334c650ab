// Toy machines that own accounts of the ledger and move money through its port, as exchanges and devices do: two of them, so
// that one can try what is the other's. Proves who may move whose money; part of no release.
#pragma once

#include <cstring>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech::test {

constexpr MachineId kShopId = machine_ids::kFirstTest + 32;
constexpr MachineId kRivalId = machine_ids::kFirstTest + 33;

enum OwnerCommand : CommandType {
  kOpen = 1,      // payload: accounts. Reply payload: a CreateResult for each
  kPay = 2,       // payload: transfers, one after another. Likewise
  kPayChain = 3,  // payload: transfers, all or none
  kPayAndRefuse = 4,
  kCheck = 5,     // reply payload: results without timestamps
  kPayLater = 6,  // by timer, a second later
};

class OwnerToy final : public StateMachine {
 public:
  explicit OwnerToy(MachineId id) : id_(id) {}

  MachineId id() const override { return id_; }
  std::string_view name() const override { return "toy_owner"; }
  void query(const Query&, Reply&) const override {}
  void open_scope() override { scopes_.push_back(commands_); }
  void close_scope(ScopeOutcome outcome) override {
    if (outcome == ScopeOutcome::roll_back) commands_ = scopes_.back();
    scopes_.pop_back();
  }
  uint64_t memory_bytes() const override { return sizeof(*this); }
  void save(SnapshotWriter& writer) const override { writer.le(commands_); }
  Result<void> restore(SnapshotReader& reader) override {
    commands_ = reader.le<uint64_t>();
    return {};
  }

  void apply(const Command& command, Effects& effects) override {
    if (command.type == kPayLater) {
      effects.arm(command.time + 1'000'000'000, kPay, command.payload);
      return effects.reply(0);
    }
    effects.open_scope();
    ++commands_;
    auto& ledger = effects.port<LedgerMachine>(kLedgerMachineId);
    const std::vector<CreateResult> results = ask(ledger, command, {command, effects});
    const bool refuses = command.type == kPayAndRefuse;
    effects.close_scope(refuses || effects.refused() ? ScopeOutcome::roll_back : ScopeOutcome::keep);
    if (refuses) return effects.refuse(Errc::refused, 0, "thought better of it");
    effects.reply({reinterpret_cast<const std::byte*>(results.data()), results.size() * sizeof(CreateResult)});
  }

 private:
  template <class Row>
  static std::vector<Row> rows(Bytes payload) {
    std::vector<Row> rows(payload.size() / sizeof(Row));
    if (!rows.empty()) std::memcpy(rows.data(), payload.data(), rows.size() * sizeof(Row));
    return rows;
  }
  static std::vector<CreateResult> ask(LedgerPort& ledger, const Command& command, const PortCall& call) {
    std::vector<CreateResult> results;
    if (command.type == kOpen) {
      for (const Account& account : rows<Account>(command.payload))
        results.push_back(ledger.open_account(account, call));
      return results;
    }
    const std::vector<Transfer> transfers = rows<Transfer>(command.payload);
    if (command.type == kPayChain || command.type == kPayAndRefuse) return ledger.chain(transfers, call);
    for (const Transfer& transfer : transfers)
      results.push_back(command.type == kCheck ? CreateResult{0, static_cast<uint32_t>(ledger.check(transfer, call)), 0}
                                               : ledger.transfer(transfer, call));
    return results;
  }

  const MachineId id_;
  uint64_t commands_ = 0;
  std::vector<uint64_t> scopes_;
};

}  // namespace heptane::fintech::test
