// The gateway by transcripts (test/transcripts/), and what no transcript can say.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

class Transcript : public testing::TestWithParam<std::string> {};

TEST_P(Transcript, IsWhatHappens) {
  std::ifstream file(GetParam());
  ASSERT_TRUE(file) << GetParam();
  std::ostringstream text;
  text << file.rdbuf();
  World world;
  EXPECT_EQ(world.run(text.str()), "");
}

std::vector<std::string> transcripts() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("modules/iot/test/transcripts"))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(All, Transcript, testing::ValuesIn(transcripts()),
                         [](const auto& info) { return std::filesystem::path(info.param).stem().string(); });

const char* const kConnect = "10 r13 s4 'MQTT' 04 02 k0 s1 'p'";

std::string connect(const std::string& id) { return bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 '" + id + "'"); }

TEST(MqttSession, ManyMessagesOfOneTurnAreOneCommand) {
  World world;
  world.send("a", bytes_of(kConnect));
  std::string many;
  for (int id = 1; id <= 100; ++id) many += bytes_of("32 r6 s1 't' m" + std::to_string(id) + " 'x'");
  world.send("a", many);
  EXPECT_EQ(world.commands(), 1U);
  EXPECT_EQ(world.take_output("a").size(), 4U + 100U * 4U);
}

TEST(MqttSession, NothingIsAcknowledgedOrSeenBeforeTheShardHasAnswered) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.take_output("s");
  world.send("a", connect("a"));
  world.take_output("a");
  world.hold(true);
  world.send("a", bytes_of("32 r6 s1 't' m7 'x'"));
  EXPECT_EQ(world.take_output("a"), "");
  EXPECT_EQ(world.take_output("s"), "");
  // The publisher goes; its message does not.
  world.break_off("a");
  world.hold(false);
  world.settle();
  EXPECT_EQ(hex_of(world.take_output("s")), hex_of(bytes_of("32 r6 s1 't' m1 'x'")));
}

TEST(MqttSession, WhatTheShardRefusesIsNotAcknowledged) {
  World world;
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world.take_output("a");
  world.refuse_next(Errc::no_space);
  world.send("a", bytes_of("32 r7 s1 't' m7 00 'x'"));
  EXPECT_EQ(hex_of(world.take_output("a")), "4003000797");
  // MQTT 3 has no word for it.
  world.send("b", connect("b"));
  world.take_output("b");
  world.refuse_next(Errc::no_space);
  world.send("b", bytes_of("32 r6 s1 't' m7 'x'"));
  EXPECT_EQ(world.take_output("b"), "");
  EXPECT_TRUE(world.client("b").context->closed);
}

TEST(MqttSession, AQueueIsBoundedAndWhatItLosesIsCounted) {
  mqtt::MqttOptions options;
  options.queue_max = 10;
  options.max_inflight = 5;
  World world(options);
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  world.send("a", connect("a"));
  for (int id = 1; id <= 20; ++id) world.send("a", bytes_of("32 r6 s1 't' m" + std::to_string(id) + " 'x'"));
  EXPECT_EQ(world.broker().counters().sent.value(), 5U);
  EXPECT_EQ(world.broker().counters().dropped_queue.value(), 5U);
  for (int id = 1; id <= 15; ++id) world.send("s", bytes_of("40 02 m" + std::to_string(id)));
  EXPECT_EQ(world.broker().counters().sent.value(), 15U);
}

TEST(MqttSession, WhoNeverAcknowledgesHoldsABoundedNumberOfBytes) {
  World world;
  world.send("s", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 's'"));  // Receive Maximum 65,535
  world.send("s", bytes_of("82 r7 m1 00 s1 't' 01"));
  world.send("a", connect("a"));
  const std::string payload(500'000, 'x');
  for (int id = 1; id <= 40; ++id) world.send("a", bytes_of("32 r500005 s1 't' m" + std::to_string(id)) + payload);
  EXPECT_EQ(world.broker().counters().sent.value(), 33U) << "16 MiB";
  EXPECT_EQ(world.broker().counters().dropped_queue.value(), 7U);
  world.send("s", bytes_of("40 02 m1"));
  world.send("a", bytes_of("32 r500005 s1 't' m50") + payload);
  EXPECT_EQ(world.broker().counters().sent.value(), 34U) << "an acknowledgement makes room";
}

TEST(MqttSession, AReaderThatStallsLosesQosZeroAndKeepsTheRest) {
  World world;
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r6 m1 s1 't' 01"));
  World::Client& reader = world.client("s");
  reader.context->output_stalls = true;
  world.send("a", connect("a"));
  const std::string payload(100'000, 'x');
  const std::string zero = bytes_of("30 r100003 s1 't'") + payload;
  for (int i = 0; i < 10; ++i) world.send("a", zero);
  EXPECT_EQ(world.broker().counters().dropped_output.value(), 7U);
  world.send("a", bytes_of("32 r6 s1 't' m1 'x'"));
  const std::string last = bytes_of("32 r6 s1 't' m1 'x'");
  EXPECT_FALSE(reader.context->output.ends_with(last));
  reader.context->drain_output();
  EXPECT_TRUE(reader.context->output.ends_with(last));
}

TEST(MqttSession, ManyRetainedMessagesComeInPagesAsTheClientTakesThem) {
  World world;
  world.send("a", connect("a"));
  for (int i = 0; i < 1000; ++i) {
    const std::string topic = "r/" + std::to_string(10'000 + i);
    world.send("a", bytes_of("33 r12 s7 '" + topic + "' m" + std::to_string(1 + i) + " 'x'"));
  }
  EXPECT_EQ(world.machine().retained().size(), 1000U);
  world.send("s", connect("s"));
  world.send("s", bytes_of("82 r8 m1 s3 'r/#' 01"));
  for (int id = 1; id <= 1000; ++id) world.send("s", bytes_of("40 02 m" + std::to_string(id)));
  EXPECT_EQ(world.broker().counters().sent.value(), 1000U);
  EXPECT_EQ(world.broker().counters().dropped_queue.value(), 0U);
}

class Kept final : public SnapshotWriter {
 public:
  void write(Bytes bytes) override { text += as_text(bytes); }
  std::string text;
};

class FromKept final : public SnapshotReader {
 public:
  explicit FromKept(std::string_view text) : rest_(text) {}
  bool read(MutableBytes into) override {
    if (rest_.size() < into.size()) return false;
    std::memcpy(into.data(), rest_.data(), into.size());
    rest_.remove_prefix(into.size());
    return true;
  }

 private:
  std::string_view rest_;
};

TEST(MqttSession, TheMachineComesBackFromItsSnapshotAndFromAScope) {
  World world;
  EXPECT_TRUE(world.machine().fresh());
  world.send("a", bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 'a'"));
  world.send("a", bytes_of("33 r19 s1 't' m1 v12 02 L9 03 s2 'ct' 01 i1 'x'"));
  world.send("a", bytes_of("31 r5 s1 'u' 00 'y'"));
  ASSERT_EQ(world.machine().retained().size(), 2U);
  EXPECT_FALSE(world.machine().fresh());
  Kept before;
  world.machine().save(before);

  world.machine().open_scope();
  world.send("a", bytes_of("31 r4 s1 'u' 00"));
  world.send("a", bytes_of("31 r5 s1 't' 00 'z'"));
  world.send("a", bytes_of("31 r5 s1 'v' 00 'z'"));
  Kept between;
  world.machine().save(between);
  EXPECT_NE(between.text, before.text);
  world.machine().close_scope(ScopeOutcome::roll_back);
  Kept after;
  world.machine().save(after);
  EXPECT_EQ(after.text, before.text);

  BrokerMachine other;
  FromKept reader(before.text);
  ASSERT_TRUE(other.restore(reader));
  Kept again;
  other.save(again);
  EXPECT_EQ(again.text, before.text);
  EXPECT_EQ(other.memory_bytes(), world.machine().memory_bytes());
  FromKept half(std::string_view(before.text).substr(0, before.text.size() / 2));
  EXPECT_FALSE(other.restore(half));
}

}  // namespace
}  // namespace heptane::iot::test
