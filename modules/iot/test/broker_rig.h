// The broker machine with what a shard does for it. Test support.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/events.h"

namespace heptane::iot::test {

constexpr LogTime kSecond = 1'000'000'000;

// Applies commands as a shard does; what becomes of the views' records is for the one who derives from it.
class MachineRig {
 public:
  explicit MachineRig(uint32_t version) {
    kernel.versions[kBrokerMachineId] = version;
    machines_.add(streams);
    machines_.add(machine);
    run_.set_streams(&streams);
  }
  virtual ~MachineRig() = default;
  MachineRig(const MachineRig&) = delete;
  MachineRig& operator=(const MachineRig&) = delete;

  Reply apply(CommandType type, Buffer payload, bool rolled_back = false) {
    Command command;
    command.sequence = sequence_ + 1;
    command.time = now;
    command.machine = kBrokerMachineId;
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    if (rolled_back) {
      run_.open_scope();
      run_.effects().enlist(kBrokerMachineId);
    }
    run_.apply(machine, command);
    Reply reply = run_.reply();  // the scope's end takes it
    if (rolled_back) run_.close_scope(ScopeOutcome::roll_back);
    if (rolled_back || run_.outcome() != CommandOutcome::kept) return reply;
    ++sequence_;
    ByteWriter extensions;
    if (run_.adds_to_entry()) run_.append_additions(extensions, 0, 0);
    last_extensions = extensions.size();
    LoggedCommand logged;
    logged.command = command;
    logged.results = log::results_of(extensions.view(), kBrokerMachineId);
    for (const log::ViewRun& run : run_.view_runs()) render(logged, run);
    DigestAccumulator digest;
    run_.keep(command, 0, false, digest);
    return reply;
  }

  // The machine's timers that are due.
  void fire() {
    LogTime due = 0;
    for (TimerId id = kernel.first_due(due); id != 0 && due <= now; id = kernel.first_due(due)) {
      const Timer timer = kernel.timers.at(id);
      kernel.disarm(id);
      apply(timer.type, Buffer::copy_of(timer.payload));
    }
  }

  std::string state() const {
    MemorySnapshot snapshot;
    machine.save(snapshot);
    return std::string(as_text(snapshot.bytes()));
  }
  void restore() {
    MemorySnapshot saved;
    machine.save(saved);
    ASSERT_TRUE(machine.restore(saved).ok());
    ASSERT_TRUE(saved.at_end());
    ASSERT_EQ(state(), as_text(saved.bytes()));
  }

  std::vector<QueuePage::Item> queue(uint64_t session, uint64_t epoch) const {
    std::vector<QueuePage::Item> items;
    uint64_t from = 0;
    while (true) {
      Reply reply;
      const Buffer payload = encode(QueueQuery{session, epoch, from, 100});
      machine.query({kQueryQueue, payload.view(), {}}, reply);
      const auto page = decode_queue_page(reply.payload.view());
      for (const auto& item : page->items) items.push_back(item);
      if ((reply.numbers[1] & QueuePage::kMore) == 0) return items;
      from = items.back().number + 1;
    }
  }

  streams::StreamsMachine streams;
  BrokerMachine machine;
  KernelState kernel;
  LogTime now = 1'000 * kSecond;
  size_t last_extensions = 0;

 protected:
  virtual void render(const LoggedCommand& logged, const log::ViewRun& run) = 0;

  MachineTable machines_;
  CommandRun run_{machines_, kernel};
  Sequence sequence_ = 0;
};

// Keeps what iot.events tells.
class Rig : public MachineRig {
 public:
  explicit Rig(uint32_t version = BrokerMachine::kLogicRelaxed) : MachineRig(version) {}

  std::pair<uint64_t, uint64_t> open(std::string_view client, OpenSession open = {}) {
    open.client = client;
    if (open.queue_max == 0) open.queue_max = 1000;
    if (open.expiry_s == 0) open.expiry_s = 100;
    const Reply reply = apply(kOpenSession, encode(open));
    return {static_cast<uint64_t>(reply.numbers[0]), static_cast<uint64_t>(reply.numbers[1])};
  }
  void subscribe(uint64_t session, uint64_t epoch, std::string_view filter, KeptSubscription subscription) {
    apply(kSubscribe, encode(ChangeFilters{session, epoch, {{filter, subscription}}}));
  }
  Reply publish(std::string_view topic, uint8_t qos, std::optional<Sender> sender = {}, bool rolled_back = false) {
    ByteWriter out;
    out.le<uint16_t>(1);
    MessageView message;
    message.qos = qos;
    message.topic = topic;
    message.client = "publisher";
    message.payload = "x";
    message.sender = sender;
    append_message(out, message);
    return apply(kPublish, Buffer::take(out.release()), rolled_back);
  }
  static PublishStatus status(const Reply& reply) { return static_cast<PublishStatus>(reply.payload.view()[0]); }
  void settle(uint64_t session, uint64_t epoch, uint64_t value, Settlement kind) {
    apply(kSettle, encode(std::vector<Settled>{{session, epoch, value, kind}}));
  }
  // Somebody else's view has the name.
  void take_name(std::string_view name) { streams.ensure_view(name, {machine_ids::kFirstTest, 1}, ++sequence_); }

  // What iot.events tells, without the beginning that all have.
  std::vector<std::string> take_events() { return std::exchange(events_, {}); }

 private:
  class Collector final : public RecordWriter {
   public:
    explicit Collector(std::vector<std::string>& out) : out_(out) {}
    bool wants() const override { return true; }
    bool full() const override { return false; }
    void skip() override { FAIL() << "a record that is wanted is passed over"; }
    void add(const ViewRecord& record) override {
      constexpr std::string_view kBegin = "{\"event\":\"";
      EXPECT_TRUE(as_text(record.value).starts_with(kBegin));
      out_.emplace_back(as_text(record.value.subspan(kBegin.size())));
    }

   private:
    std::vector<std::string>& out_;
  };

  void render(const LoggedCommand& logged, const log::ViewRun& run) override {
    if (run.view != kEventsView.number) return;
    const size_t before = events_.size();
    Collector collector(events_);
    render_views(logged, run.view, collector);
    EXPECT_EQ(events_.size() - before, run.count);
  }

  std::vector<std::string> events_;
};

using Events = std::vector<std::string>;

inline std::string gap(std::string_view client, uint64_t session, std::string_view rest) {
  return "gap\",\"session\":\"" + std::to_string(session) + "\",\"client\":\"" + std::string(client) +
         "\",\"reason\":\"" + std::string(rest) + "}";
}

inline std::vector<uint64_t> numbers(const std::vector<QueuePage::Item>& items) {
  std::vector<uint64_t> out;
  for (const auto& item : items) out.push_back(item.number);
  return out;
}

}  // namespace heptane::iot::test
