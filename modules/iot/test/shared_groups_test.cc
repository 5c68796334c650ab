// Groups with durable members in the machine: against a naive model of the rules, with snapshots in between; and the rules one
// by one.

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "modules/iot/test/broker_rig.h"

namespace heptane::iot::test {
namespace {

constexpr std::string_view kGroup = "$share/g/t/#";

class GroupRig : public Rig {
 public:
  using Rig::Rig;
  GroupInfo group(std::string_view shared = kGroup) const {
    Reply reply;
    machine.query({kQueryGroup, as_bytes(shared), {}}, reply);
    return *decode_group(reply);
  }
  AssignStatus assign(const Assigned& wish) {
    const Reply reply = apply(kAssignShared, encode(std::vector<Assigned>{wish}));
    return static_cast<AssignStatus>(reply.payload.view()[0]);
  }
  std::pair<uint64_t, uint64_t> member(std::string_view client, OpenSession open = {}) {
    const auto made = this->open(client, open);
    subscribe(made.first, made.second, kGroup, {.qos = 2});
    return made;
  }
};

std::string group_gap(uint64_t number, std::string_view rest) {
  return "gap\",\"session\":\"" + std::to_string(number) + "\",\"group\":\"g\",\"filter\":\"t/#\",\"reason\":\"" +
         std::string(rest) + "}";
}

TEST(SharedGroups, AMessageIsOnceInTheGroupsQueueHoweverManyMembersItHas) {
  GroupRig rig;
  const auto [one, one_epoch] = rig.member("a");
  const auto [other, other_epoch] = rig.member("b");
  rig.subscribe(other, other_epoch, kGroup, {.qos = 1});  // once more is no other member
  EXPECT_EQ(rig.machine.sessions().size(), 2U) << "a group is no session";
  EXPECT_EQ(Rig::status(rig.publish("t/1", 1)), PublishStatus::queued);
  EXPECT_EQ(Rig::status(rig.publish("t/2", 2)), PublishStatus::queued);
  rig.restore();
  EXPECT_TRUE(rig.queue(one, one_epoch).empty());
  EXPECT_TRUE(rig.queue(other, other_epoch).empty());
  const auto items = rig.queue(rig.group().number, kGroupEpoch);
  EXPECT_EQ(numbers(items), (std::vector<uint64_t>{0, 1}));
  EXPECT_EQ(items[1].flags & Reference::kQosMask, 2);
  rig.settle(rig.group().number, kGroupEpoch, 0, Settlement::acknowledged);
  EXPECT_EQ(numbers(rig.queue(rig.group().number, kGroupEpoch)), (std::vector<uint64_t>{1}));
}

TEST(SharedGroups, AGroupIsThereUntilItsLastDurableMemberIsGone) {
  GroupRig rig;
  OpenSession longest;
  longest.expiry_s = 200;
  const auto [one, one_epoch] = rig.member("a");
  const auto [other, other_epoch] = rig.member("b", longest);
  const uint64_t number = rig.group().number;
  rig.apply(kCloseSession, encode(CloseSession{one, one_epoch, false, {}, 0}));
  rig.apply(kCloseSession, encode(CloseSession{other, other_epoch, false, {}, 0}));
  for (int i = 0; i < 3; ++i) rig.publish("t/1", 1);
  rig.settle(number, kGroupEpoch, 1, Settlement::acknowledged);
  rig.take_events();
  rig.now += 150 * kSecond;
  rig.fire();
  EXPECT_EQ(rig.machine.sessions().find(one), nullptr);
  EXPECT_EQ(rig.group().number, number);
  rig.restore();
  rig.now += 60 * kSecond;
  rig.fire();
  EXPECT_EQ(rig.group().number, 0U);
  EXPECT_EQ(rig.take_events(), (Events{group_gap(number, "group_ended\",\"first\":\"0\",\"last\":\"2\",\"count\":2")}));
  EXPECT_EQ(rig.machine.sessions().references(), 0U);
  EXPECT_EQ(Rig::status(rig.publish("t/1", 1)), PublishStatus::kept);
  // Another one of the name is another group.
  rig.member("a");
  EXPECT_GT(rig.group().number, number);
}

// Whoever may be left a message takes memory, and gives it back.
TEST(SharedGroups, ItsHeirsAreCounted) {
  GroupRig rig;
  const auto [one, epoch] = rig.open("a");
  const size_t before = rig.machine.sessions().bytes();
  rig.subscribe(one, epoch, kGroup, {.levels_min = 2, .qos = 1});
  const size_t with_group = rig.machine.sessions().bytes();
  rig.subscribe(one, epoch, kGroup, {.qos = 1});
  const size_t with_heir = rig.machine.sessions().bytes();
  EXPECT_GT(with_heir, with_group);
  rig.subscribe(one, epoch, kGroup, {.qos = 2});
  EXPECT_EQ(rig.machine.sessions().bytes(), with_heir) << "it is one heir";
  rig.restore();
  EXPECT_EQ(rig.machine.sessions().bytes(), with_heir);
  rig.apply(kUnsubscribe, encode(ChangeFilters{one, epoch, {{kGroup, {}}}}));
  rig.fire();
  EXPECT_EQ(rig.machine.sessions().bytes(), before);
}

TEST(SharedGroups, WhoUnsubscribesLeaves) {
  GroupRig rig;
  const auto [session, epoch] = rig.member("a");
  const uint64_t number = rig.group().number;
  rig.apply(kUnsubscribe, encode(ChangeFilters{session, epoch, {{kGroup, {}}}}));
  rig.subscribe(session, epoch, kGroup, {.qos = 1});
  rig.fire();
  EXPECT_EQ(rig.group().number, number) << "it was back before the group had ended";
  rig.apply(kUnsubscribe, encode(ChangeFilters{session, epoch, {{kGroup, {}}}}));
  rig.fire();
  EXPECT_EQ(rig.group().number, 0U);
}

TEST(SharedGroups, AnAssignedMessageIsItsMembersAlone) {
  GroupRig rig;
  const auto [session, epoch] = rig.member("a");
  const uint64_t group = rig.group().number;
  for (int i = 0; i < 4; ++i) rig.publish("t/1", 2);
  EXPECT_EQ(rig.assign({group, 0, session, epoch + 1, 0, false}), AssignStatus::stale);
  EXPECT_EQ(rig.assign({group, 0, session, epoch, 7, false}), AssignStatus::assigned);
  EXPECT_EQ(rig.assign({group, 0, session, epoch, 7, false}), AssignStatus::gone);
  EXPECT_EQ(rig.assign({group, 1, 0, 0, 0, false}), AssignStatus::marked) << "a member without a session";
  rig.settle(group, kGroupEpoch, 1, Settlement::acknowledged);
  rig.restore();
  EXPECT_EQ(numbers(rig.queue(group, kGroupEpoch)), (std::vector<uint64_t>{2, 3}));
  const auto items = rig.queue(session, epoch);
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].number, 0U) << "the session's own numbers";
  EXPECT_EQ(items[0].place.offset, 0);
  EXPECT_EQ(items[0].ids, (std::vector<uint32_t>{7}));
  rig.apply(kCloseSession, encode(CloseSession{session, epoch, false, {}, 0}));
  EXPECT_EQ(rig.assign({group, 2, session, epoch, 0, false}), AssignStatus::stale) << "it is not there";
}

// The queue knows of it until it is said what became of it: it is done, was never sent, or is lost.
TEST(SharedGroups, AMessageOfAMemberWithoutASessionStaysMarked) {
  GroupRig rig;
  const auto [session, epoch] = rig.member("a");
  const uint64_t group = rig.group().number;
  rig.take_events();
  for (int i = 0; i < 4; ++i) rig.publish("t/1", 2);
  const auto marked = [&] {
    std::vector<uint64_t> found;
    for (const auto& item : rig.queue(group, kGroupEpoch))
      if ((item.flags & Reference::kChosen) != 0) found.push_back(item.number);
    return found;
  };
  for (const uint64_t number : {0U, 1U, 2U})
    EXPECT_EQ(rig.assign({group, number, 0, 0, 0, false}), AssignStatus::marked);
  rig.restore();
  EXPECT_EQ(marked(), (std::vector<uint64_t>{0, 1, 2}));
  rig.settle(group, kGroupEpoch, 0, Settlement::returned);
  rig.settle(group, kGroupEpoch, 1, Settlement::acknowledged);
  rig.settle(group, kGroupEpoch, 2, Settlement::abandoned);
  EXPECT_EQ(marked(), (std::vector<uint64_t>{}));
  EXPECT_EQ(numbers(rig.queue(group, kGroupEpoch)), (std::vector<uint64_t>{0, 3}));
  EXPECT_EQ(rig.take_events(), (Events{group_gap(group, "member_gone\",\"first\":\"2\",\"last\":\"2\",\"count\":1")}));
  EXPECT_EQ(rig.assign({group, 0, session, epoch, 0, false}), AssignStatus::assigned);
  EXPECT_EQ(rig.assign({group, 3, 0, 0, 0, false}), AssignStatus::marked);
  EXPECT_EQ(rig.assign({group, 3, session, epoch, 0, false}), AssignStatus::assigned) << "who had it left in time";
  EXPECT_EQ(rig.queue(session, epoch).size(), 2U);
  EXPECT_EQ(rig.machine.sessions().lost(), 1U);
  // Before the fifth logic nothing is known of it any more.
  GroupRig before(BrokerMachine::kLogicWalks);
  before.member("a");
  before.publish("t/1", 2);
  for (const Settlement kind : {Settlement::returned, Settlement::abandoned}) {
    const Buffer settled = encode(std::vector<Settled>{{before.group().number, kGroupEpoch, 0, kind}});
    EXPECT_EQ(before.apply(kSettle, settled).error, Errc::invalid_argument);
  }
  EXPECT_EQ(before.queue(before.group().number, kGroupEpoch).size(), 1U);
  EXPECT_EQ(before.assign({before.group().number, 0, 0, 0, 0, false}), AssignStatus::assigned);
  EXPECT_TRUE(before.queue(before.group().number, kGroupEpoch).empty());
}

// `t/#` of who may not read `t` itself: it is for one that is away and may.
TEST(SharedGroups, WhatNobodyHereMayReceiveIsOnesThatIsAway) {
  for (const bool told_at_once : {false, true}) {
    GroupRig rig(told_at_once ? BrokerMachine::kLogicWalks : BrokerMachine::kLogicReturns);
    const auto [here, here_epoch] = rig.open("here");
    rig.subscribe(here, here_epoch, kGroup, {.levels_min = 2, .qos = 2});
    const auto [away, away_epoch] = rig.open("away");
    rig.subscribe(away, away_epoch, kGroup, {.id = 7, .qos = 1});
    rig.apply(kCloseSession, encode(CloseSession{away, away_epoch, false, {}, 0}));
    const uint64_t group = rig.group().number;
    rig.take_events();
    rig.publish("t", 2);
    rig.restore();
    rig.settle(group, kGroupEpoch, 0, Settlement::denied);
    EXPECT_TRUE(rig.queue(group, kGroupEpoch).empty());
    const auto items = rig.queue(away, away_epoch);
    EXPECT_EQ(items.size(), told_at_once ? 0U : 1U);
    EXPECT_EQ(rig.take_events().size(), told_at_once ? 1U : 0U);
    if (told_at_once) continue;
    EXPECT_EQ(items[0].flags & Reference::kQosMask, 1) << "as it is subscribed";
    EXPECT_EQ(items[0].ids, (std::vector<uint32_t>{7}));
    EXPECT_EQ(items[0].place.offset, 0);
    // It may not any more: nobody is left.
    const auto again = rig.open("away");
    rig.subscribe(again.first, again.second, kGroup, {.levels_min = 2, .qos = 1});
    rig.take_events();
    rig.publish("t", 1);
    rig.settle(group, kGroupEpoch, 1, Settlement::denied);
    EXPECT_EQ(rig.take_events(),
              (Events{group_gap(group, "not_allowed\",\"first\":\"1\",\"last\":\"1\",\"count\":1")}));
    // Nor is one that wants QoS 0, or one that has left.
    rig.subscribe(again.first, again.second, kGroup, {.qos = 0});
    rig.publish("t", 1);
    rig.settle(group, kGroupEpoch, 2, Settlement::denied);
    rig.apply(kUnsubscribe, encode(ChangeFilters{again.first, again.second, {{kGroup, {}}}}));
    rig.publish("t", 1);
    rig.settle(group, kGroupEpoch, 3, Settlement::denied);
    EXPECT_EQ(rig.machine.sessions().lost(), 3U);
  }
}

TEST(SharedGroups, WhatIsOnesThatIsAwayGoesWhereThereIsRoom) {
  GroupRig rig;
  OpenSession small;
  small.queue_max = 2;
  std::vector<std::pair<uint64_t, uint64_t>> away;
  for (const std::string client : {"a", "b", "c"}) {
    away.push_back(rig.member(client, small));
    rig.apply(kCloseSession, encode(CloseSession{away.back().first, away.back().second, false, {}, 0}));
  }
  const auto [here, epoch] = rig.member("here");
  const uint64_t group = rig.group().number;
  rig.take_events();
  Reply reply;
  for (uint64_t i = 0; i < 8; ++i) {
    rig.publish("t", 1);
    reply = rig.apply(kSettle, encode(std::vector<Settled>{{group, kGroupEpoch, i, Settlement::denied}}));
    EXPECT_EQ(reply.numbers[1], i < 6 ? 0 : 1) << i;
  }
  ByteReader in(reply.payload.view());
  EXPECT_EQ(in.le<uint64_t>(), group);
  EXPECT_EQ(in.le<uint64_t>(), 7U);
  EXPECT_TRUE(in.complete());
  size_t kept = 0;
  for (const auto& [session, its] : away) kept += rig.queue(session, its).size();
  EXPECT_EQ(kept, 6U) << "each is full";
  EXPECT_EQ(rig.queue(here, epoch).size(), 0U) << "it is there";
  EXPECT_TRUE(rig.take_events().empty()) << "nothing is lost";
  EXPECT_EQ(numbers(rig.queue(group, kGroupEpoch)), (std::vector<uint64_t>{6, 7})) << "the group keeps the others";
  // There is room again.
  rig.restore();
  for (const std::string client : {"a", "b", "c"}) {
    const auto [number, again] = rig.open(client, small);
    rig.settle(number, again, rig.queue(number, again).front().number, Settlement::acknowledged);
    rig.apply(kCloseSession, encode(CloseSession{number, again, false, {}, 0}));
  }
  for (const uint64_t i : {6U, 7U}) rig.settle(group, kGroupEpoch, i, Settlement::denied);
  EXPECT_TRUE(rig.queue(group, kGroupEpoch).empty());
  EXPECT_EQ(rig.machine.sessions().references(), 5U);
  EXPECT_EQ(rig.machine.sessions().lost(), 0U);
}

// What it had in its queue would be lost with it.
TEST(SharedGroups, NobodyIsLeftAMessageWhoseSessionIsOver) {
  GroupRig rig;
  const auto [here, here_epoch] = rig.open("here");
  rig.subscribe(here, here_epoch, kGroup, {.levels_min = 2, .qos = 2});
  OpenSession brief;  // over with its connection
  brief.client = "brief";
  brief.queue_max = 1000;
  const Reply opened = rig.apply(kOpenSession, encode(brief));
  const auto short_one = static_cast<uint64_t>(opened.numbers[0]);
  rig.subscribe(short_one, 1, kGroup, {.qos = 2});
  const auto [late, late_epoch] = rig.member("late");
  OpenSession longer;
  longer.expiry_s = 1'000;
  const auto [away, away_epoch] = rig.member("away", longer);
  for (const auto& [session, epoch] : {std::pair(late, late_epoch), std::pair(away, away_epoch)})
    rig.apply(kCloseSession, encode(CloseSession{session, epoch, false, {}, 0}));
  rig.now += 200 * kSecond;  // `late` is over, and its timer has not been heard yet
  const uint64_t group = rig.group().number;
  for (uint64_t i = 0; i < 20; ++i) {
    rig.publish("t", 1);
    rig.settle(group, kGroupEpoch, i, Settlement::denied);
  }
  EXPECT_EQ(rig.queue(away, away_epoch).size(), 20U);
  rig.take_events();
  rig.now += 1'000 * kSecond;
  rig.publish("t", 1);
  rig.settle(group, kGroupEpoch, 20, Settlement::denied);
  EXPECT_EQ(rig.take_events(),
            (Events{group_gap(group, "not_allowed\",\"first\":\"20\",\"last\":\"20\",\"count\":1")}));
  EXPECT_EQ(rig.queue(late, late_epoch).size() + rig.queue(short_one, 1).size(), 0U);
}

TEST(SharedGroups, AGroupKnowsWithWhichCommandItBegan) {
  GroupRig rig;
  rig.publish("t/1", 1);
  rig.member("a");
  EXPECT_EQ(rig.group().began, 3U) << "CONNECT, SUBSCRIBE behind a message";
  rig.restore();
  EXPECT_EQ(rig.group().began, 3U);
  GroupRig before(BrokerMachine::kLogicWalks);
  before.member("a");
  EXPECT_EQ(before.group().began, 0U);
}

// What was published before it began went to whoever was connected.
TEST(SharedGroups, AMessageThatIsOnItsWayIsNotALaterGroups) {
  for (const uint32_t logic : {BrokerMachine::kLogicWalks, BrokerMachine::kLogicReturns}) {
    GroupRig rig(logic);
    for (size_t i = 0; i <= kReachedMax; ++i) {
      const auto [session, epoch] = rig.open("s" + std::to_string(i));
      rig.subscribe(session, epoch, "t/#", {.qos = 1});
    }
    rig.publish("t/1", 1);
    const auto [session, epoch] = rig.member("a");
    rig.subscribe(session, epoch, "t/#", {.qos = 1});
    rig.publish("t/2", 1);
    rig.restore();
    rig.fire();
    const auto items = rig.queue(rig.group().number, kGroupEpoch);
    ASSERT_EQ(items.size(), logic == BrokerMachine::kLogicReturns ? 1U : 2U);
    EXPECT_EQ(items.back().place.offset, 1);
    EXPECT_EQ(rig.queue(session, epoch).size(), 2U) << "a session is reached when its turn comes";
  }
}

TEST(SharedGroups, ASessionThatIsFullGetsNothingAssigned) {
  GroupRig rig;
  const auto [session, epoch] = rig.member("a");
  OpenSession small;
  small.queue_max = 1;
  const auto [full, full_epoch] = rig.member("b", small);
  const uint64_t group = rig.group().number;
  for (int i = 0; i < 3; ++i) rig.publish("t/1", 2);
  EXPECT_EQ(rig.assign({group, 0, full, full_epoch, 0, false}), AssignStatus::assigned);
  EXPECT_EQ(rig.assign({group, 1, full, full_epoch, 0, false}), AssignStatus::full);
  EXPECT_EQ(rig.assign({group, 1, session, epoch, 0, false}), AssignStatus::assigned);
}

TEST(SharedGroups, AFullGroupDropsOrRefusesAsItsFirstSessionWould) {
  GroupRig rig;
  OpenSession wish;
  wish.queue_max = 4;
  wish.ahead = 1;
  rig.member("a", wish);
  const uint64_t group = rig.group().number;
  EXPECT_EQ(rig.group().ahead, 1U);
  rig.take_events();
  for (int i = 0; i < 6; ++i) rig.publish("t/1", 1);
  EXPECT_EQ(numbers(rig.queue(group, kGroupEpoch)), (std::vector<uint64_t>{0, 3, 4, 5})) << "one may have been sent";
  EXPECT_EQ(rig.take_events(), (Events{group_gap(group, "drop_oldest\",\"first\":\"1\",\"last\":\"1\",\"count\":1"),
                                       group_gap(group, "drop_oldest\",\"first\":\"2\",\"last\":\"2\",\"count\":1")}));
  GroupRig other;
  wish.queue_full = QueueFull::refuse;
  other.member("a", wish);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Rig::status(other.publish("t/1", 1)), PublishStatus::queued);
  EXPECT_EQ(Rig::status(other.publish("t/1", 1)), PublishStatus::queue_full);
}

// One that is not acknowledged for long holds up nothing, and what is done behind it takes no room.
TEST(SharedGroups, NumbersDoNotRunOut) {
  for (const bool acknowledged : {false, true}) {
    GroupRig rig;
    OpenSession wish;
    wish.queue_max = 4;
    wish.ahead = 2;
    rig.member("a", wish);
    const uint64_t group = rig.group().number;
    const uint64_t many = kNumbersMax + 5'000;
    for (uint64_t i = 0; i < many; ++i) {
      ASSERT_EQ(Rig::status(rig.publish("t/1", 1)), PublishStatus::queued);
      if (!acknowledged || i < 2) continue;
      rig.settle(group, kGroupEpoch, i, Settlement::sent);
      rig.settle(group, kGroupEpoch, i, Settlement::acknowledged);
    }
    EXPECT_LE(rig.machine.sessions().references(), 5'000U);
    rig.restore();
    const std::vector<uint64_t> wanted =
        acknowledged ? std::vector<uint64_t>{0, 1} : std::vector<uint64_t>{0, 1, many - 2, many - 1};
    EXPECT_EQ(numbers(rig.queue(group, kGroupEpoch)), wanted);
    rig.settle(group, kGroupEpoch, 1, Settlement::acknowledged);
    EXPECT_EQ(numbers(rig.queue(group, kGroupEpoch)).size(), wanted.size() - 1);
    rig.settle(group, kGroupEpoch, 0, Settlement::acknowledged);
    for (const uint64_t number : {many - 2, many - 1}) rig.settle(group, kGroupEpoch, number, Settlement::acknowledged);
    EXPECT_EQ(rig.machine.sessions().references(), 0U);
  }
}

// A start of the server ends connections, no groups.
TEST(SharedGroups, AStartOfTheServerLeavesThem) {
  GroupRig rig;
  const auto [session, epoch] = rig.member("a");
  rig.publish("t/1", 1);
  ByteWriter grace;
  grace.le<uint32_t>(0);
  rig.apply(kBoot, Buffer::take(grace.release()));
  ByteWriter first;
  first.le<uint64_t>(0);
  rig.apply(kEndConnections, Buffer::take(first.release()));
  EXPECT_FALSE(rig.machine.sessions().find(session)->connected);
  EXPECT_EQ(rig.queue(rig.group().number, kGroupEpoch).size(), 1U);
}

// Before they are activated a shared filter is the session's alone; its group begins when the session is opened again.
TEST(SharedGroups, SessionsOfBeforeJoinWhenTheyAreBack) {
  GroupRig rig(BrokerMachine::kLogicTells);
  const auto [session, epoch] = rig.member("a");
  EXPECT_EQ(rig.group().number, 0U);
  EXPECT_EQ(Rig::status(rig.publish("t/1", 1)), PublishStatus::kept);
  const std::string before = rig.state();
  rig.kernel.versions[kBrokerMachineId] = BrokerMachine::kLogicGroups;
  EXPECT_EQ(rig.state(), before);
  EXPECT_EQ(rig.member("b").first, session + 1);
  const uint64_t group = rig.group().number;
  EXPECT_NE(group, 0U);
  rig.restore();
  rig.apply(kUnsubscribe, encode(ChangeFilters{session, epoch, {{kGroup, {}}}}));
  rig.fire();
  EXPECT_EQ(rig.group().number, group) << "it was no member of it";
  rig.subscribe(session, epoch, kGroup, {.qos = 1});
  EXPECT_EQ(rig.machine.sessions().find(group)->members, 2U);
}

// The rules, naively: one group, three clients.
class RandomGroups {
 public:
  explicit RandomGroups(uint32_t seed)
      : random_(seed),
        returns_(seed % 4 != 0),
        rig_(returns_ ? BrokerMachine::kLogicReturns : BrokerMachine::kLogicWalks) {}

  void steps(int count) {
    for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
      step();
      compare();
    }
  }

 private:
  struct Item {
    uint64_t number = 0;
    Offset offset = 0;
    uint8_t qos = 0;
  };
  struct Session {
    uint64_t number = 0;
    uint64_t epoch = 0;
    uint64_t next = 0;
    bool connected = true;
    std::vector<Item> items;
  };
  static constexpr size_t kQueueMax = 8;
  static constexpr uint64_t kAhead = 2;

  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  std::string any_client() { return std::string(1, static_cast<char>('a' + below(3))); }

  void step() {
    switch (below(9)) {
      case 0: return open(any_client(), below(6) == 0);
      case 1: return change(any_client(), true);
      case 2: return below(3) == 0 ? change(any_client(), false) : close(any_client());
      case 3:
      case 4:
      case 5: return publish(static_cast<uint8_t>(1 + below(2)));
      case 6: return settle();
      case 7: return assign(any_client());
      default:
        if (below(5) == 0) rig_.restore();
    }
  }

  void open(const std::string& client, bool clean) {
    OpenSession wish;
    wish.clean = clean;
    wish.queue_max = kQueueMax;
    wish.ahead = kAhead;
    const auto [number, epoch] = rig_.open(client, wish);
    Session& session = sessions_[client];
    if (session.number != number) {
      lost_ += session.items.size();
      session = {};
      leave(client);
    }
    session.number = number;
    session.epoch = epoch;
    session.connected = true;
  }
  void close(const std::string& client) {
    const auto at = sessions_.find(client);
    if (at == sessions_.end()) return;
    rig_.apply(kCloseSession, encode(CloseSession{at->second.number, at->second.epoch, false, {}, 0}));
    at->second.connected = false;
  }
  void change(const std::string& client, bool joins) {
    const auto at = sessions_.find(client);
    if (at == sessions_.end() || !at->second.connected) return;
    if (joins) {
      rig_.subscribe(at->second.number, at->second.epoch, kGroup, {.qos = 2});
      members_.insert(client);
    } else {
      rig_.apply(kUnsubscribe, encode(ChangeFilters{at->second.number, at->second.epoch, {{kGroup, {}}}}));
      leave(client);
    }
  }
  void leave(const std::string& client) {
    members_.erase(client);
    rig_.fire();
    if (!members_.empty()) return;
    lost_ += queue_.size();
    queue_.clear();
    next_ = sent_upto_ = 0;
  }
  void publish(uint8_t qos) {
    const PublishStatus status = Rig::status(rig_.publish("t/x", qos));
    EXPECT_EQ(status, members_.empty() ? PublishStatus::kept : PublishStatus::queued);
    const Offset offset = records_++;
    if (members_.empty()) return;
    if (queue_.size() >= kQueueMax) {
      ++lost_;
      const auto oldest = std::find_if(queue_.begin(), queue_.end(),
                                       [&](const Item& item) { return item.number >= sent_upto_ + kAhead; });
      if (oldest == queue_.end()) return;
      queue_.erase(oldest);
    }
    queue_.push_back({next_++, offset, qos});
  }
  void settle() {
    if (queue_.empty()) return;
    const auto at = queue_.begin() + below(static_cast<uint32_t>(queue_.size()));
    const auto kind = static_cast<Settlement>(std::vector<int>{1, 1, 3, 5, 6, 7, 8, 9}[below(returns_ ? 8 : 6)]);
    if (kind == Settlement::denied && returns_) return leave_to_another(at);
    rig_.settle(rig_.group().number, kGroupEpoch, at->number, kind);
    if (kind == Settlement::returned) return;
    if (kind == Settlement::sent) {
      sent_upto_ = std::max(sent_upto_, at->number);
      return;
    }
    if (kind != Settlement::acknowledged) ++lost_;
    queue_.erase(at);
  }
  void assign(const std::string& client) {
    if (queue_.empty()) return;
    const auto at = queue_.begin() + below(static_cast<uint32_t>(queue_.size()));
    const auto session = sessions_.find(client);
    if (session == sessions_.end()) return;
    Session& to = session->second;
    const bool none = below(4) == 0;
    const AssignStatus status =
        rig_.assign({rig_.group().number, at->number, none ? 0 : to.number, to.epoch, 0, false});
    const AssignStatus wanted = none && returns_               ? AssignStatus::marked
                                : none                         ? AssignStatus::assigned
                                : !to.connected                ? AssignStatus::stale
                                : to.items.size() >= kQueueMax ? AssignStatus::full
                                                               : AssignStatus::assigned;
    EXPECT_EQ(status, wanted);
    if (status != AssignStatus::assigned) return;
    if (!none) to.items.push_back({to.next++, at->offset, at->qos});
    queue_.erase(at);
  }

  // One that is away and has room, if there is one, gets what nobody who is there may receive.
  void leave_to_another(std::vector<Item>::iterator at) {
    int best = 0;
    const auto rank = [&](const Session& session) {
      return (session.connected ? 0 : 2) + (session.items.size() < kQueueMax ? 1 : 0);
    };
    for (const std::string& client : members_) best = std::max(best, rank(sessions_.at(client)));
    if (members_.empty()) return;
    rig_.settle(rig_.group().number, kGroupEpoch, at->number, Settlement::denied);
    if (best == 0 || best == 2) return;  // they are full: it stays
    size_t found = 0;
    for (const std::string& client : members_) {
      Session& session = sessions_.at(client);
      if (rig_.queue(session.number, session.epoch).size() == session.items.size()) continue;
      EXPECT_EQ(rank(session), best);
      session.items.push_back({session.next++, at->offset, at->qos});
      ++found;
    }
    EXPECT_EQ(found, 1U);
    queue_.erase(at);
  }

  static void expect_same(const std::vector<QueuePage::Item>& got, const std::vector<Item>& wanted) {
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].number, wanted[i].number);
      ASSERT_EQ(got[i].place.offset, wanted[i].offset);
      ASSERT_EQ(got[i].flags & Reference::kQosMask, wanted[i].qos);
    }
  }
  void compare() {
    const uint64_t group = rig_.group().number;
    ASSERT_EQ(group != 0, !members_.empty());
    if (group != 0) expect_same(rig_.queue(group, kGroupEpoch), queue_);
    for (const auto& [client, session] : sessions_)
      expect_same(rig_.queue(session.number, session.epoch), session.items);
    ASSERT_EQ(rig_.machine.sessions().lost(), lost_);
    for (const std::string& event : rig_.take_events()) {
      const size_t at = event.find("\"count\":");
      if (at != std::string::npos) told_ += std::stoull(event.substr(at + 8));
    }
    ASSERT_EQ(told_, lost_);
  }

  std::mt19937 random_;
  const bool returns_;
  GroupRig rig_;
  std::map<std::string, Session> sessions_;
  std::set<std::string> members_;
  std::vector<Item> queue_;
  uint64_t next_ = 0;
  uint64_t sent_upto_ = 0;
  Offset records_ = 0;
  uint64_t lost_ = 0;
  uint64_t told_ = 0;
};

TEST(SharedGroups, AgreeWithANaiveModelWhateverHappens) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    RandomGroups(seed).steps(600);
  }
}

}  // namespace
}  // namespace heptane::iot::test
