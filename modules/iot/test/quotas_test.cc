// Quotas of users and listeners over MQTT: what a client over them is told, in either version and either direction.

#include <gtest/gtest.h>

#include <string>

#include "modules/iot/test/mqtt_world.h"
#include "sim/sim_clock.h"

namespace heptane::iot::test {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

class MqttQuotas : public testing::Test {
 protected:
  // Of `local`, who everybody is without authentication.
  void limit(const net::QuotaLimits& limits) {
    net::QuotaConfig config;
    config.principal = limits;
    quotas_.configure(config);
  }
  void limit_bytes(int64_t in, int64_t out) {
    limit({.bytes_in = in, .bytes_out = out, .requests = 0, .connections = 0});
  }
  void pass(int64_t ns) {
    clock_.advance(ns);
    world_.pass_time(ns);
  }
  std::string run(std::string_view transcript) { return world_.run(transcript); }
  mqtt::MqttCounters& counters() { return world_.broker().counters(); }
  // A CONNECT of MQTT 3.1.1 or 5 without anything in it, and its answer taken.
  void connect(const std::string& name, bool five) {
    world_.send(name, five ? bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 '" + name + "'")
                           : bytes_of("10 r13 s4 'MQTT' 04 02 k60 s1 '" + name + "'"));
    EXPECT_NE(world_.take_output(name), "");
  }

  sim::SimClock clock_;
  net::Quotas quotas_{clock_};
  World world_{[this] {
    mqtt::MqttOptions options;
    options.quotas = &quotas_;
    return options;
  }()};
};

// 20 bytes each, in a packet of QoS 1 under this identifier.
std::string publish_five(int id) { return bytes_of("32 r18 s1 't' m" + std::to_string(id) + " 00 '123456789012'"); }
std::string publish_three(int id) { return bytes_of("32 r18 s1 't' m" + std::to_string(id) + " '1234567890123'"); }

TEST_F(MqttQuotas, Mqtt5IsToldAndWhatIsRefusedIsNotOwed) {
  connect("p", true);
  limit_bytes(20, 0);
  world_.send("p", publish_five(1));
  world_.send("p", publish_five(2));
  EXPECT_EQ(run("p< 40 03 m1 10 40 03 m2 10\n"), "") << "a second may be saved up, and the last one go beyond it";
  for (int id = 3; id < 20; ++id) world_.send("p", publish_five(id));
  EXPECT_EQ(world_.take_output("p").substr(0, 5), bytes_of("40 03 m3 97"));
  EXPECT_FALSE(world_.client("p").context->paused());
  world_.send("p", bytes_of("34 r7 s1 't' m20 00 'x'"));
  EXPECT_EQ(run("p< 50 03 m20 97\n"), "");
  world_.send("p", bytes_of("30 r5 s1 't' 00 'x'"));
  EXPECT_EQ(counters().refused.value(), 17U + 1 + 1) << "at QoS 0 it is counted alone";
  pass(kSecondNs);
  world_.send("p", bytes_of("34 r7 s1 't' m20 00 'x'"));
  EXPECT_EQ(run("p< 50 02 m20\n"), "") << "its identifier is free";
}

TEST_F(MqttQuotas, ARepeatThatIsKnownIsAcknowledged) {
  connect("p", true);
  world_.send("p", bytes_of("34 r7 s1 't' m1 00 'x'"));
  EXPECT_NE(world_.take_output("p"), "");
  limit_bytes(1, 0);
  world_.send("p", bytes_of("82 r7 m2 00 s1 'q' 00"));
  EXPECT_EQ(run("p< 90 04 m2 00 00\n"), "");
  EXPECT_TRUE(world_.client("p").context->paused()) << "who asks for more than he may is not read at once";
  pass(5 * kSecondNs);
  world_.send("p", bytes_of("3C r7 s1 't' m1 00 'x'"));
  EXPECT_EQ(run("p< 50 02 m1\n"), "");
}

TEST_F(MqttQuotas, Mqtt3IsNotReadUntilItIsPaid) {
  connect("p", false);
  limit_bytes(20, 0);
  std::string many;
  for (int id = 1; id <= 6; ++id) many += publish_three(id);
  world_.send("p", many);
  EXPECT_EQ(run("p< 40 02 m1 40 02 m2\n"), "");
  EXPECT_TRUE(world_.client("p").context->paused());
  pass(kSecondNs);
  EXPECT_EQ(run("p< 40 02 m3\n"), "");
  for (int i = 0; i < 3; ++i) pass(kSecondNs);
  EXPECT_EQ(run("p< 40 02 m4 40 02 m5 40 02 m6\n"), "") << "nothing is lost";
  EXPECT_GT(counters().slowed.value(), 0U);
  EXPECT_GT(quotas_.throttled().value(), 0U);
}

TEST_F(MqttQuotas, WhoConnectsAgainOwesWhatItsUserOwes) {
  connect("p", false);
  limit_bytes(20, 0);
  world_.send("p", publish_three(1) + publish_three(2));
  EXPECT_EQ(run("p< 40 02 m1 40 02 m2\n"), "");
  connect("q", false);
  world_.send("q", publish_three(1));
  EXPECT_EQ(run("q<\n"), "");
  pass(kSecondNs);
  EXPECT_EQ(run("q< 40 02 m1\n"), "");
}

TEST_F(MqttQuotas, Mqtt3IsClosedWhenItIsNotPaidInTime) {
  pass(kSecondNs);
  connect("p", false);
  limit_bytes(1, 0);
  world_.send("p", bytes_of("32 r42 s1 't' m1 '" + std::string(37, 'x') + "'") + publish_three(2));
  EXPECT_EQ(run("p< 40 02 m1\n"), "") << "what went beyond the limit was taken";
  pass(29 * kSecondNs);
  EXPECT_FALSE(world_.client("p").context->closed);
  pass(6 * kSecondNs);
  EXPECT_TRUE(world_.client("p").context->closed);
  EXPECT_EQ(run("p<\n"), "");
}

TEST_F(MqttQuotas, AKeepAliveStandsWhileItIsNotRead) {
  world_.send("p", bytes_of("10 r13 s4 'MQTT' 04 02 k2 s1 'p'"));
  (void)world_.take_output("p");
  limit_bytes(4, 0);
  world_.send("p", publish_three(1));
  for (int i = 0; i < 4; ++i) pass(kSecondNs);
  EXPECT_FALSE(world_.client("p").context->closed);
  pass(4 * kSecondNs);
  EXPECT_TRUE(world_.client("p").context->closed) << "then it is silent";
}

TEST_F(MqttQuotas, WhoOwesForWhatHeGotGetsNoMoreUntilItIsPaid) {
  connect("p", true);
  connect("s", true);
  world_.send("s", bytes_of("82 r7 m1 00 s1 't' 01"));
  (void)world_.take_output("s");
  limit_bytes(0, 19);
  world_.send("p", publish_five(1) + publish_five(2));
  EXPECT_EQ(world_.take_output("s").size(), 20U);
  world_.send("p", bytes_of("30 r5 s1 't' 00 'x'"));
  EXPECT_EQ(world_.take_output("s"), "");
  EXPECT_EQ(counters().dropped_output.value(), 1U) << "at QoS 0 it is gone";
  EXPECT_EQ(counters().refused.value(), 0U) << "to publish is another direction";
  for (int i = 0; i < 3; ++i) pass(kSecondNs);
  EXPECT_EQ(world_.take_output("s").size(), 20U) << "at QoS 1 it waited";
}

TEST_F(MqttQuotas, WhatIsRetainedIsNotCut) {
  connect("p", true);
  for (const char* topic : {"a", "b", "c"})
    world_.send("p", bytes_of("31 r7 s3 'r/" + std::string(topic) + "' 00 'x'"));
  limit_bytes(0, 5);
  connect("s", true);
  pass(10 * kSecondNs);
  world_.send("s", bytes_of("82 r9 m1 00 s3 'r/#' 00"));
  EXPECT_EQ(run("s< 90 04 m1 00 00 31 r7 s3 'r/a' 00 'x' 31 r7 s3 'r/b' 00 'x' 31 r7 s3 'r/c' 00 'x'\n"), "");
  EXPECT_EQ(counters().dropped_output.value(), 0U);
  world_.send("p", bytes_of("30 r7 s3 'r/d' 00 'x'"));
  EXPECT_EQ(run("s<\n"), "") << "what comes then is";
}

TEST_F(MqttQuotas, AListenersClientsShareItsLimits) {
  connect("p", true);
  net::QuotaConfig config;
  config.listeners["mqtt"].requests = 1;
  quotas_.configure(config);
  world_.send("p", publish_five(1) + publish_five(2) + publish_five(3));
  EXPECT_EQ(run("p< 40 03 m1 10 40 03 m2 10 40 03 m3 97\n"), "");
}

TEST_F(MqttQuotas, AUsersConnectionsAreCounted) {
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 0, .connections = 2});
  connect("a", true);
  connect("b", false);
  EXPECT_EQ(run("c> 10 r14 s4 'MQTT' 05 02 k0 00 s1 'c'\nc< 20 r3 00 97 00\nc closed\n"), "");
  EXPECT_EQ(run("d> 10 r13 s4 'MQTT' 04 02 k0 s1 'd'\nd< 20 02 00 03\nd closed\n"), "");
  EXPECT_EQ(quotas_.connections_refused().value(), 2U);
  world_.send("e", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  EXPECT_NE(world_.take_output("e"), "") << "who takes over has the older one's place";
  EXPECT_FALSE(world_.client("e").context->closed);
  world_.break_off("e");
  connect("f", true);
}

}  // namespace
}  // namespace heptane::iot::test
