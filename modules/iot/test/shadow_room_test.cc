// Shadow requests and connections of things through the gateway, with the machine of devices behind it: what a thing may have under
// way, who is told what of it, and who is connected.
#include <gtest/gtest.h>

#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

using mqtt::ShadowService;
using mqtt::ThingPresence;

constexpr size_t kTakenMax = devices::kShadowsInFlight + ShadowService::kRejectionsMax;

std::string connect(const std::string& id) { return bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 '" + id + "'"); }
std::string connect_five(const std::string& id) { return bytes_of("10 r14 s4 'MQTT' 05 02 k0 v0 s1 '" + id + "'"); }

// At QoS 1, or with 0 at QoS 0.
std::string request(const std::string& thing, int id, std::string_view payload, bool five = false) {
  const std::string topic = "$aws/things/" + thing + "/shadow/get";
  ByteWriter body;
  body.be<uint16_t>(static_cast<uint16_t>(topic.size()));
  body.append(topic);
  if (id != 0) body.be<uint16_t>(static_cast<uint16_t>(id));
  if (five) body.u8(0);
  body.append(payload);
  ByteWriter out;
  out.u8(id == 0 ? 0x30 : 0x32);
  mqtt::write_variable(out, static_cast<uint32_t>(body.size()));
  out.append(body.view());
  return std::string(as_text(out.view()));
}

std::string puback_five(int id, const std::string& reason) { return bytes_of("40 03 m" + std::to_string(id) + reason); }

size_t rejected(const World& world) {
  size_t count = 0;
  for (const std::string& record : world.records("iot.shadows"))
    count += record.find("\"code\":429") != std::string::npos;
  return count;
}

}  // namespace

TEST(ShadowRoom, RejectionsOfAThingAreBoundedAsWell) {
  World world;
  world.create_things({"t", "u"});
  world.send("a", connect_five("a"));
  world.take_output("a");
  const size_t before = world.commands();
  world.hold(true);
  for (int id = 1; id <= 30; ++id) world.send("a", request("t", id, "", true));
  EXPECT_EQ(world.commands() - before, kTakenMax);
  for (int i = 0; i < 30; ++i) world.send("a", request("t", 0, "", true));
  EXPECT_EQ(world.commands() - before, kTakenMax);
  world.send("a", request("u", 31, "", true));
  EXPECT_EQ(world.commands() - before, kTakenMax + 1);
  EXPECT_EQ(rejected(world), ShadowService::kRejectionsMax);
  world.hold(false);
  world.settle();
  const std::string output = world.take_output("a");
  EXPECT_NE(output.find(puback_five(21, " 97")), std::string::npos);
  EXPECT_NE(output.find(puback_five(30, " 97")), std::string::npos);
  EXPECT_EQ(output.find(puback_five(20, " 97")), std::string::npos);
  world.send("a", request("t", 32, "", true));
  EXPECT_EQ(world.commands() - before, kTakenMax + 2);
  EXPECT_EQ(rejected(world), ShadowService::kRejectionsMax);
}

TEST(ShadowRoom, ARejectionSaysWhoseItIs) {
  World world;
  world.create_things({"t"});
  world.send("a", connect_five("a"));
  world.hold(true);
  for (size_t i = 0; i < devices::kShadowsInFlight; ++i) world.send("a", request("t", 0, "", true));
  world.send("a", request("t", 0, R"({"clientToken":"mine"})", true));
  EXPECT_NE(world.records("iot.shadows").back().find(R"("clientToken":"mine")"), std::string::npos);
  EXPECT_EQ(rejected(world), 1U);
}

// MQTT 3 has no word for it: the publisher waits, and is answered in the end.
TEST(ShadowRoom, WhoCannotBeToldIsHeld) {
  World world;
  world.create_things({"t"});
  world.send("a", connect("a"));
  world.take_output("a");
  const size_t before = world.commands();
  world.hold(true);
  for (int id = 1; id <= 25; ++id) world.send("a", request("t", id, ""));
  EXPECT_EQ(world.commands() - before, kTakenMax);
  EXPECT_TRUE(world.client("a").context->paused());
  world.hold(false);
  world.settle();
  EXPECT_FALSE(world.client("a").context->closed);
  EXPECT_FALSE(world.client("a").context->paused());
  EXPECT_EQ(world.commands() - before, 25U);
  EXPECT_EQ(world.take_output("a").size(), 25U * 4U);
}

TEST(ShadowRoom, AHeldRequestGoesWithItsPublisher) {
  World world;
  world.create_things({"t"});
  world.send("a", connect("a"));
  const size_t before = world.commands();
  world.hold(true);
  for (int id = 1; id <= 21; ++id) world.send("a", request("t", id, ""));
  world.break_off("a");
  world.hold(false);
  world.settle();
  EXPECT_EQ(world.commands() - before, kTakenMax);
}

namespace {

bool is_connected(World& world, std::string_view thing) {
  return world.devices().registry().find(thing)->presence.connected;
}

constexpr int64_t kSecondNs = 1'000'000'000;

}  // namespace

// By the start of a run all are away, so nobody is told of before the log has it.
TEST(ThingsConnected, WhatIsRefusedForNowIsToldAgain) {
  World world;
  world.create_things({"t"});
  world.refuse_devices(Errc::overloaded);
  world.send("t", connect("t"));
  for (int i = 0; i < 3; ++i) world.pass_time(ThingPresence::kAgainNs);
  EXPECT_FALSE(is_connected(world, "t"));
  world.refuse_devices(std::nullopt);
  world.pass_time(ThingPresence::kAgainNs);
  EXPECT_TRUE(is_connected(world, "t"));
  world.refuse_devices(Errc::no_space);
  world.break_off("t");
  world.pass_time(kSecondNs);
  EXPECT_TRUE(is_connected(world, "t"));
  world.refuse_devices(std::nullopt);
  world.pass_time(ThingPresence::kAgainNs);
  EXPECT_FALSE(is_connected(world, "t"));
  EXPECT_EQ(world.broker().counters().things_dropped.value(), 0U);
}

// Connections that were opened before others may come with their CONNECT behind them.
TEST(ThingsConnected, WhoConnectsLastIsTheNewest) {
  World world;
  world.create_things({"t"});
  world.client("opened first");
  world.send("opened second", connect("t"));
  world.send("opened first", connect("t"));
  EXPECT_TRUE(world.client("opened second").context->closed);
  world.pass_time(kSecondNs);
  EXPECT_TRUE(is_connected(world, "t"));
  world.break_off("opened first");
  world.pass_time(kSecondNs);
  EXPECT_FALSE(is_connected(world, "t"));
}

// Also where no thing was registered before.
TEST(ThingsConnected, AThingThatIsRegisteredLaterIsConnected) {
  World world;
  world.send("t", connect("t"));
  world.broker().things().note_user("user", 5, true);
  world.broker().things().note_user("left", 6, true);
  world.broker().things().note_user("left", 6, false);
  world.create_things({"t", "user", "left", "other"});
  world.pass_time(kSecondNs);
  EXPECT_TRUE(is_connected(world, "t") && is_connected(world, "user"));
  EXPECT_FALSE(is_connected(world, "left") || is_connected(world, "other"));
  world.break_off("t");
  world.pass_time(kSecondNs);
  EXPECT_FALSE(is_connected(world, "t"));
  world.create_things({"t"});  // is there
  world.pass_time(kSecondNs);
  EXPECT_FALSE(is_connected(world, "t"));
}

TEST(ThingsConnected, WhatIsRefusedForGoodIsCounted) {
  World world;
  world.create_things({"t"});
  world.send("t", connect("t"));
  world.pass_time(kSecondNs);
  EXPECT_TRUE(is_connected(world, "t"));
  world.refuse_devices(Errc::unsupported);
  world.break_off("t");
  world.pass_time(kSecondNs);
  EXPECT_EQ(world.broker().counters().things_dropped.value(), 1U);
  EXPECT_TRUE(world.devices().relieves(devices::kStarted) && world.devices().relieves(devices::kConnections));
}

TEST(ShadowRoom, ManyRequestsMakeTheBrokerCrowded) {
  World world;
  world.send("a", connect_five("a"));
  world.hold(true);
  for (size_t i = 0; i < ShadowService::kWaitingMax / 2; ++i) {
    EXPECT_FALSE(world.broker().crowded());
    world.send("a", request("t" + std::to_string(i), 0, "", true));
  }
  EXPECT_TRUE(world.broker().crowded());
  EXPECT_TRUE(world.client("a").context->paused());
  world.hold(false);
  world.settle();
  EXPECT_FALSE(world.broker().crowded());
  EXPECT_FALSE(world.client("a").context->paused());
}

}  // namespace heptane::iot::test
