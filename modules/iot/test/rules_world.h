// The machine of rules with the ledger, the exchange, the broker and streams in a shard on a log in memory. A crash keeps the log and forgets the
// rest. Test support.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/log/memory_log.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/shard/shard.h"
#include "kernel/shard/versions.h"
#include "kernel/streams/api.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/domain/ledger/multi_batch.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/fintech/test/owner_toy.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/devices/devices_machine.h"
#include "modules/iot/machine/rules/rules_machine.h"
#include "modules/iot/machine/series/series_machine.h"
#include "modules/iot/test/trail.h"
#include "sim/sim_clock.h"

namespace heptane::iot::rules::test {

class RulesWorld {
 public:
  // `logic`: of rules.
  explicit RulesWorld(uint32_t logic = RulesMachine::kLogicWhole) {
    boot();
    if (logic > 1) activate(logic);
  }
  void activate(uint32_t logic, MachineId machine = kRulesMachineId) {
    Submission activation = make_activation(machine, logic);
    const Reply reply = run(activation.machine, activation.type, std::move(activation.payload));
    ASSERT_TRUE(reply.ok()) << reply.message;
  }

  void set_budget(uint64_t bytes) { shard_->set_machine_memory_budget(bytes); }
  uint64_t ledger_bytes() const { return ledger_->memory_bytes(); }
  void advance(int64_t ns) { clock_.advance(ns); }

  void crash_and_recover() {
    log_.drop();
    boot();
  }
  Reply run(MachineId machine, CommandType type, Buffer payload) {
    const bool pushed =
        link_->requests.try_push(ShardRequest{1, ++request_, streams::make_command(machine, type, std::move(payload))});
    HEPTANE_ASSERT(pushed, "the test submits more than the ring holds");
    bool more = true;
    while (more) {
      more = shard_->run_once();
      more = committer_->run_once() || more;
      more = !link_->requests.empty() || more;
    }
    shard_->run_once();
    ShardReply* front = link_->gated.front();
    HEPTANE_ASSERT(front != nullptr, "no reply");
    Reply reply = std::get<Reply>(std::move(front->body));
    link_->gated.pop();
    return reply;
  }

  void make_stream(std::string_view name, uint32_t partitions = 1) {
    const Reply made =
        run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{name, partitions}));
    ASSERT_TRUE(made.ok()) << made.message;
  }
  void append(std::string_view stream, std::string_view value) {
    streams::AppendEvents append;
    append.stream = stream;
    append.records.push_back({false, {}, as_bytes(value)});
    ASSERT_TRUE(run(machine_ids::kStreams, streams::kAppendEvents, streams::encode(append)).ok());
  }
  // Until its first partition ends there.
  void fill(std::string_view stream, Offset upto) {
    while (end(stream) < upto) append(stream, "x");
  }
  void trim(std::string_view stream, Offset upto) {
    const streams::SetLogStart set{{{partition(stream), upto}}};
    ASSERT_TRUE(run(machine_ids::kStreams, streams::kSetLogStart, streams::encode(set)).ok());
  }
  void open_account(uint64_t id, uint16_t flags = 0) {
    fintech::Account account{};
    account.id = id;
    account.ledger = 7;
    account.code = 1;
    account.flags = flags;
    submit_events(fintech::Operation::create_accounts, {reinterpret_cast<const std::byte*>(&account), sizeof account});
  }
  // Of another machine.
  void open_account_of_shop(uint64_t id) {
    fintech::Account account{};
    account.id = id;
    account.ledger = 7;
    account.code = 1;
    const Bytes payload{reinterpret_cast<const std::byte*>(&account), sizeof account};
    ASSERT_TRUE(run(fintech::test::kShopId, fintech::test::kOpen, Buffer::copy_of(payload)).ok());
  }
  void pay(uint64_t id, uint64_t debit, uint64_t credit, uint64_t amount) {
    fintech::Transfer transfer{};
    transfer.id = id;
    transfer.debit_account_id = debit;
    transfer.credit_account_id = credit;
    transfer.amount = amount;
    transfer.ledger = 7;
    transfer.code = 1;
    submit_events(fintech::Operation::create_transfers,
                  {reinterpret_cast<const std::byte*>(&transfer), sizeof transfer});
  }

  void make_thing(const std::string& name) {
    devices::Thing thing;
    thing.name = name;
    const Reply made = run(devices::kDevicesMachineId, devices::kCreateThings, devices::encode_things({thing}));
    ASSERT_TRUE(made.ok()) << made.message;
  }
  // Its document, without times.
  std::string shadow(std::string_view thing, std::string_view name = "") const {
    const devices::Shadow shadow = devices_->shadows().find(thing, name);
    std::string out = std::to_string(shadow.version);
    for (const auto* section : {&shadow.desired, &shadow.reported}) {
      out += ' ';
      if (*section) devices::write_json(out, **section);
    }
    return out;
  }

  Reply put(const RuleDefinition& rule) { return run(kRulesMachineId, kPutRule, encode_put(rule, true)); }
  PartitionId partition(std::string_view stream, uint32_t index = 0) const {
    return *streams_->find_partition(stream, index);
  }
  bool has(std::string_view stream) const { return streams_->find_partition(stream, 0).has_value(); }
  Offset end(std::string_view stream, uint32_t index = 0) const {
    return streams_->next_offset(partition(stream, index));
  }
  RuleRow rule(const std::string& name) const { return machine_->rules().at(name); }
  const fintech::Account* account(uint64_t id) const {
    return static_cast<const fintech::LedgerPort&>(*ledger_).account(id);
  }
  RulesMachine& machine() { return *machine_; }
  const fintech::exchange::ExchangeMachine& exchange() const { return *exchange_; }
  const series::SeriesMachine& series() const { return *series_; }
  iot::test::Trail& trail() { return *trail_; }
  const Result<log::RecoveryReport>& recovery() const { return recovery_; }
  std::string state() const {
    MemorySnapshot snapshot;
    machine_->save(snapshot);
    return std::string(as_text(snapshot.bytes()));
  }

 private:
  void submit_events(fintech::Operation operation, Bytes event) {
    fintech::MultiBatchWriter body(event.size());
    body.out().insert(body.out().end(), event.begin(), event.end());
    body.end_batch();
    std::vector<std::byte> bytes(fintech::Caller::kBytes);
    fintech::Caller{}.write(bytes.data());
    const std::vector<std::byte> whole = body.finish();
    bytes.insert(bytes.end(), whole.begin(), whole.end());
    const Reply reply =
        run(fintech::kLedgerMachineId, static_cast<CommandType>(operation), Buffer::take(std::move(bytes)));
    ASSERT_TRUE(reply.ok()) << reply.message;
  }

  void boot() {
    committer_ = std::make_unique<Committer>(log_, [](const Error&) {});
    link_ = std::make_unique<ShardLink>(1 << 10);
    shard_ = std::make_unique<Shard>(ShardOptions{}, clock_, *committer_);
    streams_ = std::make_unique<streams::StreamsMachine>();
    trail_ = std::make_unique<iot::test::Trail>();
    ledger_ = std::make_unique<fintech::LedgerMachine>(0, fintech::kRowsPerFile);
    exchange_ = std::make_unique<fintech::exchange::ExchangeMachine>();
    exchange_->set_ledger(*ledger_);
    broker_ = std::make_unique<BrokerMachine>();
    devices_ = std::make_unique<devices::DevicesMachine>();
    series_ = std::make_unique<series::SeriesMachine>();
    machine_ = std::make_unique<RulesMachine>();
    shop_ = std::make_unique<fintech::test::OwnerToy>(fintech::test::kShopId);
    for (StateMachine* machine : std::initializer_list<StateMachine*>{streams_.get(), trail_.get(), ledger_.get(),
                                                                      exchange_.get(), broker_.get(), devices_.get(),
                                                                      series_.get(), machine_.get(), shop_.get()})
      shard_->add_machine(*machine);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    recovery_ = log_.recover(
        {}, [this](const log::BatchView& batch, const log::BatchPlace& place) { return shard_->replay(batch, place); });
    ASSERT_TRUE(recovery_.ok());
    shard_->start(recovery_->end);
  }

  SeededRandom random_{1};
  sim::SimClock clock_;
  log::MemoryLog log_{random_};
  RequestId request_ = 0;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<iot::test::Trail> trail_;
  std::unique_ptr<fintech::LedgerMachine> ledger_;
  std::unique_ptr<fintech::exchange::ExchangeMachine> exchange_;
  std::unique_ptr<BrokerMachine> broker_;
  std::unique_ptr<series::SeriesMachine> series_;
  std::unique_ptr<devices::DevicesMachine> devices_;
  std::unique_ptr<RulesMachine> machine_;
  std::unique_ptr<fintech::test::OwnerToy> shop_;
  Result<log::RecoveryReport> recovery_ = log::RecoveryReport{};
};

}  // namespace heptane::iot::rules::test
