// The runner of rules against answers by hand: what it asks for, what it sends again and as what, and when it pauses a rule.
#include <gtest/gtest.h>

#include <set>

#include "kernel/base/random.h"
#include "kernel/net/http/json.h"
#include "kernel/streams/record_batch.h"
#include "modules/iot/gateway/devices/tree_json.h"
#include "modules/iot/gateway/rules/compiled_rule.h"
#include "modules/iot/gateway/rules/rule_runner.h"
#include "modules/iot/machine/stream_api.h"
#include "modules/iot/test/asked.h"

namespace heptane::iot::rules {
namespace {

using test::Asked;

constexpr PartitionId kPartition = 5;

class RuleRunnerTest : public testing::Test {
 protected:
  RuleRunnerTest() {
    row.definition.name = "r";
    row.definition.sql = "SELECT n FROM STREAM raw WHERE n > 0";
    row.definition.source = "raw";
    row.definition.append = AppendAction{"out", ""};
    row.version = 9;
    row.cursors[0] = {kPartition, 3, false};
    runner.attach(asked);
    answer_look();
  }
  // The rule, then its stream.
  void answer_look() {
    ByteWriter rows;
    append_row(rows, row);
    Reply reply;
    reply.payload = Buffer::take(rows.release());
    reply.numbers = {1, 0};
    answer_query(std::move(reply));
    streams::StreamInfo info;
    info.name = "raw";
    info.partitions.push_back({kPartition, log_start, 10});
    Reply described;
    described.payload = streams::encode(std::vector<streams::StreamInfo>{info});
    answer_query(std::move(described));
  }
  void answer_query(Reply reply) {
    ASSERT_FALSE(asked.queries.empty());
    const RequestId request = asked.queries.front().first;
    asked.queries.pop_front();
    runner.on_reply(request, reply);
  }
  void answer_read(const std::vector<std::string>& values, Offset from) {
    ASSERT_FALSE(asked.reads.empty());
    net::RecordsRead records;
    records.partition = kPartition;
    records.offset = asked.reads.front().second.offset;
    records.log_start = log_start;
    records.durable_end = 10;
    if (records.offset < log_start) records.error = Errc::invalid_argument;
    if (!values.empty()) {
      streams::RecordBatchBuilder builder;
      builder.begin(1);
      for (const std::string& value : values) builder.add(1, false, {}, true, as_bytes(value));
      records.batches.push_back(Buffer::copy_of(builder.finish(from, 0, true)));
    }
    const RequestId request = asked.reads.front().first;
    asked.reads.pop_front();
    runner.on_records(request, records);
  }
  // Batches as a producer may have made them.
  void answer_batches(std::vector<Buffer> batches) {
    ASSERT_FALSE(asked.reads.empty());
    net::RecordsRead records;
    records.partition = kPartition;
    records.offset = asked.reads.front().second.offset;
    records.durable_end = 2'000'000;
    records.batches = std::move(batches);
    const RequestId request = asked.reads.front().first;
    asked.reads.pop_front();
    runner.on_records(request, records);
  }
  // One record whose delta is not what the header says.
  static Buffer misnumbered(Offset base, int32_t last_offset_delta, uint8_t record_delta) {
    streams::RecordBatchBuilder builder;
    builder.begin(1);
    builder.add(1, false, {}, true, as_bytes(std::string_view(R"({"n":1})")));
    Buffer batch = Buffer::copy_of(builder.finish(base, 0, true));
    ByteWriter out;
    out.append(batch.view());
    std::vector<std::byte> bytes = out.release();
    bytes[streams::record_batch_layout::kLastOffsetDelta + 2] = static_cast<std::byte>(last_offset_delta >> 8);
    bytes[streams::record_batch_layout::kLastOffsetDelta + 3] = static_cast<std::byte>(last_offset_delta & 255);
    bytes[streams::kRecordBatchHeaderBytes + 3] = static_cast<std::byte>(record_delta * 2);
    return Buffer::take(std::move(bytes));
  }
  static Buffer batch_of(Offset base, const std::vector<std::string>& values) {
    streams::RecordBatchBuilder builder;
    builder.begin(1);
    for (const std::string& value : values) builder.add(1, false, {}, true, as_bytes(value));
    return Buffer::copy_of(builder.finish(base, 0, true));
  }
  Submission take_submission() {
    HEPTANE_ASSERT(!asked.submissions.empty(), "nothing was sent");
    sent = asked.submissions.front().first;
    Submission submission = std::move(asked.submissions.front().second);
    asked.submissions.pop_front();
    return submission;
  }
  void answer_sent(std::optional<Errc> error, int64_t position = 0) { answer(sent, error, position); }
  void answer(RequestId request, std::optional<Errc> error, int64_t position = 0) {
    Reply reply;
    reply.error = error;
    reply.message = "why";
    reply.numbers = {0, position};
    runner.on_reply(request, reply);
  }
  // A first run is taken: before that none is made beside another.
  void prove() {
    answer_read({R"({"n":1})"}, 3);
    take_submission();
    answer_sent(std::nullopt, 4);
  }
  void do_job() {
    ASSERT_FALSE(asked.jobs.empty());
    auto [request, job] = std::move(asked.jobs.front());
    asked.jobs.pop_front();
    job();
    runner.on_worked(request);
  }
  void pass(int64_t ns) {
    asked.now += ns;
    if (asked.now >= asked.timer_due) runner.on_timer(asked.timer);
  }

  RuleRow row;
  Offset log_start = 0;
  Asked asked;
  std::vector<std::string> reports;
  RuleRunner runner{[this](const std::string& why) { reports.push_back(why); }};
  RequestId sent = 0;
};

TEST_F(RuleRunnerTest, TellsHowFarItIsBehind) {
  EXPECT_EQ(runner.lag().records(), 7U);
  EXPECT_EQ(runner.lag().age_ns(), 0);
  pass(RuleRunner::kLookNs);
  answer_look();
  EXPECT_EQ(runner.lag().records(), 7U);
  EXPECT_EQ(runner.lag().age_ns(), RuleRunner::kLookNs);
  // One that is paused is behind, too, and one that is dropped is not.
  row.paused = true;
  asked.now += RuleRunner::kLookNs;
  runner.changed();
  answer_look();
  EXPECT_EQ(runner.lag().records(), 7U);
  EXPECT_EQ(runner.lag().age_ns(), 2 * RuleRunner::kLookNs);
  runner.changed();
  answer_query({});
  EXPECT_EQ(runner.lag().records(), 0U);
  EXPECT_EQ(runner.lag().age_ns(), 0);
}

CompiledRule points_of(const std::string& sql, const std::string& time = "") {
  RuleDefinition rule;
  rule.name = "points";
  rule.sql = sql;
  rule.source = "raw";
  rule.series = SeriesAction{"plant", "'m'", "site", time};
  Result<CompiledRule> compiled = CompiledRule::compile(rule);
  HEPTANE_ASSERT(compiled.ok(), "it is a rule");
  return std::move(*compiled);
}

TEST(SeriesRule, TimesBeyondNanosecondsAreDeadLetters) {
  const CompiledRule rule = points_of("SELECT n FROM STREAM raw");
  const auto fault_at = [&](int64_t ms) { return rule.try_on("t", R"({"n":1})", ms, 0).fault; };
  EXPECT_EQ(fault_at(0), "");
  EXPECT_EQ(fault_at(INT64_MAX / 1'000'000 - 1), "");
  for (const int64_t ms : {INT64_MAX / 1'000'000, INT64_MAX, int64_t{-1}, INT64_MIN})
    EXPECT_NE(fault_at(ms).find("the message's time is out of range"), std::string::npos) << ms;
  EXPECT_EQ(points_of("SELECT n FROM STREAM raw", "n").try_on("t", R"({"n":1})", -1, 0).fault, "")
      << "its own time is not used";
}

TEST(SeriesRule, MessagesOfOneMillisecondAreApart) {
  const CompiledRule rule = points_of("SELECT n FROM STREAM raw");
  std::set<std::string> lines;
  for (uint32_t partition = 0; partition < 4; ++partition)
    for (Offset offset = 0; offset < 100; ++offset)
      lines.insert(rule.try_on("t", R"({"n":1})", 5, offset, partition).line);
  EXPECT_EQ(lines.size(), 400U);
  EXPECT_EQ(*lines.begin(), "m n=1 5000000");
}

TEST(SeriesRule, AStarTakesMembersThatAreNoJson) {
  const CompiledRule rule = points_of("SELECT * FROM STREAM raw");
  const Trial trial = rule.try_on("t", R"({"site":"north","n":1.5,"ok":true,"s":"x","none":null})", 5, 0);
  EXPECT_EQ(trial.fault, "");
  EXPECT_EQ(trial.line, R"(m,site=north n=1.5,ok=true,s="x" 5000000)");
  EXPECT_NE(rule.try_on("t", R"({"n":{"a":1}})", 5, 0).fault.find("n is JSON"), std::string::npos);
}

// What a rule reads of a payload are the members that it names; expressions see what they see in all of it.
class MembersTest : public testing::Test {
 protected:
  static std::optional<devices::JsonTree> tree_of(std::string_view payload) {
    const auto document = http::JsonDocument::parse(std::string(payload));
    if (!document) return std::nullopt;
    return devices::tree_of((*document)->root());
  }
  static std::string of_members(const std::string& sql, const std::string& payload, Workspace& work) {
    RuleDefinition rule;
    rule.name = "r";
    rule.sql = sql;
    rule.source = "raw";
    rule.append = AppendAction{"out", ""};
    const Result<CompiledRule> compiled = CompiledRule::compile(rule);
    EXPECT_TRUE(compiled.ok()) << sql;
    streams::RecordView record;
    record.key = as_bytes("a/b");
    record.value = as_bytes(payload);
    record.offset = 3;
    ByteWriter bytes;
    if (!compiled->append_input_of(record, 0, work, bytes)) return "no";
    RuleCommit head;
    head.rule = "r";
    head.from = 3;
    head.upto = 4;
    const Buffer commit = encode(head, bytes.view(), 1);
    const RuleInput input = decode_commit(commit.view())->inputs[0];
    return input.fault.empty() ? std::string(input.row) : "error " + std::string(input.fault);
  }
  static std::string of_tree(const std::string& sql, const std::string& payload) {
    const Result<Select> query = Select::compile(sql);
    EXPECT_TRUE(query.ok()) << sql;
    const auto tree = tree_of(payload);
    const Message message{"a/b", payload, tree ? &*tree : nullptr, 0, 3, tree_of};
    const auto row = query->run(message);
    if (!row) return "error " + row.error().message;
    return *row ? json_of(**row) : "no";
  }
  std::string value(uint32_t depth) {
    static constexpr const char* kLeaves[] = {"null",
                                              "true",
                                              "false",
                                              "0",
                                              "-1.50",
                                              "1e3",
                                              "\"x\"",
                                              "\"a\\u0062\"",
                                              "1e99",
                                              "0.0000000000000000001",
                                              "123456789012345678"};
    const uint64_t kind = random.below(depth == 0 ? 11 : 15);
    if (kind < 11) return kLeaves[kind];
    std::string out;
    for (uint64_t i = random.below(4); i > 0; --i) {
      const std::string name(1, static_cast<char>('a' + i));
      out += (out.empty() ? "" : ",") + (kind < 13 ? "\"" + name + "\":" : std::string()) + value(depth - 1);
    }
    return kind < 13 ? "{" + out + "}" : "[" + out + "]";
  }

  SeededRandom random{31};
};

TEST_F(MembersTest, AreAsInTheTree) {
  const char* const columns[] = {"a",
                                 "b.a",
                                 "c[1]",
                                 "d[0].a",
                                 "a + b",
                                 "a || b",
                                 "a IS NULL",
                                 "length(a)",
                                 "get(b, 'a')",
                                 "json_encode(c)",
                                 "payload()",
                                 "-a",
                                 "a = b",
                                 "*",
                                 "coalesce(a, b, 1)",
                                 "CASE a WHEN b THEN c ELSE d END",
                                 "a IN (b, c)",
                                 "text(d) || topic(1)"};
  const char* const conditions[] = {"", " WHERE a > 0", " WHERE b IS NOT NULL", " WHERE a = b OR c = 'x'"};
  Workspace work;
  for (int i = 0; i < 20'000; ++i) {
    const std::string column = columns[random.below(std::size(columns))];
    const std::string sql = "SELECT " + column + (column == "*" ? ", a AS y" : " AS x, a AS y") + " FROM STREAM raw" +
                            conditions[random.below(std::size(conditions))];
    std::string payload = value(3);
    if (random.below(10) != 0) payload = "{\"b\":" + value(2) + ",\"a\":" + value(2) + ",\"d\":" + value(2) + "}";
    ASSERT_EQ(of_members(sql, payload, work), of_tree(sql, payload)) << sql << " of " << payload;
  }
}

TEST_F(RuleRunnerTest, AJobMakesAsManyRunsAsMayBeUnderWay) {
  prove();
  asked.works = true;
  answer_read(std::vector<std::string>(600, R"({"n":1})"), 4);
  do_job();
  ASSERT_EQ(asked.submissions.size(), RuleRunner::kRunsMax);
  std::vector<RequestId> requests;
  Offset at = 4;
  for (size_t i = 0; i < RuleRunner::kRunsMax; ++i) {
    const Submission submission = take_submission();
    requests.push_back(sent);
    const auto commit = decode_commit(submission.payload.view());
    EXPECT_EQ(commit->from, at);
    EXPECT_EQ(commit->inputs.size(), kMovesMax);
    at = commit->upto;
  }
  // Behind one that is not taken none is: all of it is made again.
  for (const RequestId request : requests) answer(request, request == requests.front() ? Errc::too_large : Errc::stale);
  ASSERT_FALSE(asked.reads.empty());
  EXPECT_EQ(asked.reads.front().second.offset, 4);
}

TEST_F(RuleRunnerTest, WhatAJobMadeWaitsForRoom) {
  prove();
  asked.works = true;
  answer_read(std::vector<std::string>(600, R"({"n":1})"), 4);
  asked.full = true;
  do_job();
  EXPECT_TRUE(asked.submissions.empty());
  asked.full = false;
  pass(RuleRunner::kTickNs);
  ASSERT_EQ(asked.submissions.size(), RuleRunner::kRunsMax);
  const Submission submission = take_submission();
  EXPECT_EQ(decode_commit(submission.payload.view())->from, 4);
}

// That is gone before it says anything.
class EndedLink final : public LuaLink {
 public:
  std::optional<size_t> write(Bytes) override { return std::nullopt; }
  std::optional<size_t> read(MutableBytes) override { return std::nullopt; }
};

TEST_F(RuleRunnerTest, LuaThatGoesOnEndingPausesItsRuleAgainWhereThatWasNotTaken) {
  row.definition.lua = "return function(row) return row end";
  row.version = 10;
  runner.set_lua([] { return Result<std::unique_ptr<LuaLink>>(std::make_unique<EndedLink>()); });
  runner.changed();
  answer_look();
  asked.reads.pop_front();
  for (uint32_t kill = 1; kill <= RuleRunner::kLuaKillsMax; ++kill) {
    EXPECT_TRUE(asked.submissions.empty()) << kill;
    answer_read({R"({"n":1})"}, 3);
    pass(RuleRunner::kLuaLookNs);
  }
  EXPECT_EQ(take_submission().type, kPauseRule);
  answer_sent(Errc::overloaded);
  pass(RuleRunner::kLookNs);
  answer_look();
  answer_read({R"({"n":1})"}, 3);
  pass(RuleRunner::kLuaLookNs);
  EXPECT_EQ(take_submission().type, kPauseRule);
}

TEST_F(RuleRunnerTest, GivesARunAndGoesOnBehindIt) {
  ASSERT_EQ(asked.reads.front().second.offset, 3);
  answer_read({R"({"n":1})", R"({"n":0})", R"({"n":2})"}, 3);
  const Submission run = take_submission();
  const auto commit = decode_commit(run.payload.view());
  ASSERT_TRUE(commit);
  EXPECT_EQ(commit->version, 9u);
  EXPECT_EQ(commit->from, 3);
  EXPECT_EQ(commit->upto, 6);
  ASSERT_EQ(commit->inputs.size(), 2u);
  EXPECT_EQ(commit->inputs[1].offset, 5);
  EXPECT_EQ(commit->inputs[1].row, R"({"n":2})");
  answer_sent(std::nullopt, 6);
  EXPECT_EQ(asked.reads.front().second.offset, 6);
  answer_read({}, 6);
  EXPECT_EQ(asked.subscriptions, std::vector<Offset>{6});
  runner.on_advanced(1, 7);
  EXPECT_EQ(asked.reads.front().second.offset, 6);
}

TEST_F(RuleRunnerTest, WhatFindsNoRoomIsSentAgainAsItWas) {
  answer_read({R"({"n":1})"}, 3);
  const Submission first = take_submission();
  answer_sent(Errc::overloaded);
  EXPECT_TRUE(asked.submissions.empty());
  asked.full = true;
  pass(RuleRunner::kTickNs);
  asked.full = false;
  pass(RuleRunner::kTickNs);
  EXPECT_EQ(as_text(take_submission().payload.view()), as_text(first.payload.view()));
}

TEST_F(RuleRunnerTest, ARuleThatWaitsForRoomSaysSoAndGoesOn) {
  answer_read({R"({"n":1})"}, 3);
  const std::string first(as_text(take_submission().payload.view()));
  for (uint32_t refusal = 1; refusal < 2 * RuleRunner::kRefusalsTold; ++refusal) {
    EXPECT_EQ(reports.size(), refusal > RuleRunner::kRefusalsTold ? 1u : 0u) << refusal;
    answer_sent(Errc::overloaded);
    pass(RuleRunner::kTickNs);
    EXPECT_EQ(as_text(take_submission().payload.view()), first);
  }
  EXPECT_EQ(runner.waiting_count(), 1u);
  answer_sent(std::nullopt, 4);
  EXPECT_EQ(runner.waiting_count(), 0u);
  EXPECT_EQ(reports, (std::vector<std::string>{"rule r waits: why", "rule r goes on"}));
}

TEST_F(RuleRunnerTest, AnInputDuringWhichTheServerEndedTooOftenIsADeadLetter) {
  const std::vector<std::string> two = {R"({"n":1})", R"({"n":2})"};
  for (uint8_t attempt = 0; attempt <= RuleRunner::kAttemptsMax; ++attempt) {
    answer_read(two, 3);
    const Submission run = take_submission();
    ASSERT_EQ(run.type, kRuleCommit);
    const auto commit = decode_commit(run.payload.view());
    EXPECT_EQ(commit->attempt, attempt);
    // What stands beside it has nothing to do with it.
    EXPECT_EQ(commit->inputs.size(), attempt == 0 ? 2u : 1u);
    answer_sent(Errc::internal);
  }
  answer_read(two, 3);
  const Submission told = take_submission();
  const auto letter = decode_commit(told.payload.view());
  ASSERT_EQ(letter->inputs.size(), 1u);
  EXPECT_EQ(letter->upto, 4);
  EXPECT_NE(letter->inputs[0].fault.find("the server ended each time"), std::string_view::npos);
  EXPECT_TRUE(letter->inputs[0].row.empty());
  answer_sent(std::nullopt, 4);
  const Submission next = take_submission();
  EXPECT_EQ(decode_commit(next.payload.view())->inputs[0].row, R"({"n":2})");
}

TEST_F(RuleRunnerTest, OneInputThatTheServerDoesNotTakeIsADeadLetter) {
  const std::vector<std::string> two = {R"({"n":1})", R"({"n":2})"};
  for (const size_t inputs : {2, 1}) {
    answer_read(two, 3);
    ASSERT_EQ(decode_commit(take_submission().payload.view())->inputs.size(), inputs);
    answer_sent(Errc::invalid_argument);
  }
  answer_read(two, 3);
  const Submission told = take_submission();
  const auto letter = decode_commit(told.payload.view());
  ASSERT_EQ(letter->inputs.size(), 1u);
  EXPECT_EQ(letter->inputs[0].fault, "the server does not take it: why");
  // Not even that: then somebody must look.
  answer_sent(Errc::invalid_argument);
  EXPECT_EQ(take_submission().type, kPauseRule);
}

TEST_F(RuleRunnerTest, TheServersStopPausesNothing) {
  answer_read({R"({"n":1})"}, 3);
  take_submission();
  answer_sent(Errc::closed);
  EXPECT_TRUE(asked.submissions.empty());
}

TEST_F(RuleRunnerTest, ABatchThatNumbersItsRecordsOtherwiseIsOneLetter) {
  answer_batches({misnumbered(3, 0, 40), batch_of(4, {R"({"n":1})"})});
  const Submission run = take_submission();
  const auto commit = decode_commit(run.payload.view());
  ASSERT_EQ(commit->inputs.size(), 2u);
  EXPECT_EQ(commit->upto, 5);
  EXPECT_EQ(commit->inputs[0].offset, 3);
  EXPECT_TRUE(commit->inputs[0].fault.starts_with("the 1 records from 3 to 3 are one batch, which cannot be read"))
      << commit->inputs[0].fault;
  EXPECT_EQ(commit->inputs[1].offset, 4);
}

TEST_F(RuleRunnerTest, ABatchWithFewerRecordsThanOffsetsIsOneLetterForAll) {
  answer_batches({misnumbered(3, 999, 0)});
  const Submission run = take_submission();
  const auto commit = decode_commit(run.payload.view());
  ASSERT_EQ(commit->inputs.size(), 1u);
  EXPECT_EQ(commit->upto, 1'003);
  EXPECT_TRUE(commit->inputs[0].fault.starts_with("the 1000 records from 3 to 1002")) << commit->inputs[0].fault;
  answer_sent(std::nullopt, 1'003);
  EXPECT_EQ(asked.reads.front().second.offset, 1'003);
}

TEST_F(RuleRunnerTest, NoMoreLettersThanARunHolds) {
  std::vector<Buffer> batches;
  for (Offset base = 3; base < 3 + 70; ++base) batches.push_back(misnumbered(base, 0, 7));
  answer_batches(std::move(batches));
  const Submission first = take_submission();
  const auto commit = decode_commit(first.payload.view());
  ASSERT_TRUE(commit);
  EXPECT_EQ(commit->inputs.size(), kMovesMax);
  EXPECT_EQ(commit->upto, 3 + 64);
  answer_sent(std::nullopt, 3 + 64);
  const Submission second = take_submission();
  EXPECT_EQ(decode_commit(second.payload.view())->inputs.size(), 6u);
  EXPECT_EQ(decode_commit(second.payload.view())->upto, 3 + 70);
}

TEST_F(RuleRunnerTest, ATurnEndsThoughNothingIsToBeDone) {
  std::vector<std::string> idle(3 * RuleRunner::kTurnRecords, R"({"n":0})");
  idle.emplace_back(R"({"n":1})");
  answer_batches({batch_of(3, idle)});
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_TRUE(asked.submissions.empty()) << turn;
    EXPECT_TRUE(asked.reads.empty()) << turn;
    EXPECT_EQ(asked.timer_due, asked.now);
    pass(0);
  }
  const Submission run = take_submission();
  const auto commit = decode_commit(run.payload.view());
  ASSERT_EQ(commit->inputs.size(), 1u);
  EXPECT_EQ(commit->inputs[0].offset, 3 + 3 * static_cast<Offset>(RuleRunner::kTurnRecords));
}

TEST_F(RuleRunnerTest, WhatIsTooMuchIsHalved) {
  std::vector<std::string> many(100, R"({"n":1})");
  answer_read(many, 3);
  EXPECT_EQ(decode_commit(take_submission().payload.view())->inputs.size(), kMovesMax);
  answer_sent(Errc::too_large);
  answer_read(many, 3);
  const Submission half = take_submission();
  EXPECT_EQ(decode_commit(half.payload.view())->inputs.size(), kMovesMax / 2);
  EXPECT_EQ(decode_commit(half.payload.view())->from, 3);
}

TEST_F(RuleRunnerTest, RunsAreMadeWhileOthersAreOnTheirWay) {
  prove();
  answer_read(std::vector<std::string>(100, R"({"n":1})"), 4);
  const Submission first = take_submission();
  const RequestId first_sent = sent;
  EXPECT_EQ(decode_commit(first.payload.view())->upto, 4 + 64);
  pass(0);
  const Submission second = take_submission();
  const auto behind = decode_commit(second.payload.view());
  EXPECT_EQ(behind->from, 4 + 64);
  EXPECT_EQ(behind->upto, 4 + 100);
  pass(0);
  ASSERT_EQ(asked.reads.front().second.offset, 4 + 100) << "it reads on behind both";
  answer(first_sent, std::nullopt, 4 + 64);
  answer_sent(std::nullopt, 4 + 100);
  answer_read({R"({"n":2})"}, 104);
  EXPECT_EQ(decode_commit(take_submission().payload.view())->from, 104);
}

TEST_F(RuleRunnerTest, NoMoreRunsThanTheirBound) {
  prove();
  std::vector<std::string> values(5'000, R"({"n":1})");
  answer_read(values, 4);
  Offset from = 4;
  for (size_t run = 0; run < RuleRunner::kRunsMax; ++run) {
    const auto commit = take_submission().payload;
    EXPECT_EQ(decode_commit(commit.view())->from, from);
    from = decode_commit(commit.view())->upto;
    pass(0);
  }
  EXPECT_TRUE(asked.submissions.empty());
  EXPECT_TRUE(asked.reads.empty());
}

// Where there was no room for the first run, what was made behind it is made again behind it, and nothing twice or never.
TEST_F(RuleRunnerTest, BehindARunThatFindsNoRoomAllIsMadeAgain) {
  prove();
  const std::vector<std::string> values(100, R"({"n":1})");
  answer_read(values, 4);
  const Submission first = take_submission();
  const RequestId first_sent = sent;
  pass(0);
  const Submission second = take_submission();
  pass(0);
  ASSERT_EQ(asked.reads.size(), 1u);
  answer(first_sent, Errc::overloaded);
  pass(RuleRunner::kTickNs);
  EXPECT_TRUE(asked.submissions.empty()) << "the second one is not answered";
  answer_sent(Errc::stale);
  answer_read({R"({"n":7})"}, 104);  // which nobody waits for any more
  pass(RuleRunner::kTickNs);
  EXPECT_EQ(as_text(take_submission().payload.view()), as_text(first.payload.view()));
  pass(0);
  ASSERT_EQ(asked.reads.front().second.offset, 4 + 64);
  answer_read(std::vector<std::string>(36, R"({"n":1})"), 4 + 64);
  EXPECT_EQ(as_text(take_submission().payload.view()), as_text(second.payload.view()));
}

// A refusal may come before the answer of a run that was taken before it.
TEST_F(RuleRunnerTest, ARefusalThatComesFirstWaitsForTheRunsBefore) {
  prove();
  answer_read(std::vector<std::string>(100, R"({"n":1})"), 4);
  const Submission first = take_submission();
  const RequestId first_sent = sent;
  pass(0);
  const Submission second = take_submission();
  answer_sent(Errc::too_large);
  pass(0);
  EXPECT_TRUE(asked.reads.empty());
  answer(first_sent, std::nullopt, 4 + 64);
  ASSERT_EQ(asked.reads.front().second.offset, 4 + 64);
  answer_read(std::vector<std::string>(36, R"({"n":1})"), 4 + 64);
  EXPECT_EQ(decode_commit(take_submission().payload.view())->from, 4 + 64);
}

TEST_F(RuleRunnerTest, MuchIsEvaluatedByTheWorker) {
  prove();
  asked.works = true;
  const std::vector<std::string> values(1'000, R"({"n":1})");
  answer_read(values, 4);
  EXPECT_TRUE(asked.submissions.empty());
  do_job();
  EXPECT_EQ(decode_commit(take_submission().payload.view())->upto, 4 + 64);
  const Submission second = take_submission();
  EXPECT_EQ(decode_commit(second.payload.view())->from, 4 + 64);
}

TEST_F(RuleRunnerTest, WhatTheWorkerMakesOfARuleOfBeforeIsDropped) {
  asked.works = true;
  answer_read(std::vector<std::string>(1'000, R"({"n":1})"), 3);
  ASSERT_EQ(asked.jobs.size(), 1u);
  row.version = 10;
  runner.changed();
  answer_look();
  do_job();
  EXPECT_TRUE(asked.submissions.empty());
  answer_read({R"({"n":1})"}, 3);
  EXPECT_EQ(decode_commit(take_submission().payload.view())->version, 10u);
}

// The log has what may be told of an input, and no more.
TEST(CompiledRule, WhatIsPublishedAloneHasNoCopyOfItsMessage) {
  RuleDefinition rule;
  rule.name = "r";
  rule.sql = "SELECT n FROM STREAM raw";
  rule.source = "raw";
  rule.publish = PublishAction{"'t'"};
  const auto first_of = [&](const std::string& value) {
    streams::RecordBatchBuilder builder;
    builder.begin(1);
    builder.add(1, false, {}, true, as_bytes(value));
    BatchWalk walk(Buffer::copy_of(builder.finish(7, 0, true)), 7);
    streams::RecordView record;
    EXPECT_TRUE(walk.next(record));
    ByteWriter bytes;
    const Result<CompiledRule> compiled = CompiledRule::compile(rule);
    Workspace work;
    EXPECT_TRUE(compiled->append_input_of(record, 0, work, bytes));
    RuleCommit head;
    head.rule = "r";
    head.from = 7;
    head.upto = 8;
    return encode(head, bytes.view(), 1);
  };
  const Buffer good = first_of(R"({"n":1})");
  EXPECT_EQ(decode_commit(good.view())->inputs[0].row, R"({"n":1})");
  EXPECT_EQ(decode_commit(good.view())->inputs[0].payload, "");
  const Buffer bad = first_of("no JSON");
  EXPECT_EQ(decode_commit(bad.view())->inputs[0].payload, "no JSON");
  rule.append = AppendAction{"out", ""};
  const Buffer appended = first_of(R"({"n":1})");
  EXPECT_EQ(decode_commit(appended.view())->inputs[0].payload, R"({"n":1})");
}

TEST_F(RuleRunnerTest, AGapPausesTheRuleAndSaysWhich) {
  log_start = 8;
  answer_read({}, 3);
  const Submission pause = take_submission();
  EXPECT_EQ(pause.type, kPauseRule);
  EXPECT_NE(as_text(pause.payload.view()).find("the records 3 to 7 of partition 0 were gone"), std::string_view::npos);
  EXPECT_TRUE(asked.reads.empty());
}

TEST_F(RuleRunnerTest, AResumedRulePassesOverTheGap) {
  row.cursors[0].may_skip = true;
  row.version = 10;
  runner.changed();
  answer_look();
  log_start = 8;
  asked.reads.pop_front();  // of the version before
  answer_read({}, 3);
  ASSERT_EQ(asked.reads.front().second.offset, 8);
  answer_read({R"({"n":1})"}, 8);
  EXPECT_EQ(decode_commit(take_submission().payload.view())->from, 8);
}

TEST_F(RuleRunnerTest, APartitionThatItHasNotBegunIsReadFromItsBeginning) {
  row.cursors.clear();
  row.version = 10;
  log_start = 4;
  runner.changed();
  answer_look();
  asked.reads.pop_front();  // of the version before
  ASSERT_EQ(asked.reads.front().second.offset, 0);
  answer_read({}, 0);
  EXPECT_EQ(take_submission().type, kPauseRule);
}

TEST_F(RuleRunnerTest, RecordsThatItDoesNothingWithMoveItsPositionLater) {
  answer_read({R"({"n":0})", R"({"n":0})"}, 3);
  answer_read({}, 5);
  EXPECT_TRUE(asked.submissions.empty());
  pass(RuleRunner::kQuietNs);
  const Submission quiet = take_submission();
  const auto commit = decode_commit(quiet.payload.view());
  EXPECT_EQ(commit->from, 3);
  EXPECT_EQ(commit->upto, 5);
  EXPECT_TRUE(commit->inputs.empty());
}

// What the configuration wants.

WantedRule hot() {
  WantedRule wanted;
  wanted.rule.name = "hot";
  wanted.rule.sql = "SELECT n FROM 'plant/#'";
  wanted.rule.source = "rule.hot";
  wanted.rule.append = AppendAction{"out", ""};
  wanted.filter = "plant/#";
  return wanted;
}
Reply declared(const std::vector<StreamDeclaration>& streams) {
  ByteWriter out;
  for (const StreamDeclaration& stream : streams) append_declaration(out, stream);
  Reply reply;
  reply.payload = Buffer::take(out.release());
  return reply;
}
StreamDeclaration over(const std::string& filter) {
  StreamDeclaration stream;
  stream.name = "rule.hot";
  stream.filter = filter;
  stream.partitions = 3;
  stream.retention_ms = kForEver;
  return stream;
}

TEST_F(RuleRunnerTest, AStreamThatIsThereIsLeftAlone) {
  runner.want({hot()});
  answer_query(declared({over("plant/#")}));
  EXPECT_EQ(take_submission().type, kPutRule);
}

TEST_F(RuleRunnerTest, AStreamIsGivenTheFilterAndNothingElse) {
  runner.want({hot()});
  answer_query(declared({over("other/#")}));
  const Submission change = take_submission();
  ASSERT_EQ(change.type, kDeclareStream);
  EXPECT_EQ(decode_declare(change.payload.view())->stream, over("plant/#"));
  answer_sent(std::nullopt);
  EXPECT_EQ(take_submission().type, kPutRule);
  answer_sent(Errc::refused);
  const Submission back = take_submission();
  ASSERT_EQ(back.type, kDeclareStream);
  EXPECT_EQ(decode_declare(back.payload.view())->stream, over("other/#"));
}

TEST_F(RuleRunnerTest, NoStreamStaysOfARefusedRule) {
  runner.want({hot()});
  answer_query(declared({}));
  EXPECT_EQ(take_submission().type, kDeclareStream);
  answer_sent(std::nullopt);
  EXPECT_EQ(take_submission().type, kPutRule);
  answer_sent(Errc::refused);
  EXPECT_EQ(take_submission().type, kDropStream);
  answer_sent(std::nullopt);
  EXPECT_TRUE(asked.submissions.empty());
  pass(RuleRunner::kLookNs);
  EXPECT_EQ(asked.queries.front().second.type, kQueryRules);
}

TEST_F(RuleRunnerTest, ARuleIsAskedForAgainWhileAStreamIsMissing) {
  runner.want({hot()});
  answer_query(declared({over("plant/#")}));
  EXPECT_EQ(take_submission().type, kPutRule);
  answer_sent(Errc::not_found);
  EXPECT_TRUE(asked.submissions.empty());
  pass(RuleRunner::kLookNs);
  ASSERT_FALSE(asked.queries.empty());
  EXPECT_EQ(asked.queries.front().second.type, kQueryDeclared);
  answer_query(declared({over("plant/#")}));
  EXPECT_EQ(take_submission().type, kPutRule);
}

TEST_F(RuleRunnerTest, WhereItIsNotItLooksAgain) {
  answer_read({R"({"n":1})"}, 3);
  take_submission();
  row.cursors[0].next = 7;
  answer_sent(Errc::stale);
  answer_look();
  EXPECT_EQ(asked.reads.front().second.offset, 7);
}

}  // namespace
}  // namespace heptane::iot::rules
