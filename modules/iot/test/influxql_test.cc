#include <gtest/gtest.h>

#include "modules/iot/gateway/series/influxql.h"
#include "modules/iot/gateway/series/time_literal.h"

namespace heptane::iot::series {
namespace {

constexpr int64_t kNow = 1'700'000'000'000'000'000;
constexpr int64_t kSecond = 1'000'000'000;

Statement one(const std::string& text) {
  const auto parsed = parse_influxql(text, kNow);
  EXPECT_TRUE(parsed.ok()) << text << ": " << (parsed.ok() ? "" : parsed.error().message);
  if (!parsed.ok()) return {};
  for (const auto& condition : {parsed->front().select.where, parsed->front().show.where, parsed->front().show.with})
    EXPECT_TRUE(!condition || compile_patterns(*condition).ok()) << text;
  return parsed->front();
}

std::string refusal(const std::string& text) {
  const auto parsed = parse_influxql(text, kNow);
  EXPECT_FALSE(parsed.ok()) << text;
  return parsed.ok() ? "" : parsed.error().message;
}

bool holds_for(const std::string& where, const std::vector<std::pair<std::string, std::string>>& tags) {
  return holds(*one("SELECT v FROM m WHERE " + where).select.where, tags);
}

TEST(InfluxQl, ReadsASelect) {
  const Select select =
      one("select MEAN(\"idle\"), percentile(busy, 99.5) as p from db.autogen.\"c p u\" where time >= "
          "now() - 1h and time < '2023-11-15' and host =~ /^a\\/b/ group by time(10s, 3s), host, \"zone\" "
          "fill(previous) order by time desc limit 5 offset 2")
          .select;
  ASSERT_EQ(select.columns.size(), 2U);
  EXPECT_EQ(select.columns[0].function, Function::mean);
  EXPECT_EQ(select.columns[0].field, "idle");
  EXPECT_EQ(select.columns[0].column, "mean");
  EXPECT_EQ(select.columns[1].percent, 99.5);
  EXPECT_EQ(select.columns[1].column, "p");
  EXPECT_EQ(select.source.database, "db");
  EXPECT_EQ(select.source.measurement, "c p u");
  EXPECT_EQ(select.time.from, kNow - 3'600 * kSecond);
  EXPECT_EQ(select.time.to, 1'700'006'400 * kSecond - 1);
  EXPECT_EQ(select.interval_ns, 10 * kSecond);
  EXPECT_EQ(select.interval_offset_ns, 3 * kSecond);
  EXPECT_EQ(select.by_tags, (std::vector<std::string>{"host", "zone"}));
  EXPECT_EQ(select.fill, Fill::previous);
  EXPECT_TRUE(select.descending);
  EXPECT_EQ(select.limit, 5U);
  EXPECT_EQ(select.offset, 2U);
  EXPECT_TRUE(holds(*select.where, {{"host", "a/b"}}));
}

TEST(InfluxQl, ReadsSeveralStatements) {
  const auto parsed = parse_influxql("CREATE DATABASE a; SHOW DATABASES;;DROP DATABASE \"b\"", kNow);
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed->size(), 3U);
  EXPECT_EQ((*parsed)[0].database, "a");
  EXPECT_EQ((*parsed)[2].kind, Statement::Kind::drop_database);
  EXPECT_EQ((*parsed)[2].database, "b");
}

TEST(InfluxQl, ReadsShow) {
  EXPECT_EQ(one("SHOW MEASUREMENTS ON x").show.source.database, "x");
  EXPECT_EQ(one("SHOW RETENTION POLICIES ON x").show.kind, ShowKind::policies);
  EXPECT_EQ(one("SHOW RETENTION POLICIES ON x").show.source.database, "x");
  EXPECT_EQ(one("show retention policies").show.source.database, "");
  EXPECT_EQ(one("show series from m where a='b' limit 3").show.limit, 3U);
  const Show values = one("SHOW TAG VALUES ON d FROM m WITH KEY IN (a, \"b\")").show;
  EXPECT_EQ(values.source.measurement, "m");
  EXPECT_TRUE(key_holds(*values.with, "b"));
  EXPECT_FALSE(key_holds(*values.with, "c"));
  EXPECT_TRUE(key_holds(*one("SHOW TAG VALUES WITH KEY =~ /h.*/").show.with, "host"));
}

// As dashboards ask while a name is being typed.
TEST(InfluxQl, ReadsMeasurementsByName) {
  const Show by_name = one("SHOW MEASUREMENTS ON d WITH MEASUREMENT = \"c p u\" LIMIT 100").show;
  EXPECT_EQ(by_name.source.database, "d");
  EXPECT_EQ(by_name.limit, 100U);
  EXPECT_TRUE(key_holds(*by_name.with, "c p u"));
  EXPECT_FALSE(key_holds(*by_name.with, "cpu"));
  const Show by_pattern = one("show measurements with measurement =~ /(?i)cpu\\.u/ where host = 'a' limit 5").show;
  EXPECT_TRUE(key_holds(*by_pattern.with, "The CPU.USE"));
  EXPECT_FALSE(key_holds(*by_pattern.with, "cpu_use"));
  EXPECT_TRUE(by_pattern.where.has_value());
  EXPECT_FALSE(key_holds(*one("SHOW MEASUREMENTS WITH MEASUREMENT =~ /cpu/").show.with, "CPU"));
  EXPECT_EQ(refusal("SHOW MEASUREMENTS WITH MEASUREMENT != cpu"), "error parsing query: found !=, expected = or =~");
  EXPECT_EQ(refusal("SHOW MEASUREMENTS WITH KEY = cpu"), "error parsing query: found KEY, expected measurement");
  EXPECT_EQ(refusal("SHOW SERIES WITH MEASUREMENT = cpu"), "error parsing query: found WITH, expected ; or the end");
}

TEST(InfluxQl, Conditions) {
  const std::vector<std::pair<std::string, std::string>> tags{{"host", "a1"}, {"zone", "x"}};
  EXPECT_TRUE(holds_for("host = 'a1' AND (zone = 'y' OR zone = 'x')", tags));
  EXPECT_FALSE(holds_for("host = 'a1' AND zone != 'x'", tags));
  EXPECT_TRUE(holds_for("host = 'b' OR zone = 'x'", tags));
  EXPECT_TRUE(holds_for("gone = ''", tags)) << "a tag that is not there is empty";
  EXPECT_TRUE(holds_for("host =~ /\\d$/ AND host !~ /b/", tags));
  EXPECT_TRUE(holds_for("time > 5 AND (host = 'z' OR zone = 'x')", tags));
}

TEST(InfluxQl, NamesTheWordThatItDoesNotKnow) {
  EXPECT_EQ(refusal("DELETE FROM m"), "error parsing query: found DELETE, expected SELECT, SHOW, CREATE or DROP");
  EXPECT_EQ(refusal("SELECT median(v) FROM m"), "error parsing query: undefined function median()");
  EXPECT_EQ(refusal("SELECT v INTO x FROM m"), "error parsing query: found INTO, expected from");
  EXPECT_EQ(refusal("SELECT v + 1 FROM m"), "error parsing query: found +, expected a comma, AS or FROM");
  EXPECT_EQ(refusal("SELECT v FROM m SLIMIT 1"), "error parsing query: found SLIMIT, expected ; or the end");
  EXPECT_EQ(refusal("SELECT v FROM m WHERE v > 3"), "error parsing query: found >, expected =, !=, =~ or !~ behind v");
  EXPECT_EQ(refusal("SELECT v FROM a, b"), "error parsing query: found a comma, expected one measurement");
  EXPECT_EQ(refusal("SELECT v FROM d.week.m"),
            "error parsing query: there is no retention policy week: autogen is the only one");
  EXPECT_EQ(refusal("SELECT v, mean(v) FROM m"),
            "error parsing query: mixing aggregate and non-aggregate columns (mean) is not supported");
  EXPECT_EQ(refusal("SELECT v FROM m GROUP BY time(1s)"),
            "error parsing query: GROUP BY time needs an aggregate function");
  EXPECT_EQ(refusal("SELECT v FROM m WHERE time > 5 OR a='b'"), "error parsing query: time must not stand beside OR");
  EXPECT_EQ(refusal("SELECT v FROM m WHERE a='b' OR time > 5"),
            "error parsing query: time may only be bound beside AND in a SELECT");
  EXPECT_EQ(refusal("SELECT v FROM m WHERE a =~ /x{3}/"),
            "error parsing query: { in a pattern is not supported: write it as \\{");
  EXPECT_EQ(refusal("CREATE DATABASE x WITH DURATION 1d"), "error parsing query: found WITH, expected ; or the end");
  EXPECT_EQ(refusal("SHOW USERS"),
            "error parsing query: found USERS, expected DATABASES, RETENTION, MEASUREMENTS, SERIES, TAG or FIELD");
  EXPECT_EQ(refusal("SHOW RETENTION"), "error parsing query: found the end, expected policies");
  EXPECT_EQ(refusal("SELECT 'x"), "error parsing query: found 'x, expected a field, a function or *");
  EXPECT_EQ(refusal(""), "missing required parameter \"q\"");
}

TEST(InfluxQl, HoldsItsLimits) {
  EXPECT_EQ(refusal("SELECT v FROM m WHERE " + std::string(100, '(') + "a='b'" + std::string(100, ')')),
            "error parsing query: parentheses nest deeper than 32");
  EXPECT_EQ(refusal(std::string(kQueryBytesMax + 1, ' ')), "the query is longer than 16,384 bytes");
}

// What would cost the compiler or the matcher without bound is refused before it is compiled.
TEST(InfluxQl, PatternsHaveABoundedCost) {
  const auto said = [](const std::string& pattern) { return refusal("SELECT v FROM m WHERE a =~ /" + pattern + "/"); };
  const std::string nested =
      "error parsing query: a *, + or ? behind another, or behind a group that has one, is not supported in a pattern";
  EXPECT_EQ(said("((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+"), nested);
  EXPECT_EQ(said("a++++++++++++++++++++++++++++++"), nested);
  EXPECT_EQ(said("(a|(b|c*)d)?"), nested);
  EXPECT_EQ(said("[\\d]"), "error parsing query: a backslash between [ and ] in a pattern is not supported");
  EXPECT_EQ(said(std::string(kPatternBytesMax + 1, 'x')), "error parsing query: a pattern is longer than 256 bytes");
  EXPECT_TRUE(holds_for("host =~ /^(a|b)+[]+*]x*(y+|\\(z+\\))$/", {{"host", "ab+(zz)"}}));
  EXPECT_TRUE(holds_for("host =~ /^[[:alpha:]+]+(c)+$/", {{"host", "a+ac"}}));
}

TEST(InfluxQl, Times) {
  EXPECT_EQ(parse_time("1970-01-02"), 86'400 * kSecond);
  EXPECT_EQ(parse_time("2023-11-14T22:13:20.25Z"), kNow + kSecond / 4);
  EXPECT_EQ(parse_time("1969-12-31 23:59:59"), -kSecond);
  EXPECT_FALSE(parse_time("2023-02-30"));
  EXPECT_FALSE(parse_time("9999-01-01"));
  EXPECT_FALSE(parse_time("2023-02-03T"));
  EXPECT_EQ(rfc3339(kNow + kSecond / 4), "2023-11-14T22:13:20.25Z");
  EXPECT_EQ(rfc3339(kNow), "2023-11-14T22:13:20Z");
}

}  // namespace
}  // namespace heptane::iot::series
