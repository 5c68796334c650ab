// What rules do to shadows: in the same entry as everything else of the run and its position, once, or a dead letter.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "modules/iot/gateway/devices/shadow_json.h"
#include "modules/iot/test/rules_world.h"

namespace heptane::iot::rules::test {
namespace {

RuleDefinition shading() {
  RuleDefinition rule;
  rule.name = "shade";
  rule.sql = "SELECT n FROM STREAM readings";
  rule.source = "readings";
  rule.append = AppendAction{"out", ""};
  rule.shadow = ShadowAction{"'pump'", "", true, ""};
  return rule;
}

// What one input wants of a shadow.
struct Made {
  std::string state;  // JSON of the section
  std::string thing = "pump";
  std::string version{};  // empty: any
  devices::ShadowOperation operation = devices::ShadowOperation::update;
};

class RuleShadows : public testing::Test {
 protected:
  RuleShadows() {
    world.make_stream("readings");
    world.make_stream("out");
    world.make_thing("pump");
    EXPECT_TRUE(world.put(shading()).ok());
  }
  static Buffer run_of(const RuleRow& row, PartitionId partition, Offset from, const std::vector<Made>& inputs) {
    RuleCommit head;
    head.rule = row.definition.name;
    head.version = row.version;
    head.partition = partition;
    head.from = from;
    head.upto = from + static_cast<Offset>(inputs.size());
    ByteWriter bytes;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Made& made = inputs[i];
      std::string request = R"({"state":{"reported":)" + made.state + "}";
      if (!made.version.empty()) request += ",\"version\":" + made.version;
      ByteWriter shadow;
      devices::append_request(shadow, devices::read_shadow_request({made.thing, "", made.operation}, request + "}"));
      RuleInput input;
      input.offset = from + static_cast<Offset>(i);
      input.topic = "pumps/1";
      input.payload = "{}";
      input.is_json = true;
      input.shadow = as_text(shadow.view());
      input.appends = true;
      input.row = "{}";
      append_input(bytes, input);
    }
    return encode(head, bytes.view(), static_cast<uint16_t>(inputs.size()));
  }
  Reply commit(Offset from, const std::vector<Made>& inputs) {
    world.fill("readings", from + static_cast<Offset>(inputs.size()));
    return world.run(kRulesMachineId, kRuleCommit,
                     run_of(world.rule("shade"), world.partition("readings"), from, inputs));
  }
  // Topics and payloads of what it told of itself.
  static std::string told(const Reply& reply) {
    const auto read = decode_commit_reply(reply.payload);
    if (!read) return "no answer";
    std::string lines;
    for (ByteReader in(read->messages.view()); in.remaining() > 0 && !in.failed();) {
      const MessageView message = read_message(in);
      lines += std::string(message.topic) + ' ' + std::string(message.payload) + '\n';
    }
    return lines;
  }
  static std::vector<std::string> shadow_topics(const Reply& reply) {
    std::vector<std::string> topics;
    const auto read = decode_commit_reply(reply.payload);
    if (!read || !read->shadows) return topics;
    EXPECT_EQ(read->shadows->first, 0);
    ByteReader in(read->shadows->messages.view());
    for (size_t i = 0; i < read->shadows->statuses.size(); ++i) topics.emplace_back(read_message(in).topic);
    return topics;
  }

  RulesWorld world;
};

TEST_F(RuleShadows, ARunUpdatesAShadowOneInputBehindTheOther) {
  const Reply done = commit(0, {{R"({"on":true,"rpm":1})"}, {R"({"rpm":2})"}, {R"({"on":null})", "pump", "2"}});
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_EQ(world.shadow("pump"), R"(3  {"rpm":2})");
  EXPECT_EQ(world.rule("shade").counters.shadows, 3u);
  EXPECT_EQ(world.end("out"), 3);
  const std::string topic = "$aws/things/pump/shadow/update/";
  EXPECT_EQ(shadow_topics(done),
            (std::vector<std::string>{topic + "documents", topic + "accepted", topic + "documents", topic + "accepted",
                                      topic + "documents", topic + "accepted"}));
  EXPECT_EQ(world.end("iot.shadows"), 6);
  // The same run again does nothing, after a crash too.
  world.crash_and_recover();
  EXPECT_EQ(commit(0, {{R"({"rpm":9})"}}).error, Errc::stale);
  EXPECT_EQ(world.shadow("pump"), R"(3  {"rpm":2})");
  EXPECT_EQ(world.end("iot.shadows"), 6);
}

TEST_F(RuleShadows, WhatIsRejectedIsADeadLetterAndTheRestGoesOn) {
  const std::string large = R"({"t":")" + std::string(8'200, 'x') + "\"}";
  const Reply done =
      commit(0, {{R"({"n":1})", "pump", "7"}, {R"({"n":1})", "nobody"}, {large}, {"[1]"}, {R"({"n":2})"}});
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_EQ(world.shadow("pump"), R"(1  {"n":2})");
  const std::string lines = told(done);
  for (const char* why : {"the shadow: 409 Version conflict", "the shadow: 404 Thing not found",
                          "the shadow: 413 The payload exceeds the maximum size allowed",
                          "the shadow: 400 Reported node must be an object"})
    EXPECT_NE(lines.find(why), std::string::npos) << why << " in " << lines;
  const RuleCounters counters = world.rule("shade").counters;
  EXPECT_EQ(counters.dead_letters, 4u);
  EXPECT_EQ(counters.shadows, 1u);
  // What goes with an update goes with it.
  EXPECT_EQ(world.end("out"), 1);
}

TEST_F(RuleShadows, ARefusedRunChangesNothing) {
  const Reply refused =
      commit(0, {{R"({"n":1})"}, {R"({"n":2})", "pump", "", devices::ShadowOperation::get}, {R"({"n":3})"}});
  EXPECT_EQ(refused.error, Errc::invalid_argument);
  EXPECT_EQ(world.shadow("pump"), "0  ");
  EXPECT_EQ(world.end("out"), 0);
  EXPECT_EQ(world.rule("shade").cursors.at(0).next, 0);
  // Nor does one of a rule that says nothing of shadows.
  RuleDefinition plain = shading();
  plain.shadow.reset();
  ASSERT_TRUE(world.put(plain).ok());
  EXPECT_EQ(commit(0, {{R"({"n":1})"}}).error, Errc::invalid_argument);
  EXPECT_EQ(world.shadow("pump"), "0  ");
}

TEST_F(RuleShadows, MoreThanACommandMayTellIsRefusedWhole) {
  std::string state = "{";
  for (int i = 0; i < 500; ++i) state += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":1";
  const std::vector<Made> many(40, Made{state + "}"});
  EXPECT_EQ(commit(0, many).error, Errc::too_large);
  EXPECT_EQ(world.shadow("pump"), "0  ");
  const Reply one = commit(0, {many.front()});
  ASSERT_TRUE(one.ok()) << one.message;
  EXPECT_TRUE(world.shadow("pump").starts_with("1 "));
}

TEST_F(RuleShadows, WhoUpdatesShadowsReadsNoneOfThem) {
  ASSERT_TRUE(commit(0, {{R"({"n":1})"}}).ok());
  RuleDefinition echo = shading();
  echo.name = "echo";
  echo.source = "iot.shadows";
  EXPECT_EQ(world.put(echo).error, Errc::refused);
  echo.shadow.reset();
  EXPECT_TRUE(world.put(echo).ok());
  echo.append = AppendAction{"readings", ""};
  EXPECT_EQ(world.put(echo).error, Errc::refused);
}

// Runs that come again, whole or in part, over crashes: as many versions as inputs.
class ShadowsOnce : public RuleShadows, public testing::WithParamInterface<uint64_t> {};

TEST_P(ShadowsOnce, WhateverComesAgain) {
  SeededRandom random(GetParam());
  Offset next = 0;
  for (int step = 0; step < 120; ++step) {
    std::vector<Made> inputs(1 + random.below(5));
    for (size_t i = 0; i < inputs.size(); ++i) inputs[i].state = R"({"n":)" + std::to_string(next) + "}";
    const Offset from = std::max<Offset>(0, next - static_cast<Offset>(random.below(3)));
    const Reply reply = commit(from, inputs);
    ASSERT_EQ(reply.ok(), from == next) << reply.message;
    if (reply.ok()) next += static_cast<Offset>(inputs.size());
    if (random.below(10) == 0) world.crash_and_recover();
    ASSERT_TRUE(world.shadow("pump").starts_with(std::to_string(next) + " "));
    ASSERT_EQ(world.rule("shade").counters.shadows, static_cast<uint64_t>(next));
    ASSERT_EQ(world.end("out"), next);
  }
  MemorySnapshot saved;
  world.machine().save(saved);
  const std::string before = world.state();
  ASSERT_TRUE(world.machine().restore(saved).ok());
  ASSERT_EQ(world.state(), before);
  ASSERT_EQ(world.rule("shade").counters.shadows, static_cast<uint64_t>(next));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ShadowsOnce, testing::Range<uint64_t>(1, 5));

}  // namespace
}  // namespace heptane::iot::rules::test
