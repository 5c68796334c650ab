// The executor against a model that looks at all points for every row, with random points, queries and pieces.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "modules/iot/gateway/series/select.h"

namespace heptane::iot::series {
namespace {

using Random = std::mt19937_64;
constexpr int64_t kNow = 100;

struct Point {
  int64_t time = 0;
  int64_t number = 0;  // a real is an eighth of it
};

// Points of fields `r` (reals) and `i` (integers) by series.
class Memory final : public PointSource {
 public:
  Memory(Random& random, size_t series) : random_(random) {
    for (size_t i = 0; i < series; ++i) {
      std::string key = "m,host=h" + std::to_string(i % 3) + ",n=" + std::to_string(i);
      entries_.push_back({key, parts_of(key)});
    }
    std::sort(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    for (const SeriesEntry& entry : entries_)
      for (const char* field : {"i", "r"})
        for (uint64_t n = random() % 12; n > 0; --n)
          points_[{entry.key, field}][static_cast<int64_t>(random() % 120) - 20] =
              static_cast<int64_t>(random() % 40) - 10;
  }
  std::vector<const SeriesEntry*> series(const std::string& measurement) const override {
    std::vector<const SeriesEntry*> all;
    if (measurement == "m")
      for (const SeriesEntry& entry : entries_) all.push_back(&entry);
    return all;
  }
  std::vector<FieldInfo> fields(const std::string& measurement) const override {
    if (measurement != "m") return {};
    return {{"i", "i", FieldType::integer}, {"r", "r", FieldType::real}};
  }
  Result<Piece> points(const SeriesEntry& series, const std::string& field, TimeRange range) const override {
    Piece piece;
    piece.column.type = field == "i" ? FieldType::integer : FieldType::real;
    const auto found = points_.find({series.key, field});
    if (found == points_.end()) return piece;
    size_t most = 1 + random_() % 4;
    for (auto at = found->second.lower_bound(range.from); at != found->second.end() && at->first <= range.to; ++at) {
      if (most-- == 0) {
        piece.last = false;
        piece.next_from = at->first;
        break;
      }
      piece.column.add(at->first, bits_of(field, at->second));
    }
    return piece;
  }
  static uint64_t bits_of(const std::string& field, int64_t number) {
    return field == "i" ? static_cast<uint64_t>(number) : std::bit_cast<uint64_t>(static_cast<double>(number) / 8);
  }
  const std::vector<SeriesEntry>& entries() const { return entries_; }
  std::vector<Point> of(const SeriesEntry& entry, const std::string& field) const {
    std::vector<Point> all;
    const auto found = points_.find({entry.key, field});
    if (found == points_.end()) return all;
    for (const auto& [time, number] : found->second) all.push_back({time, number});
    return all;
  }

 private:
  Random& random_;
  std::vector<SeriesEntry> entries_;
  std::map<std::pair<std::string, std::string>, std::map<int64_t, int64_t>> points_;
};

std::string text_of(const Cell& cell) {
  if (const auto* whole = std::get_if<int64_t>(&cell)) return std::to_string(*whole);
  if (const auto* real = std::get_if<double>(&cell)) return std::to_string(*real);
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  return "null";
}

std::string text_of(const std::vector<Table>& tables) {
  std::string out;
  for (const Table& table : tables) {
    out += table.name;
    for (const auto& [key, value] : table.tags) out += "," + key + "=" + value;
    out += '\n';
    for (const auto& row : table.rows) {
      for (const Cell& cell : row) out += text_of(cell) + ' ';
      out += '\n';
    }
  }
  return out;
}

Result<std::vector<Table>> run(const std::string& text, const PointSource& source) {
  const auto parsed = parse_influxql(text, kNow);
  if (!parsed) return parsed.error();
  auto made = SelectRun::begin(parsed->front().select, source, kNow);
  if (!made) return made.error();
  while (true) {
    const Result<bool> more = (*made)->step();
    if (!more) return more.error();
    if (!*more) return (*made)->take();
  }
}

std::string answer(const std::string& text, const PointSource& source) {
  const auto tables = run(text, source);
  return tables ? text_of(*tables) : "error: " + tables.error().message;
}

// One aggregate of points in the order of time, then of series; empty: none.
std::string naive(const std::string& function, const std::string& field, std::vector<Point> points) {
  if (points.empty()) return function == "count" ? "0" : "null";
  const auto show = [&](double number) {
    return field == "i" ? std::to_string(static_cast<int64_t>(number)) : std::to_string(number / 8);
  };
  double sum = 0;
  for (const Point& point : points) sum += static_cast<double>(point.number);
  const auto less = [](const Point& a, const Point& b) { return a.number < b.number; };
  if (function == "count") return std::to_string(points.size());
  if (function == "sum") return show(sum);
  if (function == "mean") return std::to_string(sum / static_cast<double>(points.size()) / (field == "i" ? 1 : 8));
  if (function == "min") return show(static_cast<double>(std::min_element(points.begin(), points.end(), less)->number));
  if (function == "max") return show(static_cast<double>(std::max_element(points.begin(), points.end(), less)->number));
  if (function == "first") return show(static_cast<double>(points.front().number));
  if (function == "last") return show(static_cast<double>(points.back().number));
  std::stable_sort(points.begin(), points.end(), less);
  const double place = std::floor(static_cast<double>(points.size()) * 0.5 + 0.5) - 1;
  if (place < 0) return "null";
  return show(static_cast<double>(points[static_cast<size_t>(place)].number));
}

int64_t window_of(int64_t time, int64_t interval) {
  return static_cast<int64_t>(std::floor(static_cast<double>(time) / static_cast<double>(interval))) * interval;
}

// Of the groups by `host`, in order: their series.
std::map<std::string, std::vector<const SeriesEntry*>> by_host(const Memory& memory, bool by) {
  std::map<std::string, std::vector<const SeriesEntry*>> groups;
  for (const SeriesEntry& entry : memory.entries()) groups[by ? entry.parts.tags[0].second : ""].push_back(&entry);
  return groups;
}

std::vector<Point> points_of(const Memory& memory, const std::vector<const SeriesEntry*>& series,
                             const std::string& field, int64_t from, int64_t to) {
  std::vector<Point> all;
  for (const SeriesEntry* entry : series)
    for (const Point& point : memory.of(*entry, field))
      if (point.time >= from && point.time <= to) all.push_back(point);
  std::stable_sort(all.begin(), all.end(), [](const Point& a, const Point& b) { return a.time < b.time; });
  return all;
}

TEST(Select, AggregatesAsTheModelDoes) {
  Random random(3);
  const std::string functions[] = {"mean", "sum", "count", "min", "max", "first", "last", "percentile"};
  for (int round = 0; round < 600; ++round) {
    const Memory memory(random, 1 + random() % 6);
    const std::string& function = functions[random() % 8];
    const std::string field = random() % 2 == 0 ? "i" : "r";
    const bool by = random() % 2 == 0;
    const auto from = static_cast<int64_t>(random() % 60) - 20;
    const int64_t to = from + static_cast<int64_t>(random() % 60);
    const auto interval = static_cast<int64_t>(1 + random() % 20);
    const std::string query = "SELECT " + function + "(" + field + (function == "percentile" ? ",50" : "") +
                              ") FROM m WHERE time >= " + std::to_string(from) + " AND time <= " + std::to_string(to) +
                              " GROUP BY time(" + std::to_string(interval) + "ns)" + (by ? ",host" : "");
    std::string expected;
    for (const auto& [host, series] : by_host(memory, by)) {
      const auto points = points_of(memory, series, field, from, to);
      if (points.empty()) continue;
      expected += by ? "m,host=" + host + "\n" : "m\n";
      for (int64_t at = window_of(from, interval); at <= to; at += interval) {
        std::vector<Point> inside;
        for (const Point& point : points)
          if (window_of(point.time, interval) == at) inside.push_back(point);
        expected += std::to_string(at) + " " + naive(function, field, inside) + " \n";
      }
    }
    ASSERT_EQ(answer(query, memory), expected) << query << " in round " << round;
  }
}

TEST(Select, RowsAsTheModelDoes) {
  Random random(4);
  for (int round = 0; round < 400; ++round) {
    const Memory memory(random, 1 + random() % 6);
    const bool by = random() % 2 == 0;
    const bool descending = random() % 2 == 0;
    const auto from = static_cast<int64_t>(random() % 60) - 20;
    const int64_t to = from + static_cast<int64_t>(random() % 60);
    const uint64_t limit = random() % 6;
    const uint64_t offset = random() % 3;
    const std::string query = "SELECT i, n, r FROM m WHERE time >= " + std::to_string(from) +
                              " AND time <= " + std::to_string(to) + (by ? " GROUP BY host" : "") + " ORDER BY time " +
                              (descending ? "DESC" : "ASC") + (limit > 0 ? " LIMIT " + std::to_string(limit) : "") +
                              " OFFSET " + std::to_string(offset);
    std::string expected;
    for (const auto& [host, series] : by_host(memory, by)) {
      std::map<std::pair<int64_t, size_t>, std::string> rows;
      for (size_t i = 0; i < series.size(); ++i) {
        std::map<int64_t, std::map<std::string, int64_t>> both;
        for (const std::string field : {"i", "r"})
          for (const Point& point : points_of(memory, {series[i]}, field, from, to))
            both[point.time][field] = point.number;
        for (const auto& [time, fields] : both)
          rows[{time, i}] =
              std::to_string(time) + " " + (fields.contains("i") ? std::to_string(fields.at("i")) : "null") + " " +
              series[i]->parts.tags[1].second + " " +
              (fields.contains("r") ? std::to_string(static_cast<double>(fields.at("r")) / 8) : "null") + " \n";
      }
      std::vector<std::string> lines;
      for (const auto& [key, row] : rows) lines.push_back(row);
      if (descending) std::reverse(lines.begin(), lines.end());
      std::string shown;
      for (size_t i = offset; i < lines.size() && (limit == 0 || i < offset + limit); ++i) shown += lines[i];
      if (!shown.empty()) expected += (by ? "m,host=" + host + "\n" : "m\n") + shown;
    }
    ASSERT_EQ(answer(query, memory), expected) << query << " in round " << round;
  }
}

// One series of the field `v`.
class Few final : public PointSource {
 public:
  Few() {
    for (const auto& [time, value] : {std::pair<int64_t, int64_t>{0, 10}, {10, 30}, {40, 60}}) {
      column_.type = FieldType::integer;
      column_.add(time, static_cast<uint64_t>(value));
    }
  }
  std::vector<const SeriesEntry*> series(const std::string&) const override { return {&entry_}; }
  std::vector<FieldInfo> fields(const std::string&) const override {
    return {{"s", "s", FieldType::text}, {"v", "v", FieldType::integer}};
  }
  Result<Piece> points(const SeriesEntry&, const std::string& field, TimeRange range) const override {
    Piece piece;
    piece.column.type = FieldType::integer;
    for (size_t i = 0; field == "v" && i < column_.size(); ++i)
      if (column_.times[i] >= range.from && column_.times[i] <= range.to) piece.column.add_from(column_, i);
    return piece;
  }

 private:
  SeriesEntry entry_{"m,a=b", parts_of("m,a=b")};
  Column column_;
};

TEST(Select, Fills) {
  const Few few;
  const std::string query = "SELECT mean(v) FROM m WHERE time >= 0 AND time < 50 GROUP BY time(10ns) fill(";
  const std::string head = "m\n0 10.000000 \n10 30.000000 \n";
  const std::string tail = "40 60.000000 \n";
  EXPECT_EQ(answer(query + "none)", few), head + tail);
  EXPECT_EQ(answer(query + "null)", few), head + "20 null \n30 null \n" + tail);
  EXPECT_EQ(answer(query + "previous)", few), head + "20 30.000000 \n30 30.000000 \n" + tail);
  EXPECT_EQ(answer(query + "linear)", few), head + "20 40.000000 \n30 50.000000 \n" + tail);
  EXPECT_EQ(answer(query + "7)", few), head + "20 7.000000 \n30 7.000000 \n" + tail);
}

TEST(Select, Derivatives) {
  const Few few;
  EXPECT_EQ(answer("SELECT derivative(v, 10ns) FROM m", few), "m\n10 20.000000 \n40 10.000000 \n");
  EXPECT_EQ(
      answer("SELECT derivative(mean(v), 10ns) FROM m WHERE time >= 0 AND time < 50 GROUP BY time(10ns) fill(linear)",
             few),
      "m\n10 20.000000 \n20 10.000000 \n30 10.000000 \n40 10.000000 \n");
}

TEST(Select, WithoutWindows) {
  const Few few;
  EXPECT_EQ(answer("SELECT max(v) FROM m", few), "m\n40 60 \n") << "the point's own time";
  EXPECT_EQ(answer("SELECT sum(v), count(v) FROM m", few), "m\n0 100 3 \n");
  EXPECT_EQ(answer("SELECT sum(v) FROM m WHERE time > 1", few), "m\n2 90 \n");
  EXPECT_EQ(answer("SELECT * FROM m WHERE a != 'b'", few), "");
  EXPECT_EQ(answer("SELECT nothing FROM m", few), "");
  EXPECT_EQ(answer("SELECT a FROM m", few), "") << "a tag alone has no points";
}

TEST(Select, RefusesWhatDoesNotFit) {
  const Few few;
  EXPECT_EQ(answer("SELECT mean(s) FROM m", few), "error: mean() needs numbers: field s is a string");
  EXPECT_EQ(answer("SELECT v FROM m WHERE s = 'x'", few), "error: conditions on fields are not supported: s");
  EXPECT_EQ(answer("SELECT mean(v) FROM m WHERE time >= 0 AND time < 1h GROUP BY time(1u)", few),
            "error: the answer would be more than 2,000,000 values: ask for less time, fewer series or a LIMIT");
  EXPECT_EQ(
      answer(
          "SELECT max(v) FROM m WHERE time >= -9223372036854775807 AND time <= 9223372036854775807 GROUP BY time(1ns)",
          few),
      "error: the answer would be more than 2,000,000 values: ask for less time, fewer series or a LIMIT");
  EXPECT_EQ(
      answer("SELECT max(v), min(v), sum(v) FROM m WHERE time >= -9223372036854775807 AND time <= 9223372036854775807 "
             "GROUP BY time(1ns)",
             few),
      "error: the answer would be more than 2,000,000 values: ask for less time, fewer series or a LIMIT");
  EXPECT_EQ(answer("SELECT max(v) FROM m WHERE time >= -9223372036854775807 AND time < 50 GROUP BY time(1h)", few),
            "error: the answer would be more than 2,000,000 values: ask for less time, fewer series or a LIMIT");
}

// A long text at 0 and nothing behind it.
// A measurement of so many fields; none has a point.
class Wide final : public PointSource {
 public:
  explicit Wide(size_t fields) : fields_(fields) {}
  std::vector<const SeriesEntry*> series(const std::string&) const override { return {&entry_}; }
  std::vector<FieldInfo> fields(const std::string&) const override {
    std::vector<FieldInfo> all;
    for (size_t i = 0; i < fields_; ++i)
      all.push_back({"f" + std::to_string(i), "f" + std::to_string(i), FieldType::real});
    return all;
  }
  Result<Piece> points(const SeriesEntry&, const std::string&, TimeRange) const override { return Piece{}; }

 private:
  const size_t fields_;
  SeriesEntry entry_{"m", parts_of("m")};
};

TEST(Select, AStarIsAsManyColumnsAsMayBeNamed) {
  const std::string much = "error: * would be more than 256 columns: name those that are wanted";
  EXPECT_EQ(answer("SELECT * FROM m", Wide(257)), much);
  EXPECT_NE(answer("SELECT * FROM m", Wide(256)), much);
}

class LongText final : public PointSource {
 public:
  std::vector<const SeriesEntry*> series(const std::string&) const override { return {&entry_}; }
  std::vector<FieldInfo> fields(const std::string&) const override { return {{"s", "s", FieldType::text}}; }
  Result<Piece> points(const SeriesEntry&, const std::string&, TimeRange) const override {
    Piece piece;
    piece.column.type = FieldType::text;
    piece.column.add(0, std::string(kStringBytesMax, 'x'));
    return piece;
  }

 private:
  SeriesEntry entry_{"m", parts_of("m")};
};

TEST(Select, TextsAreChargedWhenTheyAreCopied) {
  EXPECT_EQ(
      answer("SELECT last(s) FROM m WHERE time >= 0 AND time < 10000 GROUP BY time(1ns) fill(previous)", LongText()),
      "error: the answer would take more than 256 MiB: ask for less time, fewer series or a LIMIT");
}

TEST(Select, AnswersToOneRequestShareABudget) {
  const Few few;
  const auto budget = std::make_shared<AnswerBudget>(10, size_t{1} << 20);
  const auto rows = [&](const std::string& text) {
    auto made = SelectRun::begin(parse_influxql(text, kNow)->front().select, few, kNow, budget);
    while (true) {
      const Result<bool> more = (*made)->step();
      if (!more) return -1;
      if (!*more) return static_cast<int>((*made)->take().front().rows.size());
    }
  };
  EXPECT_EQ(rows("SELECT v FROM m"), 3);
  EXPECT_EQ(rows("SELECT v FROM m LIMIT 1"), 1) << "what a LIMIT lets go is given back";
  EXPECT_EQ(budget->used().cells, 8U);
  EXPECT_EQ(rows("SELECT v FROM m"), -1);
}

}  // namespace
}  // namespace heptane::iot::series
