// Shadows in the machine: what is answered is in iot.shadows and in the queues of durable sessions, in the log's order.
#include <gtest/gtest.h>

#include "kernel/streams/streams_machine.h"
#include "modules/iot/gateway/devices/shadow_json.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/devices/shadow_api.h"
#include "modules/iot/test/devices_rig.h"

namespace heptane::iot::devices {

namespace {

using test::kSecond;
using test::thing;

class Records final : public RecordWriter {
 public:
  explicit Records(std::vector<std::string>& out) : out_(out) {}
  bool wants() const override { return true; }
  bool full() const override { return false; }
  void skip() override { FAIL(); }
  void add(const ViewRecord& record) override {
    out_.push_back(std::string(as_text(record.key)) + ' ' + std::string(as_text(record.value)));
  }

 private:
  std::vector<std::string>& out_;
};

// The devices, the broker and the streams, with what a shard does for them.
class Rig {
 public:
  Rig() {
    kernel.versions[kBrokerMachineId] = broker.newest_version();
    for (StateMachine* machine : std::initializer_list<StateMachine*>{&streams, &broker, &devices, &trail})
      machines_.add(*machine);
    run_.set_streams(&streams);
    EXPECT_TRUE(apply(devices, kCreateThings, encode_things({thing("pump")})).ok());
  }

  Reply apply(StateMachine& machine, CommandType type, const Buffer& payload) {
    Command command;
    command.sequence = sequence_ + 1;
    command.time = now;
    command.machine = machine.id();
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    run_.apply(machine, command);
    Reply reply = run_.reply();
    outcome = run_.outcome();
    if (outcome != CommandOutcome::kept) return reply;
    ++sequence_;
    ByteWriter extensions;
    if (run_.adds_to_entry()) run_.append_additions(extensions, 0, 0);
    for (const log::ViewRun& run : run_.view_runs()) {
      LoggedCommand logged;
      logged.command = command;
      logged.results = log::results_of(extensions.view(), run.machine);
      const bool own = run.machine == kDevicesMachineId;
      Records out(own ? shadows : told);
      const size_t before = own ? shadows.size() : told.size();
      (own ? devices.renderer() : broker.renderer())(logged, run.view, out);
      EXPECT_EQ((own ? shadows.size() : told.size()) - before, run.count);
    }
    DigestAccumulator digest;
    run_.keep(command, 0, false, digest);
    return reply;
  }

  Reply ask(ShadowOperation operation, std::string_view payload, std::string_view name = "") {
    return apply(devices, kShadowRequest, encode(read_shadow_request({"pump", name, operation}, payload)));
  }
  Reply update(std::string_view payload, std::string_view name = "") {
    return ask(ShadowOperation::update, payload, name);
  }

  std::pair<uint64_t, uint64_t> open(std::string_view client, std::string_view filter, uint32_t queue_max) {
    OpenSession open;
    open.client = client;
    open.expiry_s = 3'600;
    open.queue_max = queue_max;
    open.ahead = 0;
    const Reply reply = apply(broker, kOpenSession, encode(open));
    ChangeFilters change;
    change.session = static_cast<uint64_t>(reply.numbers[0]);
    change.epoch = static_cast<uint64_t>(reply.numbers[1]);
    KeptSubscription subscription;
    subscription.qos = 1;
    change.wishes.push_back({filter, subscription, 0});
    EXPECT_TRUE(apply(broker, kSubscribe, encode(change)).ok());
    return {change.session, change.epoch};
  }
  std::vector<RecordPlace> queue(std::pair<uint64_t, uint64_t> session) const {
    Reply reply;
    const Buffer payload = encode(QueueQuery{session.first, session.second, 0, 100});
    broker.query({kQueryQueue, payload.view(), {}}, reply);
    std::vector<RecordPlace> places;
    const auto page = decode_queue_page(reply.payload.view());
    for (const auto& item : page->items) places.push_back(item.place);
    return places;
  }

  void fire() {
    LogTime due = 0;
    for (TimerId id = kernel.first_due(due); id != 0 && due <= now; id = kernel.first_due(due)) {
      const Timer timer = kernel.timers.at(id);
      kernel.disarm(id);
      StateMachine& machine = timer.machine == kDevicesMachineId ? static_cast<StateMachine&>(devices) : broker;
      apply(machine, timer.type, Buffer::copy_of(timer.payload));
    }
  }

  void restore() {
    MemorySnapshot saved;
    devices.save(saved);
    const size_t bytes = devices.memory_bytes();
    ASSERT_TRUE(devices.restore(saved).ok() && saved.at_end());
    MemorySnapshot again;
    devices.save(again);
    ASSERT_EQ(as_text(again.bytes()), as_text(saved.bytes()));
    ASSERT_EQ(devices.memory_bytes(), bytes);
  }

  streams::StreamsMachine streams;
  BrokerMachine broker;
  DevicesMachine devices;
  iot::test::Trail trail;
  KernelState kernel;
  LogTime now = 1'700'000'000 * kSecond;
  CommandOutcome outcome = CommandOutcome::kept;
  std::vector<std::string> shadows;  // the records of iot.shadows
  std::vector<std::string> told;     // those of the broker's views

 private:
  MachineTable machines_;
  CommandRun run_{machines_, kernel};
  Sequence sequence_ = 0;
};

std::string topic_of(const std::string& record) { return record.substr(0, record.find(' ')); }

}  // namespace

TEST(ShadowMachine, AnswersAreRecordsInTheirOrder) {
  Rig rig;
  const Reply reply = rig.update(R"({"state":{"desired":{"on":true}}})");
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply.numbers[0], 200);
  const auto made = decode_shadow_reply(reply.payload);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->statuses.size(), 3U);
  ASSERT_EQ(rig.shadows.size(), 3U);
  EXPECT_EQ(topic_of(rig.shadows[0]), "$aws/things/pump/shadow/update/delta");
  EXPECT_EQ(topic_of(rig.shadows[2]), "$aws/things/pump/shadow/update/accepted");
  EXPECT_EQ(rig.shadows[2].substr(rig.shadows[2].find(' ') + 1), made->last);
  EXPECT_EQ(rig.update("{").numbers[0], 400);
  EXPECT_EQ(rig.shadows.back(),
            R"($aws/things/pump/shadow/update/rejected {"code":400,"message":"Invalid JSON","timestamp":1700000000})");
  EXPECT_EQ(rig.ask(ShadowOperation::get, "", "other").numbers[0], 404);
  EXPECT_EQ(rig.shadows.back(),
            R"($aws/things/pump/shadow/name/other/get/rejected {"code":404,"message":"No shadow exists with name: )"
            R"('pump~other'","timestamp":1700000000})");
}

TEST(ShadowMachine, AThingThatIsNotRegisteredHasNone) {
  Rig rig;
  rig.apply(rig.devices, kDeleteThing, Buffer::copy_of("pump"));
  EXPECT_EQ(rig.update(R"({"state":{}})").numbers[0], 404);
  EXPECT_NE(rig.shadows.back().find("Thing not found"), std::string::npos);
}

TEST(ShadowMachine, DurableSessionsGetTheAnswers) {
  Rig rig;
  const auto all = rig.open("backend", "$aws/things/+/shadow/#", 100);
  const auto deltas = rig.open("device", "$aws/things/pump/shadow/update/delta", 100);
  const auto other = rig.open("other", "#", 100);
  rig.update(R"({"state":{"desired":{"on":true}}})");
  const auto places = rig.queue(all);
  ASSERT_EQ(places.size(), 3U);
  ASSERT_EQ(rig.queue(deltas).size(), 1U);
  EXPECT_EQ(rig.queue(deltas)[0].offset, places[0].offset);
  EXPECT_EQ(places[2].offset, 2);
  EXPECT_TRUE(rig.queue(other).empty());  // topics that begin with $ are nobody's who did not ask for them
}

TEST(ShadowMachine, WhatAFullSessionLosesIsTold) {
  Rig rig;
  const auto small = rig.open("small", "$aws/#", 2);
  rig.told.clear();
  rig.update(R"({"state":{"desired":{"on":true}}})");
  EXPECT_EQ(rig.queue(small).size(), 2U);
  ASSERT_EQ(rig.told.size(), 1U);
  EXPECT_NE(rig.told[0].find("small"), std::string::npos);
  EXPECT_NE(rig.told[0].find("drop_oldest"), std::string::npos);
}

// More sessions than a command reaches: the broker goes on in commands of its own, and nobody gets it twice.
TEST(ShadowMachine, ManySessionsAreReachedInSeveralCommands) {
  Rig rig;
  std::vector<std::pair<uint64_t, uint64_t>> sessions;
  constexpr size_t kSessions = kReachedMax / 3 * 2;
  for (size_t i = 0; i < kSessions; ++i) sessions.push_back(rig.open("c" + std::to_string(i), "$aws/#", 10));
  rig.update(R"({"state":{"desired":{"on":true}}})");
  rig.fire();
  for (const auto& session : sessions) ASSERT_EQ(rig.queue(session).size(), 3U);
}

TEST(ShadowMachine, AGraveIsForgottenAfterTwoDays) {
  Rig rig;
  rig.update(R"({"state":{"reported":{"a":1}}})");
  rig.update(R"({"state":{"reported":{"a":2}}})");
  EXPECT_EQ(rig.ask(ShadowOperation::remove, "").numbers[0], 200);
  EXPECT_EQ(rig.kernel.timers.size(), 1U);
  rig.restore();
  rig.now += (kGraveSeconds - 1) * kSecond;
  rig.fire();
  rig.update(R"({"state":{"reported":{"a":3}}})");
  EXPECT_EQ(rig.devices.shadows().find("pump", "").version, 3U);
  EXPECT_EQ(rig.kernel.timers.size(), 0U);
  rig.ask(ShadowOperation::remove, "");
  rig.now += kGraveSeconds * kSecond;
  rig.fire();
  EXPECT_TRUE(rig.devices.shadows().empty());
  rig.update(R"({"state":{"reported":{"a":4}}})");
  EXPECT_EQ(rig.devices.shadows().find("pump", "").version, 1U);
}

TEST(ShadowMachine, AThingTakesItsShadowsAlong) {
  Rig rig;
  rig.update(R"({"state":{"reported":{"a":1}}})");
  rig.update(R"({"state":{"reported":{"a":1}}})", "named");
  rig.ask(ShadowOperation::remove, "", "named");
  rig.apply(rig.devices, kCreateThings, encode_things({thing("pump-2")}));
  rig.apply(rig.devices, kShadowRequest,
            encode(read_shadow_request({"pump-2", "", ShadowOperation::update}, R"({"state":{"reported":{"a":1}}})")));
  rig.restore();
  EXPECT_TRUE(rig.apply(rig.devices, kDeleteThing, Buffer::copy_of("pump")).ok());
  EXPECT_EQ(rig.kernel.timers.size(), 0U);
  EXPECT_EQ(rig.devices.shadows().size(), 1U);
  EXPECT_TRUE(rig.devices.shadows().has("pump-2", ""));
}

TEST(ShadowMachine, NamedShadowsAreBounded) {
  Rig rig;
  for (size_t i = 0; i < kShadowsOfThing; ++i)
    EXPECT_EQ(rig.update(R"({"state":{"reported":{"a":1}}})", "n" + std::to_string(i)).numbers[0], 200);
  EXPECT_EQ(rig.update(R"({"state":{"reported":{"a":1}}})", "more").numbers[0], 400);
  EXPECT_EQ(rig.update(R"({"state":{"reported":{"a":2}}})", "n0").numbers[0], 200);
  EXPECT_EQ(rig.devices.shadows().names("pump").size(), kShadowsOfThing);
}

TEST(ShadowMachine, NamesAreARegisteredThings) {
  Rig rig;
  rig.update(R"({"state":{"reported":{"a":1}}})");
  rig.update(R"({"state":{"reported":{"a":1}}})", "named");
  const auto names = [&](std::string_view thing) {
    const Buffer payload = Buffer::copy_of(thing);
    Reply reply;
    rig.devices.query({kQueryShadowNames, payload.view(), {}}, reply);
    return reply;
  };
  EXPECT_EQ(names("pump").numbers, (decltype(Reply::numbers){1, 1}));
  EXPECT_EQ(names("nobody").error, Errc::not_found);
}

TEST(ShadowMachine, AStreamOfTheNameStandsInTheWay) {
  Rig rig;
  streams::CreateStream create;
  create.name = kShadowsStream;
  EXPECT_TRUE(rig.apply(rig.streams, streams::kCreateStream, streams::encode(create)).ok());
  streams::AppendEvents append;
  append.stream = create.name;
  append.records.push_back({});
  EXPECT_TRUE(rig.apply(rig.streams, streams::kAppendEvents, streams::encode(append)).ok());
  EXPECT_EQ(rig.update(R"({"state":{}})").error, Errc::exists);
}

}  // namespace heptane::iot::devices
