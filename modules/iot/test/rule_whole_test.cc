// What one input of a rule does is done whole or not at all: where a later effect is refused, the transfer before it is taken back,
// and the reading that is sent again is no repeat.
#include <gtest/gtest.h>

#include "modules/iot/gateway/devices/shadow_json.h"
#include "modules/iot/test/rules_world.h"

namespace heptane::iot::rules::test {
namespace {

constexpr uint64_t kMeter = 1'001;
constexpr uint64_t kUtility = 900;

// Everything that may be refused, in the order in which it is done.
RuleDefinition all_of_it() {
  RuleDefinition rule;
  rule.name = "bill";
  rule.sql = "SELECT n FROM STREAM readings";
  rule.source = "readings";
  rule.transfer = TransferAction{7, 1, "1001", "900", "n", "id"};
  rule.shadow = ShadowAction{"'pump'", "", true, ""};
  rule.series = SeriesAction{"plant", "'m'", "", ""};
  rule.append = AppendAction{"bills", ""};
  rule.publish = PublishAction{"'bill'"};
  return rule;
}

struct Made {
  std::string key{};
  uint64_t amount = 1;
  std::string thing = "pump";
  std::string line = "m v=1 1";
};

class RuleWhole : public testing::Test {
 protected:
  explicit RuleWhole(uint32_t logic = RulesMachine::kLogicWhole) : world(logic) {
    for (const char* name : {"readings", "bills"}) world.make_stream(name);
    world.open_account(kMeter);
    world.open_account(kUtility);
    world.make_thing("pump");
    const Reply made = world.run(series::kSeriesMachineId, series::kCreateDatabase, Buffer::copy_of("plant"));
    EXPECT_TRUE(made.ok()) << made.message;
    EXPECT_TRUE(world.put(all_of_it()).ok());
  }

  Reply commit(const std::vector<Made>& inputs) {
    const RuleRow row = world.rule("bill");
    RuleCommit head;
    head.rule = "bill";
    head.version = row.version;
    head.partition = world.partition("readings");
    head.from = next_;
    head.upto = next_ + static_cast<Offset>(inputs.size());
    world.fill("readings", head.upto);
    ByteWriter bytes;
    for (const Made& made : inputs) append(bytes, made);
    Reply reply =
        world.run(kRulesMachineId, kRuleCommit, encode(head, bytes.view(), static_cast<uint16_t>(inputs.size())));
    EXPECT_TRUE(reply.ok()) << reply.message;
    return reply;
  }
  // What was told, each by its topic's last level.
  static std::string told(const Reply& reply) {
    std::string all;
    const auto read = decode_commit_reply(reply.payload);
    if (!read) return "no answer";
    for (ByteReader in(read->messages.view()); in.remaining() > 0 && !in.failed();) {
      const std::string_view topic = read_message(in).topic;
      all += std::string(topic.substr(topic.rfind('/') + 1)) + ' ';
    }
    return all;
  }
  // Money, shadow, series, records.
  std::string done() const {
    return std::to_string(static_cast<uint64_t>(world.account(kUtility)->credits_posted)) + ' ' +
           world.shadow("pump").substr(0, 1) + ' ' + std::to_string(world.series().series_count()) + ' ' +
           std::to_string(world.end("bills"));
  }

  RulesWorld world;

 private:
  void append(ByteWriter& bytes, const Made& made) {
    ByteWriter shadow;
    devices::append_request(shadow, devices::read_shadow_request({made.thing, "", devices::ShadowOperation::update},
                                                                 R"({"state":{"reported":{"n":1}}})"));
    RuleInput input;
    input.offset = next_++;
    input.topic = "meters/m1";
    input.payload = "{}";
    input.is_json = true;
    input.transfer = RuleMove{kMeter, kUtility, made.amount, made.key};
    input.shadow = as_text(shadow.view());
    input.line = made.line;
    input.appends = true;
    input.publish_topic = "bill";
    input.row = "{}";
    append_input(bytes, input);
  }
  Offset next_ = 0;
};

TEST_F(RuleWhole, AllIsDoneWhereNothingIsRefused) {
  EXPECT_EQ(told(commit({{"a"}})), "transfer bill ");
  EXPECT_EQ(done(), "1 1 1 1");
}

TEST_F(RuleWhole, ARefusedShadowLeavesNoMoneyMovedAndTheReadingMayComeAgain) {
  EXPECT_EQ(told(commit({{"a", 1, "nobody"}, {"b"}})), "dead_letter transfer bill ");
  EXPECT_EQ(done(), "1 1 1 1");
  EXPECT_EQ(world.rule("bill").counters.transfers, 1u);
  world.make_thing("nobody");
  EXPECT_EQ(told(commit({{"a", 1, "nobody"}})), "transfer bill ") << "it is no repeat";
  EXPECT_EQ(done(), "2 1 1 2");
  EXPECT_EQ(told(commit({{"a", 1, "nobody"}})), "transfer ") << "and is one now";
  EXPECT_EQ(done(), "2 1 1 2");
  EXPECT_EQ(world.rule("bill").counters.repeats, 1u);
  const std::string before = world.state();
  world.crash_and_recover();
  EXPECT_EQ(world.state(), before);
  EXPECT_EQ(done(), "2 1 1 2");
}

TEST_F(RuleWhole, ARefusedPointTakesBackWhatStandsBeforeIt) {
  ASSERT_EQ(told(commit({{"a"}})), "transfer bill ");
  EXPECT_EQ(told(commit({{"b", 1, "pump", "m v=\"text\" 2"}})), "dead_letter ");
  EXPECT_EQ(done(), "1 1 1 1");
  EXPECT_EQ(told(commit({{"b"}})), "transfer bill ");
  EXPECT_EQ(done(), "2 2 1 2");
}

TEST_F(RuleWhole, AnAppendThatFailsEndsItsInput) {
  ASSERT_TRUE(
      world.run(machine_ids::kStreams, streams::kDeleteStream, streams::encode(streams::DeleteStream{"bills"})).ok());
  EXPECT_EQ(told(commit({{"a", 1, "pump", "m,t=1 v=1 1"}})), "dead_letter ") << "nothing is published";
  EXPECT_EQ(static_cast<uint64_t>(world.account(kUtility)->credits_posted), 0u);
  EXPECT_EQ(world.series().series_count(), 0u) << "nor is its series there";
  EXPECT_EQ(world.shadow("pump").substr(0, 1), "0");
  world.make_stream("bills");
  EXPECT_EQ(told(commit({{"a"}})), "transfer bill ");
  EXPECT_EQ(done(), "1 1 1 1");
}

// As the logs of before have it.
class RuleStepByStep : public RuleWhole {
 protected:
  RuleStepByStep() : RuleWhole(kLogicOnce) {}
};

TEST_F(RuleStepByStep, LogicFourKeepsWhatItDidBefore) {
  EXPECT_EQ(told(commit({{"a", 1, "nobody"}})), "transfer dead_letter ");
  EXPECT_EQ(done(), "1 0 0 0");
  ASSERT_TRUE(
      world.run(machine_ids::kStreams, streams::kDeleteStream, streams::encode(streams::DeleteStream{"bills"})).ok());
  EXPECT_EQ(told(commit({{"b"}})), "transfer dead_letter bill ");
  const std::string before = world.state();
  world.activate(RulesMachine::kLogicWhole);
  EXPECT_EQ(told(commit({{"c"}})), "dead_letter ");
  const std::string behind = world.state();
  EXPECT_NE(behind, before);
  world.crash_and_recover();
  EXPECT_EQ(world.state(), behind);
}

}  // namespace
}  // namespace heptane::iot::rules::test
