// Where there is no room: what the shard refuses, what full queues refuse, what a client does not take.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

std::string connect(const std::string& id) { return bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 '" + id + "'"); }

TEST(MqttRoom, WhatTheShardRefusesIsNotAcknowledged) {
  World world;
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world.take_output("a");
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r7 s1 't' m7 00 'x'"));
  EXPECT_EQ(hex_of(world.take_output("a")), "4003000797");
}

// MQTT 3 has no word for it: it waits, and so does what its client sent behind it before it could be told.
class RefusedForNow : public testing::Test {
 protected:
  static constexpr int64_t kAgainNs = 100'000'000;
  RefusedForNow() {
    world_.send("s", connect("s"));
    world_.send("s", bytes_of("82 r6 m1 s1 't' 01"));
    world_.send("b", connect("b"));
    world_.take_output("s");
    world_.take_output("b");
    world_.hold(true);
    world_.refuse_next(Errc::no_space);
    world_.send("b", bytes_of("32 r6 s1 't' m7 'x'"));
    world_.send("b", bytes_of("32 r6 s1 't' m8 'y'"));
    world_.hold(false);
    world_.settle();
    world_.send("b", bytes_of("32 r6 s1 't' m9 'z'"));
  }
  World world_;
};

TEST_F(RefusedForNow, IsTriedAgainInItsOrder) {
  EXPECT_EQ(world_.take_output("b"), "");
  EXPECT_EQ(world_.take_output("s"), "");
  EXPECT_TRUE(world_.client("b").context->paused());
  world_.pass_time(kAgainNs);
  EXPECT_EQ(hex_of(world_.take_output("b")), "400200074002000840020009");
  EXPECT_EQ(hex_of(world_.take_output("s")),
            hex_of(bytes_of("32 r6 s1 't' m1 'x' 32 r6 s1 't' m2 'y' 32 r6 s1 't' m3 'z'")));
  EXPECT_FALSE(world_.client("b").context->paused());
}

TEST_F(RefusedForNow, MayBeRefusedAgain) {
  world_.refuse_next(Errc::overloaded);
  world_.pass_time(kAgainNs);
  EXPECT_EQ(world_.take_output("b"), "");
  EXPECT_TRUE(world_.client("b").context->paused());
  world_.pass_time(kAgainNs);
  EXPECT_EQ(hex_of(world_.take_output("b")), "400200074002000840020009");
}

TEST_F(RefusedForNow, HoldsNobodyElseUp) {
  world_.send("a", connect("a"));
  world_.take_output("a");
  world_.send("a", bytes_of("32 r6 s1 't' m1 'a'"));
  EXPECT_EQ(hex_of(world_.take_output("a")), "40020001");
}

// What stands behind the refusal of another client's message is on its way to be refused when more comes.
TEST(MqttRoom, WhatFollowsARefusalThatIsNotKnownYetWaitsBehindIt) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.send("a", connect("a"));
  world.send("b", connect("b"));
  world.take_output("s");
  world.take_output("b");
  world.hold(true);
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r6 s1 't' m1 'a'"));
  world.send("b", bytes_of("32 r6 s1 't' m7 'x'"));
  world.deliver_one();
  world.send("b", bytes_of("32 r6 s1 't' m8 'y'"));
  world.hold(false);
  world.settle();
  EXPECT_EQ(world.take_output("b"), "");
  world.pass_time(100'000'000);
  EXPECT_EQ(hex_of(world.take_output("b")), "4002000740020008");
  EXPECT_EQ(hex_of(world.take_output("s")),
            hex_of(bytes_of("32 r6 s1 't' m1 'a' 32 r6 s1 't' m2 'x' 32 r6 s1 't' m3 'y'")));
}

// The refusals of two commands of one client are not known yet when it sends more.
TEST(MqttRoom, WhatFollowsSeveralRefusalsWaitsBehindAllOfThem) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.send("a", connect("a"));
  world.send("b", connect("b"));
  world.take_output("s");
  world.take_output("b");
  world.hold(true);
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r6 s1 't' m1 'a'"));
  world.send("b", bytes_of("32 r6 s1 't' m7 'x'"));
  world.send("b", bytes_of("32 r6 s1 't' m8 'y'"));
  world.deliver_one();
  world.send("b", bytes_of("32 r6 s1 't' m9 'z'"));
  world.hold(false);
  world.settle();
  EXPECT_EQ(world.take_output("b"), "");
  world.pass_time(100'000'000);
  EXPECT_EQ(hex_of(world.take_output("b")), "400200074002000840020009");
  EXPECT_EQ(hex_of(world.take_output("s")),
            hex_of(bytes_of("32 r6 s1 't' m1 'a' 32 r6 s1 't' m2 'x' 32 r6 s1 't' m3 'y' 32 r6 s1 't' m4 'z'")));
}

// MQTT 5: it is refused, too. Taken it would be before the first one, which its client sends again.
TEST(MqttRoom, WhatFollowsARefusalThatIsNotKnownYetIsRefusedWithIt) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.send("a", connect("a"));
  world.send("b", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'b'"));
  world.take_output("s");
  world.take_output("b");
  world.hold(true);
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r6 s1 't' m1 'a'"));
  world.send("b", bytes_of("32 r7 s1 't' m7 00 'x'"));
  world.deliver_one();
  world.send("b", bytes_of("32 r7 s1 't' m8 00 'y'"));
  world.hold(false);
  world.settle();
  world.send("b", bytes_of("32 r7 s1 't' m9 00 'z'"));
  EXPECT_EQ(hex_of(world.take_output("b")), "4003000797400300089740020009");
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("32 r6 s1 't' m1 'z'")));
}

// Who is gone sends both again.
TEST(MqttRoom, WhatFollowsARefusalThatIsNotKnownYetIsDroppedWhenItsClientIsGone) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.send("a", connect("a"));
  world.send("b", connect("b"));
  world.take_output("s");
  world.hold(true);
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r6 s1 't' m1 'a'"));
  world.send("b", bytes_of("32 r6 s1 't' m7 'x'"));
  world.deliver_one();
  world.send("b", bytes_of("32 r6 s1 't' m8 'y'"));
  world.break_off("b");
  world.hold(false);
  world.settle();
  EXPECT_EQ(world.take_output("s"), "");
  world.pass_time(100'000'000);
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("32 r6 s1 't' m1 'a'")));
}

// It goes on its way when the refusals are in, and before what is held.
TEST(MqttRoom, ARefusalHoldsAnotherClientUpForItsOwnTimeOnly) {
  World world;
  world.send("a", connect("a"));
  world.send("b", connect("b"));
  world.send("c", connect("c"));
  world.take_output("c");
  world.hold(true);
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r6 s1 't' m1 'a'"));
  world.send("b", bytes_of("32 r6 s1 't' m7 'x'"));
  world.deliver_one();
  world.send("c", bytes_of("32 r6 s1 't' m3 'z'"));
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("c")), "40020003");
}

TEST_F(RefusedForNow, EndsWithItsConnection) {
  world_.break_off("b");
  const size_t commands = world_.commands();
  world_.pass_time(kAgainNs);
  EXPECT_EQ(world_.commands(), commands) << "its client sends it again itself";
}

TEST_F(RefusedForNow, ClosesTheConnectionInTheEnd) {
  for (int64_t ns = 0;
       ns < mqtt::MqttOptions{}.no_room_timeout_s * 1'000'000'000 && !world_.client("b").context->closed;
       ns += kAgainNs) {
    world_.refuse_next(Errc::no_space);
    world_.pass_time(kAgainNs);
  }
  EXPECT_TRUE(world_.client("b").context->closed);
  EXPECT_EQ(world_.take_output("b"), "");
  EXPECT_EQ(world_.take_output("s"), "");
}

TEST(MqttRoom, AQueueIsBoundedAndWhatItLosesIsCounted) {
  mqtt::MqttOptions options;
  options.queue_max = 10;
  options.max_inflight = 5;
  World world(options);
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.send("a", connect("a"));
  for (int id = 1; id <= 20; ++id) world.send("a", bytes_of("32 r6 s1 't' m" + std::to_string(id) + " 'x'"));
  EXPECT_EQ(world.broker().counters().sent.value(), 5U);
  EXPECT_EQ(world.broker().counters().dropped_queue.value(), 5U);
  for (int id = 1; id <= 15; ++id) world.send("s", bytes_of("40 02 m" + std::to_string(id)));
  EXPECT_EQ(world.broker().counters().sent.value(), 15U);
}

TEST(MqttRoom, WhoNeverAcknowledgesHoldsABoundedNumberOfBytes) {
  World world;
  world.send("s", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 's'"));  // Receive Maximum 65,535
  world.send("s", bytes_of("82 r7 m1 00 s1 't' 01"));
  world.send("a", connect("a"));
  const std::string payload(500'000, 'x');
  for (int id = 1; id <= 40; ++id) world.send("a", bytes_of("32 r500005 s1 't' m" + std::to_string(id)) + payload);
  EXPECT_EQ(world.broker().counters().sent.value(), 33U) << "16 MiB";
  EXPECT_EQ(world.broker().counters().dropped_queue.value(), 7U);
  world.send("s", bytes_of("40 02 m1"));
  world.send("a", bytes_of("32 r500005 s1 't' m50") + payload);
  EXPECT_EQ(world.broker().counters().sent.value(), 34U) << "an acknowledgement makes room";
}

TEST(MqttRoom, AReaderThatStallsLosesQosZeroAndKeepsTheRest) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  World::Client& reader = world.client("s");
  reader.context->output_stalls = true;
  world.send("a", connect("a"));
  const std::string payload(100'000, 'x');
  const std::string zero = bytes_of("30 r100003 s1 't'") + payload;
  for (int i = 0; i < 10; ++i) world.send("a", zero);
  EXPECT_EQ(world.broker().counters().dropped_output.value(), 7U);
  world.send("a", bytes_of("32 r6 s1 't' m1 'x'"));
  const std::string last = bytes_of("32 r6 s1 't' m1 'x'");
  EXPECT_FALSE(reader.context->output.ends_with(last));
  reader.context->drain_output();
  EXPECT_TRUE(reader.context->output.ends_with(last));
}

// Small ones do not fill the connection: there is a bound of their number. Whatever its socket takes makes room.
TEST(MqttRoom, WhatASocketDoesNotTakeIsBoundedByItsNumberToo) {
  mqtt::MqttOptions options;
  options.max_unsent = 10;
  World world(options);
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.take_output("s");
  World::Client& reader = world.client("s");
  world.send("a", connect("a"));
  const auto& dropped = world.broker().counters().dropped_output;
  const std::string zero = bytes_of("30 r4 s1 't' 'x'");
  for (int i = 0; i < 20; ++i) world.send("a", zero);
  EXPECT_EQ(dropped.value(), 0U) << "its socket takes them";
  world.take_output("s");
  reader.context->output_stalls = true;
  for (int i = 0; i < 12; ++i) world.send("a", zero);
  EXPECT_EQ(dropped.value(), 2U);
  reader.context->take_output(3 * zero.size() + 1);
  for (int i = 0; i < 5; ++i) world.send("a", zero);
  EXPECT_EQ(dropped.value(), 4U) << "three were taken whole";
  world.send("a", bytes_of("32 r6 s1 't' m1 'y'"));
  const std::string last = bytes_of("32 r6 s1 't' m1 'y'");
  EXPECT_FALSE(reader.context->output.ends_with(last)) << "it waits";
  reader.context->drain_output();
  EXPECT_TRUE(reader.context->output.ends_with(last));
  world.send("a", zero);
  EXPECT_EQ(dropped.value(), 4U);
}

TEST(MqttRoom, WhoTakesNothingIsToldAndClosed) {
  mqtt::MqttOptions options;
  options.write_timeout_s = 7;
  World world(options);
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world.send("b", connect("b"));
  for (const char* name : {"a", "b"}) {
    world.take_output(name);
    http::test::FakeContext& context = *world.client(name).context;
    EXPECT_EQ(context.stall_timeout_ns, int64_t{7} * 1'000'000'000);
    context.stall();
    EXPECT_TRUE(context.closed);
  }
  EXPECT_EQ(hex_of(world.take_output("a")), "E00197");
  EXPECT_EQ(world.take_output("b"), "");
}

// A durable session refuses what it has no room for.
class RefusingQueue : public testing::Test {
 protected:
  static constexpr int64_t kAgainNs = 500'000'000;
  RefusingQueue() {
    options_.queue_full = "refuse";
    options_.queue_max = 2;
    world_ = std::make_unique<World>(options_);
    world_->send("s", bytes_of("10 r13 s4 'MQTT' 04 00 k0 s1 's'"));
    world_->send("s", bytes_of("82 r6 m1 s1 't' 01"));
    world_->send("b", connect("b"));
    for (const char* name : {"b", "s"}) world_->take_output(name);
    world_->send("b", bytes_of("32 r6 s1 't' m1 'a' 32 r6 s1 't' m2 'b'"));
    world_->hold(true);
    world_->send("b", bytes_of("32 r6 s1 't' m3 'c'"));
    world_->send("b", bytes_of("32 r6 s1 't' m4 'd'"));
    world_->hold(false);
    world_->settle();
  }
  void acknowledge(const std::string& ids) {
    world_->send("s", bytes_of(ids));
    world_->pass_time(kAgainNs / 4);  // the log hears of it
  }
  mqtt::MqttOptions options_;
  std::unique_ptr<World> world_;
};

TEST_F(RefusingQueue, APublisherOfMqtt3WaitsForRoomInItsOrder) {
  EXPECT_EQ(hex_of(world_->take_output("b")), "4002000140020002");
  EXPECT_TRUE(world_->client("b").context->paused());
  world_->pass_time(kAgainNs);
  EXPECT_EQ(hex_of(world_->take_output("b")), "");
  EXPECT_EQ(hex_of(world_->take_output("s")), hex_of(bytes_of("32 r6 s1 't' m1 'a' 32 r6 s1 't' m2 'b'")));
  acknowledge("40 02 m1");
  world_->pass_time(kAgainNs);
  EXPECT_EQ(hex_of(world_->take_output("b")), "40020003");
  EXPECT_TRUE(world_->client("b").context->paused()) << "one of two";
  acknowledge("40 02 m2 40 02 m3");
  world_->pass_time(kAgainNs);
  EXPECT_EQ(hex_of(world_->take_output("b")), "40020004");
  EXPECT_FALSE(world_->client("b").context->paused());
  EXPECT_EQ(hex_of(world_->take_output("s")), hex_of(bytes_of("32 r6 s1 't' m3 'c' 32 r6 s1 't' m4 'd'")));
}

// Its time begins again with each message that is taken.
TEST_F(RefusingQueue, IsClosedInTheEnd) {
  const int64_t most_ns = options_.no_room_timeout_s * 1'000'000'000;
  world_->pass_time(most_ns - 2 * kAgainNs);
  acknowledge("40 02 m1");
  world_->pass_time(kAgainNs);
  EXPECT_TRUE(world_->take_output("b").ends_with(bytes_of("40 02 m3")));
  world_->pass_time(most_ns - 2 * kAgainNs);
  EXPECT_FALSE(world_->client("b").context->closed);
  world_->pass_time(2 * kAgainNs);
  EXPECT_TRUE(world_->client("b").context->closed);
  EXPECT_EQ(world_->take_output("b"), "");
}

TEST_F(RefusingQueue, APublisherOfMqtt5IsTold) {
  world_->send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world_->take_output("a");
  world_->send("a", bytes_of("32 r7 s1 't' m7 00 'x'"));
  EXPECT_EQ(hex_of(world_->take_output("a")), "4003000797");
  EXPECT_FALSE(world_->client("a").context->paused());
}

// The log refuses the first PUBREC for now.
TEST(MqttRoom, PubrelComesInTheOrderOfPubrec) {
  World world;
  world.send("s", bytes_of("10 r13 s4 'MQTT' 04 00 k0 s1 's'"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 02"));
  world.send("p", connect("p"));
  world.send("p", bytes_of("34 r6 s1 't' m1 'x' 34 r6 s1 't' m2 'y'"));
  world.take_output("s");
  world.refuse_next(Errc::overloaded);
  world.send("s", bytes_of("50 02 m1"));
  world.send("s", bytes_of("50 02 m2"));
  EXPECT_EQ(hex_of(world.take_output("s")), "");
  world.pass_time(1'000'000'000);
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("62 02 m1 62 02 m2")));
}

// It could not be heard: its keep-alive begins again when it is read.
TEST(MqttRoom, KeepAliveStandsWhileAConnectionIsNotRead) {
  constexpr int64_t kAgainNs = 100'000'000;
  constexpr int64_t kSecond = 1'000'000'000;
  World world;
  world.send("b", bytes_of("10 r13 s4 'MQTT' 04 02 k10 s1 'b'"));
  world.take_output("b");
  world.refuse_next(Errc::no_space);
  world.send("b", bytes_of("32 r6 s1 't' m7 'x'"));
  ASSERT_TRUE(world.client("b").context->paused());
  for (int64_t ns = 0; ns < 25 * kSecond; ns += kAgainNs) {
    world.refuse_next(Errc::no_space);
    world.pass_time(kAgainNs);
  }
  EXPECT_FALSE(world.client("b").context->closed) << "one and a half times the keep-alive is 15 s";
  world.pass_time(kAgainNs);
  world.pass_time(kAgainNs);
  EXPECT_EQ(hex_of(world.take_output("b")), "40020007");
  for (int second = 0; second < 14; ++second) world.pass_time(kSecond);
  EXPECT_FALSE(world.client("b").context->closed);
  for (int second = 0; second < 3; ++second) world.pass_time(kSecond);
  EXPECT_TRUE(world.client("b").context->closed);
}

// As of a full queue: each try is in the log.
TEST(MqttRoom, WhereRetainedMessagesAreFullMqtt5IsToldAndMqtt3Waits) {
  World world;
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world.send("b", connect("b"));
  for (const char* name : {"a", "b"}) world.take_output(name);
  world.answer_publish(PublishStatus::retained_full);
  world.send("a", bytes_of("33 r7 s1 't' m7 00 'x'"));
  EXPECT_EQ(hex_of(world.take_output("a")), "4003000797");
  world.answer_publish(PublishStatus::retained_full);
  world.send("b", bytes_of("33 r6 s1 't' m7 'x'"));
  EXPECT_EQ(hex_of(world.take_output("b")), "");
  EXPECT_TRUE(world.client("b").context->paused());
  world.pass_time(500'000'000);
  EXPECT_EQ(hex_of(world.take_output("b")), "40020007");
  EXPECT_FALSE(world.client("b").context->paused());
}

TEST(MqttRoom, WhereThereIsNoRoomForASessionItsClientIsTold) {
  World world;
  world.refuse_next(Errc::overloaded);
  world.send("a", bytes_of("10 r19 s4 'MQTT' 05 02 k0 05 11 L60 s1 'a'"));
  EXPECT_EQ(hex_of(world.take_output("a")), "2003008800");
  EXPECT_TRUE(world.client("a").context->closed);
  world.refuse_next(Errc::overloaded);
  world.send("b", bytes_of("10 r13 s4 'MQTT' 04 00 k0 s1 'b'"));
  EXPECT_EQ(hex_of(world.take_output("b")), "20020003");
  EXPECT_TRUE(world.client("b").context->closed);
  world.send("c", connect("c"));
  EXPECT_EQ(hex_of(world.take_output("c")), "20020000") << "without one it may connect";
}

// A durable session of MQTT 3 that acknowledges what it gets but for the first message.
class LongWindow : public testing::Test {
 protected:
  static constexpr size_t kBatch = 50;
  LongWindow() {
    world_.send("s", bytes_of("10 r13 s4 'MQTT' 04 00 k0 s1 's'"));
    world_.send("s", bytes_of("82 r6 m1 s1 't' 01"));
    world_.send("p", connect("p"));
    world_.take_output("s");
    for (size_t i = 1; i <= kBatch; ++i) batch_ += bytes_of("32 r6 s1 't' m" + std::to_string(i) + " 'x'");
  }
  // Returns the identifiers that came; all but `kept` are acknowledged.
  std::vector<uint32_t> take(uint32_t kept) {
    constexpr size_t kPacketBytes = 8;
    std::vector<uint32_t> ids;
    std::string acks;
    const std::string said = world_.take_output("s");
    for (size_t at = 0; at + kPacketBytes <= said.size(); at += kPacketBytes) {
      ids.push_back(
          static_cast<uint32_t>(static_cast<uint8_t>(said[at + 5]) << 8 | static_cast<uint8_t>(said[at + 6])));
      if (ids.back() != kept) acks += bytes_of("40 02") + said.substr(at + 5, 2);
    }
    world_.send("s", acks);
    return ids;
  }
  World world_;
  std::string batch_;
};

TEST_F(LongWindow, IdentifiersGoNoFurtherThanTheOldestUnacknowledgedAllowsAndBeginAgain) {
  uint32_t next = 1;
  for (size_t sent = 0; sent < kNumbersMax + kBatch; sent += kBatch) {
    world_.send("p", batch_);
    world_.take_output("p");
    for (const uint32_t id : take(1)) ASSERT_EQ(id, next++);
    if (sent % 1'000 == 0) world_.pass_time(200'000'000);  // the log hears what is acknowledged
  }
  EXPECT_EQ(next, 1 + kNumbersMax) << "the first one is one of them";
  EXPECT_EQ(world_.machine().sessions().lost(), kBatch);
  const std::vector<std::string> events = world_.events();
  EXPECT_TRUE(std::any_of(events.begin(), events.end(),
                          [](const std::string& event) { return event.find("numbers_full") != std::string::npos; }));
  world_.send("s", bytes_of("40 02 m1"));
  world_.pass_time(200'000'000);
  world_.send("p", batch_);
  EXPECT_EQ(take(0), (std::vector<uint32_t>{49'151, 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                            17,     18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
                                            34,     35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49}));
}

}  // namespace
}  // namespace heptane::iot::test
