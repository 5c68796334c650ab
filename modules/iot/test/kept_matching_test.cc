// Whose queues a message is for: the order against a naive reader of the rules, what it costs, who refuses.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "modules/iot/test/broker_rig.h"

namespace heptane::iot::test {
namespace {

TEST(KeptMatching, SoManyMessagesMayBeOnTheirWayAndNoMore) {
  Rig rig;
  for (size_t i = 0; i < kReachedMax + 1; ++i) {
    const auto [session, epoch] = rig.open("s" + std::to_string(i));
    rig.subscribe(session, epoch, "all", {.id = 0, .levels_min = 0, .qos = 1});
  }
  for (size_t i = 0; i < BrokerMachine::kFanOutsMax; ++i)
    ASSERT_EQ(Rig::status(rig.publish("all", 1)), PublishStatus::queued) << i;
  EXPECT_EQ(Rig::status(rig.publish("all", 1)), PublishStatus::queue_full);
  EXPECT_EQ(Rig::status(rig.publish("all", 0)), PublishStatus::fleeting) << "it is for no queue";
  rig.restore();
  EXPECT_EQ(Rig::status(rig.publish("all", 2)), PublishStatus::queue_full);
}

// However many sessions there are, a command looks at as many subscriptions as it may reach sessions.
TEST(KeptMatching, AMessageForManyIsMatchedAsFarAsACommandGoes) {
  Rig rig;
  const size_t many = 4 * kReachedMax + 100;
  std::pair<uint64_t, uint64_t> last;
  for (size_t i = 0; i < many; ++i) {
    last = rig.open("s" + std::to_string(i));
    rig.subscribe(last.first, last.second, "all/#", {.id = 0, .levels_min = 0, .qos = 1});
  }
  EXPECT_EQ(Rig::status(rig.publish("all/1", 1)), PublishStatus::queued);
  EXPECT_EQ(rig.machine.visits(), kReachedMax + 1);
  rig.fire();
  EXPECT_EQ(rig.queue(last.first, last.second).size(), 1U);
  EXPECT_LE(rig.machine.visits(), many + 4);
}

using Matches = std::vector<std::string>;

// All of a session's subscriptions at once, as a naive reader of the rules does it.
Matches naive_matches(const KeptSessions& sessions, const MatchedMessage& message, uint64_t after) {
  Matches found;
  const size_t levels = levels_of(message.topic);
  for (const auto& [number, session] : sessions.all()) {
    uint8_t qos = 0;
    bool retain = false;
    std::set<uint32_t> ids;
    for (const auto& [filter, one] : session.subscriptions) {
      const bool own = one.no_local && session.client == message.publisher;
      if (number <= after || own || levels < one.levels_min || !matches(filter, message.topic)) continue;
      qos = std::max(qos, std::min(message.qos, one.qos));
      retain = retain || (one.retain_as_published && message.retain);
      if (one.id != 0) ids.insert(one.id);
    }
    std::string text = std::to_string(number) + " " + std::to_string(qos) + (retain ? " retain" : "");
    for (const uint32_t id : ids) text += " " + std::to_string(id);
    if (qos > 0) found.push_back(text);
  }
  return found;
}

Matches found_matches(const KeptSessions& sessions, const MatchedMessage& message, uint64_t after) {
  Matches found;
  for (KeptMatching matching(sessions, message, after); matching.current() != nullptr; matching.next()) {
    const Match& match = *matching.current();
    std::string text =
        std::to_string(match.session->number) + " " + std::to_string(match.qos) + (match.retain ? " retain" : "");
    for (const uint32_t id : match.ids) text += " " + std::to_string(id);
    found.push_back(text);
  }
  return found;
}

TEST(KeptMatching, IsInTheOrderOfTheSessionsNumbersFromAnyOfThemOn) {
  const std::vector<std::string> filters{"#", "+", "a", "a/#", "+/b", "a/b", "a/+", "a/b/#", "+/+/+"};
  const std::vector<std::string> topics{"a", "b", "a/b", "a/c", "a/b/c"};
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](size_t bound) { return static_cast<size_t>(random() % bound); };
    KeptSessions sessions;
    for (size_t i = 0; i < 30; ++i) sessions.add("c" + std::to_string(i), "u");
    for (size_t step = 0; step < 400; ++step) {
      KeptSession* session = sessions.find(uint64_t{1} + below(30));
      ASSERT_NE(session, nullptr);
      const std::string& filter = filters[below(filters.size())];
      KeptSubscription wish;
      wish.id = static_cast<uint32_t>(below(2) * (1 + step));
      wish.levels_min = static_cast<uint16_t>(below(4) == 0 ? 2 : 0);
      wish.qos = static_cast<uint8_t>(below(3));
      wish.no_local = below(3) == 0;
      wish.retain_as_published = below(2) == 0;
      if (below(3) == 0)
        sessions.unsubscribe(*session, filter);
      else
        sessions.subscribe(*session, filter, wish);
      const std::string publisher = "c" + std::to_string(below(30));
      const MatchedMessage message{topics[below(topics.size())], publisher, static_cast<uint8_t>(1 + below(2)),
                                   below(2) == 0};
      const uint64_t after = below(2) * below(30);
      ASSERT_EQ(found_matches(sessions, message, after), naive_matches(sessions, message, after)) << "seed " << seed;
    }
  }
}

// One that is full elsewhere does not stand in the way, and a message that a full one would refuse is refused whoever else it is for.
TEST(KeptMatching, AFullSessionRefusesWhatIsForIt) {
  Rig rig;
  OpenSession wish;
  wish.queue_full = QueueFull::refuse;
  wish.queue_max = 1;
  std::vector<std::pair<uint64_t, uint64_t>> sessions;
  for (size_t i = 0; i < 10; ++i) {
    sessions.push_back(rig.open("r" + std::to_string(i), wish));
    rig.subscribe(sessions[i].first, sessions[i].second, "own/" + std::to_string(i),
                  {.id = 0, .levels_min = 0, .qos = 1});
    rig.subscribe(sessions[i].first, sessions[i].second, "all", {.id = 0, .levels_min = 0, .qos = 1});
  }
  const auto status = [&](std::string_view topic) { return Rig::status(rig.publish(topic, 1)); };
  EXPECT_EQ(status("own/3"), PublishStatus::queued);
  EXPECT_EQ(status("own/3"), PublishStatus::queue_full);
  EXPECT_EQ(status("own/4"), PublishStatus::queued);
  EXPECT_EQ(status("all"), PublishStatus::queue_full);
  rig.restore();
  EXPECT_EQ(status("all"), PublishStatus::queue_full);
  rig.settle(sessions[3].first, sessions[3].second, 0, Settlement::acknowledged);
  EXPECT_EQ(status("all"), PublishStatus::queue_full) << "the other one is full";
  rig.settle(sessions[4].first, sessions[4].second, 0, Settlement::acknowledged);
  EXPECT_EQ(status("all"), PublishStatus::queued);
  EXPECT_EQ(status("own/7"), PublishStatus::queue_full);
  // One that may hold more is not full any more.
  wish.queue_max = 2;
  rig.open("r7", wish);
  EXPECT_EQ(status("own/7"), PublishStatus::queued);
  EXPECT_EQ(status("own/7"), PublishStatus::queue_full);
}

}  // namespace
}  // namespace heptane::iot::test
