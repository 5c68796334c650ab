// Sessions that capture: a bridge's.

#include <gtest/gtest.h>

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

void declare(Rig& rig, const std::string& filter) {
  StreamDeclaration stream;
  stream.name = "bridge.b.1";
  stream.filter = filter;
  stream.qos0 = true;
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
