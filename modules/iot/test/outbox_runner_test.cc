// Who sends what rules post, against answers by hand: order, keys, what is tried again and when, what is given up, what is told.
#include "modules/iot/gateway/rules/outbox_runner.h"

#include <gtest/gtest.h>

#include "kernel/streams/api.h"
#include "kernel/streams/record_batch.h"
#include "modules/iot/test/asked.h"

namespace heptane::iot::rules {
namespace {

using test::Asked;

constexpr PartitionId kOutbox = 8;
constexpr LogTime kCreated = 77;

class FakeCourier final : public Courier {
 public:
  std::string post(const std::string& name, const HttpPost& post, Done done) override {
    if (!why.empty()) return why;
    EXPECT_FALSE(under_way) << "one at a time";
    posts.push_back(name + " " + post.key + " " + post.url + " " + post.body);
    under_way = std::move(done);
    return {};
  }
  void forget(const std::string&) override { under_way = nullptr; }
  void answer(int status, int64_t retry_after_s = -1) {
    ASSERT_TRUE(under_way);
    std::exchange(under_way, nullptr)({status, status == 0 ? "refused" : "", retry_after_s});
  }

  std::string why;  // it takes nothing now
  std::vector<std::string> posts;
  Done under_way;
};

class OutboxRunnerTest : public testing::Test {
 protected:
  OutboxRunnerTest() {
    runner.attach(asked);
    runner.take_rules({row_of("hook", 0)});
    streams::StreamInfo info;
    info.name = kOutboxStream;
    info.partitions.push_back({kOutbox, 0, 10});
    Reply described;
    described.payload = streams::encode(std::vector<streams::StreamInfo>{info});
    runner.on_reply(asked.queries.front().first, described);
    asked.queries.pop_front();
    pass(OutboxRunner::kTickNs);
  }
  static RuleRow row_of(const std::string& name, Offset next) {
    RuleRow row;
    row.definition.name = name;
    row.definition.http = HttpAction{"http://a/"};
    row.created = kCreated;
    row.outbox = next;
    return row;
  }
  // Records of these keys.
  void answer_read(const std::vector<std::string>& keys, Offset log_start = 0) {
    ASSERT_FALSE(asked.reads.empty());
    net::RecordsRead records;
    records.partition = kOutbox;
    records.offset = asked.reads.front().second.offset;
    records.log_start = log_start;
    records.durable_end = 10;
    if (records.offset < log_start) records.error = Errc::invalid_argument;
    if (!keys.empty()) {
      streams::RecordBatchBuilder builder;
      builder.begin(1);
      for (const std::string& key : keys) builder.add(1, true, as_bytes(key), true, as_bytes(value));
      std::string batch(as_text(builder.finish(records.offset, 0, true)));
      if (torn) batch[streams::kRecordBatchHeaderBytes] = '\x01';  // the first record's length
      records.batches.push_back(Buffer::copy_of(batch));
    }
    const RequestId request = asked.reads.front().first;
    asked.reads.pop_front();
    runner.on_records(request, records);
  }
  // The record of a row, as the machine writes it.
  void holds(const std::string& row) { value = R"({"url":"http://a/","body":)" + row + "}"; }
  OutboxCommit told() {
    HEPTANE_ASSERT(!asked.submissions.empty(), "nothing was told");
    sent = asked.submissions.front().first;
    payload = asked.submissions.front().second.payload;
    asked.submissions.pop_front();
    return *decode_outbox_commit(payload.view());
  }
  void answer_told(std::optional<Errc> error, Offset position = 0) {
    Reply reply;
    reply.error = error;
    reply.numbers = {0, position};
    runner.on_reply(sent, reply);
  }
  void pass(int64_t ns) {
    asked.now += ns;
    if (asked.now >= asked.timer_due) runner.on_timer(asked.timer);
  }

  Asked asked;
  FakeCourier courier;
  std::vector<std::string> reports;
  OutboxRunner runner{courier, [this](const std::string& line) { reports.push_back(line); }};
  std::string value = R"({"url":"http://a/","body":{"n":1}})";
  bool torn = false;  // batches are
  RequestId sent = 0;
  Buffer payload;
};

TEST_F(OutboxRunnerTest, PostsItsOwnRecordsInOrderAndTellsHowFar) {
  answer_read({"hook/1/0:5/0", "other/1/0:6/0", "hooked/1/0:7/0", "hook/1/0:8/0"});
  EXPECT_EQ(courier.posts, std::vector<std::string>{R"(hook hook/1/0:5/0 http://a/ {"n":1})"});
  courier.answer(204);
  ASSERT_EQ(courier.posts.size(), 2u);
  EXPECT_TRUE(asked.submissions.empty()) << "not while there is more";
  courier.answer(200);
  const OutboxCommit commit = told();
  EXPECT_EQ(commit.rule, "hook");
  EXPECT_EQ(commit.created, kCreated);
  EXPECT_EQ(commit.from, 0);
  EXPECT_EQ(commit.upto, 4);
  EXPECT_EQ(commit.posted, 2u);
  answer_told(std::nullopt, 4);
  EXPECT_EQ(asked.reads.front().second.offset, 4);
  answer_read({});
  EXPECT_EQ(asked.subscriptions, std::vector<Offset>{4});
  runner.on_advanced(1, 5);
  EXPECT_EQ(asked.reads.front().second.offset, 4);
}

TEST_F(OutboxRunnerTest, WhatIsNotTakenIsTriedAgainLaterAndLater) {
  answer_read({"hook/1/0:5/0", "hook/1/0:6/0"});
  int64_t delay = OutboxRunner::kDelayNs;
  for (const int status : {0, 500, 503, 429, 408, 425, 0, 0, 0, 0}) {
    courier.answer(status);
    pass(delay - 1);
    EXPECT_FALSE(courier.under_way) << status;
    pass(1);
    ASSERT_TRUE(courier.under_way) << status;
    delay = std::min(2 * delay, OutboxRunner::kDelayMaxNs);
  }
  EXPECT_EQ(courier.posts.front(), courier.posts.back()) << "the same key, and nothing before it";
  courier.answer(503, 100);
  pass(99'000'000'000);
  EXPECT_FALSE(courier.under_way);
  pass(1'000'000'000);
  ASSERT_TRUE(courier.under_way) << "Retry-After";
  courier.answer(200);
  EXPECT_EQ(courier.posts.back(), R"(hook hook/1/0:6/0 http://a/ {"n":1})");
}

TEST_F(OutboxRunnerTest, WhatWasTakenIsToldThoughTheNextIsNot) {
  answer_read({"hook/1/0:5/0", "hook/1/0:6/0"});
  courier.answer(200);
  courier.answer(500);
  pass(OutboxRunner::kDelayNs);
  EXPECT_TRUE(asked.submissions.empty());
  courier.answer(500);
  pass(2 * OutboxRunner::kDelayNs);
  const OutboxCommit commit = told();
  EXPECT_EQ(commit.upto, 1);
  EXPECT_EQ(commit.posted, 1u);
  const size_t posts = courier.posts.size();
  answer_told(std::nullopt, 1);
  EXPECT_EQ(courier.posts.size(), posts + 1);
}

TEST_F(OutboxRunnerTest, WhatIsRefusedSoOftenIsGivenUpAndTheNextGoesOn) {
  answer_read({"hook/1/0:5/0", "hook/1/0:6/0"});
  for (uint32_t i = 1; i < OutboxRunner::kRefusalsMax; ++i) {
    courier.answer(i == 2 ? 302 : 404);
    pass(OutboxRunner::kDelayMaxNs);
  }
  courier.answer(404);
  courier.answer(200);
  const OutboxCommit commit = told();
  ASSERT_EQ(commit.letters.size(), 1u);
  EXPECT_EQ(commit.letters[0].offset, 0);
  EXPECT_EQ(commit.letters[0].key, "hook/1/0:5/0");
  EXPECT_EQ(commit.letters[0].why, "refused 5 times, at last answered with 404");
  EXPECT_EQ(commit.posted, 1u);
  EXPECT_EQ(reports.size(), 3u) << "each reason once in a row";
}

// A row as deep and with numbers as long as SQL makes them: in the record it is one deeper.
TEST_F(OutboxRunnerTest, WhatRowsHoldIsPostedAsItIs) {
  std::string deep = "1";
  for (int i = 0; i < 32; ++i) deep = R"({"a":)" + deep + "}";
  for (const std::string& row :
       {deep, R"({"n":)" + std::string(36, '9') + "}", std::string(R"({"a":"}\",\"body\":"})")}) {
    holds(row);
    answer_read({"hook/1/0:5/0"});
    ASSERT_TRUE(courier.under_way) << row;
    EXPECT_EQ(courier.posts.back(), "hook hook/1/0:5/0 http://a/ " + row);
    courier.answer(200);
    answer_told(std::nullopt, told().upto);
  }
}

TEST_F(OutboxRunnerTest, WhatCannotBeReadIsADeadLetter) {
  value = R"({"uri":"http://a/"})";
  answer_read({"hook/1/0:5/0", "other/1/0:6/0", "hook/1/0:7/0"});
  EXPECT_TRUE(courier.posts.empty());
  const OutboxCommit commit = told();
  EXPECT_EQ(commit.upto, 3);
  ASSERT_EQ(commit.letters.size(), 2u);
  EXPECT_EQ(commit.letters[1].offset, 2);
  EXPECT_EQ(commit.letters[1].key, "hook/1/0:7/0");
  EXPECT_EQ(commit.letters[1].why, "the record of the outbox cannot be read");
  answer_told(std::nullopt, 3);
  torn = true;
  answer_read({"hook/1/0:8/0", "hook/1/0:9/0"});
  const OutboxCommit of_batch = told();
  EXPECT_EQ(of_batch.upto, 5);
  ASSERT_EQ(of_batch.letters.size(), 1u);
  EXPECT_NE(of_batch.letters[0].why.find("the 2 records from 3 to 4 are one batch"), std::string::npos);
}

// No more letters than one command takes.
TEST_F(OutboxRunnerTest, ManyThatCannotBeReadAreToldInParts) {
  value = "{}";
  answer_read(std::vector<std::string>(OutboxRunner::kTellMax + 6, "hook/1/0:5/0"));
  EXPECT_EQ(told().letters.size(), OutboxRunner::kTellMax);
  answer_told(Errc::overloaded);
  pass(OutboxRunner::kTickNs);
  EXPECT_EQ(told().letters.size(), OutboxRunner::kTellMax);
  answer_told(std::nullopt, OutboxRunner::kTellMax);
  EXPECT_EQ(told().letters.size(), 6u);
}

TEST_F(OutboxRunnerTest, WhatMayNotBePostedWaitsForItsOperator) {
  courier.why = "iot.http_allow does not list a";
  answer_read({"hook/1/0:5/0"});
  pass(OutboxRunner::kDelayMaxNs);
  pass(OutboxRunner::kDelayMaxNs);
  EXPECT_EQ(reports.size(), 1u);
  courier.why.clear();
  pass(OutboxRunner::kDelayMaxNs);
  EXPECT_TRUE(courier.under_way);
}

TEST_F(OutboxRunnerTest, APausedRuleSendsNothingAndBeginsWhereTheMachineIs) {
  answer_read({"hook/1/0:5/0", "hook/1/0:6/0"});
  runner.take_rules({});
  EXPECT_FALSE(courier.under_way) << "forgotten";
  runner.take_rules({row_of("hook", 0)});
  ASSERT_EQ(asked.reads.size(), 1u);
  EXPECT_EQ(asked.reads.front().second.offset, 0);
  answer_read({"hook/1/0:5/0"});
  EXPECT_EQ(courier.posts[0], courier.posts[1]) << "again, under its key";
}

TEST_F(OutboxRunnerTest, WhereItIsNotItBeginsAnewWithTheNextLook) {
  answer_read({"hook/1/0:5/0"});
  courier.answer(200);
  told();
  answer_told(Errc::stale);
  EXPECT_TRUE(asked.reads.empty());
  runner.take_rules({row_of("hook", 3)});
  EXPECT_EQ(asked.reads.front().second.offset, 3);
}

TEST_F(OutboxRunnerTest, WhatFindsNoRoomIsToldAgain) {
  answer_read({"hook/1/0:5/0"});
  courier.answer(200);
  told();
  answer_told(Errc::overloaded);
  pass(OutboxRunner::kTellNs);
  EXPECT_EQ(told().posted, 1u);
  EXPECT_EQ(courier.posts.size(), 1u);
}

TEST_F(OutboxRunnerTest, AGapIsReportedAndPassedOver) {
  answer_read({}, 6);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].find("records 0 to 5 of iot.outbox"), std::string::npos) << reports[0];
  const OutboxCommit commit = told();
  EXPECT_EQ(commit.from, 6);
  EXPECT_EQ(commit.upto, 6);
  answer_told(std::nullopt, 6);
  EXPECT_EQ(asked.reads.front().second.offset, 6);
}

TEST_F(OutboxRunnerTest, RecordsOfOthersMoveThePositionToo) {
  const std::vector<std::string> others(512, "other/1/0:5/0");
  for (Offset upto = 0; upto < OutboxRunner::kPassMax; upto += 512) answer_read(others);
  EXPECT_EQ(told().upto, OutboxRunner::kPassMax);
}

// A rule that posts rarely stays before what retention takes.
TEST_F(OutboxRunnerTest, WhereItIsIsToldAfterAWhileToo) {
  answer_read({"other/1/0:5/0"});
  answer_read({});
  ASSERT_EQ(asked.subscriptions, std::vector<Offset>{1});
  pass(OutboxRunner::kPassNs / 2);
  EXPECT_TRUE(asked.submissions.empty());
  // Others' go on meanwhile.
  runner.on_advanced(1, 2);
  answer_read({"other/1/0:6/0"});
  answer_read({});
  EXPECT_TRUE(asked.submissions.empty());
  pass(OutboxRunner::kPassNs / 2);
  const OutboxCommit commit = told();
  EXPECT_EQ(commit.from, 0);
  EXPECT_EQ(commit.upto, 2);
  answer_told(std::nullopt, 2);
  answer_read({});
  pass(2 * OutboxRunner::kPassNs);
  EXPECT_TRUE(asked.submissions.empty()) << "it is where the machine is";
}

// It was put without its post and with it again before anybody looked.
TEST_F(OutboxRunnerTest, WhatWasWithdrawnIsNotSent) {
  answer_read({"hook/1/0:5/0", "hook/1/0:6/0"});
  ASSERT_TRUE(courier.under_way);
  RuleRow again = row_of("hook", 2);
  again.version = 9;
  runner.take_rules({again});
  EXPECT_FALSE(courier.under_way) << "forgotten";
  ASSERT_EQ(asked.reads.size(), 1u);
  EXPECT_EQ(asked.reads.front().second.offset, 2);
  answer_read({"hook/9/0:8/0"});
  EXPECT_EQ(courier.posts.back(), R"(hook hook/9/0:8/0 http://a/ {"n":1})");
}

TEST_F(OutboxRunnerTest, QueriesAreNotShown) {
  value = R"({"url":"http://a/x?token=secret","body":{}})";
  answer_read({"hook/1/0:5/0"});
  EXPECT_EQ(courier.posts.back(), "hook hook/1/0:5/0 http://a/x?token=secret {}");
  for (uint32_t i = 1; i < OutboxRunner::kRefusalsMax; ++i) {
    courier.answer(404);
    pass(OutboxRunner::kDelayMaxNs);
  }
  courier.answer(404);
  EXPECT_EQ(told().letters.at(0).url, "http://a/x");
  EXPECT_EQ(reports.at(0).find("secret"), std::string::npos) << reports.at(0);
}

}  // namespace
}  // namespace heptane::iot::rules
