// A rule over windows, its runner and its machine together: whatever comes between, a crash, a full ring, small runs, the clock, what
// the rule appends is what the model says, once and in its order.
#include <gtest/gtest.h>

#include "kernel/streams/record_batch.h"
#include "modules/iot/gateway/rules/compiled_rule.h"
#include "modules/iot/gateway/rules/rule_runner.h"
#include "modules/iot/test/asked.h"
#include "modules/iot/test/rules_world.h"
#include "modules/iot/test/window_readings.h"

namespace heptane::iot::rules::test {
namespace {

constexpr int64_t kMs = 1'000'000;

class WindowRule : public testing::Test {
 protected:
  void declare(const std::string& sql, size_t readings) {
    world.make_stream("raw");
    world.make_stream("out");
    RuleDefinition rule;
    rule.name = "w";
    rule.sql = sql;
    rule.append = AppendAction{"out", ""};
    const Result<void> good = check_rule(rule);
    ASSERT_TRUE(good.ok()) << good.error().message;
    ASSERT_TRUE(rule.windowed());
    ASSERT_TRUE(world.put(rule).ok());
    world.fill("raw", static_cast<Offset>(readings));
  }
  void start() {
    asked = std::make_unique<Asked>();
    asked->now = now;
    runner = std::make_unique<RuleRunner>([this](const std::string& why) { reports.push_back(why); });
    runner->attach(*asked);
  }
  // One thing that the runner waits for; false: it waits for nothing but the clock.
  bool answer() {
    if (!asked->queries.empty()) return answer_query(), true;
    if (!asked->reads.empty()) return answer_read(), true;
    if (asked->submissions.empty()) return false;
    const auto [request, submission] = std::move(asked->submissions.front());
    asked->submissions.pop_front();
    runner->on_reply(request, apply(submission));
    return true;
  }
  Reply apply(const Submission& submission) {
    Reply reply = world.run(submission.machine, submission.type, submission.payload);
    const auto commit = decode_commit(submission.payload.view());
    if (submission.type != kRuleCommit || !commit) return reply;
    if (!reply.ok()) refused.push_back(reply.message);
    if (reply.ok())
      for (const RuleInput& input : commit->inputs)
        if (input.fault.empty()) rows.emplace_back(input.row);
    return reply;
  }
  void answer_query() {
    const auto [request, query] = std::move(asked->queries.front());
    asked->queries.pop_front();
    Reply reply;
    if (query.machine == kRulesMachineId) {
      ByteWriter row;
      append_row(row, world.rule("w"));
      reply.payload = Buffer::take(row.release());
      reply.numbers = {1, 0};
    } else {
      streams::StreamInfo info;
      info.name = "raw";
      info.partitions.push_back({world.partition("raw"), log_start, static_cast<Offset>(visible)});
      reply.payload = streams::encode(std::vector<streams::StreamInfo>{info});
    }
    runner->on_reply(request, reply);
  }
  void answer_read() {
    const auto [request, read] = std::move(asked->reads.front());
    asked->reads.pop_front();
    net::RecordsRead records;
    records.partition = read.partition;
    records.offset = read.offset;
    records.log_start = log_start;
    records.durable_end = static_cast<Offset>(visible);
    // The server's clock is near: what is more than a minute ahead of it is no time.
    if (visible > 0) asked->now = now = std::max(now, (readings[visible - 1].logged_ms - 50'000) * kMs);
    const auto from = static_cast<size_t>(read.offset);
    if (read.offset < log_start) records.error = Errc::invalid_argument;
    if (read.offset >= log_start && from < visible) records.batches.push_back(batch(from, std::min(visible, from + 7)));
    runner->on_records(request, records);
  }
  Buffer batch(size_t from, size_t upto) const {
    streams::RecordBatchBuilder builder;
    builder.begin(readings[from].logged_ms);
    for (size_t i = from; i < upto; ++i)
      builder.add(readings[i].logged_ms, false, {}, true, as_bytes(std::string_view(readings[i].json())));
    return Buffer::copy_of(builder.finish(static_cast<Offset>(from), 0, true));
  }
  void settle() {
    while (answer()) {
    }
  }
  void pass(int64_t ns) {
    now += ns;
    asked->now = now;
    if (now >= asked->timer_due) runner->on_timer(asked->timer);
  }
  RuleRow row() const { return world.rule("w"); }

  RulesWorld world;
  std::vector<Reading> readings;
  size_t visible = 0;
  Offset log_start = 0;
  int64_t now = 1;
  std::unique_ptr<Asked> asked;
  std::unique_ptr<RuleRunner> runner;
  std::vector<std::string> rows;
  std::vector<std::string> refused;
  std::vector<std::string> reports;
};

class WindowRuleAnew : public WindowRule, public testing::WithParamInterface<uint64_t> {};

TEST_P(WindowRuleAnew, AppendsWhatTheModelSays) {
  SeededRandom random(GetParam());
  readings = some_readings(random, 250);
  WindowModel model(false);
  for (const Reading& reading : readings) model.take(reading);
  declare(windows_sql(false), readings.size());
  start();
  size_t told = 0;
  for (size_t idle = 0; idle < 50;) {
    if (random.one_in(3)) visible = std::min(readings.size(), visible + random.below(12));
    asked->full = random.one_in(10);
    if (random.one_in(12)) {  // what is under way may be applied, or not
      if (!asked->submissions.empty() && random.one_in(2)) apply(asked->submissions.front().second);
      world.crash_and_recover();
      start();
    }
    const bool more = answer();
    if (!more) {
      if (std::exchange(told, visible) != visible)
        runner->on_advanced(asked->subscriptions.size(), static_cast<Offset>(visible));
      pass(RuleRunner::kTickNs);
    }
    idle = more || visible < readings.size() ? 0 : idle + 1;
  }
  EXPECT_EQ(rows, model.rows);
  EXPECT_EQ(refused, std::vector<std::string>{});
  EXPECT_EQ(world.end("out"), static_cast<Offset>(model.rows.size()));
  const RuleCounters counters = row().counters;
  EXPECT_EQ(counters.appended, model.rows.size());
  EXPECT_EQ(counters.windows, model.groups);
  EXPECT_EQ(counters.late, model.late);
  EXPECT_EQ(counters.dead_letters, model.wrong);
  EXPECT_EQ(row().cursors.at(0).next, static_cast<Offset>(readings.size()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, WindowRuleAnew, testing::Range<uint64_t>(1, 17));

constexpr const char* kCounting =
    "SELECT count(*) AS n, WINDOWSTART AS w FROM STREAM raw TIMESTAMP BY t WINDOW TUMBLING (SIZE 1 SECOND, TIMEOUT 5 "
    "SECONDS, LATE DEAD_LETTER)";

// A run says when it is by the clock, and that nothing comes before it: else the next records close the window.
TEST_F(WindowRule, TheClockClosesWhatNoRecordDoes) {
  constexpr int64_t kBaseMs = sim::SimClock::kDefaultUtcNs / kMs;  // a window's end
  for (const int64_t ms : {0, 200, 4'999}) readings.push_back({kBaseMs + ms, kBaseMs - 500, 1, 1, false});
  visible = 2;
  now = (kBaseMs + 200) * kMs;
  declare(kCounting, 2);
  start();
  settle();
  pass(4'799 * kMs);
  settle();
  EXPECT_EQ(rows.size(), 0u);
  pass(1 * kMs);
  ASSERT_EQ(asked->submissions.size(), 1u);
  const auto commit = decode_commit(asked->submissions.front().second.payload.view());
  ASSERT_TRUE(commit && commit->window);
  EXPECT_EQ(commit->window->clock_ms, kBaseMs + 5'000);
  EXPECT_EQ(commit->window->place.watermark_ms, kBaseMs);
  EXPECT_EQ(commit->inputs.size(), 1u);
  // The log's clock is behind: it is asked again.
  answer();
  ASSERT_EQ(refused, std::vector<std::string>{"the log's clock is not there yet"});
  world.advance(10'000 * kMs);
  // Meanwhile a record came that is older: it counts.
  world.fill("raw", 3);
  visible = 3;
  pass(RuleRunner::kTickNs);
  answer();
  ASSERT_EQ(refused.back(), "there is a record that the clock would pass over");
  settle();
  pass(RuleRunner::kTickNs);
  settle();
  EXPECT_EQ(rows, std::vector<std::string>{"{\"n\":3,\"w\":" + std::to_string(kBaseMs - 1'000) + "}"});
  const WindowPlace place = row().cursors.at(0).window.value_or(WindowPlace{});
  EXPECT_EQ(place.closed_ms, place.watermark_ms);
}

// A rule that wants few records of a busy stream does not wait for one of those.
TEST_F(WindowRule, ARecordThatTheConditionLeavesOutMovesTheTimeOn) {
  readings = {{100'000, 100'000, 1, 1, false}, {105'999, 105'999, 9, 1, false}, {106'000, 106'000, 9, 1, false}};
  visible = 2;
  declare(std::string(kCounting) + " WHERE k <> 9", 3);
  start();
  settle();
  EXPECT_EQ(rows.size(), 0u);
  world.crash_and_recover();
  visible = 3;
  start();
  settle();
  EXPECT_EQ(rows, std::vector<std::string>{R"({"n":1,"w":100000})"});
  EXPECT_EQ(row().counters.late, 0u);
}

TEST_F(WindowRule, WhatIsLateIsToldWhereTheRuleSaysSo) {
  readings = {{100'000, 100'000, 1, 1, false}, {103'000, 103'000, 1, 1, false}, {103'000, 100'001, 1, 1, false}};
  visible = 3;
  declare(kCounting, 3);
  start();
  settle();
  EXPECT_EQ(row().counters.late, 1u);
  EXPECT_EQ(row().counters.dead_letters, 1u);
  EXPECT_EQ(rows, std::vector<std::string>{R"({"n":1,"w":100000})"});
}

// A time that nobody can have is its record's fault, and the others' windows stay open; after a crash, too.
TEST_F(WindowRule, ATimeFarAheadClosesNothing) {
  constexpr int64_t kFarMs = 100'000'000;
  readings = {{100'000, 100'000, 1, 1, false},
              {kFarMs, kFarMs, 1, 1, false},
              {100'500, 100'500, 1, 1, false},
              {103'000, 103'000, 1, 1, false}};
  visible = 3;
  declare(kCounting, 4);
  start();
  settle();
  pass(RuleRunner::kQuietNs);
  settle();
  EXPECT_EQ(row().counters.dead_letters, 1u);
  EXPECT_EQ(row().counters.late, 0u);
  world.crash_and_recover();
  visible = 4;
  start();
  settle();
  EXPECT_EQ(rows, std::vector<std::string>{R"({"n":2,"w":100000})"});
}

// Of other windows the open ones cannot be made again: they are counted as lost, and no window comes out twice.
TEST_F(WindowRule, OtherWindowsBeginWithWhatComes) {
  for (const int64_t ms : {100'000, 100'200, 102'000, 102'100, 103'900}) readings.push_back({ms, ms, 1, 1, false});
  visible = 4;
  declare(kCounting, 5);
  start();
  settle();
  pass(RuleRunner::kQuietNs);
  settle();
  ASSERT_EQ(row().cursors.at(0).next, 4);
  RuleDefinition rule = row().definition;
  // Other columns: the open window is made again.
  rule.sql = std::string(kCounting);
  rule.sql.replace(rule.sql.find("AS n"), 4, "AS many");
  ASSERT_TRUE(check_rule(rule).ok());
  ASSERT_TRUE(world.put(rule).ok());
  EXPECT_EQ(row().counters.lost, 0u);
  EXPECT_EQ(row().cursors.at(0).window->restart_at, 2);
  // Another size.
  rule.sql.replace(rule.sql.find("SIZE 1 SECOND"), 13, "SIZE 2 SECONDS");
  ASSERT_TRUE(check_rule(rule).ok());
  ASSERT_TRUE(world.put(rule).ok());
  EXPECT_EQ(row().counters.lost, 2u);
  EXPECT_EQ(row().cursors.at(0).window->restart_at, 4);
  EXPECT_EQ(row().cursors.at(0).window->closed_ms, row().cursors.at(0).window->watermark_ms);
}

// What is open is in records that are gone: the rule says so, and goes on with what is there.
TEST_F(WindowRule, PausesWhereTheRecordsOfAnOpenWindowAreGone) {
  for (int64_t i = 0; i < 6; ++i) readings.push_back({100'000 + i, 100'000 + i, 1, 1, false});
  readings.push_back({103'000, 103'000, 1, 1, false});
  visible = 6;
  declare(kCounting, 7);
  start();
  settle();
  pass(RuleRunner::kQuietNs);
  settle();
  ASSERT_EQ(row().cursors.at(0).next, 6);
  ASSERT_EQ(row().cursors.at(0).window->restart_at, 0);
  world.trim("raw", 4);
  log_start = 4;
  world.crash_and_recover();
  start();
  settle();
  EXPECT_TRUE(row().paused);
  EXPECT_EQ(
      row().reason,
      "the records 0 to 3 of partition 0 were gone by retention before their window was closed: to resume it passes "
      "over them");
  ASSERT_TRUE(world.run(kRulesMachineId, kResumeRule, Buffer::copy_of("w")).ok());
  EXPECT_EQ(row().counters.lost, 4u);
  visible = 7;
  start();
  settle();
  EXPECT_EQ(rows, std::vector<std::string>{R"({"n":2,"w":100000})"});
}

TEST_F(WindowRule, OfOnePartitionAndOfItsLogic) {
  world.make_stream("many", 2);
  RuleDefinition rule;
  rule.name = "w";
  rule.sql = "SELECT count(*) AS n FROM STREAM many WINDOW TUMBLING (SIZE 1 SECOND)";
  rule.publish = PublishAction{"'a'"};
  ASSERT_TRUE(check_rule(rule).ok());
  EXPECT_EQ(world.put(rule).error, Errc::refused);
  rule.publish->topic = "topic(2)";
  EXPECT_EQ(check_rule(rule).error().message,
            "publish.topic: at 1: topic is of a message, and a window has only its columns");
  RulesWorld before(RulesMachine::kLogicActions);
  before.make_stream("raw");
  rule.source = "raw";
  rule.publish->topic = "'a'";
  EXPECT_EQ(before.put(rule).message, "windows and lua need the rules' logic 3: heptane upgrade activate");
}

// Rows of a window that do not fit into one run: the same run twice does nothing twice, though the rule's position stays.
TEST_F(WindowRule, RowsOfOneWindowInManyRuns) {
  for (int key = 0; key < 200; ++key) readings.push_back({100'000, 100'000, key, 1, false});
  readings.push_back({103'000, 103'000, 1, 1, false});
  visible = readings.size();
  declare("SELECT k FROM STREAM raw TIMESTAMP BY t WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k", readings.size());
  start();
  std::vector<Submission> sent;
  while (!asked->queries.empty() || !asked->reads.empty() || !asked->submissions.empty()) {
    if (asked->queries.empty() && asked->reads.empty()) sent.push_back(asked->submissions.front().second);
    answer();
    for (const Submission& again : sent)
      EXPECT_FALSE(world.run(again.machine, again.type, again.payload).ok()) << "what was done is not done again";
  }
  EXPECT_GE(sent.size(), 3u);
  EXPECT_EQ(rows.size(), 200u);
  EXPECT_EQ(world.end("out"), 200);
}

}  // namespace
}  // namespace heptane::iot::rules::test
