// What operators see and do: the machine's purges with their events in the audit trail, clients' numbers, a kick, traces.

#include <gtest/gtest.h>

#include <algorithm>

#include "kernel/auth/auth_machine.h"
#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

class Rig {
 public:
  Rig() {
    machines_.add(streams_);
    machines_.add(users_);
    machines_.add(machine);
    run_.set_streams(&streams_);
  }

  Reply apply(CommandType type, Buffer payload, bool in_scope = false) {
    Command command;
    command.sequence = sequence_ + 1;
    command.time = 1'000'000'000;
    command.machine = kBrokerMachineId;
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    if (in_scope) {
      run_.open_scope();
      run_.effects().enlist(kBrokerMachineId);
    }
    run_.apply(machine, command);
    Reply reply = run_.reply();  // the scope's end takes it
    if (in_scope) run_.close_scope(ScopeOutcome::roll_back);
    outcome = run_.outcome();
    if (in_scope || outcome != CommandOutcome::kept) return reply;
    ++sequence_;
    DigestAccumulator digest;
    run_.replayed().clear();
    run_.keep(command, 0, true, digest);
    events = run_.replayed().size();
    return reply;
  }
  Reply query(uint16_t type, Buffer payload) const {
    Reply reply;
    machine.query({type, payload.view(), {}}, reply);
    return reply;
  }
  void retain(const std::string& topic) {
    ByteWriter out;
    out.le<uint16_t>(1);
    MessageView message;
    message.retain = true;
    message.topic = topic;
    message.payload = "x";
    append_message(out, message);
    apply(kPublish, Buffer::take(out.release()));
  }
  void open(std::string_view client, bool with_will = false) {
    OpenSession open;
    open.client = client;
    open.owner = "owner";
    open.expiry_s = 100;
    open.queue_max = 10;
    if (with_will) {
      open.will.emplace().message.topic = "will";
      open.will->message.payload = "gone";
      open.will->message.qos = 1;
    }
    const Reply reply = apply(kOpenSession, encode(open));
    apply(kSubscribe,
          encode(ChangeFilters{static_cast<uint64_t>(reply.numbers[0]), 1, {{"t/#", {7, 0, 1, false, true}}}}));
  }
  void publish(std::string_view topic) {
    ByteWriter out;
    out.le<uint16_t>(1);
    MessageView message;
    message.qos = 1;
    message.topic = topic;
    append_message(out, message);
    apply(kPublish, Buffer::take(out.release()));
  }

  void activate(uint32_t version) { kernel_.versions[kBrokerMachineId] = version; }

  BrokerMachine machine;
  CommandOutcome outcome = CommandOutcome::kept;
  size_t events = 0;  // of the last command that was kept

 private:
  streams::StreamsMachine streams_;
  auth::AuthMachine users_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  Sequence sequence_ = 0;
};

std::string subscribe_five(const std::string& filter) {
  std::string body = bytes_of("m1 00 H" + std::to_string(filter.size())) + filter + bytes_of("01");
  return bytes_of("82 r" + std::to_string(body.size())) + body;
}

TEST(BrokerOperator, PurgesASessionWithItsQueueAndPublishesItsWill) {
  Rig rig;
  rig.open("other");
  rig.open("c", true);
  rig.publish("t/1");
  rig.publish("t/2");
  EXPECT_EQ(rig.machine.sessions().references(), 4U);
  const Reply reply = rig.apply(kPurgeSession, encode(PurgeSession{true, "c"}));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply.numbers[0], 2) << "the session's number";
  EXPECT_EQ(reply.numbers[1], 2) << "messages in its queue";
  EXPECT_EQ(rig.events, 1U) << "in the audit trail";
  ByteReader in(reply.payload.view());
  ASSERT_EQ(in.u8(), 1);
  EXPECT_EQ(read_message(in).payload, "gone");
  EXPECT_EQ(rig.machine.sessions().size(), 1U);
  EXPECT_EQ(rig.machine.sessions().references(), 2U);
  // The state is one that comes back.
  MemorySnapshot saved;
  rig.machine.save(saved);
  EXPECT_TRUE(rig.machine.restore(saved).ok());
  EXPECT_EQ(rig.apply(kPurgeSession, encode(PurgeSession{true, "c"})).error, Errc::not_found);
}

TEST(BrokerOperator, PurgesASessionWithoutItsWill) {
  Rig rig;
  rig.open("c", true);
  const Reply reply = rig.apply(kPurgeSession, encode(PurgeSession{false, "c"}));
  EXPECT_EQ(reply.payload.view()[0], std::byte{0});
  EXPECT_TRUE(rig.machine.sessions().empty());
}

TEST(BrokerOperator, PurgesRetainedMessagesInSlices) {
  Rig rig;
  for (int i = 0; i < 300; ++i) rig.retain("a/" + std::to_string(1000 + i));
  rig.retain("b");
  std::string after;
  std::vector<int64_t> removed;
  for (bool more = true; more;) {
    const Reply reply = rig.apply(kPurgeRetained, encode(PurgeRetained{"a/+", after}));
    ASSERT_TRUE(reply.ok());
    EXPECT_EQ(rig.events, 1U);
    removed.push_back(reply.numbers[0]);
    more = reply.numbers[1] != 0;
    after = as_text(reply.payload.view());
  }
  EXPECT_EQ(removed, (std::vector<int64_t>{256, 44}));
  EXPECT_EQ(rig.machine.retained().size(), 1U);
  // One topic is one look, whatever lies under its name.
  for (int i = 0; i < 5'000; ++i) rig.retain("c" + std::to_string(10'000 + i));
  rig.retain("c");
  const Reply one = rig.apply(kPurgeRetained, encode(PurgeRetained{"c", {}}));
  EXPECT_EQ(one.numbers[0], 1);
  EXPECT_EQ(one.numbers[1], 0);
  EXPECT_EQ(rig.apply(kPurgeRetained, encode(PurgeRetained{"c/d", {}})).numbers[1], 0);
  EXPECT_EQ(rig.apply(kPurgeRetained, encode(PurgeRetained{"c+", {}})).error, Errc::invalid_argument);
  EXPECT_EQ(rig.machine.retained().size(), 5'001U);
  // Nothing to be done leaves nothing.
  rig.apply(kPurgeRetained, encode(PurgeRetained{"a/+", {}}));
  EXPECT_EQ(rig.outcome, CommandOutcome::unchanged);
  rig.apply(kPurgeRetained, encode(PurgeRetained{"b", {}}));
  EXPECT_EQ(rig.machine.retained().size(), 5'000U);
}

TEST(BrokerOperator, DoesNothingInATransactionAndRefusesWhatIsMalformed) {
  Rig rig;
  rig.open("c");
  rig.retain("a");
  EXPECT_EQ(rig.apply(kPurgeSession, encode(PurgeSession{true, "c"}), true).error, Errc::unsupported);
  EXPECT_EQ(rig.apply(kPurgeRetained, encode(PurgeRetained{"a", {}}), true).error, Errc::unsupported);
  EXPECT_EQ(rig.apply(kPurgeSession, Buffer::copy_of("x")).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kPurgeRetained, Buffer::copy_of("x")).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kPurgeRetained, encode(PurgeRetained{"a#", {}})).error, Errc::invalid_argument);
  EXPECT_EQ(rig.machine.sessions().size(), 1U);
  EXPECT_EQ(rig.machine.retained().size(), 1U);
}

TEST(BrokerOperator, ListsSessionsPageByPage) {
  Rig rig;
  for (const char* client : {"c1", "c2", "c3"}) rig.open(client);
  rig.publish("t/1");
  const Reply first = rig.query(kQuerySessions, encode_sessions_query(0, 2));
  EXPECT_EQ(first.numbers[1], 2) << "there is more behind it";
  const auto rows = decode_rows(first.payload.view());
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[1].client, "c2");
  EXPECT_EQ((*rows)[1].owner, "owner");
  EXPECT_EQ((*rows)[1].queued, 1U);
  EXPECT_EQ((*rows)[1].subscriptions, 1U);
  EXPECT_TRUE((*rows)[1].connected);
  const Reply last = rig.query(kQuerySessions, encode_sessions_query((*rows)[1].number, 2));
  EXPECT_EQ(decode_rows(last.payload.view())->size(), 1U);
  EXPECT_EQ(last.numbers[1], 0);
  const Reply some = rig.query(kQuerySessionsOf, encode_sessions_of({3, 99, 1}));
  ASSERT_EQ(decode_rows(some.payload.view())->size(), 2U);
  EXPECT_EQ((*decode_rows(some.payload.view()))[0].client, "c3");
  const Reply one = rig.query(kQuerySessionOf, Buffer::copy_of("c3"));
  const auto details = decode_session_details(one.payload.view());
  ASSERT_TRUE(details.ok());
  ASSERT_EQ(details->subscriptions.size(), 1U);
  EXPECT_EQ(details->subscriptions[0].filter, "t/#");
  EXPECT_EQ(details->subscriptions[0].subscription.id, 7U);
  EXPECT_TRUE(details->subscriptions[0].subscription.retain_as_published);
  EXPECT_EQ(rig.query(kQuerySessionOf, Buffer::copy_of("c9")).numbers[0], 0);
}

std::string connect_five(const std::string& id) { return bytes_of("10 r14 s4 'MQTT' 05 02 k60 00 s1 '" + id + "'"); }

TEST(MqttOperator, SeesAClientsNumbers) {
  World world;
  world.send("s", connect_five("s"));
  world.send("s", bytes_of("82 r7 m1 00 s1 't' 01"));
  const mqtt::Subscriber* subscriber = world.broker().find(std::string_view("s"));
  ASSERT_NE(subscriber, nullptr);
  EXPECT_EQ(subscriber->facts().numbers.messages_out, 0U);
  world.send("a", connect_five("a"));
  world.send("a", bytes_of("32 r7 s1 't' m7 00 'x'"));
  const mqtt::ClientFacts facts = subscriber->facts();
  EXPECT_EQ(facts.client, "s");
  EXPECT_EQ(facts.version, mqtt::Version::v5);
  EXPECT_EQ(facts.keep_alive_s, 60);
  EXPECT_EQ(facts.connected_s, 1'700'000'000);
  EXPECT_EQ(facts.subscriptions, 1U);
  EXPECT_EQ(facts.in_flight, 1U);
  EXPECT_EQ(facts.numbers.messages_out, 1U);
  EXPECT_EQ(facts.numbers.bytes_out, 9U);
  const mqtt::ClientFacts publisher = world.broker().find(std::string_view("a"))->facts();
  EXPECT_EQ(publisher.numbers.messages_in, 1U);
  EXPECT_EQ(publisher.numbers.bytes_in, 9U);
}

TEST(MqttOperator, RemembersWhatWentWrongWithAClientThatIsGone) {
  World world;
  world.send("a", connect_five("a"));
  world.send("a", bytes_of("70 02 m1 C0 01 00"));
  EXPECT_TRUE(world.client("a").context->closed);
  ASSERT_NE(world.broker().errors().find("a"), nullptr);
  world.send("b", connect_five("b"));
  world.send("b", bytes_of("E0 00"));
  EXPECT_EQ(world.broker().errors().find("b"), nullptr) << "a good-bye is none";
}

TEST(MqttOperator, ErrorsAreBounded) {
  mqtt::LastErrors errors;
  for (size_t i = 0; i <= mqtt::LastErrors::kErrorsMax; ++i) errors.note("c" + std::to_string(i), "x", 0);
  errors.note("c1", "y", 5);
  EXPECT_EQ(errors.find("c0"), nullptr);
  EXPECT_EQ(errors.find("c1")->text, "y");
  EXPECT_NE(errors.find("c" + std::to_string(mqtt::LastErrors::kErrorsMax)), nullptr);
}

TEST(MqttOperator, KicksAClientWithAReasonAndItsWill) {
  World world;
  world.send("s", connect_five("s"));
  world.send("s", bytes_of("82 r7 m1 00 s1 'w' 00"));
  world.take_output("s");
  for (const bool with_will : {true, false}) {
    world.send("a", bytes_of("10 r21 s4 'MQTT' 05 06 k60 00 s1 'a' 00 s1 'w' s1 'x'"));
    world.take_output("a");
    world.broker().find(std::string_view("a"))->kick(with_will);
    EXPECT_EQ(hex_of(world.take_output("a")), "E00198");
    EXPECT_TRUE(world.client("a").context->closed);
    world.settle();
    EXPECT_EQ(hex_of(world.take_output("s")), with_will ? hex_of(bytes_of("30 r5 s1 'w' 00 'x'")) : "");
    EXPECT_EQ(world.broker().find(std::string_view("a")), nullptr);
    world.break_off("a");
  }
}

// What a member of a group has not acknowledged goes to the other one.
TEST(MqttOperator, WhatAGroupsMemberHadIsNotLostWithAKickWithoutItsWill) {
  World world;
  for (const char* name : {"a", "b"}) {
    world.send(name, bytes_of("10 r21 s4 'MQTT' 05 06 k60 00 s1") + name + bytes_of("00 s1 'w' s1 'x'"));
    world.send(name, bytes_of("82 r16 m1 00 s10 '$share/g/t' 01"));
    world.take_output(name);
  }
  world.send("p", connect_five("p"));
  for (const char* id : {"m1", "m2"}) world.send("p", bytes_of(std::string("32 r7 s1 't' ") + id + " 00 'y'"));
  const std::string both = world.take_output("a") + world.take_output("b");
  ASSERT_EQ(std::count(both.begin(), both.end(), 'y'), 2);
  world.broker().find(std::string_view("a"))->kick(false);
  world.send("b", bytes_of("40 02 m1"));
  const std::string rest = world.take_output("b");
  EXPECT_EQ(std::count(rest.begin(), rest.end(), 'y'), 1) << hex_of(rest);
}

std::string line_of(const mqtt::Trace::Row& row) {
  if (!row.closed.empty()) return "closed";
  std::string line = row.out ? "> " : "< ";
  line += mqtt::name_of(row.packet.type);
  line += ' ' + std::to_string(row.packet.bytes);
  if (row.packet.id != 0) line += " id " + std::to_string(row.packet.id);
  for (const std::string& topic : row.packet.topics) line += " '" + topic + "'";
  if (row.packet.payload_bytes) line += " payload " + std::to_string(*row.packet.payload_bytes);
  if (row.packet.reason) line += " reason " + std::to_string(*row.packet.reason);
  return line;
}

TEST(MqttOperator, TracesOneClientFromItsConnectOn) {
  World world;
  const auto trace = world.broker().traces().begin("a", 0);
  ASSERT_NE(trace, nullptr);
  world.send("b", connect_five("b"));
  world.send("b", bytes_of("C0 00"));
  world.send("a", connect_five("a"));
  world.send("a", bytes_of("82 r13 m1 00 s1 't' 01 s3 'u/+' 00"));
  const std::string large(10'000, 'x');
  world.send("a", bytes_of("32 r10006 s1 't' m7 00") + large);
  world.send("a", bytes_of("40 02 m1"));
  world.send("a", bytes_of("E0 01 04"));
  uint64_t missed = 0;
  std::vector<std::string> lines;
  for (const auto& row : trace->take(missed)) lines.push_back(line_of(row));
  const std::vector<std::string> wanted = {
      "< CONNECT 16",
      "> CONNACK 16 reason 0",
      "< SUBSCRIBE 15 id 1 't' 'u/+'",
      "> SUBACK 7 id 1 reason 1",
      "< PUBLISH 10009 id 7 't' payload 10000",
      "> PUBLISH 10009 id 1 't' payload 10000",
      "> PUBACK 4 id 7",
      "< PUBACK 4 id 1",
      "< DISCONNECT 3 reason 4",
      "closed",
  };
  EXPECT_EQ(lines, wanted);
  EXPECT_EQ(missed, 0U);
}

TEST(MqttOperator, TracesAreBounded) {
  World world;
  std::vector<std::shared_ptr<mqtt::Trace>> traces;
  for (size_t i = 0; i < mqtt::Traces::kTracesMax; ++i) traces.push_back(world.broker().traces().begin("a", 0));
  EXPECT_EQ(world.broker().traces().begin("a", 0), nullptr);
  world.send("a", connect_five("a"));
  for (int i = 0; i < 600; ++i) world.send("a", bytes_of("C0 00"));
  uint64_t missed = 0;
  EXPECT_EQ(traces[0]->take(missed).size(), mqtt::Trace::kRowsMax);
  EXPECT_EQ(missed, 202U);
  world.send("a", bytes_of("C0 00"));
  EXPECT_EQ(traces[0]->take(missed).size(), 2U);
  EXPECT_EQ(missed, 0U);
  traces.clear();
  world.send("a", bytes_of("C0 00"));
  EXPECT_FALSE(world.broker().traces().active());
  EXPECT_NE(world.broker().traces().begin("a", 0), nullptr);
}

TEST(MqttOperator, TracesAreBoundedInBytesAndTextsAreCut) {
  mqtt::Traces traces;
  const auto trace = traces.begin("a", 7);
  const std::string e = "\xC3\xA9";
  std::string topic = "x";
  while (topic.size() < 20'000) topic += e;
  const std::string packet = bytes_of("30 r20005 H" + std::to_string(topic.size())) + topic + bytes_of("00 'x'");
  const auto facts = mqtt::look_at(as_bytes(packet), mqtt::Version::v5);
  EXPECT_TRUE(facts->cut);
  EXPECT_EQ(facts->topics.front(), topic.substr(0, kTopicLimitBytes - 1)) << "no character is cut";
  for (size_t i = 0; i < mqtt::Trace::kRowsMax; ++i) traces.packets(7, false, as_bytes(packet), mqtt::Version::v5, 0);
  uint64_t missed = 0;
  size_t bytes = 0;
  const auto rows = trace->take(missed);
  for (const auto& row : rows) bytes += row.packet.topics.front().size();
  EXPECT_GT(rows.size(), 500U);
  EXPECT_LT(bytes, mqtt::Trace::kBytesMax);
  EXPECT_EQ(rows.size() + missed, mqtt::Trace::kRowsMax);
  traces.packets(7, false, as_bytes(packet), mqtt::Version::v5, 0);
  EXPECT_EQ(trace->take(missed).size(), 1U) << "there is room again";
}

TEST(MqttOperator, WhoOnlySaysThatItIsTheClientDoesNotEndItsTrace) {
  mqtt::Traces traces;
  const auto trace = traces.begin("a", 0);
  const std::string ping = bytes_of("C0 00");
  const auto rows = [&](SessionId session) {
    traces.packets(session, false, as_bytes(ping), mqtt::Version::v5, 0);
    uint64_t missed = 0;
    return trace->take(missed).size();
  };
  traces.connecting("a", 1);
  EXPECT_EQ(rows(1), 1U);
  traces.entered("a", 1);
  for (SessionId stranger = 2; stranger < 12; ++stranger) traces.connecting("a", stranger);
  EXPECT_EQ(rows(1), 1U);
  EXPECT_EQ(rows(11), 1U);
  EXPECT_EQ(rows(2), 0U);
  traces.closed(11, "wrong password", 0);
  EXPECT_EQ(rows(11), 1U) << "that it closed, and nothing after it";
  EXPECT_EQ(rows(11), 0U);
  traces.entered("a", 10);
  EXPECT_EQ(rows(10), 1U);
}

// Presence.

class Records final : public RecordWriter {
 public:
  bool wants() const override { return true; }
  bool full() const override { return false; }
  void skip() override {}
  void add(const ViewRecord& record) override {
    lines.push_back((record.has_key ? std::string(as_text(record.key)) : "-") + ' ' +
                    std::string(as_text(record.value)));
  }
  std::vector<std::string> lines;
};

Buffer presence_command(const std::vector<PresenceEntry>& entries) {
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(entries.size()));
  for (const PresenceEntry& entry : entries) append_entry(out, entry);
  return Buffer::take(out.release());
}

TEST(BrokerOperator, PresenceIsAViewOfItsCommandsAndNoState) {
  Rig rig;
  const std::vector<PresenceEntry> entries = {
      {PresenceKind::started, 1, {}, {}, {}, {}, 0, 0, false},
      {PresenceKind::connected, 2, "a\"b", "u", "10.0.0.1:5", {}, 5, 60, true},
      {PresenceKind::disconnected, 3, "a\"b", "u", "10.0.0.1:5", "the connection broke", 5, 60, true},
  };
  const Buffer payload = presence_command(entries);
  EXPECT_EQ(rig.apply(kPresence, payload).numbers[0], 3);
  EXPECT_TRUE(rig.machine.fresh());
  Command command;
  command.type = kPresence;
  command.payload = payload.view();
  Records records;
  render_presence(command, records);
  const std::vector<std::string> wanted = {
      R"(- {"event":"started","at_ms":1})",
      R"(a"b {"event":"connected","at_ms":2,"client":"a\"b","user":"u","address":"10.0.0.1:5","version":"5.0",)"
      R"("keep_alive_s":60,"durable":true})",
      R"(a"b {"event":"disconnected","at_ms":3,"client":"a\"b","user":"u","address":"10.0.0.1:5",)"
      R"("reason":"the connection broke"})",
  };
  EXPECT_EQ(records.lines, wanted);
  EXPECT_EQ(rig.apply(kPresence, Buffer::copy_of("x")).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kPresence, presence_command({})).error, Errc::invalid_argument);
  EXPECT_EQ(
      *rig.apply(kPresence, presence_command({{PresenceKind::connected, 2, "\xff", {}, {}, {}, 5, 0, false}})).error,
      Errc::invalid_argument)
      << "not text";
}

TEST(BrokerOperator, WhatTheGatewayTellsIsAViewOfItsCommandsAndNoState) {
  Rig rig;
  const auto command_of = [](const std::vector<ToldEvent>& events) {
    ByteWriter out;
    out.le<uint16_t>(static_cast<uint16_t>(events.size()));
    for (const ToldEvent& event : events) append_told(out, event);
    return Buffer::take(out.release());
  };
  const Buffer payload =
      command_of({{ToldKind::denied_will, DeniedReason::not_authorised, 0, 7, 5, "c\"1", "u", "10.0.0.1:5", "w/1"},
                  {ToldKind::subscribed, DeniedReason::none, 2, 0, 6, "d", "u", "10.0.0.1:6", "a/#"}});
  EXPECT_EQ(rig.apply(kTell, payload).error, std::nullopt);
  EXPECT_EQ(rig.outcome, CommandOutcome::unchanged) << "the logic of before tells nothing";
  rig.activate(BrokerMachine::kLogicReturns);
  EXPECT_EQ(rig.apply(kTell, payload).numbers[0], 2);
  EXPECT_TRUE(rig.machine.fresh());
  LoggedCommand logged;
  logged.command.type = kTell;
  logged.command.payload = payload.view();
  Records records;
  render_views(logged, kEventsView.number, records);
  const std::vector<std::string> wanted = {
      R"(c"1 {"event":"denied","at_ms":5,"client":"c\"1","user":"u","address":"10.0.0.1:5","action":"will",)"
      R"("topic":"w/1","reason":"not_authorised","others":7})",
      R"(d {"event":"subscribed","at_ms":6,"client":"d","user":"u","address":"10.0.0.1:6","filter":"a/#","qos":2})",
  };
  EXPECT_EQ(records.lines, wanted);
  for (const std::string& bad : {std::string("x"), std::string(2, '\0'), std::string(as_text(payload.view())) + "x"})
    EXPECT_EQ(rig.apply(kTell, Buffer::copy_of(bad)).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kTell, payload, true).error, Errc::unsupported) << "in a transaction";
}

TEST(MqttOperator, TellsWhoConnectedInFewCommands) {
  for (const char* who : {"off", "users", "all"}) {
    mqtt::MqttOptions options;
    options.presence = who;
    World world(options);
    for (const char* name : {"a", "b", "c"}) world.send(name, connect_five(name));
    world.break_off("b");
    EXPECT_EQ(world.commands(), 0U) << "nothing waits for it";
    world.pass_time(1'000'000'000);
    // Nobody proved who he is.
    EXPECT_EQ(world.commands(), std::string(who) == "all" ? 1U : 0U) << who;
  }
}

TEST(MqttOperator, TellsOfRegisteredThingsWhenNobodyIsAskedWhoHeIs) {
  World world;
  world.send("a", connect_five("a"));
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.commands(), 0U) << "there are none";
  world.break_off("a");
  ASSERT_TRUE(world.create_things({"a"}).ok());
  for (const char* name : {"a", "b"}) world.send(name, connect_five(name));
  world.break_off("a");
  world.break_off("b");
  world.pass_time(1'000'000'000);
  const std::vector<std::string> told = world.records("iot.presence");
  ASSERT_EQ(told.size(), 3U);
  EXPECT_TRUE(told[0].find("started") != std::string::npos);
  EXPECT_TRUE(told[1].starts_with("a {\"event\":\"connected\"")) << told[1];
  EXPECT_TRUE(told[2].starts_with("a {\"event\":\"disconnected\"")) << told[2];
}

// What the configuration bounds.

TEST(MqttLimits, AreTheConfigurations) {
  mqtt::MqttOptions options;
  options.max_topic_bytes = 8;
  options.max_topic_levels = 2;
  options.max_subscriptions = 1;
  options.max_user_properties = 1;
  options.connect_timeout_s = 3;
  World world(options);
  world.send("s", connect_five("s"));
  world.take_output("s");
  for (const char* filter : {"a/b/c", "123456789"}) {
    world.send("s", subscribe_five(filter));
    EXPECT_EQ(hex_of(world.take_output("s")), "90040001008F") << filter;
  }
  world.send("s", subscribe_five("a/b"));
  EXPECT_EQ(hex_of(world.take_output("s")), "900400010001");
  world.send("s", subscribe_five("a/c"));
  EXPECT_EQ(hex_of(world.take_output("s")), "900400010097");
  world.send("p", connect_five("p"));
  world.take_output("p");
  world.send("p", bytes_of("30 r15 s3 'a/b' 07 26 s1 'k' s1 'v' 'xx'"));
  EXPECT_NE(world.take_output("s"), "") << "one is taken";
  world.send("p", bytes_of("30 r22 s3 'a/b' 0E 26 s1 'k' s1 'v' 26 s1 'k' s1 'v' 'xx'"));
  EXPECT_EQ(hex_of(world.take_output("p")), "E00197");
  world.send("q", connect_five("q"));
  world.take_output("q");
  world.send("q", bytes_of("30 r9 s5 'a/b/c' 00 'x'"));
  EXPECT_EQ(hex_of(world.take_output("q")), "E00190");
  world.client("silent");
  world.pass_time(int64_t{2} * 1'000'000'000);
  EXPECT_FALSE(world.client("silent").context->closed);
  world.pass_time(int64_t{2} * 1'000'000'000);
  EXPECT_TRUE(world.client("silent").context->closed);
}

TEST(MqttLimits, NobodyConnectsWhereNobodyMayBeAnonymousAndNobodyCanProveWhoHeIs) {
  mqtt::MqttOptions options;
  options.allow_anonymous = false;
  World world(options);
  world.send("a", connect_five("a"));
  EXPECT_EQ(hex_of(world.take_output("a")), "2003008700");
  EXPECT_TRUE(world.client("a").context->closed);
}

// When clients were last here.

TEST(BrokerOperator, WhoWasSeenLongestAgoIsForgottenFirst) {
  SeenClients seen;
  for (size_t i = 0; i < kSeenClientsMax; ++i) seen.put({static_cast<int64_t>(1000 + i), "c" + std::to_string(i), "u"});
  seen.put({int64_t{1} << 40, "c0", "u"});  // again
  EXPECT_EQ(seen.size(), kSeenClientsMax);
  seen.put({5000, "new", "v"});
  EXPECT_EQ(seen.size(), kSeenClientsMax);
  EXPECT_FALSE(seen.find("c1"));
  EXPECT_TRUE(seen.find("c0"));
  EXPECT_EQ(seen.find("new")->user, "v");
  seen.put({4999, "new", "w"});  // told late
  EXPECT_EQ(seen.find("new")->utc_ms, 5000);
  SeenClients back;
  MemorySnapshot snapshot;
  seen.save(snapshot);
  ASSERT_TRUE(back.restore(snapshot).ok());
  EXPECT_EQ(back.bytes(), seen.bytes());
  for (int64_t i = 0; i < 10; ++i) back.put({i, "late" + std::to_string(i), ""});
  EXPECT_EQ(back.find("late9"), std::nullopt) << "older than all that there is";
}

TEST(BrokerOperator, WhatIsNoListOfClientsIsRefused) {
  Rig rig;
  ByteWriter out;
  out.le<uint16_t>(1);
  append_seen(out, {7, "a", "u"});
  const std::string good(as_text(out.view()));
  EXPECT_EQ(rig.apply(kSeen, Buffer::copy_of(good)).error, std::nullopt);
  EXPECT_EQ(rig.outcome, CommandOutcome::unchanged) << "the logic of before knows nobody";
  EXPECT_EQ(rig.query(kQuerySeen, Buffer::copy_of("a")).numbers[1], 0);
  rig.activate(BrokerMachine::kLogicReturns);
  EXPECT_EQ(rig.apply(kSeen, Buffer::copy_of(good)).numbers[0], 1);
  EXPECT_EQ(rig.query(kQuerySeen, Buffer::copy_of("a")).numbers[0], 7);
  EXPECT_EQ(rig.query(kQuerySeen, Buffer::copy_of("b")).numbers[1], 0);
  for (const std::string& bad : {good + "x", good.substr(0, good.size() - 1), std::string(2, '\0')})
    EXPECT_EQ(rig.apply(kSeen, Buffer::copy_of(bad)).error, Errc::invalid_argument);
  EXPECT_EQ(rig.apply(kSeen, Buffer::copy_of(good), true).error, Errc::unsupported);
}

TEST(MqttOperator, KnowsWhenAClientWasThere) {
  constexpr int64_t kSecondNs = 1'000'000'000;
  constexpr int64_t kStartMs = int64_t{1'700'000'000} * 1'000;
  mqtt::MqttOptions options;
  options.presence = "all";
  World world(options);
  world.send("a", connect_five("a"));
  world.send("b", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'b'"));  // which may be silent
  world.pass_time(10 * kSecondNs);
  world.send("a", bytes_of("C0 00"));
  world.pass_time(5 * kSecondNs);
  world.break_off("a");
  const mqtt::History::Client* known = world.broker().history().find("a");
  ASSERT_NE(known, nullptr);
  EXPECT_EQ(known->seen_ms, kStartMs + 10'000) << "its last packet";
  ASSERT_EQ(known->events.size(), 2U);
  EXPECT_EQ(known->events[0].utc_ms, kStartMs) << "it came";
  EXPECT_EQ(std::string(known->events[1].why), "the connection broke");
  const size_t before = world.commands();
  world.pass_time(60 * kSecondNs);
  EXPECT_EQ(world.commands(), before + 2) << "one for all of them, and one of iot.presence";
  ASSERT_TRUE(world.machine().seen().find("a"));
  EXPECT_EQ(world.machine().seen().find("a")->utc_ms, kStartMs + 10'000);
  EXPECT_EQ(world.machine().seen().find("b")->utc_ms, kStartMs);
  // Who is connected and was heard is told of again, who was not is not.
  for (int i = 0; i < 3; ++i) world.pass_time(60 * kSecondNs);
  const size_t quiet = world.commands();
  world.pass_time(60 * kSecondNs);
  EXPECT_EQ(world.commands(), quiet);
  world.send("b", bytes_of("C0 00"));
  world.pass_time(60 * kSecondNs);
  EXPECT_EQ(world.machine().seen().find("b")->utc_ms, kStartMs + 315'000);
  world.crash();
  EXPECT_EQ(world.broker().history().find("a"), nullptr);
  EXPECT_EQ(world.machine().seen().find("a")->utc_ms, kStartMs + 10'000);
}

TEST(MqttOperator, AHistoryIsBounded) {
  World world;
  for (size_t i = 0; i < mqtt::History::kEventsMax + 2; ++i) {
    world.send("a", connect_five("a"));
    world.break_off("a");
  }
  EXPECT_EQ(world.broker().history().find("a")->events.size(), mqtt::History::kEventsMax);
  const mqtt::ClientFacts facts = [&] {
    world.send("z", connect_five("z"));
    return world.broker().find(std::string_view("z"))->facts();
  }();
  for (size_t i = 0; i < mqtt::History::kClientsMax; ++i) {
    const std::string name = "n" + std::to_string(i);
    mqtt::ClientFacts other = facts;
    other.client = name;
    world.broker().history().disconnected(other, "x");
  }
  EXPECT_EQ(world.broker().history().size(), mqtt::History::kClientsMax);
  EXPECT_EQ(world.broker().history().find("a"), nullptr);
  EXPECT_NE(world.broker().history().find("n9"), nullptr);
}

// Rates.

TEST(MqttOperator, WhoSendsFasterThanItMayIsNotReadUntilItIsWithinIt) {
  mqtt::MqttOptions options;
  options.max_messages_per_second = 10;
  World world(options);
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k1 00 s1 'a'"));
  std::string many;
  for (int i = 0; i < 40; ++i) many += bytes_of("30 r5 s1 't' 00 'x'");
  world.send("a", many);
  EXPECT_EQ(world.broker().counters().received.value(), 11U) << "a second's worth, and one on credit";
  EXPECT_TRUE(world.client("a").context->paused());
  EXPECT_EQ(world.broker().counters().slowed.value(), 1U);
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.broker().counters().received.value(), 21U);
  for (int i = 0; i < 3; ++i) world.pass_time(1'000'000'000);
  EXPECT_EQ(world.broker().counters().received.value(), 40U);
  EXPECT_FALSE(world.client("a").context->closed) << "silence that the server made is not the client's";
}

TEST(MqttOperator, BytesAreLimitedToo) {
  mqtt::MqttOptions options;
  options.max_bytes_per_second = 1000;
  World world(options);
  world.send("a", connect_five("a"));
  const std::string large(2000, 'x');
  world.send("a", bytes_of("30 r2004 s1 't' 00") + large + bytes_of("C0 00"));
  EXPECT_EQ(world.broker().counters().received.value(), 1U) << "a packet is never cut in pieces";
  world.take_output("a");
  world.pass_time(500'000'000);
  EXPECT_EQ(world.take_output("a"), "");
  world.pass_time(600'000'000);
  EXPECT_EQ(hex_of(world.take_output("a")), "D000");
}

// $SYS.

TEST(MqttOperator, SaysOfItselfWhatMosquittoSays) {
  World world;
  const std::string topic = "$SYS/broker/clients/connected";
  world.send("s", connect_five("s"));
  world.take_output("s");
  world.send("s", subscribe_five(topic));
  const std::string says = "H29 '" + topic + "' 00";
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("90 r4 m1 00 01 31 r33 " + says + " '1'")))
      << "as if it were retained";
  world.send("a", connect_five("a"));
  world.pass_time(int64_t{10} * 1'000'000'000);
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r33 " + says + " '2'")));
  world.pass_time(int64_t{10} * 1'000'000'000);
  EXPECT_EQ(world.take_output("s"), "") << "nothing changed";
  EXPECT_EQ(world.commands(), 0U) << "nothing of it is logged";
  // Who asks for everything has not asked for this.
  world.take_output("a");
  world.send("a", subscribe_five("#"));
  world.take_output("a");
  world.pass_time(int64_t{10} * 1'000'000'000);
  EXPECT_EQ(world.take_output("a"), "");
}

TEST(MqttOperator, CountsClientsThatExpiredSharedSubscriptionsAndPayloads) {
  World world;
  mqtt::SysTopics::Kept kept;
  kept.queued = 3;
  kept.retained = 2;
  kept.retained_bytes = 500;
  kept.resident_bytes = 7'000;
  mqtt::SysTopics& sys = world.broker().sys();
  sys.set_kept([&] { return kept; });
  const auto value = [&](const std::string& name) {
    std::string found = "none";
    sys.each("$SYS/broker/" + name, [&](std::string_view, std::string_view value) { found = value; });
    return found;
  };
  world.send("s", connect_five("s"));
  world.send("s", subscribe_five("$share/g/a"));
  world.send("p", connect_five("p"));
  world.send("p", bytes_of("30 r9 s1 'a' 00 'hello'"));
  kept.expired = 4;
  kept.resident_bytes = 6'000;
  world.pass_time(int64_t{10} * 1'000'000'000);
  EXPECT_EQ(value("clients/active"), "2");
  EXPECT_EQ(value("clients/inactive"), "0");
  EXPECT_EQ(value("clients/expired"), "4");
  EXPECT_EQ(value("subscriptions/count"), "1");
  EXPECT_EQ(value("shared_subscriptions/count"), "1");
  EXPECT_EQ(value("publish/bytes/received"), "5");
  EXPECT_EQ(value("publish/bytes/sent"), "5");
  EXPECT_EQ(value("messages/stored"), "5");
  EXPECT_EQ(value("store/messages/bytes"), "500");
  EXPECT_EQ(value("heap/current"), "6000");
  EXPECT_NE(value("load/sockets/1min"), "0.00");
  world.send("s", bytes_of("A2 r15 m2 00 H10 '$share/g/a'"));
  kept.resident_bytes = 5'000;
  world.pass_time(int64_t{10} * 1'000'000'000);
  EXPECT_EQ(value("heap/maximum"), "6000");
}

TEST(MqttOperator, SaysNothingOfItselfWhenItIsNotTo) {
  mqtt::MqttOptions options;
  options.sys_interval_s = 0;
  World world(options);
  world.send("s", connect_five("s"));
  world.send("s", subscribe_five("$SYS/#"));
  world.take_output("s");
  world.pass_time(int64_t{60} * 1'000'000'000);
  EXPECT_EQ(world.take_output("s"), "");
}

TEST(MqttOperator, LooksAtPacketsThatAreCutOffWithoutReadingBehindThem) {
  const std::string whole = bytes_of("32 r10 s3 'a/b' m7 'xyz'");
  for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    const std::string part = whole.substr(0, bytes);
    const auto facts = mqtt::look_at(as_bytes(part), mqtt::Version::v311);
    EXPECT_EQ(facts.has_value(), bytes >= 2);
    EXPECT_EQ(facts ? facts->bytes : 12U, 12U);
  }
}

}  // namespace
}  // namespace heptane::iot::test
