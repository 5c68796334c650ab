// The broker as a Sparkplug aware one: what it keeps, says and asks, with edge nodes and hosts as clients of it.
#include <gtest/gtest.h>

#include "modules/iot/domain/sparkplug/payload.h"
#include "modules/iot/gateway/mqtt/session.h"
#include "modules/iot/test/mqtt_world.h"
#include "modules/iot/test/sparkplug_payloads.h"

namespace heptane::iot::test {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
const std::string kBirth = "spBv1.0/plant/NBIRTH/edge";
const std::string kData = "spBv1.0/plant/NDATA/edge";
const std::string kCommands = "spBv1.0/plant/NCMD/edge";

std::string text(std::string_view of) {
  ByteWriter out;
  mqtt::write_text(out, of);
  return std::string(as_text(out.view()));
}

std::string packet(uint8_t first, const std::string& body) {
  ByteWriter out;
  out.u8(first);
  mqtt::write_variable(out, static_cast<uint32_t>(body.size()));
  out.append(body);
  return std::string(as_text(out.view()));
}

class SparkplugWatch : public testing::Test {
 protected:
  SparkplugWatch() {
    options_.sparkplug = true;
    options_.sparkplug_metrics = true;
    start();
  }
  void start() { world_ = std::make_unique<World>(options_); }

  void connect(const std::string& client, const std::string& will_topic = "", const std::string& will = "") {
    std::string body = text("MQTT") + '\4' + (will_topic.empty() ? '\2' : '\6') + std::string("\0\0", 2) + text(client);
    if (!will_topic.empty()) body += text(will_topic) + text(will);
    world_->send(client, packet(0x10, body));
    (void)world_->take_output(client);
  }
  void subscribe(const std::string& client, const std::string& filter) {
    world_->send(client, packet(0x82, std::string("\0\1", 2) + text(filter) + '\0'));
    subscribed_ = world_->take_output(client).substr(5);
  }
  void publish(const std::string& client, const std::string& topic, const std::string& payload) {
    world_->send(client, packet(0x30, text(topic) + payload));
  }
  std::string output(const std::string& client) { return world_->take_output(client); }
  std::vector<std::string> messages() const { return world_->records("iot.messages"); }
  static std::string message(const std::string& topic, const std::string& payload, bool retained = false) {
    return packet(retained ? 0x31 : 0x30, text(topic) + payload);
  }

  static std::string birth(uint64_t bd_seq = 0) {
    return at_ms(100) + metric(name_is("bdSeq") + type_is(8) + long_is(bd_seq)) +
           metric(name_is("Temp") + alias_is(1) + type_is(10) + real_is(20.5)) + seq(0);
  }
  static std::string data(uint64_t number, double value = 21) {
    return at_ms(200) + metric(alias_is(1) + time_is(150) + real_is(value)) + seq(number);
  }
  static std::string json(const std::string& value, int time_ms, const std::string& more = "") {
    return "$sparkplug/metrics/plant/edge {\"name\":\"Temp\",\"value\":" + value +
           ",\"timestamp\":" + std::to_string(time_ms) + ",\"type\":\"Double\"" + more + "}";
  }
  mqtt::MqttCounters& counters() { return world_->broker().counters(); }

  mqtt::MqttOptions options_;
  std::unique_ptr<World> world_;
  std::string subscribed_;  // what SUBACK was followed by
};

}  // namespace

TEST_F(SparkplugWatch, BirthsAreKeptOverACrash) {
  connect("edge");
  connect("host");
  subscribe("host", "spBv1.0/#");
  publish("edge", kBirth, birth());
  EXPECT_EQ(output("host"), message(kBirth, birth())) << "it goes its way as it is";
  publish("edge", "spBv1.0/plant/DBIRTH/edge/pump", at_ms(1) + seq(1));
  world_->crash();
  connect("late");
  subscribe("late", "$sparkplug/certificates/#");
  EXPECT_EQ(subscribed_, message("$sparkplug/certificates/spBv1.0/plant/DBIRTH/edge/pump", at_ms(1) + seq(1), true) +
                             message("$sparkplug/certificates/" + kBirth, birth(), true));
  EXPECT_EQ(messages().size(), 3U) << "two births, one metric";
}

TEST_F(SparkplugWatch, ANewBirthIsInPlaceOfTheOneBefore) {
  connect("edge");
  publish("edge", kBirth, birth(1));
  publish("edge", kBirth, birth(2));
  connect("late");
  subscribe("late", "$sparkplug/certificates/#");
  EXPECT_EQ(subscribed_, message("$sparkplug/certificates/" + kBirth, birth(2), true));
}

TEST_F(SparkplugWatch, MetricsHaveNames) {
  options_.sparkplug_metrics = true;
  connect("edge");
  publish("edge", kBirth, birth());
  publish("edge", kData, data(1));
  publish("edge", kData, at_ms(300) + metric(alias_is(1) + number_field(5, 1) + real_is(0.1)) + seq(2));
  publish("edge", kData, at_ms(300) + metric(alias_is(1) + number_field(7, 1)) + seq(3));
  publish("edge", kData, at_ms(300) + metric(name_is("S/\"") + type_is(12) + text_is("a\x80\n")) + seq(4));
  publish("edge", kData, at_ms(300) + metric(name_is("D") + type_is(16) + bytes_field(17, "")) + seq(5));
  publish("edge", kData, metric(alias_is(7) + real_is(1)) + seq(6));
  const std::vector<std::string> said = messages();
  ASSERT_EQ(said.size(), 6U);
  EXPECT_EQ(said[1], json("20.5", 100));
  EXPECT_EQ(said[2], json("21", 150));
  EXPECT_EQ(said[3], json("0.1", 300, ",\"historical\":true"));
  EXPECT_EQ(said[4], json("null", 300));
  EXPECT_EQ(said[5],
            "$sparkplug/metrics/plant/edge {\"name\":\"S/\\\"\",\"value\":\"a\xEF\xBF\xBD\\u000a\","
            "\"timestamp\":300,\"type\":\"String\"}");
  EXPECT_EQ(counters().sparkplug_metrics.value(), 5U);
  EXPECT_EQ(counters().sparkplug_compound.value(), 1U);
  EXPECT_EQ(counters().sparkplug_unnamed.value(), 1U);
}

TEST_F(SparkplugWatch, WhoMissesAMessageIsAskedToBeBornAgain) {
  connect("edge");
  subscribe("edge", "spBv1.0/plant/NCMD/edge/#");
  publish("edge", kBirth, birth());
  publish("edge", kData, data(1));
  EXPECT_EQ(output("edge"), "");
  publish("edge", kData, data(3));
  const std::string asked = output("edge");
  const std::string head = packet(0x30, text(kCommands)).substr(2);
  ASSERT_EQ(asked.substr(2, head.size()), head);
  const std::string payload = asked.substr(2 + head.size());
  const auto command = sparkplug::read_payload(payload);
  ASSERT_TRUE(command);
  ASSERT_EQ(command->metrics.size(), 1U);
  EXPECT_EQ(command->metrics[0].name, "Node Control/Rebirth");
  publish("edge", kData, data(5));
  EXPECT_EQ(output("edge"), "") << "once in a while";
  world_->pass_time(30 * kSecond);
  publish("edge", kData, data(7));
  EXPECT_NE(output("edge"), "");
  EXPECT_EQ(counters().sparkplug_gaps.value(), 3U);
  EXPECT_EQ(counters().sparkplug_rebirths.value(), 2U);
}

TEST_F(SparkplugWatch, AfterACrashAnUnknownNodeIsAsked) {
  connect("edge");
  publish("edge", kBirth, birth());
  world_->crash();
  connect("edge");
  subscribe("edge", kCommands);
  publish("edge", kData, data(1));
  EXPECT_NE(output("edge"), "");
}

TEST_F(SparkplugWatch, ADeathSaysWhenItIs) {
  const std::string death = at_ms(1) + metric(name_is("bdSeq") + type_is(8) + long_is(0));
  const std::string topic = "spBv1.0/plant/NDEATH/edge";
  connect("host");
  subscribe("host", topic);
  connect("edge", topic, death);
  publish("edge", kBirth, birth(0));
  world_->pass_time(60 * kSecond);
  const auto now_ms = static_cast<uint64_t>(world_->client("host").context->utc_ns() / 1'000'000);
  world_->break_off("edge");
  EXPECT_EQ(output("host"), message(topic, *sparkplug::with_timestamp(death, now_ms)));
  connect("other", "other/topic", death);
  subscribe("host", "other/topic");
  world_->break_off("other");
  EXPECT_EQ(output("host"), message("other/topic", death)) << "a will like any";
}

TEST_F(SparkplugWatch, MetricsLeaveRoomForWhatClientsPublish) {
  connect("edge");
  connect("other");
  publish("edge", kBirth, birth());
  std::string many;
  for (size_t i = 0; i < sparkplug::kMetricsMax; ++i) many += metric(alias_is(1) + real_is(1));
  world_->hold(true);
  for (uint64_t number = 1; number <= 3; ++number) publish("edge", kData, many + seq(number));
  EXPECT_EQ(counters().sparkplug_metrics.value(), 1U + mqtt::Broker::kWaitingMax / 2);
  EXPECT_EQ(counters().sparkplug_refused.value(), 3 * sparkplug::kMetricsMax - mqtt::Broker::kWaitingMax / 2);
  world_->send("other", packet(0x32, text("a/b") + std::string("\0\1", 2) + "x"));
  world_->hold(false);
  world_->settle();
  EXPECT_FALSE(world_->client("other").context->closed) << "there was room for it";
  EXPECT_EQ(output("other"), packet(0x40, std::string("\0\1", 2)));
}

TEST_F(SparkplugWatch, WhatCannotBeReadGoesItsWay) {
  connect("edge");
  connect("host");
  subscribe("host", "spBv1.0/#");
  publish("edge", kBirth, "no payload");
  EXPECT_EQ(output("host"), message(kBirth, "no payload"));
  ASSERT_EQ(messages().size(), 1U) << "it is kept as it is";
  publish("edge", kBirth, "");
  EXPECT_EQ(messages().size(), 1U) << "and none takes it away";
  output("host");
  EXPECT_EQ(counters().sparkplug_malformed.value(), 1U);
  publish("edge", "spBv1.0/STATE/host", "{}");
  EXPECT_EQ(output("host"), message("spBv1.0/STATE/host", "{}"));
  EXPECT_EQ(counters().sparkplug_malformed.value(), 1U);
}

TEST_F(SparkplugWatch, TheServersTopicsAreItsOwn) {
  connect("edge");
  connect("host");
  subscribe("host", "$sparkplug/#");
  publish("edge", "$sparkplug/certificates/" + kBirth, birth());
  EXPECT_EQ(output("host"), "");
  EXPECT_EQ(counters().refused.value(), 1U);
}

TEST_F(SparkplugWatch, OffItIsABrokerLikeAny) {
  options_.sparkplug = false;
  start();
  connect("edge", "spBv1.0/plant/NDEATH/edge", at_ms(1));
  connect("host");
  subscribe("host", "spBv1.0/#");
  publish("edge", kBirth, birth());
  publish("edge", kData, data(9));
  world_->break_off("edge");
  EXPECT_EQ(output("host"),
            message(kBirth, birth()) + message(kData, data(9)) + message("spBv1.0/plant/NDEATH/edge", at_ms(1)));
  EXPECT_TRUE(messages().empty());
  connect("edge");
  subscribe("host", "$sparkplug/#");
  publish("edge", "$sparkplug/x", "y");
  EXPECT_EQ(output("host"), message("$sparkplug/x", "y"));
}

TEST_F(SparkplugWatch, MetricsAreWantedOrNot) {
  options_.sparkplug_metrics = false;
  start();
  connect("edge");
  publish("edge", kBirth, birth());
  publish("edge", kData, data(1));
  EXPECT_EQ(messages().size(), 1U) << "the birth";
}

}  // namespace heptane::iot::test
