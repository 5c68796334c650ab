// The machine of rules: what is declared and refused, what becomes of inputs, and that effects happen exactly once whatever comes
// again, late or out of order, and wherever the server ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "modules/iot/test/rules_world.h"

namespace heptane::iot::rules::test {
namespace {

constexpr uint64_t kMeter = 1'001;
constexpr uint64_t kUtility = 900;

RuleDefinition billing() {
  RuleDefinition rule;
  rule.name = "bill";
  rule.sql = "SELECT n FROM STREAM readings";
  rule.source = "readings";
  rule.transfer = TransferAction{7, 1, "1001", "900", "n", ""};
  rule.append = AppendAction{"bills", ""};
  return rule;
}

// An input as the runner makes it.
struct Made {
  Offset offset = 0;
  uint64_t amount = 0;
  std::string key{};
  std::string fault{};
  uint64_t debit = kMeter;
};

Buffer commit_of(const RuleRow& row, PartitionId partition, Offset from, Offset upto, const std::vector<Made>& inputs,
                 bool appends = true) {
  RuleCommit head;
  head.rule = row.definition.name;
  head.version = row.version;
  head.partition = partition;
  head.from = from;
  head.upto = upto;
  ByteWriter bytes;
  for (const Made& made : inputs) {
    RuleInput input;
    input.offset = made.offset;
    input.topic = "meters/m1/reading";
    input.payload = R"({"kwh":1})";
    input.is_json = true;
    input.fault = made.fault;
    if (made.fault.empty()) {
      input.transfer = RuleMove{made.debit, kUtility, made.amount, made.key};
      input.appends = appends;
      input.row = R"({"n":1})";
    }
    append_input(bytes, input);
  }
  return encode(head, bytes.view(), static_cast<uint16_t>(inputs.size()));
}

class RulesMachineTest : public testing::Test {
 protected:
  RulesMachineTest() {
    world.make_stream("readings");
    world.make_stream("bills");
    world.open_account(kMeter);
    world.open_account(kUtility);
  }
  // Of records that are there.
  Reply commit(Offset from, Offset upto, const std::vector<Made>& inputs) {
    world.fill("readings", upto);
    return world.run(kRulesMachineId, kRuleCommit,
                     commit_of(world.rule("bill"), world.partition("readings"), from, upto, inputs));
  }
  // What a run told, as `topic payload`.
  static std::vector<std::string> told(const Reply& reply) {
    std::vector<std::string> lines;
    const auto read = decode_commit_reply(reply.payload);
    if (!read) return lines;
    ByteReader in(read->messages.view());
    for (size_t i = 0; i < read->statuses.size(); ++i) {
      const MessageView message = read_message(in);
      lines.push_back(std::string(message.topic) + ' ' + std::string(message.payload));
    }
    return lines;
  }
  uint64_t credited() const { return static_cast<uint64_t>(world.account(kUtility)->credits_posted); }

  RulesWorld world;
};

TEST_F(RulesMachineTest, DeclaresChangesAndDrops) {
  const Reply made = world.put(billing());
  ASSERT_TRUE(made.ok()) << made.message;
  EXPECT_EQ(made.numbers[1], 1);
  EXPECT_EQ(world.put(billing()).numbers[0], made.numbers[0]);
  RuleDefinition other = billing();
  other.transfer->amount = "n * 2";
  const Reply changed = world.put(other);
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(changed.numbers[1], 2);
  EXPECT_GT(world.rule("bill").version, static_cast<uint64_t>(made.numbers[0]));
  ASSERT_TRUE(world.run(kRulesMachineId, kDropRule, Buffer::copy_of("bill")).ok());
  EXPECT_EQ(world.run(kRulesMachineId, kDropRule, Buffer::copy_of("bill")).error, Errc::not_found);
  EXPECT_EQ(world.trail().told.size(), 3u);
}

Buffer lines_of(const RuleRow& row, PartitionId partition, Offset from, const std::vector<std::string>& lines) {
  RuleCommit head;
  head.rule = row.definition.name;
  head.version = row.version;
  head.partition = partition;
  head.from = from;
  head.upto = from + static_cast<Offset>(lines.size());
  ByteWriter bytes;
  for (size_t i = 0; i < lines.size(); ++i) {
    RuleInput input;
    input.offset = from + static_cast<Offset>(i);
    input.line = lines[i];
    append_input(bytes, input);
  }
  return encode(head, bytes.view(), static_cast<uint16_t>(lines.size()));
}

// What a rule owes makes the ledger larger: it waits for room there as clients do, and other rules do not.
TEST_F(RulesMachineTest, TransfersWaitForTheLedgersBudget) {
  ASSERT_TRUE(world.put(billing()).ok());
  RuleDefinition other = billing();
  other.name = "other";
  other.transfer.reset();
  ASSERT_TRUE(world.put(other).ok());
  world.fill("readings", 2);
  ASSERT_GT(world.ledger_bytes(), world.machine().memory_bytes());
  world.set_budget(world.ledger_bytes() - 1);
  const Reply refused = commit(0, 1, {{0, 5, "a"}});
  EXPECT_EQ(refused.error, Errc::overloaded);
  EXPECT_EQ(refused.message,
            "the memory budget of the ledger is used up: delete something or raise limits.machine_memory");
  EXPECT_EQ(world.rule("bill").cursors.at(0).next, 0);
  EXPECT_EQ(credited(), 0u);
  const Reply done =
      world.run(kRulesMachineId, kRuleCommit, commit_of(world.rule("other"), world.partition("readings"), 0, 2, {}));
  EXPECT_TRUE(done.ok()) << done.message;
  EXPECT_TRUE(world.run(kRulesMachineId, kPauseRule, encode_pause("bill", 0, "")).ok());
  EXPECT_EQ(world.run(kRulesMachineId, kRuleCommit, Buffer::copy_of("x")).error, Errc::invalid_argument);
  world.set_budget(uint64_t{4} << 30);
  ASSERT_TRUE(world.run(kRulesMachineId, kResumeRule, Buffer::copy_of("bill")).ok());
  EXPECT_TRUE(commit(0, 1, {{0, 5, "a"}}).ok());
  EXPECT_EQ(credited(), 5u);
}

// A rule that would spend what is another machine's: a dead letter each, and an event of the run in the audit trail.
TEST_F(RulesMachineTest, WhatTheLedgerRefusesARuleIsAudited) {
  constexpr uint64_t kTill = 500;
  world.open_account_of_shop(kTill);
  ASSERT_TRUE(world.put(billing()).ok());
  const auto denied = [&] { return std::ranges::count(world.trail().told, "denied ledger:withdraw create"); };
  ASSERT_TRUE(commit(0, 1, {{0, 5, "a", "", kTill}}).ok());
  EXPECT_EQ(denied(), 0) << "the log is of an older version of the ledger's logic";
  world.activate(fintech::kLogicPortAudit, fintech::kLedgerMachineId);
  ASSERT_TRUE(commit(1, 4, {{1, 5, "b", "", kTill}, {2, 6, "c", "", kTill}, {3, 7, "d"}}).ok());
  EXPECT_EQ(denied(), 1);
  EXPECT_EQ(world.rule("bill").counters.dead_letters, 3U);
  EXPECT_EQ(credited(), 7U);
}

// Points go with the rule's position; what is no point, or does not fit the others, is a dead letter.
TEST_F(RulesMachineTest, PointsAreTakenOnce) {
  ASSERT_TRUE(world.run(series::kSeriesMachineId, series::kCreateDatabase, Buffer::copy_of("plant")).ok());
  RuleDefinition rule;
  rule.name = "points";
  rule.sql = "SELECT n FROM STREAM readings";
  rule.source = "readings";
  rule.earliest = true;
  rule.series = SeriesAction{"plant", "'m'", "", ""};
  ASSERT_TRUE(world.put(rule).ok());
  world.fill("readings", 5);
  const Buffer run = lines_of(world.rule("points"), world.partition("readings"), 0,
                              {"m,a=1 v=1 10", "m,a=1 v=t 20", "m,b=1,a=1 v=1 20", "m v=1", "m v=2 30"});
  const Reply reply = world.run(kRulesMachineId, kRuleCommit, run);
  ASSERT_TRUE(reply.ok()) << reply.message;
  EXPECT_EQ(told(reply).size(), 3U);
  EXPECT_EQ(world.end("iot.lines"), 1) << "one record for the run";
  EXPECT_EQ(world.rule("points").counters.appended, 2U);
  EXPECT_EQ(world.rule("points").counters.dead_letters, 3U);
  EXPECT_EQ(world.series().series_count(), 2U);
  EXPECT_EQ(world.run(kRulesMachineId, kRuleCommit, run).error, Errc::stale);
  EXPECT_EQ(world.end("iot.lines"), 1);
  world.crash_and_recover();
  EXPECT_EQ(world.end("iot.lines"), 1);
  EXPECT_EQ(world.series().series_count(), 2U);
  EXPECT_EQ(world.rule("points").cursors.at(0).next, 5);
  EXPECT_EQ(world.rule("points").definition, rule);
}

TEST_F(RulesMachineTest, PointsOfNoDatabaseAreDeadLetters) {
  RuleDefinition rule;
  rule.name = "points";
  rule.sql = "SELECT n FROM STREAM readings";
  rule.source = "readings";
  rule.earliest = true;
  rule.series = SeriesAction{"plant", "'m'", "", ""};
  ASSERT_TRUE(world.put(rule).ok());
  world.fill("readings", 1);
  const Reply reply = world.run(kRulesMachineId, kRuleCommit,
                                lines_of(world.rule("points"), world.partition("readings"), 0, {"m v=1 1"}));
  ASSERT_TRUE(reply.ok()) << reply.message;
  ASSERT_EQ(told(reply).size(), 1U);
  EXPECT_NE(told(reply)[0].find("database not found"), std::string::npos) << told(reply)[0];
}

// As a refused shadow: of one input no more is told than one letter, and nothing of it is done.
TEST_F(RulesMachineTest, APointThatIsNotTakenEndsItsInput) {
  RuleDefinition rule = billing();
  rule.series = SeriesAction{"plant", "'m'", "", ""};
  rule.publish = PublishAction{"'t'"};
  ASSERT_TRUE(world.put(rule).ok());
  ASSERT_TRUE(
      world.run(machine_ids::kStreams, streams::kDeleteStream, streams::encode(streams::DeleteStream{"bills"})).ok());
  world.fill("readings", 1);
  RuleInput input;
  input.payload = "{}";
  input.is_json = true;
  input.transfer = RuleMove{kMeter, kUtility, 1, {}};
  input.line = "m v=1 1";
  input.appends = true;
  input.publish_topic = "t";
  input.row = "{}";
  RuleCommit head;
  head.rule = "bill";
  head.version = world.rule("bill").version;
  head.partition = world.partition("readings");
  head.upto = 1;
  ByteWriter bytes;
  append_input(bytes, input);
  const Reply done = world.run(kRulesMachineId, kRuleCommit, encode(head, bytes.view(), 1));
  ASSERT_TRUE(done.ok()) << done.message;
  ASSERT_EQ(told(done).size(), 1u);
  EXPECT_NE(told(done)[0].find("database not found"), std::string::npos) << told(done)[0];
  EXPECT_EQ(credited(), 0u);
  EXPECT_EQ(world.rule("bill").counters.dead_letters, 1u);
  EXPECT_EQ(world.rule("bill").counters.published, 0u);
}

TEST_F(RulesMachineTest, RefusesWhatCannotBe) {
  const auto refused = [&](auto&& change) {
    RuleDefinition rule = billing();
    change(rule);
    const Reply reply = world.put(rule);
    return reply.ok() ? std::optional<Errc>() : reply.error;
  };
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.name = "a/b"; }), Errc::invalid_argument);
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.source = "nowhere"; }), Errc::not_found);
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.source = "iot.rules"; }), Errc::invalid_argument);
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.append->stream = "nowhere"; }), Errc::not_found);
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.append->stream = "readings"; }), Errc::refused);
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.transfer->code = 0; }), Errc::invalid_argument);
  EXPECT_EQ(refused([](RuleDefinition& rule) {
              rule.transfer.reset();
              rule.append.reset();
            }),
            Errc::invalid_argument);
}

TEST_F(RulesMachineTest, NoCirclesAndNoLongChains) {
  for (int i = 0; i < 10; ++i) world.make_stream("s" + std::to_string(i));
  const auto link = [&](int from, int to) {
    RuleDefinition rule;
    rule.name = "r" + std::to_string(from) + "-" + std::to_string(to);
    rule.sql = "x";
    rule.source = "s" + std::to_string(from);
    rule.append = AppendAction{"s" + std::to_string(to), ""};
    return world.put(rule).error;
  };
  for (int i = 0; i < 8; ++i) EXPECT_EQ(link(i, i + 1), std::nullopt) << i;
  EXPECT_EQ(link(8, 9), Errc::refused);
  EXPECT_EQ(link(3, 1), Errc::refused);
  EXPECT_EQ(link(0, 9), std::nullopt);
}

TEST_F(RulesMachineTest, NoCircleThroughTheLedger) {
  ASSERT_TRUE(world.put(billing()).ok());
  ASSERT_TRUE(commit(0, 1, {{0, 1}}).ok());
  RuleDefinition echo = billing();
  echo.name = "echo";
  echo.source = "fintech.transfers";
  EXPECT_EQ(world.put(echo).error, Errc::refused);
  echo.transfer.reset();
  EXPECT_EQ(world.put(echo).error, std::nullopt);
  echo.append = AppendAction{"readings", ""};
  EXPECT_EQ(world.put(echo).error, Errc::refused);
}

TEST_F(RulesMachineTest, NoCircleThroughTheLines) {
  world.make_stream("iot.lines");
  RuleDefinition points;
  points.name = "points";
  points.sql = "SELECT n FROM STREAM readings";
  points.source = "readings";
  points.series = SeriesAction{"plant", "'m'", "", ""};
  ASSERT_TRUE(world.put(points).ok());
  RuleDefinition echo = points;
  echo.name = "echo";
  echo.source = "iot.lines";
  const Reply itself = world.put(echo);
  EXPECT_EQ(itself.error, Errc::refused);
  EXPECT_NE(itself.message.find("iot.lines"), std::string::npos) << itself.message;
  echo.series.reset();
  echo.append = AppendAction{"bills", ""};
  EXPECT_EQ(world.put(echo).error, std::nullopt);
  echo.append = AppendAction{"readings", ""};
  EXPECT_EQ(world.put(echo).error, Errc::refused);
}

TEST_F(RulesMachineTest, ARunMovesThePositionWithItsEffects) {
  ASSERT_TRUE(world.put(billing()).ok());
  for (int i = 0; i < 4; ++i) world.append("readings", "x");
  const Reply done = commit(0, 4, {{0, 10}, {2, 5}});
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_EQ(done.numbers[1], 4);
  EXPECT_EQ(credited(), 15u);
  EXPECT_EQ(world.end("bills"), 2);
  EXPECT_EQ(world.end("iot.rules"), 2);
  // What the server says stands before what the device said.
  EXPECT_TRUE(told(done)[0].starts_with(R"($rules/bill/transfer {"event":"transfer","transfer":")")) << told(done)[0];
  EXPECT_TRUE(told(done)[0].ends_with(R"(,"topic":"meters/m1/reading","payload":{"kwh":1}})")) << told(done)[0];
  const RuleRow row = world.rule("bill");
  EXPECT_EQ(row.counters.inputs, 4u);
  EXPECT_EQ(row.counters.transfers, 2u);
  // Sent again, or from where the rule is not.
  EXPECT_EQ(commit(0, 4, {{0, 10}, {2, 5}}).error, Errc::stale);
  EXPECT_EQ(commit(3, 5, {{3, 10}}).error, Errc::stale);
  EXPECT_EQ(commit(5, 6, {{5, 10}}).error, Errc::stale);
  EXPECT_EQ(credited(), 15u);
  EXPECT_EQ(world.end("bills"), 2);
}

// What is refused within the run is refused: the position stays, and so does everything else.
TEST_F(RulesMachineTest, NothingIsPassedOverWhereItCannotBeTold) {
  world.make_stream("iot.rules");
  world.append("iot.rules", "a client's");
  ASSERT_TRUE(world.put(billing()).ok());
  EXPECT_EQ(commit(0, 1, {{0, 10}}).error, Errc::exists);
  EXPECT_EQ(world.rule("bill").cursors.at(0).next, 0);
  EXPECT_EQ(world.rule("bill").counters.inputs, 0u);
  EXPECT_EQ(credited(), 0u);
}

TEST_F(RulesMachineTest, WhatIsOwedUnderAKeyIsOwedOnce) {
  ASSERT_TRUE(world.put(billing()).ok());
  const Reply done = commit(0, 5, {{0, 10, "m1:1"}, {1, 10, "m1:1"}, {2, 11, "m1:1"}, {3, 7, "m1:2"}});
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(credited(), 17u);
  const RuleCounters counters = world.rule("bill").counters;
  EXPECT_EQ(counters.transfers, 2u);
  EXPECT_EQ(counters.repeats, 1u);
  EXPECT_EQ(counters.dead_letters, 1u);
  EXPECT_NE(told(done)[2].find("\"why\":\"exists_with_different_amount\""), std::string::npos) << told(done)[2];
  // Dropped and declared again it does not owe twice either.
  ASSERT_TRUE(world.run(kRulesMachineId, kDropRule, Buffer::copy_of("bill")).ok());
  RuleDefinition again = billing();
  again.earliest = true;
  ASSERT_TRUE(world.put(again).ok());
  ASSERT_TRUE(commit(0, 5, {{0, 10, "m1:1"}, {3, 7, "m1:2"}}).ok());
  EXPECT_EQ(credited(), 17u);
}

TEST_F(RulesMachineTest, ARefusedTransferIsADeadLetterAndTheRuleGoesOn) {
  world.open_account(1'002, fintech::account_flags::kDebitsMustNotExceedCredits);
  RuleDefinition rule = billing();
  ASSERT_TRUE(world.put(rule).ok());
  world.fill("readings", 2);
  RuleCommit head;
  const RuleRow row = world.rule("bill");
  ByteWriter bytes;
  RuleInput input;
  input.payload = R"({"kwh":99})";
  input.transfer = RuleMove{1'002, kUtility, 5, {}};
  append_input(bytes, input);
  input.offset = 1;
  input.transfer.reset();
  input.fault = "the amount is NULL";
  input.payload = std::string_view("\xFF\x00", 2);
  append_input(bytes, input);
  head.rule = "bill";
  head.version = row.version;
  head.partition = world.partition("readings");
  head.upto = 2;
  const Reply done = world.run(kRulesMachineId, kRuleCommit, encode(head, bytes.view(), 2));
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_EQ(credited(), 0u);
  EXPECT_EQ(world.rule("bill").counters.dead_letters, 2u);
  EXPECT_EQ(world.rule("bill").cursors.at(0).next, 2);
  const std::vector<std::string> lines = told(done);
  EXPECT_NE(lines[0].find(R"("why":"exceeds_credits")"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find(R"("payload":"{\"kwh\":99}")"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find(R"("why":"the amount is NULL")"), std::string::npos) << lines[1];
  EXPECT_NE(lines[1].find(R"("payload_base64":"/wA=")"), std::string::npos) << lines[1];
}

TEST_F(RulesMachineTest, APausedRuleTakesNothingAndResumesOverAGap) {
  ASSERT_TRUE(world.put(billing()).ok());
  ASSERT_TRUE(commit(0, 2, {{0, 1}}).ok());
  EXPECT_EQ(world.run(kRulesMachineId, kPauseRule, encode_pause("bill", 1, "")).error, Errc::stale);
  ASSERT_TRUE(world.run(kRulesMachineId, kPauseRule, encode_pause("bill", 0, "why")).ok());
  EXPECT_EQ(world.rule("bill").reason, "why");
  EXPECT_EQ(commit(2, 3, {{2, 1}}).error, Errc::refused);
  ASSERT_TRUE(world.run(kRulesMachineId, kResumeRule, Buffer::copy_of("bill")).ok());
  // Nothing is gone, and nothing is passed over.
  EXPECT_EQ(commit(5, 6, {{5, 1}}).error, Errc::stale);
  ASSERT_TRUE(world.run(kRulesMachineId, kPauseRule, encode_pause("bill", 0, "why")).ok());
  world.trim("readings", 5);
  ASSERT_TRUE(world.run(kRulesMachineId, kResumeRule, Buffer::copy_of("bill")).ok());
  EXPECT_EQ(commit(6, 7, {{6, 1}}).error, Errc::stale);
  ASSERT_TRUE(commit(5, 6, {{5, 1}}).ok());
  EXPECT_EQ(world.rule("bill").counters.lost, 3u);
  EXPECT_EQ(commit(8, 9, {{8, 1}}).error, Errc::stale);
}

TEST_F(RulesMachineTest, APartitionThatItHasNotBegunBeginsAtItsBeginning) {
  ASSERT_TRUE(world.put(billing()).ok());
  world.make_stream("other");
  RuleDefinition rule = billing();
  rule.source = "other";
  ASSERT_TRUE(world.put(rule).ok());
  // The stream is deleted and made again: its records are others.
  ASSERT_TRUE(
      world.run(machine_ids::kStreams, streams::kDeleteStream, streams::encode(streams::DeleteStream{"other"})).ok());
  world.make_stream("other");
  world.fill("other", 6);
  const auto commit = [&](Offset from) {
    return world.run(kRulesMachineId, kRuleCommit,
                     commit_of(world.rule("bill"), world.partition("other"), from, from + 1, {{from, 1}}));
  };
  EXPECT_EQ(commit(3).error, Errc::stale);
  EXPECT_TRUE(commit(0).ok());
}

TEST_F(RulesMachineTest, NoRunGoesBeyondTheEndOfItsPartition) {
  ASSERT_TRUE(world.put(billing()).ok());
  world.fill("readings", 3);
  const auto commit = [&](Offset upto) {
    return world.run(kRulesMachineId, kRuleCommit,
                     commit_of(world.rule("bill"), world.partition("readings"), 0, upto, {{0, 1}}));
  };
  EXPECT_EQ(commit(1'000'000).error, Errc::invalid_argument);
  EXPECT_EQ(commit(4).error, Errc::invalid_argument);
  EXPECT_TRUE(commit(3).ok());
}

// What a producer wrote into its record.
Buffer commit_of_letter(const RuleRow& row, PartitionId partition, const RuleInput& input) {
  RuleCommit head;
  head.rule = row.definition.name;
  head.version = row.version;
  head.partition = partition;
  head.upto = 1;
  ByteWriter bytes;
  append_input(bytes, input);
  return encode(head, bytes.view(), 1);
}

TEST_F(RulesMachineTest, WhatAProducerSaysOfAPositionIsNotTold) {
  ASSERT_TRUE(world.put(billing()).ok());
  world.fill("readings", 1);
  const auto commit = [&](const RuleInput& input) {
    return world.run(kRulesMachineId, kRuleCommit,
                     commit_of_letter(world.rule("bill"), world.partition("readings"), input));
  };
  const std::string long_one(60'000, '\x01');
  RuleInput input;
  input.fault = "why";
  input.position = long_one;
  EXPECT_EQ(commit(input).error, Errc::invalid_argument);
  input.position = "\x01";
  EXPECT_EQ(commit(input).error, Errc::invalid_argument);
  input.position = "";
  input.topic = long_one;
  EXPECT_EQ(commit(input).error, Errc::invalid_argument);
  input.topic = "";
  input.fault = long_one;
  EXPECT_EQ(commit(input).error, Errc::invalid_argument);
  input.fault = "why";
  input.position = "0:9";
  const Reply done = commit(input);
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_EQ(told(done)[0].find("position"), std::string::npos) << told(done)[0];
}

TEST_F(RulesMachineTest, StartsBehindWhatIsThereUnlessItIsToldOtherwise) {
  world.append("readings", "x");
  world.append("readings", "x");
  ASSERT_TRUE(world.put(billing()).ok());
  EXPECT_EQ(world.rule("bill").cursors.at(0).next, 2);
  RuleDefinition all = billing();
  all.name = "all";
  all.earliest = true;
  ASSERT_TRUE(world.put(all).ok());
  EXPECT_EQ(world.rule("all").cursors.at(0).next, 0);
  world.trim("readings", 1);
  all.name = "kept";
  ASSERT_TRUE(world.put(all).ok());
  EXPECT_EQ(world.rule("kept").cursors.at(0).next, 1);
}

// A log of logic 1 is computed as it was: what it refused, what it took, and what it did not know.
TEST(RulesMachineOfBefore, ComputesWhatItDid) {
  RulesWorld world(1);
  world.make_stream("readings");
  world.make_stream("iot.outbox");
  world.open_account(kMeter);
  world.open_account(kUtility);
  RuleDefinition rule = billing();
  rule.append.reset();
  rule.publish = PublishAction{"'t'"};
  ASSERT_TRUE(world.put(rule).ok());
  RuleDefinition later = rule;
  later.name = "later";
  later.http = HttpAction{"http://a/"};
  const Reply refused = world.put(later);
  EXPECT_EQ(refused.error, Errc::invalid_argument);
  EXPECT_NE(refused.message.find("logic 2"), std::string::npos) << refused.message;
  RuleDefinition reader = rule;
  reader.name = "reader";
  reader.transfer.reset();
  reader.source = "iot.outbox";
  EXPECT_TRUE(world.put(reader).ok());

  world.fill("readings", kInputsMax);
  const auto publish = [&](Offset from, size_t inputs) {
    RuleCommit head;
    head.rule = "bill";
    head.version = world.rule("bill").version;
    head.partition = world.partition("readings");
    head.from = from;
    head.upto = from + static_cast<Offset>(inputs);
    ByteWriter bytes;
    for (Offset offset = head.from; offset < head.upto; ++offset) {
      RuleInput input;
      input.offset = offset;
      input.publish_topic = "t";
      input.row = "{}";
      append_input(bytes, input);
    }
    return world.run(kRulesMachineId, kRuleCommit, encode(head, bytes.view(), static_cast<uint16_t>(inputs)));
  };
  EXPECT_EQ(publish(0, kInputsMax).error, Errc::too_large) << "by logic 1's measure";
  std::vector<Made> moves;
  for (Offset offset = 0; offset <= static_cast<Offset>(kMovesMax); ++offset) moves.push_back({offset, 1});
  const auto owe = [&](Offset from) {
    const Offset upto = from + static_cast<Offset>(moves.size());
    for (Made& made : moves) made.offset = from++;
    return world.run(
        kRulesMachineId, kRuleCommit,
        commit_of(world.rule("bill"), world.partition("readings"), moves.front().offset, upto, moves, false));
  };
  ASSERT_TRUE(owe(0).ok());
  const Offset behind = static_cast<Offset>(moves.size());
  ASSERT_TRUE(publish(behind, 100).ok());
  const std::string before = world.state();
  world.crash_and_recover();
  EXPECT_EQ(world.state(), before);

  world.activate(RulesMachine::kLogicActions);
  EXPECT_EQ(owe(behind + 100).error, Errc::too_large);
  EXPECT_TRUE(publish(behind + 100, kInputsMax - 100 - moves.size()).ok());
  later.name = "reads";
  later.source = "iot.outbox";
  EXPECT_EQ(world.put(later).error, Errc::invalid_argument);
  later = rule;
  later.http = HttpAction{"http://a/"};
  later.transfer.reset();
  EXPECT_EQ(world.put(later).error, std::nullopt);
  const std::string behind_it = world.state();
  world.crash_and_recover();
  EXPECT_EQ(world.state(), behind_it);
}

TEST_F(RulesMachineTest, RefusesCommandsThatDoNotAddUp) {
  ASSERT_TRUE(world.put(billing()).ok());
  const Buffer whole = commit_of(world.rule("bill"), world.partition("readings"), 0, 2, {{0, 1, "k"}, {1, 2}});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_EQ(world.run(kRulesMachineId, kRuleCommit, Buffer::copy_of(whole.view().first(size))).error,
              Errc::invalid_argument)
        << size;
  EXPECT_EQ(commit(0, 2, {{1, 1}, {0, 1}}).error, Errc::invalid_argument);
  EXPECT_EQ(commit(0, 2, {{2, 1}}).error, Errc::invalid_argument);
  EXPECT_EQ(credited(), 0u);
}

// A commit that was made at some time, to be sent at any.
struct Sent {
  Buffer payload;
  uint64_t version = 0;
  Offset from = 0;
  Offset upto = 0;
  std::vector<Made> inputs;
};

// The rule by the book: its position, and what it owes by key and by place.
struct Model {
  Offset next = 0;
  Offset log_start = 0;
  bool paused = false;
  bool may_skip = false;
  uint64_t version = 0;
  std::map<std::string, uint64_t> owed;
  uint64_t appended = 0;
  uint64_t lost = 0;
  uint64_t dead = 0;

  bool takes(const Sent& sent) const {
    return !paused && sent.version == version &&
           (sent.from == next || (may_skip && sent.from > next && sent.from <= log_start));
  }
  void take(const Sent& sent) {
    lost += static_cast<uint64_t>(sent.from - next);
    next = sent.upto;
    may_skip = false;
    for (const Made& made : sent.inputs) {
      if (!made.fault.empty()) {
        ++dead;
        continue;
      }
      const std::string name = made.key.empty() ? "@" + std::to_string(made.offset) : made.key;
      const auto [at, is_new] = owed.emplace(name, made.amount);
      if (is_new) ++appended;
      if (!is_new && at->second != made.amount) ++dead;
    }
  }
  uint64_t sum() const {
    uint64_t all = 0;
    for (const auto& [name, amount] : owed) all += amount;
    return all;
  }
};

class ExactlyOnce : public RulesMachineTest, public testing::WithParamInterface<uint64_t> {
 protected:
  Sent make(SeededRandom& random) {
    Sent sent;
    sent.version = model.version;
    const Offset here = model.may_skip ? std::max(model.next, model.log_start) : model.next;
    sent.from = random.below(4) == 0 ? static_cast<Offset>(random.below(60)) : here;
    sent.upto = sent.from + 1 + static_cast<Offset>(random.below(6));
    for (Offset offset = sent.from; offset < sent.upto; ++offset) {
      if (random.below(3) == 0) continue;
      Made made{offset, 1 + static_cast<uint64_t>(offset % 7), {}, {}};
      if (random.below(3) == 0) made.key = "seq" + std::to_string(random.below(20));
      if (random.below(8) == 0) made.fault = "no field";
      sent.inputs.push_back(made);
    }
    sent.payload = commit_of(world.rule("bill"), world.partition("readings"), sent.from, sent.upto, sent.inputs);
    return sent;
  }
  void send(const Sent& sent) {
    const bool taken = model.takes(sent);
    world.fill("readings", sent.upto);
    const Reply reply = world.run(kRulesMachineId, kRuleCommit, sent.payload);
    ASSERT_EQ(reply.ok(), taken) << reply.message;
    if (taken) model.take(sent);
  }
  void check() {
    const RuleRow row = world.rule("bill");
    ASSERT_EQ(row.cursors.at(0).next, model.next);
    ASSERT_EQ(row.paused, model.paused);
    ASSERT_EQ(credited(), model.sum());
    ASSERT_EQ(world.account(kMeter)->debits_posted, model.sum());
    ASSERT_EQ(row.counters.transfers, model.owed.size());
    ASSERT_EQ(row.counters.dead_letters, model.dead);
    ASSERT_EQ(row.counters.lost, model.lost);
    ASSERT_EQ(row.counters.appended, model.appended);
    ASSERT_EQ(world.end("bills"), static_cast<Offset>(model.appended));
  }
  void restart() {
    const std::string before = world.state();
    world.crash_and_recover();
    ASSERT_EQ(world.state(), before);
    MemorySnapshot saved;
    world.machine().save(saved);
    ASSERT_TRUE(world.machine().restore(saved).ok());
    ASSERT_EQ(world.state(), before);
  }
  void change(SeededRandom& random) {
    if (random.below(2) == 0) {
      RuleDefinition rule = billing();
      rule.transfer->amount = "n * " + std::to_string(random.next() % 1'000'000);
      ASSERT_TRUE(world.put(rule).ok());
      model.version = world.rule("bill").version;
    } else if (model.paused) {
      ASSERT_TRUE(world.run(kRulesMachineId, kResumeRule, Buffer::copy_of("bill")).ok());
      model.paused = false;
      model.may_skip = model.log_start > model.next;
    } else {
      ASSERT_TRUE(world.run(kRulesMachineId, kPauseRule, encode_pause("bill", 0, "")).ok());
      model.paused = true;
      model.log_start = std::max(
          model.log_start, std::min(model.next + static_cast<Offset>(random.below(5)) - 2, world.end("readings")));
      world.trim("readings", model.log_start);
    }
  }

  Model model;
};

TEST_P(ExactlyOnce, WhateverComesAgainLateOrOutOfOrder) {
  SeededRandom random(GetParam());
  ASSERT_TRUE(world.put(billing()).ok());
  model.version = world.rule("bill").version;
  std::vector<Sent> made;
  for (int step = 0; step < 300; ++step) {
    const uint64_t what = random.below(20);
    if (what < 10 || made.empty()) {
      made.push_back(make(random));
      ASSERT_NO_FATAL_FAILURE(send(made.back()));
    } else if (what < 16) {
      ASSERT_NO_FATAL_FAILURE(send(made[random.below(made.size())]));
    } else if (what < 18) {
      ASSERT_NO_FATAL_FAILURE(change(random));
    } else {
      ASSERT_NO_FATAL_FAILURE(restart());
    }
    ASSERT_NO_FATAL_FAILURE(check()) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ExactlyOnce, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace heptane::iot::rules::test
