// Durable sessions in the machine: against a naive model of the rules, with refusals and rolled-back transactions that leave
// no trace and a snapshot in between; and the rules one by one.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>

#include "kernel/base/random.h"
#include "modules/iot/test/broker_rig.h"

namespace heptane::iot::test {
namespace {

TEST(KeptSessions, AMachineWithoutSessionsIsSavedAsBeforeThereWereAny) {
  Rig rig;
  rig.publish("t", 1);
  EXPECT_EQ(rig.state(), std::string(8, '\0'));
  EXPECT_TRUE(rig.machine.fresh());
}

// A publish of a log from before there were durable sessions: its answer has one number, and it reaches nobody's queue.
TEST(KeptSessions, AnOldPublishDoesWhatItDid) {
  Rig rig;
  const auto [session, epoch] = rig.open("s");
  rig.subscribe(session, epoch, "#", {.id = 0, .levels_min = 0, .qos = 1});
  rig.publish("t", 1);
  ByteWriter out;
  out.le<uint16_t>(1);
  append_message(
      out, {.qos = 1, .retain = false, .expiry_s = {}, .topic = "t", .client = "c", .properties = "", .payload = "x"});
  const Reply reply = rig.apply(kPublishFirst, Buffer::take(out.release()));
  EXPECT_EQ(reply.payload.size(), 1U);
  EXPECT_EQ(reply.numbers[0], 1);
  EXPECT_EQ(reply.numbers[1], 0);
  EXPECT_EQ(rig.queue(session, epoch).size(), 1U);
}

TEST(KeptSessions, AnOldEpochChangesNothing) {
  Rig rig;
  const auto [session, old] = rig.open("s");
  rig.subscribe(session, old, "a", {.id = 0, .levels_min = 0, .qos = 2});
  rig.publish("a", 1);
  const auto [same, epoch] = rig.open("s");
  EXPECT_EQ(same, session);
  EXPECT_EQ(epoch, old + 1);
  const std::string before = rig.state();
  rig.settle(session, old, 0, Settlement::acknowledged);
  rig.subscribe(session, old, "b", {.id = 0, .levels_min = 0, .qos = 1});
  rig.apply(kUnsubscribe, encode(ChangeFilters{session, old, {{"a", {}}}}));
  rig.apply(kCloseSession, encode(CloseSession{session, old, true, 0, 0}));
  EXPECT_EQ(Rig::status(rig.publish("a", 2, Sender{session, old, 7})), PublishStatus::stale);
  EXPECT_EQ(rig.state(), before);
}

TEST(KeptSessions, AnotherUserDoesNotGetTheSession) {
  Rig rig;
  OpenSession wish;
  wish.owner = "alice";
  const auto [session, epoch] = rig.open("s", wish);
  rig.apply(kCloseSession, encode(CloseSession{session, epoch, false, {}, 0}));
  const std::string before = rig.state();
  wish.client = "s";
  wish.owner = "bob";
  wish.clean = true;
  wish.queue_max = 1;
  EXPECT_EQ(rig.apply(kOpenSession, encode(wish)).error, Errc::unauthorised);
  EXPECT_EQ(rig.state(), before);
}

TEST(KeptSessions, AQoS2MessageIsTakenOnceUntilItIsReleased) {
  Rig rig;
  const auto [session, epoch] = rig.open("s");
  EXPECT_EQ(Rig::status(rig.publish("a", 2, Sender{session, epoch, 7})), PublishStatus::kept);
  rig.restore();
  EXPECT_EQ(Rig::status(rig.publish("a", 2, Sender{session, epoch, 7})), PublishStatus::again);
  EXPECT_EQ(Rig::status(rig.publish("b", 2, Sender{session, epoch, 7})), PublishStatus::kept) << "another message";
  rig.settle(session, epoch, 7, Settlement::released);
  EXPECT_EQ(Rig::status(rig.publish("b", 2, Sender{session, epoch, 7})), PublishStatus::kept);
}

TEST(KeptSessions, AFullQueueDropsTheOldestThatWasNotSent) {
  Rig rig;
  const auto [session, epoch] = rig.open(
      "s", {.client = "", .owner = "", .clean = false, .queue_full = {}, .expiry_s = 0, .queue_max = 4, .ahead = 0});
  rig.subscribe(session, epoch, "a", {.id = 0, .levels_min = 0, .qos = 1});
  for (int i = 0; i < 4; ++i) rig.publish("a", 1);
  rig.settle(session, epoch, 2, Settlement::sent);
  rig.publish("a", 1);
  EXPECT_EQ(numbers(rig.queue(session, epoch)), (std::vector<uint64_t>{0, 1, 3, 4}));
  rig.publish("a", 1);
  EXPECT_EQ(numbers(rig.queue(session, epoch)), (std::vector<uint64_t>{0, 1, 4, 5}));
  rig.restore();
  rig.settle(session, epoch, 6, Settlement::sent);
  rig.publish("a", 1);
  EXPECT_EQ(numbers(rig.queue(session, epoch)), (std::vector<uint64_t>{0, 1, 4, 5})) << "all are sent: the newest goes";
  EXPECT_EQ(rig.machine.sessions().find(session)->lost, 3U);
}

TEST(KeptSessions, WhatAConnectionMayHaveSentUntoldIsNotDropped) {
  Rig rig;
  OpenSession wish;
  wish.queue_max = 4;
  wish.ahead = 2;
  const auto [session, epoch] = rig.open("s", wish);
  rig.subscribe(session, epoch, "a", {.id = 0, .levels_min = 0, .qos = 1});
  for (int i = 0; i < 5; ++i) rig.publish("a", 1);
  EXPECT_EQ(numbers(rig.queue(session, epoch)), (std::vector<uint64_t>{0, 1, 3, 4}));
  rig.restore();
  rig.settle(session, epoch, 2, Settlement::sent);
  rig.publish("a", 1);
  EXPECT_EQ(numbers(rig.queue(session, epoch)), (std::vector<uint64_t>{0, 1, 3, 5}));
  // It is over, and said how far it came.
  rig.apply(kCloseSession, encode(CloseSession{session, epoch, false, {}, 2}));
  rig.publish("a", 1);
  EXPECT_EQ(numbers(rig.queue(session, epoch)), (std::vector<uint64_t>{0, 1, 5, 6}));
}

TEST(KeptSessions, AFullQueueThatRefusesLeavesTheMessageWithItsPublisher) {
  Rig rig;
  OpenSession wish;
  wish.queue_full = QueueFull::refuse;
  wish.queue_max = 1;
  const auto [session, epoch] = rig.open("s", wish);
  rig.subscribe(session, epoch, "a", {.id = 0, .levels_min = 0, .qos = 1});
  const auto [other, other_epoch] = rig.open("o");
  rig.subscribe(other, other_epoch, "a", {.id = 0, .levels_min = 0, .qos = 1});
  EXPECT_EQ(Rig::status(rig.publish("a", 1)), PublishStatus::queued);
  const std::string before = rig.state();
  const Reply refused = rig.publish("a", 1);
  EXPECT_EQ(Rig::status(refused), PublishStatus::queue_full);
  EXPECT_EQ(refused.numbers[0], 0);
  EXPECT_EQ(rig.state(), before);
}

TEST(KeptSessions, AnExpiredSessionIsGone) {
  Rig rig;
  const auto [session, epoch] = rig.open("s");
  rig.subscribe(session, epoch, "a", {.id = 3, .levels_min = 0, .qos = 1});
  rig.publish("a", 1);
  rig.apply(kCloseSession, encode(CloseSession{session, epoch, false, {}, 1}));
  rig.now += 99 * kSecond;
  rig.fire();
  EXPECT_NE(rig.machine.sessions().find(session), nullptr);
  rig.now += kSecond;
  rig.fire();
  EXPECT_EQ(rig.machine.sessions().find(session), nullptr);
  EXPECT_EQ(rig.machine.sessions().references(), 0U);
  EXPECT_EQ(Rig::status(rig.publish("a", 1)), PublishStatus::kept);
}

TEST(KeptSessions, AStartEndsTheConnectionsOfTheLastRun) {
  Rig rig;
  const auto [session, epoch] = rig.open("s");
  const auto [ends, ends_epoch] = rig.open("e");
  rig.apply(kCloseSession, encode(CloseSession{ends, ends_epoch, false, 0, 0}));
  EXPECT_EQ(rig.machine.sessions().find(ends), nullptr) << "no expiry any more";
  rig.now += 1'000 * kSecond;
  ByteWriter grace;
  grace.le<uint32_t>(30);
  rig.apply(kBoot, Buffer::take(grace.release()));
  ByteWriter first;
  first.le<uint64_t>(0);
  EXPECT_EQ(rig.apply(kEndConnections, Buffer::take(first.release())).numbers[1], 0) << "one slice";
  EXPECT_FALSE(rig.machine.sessions().find(session)->connected);
  rig.now += 101 * kSecond;
  rig.fire();
  EXPECT_EQ(rig.machine.sessions().find(session), nullptr);
}

TEST(KeptSessions, AMessageForMoreThanOneCommandReachesAllInOrder) {
  Rig rig;
  const size_t many = kReachedMax + 50;
  std::vector<std::pair<uint64_t, uint64_t>> sessions;
  for (size_t i = 0; i < many; ++i) {
    sessions.push_back(rig.open("s" + std::to_string(i)));
    rig.subscribe(sessions.back().first, sessions.back().second, "all/#", {.id = 0, .levels_min = 0, .qos = 1});
  }
  EXPECT_EQ(Rig::status(rig.publish("all/1", 1)), PublishStatus::queued);
  EXPECT_EQ(Rig::status(rig.publish("all/2", 1)), PublishStatus::queued);
  EXPECT_TRUE(rig.queue(sessions.back().first, sessions.back().second).empty());
  EXPECT_EQ(rig.queue(sessions.front().first, sessions.front().second).size(), 1U)
      << "the second waits behind the first";
  rig.restore();
  rig.fire();
  for (const auto& [session, epoch] : sessions) {
    const auto items = rig.queue(session, epoch);
    ASSERT_EQ(items.size(), 2U);
    EXPECT_EQ(items[0].place.offset, 0);
    EXPECT_EQ(items[1].place.offset, 1);
  }
}

// Whether it is for anybody is looked up when its turn comes.
TEST(KeptSessions, AMessageBehindOneUnderWayIsNotMatchedAndOneThatNobodyWantsIsForgotten) {
  Rig rig;
  for (size_t i = 0; i < kReachedMax + 50; ++i) {
    const auto [session, epoch] = rig.open("s" + std::to_string(i));
    rig.subscribe(session, epoch, "all/#", {.id = 0, .levels_min = 0, .qos = 1});
  }
  rig.publish("all/1", 1);
  EXPECT_EQ(Rig::status(rig.publish("nobodys", 1)), PublishStatus::queued);
  // Who refuses is asked first, all the same.
  OpenSession wish;
  wish.queue_full = QueueFull::refuse;
  wish.queue_max = 1;
  const auto [session, epoch] = rig.open("r", wish);
  rig.subscribe(session, epoch, "mine", {.id = 0, .levels_min = 0, .qos = 1});
  EXPECT_EQ(Rig::status(rig.publish("nobodys", 1)), PublishStatus::kept);
  EXPECT_EQ(Rig::status(rig.publish("mine", 1)), PublishStatus::queued);
  rig.fire();
  EXPECT_EQ(rig.queue(session, epoch).size(), 1U);
  EXPECT_EQ(Rig::status(rig.publish("mine", 1)), PublishStatus::queue_full);
  EXPECT_EQ(Rig::status(rig.publish("nobodys", 1)), PublishStatus::kept);
}

TEST(KeptSessions, AWillWhoseTimeHasPassedIsPublishedWhenItsClientIsBackFirst) {
  Rig rig;
  const auto [session, epoch] = rig.open("reader");
  rig.subscribe(session, epoch, "w", {.id = 0, .levels_min = 0, .qos = 1});
  OpenSession wish;
  wish.will.emplace();
  wish.will->delay_s = 20;
  wish.will->message.qos = 1;
  wish.will->message.topic = "w";
  wish.will->message.payload = "x";
  const auto [gone, gone_epoch] = rig.open("gone", wish);
  rig.apply(kCloseSession, encode(CloseSession{gone, gone_epoch, true, {}, 0}));
  rig.now += 19 * kSecond;
  const auto [same, next] = rig.open("gone", wish);
  EXPECT_EQ(same, gone);
  EXPECT_TRUE(rig.queue(session, epoch).empty());
  rig.apply(kCloseSession, encode(CloseSession{gone, next, true, {}, 0}));
  rig.now += 20 * kSecond;
  EXPECT_EQ(rig.open("gone", wish).first, gone);
  EXPECT_EQ(rig.queue(session, epoch).size(), 1U);
}

void start_server(Rig& rig) {
  ByteWriter grace;
  grace.le<uint32_t>(30);
  rig.apply(kBoot, Buffer::take(grace.release()));
  ByteWriter first;
  first.le<uint64_t>(0);
  rig.apply(kEndConnections, Buffer::take(first.release()));
}

// How many wills there are of a client that was there when the server ended, and is back within the grace of two starts.
size_t wills_over_two_starts(uint32_t logic, uint32_t expiry_s, bool clean, uint32_t delay_s = 0) {
  Rig rig(logic);
  const auto [session, epoch] = rig.open("reader");
  rig.subscribe(session, epoch, "w", {.id = 0, .levels_min = 0, .qos = 1});
  OpenSession wish;
  wish.expiry_s = expiry_s;
  wish.will.emplace();
  wish.will->delay_s = delay_s;
  wish.will->message.qos = 1;
  wish.will->message.topic = "w";
  wish.will->message.payload = "x";
  rig.open("gone", wish);
  rig.now += kSecond;
  start_server(rig);
  rig.now += 10 * kSecond;
  rig.fire();
  start_server(rig);
  rig.now += kSecond;
  wish.clean = clean;
  rig.open("gone", wish);
  return rig.queue(session, epoch).size();
}

TEST(KeptSessions, AWillDoesNotCareHowManyStartsThereAreWithinTheGrace) {
  constexpr uint32_t kOverBetweenThem = 5;
  EXPECT_EQ(wills_over_two_starts(BrokerMachine::kLogicRelaxed, kOverBetweenThem, false), 0U);
  EXPECT_EQ(wills_over_two_starts(BrokerMachine::kLogicRelaxed, 100, false), 0U);
  EXPECT_EQ(wills_over_two_starts(BrokerMachine::kLogicRelaxed, 100, true), 0U);
  constexpr uint32_t kAboveTheGrace = 60;
  EXPECT_EQ(wills_over_two_starts(BrokerMachine::kLogicRelaxed, 100, true, kAboveTheGrace), 0U);
  EXPECT_EQ(wills_over_two_starts(BrokerMachine::kLogicReturns, kOverBetweenThem, false), 1U) << "older logs stay so";
}

// Retained messages of a SUBSCRIBE.

std::vector<std::pair<std::string, std::string>> walks(Rig& rig, OpenSession wish) {
  wish.client = "s";
  wish.queue_max = 10;
  wish.expiry_s = 100;
  const Reply reply = rig.apply(kOpenSession, encode(wish));
  const auto opened = decode_opened(reply.payload.view());
  std::vector<std::pair<std::string, std::string>> found;
  for (const OpenedSession::Walk& walk : opened->walks) found.emplace_back(walk.filter, walk.after);
  return found;
}

TEST(KeptSessions, ASubscriptionsRetainedMessagesAreKnownUpToATopicUntilTheClientHasThem) {
  using Walks = std::vector<std::pair<std::string, std::string>>;
  Rig rig;
  const auto [session, old] = rig.open("s");
  uint64_t walk = 1;
  const auto subscribe = [&, session = session](uint64_t epoch, std::string_view filter, bool walks) {
    rig.apply(kSubscribe, encode(ChangeFilters{session, epoch, {{filter, {.qos = 1}, walks ? walk : 0}}}));
  };
  const auto walked = [&, session = session](uint64_t epoch, std::string filter, std::string after, bool end) {
    rig.apply(kWalked,
              encode(std::vector<WalkedBy>{{session, epoch, {std::move(filter), std::move(after), end, walk}}}));
  };
  const uint64_t bytes = rig.machine.memory_bytes();
  subscribe(old, "a/#", true);
  subscribe(old, "b", false);
  subscribe(old, "c/#", true);
  walked(old, "a/#", "a/2", false);
  walked(old, "a/#", "a/1", false);
  walked(old, "b", "b", false);
  rig.restore();
  EXPECT_EQ(walks(rig, {}), (Walks{{"a/#", "a/2"}, {"c/#", ""}}));
  walked(old, "a/#", "a/3", false);  // of an older connection
  subscribe(old + 1, "a/#", false);
  EXPECT_EQ(walks(rig, {}), (Walks{{"a/#", "a/2"}, {"c/#", ""}})) << "one that is under way goes on";
  subscribe(old + 2, "a/#", true);
  walked(old + 2, "c/#", "", true);
  EXPECT_EQ(walks(rig, {}), (Walks{{"a/#", ""}}));
  walk = 2;
  subscribe(old + 3, "a/#", true);
  walk = 1;
  walked(old + 3, "a/#", "a/9", true);  // of the one before, and late
  rig.restore();
  EXPECT_EQ(walks(rig, {}), (Walks{{"a/#", ""}}));
  rig.apply(kUnsubscribe, encode(ChangeFilters{session, old + 4, {{"a/#", {}}, {"b", {}}, {"c/#", {}}}}));
  EXPECT_EQ(walks(rig, {}), Walks{});
  EXPECT_EQ(rig.machine.memory_bytes(), bytes);

  Rig before(BrokerMachine::kLogicGroups);
  before.open("s");
  before.apply(kSubscribe, encode(ChangeFilters{1, 1, {{"a/#", {.qos = 1}, 1}}}));
  EXPECT_EQ(walks(before, {}), Walks{});
}

// Events.

TEST(KeptSessions, WhatAFullQueueLosesIsToldOncePerCommandAndReason) {
  Rig rig;
  OpenSession wish;
  wish.queue_max = 2;
  const auto [session, epoch] = rig.open("a\"b", wish);
  rig.subscribe(session, epoch, "t/#", {.id = 0, .levels_min = 0, .qos = 1});
  EXPECT_EQ(rig.take_events(),
            (Events{"subscribed\",\"session\":\"1\",\"client\":\"a\\\"b\",\"filter\":\"t/#\",\"qos\":1}"}));
  ByteWriter many;
  many.le<uint16_t>(7);
  for (int i = 0; i < 7; ++i)
    append_message(
        many,
        {.qos = 1, .retain = false, .expiry_s = {}, .topic = "t/1", .client = "c", .properties = "", .payload = "x"});
  rig.apply(kPublish, Buffer::take(many.release()));
  EXPECT_EQ(rig.take_events(),
            (Events{gap("a\\\"b", session, "drop_oldest\",\"first\":\"0\",\"last\":\"4\",\"count\":5")}));
  // Both may have been sent: the next one goes.
  rig.settle(session, epoch, 7, Settlement::sent);
  rig.publish("t/1", 1);
  rig.publish("t/1", 2);
  const std::string newest = gap("a\\\"b", session, "drop_newest\",\"before\":\"7\",\"count\":1");
  EXPECT_EQ(rig.take_events(), (Events{newest, newest}));
  rig.settle(session, epoch, 5, Settlement::gone);
  rig.settle(session, epoch, 5, Settlement::gone);
  EXPECT_EQ(rig.take_events(),
            (Events{gap("a\\\"b", session, "trimmed\",\"first\":\"5\",\"last\":\"5\",\"count\":1")}));
  rig.settle(session, epoch, 6, Settlement::expired);
  EXPECT_EQ(rig.take_events(),
            (Events{gap("a\\\"b", session, "message_expired\",\"first\":\"6\",\"last\":\"6\",\"count\":1")}));
  EXPECT_EQ(rig.machine.sessions().find(session)->lost, 9U);
  EXPECT_EQ(rig.machine.sessions().lost(), 9U);
}

TEST(KeptSessions, ASessionThatEndsTellsWhatWasInItsQueue) {
  Rig rig;
  for (const std::string client : {"ends", "expires", "cleans"}) {
    const auto [session, epoch] = rig.open(client);
    rig.subscribe(session, epoch, "t", {.id = 0, .levels_min = 0, .qos = 1});
  }
  for (int i = 0; i < 3; ++i) rig.publish("t", 1);
  rig.settle(1, 1, 0, Settlement::acknowledged);
  rig.settle(1, 1, 2, Settlement::acknowledged);
  rig.take_events();
  rig.apply(kCloseSession, encode(CloseSession{1, 1, false, 0, 0}));
  EXPECT_EQ(rig.take_events(), (Events{gap("ends", 1, "session_ended\",\"first\":\"1\",\"last\":\"1\",\"count\":1")}));
  rig.apply(kCloseSession, encode(CloseSession{2, 1, false, {}, 0}));
  rig.now += 100 * kSecond;
  rig.fire();
  EXPECT_EQ(rig.take_events(),
            (Events{gap("expires", 2, "session_expired\",\"first\":\"0\",\"last\":\"2\",\"count\":3")}));
  OpenSession clean;
  clean.clean = true;
  rig.open("cleans", clean);
  EXPECT_EQ(rig.take_events(),
            (Events{gap("cleans", 3, "session_discarded\",\"first\":\"0\",\"last\":\"2\",\"count\":3")}));
  EXPECT_EQ(rig.machine.sessions().lost(), 7U);
}

// A thousand bytes a client: what one command may note is used up long before the sessions that it may reach.
TEST(KeptSessions, GapsOfManySessionsGoOnInCommandsOfTheirOwn) {
  Rig rig;
  const size_t many = 700;
  OpenSession wish;
  wish.queue_max = 1;
  const std::string name(1'000, 'n');
  for (size_t i = 0; i < many; ++i) {
    const auto [session, epoch] = rig.open(name + std::to_string(i), wish);
    rig.subscribe(session, epoch, "t", {.id = 0, .levels_min = 0, .qos = 1});
  }
  rig.publish("t", 1);
  rig.take_events();
  rig.publish("t", 1);
  const size_t at_once = rig.take_events().size();
  EXPECT_GT(at_once, 200U);
  EXPECT_LT(at_once, 260U);
  rig.fire();
  EXPECT_EQ(rig.take_events().size(), many - at_once);
  EXPECT_EQ(rig.machine.sessions().lost(), many);
  // Settlements that find no room are said again.
  std::vector<Settled> gone;
  for (uint64_t session = 1; session <= many; ++session) gone.push_back({session, 1, 1, Settlement::gone});
  for (size_t told = 0; told < many;) {
    rig.apply(kSettle, encode(gone));
    const size_t now = rig.take_events().size();
    ASSERT_GT(now, 0U);
    told += now;
  }
  EXPECT_EQ(rig.machine.sessions().lost(), 2 * many);
}

TEST(KeptSessions, BeforeItIsActivatedNothingIsToldAndEverythingIsAsItWas) {
  Rig rig(1);
  OpenSession wish;
  wish.queue_max = 1;
  wish.client = "s";
  wish.expiry_s = 10;
  const Reply opened = rig.apply(kOpenSession, encode(wish));
  EXPECT_FALSE(decode_opened(opened.payload.view())->tells);
  rig.subscribe(1, 1, "t", {.id = 0, .levels_min = 0, .qos = 1});
  rig.publish("t", 1);
  rig.publish("t", 1);
  wish.clean = true;
  rig.apply(kOpenSession, encode(wish));
  EXPECT_TRUE(rig.take_events().empty());
  EXPECT_EQ(rig.machine.sessions().lost(), 1U) << "what a session ends with was not counted";
  EXPECT_EQ(rig.streams.find_partition(kEventsStream, 0), std::nullopt);
}

TEST(KeptSessions, AStreamOfTheNameWithOthersRecordsStaysTheirs) {
  Rig rig;
  rig.take_name(kEventsStream);
  const auto [session, epoch] = rig.open("s");
  rig.subscribe(session, epoch, "t", {.id = 0, .levels_min = 0, .qos = 1});
  EXPECT_EQ(rig.machine.sessions().find(session)->subscriptions.size(), 1U);
  EXPECT_TRUE(rig.take_events().empty());
}

// The rules, naively.
struct Model {
  struct Item {
    uint64_t number = 0;
    Offset offset = 0;
    uint8_t qos = 0;
    bool released = false;
    std::vector<uint32_t> ids;
  };
  struct Session {
    uint64_t number = 0;
    uint64_t epoch = 0;
    QueueFull full = QueueFull::drop_oldest;
    uint32_t queue_max = 0;
    std::map<std::string, KeptSubscription> filters;
    std::vector<Item> items;
    uint64_t next = 0;
    uint64_t sent_upto = 0;
    uint64_t ahead = 0;
    uint64_t lost = 0;
  };

  std::vector<std::pair<Session*, Item>> targets(const std::string& topic, uint8_t qos) {
    std::vector<std::pair<Session*, Item>> found;
    for (auto& [client, session] : sessions) {
      Item item;
      for (const auto& [filter, subscription] : session.filters) {
        if (!matches(filter, topic)) continue;
        item.qos = std::max(item.qos, std::min(qos, subscription.qos));
        if (subscription.id != 0) item.ids.push_back(subscription.id);
      }
      std::sort(item.ids.begin(), item.ids.end());
      if (item.qos > 0) found.emplace_back(&session, item);
    }
    return found;
  }

  PublishStatus publish(const std::string& topic, uint8_t qos) {
    auto found = targets(topic, qos);
    for (const auto& [session, item] : found)
      if (session->full == QueueFull::refuse && session->items.size() >= session->queue_max)
        return PublishStatus::queue_full;
    for (auto& [session, item] : found) {
      if (session->items.size() >= session->queue_max) {
        ++session->lost;
        const auto oldest =
            std::find_if(session->items.begin(), session->items.end(),
                         [&, s = session](const Item& one) { return one.number >= s->sent_upto + s->ahead; });
        const bool drops =
            session->full == QueueFull::drop_oldest && oldest != session->items.end() && !oldest->released;
        count(*session, drops ? "drop_oldest" : "drop_newest", 1);
        if (!drops) continue;
        session->items.erase(oldest);
      }
      item.number = session->next++;
      item.offset = records;
      session->items.push_back(item);
    }
    ++records;
    return found.empty() ? PublishStatus::kept : PublishStatus::queued;
  }

  // Of gaps, by session and reason.
  void count(const Session& session, const char* reason, uint64_t losses) {
    if (losses > 0) gaps[{session.number, reason}] += losses;
  }

  std::map<std::string, Session> sessions;
  Offset records = 0;
  std::map<std::pair<uint64_t, std::string>, uint64_t> gaps;
};

class RandomRun {
 public:
  explicit RandomRun(uint32_t seed, uint32_t version)
      : random_(seed), rig_(version), tells_(version >= BrokerMachine::kLogicTells) {}

  void steps(int count) {
    for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) step();
  }

 private:
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  Model::Session* any() {
    if (model_.sessions.empty()) return nullptr;
    auto at = model_.sessions.begin();
    std::advance(at, below(static_cast<uint32_t>(model_.sessions.size())));
    return &at->second;
  }

  void step() {
    switch (below(12)) {
      case 0: open(); break;
      case 1: subscribe(); break;
      case 2: unsubscribe(); break;
      case 3:
      case 4:
      case 5:
      case 6: publish(); break;
      case 7:
      case 8: settle(); break;
      case 9: leave_no_trace(); break;
      case 10:
        if (below(8) == 0) rig_.restore();
        break;
      default: break;
    }
    compare();
  }

  void open() {
    const std::string client(1, static_cast<char>('a' + below(4)));
    OpenSession wish;
    wish.clean = below(4) == 0;
    wish.queue_full = static_cast<QueueFull>(below(3));
    wish.queue_max = 1 + below(6);
    wish.ahead = below(3);
    const auto [number, epoch] = rig_.open(client, wish);
    Model::Session& session = model_.sessions[client];
    if (wish.clean) model_.count(session, "session_discarded", session.items.size());
    if (session.number == 0 || wish.clean) session = {};
    EXPECT_TRUE(session.number == 0 || session.number == number);
    session.number = number;
    session.epoch = epoch;
    session.full = wish.queue_full;
    session.queue_max = wish.queue_max;
    // The connection before did not say how far it came.
    session.sent_upto = std::min(session.next, session.sent_upto + session.ahead);
    session.ahead = wish.ahead;
  }

  std::string filter() {
    static const char* const kFilters[] = {"#", "a/#", "a/+", "a/b", "+/b", "c"};
    return kFilters[below(6)];
  }
  std::string topic() {
    static const char* const kTopics[] = {"a", "a/b", "a/c", "c", "d/b"};
    return kTopics[below(5)];
  }

  void subscribe() {
    Model::Session* session = any();
    if (session == nullptr) return;
    const std::string wanted = filter();
    const KeptSubscription subscription{below(3), 0, static_cast<uint8_t>(below(3)), false, false};
    rig_.subscribe(session->number, session->epoch, wanted, subscription);
    session->filters.insert_or_assign(wanted, subscription);
  }
  void unsubscribe() {
    Model::Session* session = any();
    if (session == nullptr) return;
    const std::string gone = filter();
    rig_.apply(kUnsubscribe, encode(ChangeFilters{session->number, session->epoch, {{gone, {}}}}));
    session->filters.erase(gone);
  }
  void publish() {
    const std::string to = topic();
    const auto qos = static_cast<uint8_t>(1 + below(2));
    EXPECT_EQ(Rig::status(rig_.publish(to, qos)), model_.publish(to, qos));
  }
  void settle() {
    Model::Session* session = any();
    if (session == nullptr || session->items.empty()) return;
    const auto at = session->items.begin() + below(static_cast<uint32_t>(session->items.size()));
    const uint64_t number = at->number;
    const auto kind = static_cast<Settlement>(std::vector<int>{1, 1, 2, 3, 5, 6}[below(6)]);
    // What is received was sent.
    if (kind == Settlement::received || kind == Settlement::sent) {
      rig_.settle(session->number, session->epoch, number + 1, Settlement::sent);
      session->sent_upto = std::max(session->sent_upto, number + 1);
    }
    rig_.settle(session->number, session->epoch, number, kind);
    if (kind == Settlement::received) at->released = true;
    const bool loses = kind == Settlement::gone || kind == Settlement::expired;
    if (loses) ++session->lost;
    if (loses) model_.count(*session, kind == Settlement::gone ? "trimmed" : "message_expired", 1);
    if (loses || kind == Settlement::acknowledged) session->items.erase(at);
  }
  void leave_no_trace() {
    const std::string before = rig_.state();
    switch (below(4)) {
      case 0: EXPECT_FALSE(rig_.apply(kOpenSession, Buffer::copy_of("xx")).ok()); break;
      case 1: EXPECT_FALSE(rig_.apply(kSettle, Buffer::copy_of(std::string_view("\xff\xff\xff\xff", 4))).ok()); break;
      case 2: rig_.publish(topic(), 2, {}, true); break;
      default: {
        Model::Session* session = any();
        if (session != nullptr) rig_.publish(topic(), 2, Sender{session->number, session->epoch, 9}, true);
      }
    }
    EXPECT_EQ(rig_.state(), before);
  }

  static std::string field(const std::string& event, const std::string& name) {
    const size_t at = event.find("\"" + name + "\":");
    if (at == std::string::npos) return {};
    const size_t begin = event.find_first_not_of('"', at + name.size() + 3);
    return event.substr(begin, event.find_first_of("\",}", begin) - begin);
  }

  void compare() {
    for (const std::string& event : rig_.take_events())
      if (event.starts_with("gap"))
        told_[{std::stoull(field(event, "session")), field(event, "reason")}] += std::stoull(field(event, "count"));
    ASSERT_EQ(told_, tells_ ? model_.gaps : decltype(told_){});
    for (const auto& [client, session] : model_.sessions) {
      const auto items = rig_.queue(session.number, session.epoch);
      ASSERT_EQ(items.size(), session.items.size()) << client;
      for (size_t i = 0; i < items.size(); ++i) {
        const Model::Item& wanted = session.items[i];
        ASSERT_EQ(items[i].number, wanted.number) << client;
        ASSERT_EQ(items[i].place.offset, wanted.offset);
        ASSERT_EQ(items[i].flags & Reference::kQosMask, wanted.qos);
        ASSERT_EQ((items[i].flags & Reference::kReleased) != 0, wanted.released);
        ASSERT_EQ(items[i].ids, wanted.ids);
      }
      ASSERT_EQ(rig_.machine.sessions().find(session.number)->lost, session.lost) << client;
    }
  }

  std::mt19937 random_;
  Rig rig_;
  const bool tells_;
  Model model_;
  std::map<std::pair<uint64_t, std::string>, uint64_t> told_;
};

TEST(KeptSessions, AgreeWithANaiveModelWhateverHappens) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    RandomRun(seed, seed % 4 == 0 ? 1 : BrokerMachine::kLogicRelaxed).steps(600);
  }
}

// Long queues are in blocks; what is put on and taken off at either end is what a plain queue has.
TEST(References, InBlocksAreAsInAPlainQueue) {
  SeededRandom random(17);
  ReferenceBlocks blocks;
  std::deque<Offset> plain;
  Offset next = 0;
  for (int step = 0; step < 4'000; ++step) {
    const bool grows = step / 1'000 % 2 == 0;
    for (uint64_t left = random.below(grows ? 60 : 20); left > 0; --left) {
      blocks.push_back({.offset = next});
      plain.push_back(next++);
    }
    for (uint64_t left = random.below(grows ? 20 : 60); left > 0 && !plain.empty(); --left) {
      ASSERT_EQ(blocks.take_first().offset, plain.front());
      plain.pop_front();
    }
    for (uint64_t left = random.below(8); left > 0 && !plain.empty(); --left) {
      ASSERT_EQ(blocks.take_last().offset, plain.back());
      plain.pop_back();
    }
    ASSERT_EQ(blocks.size(), plain.size());
    for (int look = 0; look < 4 && !plain.empty(); ++look) {
      const auto place = static_cast<size_t>(random.below(plain.size()));
      ASSERT_EQ(blocks[place].offset, plain[place]);
    }
  }
  EXPECT_GT(next, Offset{5 * ReferenceBlocks::kBlock});
}

}  // namespace
}  // namespace heptane::iot::test
