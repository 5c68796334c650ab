// Sessions that capture: a bridge's.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "modules/iot/machine/stream_api.h"
#include "modules/iot/machine/told.h"
#include "modules/iot/test/broker_rig.h"
#include "modules/iot/test/trail.h"

namespace heptane::iot::test {
namespace {

// Streams can be declared.
class CaptureRig final : public Rig {
 public:
  explicit CaptureRig(uint32_t version = BrokerMachine::kLogicCaptures) : Rig(version) { machines_.add(trail_); }

 private:
  Trail trail_;
};

OpenSession capturing(uint32_t queue_max = kCaptureLimit) {
  OpenSession open;
  open.captures = true;
  open.queue_max = queue_max;
  return open;
}

void declare(Rig& rig, const std::string& filter, const std::string& name = "bridge.b.1", int64_t retention_ms = -1,
             int64_t retention_bytes = -1) {
  StreamDeclaration stream;
  stream.name = name;
  stream.filter = filter;
  stream.qos0 = true;
  stream.retention_ms = retention_ms;
  stream.retention_bytes = retention_bytes;
  ASSERT_TRUE(rig.apply(kDeclareStream, encode(stream)).ok());
}

std::vector<int> qos_of(const std::vector<QueuePage::Item>& items) {
  std::vector<int> out;
  for (const auto& item : items) out.push_back(item.flags & Reference::kQosMask);
  return out;
}

TEST(Captures, WhatIsARecordAtQoS0IsInTheQueueAtQoS1) {
  CaptureRig rig;
  declare(rig, "a/#");
  const auto [session, epoch] = rig.open("$bridge/b", capturing());
  const auto [other, its] = rig.open("s");
  const auto [quiet, quiets] = rig.open("$bridge/c", capturing());
  for (const auto& [who, when] : {std::pair(session, epoch), std::pair(other, its)})
    rig.subscribe(who, when, "#", {.id = 0, .levels_min = 0, .qos = 2});
  rig.subscribe(quiet, quiets, "#", {.id = 0, .levels_min = 0, .qos = 0});
  EXPECT_EQ(Rig::status(rig.publish("a/t", 0)), PublishStatus::queued);
  EXPECT_EQ(Rig::status(rig.publish("b/t", 0)), PublishStatus::fleeting) << "no record";
  rig.publish("a/t", 2);
  rig.restore();
  rig.publish("a/t", 0, {}, true);
  rig.publish("a/t", 0);
  EXPECT_EQ(qos_of(rig.queue(session, epoch)), (std::vector<int>{1, 2, 1}));
  EXPECT_EQ(qos_of(rig.queue(other, its)), (std::vector<int>{2})) << "as ever";
  EXPECT_TRUE(rig.queue(quiet, quiets).empty());
}

// Packet identifiers are made of a session's numbers; a bridge waits before it uses one twice.
TEST(Captures, ItsQueueIsAsLongAsItSays) {
  CaptureRig rig;
  const auto [session, epoch] = rig.open("$bridge/b", capturing(60'000));
  const auto [other, its] = rig.open("s", {.client = "", .owner = "", .queue_max = kQueueLimit});
  for (const auto& [who, when] : {std::pair(session, epoch), std::pair(other, its)})
    rig.subscribe(who, when, "#", {.id = 0, .levels_min = 0, .qos = 1});
  for (int i = 0; i < 60'010; ++i) rig.publish("t", 1);
  EXPECT_EQ(rig.machine.sessions().find(session)->queue.waiting(), 60'000U);
  EXPECT_EQ(rig.machine.sessions().find(session)->lost, 10U);
  EXPECT_EQ(rig.machine.sessions().find(other)->queue.waiting(), kNumbersMax);
  const Events events = rig.take_events();
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const std::string& event) {
    return event.find("\"numbers_full\"") != std::string::npos;
  }));
}

// The oldest one is on its way for long: what is dropped behind it is not let go of before it is done.
TEST(Captures, AnUnacknowledgedMessageDoesNotMakeAFullQueueGrow) {
  CaptureRig rig;
  const auto [session, epoch] = rig.open("$bridge/b", capturing(1'000));
  rig.subscribe(session, epoch, "#", {.id = 0, .levels_min = 0, .qos = 1});
  rig.publish("t", 1);
  rig.settle(session, epoch, 1, Settlement::sent);
  for (int i = 0; i < 60'000; ++i) rig.publish("t", 1);
  const KeptSession& there = *rig.machine.sessions().find(session);
  EXPECT_EQ(there.queue.waiting(), 1'000U);
  EXPECT_LE(there.queue.size(), 1'000U + kNumbersMax);
  EXPECT_EQ(rig.machine.sessions().references(), there.queue.size());
  EXPECT_EQ(there.lost, 59'001U);
  // It is done: there is room for what is new again.
  rig.settle(session, epoch, 0, Settlement::acknowledged);
  const uint64_t next = there.queue.next_number();
  rig.publish("t", 1);
  EXPECT_EQ(there.queue.next_number(), next + 1);
  EXPECT_LE(there.queue.size(), 1'001U);
}

// Bridges have a share of all references.
TEST(Captures, TheyLeaveRoomForOthers) {
  KeptSessions sessions;
  constexpr uint32_t kEach = kCaptureLimit / 5;
  const auto fill = [&](const std::string& client, bool captures) {
    KeptSession& session = sessions.add(client, "");
    sessions.set_captures(session, captures);
    session.queue_max = kCaptureLimit;
    Match match;
    match.session = &session;
    match.qos = 1;
    KeptSessions::Pushed last;
    for (Offset offset = 0; offset < static_cast<Offset>(kEach); ++offset) last = sessions.push(match, {1, offset});
    return last;
  };
  for (uint64_t i = 0; i < kCapturedMax / kEach; ++i) EXPECT_TRUE(fill("$bridge/" + std::to_string(i), true).kept);
  const KeptSessions::Pushed over = fill("$bridge/x", true);
  EXPECT_FALSE(over.kept);
  EXPECT_EQ(over.loss->reason, Loss::references_full);
  EXPECT_EQ(sessions.captured(), kCapturedMax);
  KeptSession& other = sessions.add("s", "");
  other.queue_max = 10;
  Match match;
  match.session = &other;
  match.qos = 1;
  EXPECT_TRUE(sessions.push(match, {1, 0}).kept);
  sessions.remove(sessions.find("$bridge/0")->number);
  EXPECT_EQ(sessions.captured(), kCapturedMax - kEach);
  EXPECT_EQ(sessions.references(), sessions.captured() + 1);
}

std::set<PartitionId> homes(Rig& rig) {
  std::set<PartitionId> homes;
  for (const auto& item : rig.queue(1, 1)) homes.insert(item.place.partition);
  return homes;
}

// A queue refers to the record that is kept longest.
TEST(Captures, AStreamOfSomebodyElsesOverTheFilterTakesNothingFromIt) {
  constexpr int64_t kHourMs = 3'600'000;
  constexpr int64_t kMiB = 1 << 20;
  CaptureRig rig;
  rig.open("$bridge/b", capturing());
  rig.subscribe(1, 1, "#", {.id = 0, .levels_min = 0, .qos = 1});
  declare(rig, "a/#", "bridge.b.1", 168 * kHourMs, 1'024 * kMiB);
  declare(rig, "a/#", "an-hour", kHourMs, kForEver);
  declare(rig, "#", "a-little", kForEver, kMiB);
  declare(rig, "a/#", "bridge.a.1", kHourMs, 1'024 * kMiB);
  rig.publish("a/t", 1);
  EXPECT_EQ(homes(rig), std::set<PartitionId>{*rig.streams.find_partition("bridge.b.1", 0)});
  declare(rig, "a/#", "for-ever", kForEver, kForEver);
  rig.settle(1, 1, rig.queue(1, 1).front().number, Settlement::acknowledged);
  rig.publish("a/t", 1);
  EXPECT_EQ(homes(rig), std::set<PartitionId>{*rig.streams.find_partition("for-ever", 0)});
  CaptureRig older(BrokerMachine::kLogicRelaxed);
  older.open("s");
  older.subscribe(1, 1, "#", {.id = 0, .levels_min = 0, .qos = 1});
  declare(older, "a/#", "a", 1, 1);
  declare(older, "a/#", "b", kForEver, kForEver);
  older.publish("a/t", 1);
  EXPECT_EQ(homes(older), std::set<PartitionId>{*older.streams.find_partition("a", 0)});
}

TEST(Captures, OnlyACapturingSessionIsSoLong) {
  OpenSession open = capturing();
  open.client = "c";
  EXPECT_TRUE(decode_open_session(encode(open).view()));
  open.captures = false;
  EXPECT_FALSE(decode_open_session(encode(open).view()));
}

TEST(Captures, AnOlderLogicKnowsNothingOfIt) {
  CaptureRig rig(BrokerMachine::kLogicRelaxed);
  declare(rig, "a/#");
  const auto [session, epoch] = rig.open("$bridge/b", capturing());
  rig.subscribe(session, epoch, "#", {.id = 0, .levels_min = 0, .qos = 1});
  EXPECT_EQ(Rig::status(rig.publish("a/t", 0)), PublishStatus::kept);
  EXPECT_TRUE(rig.queue(session, epoch).empty());
  EXPECT_EQ(rig.machine.sessions().find(session)->queue_max, kQueueLimit);
}

Buffer told(ToldEvent event) {
  event.utc_ms = 5;
  event.client = "$bridge/b";
  event.address = "hub:1883";
  ByteWriter out;
  out.le<uint16_t>(1);
  append_told(out, event);
  return Buffer::take(out.release());
}

TEST(Captures, WhatBecomesOfABridgeIsAnEvent) {
  CaptureRig rig;
  ToldEvent event;
  event.kind = ToldKind::bridge_connected;
  event.user = "new";
  ASSERT_TRUE(rig.apply(kTell, told(event)).ok());
  event.kind = ToldKind::bridge_dead_letter;
  event.user = "0x87";
  event.subject = "a/t";
  event.others = 2;
  ASSERT_TRUE(rig.apply(kTell, told(event)).ok());
  event.kind = ToldKind::bridge_filter_refused;
  event.others = 0;
  ASSERT_TRUE(rig.apply(kTell, told(event)).ok());
  const std::string whose = ",\"at_ms\":5,\"client\":\"$bridge/b\",\"address\":\"hub:1883\",";
  EXPECT_EQ(rig.take_events(),
            (Events{"bridge_connected\"" + whose + "\"reason\":\"new\"}",
                    "bridge_dead_letter\"" + whose + "\"topic\":\"a/t\",\"reason\":\"0x87\",\"others\":2}",
                    "bridge_filter_refused\"" + whose + "\"filter\":\"a/t\",\"reason\":\"0x87\"}"}));
  event.kind = static_cast<ToldKind>(11);
  EXPECT_FALSE(rig.apply(kTell, told(event)).ok());
}

}  // namespace
}  // namespace heptane::iot::test
