// Shared groups at the gateway: what becomes of a message whose member is gone, of one that nobody who is connected may receive,
// and of one that was published between two groups; groups by topic, also against a model of the rules.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "modules/iot/gateway/mqtt/group_outbox.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/test/mqtt_world.h"
#include "modules/iot/test/one_users_rights.h"

namespace heptane::iot::test {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
const char* const kDurable = "10 r13 s4 'MQTT' 04 00 k0 s1 's'";

std::string connect(const std::string& id) { return bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 '" + id + "'"); }
std::string subscribe(const std::string& filter, int qos) {
  const std::string size = std::to_string(5 + filter.size());
  return bytes_of("82 r" + size + " m1 s" + std::to_string(filter.size()) + " '" + filter + "' 0" +
                  std::to_string(qos));
}
std::string publish(const std::string& topic, int qos, const std::string& text) {
  const std::string size = std::to_string(4 + topic.size() + text.size());
  return bytes_of(std::string(qos == 1 ? "32 r" : "34 r") + size + " s" + std::to_string(topic.size()) + " '" + topic +
                  "' m1 '" + text + "'");
}
std::string release() { return bytes_of("62 02 m1"); }

struct Got {
  char kind = 0;  // 2: QoS 1, 4: QoS 2
  std::string id;
  std::string topic;
  std::string text;
};

// The PUBLISH packets at QoS 1 and 2 that came.
std::vector<Got> take(World& world, const std::string& client) {
  std::vector<Got> all;
  const std::string output = world.take_output(client);
  for (size_t at = 0; at + 2 <= output.size(); at += 2 + static_cast<uint8_t>(output[at + 1])) {
    if ((output[at] & 0xF0) != 0x30 || (output[at] & 6) == 0) continue;
    const auto size = static_cast<uint8_t>(output[at + 1]);
    const auto topic = static_cast<uint8_t>(output[at + 3]);
    all.push_back({static_cast<char>(output[at] & 6), output.substr(at + 4U + topic, 2), output.substr(at + 4, topic),
                   output.substr(at + 6U + topic, size - 4U - topic)});
  }
  return all;
}
std::string texts(const std::vector<Got>& all) {
  std::string out;
  for (const Got& one : all) out += one.text;
  return out;
}
void acknowledge(World& world, const std::string& client, const Got& got) {
  world.send(client, bytes_of(got.kind == 2 ? "40 02" : "50 02") + got.id);
  if (got.kind == 2) return;
  world.send(client, bytes_of("70 02") + got.id);
}

// A group of which a durable session that is away is a member; v has none.
class GroupOfOneWhoIsAway : public testing::Test {
 protected:
  GroupOfOneWhoIsAway() {
    world_.send("s", bytes_of(kDurable));
    world_.send("s", subscribe("$share/g/t", 2));
    world_.send("s", bytes_of("E0 00"));
    world_.send("v", connect("v"));
    world_.send("v", subscribe("$share/g/t", 2));
    world_.take_output("v");
    world_.send("p", connect("p"));
  }
  void come_back() {
    if (world_.clients().contains("s")) world_.break_off("s");
    world_.send("s", bytes_of(kDurable));
  }
  void expect_lost(uint64_t count) {
    world_.pass_time(kSecondNs);
    EXPECT_EQ(world_.machine().sessions().lost(), count);
    EXPECT_EQ(world_.machine().sessions().references(), 0U);
  }
  World world_;
};

TEST_F(GroupOfOneWhoIsAway, KeepsAChoiceThatNeverLeftItsLastMember) {
  world_.hold_after(kAssignShared);
  world_.send("p", publish("t", 2, "x"));
  world_.break_off("v");
  world_.hold(false);
  world_.settle();
  come_back();
  const std::vector<Got> got = take(world_, "s");
  ASSERT_EQ(texts(got), "x");
  acknowledge(world_, "s", got[0]);
  expect_lost(0);
}

// That it was given back is refused for now: nobody else is chosen before it is in the log, or a crash would find it unmarked.
TEST_F(GroupOfOneWhoIsAway, ChoosesAnotherBehindWhatIsGivenBack) {
  world_.send("w", connect("w"));
  world_.send("w", subscribe("$share/g/t", 2));
  world_.take_output("w");
  world_.hold_after(kAssignShared);
  world_.send("p", publish("t", 2, "x"));
  world_.break_off("v");
  world_.refuse_next(Errc::overloaded);
  world_.hold(false);
  world_.settle();
  EXPECT_EQ(texts(take(world_, "w")), "") << "it is not given back yet";
  world_.pass_time(kSecondNs);
  world_.pass_time(kSecondNs);
  ASSERT_EQ(texts(take(world_, "w")), "x");
  world_.crash();
  world_.send("s", bytes_of(kDurable));
  EXPECT_EQ(texts(take(world_, "s")), "") << "w has it";
  expect_lost(1);
}

TEST_F(GroupOfOneWhoIsAway, KeepsItThroughACrashToo) {
  world_.hold_after(kAssignShared);
  world_.send("p", publish("t", 2, "x"));
  world_.break_off("v");
  world_.hold(false);
  world_.settle();
  world_.crash();
  world_.send("s", bytes_of(kDurable));
  EXPECT_EQ(texts(take(world_, "s")), "x");
}

TEST_F(GroupOfOneWhoIsAway, TellsWhatLeftAndWasNotReceived) {
  world_.send("p", publish("t", 2, "x"));
  EXPECT_EQ(texts(take(world_, "v")), "x");
  world_.break_off("v");
  come_back();
  EXPECT_EQ(texts(take(world_, "s")), "") << "nobody else may get it";
  expect_lost(1);
  EXPECT_EQ(
      world_.events().back(),
      "{\"event\":\"gap\",\"session\":\"2\",\"group\":\"g\",\"filter\":\"t\",\"reason\":\"member_gone\",\"first\":"
      "\"0\",\"last\":\"0\",\"count\":1}");
}

TEST_F(GroupOfOneWhoIsAway, HasDeliveredWhatWasReceived) {
  world_.send("p", publish("t", 2, "x"));
  const std::vector<Got> got = take(world_, "v");
  ASSERT_EQ(got.size(), 1U);
  world_.send("v", bytes_of("50 02") + got[0].id);
  world_.break_off("v");
  come_back();
  EXPECT_EQ(texts(take(world_, "s")), "");
  expect_lost(0);
}

TEST_F(GroupOfOneWhoIsAway, TellsWhatACrashFindsWithAMember) {
  world_.send("p", publish("t", 2, "x"));
  EXPECT_EQ(texts(take(world_, "v")), "x");
  world_.crash();
  world_.send("s", bytes_of(kDurable));
  EXPECT_EQ(texts(take(world_, "s")), "");
  expect_lost(1);
}

TEST_F(GroupOfOneWhoIsAway, ForgetsWhatItsMemberHasFinished) {
  world_.send("p", publish("t", 2, "x"));
  for (const Got& one : take(world_, "v")) acknowledge(world_, "v", one);
  expect_lost(0);
  come_back();
  EXPECT_EQ(texts(take(world_, "s")), "");
}

// What it has said of messages is in the log before the server is gone, though it was to be told later.
TEST_F(GroupOfOneWhoIsAway, ForgetsWhatAStopFindsFinished) {
  for (const int qos : {1, 2}) world_.send("p", publish("t", qos, "x"));
  world_.send("p", release());
  const std::vector<Got> got = take(world_, "v");
  ASSERT_EQ(got.size(), 2U);
  for (const Got& one : got) acknowledge(world_, "v", one);
  EXPECT_GT(world_.machine().sessions().references(), 0U);
  for (const auto& [name, client] : world_.clients()) client.session->on_close(net::CloseReason::shutdown);
  world_.settle();
  EXPECT_EQ(world_.machine().sessions().references(), 0U);
  world_.crash();
  world_.send("s", bytes_of(kDurable));
  EXPECT_EQ(texts(take(world_, "s")), "");
  expect_lost(0);
}

// The server stops in order: what waits behind a full window never left.
TEST_F(GroupOfOneWhoIsAway, KeepsWhatAStopFindsUnsent) {
  world_.hold_after(kAssignShared);
  world_.send("p", publish("t", 2, "x"));
  http::test::FakeContext& full = *world_.client("v").context;
  full.output_stalls = true;
  full.output += std::string(http::test::FakeContext::kOutputHighBytes + 1, ' ');
  world_.hold(false);
  world_.settle();
  for (const auto& [name, client] : world_.clients()) client.session->on_close(net::CloseReason::shutdown);
  world_.settle();
  world_.crash();
  world_.send("s", bytes_of(kDurable));
  EXPECT_EQ(texts(take(world_, "s")), "x");
}

// `a/#` is not `a`: who may read that, too, is away.
TEST(MqttGroups, WhatNobodyHereMayReceiveWaitsForOneWhoMay) {
  OneUsersRights rights;
  rights.reads = {"a/#", "a"};
  mqtt::MqttOptions options;
  options.authenticator = &rights;
  options.rules = &rights;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", subscribe("$share/g/a/#", 1));
  world.send("s", bytes_of("E0 00"));
  world.break_off("s");
  rights.reads = {"a/#"};
  world.send("v", connect("v"));
  world.send("v", subscribe("$share/g/a/#", 1));
  world.take_output("v");
  world.send("p", connect("p"));
  world.send("p", publish("a", 1, "1"));
  world.send("p", publish("a/b", 1, "2"));
  world.pass_time(kSecondNs);
  EXPECT_EQ(texts(take(world, "v")), "2");
  rights.reads = {"a/#", "a"};
  world.send("s", bytes_of(kDurable));
  EXPECT_EQ(texts(take(world, "s")), "1");
  EXPECT_EQ(world.machine().sessions().lost(), 0U);
}

// The one who may receive it is away, and its queue is full: the group's has room.
TEST(MqttGroups, WhatAFullMemberThatIsAwayHasNoRoomForStaysInTheGroup) {
  OneUsersRights rights;
  rights.reads = {"a/#", "a"};
  mqtt::MqttOptions options;
  options.authenticator = &rights;
  options.rules = &rights;
  options.queue_max = 8;
  World world(options);
  world.send("s", bytes_of(kDurable));
  world.send("s", subscribe("$share/g/a/#", 1));
  world.send("s", bytes_of("E0 00"));
  world.break_off("s");
  rights.reads = {"a/#"};
  world.send("v", connect("v"));
  world.send("v", subscribe("$share/g/a/#", 1));
  world.take_output("v");
  world.send("p", connect("p"));
  for (int i = 0; i < 10; ++i) {
    world.send("p", publish("a", 1, std::to_string(i)));
    world.pass_time(kSecondNs);
  }
  world.pass_time(mqtt::GroupOutbox::kDeniedAgainNs);
  EXPECT_EQ(world.machine().sessions().references(), 10U);
  rights.reads = {"a/#", "a"};
  world.send("s", bytes_of(kDurable));
  std::string all;
  for (int i = 0; i < 4; ++i) {
    for (const Got& one : take(world, "s")) {
      all += one.text;
      acknowledge(world, "s", one);
    }
    world.pass_time(mqtt::GroupOutbox::kDeniedAgainNs);
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, "0123456789");
  EXPECT_EQ(world.machine().sessions().lost(), 0U);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
}

TEST(MqttGroups, WithoutAQueueAMemberGetsNothingThatItMayNotReceive) {
  OneUsersRights rights;
  rights.reads = {"a/#"};
  mqtt::MqttOptions options;
  options.authenticator = &rights;
  options.rules = &rights;
  World world(options);
  world.send("v", connect("v"));
  world.send("v", subscribe("$share/g/a/#", 1));
  world.take_output("v");
  world.send("p", connect("p"));
  world.send("p", publish("a", 1, "1"));
  world.send("p", publish("a/b", 1, "2"));
  EXPECT_EQ(texts(take(world, "v")), "2");
}

// Its durable member expires, another one comes; the gateway hears of neither before what was published between them.
TEST(MqttGroups, WhatIsPublishedBetweenTwoGroupsOfANameIsForWhoIsThere) {
  World world;
  world.send("s", bytes_of("10 r19 s4 'MQTT' 05 02 k0 05 11 L10 s1 's'"));
  world.send("s", bytes_of("82 r16 m1 00 s10 '$share/g/t' 01"));
  world.send("v", connect("v"));
  world.send("v", subscribe("$share/g/t", 1));
  world.send("p", connect("p"));
  world.send("p", publish("t", 1, "0"));
  for (const std::string client : {"s", "v"})
    for (const Got& one : take(world, client)) acknowledge(world, client, one);
  world.pass_time(kSecondNs);
  world.break_off("s");
  world.pass_time(20 * kSecondNs);
  world.send("r", bytes_of("10 r19 s4 'MQTT' 05 02 k0 05 11 L10 s1 'r'"));
  world.take_output("v");
  world.take_output("r");
  world.hold(true);
  world.send("p", publish("t", 1, "1"));
  world.send("r", bytes_of("82 r16 m1 00 s10 '$share/g/t' 01"));
  world.send("p", publish("t", 1, "2"));
  world.hold(false);
  for (int i = 0; i < 5; ++i) world.settle();
  std::string got;
  for (int i = 0; i < 4; ++i)
    for (const std::string client : {"v", "r"}) {
      const std::vector<Got> its = take(world, client);
      got += texts(its);
      // A client of MQTT 5 has a byte of properties before the text.
      for (const Got& one : its) acknowledge(world, client, one);
    }
  std::erase(got, '\0');
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, "12");
  world.pass_time(kSecondNs);
  EXPECT_EQ(world.machine().sessions().references(), 0U);
  EXPECT_EQ(world.machine().sessions().lost(), 0U);
}

// By topic.

mqtt::MqttOptions by_topic(int64_t window = 100) {
  mqtt::MqttOptions options;
  options.shared = "by_topic";
  options.max_inflight = window;
  options.queue_max = 10'000;
  return options;
}

std::string topic_of(int number) { return "t/" + std::to_string(10 + number); }

TEST(MqttGroups, ByTopicEachTopicHasOneMember) {
  World world(by_topic());
  for (const std::string client : {"a", "b", "c"}) {
    world.send(client, connect(client));
    world.send(client, subscribe("$share/g/t/#", 1));
  }
  world.send("p", connect("p"));
  for (int round = 0; round < 3; ++round)
    for (int i = 0; i < 30; ++i) world.send("p", publish(topic_of(i), 1, std::to_string(round)));
  std::map<std::string, std::map<std::string, std::string>> got;  // topic, member: texts
  size_t least = 90;
  for (const std::string client : {"a", "b", "c"}) {
    const std::vector<Got> its = take(world, client);
    least = std::min(least, its.size());
    for (const Got& one : its) got[one.topic][client] += one.text;
  }
  ASSERT_EQ(got.size(), 30U);
  for (const auto& [topic, members] : got) {
    EXPECT_EQ(members.size(), 1U) << topic;
    EXPECT_EQ(members.begin()->second, "012");
  }
  EXPECT_GE(least, 9U) << "topics are spread";
  // Who goes leaves his topics to the others, the oldest first; nobody else's move.
  world.break_off("a");
  std::map<std::string, std::string> moved;
  for (const std::string client : {"b", "c"})
    for (const Got& one : take(world, client)) moved[one.topic] += one.text;
  for (const auto& [topic, members] : got) EXPECT_EQ(moved[topic], members.begin()->first == "a" ? "012" : "") << topic;
}

TEST(MqttGroups, ByTopicAFullMemberHoldsUpItsTopicsAlone) {
  for (const bool durable : {false, true}) {
    World world(by_topic(4));
    if (durable) {
      world.send("s", bytes_of(kDurable));
      world.send("s", subscribe("$share/g/t/#", 1));
      world.send("s", bytes_of("E0 00"));
    }
    for (const std::string client : {"a", "b"}) {
      world.send(client, connect(client));
      world.send(client, subscribe("$share/g/t/#", 1));
      world.take_output(client);
    }
    world.send("p", connect("p"));
    for (int round = 0; round < 5; ++round)
      for (int i = 0; i < 20; ++i) world.send("p", publish(topic_of(i), 1, std::to_string(round)));
    // a says nothing, b everything.
    std::map<std::string, std::string> with_b;
    for (bool more = true; more;) {
      const std::vector<Got> its = take(world, "b");
      more = !its.empty();
      for (const Got& one : its) {
        with_b[one.topic] += one.text;
        acknowledge(world, "b", one);
      }
    }
    EXPECT_EQ(take(world, "a").size(), 4U);
    EXPECT_GE(with_b.size(), 3U);
    for (const auto& [topic, text] : with_b) EXPECT_EQ(text, "01234") << topic;
    // What a did not acknowledge goes before what waits behind it.
    world.break_off("a");
    std::map<std::string, std::string> rest;
    for (bool more = true; more;) {
      const std::vector<Got> its = take(world, "b");
      more = !its.empty();
      for (const Got& one : its) {
        rest[one.topic] += one.text;
        acknowledge(world, "b", one);
      }
    }
    EXPECT_EQ(rest.size() + with_b.size(), 20U);
    for (const auto& [topic, text] : rest) EXPECT_EQ(text, "01234") << topic;
    world.pass_time(kSecondNs);
    EXPECT_EQ(world.machine().sessions().references(), 0U);
  }
}

void keep_a_member_away(World& world) {
  world.send("s", bytes_of(kDurable));
  world.send("s", subscribe("$share/g/t/#", 2));
  world.send("s", bytes_of("E0 00"));
  world.send("p", connect("p"));
}

// The first choices are refused for now: those that came behind them wait.
TEST(MqttGroups, ByTopicChoicesThatAreMadeAgainKeepTheirOrder) {
  constexpr int kMany = 300;
  World world(by_topic(1'000));
  keep_a_member_away(world);
  for (int i = 0; i < kMany; ++i) {
    world.send("p", publish("t/1", 2, std::to_string(1'000 + i)));
    world.send("p", release());
  }
  world.send("v", connect("v"));
  world.refuse_next(Errc::overloaded);
  world.send("v", subscribe("$share/g/t/#", 2));
  std::vector<std::string> got;
  for (int i = 0; i < 20; ++i) {
    for (const Got& one : take(world, "v")) {
      got.push_back(one.text);
      acknowledge(world, "v", one);
    }
    world.pass_time(kSecondNs);
  }
  ASSERT_EQ(got.size(), static_cast<size_t>(kMany));
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_EQ(world.machine().sessions().lost(), 0U);
}

// Behind the choice of one who is gone there is more: what comes back goes first.
TEST(MqttGroups, ByTopicWhatIsChosenForOneWhoIsGoneGoesFirst) {
  for (int i = 0; i < 10; ++i) {
    World world(by_topic(1));
    keep_a_member_away(world);
    for (const std::string client : {"v", "w"}) {
      world.send(client, connect(client));
      world.send(client, subscribe("$share/g/t/#", 2));
      world.take_output(client);
    }
    world.hold_after(kAssignShared);
    const std::string topic = topic_of(i);
    world.send("p", publish(topic, 2, "0") + bytes_of("34 r9 s4 '" + topic + "' m2 '1'"));
    world.break_off("v");
    world.hold(false);
    std::string got;
    for (int round = 0; round < 10; ++round) {
      world.settle();
      for (const Got& one : take(world, "w")) {
        got += one.text;
        acknowledge(world, "w", one);
      }
      world.pass_time(kSecondNs);
    }
    EXPECT_EQ(got, "01") << topic;
    EXPECT_EQ(world.machine().sessions().lost(), 0U);
  }
}

// Members come, go, and acknowledge as they like: of one topic, a message goes to a member when all before it were acknowledged,
// or are with this member, too.
class RandomMembers {
 public:
  RandomMembers(uint32_t seed, bool durable) : random_(seed), world_(by_topic(1 + seed % 5)) {
    if (!durable) return;
    world_.send("s", bytes_of(kDurable));
    world_.send("s", subscribe("$share/g/t/#", 1));
    world_.send("s", bytes_of("E0 00"));
  }

  void steps(int count) {
    world_.send("p", connect("p"));
    join("a");
    for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
      step();
      for (const std::string& client : members_) look(client);
    }
    for (int i = 0; i < 2'000 && !testing::Test::HasFailure(); ++i)
      for (const std::string& client : members_) {
        look(client);
        answer(client);
      }
    for (const auto& [topic, sent] : sent_) EXPECT_EQ(acknowledged_[topic].size(), static_cast<size_t>(sent)) << topic;
  }

 private:
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }

  void step() {
    const std::string client(1, static_cast<char>('a' + below(4)));
    const bool there = std::find(members_.begin(), members_.end(), client) != members_.end();
    switch (below(8)) {
      case 0: return there ? void() : join(client);
      case 1:
        if (there && members_.size() > 1 && below(3) == 0) leave(client);
        return;
      case 2:
      case 3:
      case 4: return publish_one();
      default:
        if (there) answer(client);
    }
  }
  void join(const std::string& client) {
    world_.send(client, connect(client));
    world_.send(client, subscribe("$share/g/t/#", 1));
    members_.push_back(client);
  }
  void leave(const std::string& client) {
    std::erase(members_, client);
    with_.erase(client);
    world_.break_off(client);
  }
  void publish_one() {
    const std::string topic = topic_of(static_cast<int>(below(6)));
    world_.send("p", publish(topic, 1, std::to_string(1'000 + sent_[topic]++)));
  }
  void look(const std::string& client) {
    for (const Got& one : take(world_, client)) {
      const int number = std::stoi(one.text) - 1'000;
      for (int before = 0; before < number; ++before) {
        const bool done = acknowledged_[one.topic].contains(before);
        const bool here = with_[client].contains({one.topic, before});
        EXPECT_TRUE(done || here) << one.topic << ' ' << number << " before " << before << " at " << client;
      }
      with_[client].emplace(std::pair(one.topic, number), one);
      order_[client].push_back({one.topic, number});
    }
  }
  void answer(const std::string& client) {
    auto& its = with_[client];
    if (its.empty()) return;
    const auto first = its.begin();
    acknowledged_[first->first.first].insert(first->first.second);
    const Got got = first->second;
    its.erase(first);
    acknowledge(world_, client, got);
  }

  using Key = std::pair<std::string, int>;
  std::mt19937 random_;
  World world_;
  std::vector<std::string> members_;
  std::map<std::string, int> sent_;
  std::map<std::string, std::set<int>> acknowledged_;
  std::map<std::string, std::map<Key, Got>> with_;
  std::map<std::string, std::vector<Key>> order_;
};

TEST(MqttGroups, ByTopicOrderHoldsWhoeverComesAndGoes) {
  for (uint32_t seed = 1; seed <= 20; ++seed)
    for (const bool durable : {false, true}) {
      SCOPED_TRACE(seed);
      RandomMembers(seed, durable).steps(400);
    }
}

// What is retained could not be read: it is read when it can be, without a word of the client.
TEST(MqttSession, WhatIsRetainedIsReadAgainByItself) {
  for (const bool durable : {false, true}) {
    World world;
    world.send("p", connect("p"));
    world.send("p", bytes_of("33 r6 s1 'b' m1 'x'"));
    world.send("s", durable ? bytes_of(kDurable) : connect("s"));
    world.take_output("s");
    world.refuse_reads(3);
    world.send("s", bytes_of("82 r6 m2 s1 'b' 01"));
    EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("90 03 m2 01")));
    world.pass_time(mqtt::MqttSession::kReadAgainNs);
    world.pass_time(2 * mqtt::MqttSession::kReadAgainNs);
    EXPECT_EQ(take(world, "s").size(), 0U);
    world.pass_time(4 * mqtt::MqttSession::kReadAgainNs);
    EXPECT_EQ(texts(take(world, "s")), "x");
  }
}

TEST(MqttSession, WhatIsRetainedAndCannotBeReadIsToldInTheEnd) {
  World world;
  world.send("s", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 's'"));
  world.refuse_reads(1'000);
  world.send("s", bytes_of("82 r7 m2 00 s1 'b' 01"));
  world.take_output("s");
  for (int i = 0; i < 300 && !world.client("s").context->closed; ++i) world.pass_time(kSecondNs / 5);
  EXPECT_EQ(hex_of(world.take_output("s")), "E00183");
  EXPECT_TRUE(world.client("s").context->closed);
}

}  // namespace
}  // namespace heptane::iot::test
