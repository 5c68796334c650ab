// The gateway by transcripts (test/transcripts/), and what no transcript can say.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "kernel/shard/memory_snapshot.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/test/mqtt_world.h"
#include "modules/iot/test/one_users_rights.h"

namespace heptane::iot::test {
namespace {

class Transcript : public testing::TestWithParam<std::string> {};

TEST_P(Transcript, IsWhatHappens) {
  std::ifstream file(GetParam());
  ASSERT_TRUE(file) << GetParam();
  std::ostringstream text;
  text << file.rdbuf();
  World world;
  EXPECT_EQ(world.run(text.str()), "");
}

std::vector<std::string> transcripts() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("modules/iot/test/transcripts"))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(All, Transcript, testing::ValuesIn(transcripts()),
                         [](const auto& info) { return std::filesystem::path(info.param).stem().string(); });

const char* const kConnect = "10 r13 s4 'MQTT' 04 02 k0 s1 'p'";

std::string connect(const std::string& id) { return bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 '" + id + "'"); }

TEST(MqttSession, ManyMessagesOfOneTurnAreOneCommand) {
  World world;
  world.send("a", bytes_of(kConnect));
  std::string many;
  for (int id = 1; id <= 100; ++id) many += bytes_of("32 r6 s1 't' m" + std::to_string(id) + " 'x'");
  world.send("a", many);
  EXPECT_EQ(world.commands(), 1U);
  EXPECT_EQ(world.take_output("a").size(), 4U + 100U * 4U);
}

TEST(MqttSession, NothingIsAcknowledgedOrSeenBeforeTheShardHasAnswered) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.take_output("s");
  world.send("a", connect("a"));
  world.take_output("a");
  world.hold(true);
  world.send("a", bytes_of("32 r6 s1 't' m7 'x'"));
  EXPECT_EQ(world.take_output("a"), "");
  EXPECT_EQ(world.take_output("s"), "");
  // The publisher goes; its message does not.
  world.break_off("a");
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("32 r6 s1 't' m1 'x'")));
}

TEST(MqttSession, AClientOfMqtt5IsToldThatTheServerStops) {
  World world;
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world.send("b", connect("b"));
  for (const char* name : {"a", "b"}) {
    world.take_output(name);
    world.client(name).session->on_stop(*world.client(name).context);
  }
  EXPECT_EQ(hex_of(world.take_output("a")), "E0018B");
  EXPECT_EQ(world.take_output("b"), "");
}

// To whoever asks for more, or for none; the others have their own.
TEST(MqttSession, AKeepAliveIsTheServersAtMostWhereItSaysOne) {
  mqtt::MqttOptions options;
  options.max_keep_alive_s = 20;
  World world(options);
  const std::string own = hex_of(bytes_of("20 r14 00 00 0B 22 H10 27 L1048576 21 H1024"));
  const std::string servers = hex_of(bytes_of("20 r17 00 00 0E 22 H10 27 L1048576 21 H1024 13 H20"));
  const auto answer = [&](const std::string& name, const std::string& keep_alive) {
    world.send(name, bytes_of("10 r14 s4 'MQTT' 05 02 " + keep_alive + " 00 s1 '" + name + "'"));
    return hex_of(world.take_output(name));
  };
  EXPECT_EQ(answer("a", "k0"), servers);
  EXPECT_EQ(answer("b", "k21"), servers);
  EXPECT_EQ(answer("c", "k20"), own);
  EXPECT_EQ(answer("d", "k1"), own);
  world.send("e", connect("e"));
  EXPECT_EQ(hex_of(world.take_output("e")), "20020000") << "MQTT 3 has no word for it";
  for (int second = 0; second < 29; ++second) world.pass_time(1'000'000'000);
  EXPECT_FALSE(world.client("a").context->closed);
  EXPECT_TRUE(world.client("d").context->closed);
  for (int second = 0; second < 3; ++second) world.pass_time(1'000'000'000);
  EXPECT_EQ(hex_of(world.take_output("a")), "E0018D");
  EXPECT_TRUE(world.client("a").context->closed);
  EXPECT_FALSE(world.client("e").context->closed);
}

// Told where it is not what the client asked for; MQTT 3 cannot ask.
TEST(MqttSession, ASessionOutlivesItsConnectionAsLongAsTheServerSaysAtMost) {
  mqtt::MqttOptions options;
  options.max_session_expiry_s = 100;
  World world(options);
  world.send("a", bytes_of("10 r19 s4 'MQTT' 05 00 k0 05 11 L200 s1 'a'"));
  EXPECT_EQ(hex_of(world.take_output("a")), hex_of(bytes_of("20 r19 00 00 10 22 H10 27 L1048576 21 H1024 11 L100")));
  world.send("b", bytes_of("10 r19 s4 'MQTT' 05 00 k0 05 11 L50 s1 'b'"));
  EXPECT_EQ(hex_of(world.take_output("b")), hex_of(bytes_of("20 r14 00 00 0B 22 H10 27 L1048576 21 H1024")));
  world.send("c", bytes_of("10 r13 s4 'MQTT' 04 00 k0 s1 'c'"));
  for (const char* name : {"a", "b", "c"}) world.break_off(name);
  EXPECT_EQ(world.machine().sessions_count(), 3U);
  world.pass_time(60'000'000'000);
  EXPECT_EQ(world.machine().sessions_count(), 2U);
  world.pass_time(41'000'000'000);
  EXPECT_EQ(world.machine().sessions_count(), 0U);
}

TEST(MqttSession, NoSessionOutlivesItsConnectionWhereTheServerSaysSo) {
  mqtt::MqttOptions options;
  options.max_session_expiry_s = 0;
  World world(options);
  world.send("a", bytes_of("10 r19 s4 'MQTT' 05 00 k0 05 11 L200 s1 'a'"));
  EXPECT_EQ(hex_of(world.take_output("a")), hex_of(bytes_of("20 r19 00 00 10 22 H10 27 L1048576 21 H1024 11 L0")));
  EXPECT_EQ(world.machine().sessions_count(), 0U);
}

TEST(MqttSession, ManyRetainedMessagesComeInPagesAsTheClientTakesThem) {
  World world;
  world.send("a", connect("a"));
  for (int i = 0; i < 1000; ++i) {
    const std::string topic = "r/" + std::to_string(10'000 + i);
    world.send("a", bytes_of("33 r12 s7 '" + topic + "' m" + std::to_string(1 + i) + " 'x'"));
  }
  EXPECT_EQ(world.machine().retained().size(), 1000U);
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r8 m1 s3 'r/#' 01"));
  for (int id = 1; id <= 1000; ++id) world.send("s", bytes_of("40 02 m" + std::to_string(id)));
  EXPECT_EQ(world.broker().counters().sent.value(), 1000U);
  EXPECT_EQ(world.broker().counters().dropped_queue.value(), 0U);
}

const char* const kDurable = "10 r13 s4 'MQTT' 04 00 k0 s1 's'";

TEST(MqttSession, AReleasedMessageIsFinishedWhenTheLogHasForgottenIt) {
  World world;
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r6 m1 s1 't' 02"));
  world.send("p", connect("p"));
  world.send("p", bytes_of("32 r6 s1 't' m1 'x'"));
  world.send("p", bytes_of("34 r6 s1 't' m2 'y'"));
  world.send("s", bytes_of("50 02 m2"));
  EXPECT_TRUE(world.take_output("s").ends_with(bytes_of("62 02 m2")));
  world.crash();
  world.trim(2);
  world.send("s", bytes_of(kDurable));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("20 02 01 00 62 02 m2")));
  world.send("s", bytes_of("70 02 m2"));
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
  EXPECT_EQ(world.machine().sessions().lost(), 1U);
}

TEST(MqttSession, AFullQueueLosesNothingThatWasSentAndNotAcknowledged) {
  mqtt::MqttOptions options;
  options.queue_max = 16;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r6 m1 s1 't' 02"));
  world.send("p", connect("p"));
  world.take_output("s");
  for (int id = 1; id <= 40; ++id) world.send("p", bytes_of("32 r6 s1 't' m" + std::to_string(id) + " 'x'"));
  std::string sent;
  for (int id = 1; id <= 16; ++id) sent += bytes_of("32 r6 s1 't' m" + std::to_string(id) + " 'x'");
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(sent));
  EXPECT_EQ(world.machine().sessions().all().begin()->second.queue.first_number(), 0U);
  EXPECT_EQ(world.machine().sessions().lost(), 24U);
  for (int id = 1; id <= 16; ++id) world.send("s", bytes_of("40 02 m" + std::to_string(id)));
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
}

TEST(MqttSession, WhatIsRetainedIsReadBehindADurableSubscription) {
  mqtt::MqttOptions options;
  options.queue_max = 600;
  World world(options);
  world.send("p", connect("p"));
  for (int i = 0; i < 700; ++i) world.send("p", bytes_of("33 r10 s5 'r/" + std::to_string(100 + i) + "' m1 'x'"));
  world.send("p", bytes_of("31 r4 s1 'b' 'x'"));
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r8 m1 s3 'r/#' 01"));
  // Two pages of three are there, more has no room. The next page is asked for, then comes another SUBSCRIBE.
  std::string acks;
  for (int id = 49'152; id < 49'152 + 400; ++id) acks += bytes_of("40 02 m" + std::to_string(id));
  world.hold(true);
  world.send("s", acks + bytes_of("82 r6 m2 s1 'b' 00"));
  world.take_output("s");
  world.client("s").context->deliver();
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("90 03 m2 00 31 r4 s1 'b' 'x'")));
}

namespace {

// What came to the client of messages at QoS 1 under topics of five bytes; it acknowledges as many of them as it may.
std::vector<std::string> take_topics(World& world, const std::string& name, size_t acknowledges) {
  std::vector<std::string> topics;
  for (bool more = true; more;) {
    const std::string output = world.take_output(name);
    std::string acks;
    for (size_t at = 0; at + 2 <= output.size(); at += 2 + static_cast<uint8_t>(output[at + 1])) {
      if ((output[at] & 0xF0) != 0x30) continue;
      topics.push_back(output.substr(at + 4, 5));
      if (topics.size() <= acknowledges) acks += bytes_of("40 02") + output.substr(at + 9, 2);
    }
    more = !acks.empty();
    if (more) world.send(name, acks);
  }
  return topics;
}

constexpr int kRetained = 700;

void retain_many(World& world) {
  world.send("p", connect("p"));
  for (int i = 0; i < kRetained; ++i) world.send("p", bytes_of("33 r10 s5 'r/" + std::to_string(100 + i) + "' m1 'x'"));
}

}  // namespace

TEST(MqttSession, WhatASubscribeBringsGoesOnWhereItsClientLeft) {
  World world;
  retain_many(world);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r8 m1 s3 'r/#' 01"));
  EXPECT_EQ(take_topics(world, "s", 300).size(), 400U) << "and a window";
  world.break_off("s");
  world.send("s", bytes_of(kDurable));
  const std::vector<std::string> rest = take_topics(world, "s", 1'000);
  ASSERT_EQ(rest.size(), 400U);
  EXPECT_EQ(rest.front(), "r/400");
  EXPECT_EQ(rest.back(), "r/799");
  EXPECT_TRUE(std::is_sorted(rest.begin(), rest.end()));
  world.break_off("s");
  world.send("s", bytes_of(kDurable));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("20 02 01 00"))) << "it has them all";
}

TEST(MqttSession, WhatASubscribeBringsIsNotDroppedForAShortQueue) {
  mqtt::MqttOptions options;
  options.queue_max = 10;
  World world(options);
  retain_many(world);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r8 m1 s3 'r/#' 01"));
  EXPECT_EQ(take_topics(world, "s", 1'000).size(), static_cast<size_t>(kRetained));
}

TEST(MqttSession, AfterACrashAPageOfWhatASubscribeBringsMayComeAgain) {
  World world;
  retain_many(world);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r8 m1 s3 'r/#' 01"));
  take_topics(world, "s", 300);
  world.pass_time(1'000'000'000);
  world.crash();
  world.send("s", bytes_of(kDurable));
  const std::vector<std::string> rest = take_topics(world, "s", 10);
  ASSERT_FALSE(rest.empty());
  EXPECT_EQ(rest.front(), "r/356") << "behind the first page";
  // Another SUBSCRIBE begins anew; none goes on without the subscription.
  world.send("s", bytes_of("82 r8 m1 s3 'r/#' 01"));
  world.break_off("s");
  world.send("s", bytes_of(kDurable));
  EXPECT_EQ(take_topics(world, "s", 5).front(), "r/100");
  world.send("s", bytes_of("A2 r7 m9 s3 'r/#'"));
  world.break_off("s");
  world.send("s", bytes_of(kDurable));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("20 02 01 00")));
}

TEST(MqttSession, WhoMayReadLessGetsWhatItsFiltersStillMatch) {
  OneUsersRights rights;
  rights.reads = {"a/+", "b"};
  mqtt::MqttOptions options;
  options.authenticator = &rights;
  options.rules = &rights;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r8 m1 s3 'a/+' 01"));
  world.send("s", bytes_of("82 r6 m2 s1 'b' 01"));
  world.send("p", connect("p"));
  world.break_off("s");
  world.send("p", bytes_of("32 r6 s1 'b' m1 '1'"));
  world.send("p", bytes_of("32 r8 s3 'a/1' m2 '2'"));
  rights.reads = {"a/+", "c"};
  world.hold(true);
  world.send("s", bytes_of(kDurable));
  world.send("p", bytes_of("32 r6 s1 'b' m3 '3'"));
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("20 02 01 00 32 r8 s3 'a/1' m2 '2'")));
  world.send("s", bytes_of("82 r6 m3 s1 'c' 01"));
  world.send("p", bytes_of("32 r6 s1 'c' m4 '4'"));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("90 03 m3 01 32 r6 s1 'c' m4 '4'")));
}

TEST(MqttSession, WhoIsRevokedWhileItsSessionIsOpenedLosesNothingOfIt) {
  OneUsersRights rights;
  rights.reads = {"b"};
  mqtt::MqttOptions options;
  options.authenticator = &rights;
  options.rules = &rights;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of("82 r6 m2 s1 'b' 01"));
  world.break_off("s");
  world.hold(true);
  world.send("s", bytes_of(kDurable));
  rights.counts = false;
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), "20020005");
  EXPECT_TRUE(world.client("s").context->closed);
  const KeptSession& session = world.machine().sessions().all().begin()->second;
  EXPECT_FALSE(session.connected);
  EXPECT_EQ(session.subscriptions.size(), 1U);
}

TEST(MqttSession, AMessageThatWasSentIsSentAgainWhenItsTimeIsOver) {
  World world;
  world.send("s", bytes_of("10 r19 s4 'MQTT' 05 00 k0 05 11 L60 s1 's'"));
  world.send("s", bytes_of("82 r7 m1 00 s1 't' 02"));
  world.take_output("s");
  world.send("p", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'p'"));
  world.send("p", bytes_of("34 r12 s1 't' m1 v5 02 L5 'x'"));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("34 r12 s1 't' m1 v5 02 L5 'x'")));
  world.break_off("s");
  world.send("p", bytes_of("34 r12 s1 't' m2 v5 02 L5 'y'"));
  world.pass_time(6'000'000'000);
  world.send("s", bytes_of("10 r19 s4 'MQTT' 05 00 k0 05 11 L60 s1 's'"));
  EXPECT_TRUE(world.take_output("s").ends_with(bytes_of("21 H1024 3C r12 s1 't' m1 v5 02 L0 'x'")));
}

const char* const kDurableMember = "82 r15 m1 s10 '$share/g/t' 02";

// At QoS 2 nothing leaves before the choice is in the log.
TEST(MqttSession, AChoiceThatTheLogDoesNotTakeIsMadeAgain) {
  World world;
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of(kDurableMember));
  world.send("p", connect("p"));
  world.take_output("s");
  world.hold(true);
  world.send("p", bytes_of("34 r6 s1 't' m1 'x'"));
  world.refuse_next(Errc::overloaded);
  world.hold(false);
  world.settle();
  EXPECT_EQ(world.take_output("s"), "");
  world.pass_time(200'000'000);
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("34 r6 s1 't' m1 'x'")));
}

// Both have room for two; what they do not acknowledge stays with them, and what they do makes room.
TEST(MqttSession, AGroupsQueueWaitsForMembersThatHaveRoomAndReadsTheLog) {
  mqtt::MqttOptions options;
  options.max_inflight = 2;
  options.queue_max = 10'000;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of(kDurableMember));
  world.send("s", bytes_of("E0 00"));
  world.send("p", connect("p"));
  const int many = 5'000;  // more than is at hand
  for (int i = 1; i <= many; ++i)
    world.send("p", bytes_of("32 r8 s1 't' m" + std::to_string(i) + " H" + std::to_string(i) + " 'x'"));
  world.break_off("s");
  world.send("s", bytes_of(kDurable));
  world.send("v", connect("v"));
  world.send("v", bytes_of("82 r15 m1 s10 '$share/g/t' 01"));
  std::multiset<int> got;
  for (int round = 0; round < many; ++round) {
    for (const std::string client : {"s", "v"}) {
      const std::string output = world.take_output(client);
      std::string acks;
      for (size_t at = 0; at + 2 <= output.size(); at += 2 + static_cast<uint8_t>(output[at + 1])) {
        if (output[at] != 0x32) continue;
        acks += bytes_of("40 02") + output.substr(at + 5, 2);
        got.insert(static_cast<uint8_t>(output[at + 7]) << 8 | static_cast<uint8_t>(output[at + 8]));
      }
      if (!acks.empty()) world.send(client, acks);
    }
    if (got.size() == static_cast<size_t>(many)) break;
  }
  EXPECT_EQ(got.size(), static_cast<size_t>(many));
  EXPECT_EQ(std::set<int>(got.begin(), got.end()).size(), static_cast<size_t>(many)) << "each once";
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
  EXPECT_EQ(world.machine().sessions().lost(), 0U);
}

// Their messages lie between one another: what one of them reads is what the others are about to ask for.
TEST(MqttSession, SessionsThatComeBackAtOnceReadTheLogTogether) {
  World world;
  const std::vector<std::string> clients = {"a", "b", "c", "d", "e"};
  const auto durable = [](const std::string& client) {
    return bytes_of("10 r13 s4 'MQTT' 04 00 0000 s1 '" + client + "'");
  };
  for (const std::string& client : clients) {
    world.send(client, durable(client));
    world.send(client, bytes_of("82 r6 m1 s1 '" + client + "' 01"));
    world.break_off(client);
  }
  world.send("p", connect("p"));
  constexpr int kMessages = 50;
  for (int i = 1; i <= kMessages; ++i)
    for (const std::string& client : clients)
      world.send("p", bytes_of("32 r7 s1 '" + client + "' m1 H" + std::to_string(i)));
  world.crash();  // nothing is at hand any more
  const size_t before = world.reads();
  world.read_in_turn();
  world.hold(true);
  for (const std::string& client : clients) world.send(client, durable(client));
  world.hold(false);
  world.break_off("c");
  world.settle();
  for (const std::string& client : clients) {
    if (client == "c") continue;
    const std::string output = world.take_output(client).substr(4);
    std::string expected;
    for (int i = 1; i <= kMessages; ++i)
      expected += bytes_of("32 r7 s1 '" + client + "' m" + std::to_string(i) + " H" + std::to_string(i));
    EXPECT_EQ(hex_of(output), hex_of(expected)) << client;
  }
  // Ten records a read, two of them for each: alone they would need 25 reads each.
  EXPECT_LE(world.reads() - before, 50U);
}

// Takes what `client` is sent and answers it; the payloads, each one byte.
std::string take_messages(World& world, const std::string& client) {
  std::string payloads;
  for (std::string output = world.take_output(client); !output.empty(); output = world.take_output(client))
    for (size_t at = 0; at + 2 <= output.size(); at += 2 + static_cast<uint8_t>(output[at + 1])) {
      if (output[at] == 0x62) world.send(client, bytes_of("70 02") + output.substr(at + 2, 2));
      if (output[at] != 0x32 && output[at] != 0x34) continue;
      world.send(client, bytes_of(output[at] == 0x32 ? "40 02" : "50 02") + output.substr(at + 5, 2));
      payloads += output[at + 7];
    }
  return payloads;
}

TEST(MqttSession, AGroupThatEndedAndBeganAgainIsServedOutOfItsNewQueue) {
  World world;
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of(kDurableMember));
  world.send("v", connect("v"));
  world.send("v", bytes_of("82 r15 m1 s10 '$share/g/t' 01"));
  world.send("p", connect("p"));
  world.send("p", bytes_of("32 r6 s1 't' m1 '1'"));
  world.send("s", bytes_of("A2 r14 m9 s10 '$share/g/t'"));
  world.send("s", bytes_of(kDurableMember));
  for (const char* const message : {"32 r6 s1 't' m2 '2'", "34 r6 s1 't' m3 '3'", "32 r6 s1 't' m4 '4'"})
    world.send("p", bytes_of(message));
  std::string got;
  for (int i = 0; i < 3; ++i) got += take_messages(world, "s") + take_messages(world, "v");
  std::sort(got.begin(), got.end());
  EXPECT_TRUE(got == "234" || got == "1234") << got;
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
}

TEST(MqttSession, AGroupGoesOnWhoseLastMemberLeftItWithAMessage) {
  mqtt::MqttOptions options;
  options.queue_max = 16;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of(kDurableMember));
  world.send("s", bytes_of("E0 00"));
  world.send("v", connect("v"));
  world.send("v", bytes_of("82 r15 m1 s10 '$share/g/t' 01"));
  world.send("p", connect("p"));
  world.send("p", bytes_of("32 r6 s1 't' m1 '1'"));
  world.send("v", bytes_of("A2 r14 m9 s10 '$share/g/t'"));
  world.send("w", connect("w"));
  world.send("w", bytes_of("82 r15 m1 s10 '$share/g/t' 01"));
  world.take_output("w");
  std::string got;
  for (int i = 2; i <= 40; ++i) {
    world.send("p", bytes_of("32 r6 s1 't' m" + std::to_string(i) + " 'x'"));
    got += take_messages(world, "w");
    world.pass_time(200'000'000);
  }
  EXPECT_EQ(got, std::string(39, 'x')) << "without the one that is another's";
  world.send("v", bytes_of("40 02 m1"));
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
}

// The queue does not have it any more when its member has gone before it was told.
TEST(MqttSession, AChoiceOfOneWhoIsGoneMeanwhileIsAnothers) {
  World world;
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of(kDurableMember));
  world.send("s", bytes_of("E0 00"));
  for (const std::string client : {"v", "w"}) {
    world.send(client, connect(client));
    world.send(client, bytes_of(kDurableMember));
    world.take_output(client);
  }
  world.send("p", connect("p"));
  world.hold_after(kAssignShared);
  world.send("p", bytes_of("34 r6 s1 't' m1 'x'"));
  world.break_off("v");
  EXPECT_EQ(world.take_output("w"), "");
  world.hold(false);
  world.settle();
  EXPECT_EQ(take_messages(world, "w"), "x");
}

TEST(MqttSession, ChoicesUnderWayTakeTheRoomOfTheirMember) {
  mqtt::MqttOptions options;
  options.max_inflight = 2;
  options.queue_max = 4;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("v", connect("v"));
  for (const std::string client : {"s", "v"})
    for (const std::string group : {"g", "h"})
      world.send(client, bytes_of("82 r15 m1 s10 '$share/" + group + "/t' 02"));
  world.send("s", bytes_of("E0 00"));
  world.take_output("v");
  world.send("p", connect("p"));
  std::string messages;
  for (int i = 1; i <= 4; ++i) messages += bytes_of("34 r6 s1 't' m" + std::to_string(i) + " 'x'");
  world.send("p", messages);
  std::string got;
  for (int i = 0; i < 10; ++i) {
    got += take_messages(world, "v");
    world.pass_time(200'000'000);
  }
  EXPECT_EQ(got, "xxxxxxxx");
  EXPECT_EQ(world.broker().counters().dropped_queue.value(), 0U);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
}

TEST(MqttSession, AGroupsGapsAreToldUnderItsName) {
  mqtt::MqttOptions options;
  options.queue_max = 16;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", bytes_of(kDurableMember));
  world.send("s", bytes_of("E0 00"));
  world.send("p", connect("p"));
  for (int i = 1; i <= 17; ++i) world.send("p", bytes_of("32 r6 s1 't' m" + std::to_string(i) + " 'x'"));
  world.crash();
  world.trim(2);
  world.send("s", bytes_of(kDurable));
  world.pass_time(1'000'000'000);
  const std::vector<std::string> events = world.events();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(
      events[1],
      "{\"event\":\"gap\",\"session\":\"2\",\"group\":\"g\",\"filter\":\"t\",\"reason\":\"drop_oldest\",\"first\":"
      "\"4\",\"last\":\"4\",\"count\":1}");
  EXPECT_EQ(events[2],
            "{\"event\":\"gap\",\"session\":\"2\",\"group\":\"g\",\"filter\":\"t\",\"reason\":\"trimmed\",\"first\":"
            "\"0\",\"last\":\"1\",\"count\":2}");
}

// CONNECT with expiry 60, will at QoS 1 with delay 20.
std::string with_will(bool clean) {
  return bytes_of(std::string("10 r32 s4 'MQTT' 05 ") + (clean ? "0E" : "0C") +
                  " k0 05 11 L60 s1 'a' 05 18 L20 s1 'w' s2 'a!'");
}

TEST(MqttSession, AWillThatIsDueLaterIsRememberedOnceHoweverOftenItsClientComes) {
  World world;
  for (int i = 0; i < 50; ++i) {
    world.send("a", with_will(i % 10 == 0));
    world.break_off("a");
  }
  EXPECT_EQ(world.broker().keeper().wills(), 1U);
  world.send("a", with_will(false));
  EXPECT_EQ(world.broker().keeper().wills(), 0U);
  world.break_off("a");
  world.pass_time(int64_t{21} * 1'000'000'000);
  EXPECT_EQ(world.broker().keeper().wills(), 0U);
  EXPECT_EQ(world.broker().counters().wills.value(), 5U) << "four sessions that were discarded, and the last one";
}

// The log's time stands while nothing is logged, and does not follow a clock that is wrong.
TEST(MqttSession, AWillIsAskedForOnceASecondWhileTheLogIsBehind) {
  World world;
  world.send("a", with_will(false));
  world.break_off("a");
  world.log_runs_late(int64_t{30} * 1'000'000'000);
  const size_t before = world.commands();
  for (int i = 0; i < 2'400; ++i) world.pass_time(10'000'000);
  EXPECT_LE(world.commands() - before, 6U);
  EXPECT_EQ(world.broker().counters().wills.value(), 0U);
  world.log_runs_late(0);
  for (int i = 0; i < 60; ++i) world.pass_time(1'000'000'000);
  EXPECT_EQ(world.broker().counters().wills.value(), 1U);
}

TEST(MqttSession, WhatAConnectionAloneKnowsHasIdentifiersThatTheLastOneDidNotUse) {
  World world;
  world.send("p", connect("p"));
  world.send("p", bytes_of("33 r6 s1 'b' m1 'x'"));
  for (int id : {49'152, 50'173, 51'194}) {
    world.send("s", bytes_of(kDurable));
    world.take_output("s");
    world.send("s", bytes_of("82 r6 m2 s1 'b' 01"));
    EXPECT_EQ(hex_of(world.take_output("s")),
              hex_of(bytes_of("90 03 m2 01 33 r6 s1 'b' m" + std::to_string(id) + " 'x'")));
    world.send("s", bytes_of("40 02 m" + std::to_string(id)));
    world.break_off("s");
  }
}

TEST(MqttSession, TheMachineComesBackFromItsSnapshotAndFromAScope) {
  World world;
  EXPECT_TRUE(world.machine().fresh());
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world.send("a", bytes_of("33 r19 s1 't' m1 v12 02 L9 03 s2 'ct' 01 i1 'x'"));
  world.send("a", bytes_of("31 r5 s1 'u' 00 'y'"));
  ASSERT_EQ(world.machine().retained().size(), 2U);
  EXPECT_FALSE(world.machine().fresh());
  MemorySnapshot before;
  world.machine().save(before);

  world.machine().open_scope();
  world.send("a", bytes_of("31 r4 s1 'u' 00"));
  world.send("a", bytes_of("31 r5 s1 't' 00 'z'"));
  world.send("a", bytes_of("31 r5 s1 'v' 00 'z'"));
  MemorySnapshot between;
  world.machine().save(between);
  EXPECT_NE(as_text(between.bytes()), as_text(before.bytes()));
  world.machine().close_scope(ScopeOutcome::roll_back);
  MemorySnapshot after;
  world.machine().save(after);
  EXPECT_EQ(as_text(after.bytes()), as_text(before.bytes()));

  BrokerMachine other;
  ASSERT_TRUE(other.restore(before));
  MemorySnapshot again;
  other.save(again);
  EXPECT_EQ(as_text(again.bytes()), as_text(before.bytes()));
  EXPECT_EQ(other.memory_bytes(), world.machine().memory_bytes());
  MemorySnapshot half;
  half.write(before.bytes().first(before.bytes().size() / 2));
  EXPECT_FALSE(other.restore(half));
}

}  // namespace
}  // namespace heptane::iot::test
