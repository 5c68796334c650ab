// The projection against a model: the rows of a log up to a position, whenever and however often it was killed.
#include <algorithm>
#include <limits>
#include <random>

#include "modules/data/test/sql_fixture.h"

namespace heptane::data::sql {
namespace {

class SqlStoreTest : public SqlFixture {
 protected:
  // One that is killed drops what it has not committed: nothing of it is closed in order.
  std::unique_ptr<Feed> open_feed() {
    auto feed = std::make_unique<Feed>(history_, feed_options());
    feed_ = feed.get();
    return feed;
  }
  void run_all(Feed& feed) {
    while (feed.run_once() || feed.applied() < history_.durable()) {
    }
  }
  // partition|offset|position|payload of every record up to the position, in order.
  std::vector<std::string> model(Sequence upto, const std::set<PartitionId>& partitions) const {
    std::vector<std::string> rows;
    for (const auto& command : history_.copy())
      for (const FakeRecord& record : command)
        if (record.position <= upto && partitions.contains(record.partition))
          rows.push_back(std::to_string(record.partition - 1) + "|" + std::to_string(record.offset) +
                         "|0:" + std::to_string(record.position) + "|" + record.value);
    std::sort(rows.begin(), rows.end());
    return rows;
  }
  // The same out of the store.
  static std::vector<std::string> stored(Store& store) {
    std::vector<std::string> rows;
    const MayRead all = [](std::string_view) { return true; };
    std::shared_ptr<Store> shared(&store, [](Store*) {});
    StatementRun run(**open_duckdb(""), {shared, &all, std::nullopt, 0}, std::make_shared<Running>(**open_duckdb("")));
    const auto wrong = run.prepare(R"(SELECT partition || '|' || "offset" || '|' || position || '|' || value FROM t)");
    EXPECT_FALSE(wrong) << wrong->message;
    EXPECT_FALSE(run.execute({}));
    for (;;) {
      const auto next = run.next();
      const auto& chunk = std::get<std::unique_ptr<Rows>>(next);
      if (chunk == nullptr) break;
      for (size_t i = 0; i < chunk->size(); ++i) rows.emplace_back(chunk->text(0, i));
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }
  std::string random_value(std::mt19937& random) {
    switch (random() % 5) {
      case 0: return R"({"a":)" + std::to_string(random() % 100) + "}";
      case 1: return R"({"a":1.5,"b)" + std::to_string(random() % 20) + R"(":"x"})";
      case 2: return R"({"a":"text","nested":{"c":[1,2]}})";
      case 3: return "no JSON";
      default: return R"({"b1":true,"b2":12345678901234567890})";
    }
  }
};

TEST_F(SqlStoreTest, AKillNeverShowsARecordTwiceOrSkipsOne) {
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    std::mt19937 random(seed);
    std::filesystem::remove_all(directory_ + "/sql");
    history_.step_bytes = 1 + random() % 200;
    if (seed == 1) history_.create("t", {1, 2, 3});
    for (int round = 0; round < 8; ++round) {
      for (uint32_t i = random() % 30; i > 0; --i)
        history_.append(1 + random() % 3, std::vector<std::string>(1 + random() % 4, random_value(random)));
      const std::unique_ptr<Feed> feed = open_feed();
      for (uint32_t turns = random() % 12; turns > 0; --turns) feed->run_once();
      if (feed->store() == nullptr) continue;
      if (feed->applied() == 0) continue;
      EXPECT_EQ(stored(*feed->store()), model(feed->applied(), {1, 2, 3})) << "seed " << seed << " round " << round;
    }
    const std::unique_ptr<Feed> feed = open_feed();
    run_all(*feed);
    EXPECT_EQ(stored(*feed->store()), model(history_.durable(), {1, 2, 3})) << "seed " << seed;
  }
  EXPECT_TRUE(reports_.empty()) << reports_.front();
}

// What a process leaves behind that is killed: the files as they are, while it still has them open.
TEST_F(SqlStoreTest, TheFilesAsAKillLeavesThem) {
  history_.create("t", {1});
  for (int i = 0; i < 50; ++i) history_.append(1, {R"({"n":)" + std::to_string(i) + "}"});
  history_.step_bytes = 20;
  const std::unique_ptr<Feed> feed = open_feed();
  for (int turn = 0; turn < 12; ++turn) {
    feed->run_once();
    const std::string copy = directory_ + "/copy" + std::to_string(turn);
    std::filesystem::create_directories(copy);
    for (const char* part : {"heptane.duckdb", "heptane.duckdb.wal"})
      if (std::filesystem::exists(directory_ + "/sql/" + part))
        std::filesystem::copy_file(directory_ + "/sql/" + part, copy + "/" + part);
    Store store(**open_duckdb(""), {copy, "log", uint64_t{64} << 20, 1, {"*"}});
    if (!store.open() || store.applied() == 0) continue;
    EXPECT_EQ(stored(store), model(store.applied(), {1})) << "turn " << turn;
  }
}

TEST_F(SqlStoreTest, WithoutItsFileItComesBack) {
  history_.create("t", {1});
  history_.append(1, {"one", "two"});
  run_all(*open_feed());
  std::filesystem::remove_all(directory_ + "/sql");
  const std::unique_ptr<Feed> feed = open_feed();
  run_all(*feed);
  EXPECT_EQ(stored(*feed->store()).size(), 2U);
}

TEST_F(SqlStoreTest, AFileThatCannotBeReadIsMovedAside) {
  history_.create("t", {1});
  history_.append(1, {"one"});
  run_all(*open_feed());
  std::filesystem::resize_file(directory_ + "/sql/heptane.duckdb", 100);
  const std::unique_ptr<Feed> feed = open_feed();
  run_all(*feed);
  EXPECT_EQ(stored(*feed->store()).size(), 1U);
  EXPECT_EQ(feed->rebuilds(), 1U);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_NE(reports_[0].find("moved aside"), std::string::npos);
}

// What cannot be written is opened again, and made again where that does not help: not before the last statement has let go of it.
TEST_F(SqlStoreTest, ATableThatIsGoneComesBack) {
  history_.create("t", {1});
  history_.append(1, {"one"});
  const std::unique_ptr<Feed> feed = open_feed();
  run_all(*feed);
  std::shared_ptr<Store> held = feed->store();
  {
    const DuckDb& duckdb = **open_duckdb("");
    Result<OwnedConnection> connection = held->connect();
    ASSERT_TRUE(connection);
    OwnedResult result(duckdb);
    ASSERT_EQ(duckdb.query(connection->get(), "DROP TABLE heptane_storage.s1", result.get()), DuckDBSuccess);
  }
  history_.append(1, {"two"});
  for (int turn = 0; turn < 5; ++turn) EXPECT_FALSE(feed->run_once());
  EXPECT_EQ(feed->state(), Feed::State::failed);
  EXPECT_EQ(feed->store(), nullptr);
  EXPECT_FALSE(feed->failure().empty());
  held.reset();
  run_all(*feed);
  EXPECT_EQ(stored(*feed->store()), model(2, {1}));
  EXPECT_EQ(feed->rebuilds(), 1U);
  EXPECT_TRUE(feed->failure().empty());
}

TEST_F(SqlStoreTest, AFileOfAnotherLogIsMovedAside) {
  history_.create("t", {1});
  history_.append(1, {"one"});
  run_all(*open_feed());
  FeedOptions options = feed_options();
  options.store.log_id = "another";
  Feed feed(history_, std::move(options));
  feed_ = &feed;
  run_all(feed);
  EXPECT_EQ(feed.rebuilds(), 1U);
  EXPECT_EQ(stored(*feed.store()).size(), 1U);
}

TEST_F(SqlStoreTest, OnlyTheStreamsThatAreWanted) {
  history_.create("t", {1});
  history_.create("iot.lines", {2});
  history_.append(1, {"one"});
  history_.append(2, {"two"});
  FeedOptions options = feed_options();
  options.store.streams = {"t"};
  Feed feed(history_, std::move(options));
  feed_ = &feed;
  run_all(feed);
  EXPECT_EQ(feed.store()->catalog()->by_storage.size(), 1U);
}

TEST_F(SqlStoreTest, ATimeBeyondTimestampsIsNull) {
  Store store(**open_duckdb(""), {directory_ + "/far", "log", uint64_t{64} << 20, 1, {"*"}});
  ASSERT_TRUE(store.open());
  history_.create("t", {1});
  store.learn(history_.streams());
  Offset offset = 0;
  for (const int64_t ms : {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(), int64_t{1}}) {
    streams::RecordBatchBuilder builder;
    builder.begin(ms);
    builder.add(ms, false, {}, true, as_bytes(std::string_view("x")));
    ASSERT_TRUE(store.take({1, builder.finish(offset++, 1, true), 1, {}, false}));
  }
  ASSERT_TRUE(store.commit(1));
  const DuckDb& duckdb = **open_duckdb("");
  Result<OwnedConnection> connection = store.connect();
  OwnedResult result(duckdb);
  ASSERT_EQ(duckdb.query(connection->get(), "SELECT count(*), count(timestamp) FROM heptane_storage.s1", result.get()),
            DuckDBSuccess);
  OwnedChunk chunk(duckdb);
  chunk.take(duckdb.fetch_chunk(*result.get()));
  const auto count = [&](size_t column) {
    return *static_cast<const int64_t*>(duckdb.vector_get_data(duckdb.data_chunk_get_vector(chunk.get(), column)));
  };
  EXPECT_EQ(count(0), 3);
  EXPECT_EQ(count(1), 1);
}

// A stream that is made while the streams are asked for is not in the answer.
TEST_F(SqlStoreTest, AStreamThatComesBetweenQuestionAndAnswer) {
  history_.create("t", {1});
  history_.append(1, {"one"});
  std::vector<streams::StreamInfo> asked;
  FeedOptions options = feed_options();
  options.ask_streams = [&] { asked = history_.streams(); };
  Feed feed(history_, std::move(options));
  const auto answer = [&] { feed.describe(asked); };
  feed.run_once();
  answer();
  feed.run_once();
  history_.append(1, {"two"});
  feed.run_once();
  // Asks as time goes; then another stream comes, and the answer is as it was before.
  asked.clear();
  while (asked.empty()) feed.run_once();
  history_.create("u", {2});
  history_.append(2, {"three"});
  feed.run_once();
  answer();
  asked.clear();
  feed.run_once();
  ASSERT_EQ(asked.size(), 2U);
  answer();
  run_all(feed);
  ASSERT_EQ(feed.store()->catalog()->by_storage.count("s2"), 1U);
  const DuckDb& duckdb = **open_duckdb("");
  Result<OwnedConnection> connection = feed.store()->connect();
  OwnedResult result(duckdb);
  ASSERT_EQ(duckdb.query(connection->get(), "SELECT value FROM heptane_storage.s2", result.get()), DuckDBSuccess);
  OwnedChunk chunk(duckdb);
  chunk.take(duckdb.fetch_chunk(*result.get()));
  ASSERT_NE(chunk.get(), nullptr);
  EXPECT_EQ(duckdb.data_chunk_get_size(chunk.get()), 1U);
}

TEST_F(SqlStoreTest, NamesThatSqlCannotTellApartGetASuffix) {
  history_.create("orders", {1});
  history_.create("Orders", {2});
  history_.append(1, {"one"});
  const std::unique_ptr<Feed> feed = open_feed();
  run_all(*feed);
  const auto catalog = feed->store()->catalog();
  EXPECT_EQ(catalog->by_table.at({"public", "orders"}), "s1");
  EXPECT_EQ(catalog->by_table.at({"public", "orders_2"}), "s2");
}

}  // namespace
}  // namespace heptane::data::sql
