// Windows of rules as pure code: what is said of wrong SQL, what aggregates are worth, what is late, where there is no room, and that
// windows which are begun anew anywhere, in the midst of a window's rows too, give what they would have given.
#include "modules/iot/domain/rules/windows.h"

#include <gtest/gtest.h>

#include "kernel/net/http/json.h"
#include "modules/iot/gateway/devices/tree_json.h"
#include "modules/iot/test/window_readings.h"

namespace heptane::iot::rules::test {
namespace {

std::string wrong_sql(const std::string& sql) {
  const auto compiled = Select::compile(sql);
  return compiled ? "" : compiled.error().message;
}

TEST(WindowSql, WhatIsWrongIsSaidWithItsPlace) {
  const std::string window = " FROM 'a' WINDOW TUMBLING (SIZE 1 MINUTE)";
  for (const auto& [sql, why] : std::initializer_list<std::pair<std::string, const char*>>{
           {"SELECT count(*) AS n" + window, ""},
           {"SELECT count(*) AS n, WINDOWSTART AS w, windowend AS e" + window, ""},
           {"SELECT topic(2) AS d, sum(a.b[0]) + 1 AS n" + window + " GROUP BY topic(2) HAVING max(t) > 3", ""},
           {"SELECT upper(topic(2)) AS d FROM 'a' TIMESTAMP BY ts WINDOW TUMBLING (SIZE 2 HOURS, GRACE PERIOD 5 "
            "SECONDS, "
            "TIMEOUT 1 DAY, LATE DEAD_LETTER) WHERE t > 3 GROUP BY topic(2), x",
            ""},
           {"SELECT count(*) AS n FROM 'a'", "at 8, near 'count': this is of a window: say WINDOW TUMBLING"},
           {"SELECT a FROM 'a' GROUP BY a", "at 19, near 'GROUP': this is of a window"},
           {"SELECT a FROM 'a' HAVING a", "near 'HAVING': this is of a window"},
           {"SELECT a FROM 'a' TIMESTAMP BY ts WHERE a", "near 'TIMESTAMP': TIMESTAMP BY is of a WINDOW"},
           {"SELECT *" + window, "at 8, near '*': a window has no *"},
           {"SELECT t" + window, "at 8, near 't': this is of one message: GROUP BY it, or say first() or last() of it"},
           {"SELECT topic(1) AS d" + window + " GROUP BY topic(2)", "near 'topic': this is of one message"},
           {"SELECT now() AS d" + window, "near 'now': this is of one message"},
           {"SELECT sum(max(t)) AS d" + window, "near 'max': this is of a window: it stands in SELECT and HAVING"},
           {"SELECT count(*) AS n" + window + " WHERE max(t) > 1", "near 'max': this is of a window: it stands"},
           {"SELECT count(*) AS n" + window + " GROUP BY k WHERE t > 1", "near 'WHERE': a rule ends before this"},
           {"SELECT count(*) AS n FROM 'a' WHERE max(t) > 1", "near 'max': this is of a window: it stands"},
           {"SELECT sum() AS n" + window, "near 'sum': it takes 1 argument, not 0"},
           {"SELECT sum(*) AS n" + window, "near '*': here stands a value"},
           {"SELECT count(*) AS n FROM 'a' WINDOW HOPPING (SIZE 1 MINUTE)", "near 'HOPPING': here stands TUMBLING"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 0 MINUTES)", "near '0': a window has a size"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 1.5 MINUTES)",
            "near '1.5': here stands a whole number"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 1 FORTNIGHT)", "near 'FORTNIGHT': here stands MILLI"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 9999 DAYS)",
            "near '9999': that is more than 366 days"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 63 SECONDS)", "64 windows"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 1 SECOND, TIMEOUT 1 SECOND, TIMEOUT 1 SECOND)",
            "near 'TIMEOUT': that was said already"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 3 SECONDS, TIMEOUT 2 SECONDS)",
            "near ')': the timeout is at least the grace period"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 1 SECOND, LATE DROP)",
            "near 'DROP': here stands DEAD_LETTER"},
           {"SELECT count(*) AS n FROM 'a' WINDOW TUMBLING (SIZE 1 SECOND, RETENTION 1 DAY)",
            "near 'RETENTION': here stands"}}) {
    const std::string said = wrong_sql(sql);
    if (std::string_view(why).empty())
      EXPECT_EQ(said, "") << sql;
    else
      EXPECT_NE(said.find(why), std::string::npos) << sql << "\n" << said;
  }
}

class WindowsTest : public testing::Test {
 protected:
  void begin(const std::string& sql, const WindowPlace& place = {}) {
    auto compiled = Select::compile(sql);
    ASSERT_TRUE(compiled.ok()) << compiled.error().message;
    query = std::make_shared<const Select>(std::move(*compiled));
    windows.emplace(query, place);
  }
  // What became of it.
  std::string offer(const std::string& payload, int64_t ms = 0) {
    const auto document = http::JsonDocument::parse(payload);
    devices::JsonTree tree;
    if (document) tree = devices::tree_of((*document)->root());
    const Message message{"plant/a/temp", payload, document ? &tree : nullptr, ms, offset++};
    Result<Windows::Taken> taken = windows->offer(message);
    while (taken && *taken == Windows::Taken::not_yet) {
      rows();
      taken = windows->offer(message);
    }
    if (!taken) return taken.error().message;
    return *taken == Windows::Taken::kept ? "kept" : *taken == Windows::Taken::late ? "late" : "unwanted";
  }
  void rows() {
    while (windows->is_due()) {
      const auto row = windows->take_row();
      ASSERT_TRUE(row);
      if (!row->row)
        taken.push_back("error " + row->row.error().message);
      else if (*row->row)
        taken.push_back(json_of(**row->row));
    }
  }
  std::vector<std::string> close() {
    windows->raise(INT64_MAX / 2);
    rows();
    return std::exchange(taken, {});
  }

  std::shared_ptr<const Select> query;
  std::optional<Windows> windows;
  int64_t offset = 0;
  std::vector<std::string> taken;
};

using Rows = std::vector<std::string>;

TEST_F(WindowsTest, AggregatesAreExact) {
  begin(
      "SELECT count(*) AS n, count(v) AS m, sum(v) AS s, avg(v) AS a, mean(v) * 3 AS b, min(v) AS lo, max(v) AS hi, "
      "first(w) AS f, last(w) AS l, WINDOWEND - WINDOWSTART AS size FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND)");
  offer(R"({"v":0.1,"w":"x"})", 500);
  offer(R"({"v":0.2,"w":"y"})", 900);
  offer(R"({"v":null,"w":2})", 100);
  offer(R"({"w":true})", 900);
  EXPECT_EQ(offer(R"({"v":"text"})", 900), "a text is no number to reckon with");
  EXPECT_EQ(offer(R"({"w":[1]})", 900), "first and last take no array or object: json_encode() makes a text of it");
  EXPECT_EQ(close(), Rows{R"({"n":4,"m":2,"s":0.3,"a":0.15,"b":0.45,"lo":0.1,"hi":0.2,"f":2,"l":true,"size":1000})"});
}

TEST_F(WindowsTest, WhatHasNoValueIsNull) {
  begin("SELECT sum(v) AS s, avg(v) AS a, min(v) AS lo, first(v) AS f FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND)");
  offer("{}");
  EXPECT_EQ(close(), Rows{R"({"s":null,"a":null,"lo":null,"f":null})"});
  EXPECT_EQ(close(), Rows{}) << "a window without records has no row";
}

TEST_F(WindowsTest, ASumThatDoesNotFitIsTheRecordsFaultAndMeansTheRows) {
  const std::string most = R"({"v":"999999999999999999999999999999999999"})";
  begin("SELECT sum(number(v)) AS s, count(*) AS n FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND)");
  EXPECT_EQ(offer(most), "kept");
  EXPECT_EQ(offer(R"({"v":"1"})"), "a sum has more than 36 digits, or 18 behind the point: round() what goes in");
  EXPECT_EQ(offer(R"({"v":"-1"})"), "kept");
  EXPECT_EQ(close(), Rows{R"({"s":999999999999999999999999999999999998,"n":2})"});
  begin("SELECT avg(number(v)) AS a FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND)");
  offer(most);
  ASSERT_EQ(close().front().substr(0, 20), "error a mean has mor");
}

TEST_F(WindowsTest, GroupsAndHaving) {
  begin(
      "SELECT k, topic(2) || ':' || k AS name, sum(v) AS s FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND) WHERE v > 0 "
      "GROUP BY topic(2), k HAVING sum(v) > 1");
  for (const char* payload : {R"({"k":"b","v":1})", R"({"k":"b","v":2})", R"({"k":"a","v":5})", R"({"k":"c","v":1})",
                              R"({"k":null,"v":7})", R"({"k":1.0,"v":1})", R"({"k":1,"v":1})"})
    EXPECT_EQ(offer(payload), "kept");
  EXPECT_EQ(offer(R"({"k":"a","v":0})"), "unwanted");
  EXPECT_EQ(offer(R"({"k":[],"v":1})"), "GROUP BY takes no array or object");
  EXPECT_EQ(offer(R"({"k":")" + std::string(400, 'k') + R"(","v":1})"), "what is grouped by has at most 384 bytes");
  EXPECT_EQ(close(), (Rows{R"({"k":"a","name":"a:a","s":5})", R"({"k":"b","name":"a:b","s":3})",
                           R"({"k":1,"name":"a:1","s":2})", R"({"k":null,"name":null,"s":7})"}));
}

TEST_F(WindowsTest, TheWatermarkClosesAndWhatComesBehindItIsLate) {
  begin(
      "SELECT count(*) AS n, WINDOWSTART AS w FROM 'x' TIMESTAMP BY t WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE "
      "PERIOD 5 MILLISECONDS)");
  const auto at = [&](int64_t t) { return offer("{\"t\":" + std::to_string(t) + "}", 1'000); };
  EXPECT_EQ(at(3), "kept");
  EXPECT_EQ(at(14), "kept");
  EXPECT_EQ(at(9), "kept") << "the window is open until 15 was seen";
  EXPECT_EQ(taken, Rows{});
  EXPECT_EQ(at(15), "kept");
  EXPECT_EQ(taken, Rows{R"({"n":2,"w":0})"});
  EXPECT_EQ(at(9), "late");
  EXPECT_EQ(at(10), "kept");
  EXPECT_EQ(at(60), "kept");
  EXPECT_EQ(taken.back(), R"({"n":3,"w":10})");
  EXPECT_EQ(at(39), "late") << "of a window that nothing was in";
  EXPECT_EQ(at(61'001), "TIMESTAMP BY is more than a minute ahead of the record's own time");
  EXPECT_EQ(offer(R"({"t":-1})"), "TIMESTAMP BY is no whole number of milliseconds from 0 to the year 9999");
  EXPECT_EQ(offer("{}"), "TIMESTAMP BY is NULL: a field that it names is missing");
  EXPECT_EQ(windows->first_end_ms(), 70);
}

// By records as by the clock: what the clock would have closed is closed before a later record is looked at.
TEST_F(WindowsTest, ATimeoutIsTheSameByRecordsAndByTheClock) {
  const std::string sql =
      "SELECT count(*) AS n, WINDOWSTART AS w FROM 'x' TIMESTAMP BY t WINDOW TUMBLING (SIZE 10 MILLISECONDS, TIMEOUT "
      "100 "
      "MILLISECONDS)";
  for (const bool by_clock : {false, true}) {
    begin(sql);
    EXPECT_EQ(offer(R"({"t":3})", 5), "kept");
    EXPECT_EQ(offer(R"({"t":4})", 109), "kept");
    if (by_clock) windows->raise(110 - 100);
    rows();
    EXPECT_EQ(taken, by_clock ? Rows{R"({"n":2,"w":0})"} : Rows{});
    EXPECT_EQ(offer(R"({"t":5})", 110), "late");
    EXPECT_EQ(std::exchange(taken, {}), Rows{R"({"n":2,"w":0})"});
  }
}

// Whatever is made again: a place of other windows made a day's worth of them at once.
TEST_F(WindowsTest, NoMoreWindowsAreOpenThanMayBe) {
  WindowPlace place;
  place.watermark_ms = 1'000'000;
  begin("SELECT count(*) AS n FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND)", place);
  for (int64_t ms = 0; ms < 1'000'000; ms += 1'000) windows->rebuild({"plant/a/temp", "{}", nullptr, ms, offset++});
  rows();
  EXPECT_EQ(taken.size(), 2U);
}

TEST_F(WindowsTest, ATimeBehindTheLatestIsNone) {
  begin("SELECT count(*) AS n FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND)");
  EXPECT_EQ(offer("{}", 1'000), "kept");
  const Message far{"plant/a/temp", "{}", nullptr, 99'000, offset++};
  EXPECT_FALSE(windows->offer(far, 98'999).ok());
  EXPECT_EQ(offer("{}", 1'500), "kept");
  const WindowPlace place = windows->place(offset);
  windows.emplace(query, place);
  for (const int64_t ms : {1'000, 99'000, 1'500}) windows->rebuild({"plant/a/temp", "{}", nullptr, ms, 0});
  EXPECT_EQ(close(), Rows{R"({"n":2})"});
}

TEST_F(WindowsTest, AWindowHasRoomForSoMuch) {
  begin("SELECT last(v) AS l FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k");
  const auto put = [&](size_t key, size_t size) {
    return offer("{\"k\":" + std::to_string(key) + ",\"v\":\"" + std::string(size, 'v') + "\"}");
  };
  EXPECT_EQ(put(0, kHeldTextBytesMax + 1), "first and last take texts of at most 4 KiB");
  size_t key = 0;
  while (put(key, kHeldTextBytesMax) == "kept") ++key;
  EXPECT_EQ(key, static_cast<size_t>(kRuleBytesMax) / 2 / (kHeldTextBytesMax + 256 + 128 + sizeof(Value) + 2 * 5));
  EXPECT_EQ(put(key, kHeldTextBytesMax), "the window has no room for more: it may have 4096 KiB");
  EXPECT_EQ(put(0, 1), "kept") << "a smaller text makes room";
  EXPECT_EQ(put(key, 1'000), "kept");
  for (size_t again = 0; again < 5'000; ++again)
    ASSERT_EQ(put(0, again % 7), "kept") << "what is replaced counts no more";
  begin("SELECT count(*) AS n FROM 'x' WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k");
  for (key = 0; key < kGroupsMax; ++key) ASSERT_EQ(put(key, 1), "kept");
  EXPECT_EQ(put(key, 1), "the window has 4,096 groups, and no more");
  EXPECT_EQ(put(0, 1), "kept");
  EXPECT_EQ(close().size(), kGroupsMax);
}

// A position, its windows' place and what is out of it change together; all else is lost in a crash.
class Begun {
 public:
  Begun(std::shared_ptr<const Select> query, const std::vector<Reading>& readings)
      : query_(std::move(query)), all_(readings) {
    crash();
  }
  bool ended() const { return at_ == all_.size() && !windows_->is_due(); }
  void commit() {
    place_ = windows_->place(static_cast<int64_t>(at_));
    next_ = at_;
    rows.insert(rows.end(), taken_.begin(), taken_.end());
    late += std::exchange(late_, 0);
    wrong += std::exchange(wrong_, 0);
    taken_.clear();
  }
  void crash() {
    taken_.clear();
    late_ = wrong_ = 0;
    windows_.emplace(query_, place_);
    for (auto i = static_cast<size_t>(place_.restart_at); i < next_; ++i)
      with(i, [&](const Message& message) { windows_->rebuild(message); });
    at_ = next_;
  }
  // A row, or else a record.
  void step() {
    if (windows_->is_due()) {
      const auto row = windows_->take_row();
      if (row && row->row && *row->row) taken_.push_back(json_of(**row->row));
      return;
    }
    with(at_, [&](const Message& message) {
      const auto taken = windows_->offer(message);
      if (taken && *taken == Windows::Taken::not_yet) return;
      if (!taken) ++wrong_;
      if (taken && *taken == Windows::Taken::late) ++late_;
      ++at_;
    });
  }
  // As long as no record is there: at any time up to that of the next one.
  void clock(SeededRandom& random) {
    if (at_ == 0 || at_ == all_.size() || windows_->is_due()) return;
    const int64_t from = all_[at_ - 1].logged_ms;
    const int64_t upto = all_[at_].logged_ms;
    windows_->raise(from + static_cast<int64_t>(random.below(static_cast<uint64_t>(upto - from) + 1)) - kTimeoutMs);
  }

  std::vector<std::string> rows;
  uint64_t late = 0;
  uint64_t wrong = 0;

 private:
  template <class Then>
  void with(size_t index, Then&& then) {
    const std::string payload = all_[index].json();
    const auto document = http::JsonDocument::parse(payload);
    const devices::JsonTree tree = devices::tree_of((*document)->root());
    then(Message{"", payload, &tree, all_[index].logged_ms, static_cast<int64_t>(index)});
  }

  std::shared_ptr<const Select> query_;
  const std::vector<Reading>& all_;
  std::optional<Windows> windows_;
  WindowPlace place_{};
  size_t next_ = 0;
  size_t at_ = 0;
  std::vector<std::string> taken_;
  uint64_t late_ = 0;
  uint64_t wrong_ = 0;
};

void expect_same(const Begun& begun, const WindowModel& model) {
  EXPECT_EQ(begun.rows, model.rows);
  EXPECT_EQ(begun.late, model.late);
  EXPECT_EQ(begun.wrong, model.wrong);
}

class WindowsAnew : public testing::TestWithParam<uint64_t> {};

TEST_P(WindowsAnew, GiveWhatTheModelGives) {
  SeededRandom random(GetParam());
  const bool timeout = GetParam() % 2 == 0;
  auto compiled = Select::compile(windows_sql(timeout));
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  const auto query = std::make_shared<const Select>(std::move(*compiled));
  const std::vector<Reading> readings = some_readings(random, 300);
  WindowModel model(timeout);
  for (const Reading& reading : readings) model.take(reading);
  ASSERT_GT(model.rows.size(), 20u);
  ASSERT_GT(model.late, 0u);

  Begun begun(query, readings);
  while (!begun.ended()) {
    begun.step();
    if (timeout && random.one_in(5)) begun.clock(random);
    if (random.one_in(4)) begun.commit();
    if (random.one_in(6)) begun.crash();
  }
  begun.commit();
  expect_same(begun, model);
}

// Every step once.
TEST(WindowsAnywhere, AfterACrashAtEveryPoint) {
  SeededRandom random(77);
  auto compiled = Select::compile(windows_sql(true));
  const auto query = std::make_shared<const Select>(std::move(*compiled));
  const std::vector<Reading> readings = some_readings(random, 60);
  WindowModel model(true);
  for (const Reading& reading : readings) model.take(reading);
  size_t steps = 0;
  for (size_t crash_at = 0; crash_at <= steps; ++crash_at) {
    Begun begun(query, readings);
    for (steps = 0; !begun.ended(); ++steps) {
      begun.step();
      if (steps % 3 != 1) begun.commit();
      if (steps == crash_at) begun.crash();
    }
    begun.commit();
    ASSERT_NO_FATAL_FAILURE(expect_same(begun, model)) << crash_at;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, WindowsAnew, testing::Range<uint64_t>(1, 41));

}  // namespace
}  // namespace heptane::iot::rules::test
