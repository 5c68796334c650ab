// The exchange with the ledger, the streams and an audit trail, and of a shard what they need: one command at a time is applied and
// kept. Without log, clock or threads. Support of tests and benches; one owner.
#pragma once

#include <string>
#include <vector>

#include "kernel/shard/audit_port.h"
#include "kernel/shard/command_run.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange::test {

class Trail final : public StateMachine, public AuditPort {
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
  void audit_denied(const Command&, std::string_view, std::string_view, uint64_t, Effects&) override {}
  void audit_done(const Command&, std::string_view action, std::string_view on, std::string_view, Effects&) override {
    told.push_back(std::string(action) + ' ' + std::string(on));
  }

  std::vector<std::string> told;
};

class ExchangeShard {
 public:
  explicit ExchangeShard(uint32_t client_ids_max = kClientIdsMax) : exchange(client_ids_max) {
    kernel.versions[kLedgerMachineId] = ledger.newest_version();
    kernel.versions[kExchangeMachineId] = exchange.newest_version();
    exchange.set_ledger(ledger);
    for (StateMachine* machine : std::initializer_list<StateMachine*>{&streams, &ledger, &exchange, &trail})
      machines.add(*machine);
    run.set_streams(&streams);
  }
  ExchangeShard(const ExchangeShard&) = delete;
  ExchangeShard& operator=(const ExchangeShard&) = delete;

  // `before_kept(command)` is called when what it did is about to be kept: then `run` still has what goes into its entry.
  template <class BeforeKept>
  Reply apply(StateMachine& machine, CommandType type, const Buffer& payload, LogTime time, BeforeKept before_kept) {
    Command command;
    command.sequence = sequence + 1;
    command.time = time;
    command.machine = machine.id();
    command.type = type;
    command.payload = payload.view();
    run.begin(command.sequence, command.time);
    run.apply(machine, command);
    Reply reply = run.reply();
    if (run.outcome() != CommandOutcome::kept) return reply;
    ++sequence;
    before_kept(command);
    run.keep(command, 0, false, digest);
    return reply;
  }

  streams::StreamsMachine streams;
  LedgerMachine ledger;
  ExchangeMachine exchange;
  Trail trail;
  KernelState kernel;
  Sequence sequence = 0;  // of the last one kept
  DigestAccumulator digest;
  MachineTable machines;
  CommandRun run{machines, kernel};
};

}  // namespace heptane::fintech::exchange::test
