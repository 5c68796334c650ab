// Streams over topic filters at the gateway: what waits for the log, what a durable session gets out of which stream, and what the
// configuration declares.

#include <gtest/gtest.h>

#include <algorithm>

#include "kernel/streams/record_batch.h"
#include "modules/iot/gateway/mqtt/view_publisher.h"
#include "modules/iot/machine/publish_records.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

using Capture = mqtt::Declared::Capture;
using Texts = std::vector<std::string>;

std::string connect(const std::string& id) { return bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 '" + id + "'"); }
std::string connect_durably(const std::string& id) { return bytes_of("10 r13 s4 'MQTT' 04 00 k0 s1 '" + id + "'"); }

StreamDeclaration over(std::string name, std::string filter, bool qos0 = false) {
  StreamDeclaration said;
  said.name = std::move(name);
  said.filter = std::move(filter);
  said.qos0 = qos0;
  return said;
}

TEST(MqttStreams, QosZeroWaitsForTheLogWhereAStreamWantsIt) {
  World world;
  ASSERT_TRUE(world.declare(over("fast", "t/#", true)).ok());
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 '#' 01"));
  world.take_output("s");
  world.send("p", connect("p"));
  world.hold(true);
  world.send("p", bytes_of("30 r6 s3 't/1' 'x' 30 r4 s1 'u' 'y'"));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r4 s1 'u' 'y'")));
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/1' 'x'")));
  EXPECT_EQ(world.records("fast"), Texts({"t/1 x"}));
  // A will is a message like others.
  world.send("w", bytes_of("10 r21 s4 'MQTT' 04 06 k0 s1 'w' s3 't/w' s1 'z'"));
  world.break_off("w");
  EXPECT_EQ(world.records("fast"), Texts({"t/1 x", "t/w z"}));
  // No stream wants it any more.
  ASSERT_TRUE(world.declare(over("fast", "t/#", false)).ok());
  const size_t before = world.commands();
  world.send("p", bytes_of("30 r6 s3 't/1' 'x'"));
  EXPECT_EQ(world.commands(), before);
}

TEST(MqttStreams, QosZeroOfARelaxedStreamIsPushedBeforeItIsSyncedAndOnce) {
  World world;
  StreamDeclaration relaxed = over("fast", "t/#", true);
  relaxed.relaxed = true;
  ASSERT_TRUE(world.declare(relaxed).ok());
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 '#' 01"));
  world.take_output("s");
  world.send("p", connect("p"));
  world.hold(true);
  world.send("p", bytes_of("30 r6 s3 't/1' 'x' 31 r6 s3 't/1' 'r'"));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/1' 'x'"))) << "what is retained waits";
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/1' 'r'")));
  EXPECT_EQ(world.records("fast"), Texts({"t/1 x", "t/1 r"}));
  // It reaches subscribers also where the log has no room; a will comes out of the log.
  world.refuse_next(Errc::no_space);
  world.send("p", bytes_of("30 r6 s3 't/1' 'y'"));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/1' 'y'")));
  world.send("w", bytes_of("10 r21 s4 'MQTT' 04 06 k0 s1 'w' s3 't/w' s1 'z'"));
  world.hold(true);
  world.break_off("w");
  EXPECT_EQ(world.take_output("s"), "");
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/w' 'z'")));
  EXPECT_EQ(world.records("fast"), Texts({"t/1 x", "t/1 r", "t/w z"}));
}

// It stands behind what is held, and its publisher is gone before that is tried again.
TEST(MqttStreams, ARecordOfARelaxedStreamThatIsNotTriedAgainIsCounted) {
  World world;
  StreamDeclaration relaxed = over("fast", "t/#", true);
  relaxed.relaxed = true;
  ASSERT_TRUE(world.declare(relaxed).ok());
  for (const char* name : {"s", "a", "b"}) world.send(name, connect(name));
  world.send("s", bytes_of("82 r6 m1 s1 '#' 00"));
  world.take_output("s");
  world.hold(true);
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r6 s1 'u' m1 'a'"));
  world.send("b", bytes_of("32 r6 s1 'u' m7 'x'"));
  world.deliver_one();
  world.send("b", bytes_of("30 r6 s3 't/1' 'y'"));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/1' 'y'")));
  world.hold(false);
  world.settle();
  world.break_off("b");
  const uint64_t before = world.broker().counters().refused.value();
  world.pass_time(100'000'000);
  EXPECT_EQ(world.records("fast"), Texts{});
  EXPECT_EQ(world.broker().counters().refused.value(), before + 1);
}

TEST(MqttStreams, AStrictStreamMakesQosZeroOfARelaxedOneWait) {
  World world;
  StreamDeclaration relaxed = over("fast", "t/#", true);
  relaxed.relaxed = true;
  ASSERT_TRUE(world.declare(relaxed).ok());
  ASSERT_TRUE(world.declare(over("sure", "t/1", true)).ok());
  EXPECT_EQ(world.broker().declared().capture_of("t/1"), Capture::strict);
  EXPECT_EQ(world.broker().declared().capture_of("t/2"), Capture::relaxed);
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 '#' 01"));
  world.take_output("s");
  world.send("p", connect("p"));
  world.hold(true);
  world.send("p", bytes_of("30 r6 s3 't/1' 'x'"));
  EXPECT_EQ(world.take_output("s"), "");
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/1' 'x'")));
  EXPECT_EQ(world.records("fast"), world.records("sure"));
}

TEST(MqttStreams, ADurableSessionGetsWhatLiesInManyStreamsInItsOrder) {
  World world;
  ASSERT_TRUE(world.declare(over("a", "t/a")).ok());
  ASSERT_TRUE(world.declare(over("b", "t/b")).ok());
  ASSERT_TRUE(world.declare(over("ab", "t/+")).ok());
  world.send("s", connect_durably("s"));
  world.send("s", bytes_of("82 r8 m1 s3 't/#' 01"));
  world.break_off("s");
  world.send("p", connect("p"));
  std::string expected = "20 02 01 00";
  const Texts topics = {"t/a", "t/b", "t/a", "t/c", "t", "t/b", "t", "t/a"};
  for (size_t i = 0; i < topics.size(); ++i) {
    const std::string head = std::to_string(topics[i].size() + 5);
    const std::string one = " r" + head + " s" + std::to_string(topics[i].size()) + " '" + topics[i] + "' m" +
                            std::to_string(i + 1) + " '" + std::to_string(i) + "'";
    world.send("p", bytes_of("32" + one));
    expected += " 32" + one;
  }
  // Out of memory, and, when the server was started again, out of the log.
  world.send("s", connect_durably("s"));
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of(expected)));
  world.crash();
  world.send("s", connect_durably("s"));
  std::string again = hex_of(bytes_of(expected));
  const std::string got = hex_of(world.take_output("s"));
  for (size_t at = again.find("32", 8), i = 0; i < topics.size(); ++i) {
    again.replace(at, 2, "3A");
    at += (topics[i].size() + 7) * 2;
  }
  EXPECT_EQ(got, again);
}

TEST(MqttStreams, TheConfigurationIsToldTheMachineAndWhatItRefusesIsReported) {
  Texts told;
  mqtt::MqttOptions options;
  options.report = [&](const std::string& line) { told.push_back(line); };
  World world(options);
  world.refuse_next(Errc::no_space);  // asked again later
  world.broker().declared().want({over("one", "a/#", true), over("two", "b"), over("iot.x", "c")});
  world.settle();
  EXPECT_EQ(world.machine().declared().size(), 1U);
  world.pass_time(1'000'000'000);
  EXPECT_EQ(world.machine().declared().size(), 2U);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("mqtt.streams: iot.x: "), std::string::npos);
  EXPECT_EQ(world.broker().declared().capture_of("a/1"), Capture::strict);
  EXPECT_EQ(world.broker().declared().capture_of("b"), Capture::none);
  // What is not named any more stays.
  world.broker().declared().want({over("one", "a/#")});
  world.settle();
  EXPECT_EQ(world.machine().declared().size(), 2U);
  EXPECT_EQ(world.broker().declared().capture_of("a/1"), Capture::none);
}

// A Kafka or HTTP client's batch on its way.
class Appender {
 public:
  explicit Appender(World& world) : world_(world), publisher_(world.broker()) {}

  Appender& add(std::string_view key, std::string_view value,
                std::vector<std::pair<std::string, std::string>> headers = {}) {
    ByteWriter out;
    for (const auto& [name, text] : headers) {
      out.zigzag(static_cast<int64_t>(name.size()));
      out.append(name);
      out.zigzag(static_cast<int64_t>(text.size()));
      out.append(text);
    }
    if (builder_.count() == 0) builder_.begin(1);
    builder_.add(1, !key.empty(), as_bytes(key), true, as_bytes(value), out.view(),
                 static_cast<uint32_t>(headers.size()));
    return *this;
  }
  // What the one who appends is told.
  Result<Reply> append(std::string_view stream, std::optional<uint32_t> partition = 0) {
    const Buffer batch = Buffer::copy_of(builder_.finish(0, 0, true));
    builder_.begin(1);
    Result<Submission> made =
        publisher_.make_append(stream, partition, batch.view(),
                               [this](std::string_view, std::string_view topic) { return topic != forbidden; });
    if (!made) return made.error();
    Reply reply = world_.submit(*made);
    publisher_.on_answer(kPublishRecords, made->payload, reply);
    return reply;
  }
  // As others send it: the gateway hears of the answer alone.
  Reply send(CommandType type, const Buffer& payload) {
    Submission submission;
    submission.machine = kBrokerMachineId;
    submission.type = type;
    submission.payload = payload;
    const Reply reply = world_.submit(submission);
    publisher_.on_answer(type, payload, reply);
    return reply;
  }
  bool hears(CommandType type) const {
    const std::vector<CommandType> all = publisher_.commands();
    return std::find(all.begin(), all.end(), type) != all.end();
  }
  bool takes(std::string_view stream) const { return publisher_.takes(stream); }
  std::string why_not_altered(std::string_view stream) const { return publisher_.why_not_altered(stream); }
  std::string forbidden = "cmd/forbidden";

 private:
  World& world_;
  mqtt::ViewPublisher publisher_;
  streams::RecordBatchBuilder builder_;
};

TEST(MqttStreams, TheGatewayHearsOfStreamsThatOthersDeclareAndDrop) {
  World world;
  Appender others(world);
  EXPECT_TRUE(others.hears(kDeclareStream) && others.hears(kDropStream));
  ASSERT_TRUE(others.send(kDeclareStream, encode(over("fast", "t/#", true))).ok());
  EXPECT_EQ(world.broker().declared().capture_of("t/1"), Capture::strict);
  EXPECT_TRUE(others.send(kDropStream, Buffer::copy_of("fast")).ok());
  EXPECT_EQ(world.broker().declared().capture_of("t/1"), Capture::none);
  // One that missed the answer has all streams of that to a repeat.
  ASSERT_TRUE(others.send(kDeclareStream, encode(over("fast", "t/#", true))).ok());
  world.broker().declared().take({});
  EXPECT_TRUE(others.send(kDeclareStream, encode(over("fast", "t/#", true))).repeated);
  EXPECT_EQ(world.broker().declared().capture_of("t/1"), Capture::strict);
  EXPECT_FALSE(others.send(kDropStream, Buffer::copy_of("none")).ok());
  EXPECT_EQ(world.broker().declared().capture_of("t/1"), Capture::strict);
}

TEST(MqttStreams, QosZeroWhoseStreamIsDroppedOnItsWayReachesSubscribersAlone) {
  World world;
  ASSERT_TRUE(world.declare(over("fast", "t/#", true)).ok());
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 '#' 01"));
  world.take_output("s");
  world.send("p", connect("p"));
  Submission drop;
  drop.machine = kBrokerMachineId;
  drop.type = kDropStream;
  drop.payload = Buffer::copy_of("fast");
  ASSERT_TRUE(world.submit(drop).ok());
  const size_t before = world.commands();
  world.send("p", bytes_of("30 r6 s3 't/1' 'x'"));
  EXPECT_EQ(world.commands(), before + 1);
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("30 r6 s3 't/1' 'x'")));
  EXPECT_TRUE(world.records("iot.messages").empty());
}

TEST(MqttStreams, WhatIsAppendedToAStreamThatPublishesReachesSubscribers) {
  World world;
  StreamDeclaration said = over("out", "cmd/#");
  said.publish = true;
  ASSERT_TRUE(world.declare(said).ok());
  ASSERT_TRUE(world.declare(over("in", "plant/#")).ok());
  world.send("s", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 's'"));
  world.send("s", bytes_of("82 r11 m1 00 s5 'cmd/#' 02"));
  world.send("d", connect_durably("d"));
  world.send("d", bytes_of("82 r10 m1 s5 'cmd/#' 01"));
  world.break_off("d");
  world.take_output("s");
  Appender appender(world);
  EXPECT_TRUE(appender.takes("out"));
  EXPECT_FALSE(appender.takes("in"));
  const Result<Reply> reply =
      appender.add("cmd/a", "on", {{"heptane.position", "0:9"}, {"mqtt.qos", "2"}, {"mqtt.client", "x"}, {"unit", "K"}})
          .add("cmd/b", "off")
          .append("out");
  ASSERT_TRUE(reply && reply->ok());
  EXPECT_EQ(reply->numbers[0], 0);
  EXPECT_EQ(hex_of(world.take_output("s")),
            hex_of(bytes_of("34 r22 s5 'cmd/a' m1 v10 26 s4 'unit' s1 'K' 'on' 32 r13 s5 'cmd/b' m2 00 'off'")));
  EXPECT_EQ(world.records("out"), Texts({"cmd/a on", "cmd/b off"}));
  world.send("d", connect_durably("d"));
  EXPECT_EQ(hex_of(world.take_output("d")),
            hex_of(bytes_of("20 02 01 00 32 r11 s5 'cmd/a' m1 'on' 32 r12 s5 'cmd/b' m2 'off'")));
}

TEST(MqttStreams, ARecordGoesToThePartitionOfItsTopicOrNowhere) {
  World world;
  StreamDeclaration said = over("out", "cmd/#");
  said.publish = true;
  said.partitions = 4;
  ASSERT_TRUE(world.declare(said).ok());
  Appender appender(world);
  const uint32_t its = partition_of("cmd/a", 4);
  const Result<Reply> good = appender.add("cmd/a", "1").append("out", its);
  ASSERT_TRUE(good && good->ok());
  EXPECT_EQ(good->numbers[0], 0);
  const Result<Reply> anywhere = appender.add("cmd/a", "2").append("out", std::nullopt);
  ASSERT_TRUE(anywhere && anywhere->ok());
  EXPECT_EQ(anywhere->numbers[0], 1);
  const Result<Reply> elsewhere = appender.add("cmd/a", "3").append("out", (its + 1) % 4);
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code, Errc::invalid_argument);
  EXPECT_EQ(elsewhere.error().message,
            "the topic cmd/a is in partition " + std::to_string(its) +
                " of the stream: a record goes where murmur2 of its key says (partitioner = murmur2 in librdkafka)");
  std::string other = "cmd/b";
  while (partition_of(other, 4) == its) other += "b";
  const Result<Reply> mixed = appender.add("cmd/a", "4").add(other, "5").append("out", std::nullopt);
  EXPECT_EQ(mixed ? Errc::internal : mixed.error().code, Errc::invalid_argument);
  const Result<Reply> none = appender.add("cmd/a", "6").append("out", 4);
  EXPECT_EQ(none ? Errc::internal : none.error().code, Errc::not_found);
}

TEST(MqttStreams, TheRetentionOfADeclaredStreamIsItsDeclarations) {
  World world;
  Appender appender(world);
  EXPECT_EQ(appender.why_not_altered("out"), "");
  ASSERT_TRUE(world.declare(over("out", "cmd/#")).ok());
  EXPECT_EQ(appender.why_not_altered("out"),
            "the retention of out is its declaration's: change mqtt.streams in the configuration, or POST "
            "/api/v1/mqtt/streams");
  EXPECT_EQ(appender.why_not_altered("other"), "");
  ASSERT_TRUE(appender.send(kDropStream, Buffer::copy_of("out")).ok());
  EXPECT_EQ(appender.why_not_altered("out"), "");
}

TEST(MqttStreams, ARecordThatIsNoMessageOfTheStreamIsRefusedWithItsBatch) {
  World world;
  StreamDeclaration said = over("out", "cmd/+");
  said.publish = true;
  ASSERT_TRUE(world.declare(said).ok());
  Appender appender(world);
  const auto refused = [&](std::string_view key, std::vector<std::pair<std::string, std::string>> headers = {}) {
    const Result<Reply> reply = appender.add("cmd/a", "good").add(key, "bad", std::move(headers)).append("out");
    return reply ? Errc::internal : reply.error().code;
  };
  for (const std::string_view key : {"", "other", "cmd/a/b", "cmd/+", "cmd/\x01", "cmd/\xff"})
    EXPECT_EQ(refused(key), Errc::invalid_argument) << key;
  EXPECT_EQ(refused("cmd/forbidden"), Errc::unauthorised);
  const std::vector<std::pair<std::string, std::string>> wrong = {{"mqtt.qos", "3"},
                                                                  {"mqtt.qos", "0"},
                                                                  {"mqtt.retain", "yes"},
                                                                  {"mqtt.other", "1"},
                                                                  {"mqtt.response_topic", "#"},
                                                                  {"mqtt.message_expiry", "-1"},
                                                                  {"unit", "\xff"}};
  for (const auto& header : wrong) EXPECT_EQ(refused("cmd/a", {header}), Errc::invalid_argument) << header.first;
  EXPECT_EQ(refused("cmd/a", std::vector<std::pair<std::string, std::string>>(65, {"a", "b"})), Errc::invalid_argument);
  for (size_t i = 0; i <= kPublishRecordsMax; ++i) appender.add("cmd/a", "");
  const Result<Reply> many = appender.append("out");
  EXPECT_EQ(many ? Errc::internal : many.error().code, Errc::too_large);
  EXPECT_TRUE(world.records("out").empty());
}

}  // namespace
}  // namespace heptane::iot::test
