// The rules' SQL: exact numbers, what is said of wrong SQL and where, what expressions are worth.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/net/http/json.h"
#include "modules/iot/domain/rules/functions.h"
#include "modules/iot/domain/rules/sql.h"
#include "modules/iot/gateway/devices/tree_json.h"

namespace heptane::iot::rules {
namespace {

std::string text(const std::optional<Decimal>& number) { return number ? to_text(*number) : "none"; }
Decimal number(std::string_view digits) { return *parse_decimal(digits); }
std::optional<devices::JsonTree> read_tree(std::string_view json) {
  const auto document = http::JsonDocument::parse(std::string(json));
  if (!document) return std::nullopt;
  return devices::tree_of((*document)->root());
}

TEST(RulesDecimal, ReadsNumbersAsTheyAreWritten) {
  for (const auto& [written, read] : std::initializer_list<std::pair<const char*, const char*>>{
           {"0", "0"},
           {"-0", "0"},
           {"1.50", "1.5"},
           {"0.000000000000000001", "0.000000000000000001"},
           {"1e3", "1000"},
           {"12.5E-1", "1.25"},
           {"-7", "-7"},
           {"999999999999999999999999999999999999", "999999999999999999999999999999999999"},
           {"1000000000000000000000000000000000000", "none"},
           {"0.0000000000000000001", "none"},
           {"1.0000000000000000000000000", "1"},
           {"", "none"},
           {"1.", "none"},
           {".5", "none"},
           {"1e", "none"},
           {"1e9999", "none"},
           {"0x1", "none"},
           {"NaN", "none"}})
    EXPECT_EQ(text(parse_decimal(written)), read) << written;
}

TEST(RulesDecimal, ReckonsExactly) {
  EXPECT_EQ(text(add(number("0.1"), number("0.2"))), "0.3");
  EXPECT_EQ(text(subtract(number("1"), number("0.9"))), "0.1");
  EXPECT_EQ(text(multiply(number("12.345"), number("0.2875"))), "3.5491875");
  EXPECT_EQ(text(multiply(number("1e18"), number("1e18"))), "none");
  EXPECT_EQ(text(multiply(number("0.0000000001"), number("0.0000000001"))), "none");
  EXPECT_EQ(text(divide(number("1"), number("3"))), "0.333333333333333333");
  EXPECT_EQ(text(divide(number("2"), number("3"))), "0.666666666666666667");
  EXPECT_EQ(text(divide(number("-6"), number("4"))), "-1.5");
  EXPECT_EQ(text(divide(number("1"), number("0"))), "none");
  EXPECT_EQ(text(remainder(number("-7.5"), number("2"))), "-1.5");
  EXPECT_EQ(compare(number("1.10"), number("1.1")), 0);
  EXPECT_EQ(compare(number("999999999999999999999999999999999999"), number("0.000000000000000001")), 1);
  EXPECT_EQ(compare(number("-999999999999999999999999999999999999"), number("0.000000000000000001")), -1);
}

TEST(RulesDecimal, RoundsAsItIsSaid) {
  const auto all = [](const char* of) {
    std::string out;
    for (const Rounding rounding :
         {Rounding::half_away, Rounding::half_even, Rounding::to_zero, Rounding::down, Rounding::up})
      out += to_text(rounded(number(of), 0, rounding)) + " ";
    return out;
  };
  EXPECT_EQ(all("2.5"), "3 2 2 2 3 ");
  EXPECT_EQ(all("-2.5"), "-3 -2 -2 -3 -2 ");
  EXPECT_EQ(all("3.5"), "4 4 3 3 4 ");
  EXPECT_EQ(all("2.4999"), "2 2 2 2 3 ");
  EXPECT_EQ(all("7"), "7 7 7 7 7 ");
  EXPECT_EQ(to_text(rounded(number("1.005"), 2, Rounding::half_away)), "1.01");
}

// Against integers of a fixed scale, which cannot be wrong.
TEST(RulesDecimal, AgreesWithIntegers) {
  SeededRandom random(7);
  for (int i = 0; i < 20'000; ++i) {
    const auto one = static_cast<int64_t>(random.below(2'000'000)) - 1'000'000;
    const auto other = static_cast<int64_t>(random.below(2'000'000)) - 1'000'000;
    const Decimal left{one, 3};
    const Decimal right{other, 3};
    ASSERT_EQ(compare(*add(left, right), Decimal{one + other, 3}), 0);
    ASSERT_EQ(compare(*multiply(left, right), Decimal{Int128{one} * other, 6}), 0);
    ASSERT_EQ(compare(left, right), one < other ? -1 : one > other ? 1 : 0);
    ASSERT_EQ(compare(*parse_decimal(to_text(left)), left), 0);
  }
}

// A message of this payload.
class RulesSql : public testing::Test {
 protected:
  std::string value(const std::string& expression, const std::string& payload = "{}") {
    const auto compiled = Expression::compile(expression, {});
    if (!compiled) return compiled.error().message;
    const Message about = message(payload);
    const auto worth = compiled->evaluate(about, {});
    if (!worth) return "error " + worth.error().message;
    std::string out;
    write_value(out, *worth);
    return out;
  }
  std::string selected(const std::string& sql, const std::string& payload) {
    const auto compiled = Select::compile(sql);
    if (!compiled) return compiled.error().message;
    const Message about = message(payload);
    const auto row = compiled->run(about);
    if (!row) return "error " + row.error().message;
    return *row ? json_of(**row) : "no";
  }
  Message message(const std::string& payload) {
    payload_ = payload;
    const auto document = http::JsonDocument::parse(payload);
    if (document) tree_ = devices::tree_of((*document)->root());
    return {"meters/m7/reading", payload_, document ? &tree_ : nullptr, 1'700'000'000'123, 42, read_tree};
  }

 private:
  std::string payload_;
  devices::JsonTree tree_;
};

TEST_F(RulesSql, Expressions) {
  const std::string payload = R"({"kwh":1.23456789012345678,"n":null,"ok":true,"t":"Ab","a":[1,{"b":"c"}],"x y":2})";
  for (const auto& [expression, worth] : std::initializer_list<std::pair<const char*, const char*>>{
           {"1 + 2 * 3", "7"},
           {"(1 + 2) * 3", "9"},
           {"-2 - -3", "1"},
           {"7 % 4 / 2", "1.5"},
           {"kwh * 100", "123.456789012345678"},
           {"round(kwh * 28.75)", "35"},
           {"missing + 1", "null"},
           {"n IS NULL AND missing IS NULL AND ok IS NOT NULL", "true"},
           {"a[1].b || '-' || a[0]", "\"c-1\""},
           {"\"x y\"", "2"},
           {"a", "[1,{\"b\":\"c\"}]"},
           {"topic(2)", "\"m7\""},
           {"topic(9)", "null"},
           {"topic()", "\"meters/m7/reading\""},
           {"timestamp()", "1700000000123"},
           {"offset()", "42"},
           {"CASE WHEN kwh > 10 THEN 'much' WHEN ok THEN 'some' ELSE 'none' END", "\"some\""},
           {"CASE WHEN FALSE THEN 1 END", "null"},
           {"t IN ('x', 'Ab')", "true"},
           {"t NOT IN ('x')", "true"},
           {"t IN ('x', NULL)", "null"},
           {"FALSE AND missing", "false"},
           {"missing OR TRUE", "true"},
           {"NOT ok", "false"},
           {"lower(t) || upper(t)", "\"abAB\""},
           {"substr('grün', 3, 1)", "\"ü\""},
           {"length('grün')", "4"},
           {"replace('a-b-c', '-', '+')", "\"a+b+c\""},
           {"split('a:b', ':', 2)", "\"b\""},
           {"split('a:b', ':', 3)", "null"},
           {"starts_with(t, 'A') AND ends_with(t, 'b') AND contains(t, 'Ab')", "true"},
           {"number('1.50')", "1.5"},
           {"least(3, 1, 2) + greatest(3, 1, 2)", "4"},
           {"coalesce(missing, n, 5)", "5"},
           {"floor(-1.5) || ceil(1.2) || trunc(-1.9) || round_even(2.5)", "\"-22-12\""},
           {"trim('  x ')", "\"x\""},
           {"abs(-3)", "3"},
           {"'it''s'", "\"it's\""}})
    EXPECT_EQ(value(expression, payload), worth) << expression;
}

TEST_F(RulesSql, TextsAndCases) {
  for (const auto& [expression, worth] : std::initializer_list<std::pair<const char*, const char*>>{
           {"ltrim('  x ') || '|' || rtrim('  x ')", "\"x |  x\""},
           {"ltrim('  ') || rtrim('  ')", "\"\""},
           {"lpad('7', 3, '0')", "\"007\""},
           {"rpad('grün', 7, 'ab')", "\"grünaba\""},
           {"lpad('grün', 2)", "\"gr\""},
           {"lpad('x', 3, 'ä')", "\"ääx\""},
           {"lpad('x', 3, '')", "error at 1: a text is filled up by something"},
           {"strpos('grün', 'n') || strpos('grün', 'x')", "\"40\""},
           {"CASE 2 WHEN 1 THEN 'a' WHEN 2.0 THEN 'b' ELSE 'c' END", "\"b\""},
           {"CASE 'x' WHEN 'y' THEN 1 ELSE 2 END", "2"},
           {"CASE missing WHEN 1 THEN 1 WHEN NULL THEN 2 ELSE 3 END", "3"},
           {"CASE 'x' WHEN 1 THEN 1 END", "error at 6: a text cannot be compared with a number by ="},
           {"CASE 1 THEN 2 END", "at 8, near 'THEN': here stands WHEN"}})
    EXPECT_EQ(value(expression), worth) << expression;
}

TEST_F(RulesSql, Json) {
  const std::string payload = R"({"a":[10,{"b":"c"}],"i":1,"k":"i","raw":"{\"x\":[1.50,null]}","bad":"{"})";
  for (const auto& [expression, worth] : std::initializer_list<std::pair<const char*, const char*>>{
           {"get(a, 0)", "10"},
           {"get(get(a, i), 'b')", "\"c\""},
           {"get(a, 7)", "null"},
           {"get(a, 'b')", "null"},
           {"get(i, 0)", "error at 1: argument 1 is a number, not an array or object"},
           {"get(a, -1)", "error at 1: argument 2 is a whole number from 0 to 65536"},
           {"length(a)", "2"},
           {"json_decode(raw)", "{\"x\":[1.50,null]}"},
           {"get(get(json_decode(raw), 'x'), 0) * 2", "3"},
           {"get(get(json_decode(raw), 'x'), 1)", "null"},
           {"json_decode(bad)", "error at 1: the text is no JSON"},
           {"json_decode('7') + 1", "8"},
           {"json_encode(k) || json_encode(a) || json_encode(missing)", R"("\"i\"[10,{\"b\":\"c\"}]null")"}})
    EXPECT_EQ(value(expression, payload), worth) << expression;
  // Of a message so much is decoded and no more: a tree is larger than its text.
  const std::string large = R"({"t":")" + std::string(40'000, ' ') + "1\"}";
  EXPECT_EQ(value("json_decode(t)", large), "1");
  EXPECT_NE(value("json_decode(t) + json_decode(t)", large).find("decodes too much"), std::string::npos);
}

TEST_F(RulesSql, Times) {
  for (const auto& [expression, worth] : std::initializer_list<std::pair<const char*, const char*>>{
           {"now() = timestamp()", "true"},
           {"parse_time('yyyy-MM-dd HH:mm:ss.SSS Z', timestamp())", "\"2023-11-14 22:13:20.123 +0000\""},
           {"parse_time('HH:mm ZZ', timestamp(), '-05:30')", "\"16:43 -05:30\""},
           {"parse_time('yyyy ''at'' HH''h''', 0, 'UTC')", "\"1970 at 00h\""},
           {"parse_time('dd''''MM', 0)", "\"01'01\""},
           {"parse_time('yyyy-MM-dd', -1)", "\"1969-12-31\""},
           {"parse_time('yyyy-MM-dd HH:mm:ss', -62135596800000)", "\"0001-01-01 00:00:00\""},
           {"parse_time('yyyy', -62135596800001)", "error at 1: the time is not of the years 0001 to 9999"},
           {"parse_time('yyyy-MM-dd HH:mm:ss.SSS', 253402300799999)", "\"9999-12-31 23:59:59.999\""},
           {"parse_time('yyyy', 253402300800000)", "error at 1: the time is not of the years 0001 to 9999"},
           {"parse_time('yyyy', 999999999999999999999999999999999999)",
            "error at 1: the time is not of the years 0001 to 9999"},
           {"parse_time('yy', 0)", "error at 1: the pattern has yy: there are yyyy MM dd HH mm ss S Z ZZ and 'texts'"},
           {"parse_time('yyyy''x', 0)", "error at 1: the pattern's quote is not closed"},
           {"parse_time('HH', 0, 'Europe/Paris')",
            "error at 1: a zone is UTC or an offset such as +02:00: there are no names of zones"},
           {"parse_time('HH', 1.5)", "error at 1: a time is a whole number: round() it"},
           {"time_to_epoch('2020-04-03 09:45:18 +0100', 'yyyy-MM-dd HH:mm:ss Z')", "1585903518000"},
           {"time_to_epoch('29.02.2024', 'dd.MM.yyyy')", "1709164800000"},
           {"time_to_epoch('29.02.2023', 'dd.MM.yyyy')", "error at 1: there is no such date or time"},
           {"time_to_epoch('2020-04-03x', 'yyyy-MM-dd')", "error at 1: the text goes on behind the pattern yyyy-MM-dd"},
           {"time_to_epoch('20-04-03', 'yyyy-MM-dd')", "error at 1: the text is no time of the pattern yyyy-MM-dd"},
           {"time_to_epoch('0.0019', 's.SSSS')",
            "error at 1: the pattern has s: there are yyyy MM dd HH mm ss S Z ZZ and 'texts'"},
           {"time_to_epoch('00.0019', 'ss.SSSS')", "1"},
           {"rfc3339_to_unix_ts('1970-01-01T00:00:01.5Z', 'nanosecond')", "1500000000"},
           {"rfc3339_to_unix_ts('1969-12-31T23:59:59.5-00:00')", "-1"},
           {"rfc3339_to_unix_ts('9999-12-31T23:59:59.999999999Z', 'nanosecond')", "253402300799999999999"},
           {"rfc3339_to_unix_ts('2026-11-30T01:00:00+02:00', 'millisecond')", "1795993200000"},
           {"rfc3339_to_unix_ts('2026-11-30')",
            "error at 1: the text is no time as RFC 3339 writes it: 2026-11-30T12:00:00Z"},
           {"rfc3339_to_unix_ts('2026-11-30T24:00:00Z')", "error at 1: there is no such date or time"},
           {"unix_ts_to_rfc3339(1795993200)", "\"2026-11-29T23:00:00Z\""},
           {"unix_ts_to_rfc3339(-1, 'millisecond')", "\"1969-12-31T23:59:59.999Z\""},
           {"unix_ts_to_rfc3339(1, 'week')", "error at 1: a unit is second, millisecond, microsecond or nanosecond"}})
    EXPECT_EQ(value(expression), worth) << expression;
}

// What is written is read again as the same moment.
TEST_F(RulesSql, TimesGoThereAndBack) {
  SeededRandom random(11);
  for (int i = 0; i < 2'000; ++i) {
    const int64_t ms = static_cast<int64_t>(random.below(315'537'897'600'000)) - 62'135'596'800'000;
    const std::string at = std::to_string(ms);
    ASSERT_EQ(value("rfc3339_to_unix_ts(unix_ts_to_rfc3339(" + at + ", 'millisecond'), 'millisecond')"), at);
    const std::string pattern = "'yyyy/MM/dd HH:mm:ss.SSS ZZ'";
    ASSERT_EQ(value("time_to_epoch(parse_time(" + pattern + ", " + at + ", 'UTC'), " + pattern + ")"), at);
  }
}

TEST_F(RulesSql, ThingsAreReadWhereTheyAreTold) {
  const auto query = Select::compile("SELECT state FROM '$aws/things/+/shadow/update/documents'");
  ASSERT_TRUE(query.ok()) << query.error().message;
  EXPECT_FALSE(query->source().is_topics);
  EXPECT_EQ(query->source().name, kShadowsSource);
  EXPECT_EQ(query->source().keys, "$aws/things/+/shadow/update/documents");
}

// What a rule never sees is refused, and said where it is.
TEST_F(RulesSql, TopicsOfTheServersOwnAreReadElsewhere) {
  for (const auto& [filter, where] : std::initializer_list<std::pair<const char*, const char*>>{
           {"$aws/things/+/jobs/notify-next", "STREAM \"iot.jobs\""},
           {"$aws/things/pump-1/jobs/#", "STREAM \"iot.jobs\""},
           {"$aws/events/job/+/completed", "STREAM \"iot.jobs\""},
           {"$aws/things/+/tunnels/notify", "'$aws/things/+/shadow/#'"},
           {"$aws/#", "'$aws/things/+/shadow/#'"},
           {"$sparkplug/metrics/#", "declare one over this filter"},
           {"$bridge/+/dead_letter", "declare one over this filter"},
           {"$mine/a", "declare one over this filter"},
           {"$rules/r/transfer", "no rule's input"},
           {"$share/g/a", "without $share"},
           {"$SYS/#", "in no stream"},
           {"$iothub/methods/#", "in no stream"}}) {
    const std::string said = selected("SELECT a FROM '" + std::string(filter) + "'", "{}");
    EXPECT_NE(said.find(where), std::string::npos) << said;
    EXPECT_EQ(said.find("no topic filter"), std::string::npos) << said;
  }
  for (const char* filter : {"$aws/things/#", "$aws/things/+/+/update/accepted", "$aws/things/p/shadow/name/+/get/#"}) {
    const auto query = Select::compile("SELECT a FROM '" + std::string(filter) + "'");
    ASSERT_TRUE(query.ok()) << query.error().message;
    EXPECT_EQ(query->source().name, kShadowsSource);
  }
}

// What a message says is a value, whatever it looks like and however long it is.
TEST_F(RulesSql, ATopicIsNoSql) {
  const std::string topic = "a' OR 1 = 1 --/" + std::string(60'000, 'x');
  const auto selected_of = [&](const char* sql) {
    const auto compiled = Select::compile(sql);
    const auto row = compiled->run({topic, "{}", nullptr, 0, 0});
    return !row ? row.error().message : *row ? json_of(**row) : "no";
  };
  EXPECT_EQ(selected_of("SELECT topic(1) AS t FROM '#'"), R"({"t":"a' OR 1 = 1 --"})");
  EXPECT_EQ(selected_of("SELECT 1 AS one FROM '#' WHERE topic(1) = 'b'"), "no");
  EXPECT_EQ(selected_of("SELECT length(topic(2)) AS n FROM '#'"), R"({"n":60000})");
}

TEST_F(RulesSql, IsUtf8) {
  EXPECT_EQ(selected("SELECT 'd\xC3\xA9' AS t FROM 'x'", "{}"), "{\"t\":\"d\xC3\xA9\"}");
  for (const char* wrong :
       {"SELECT 'd\xE9' AS t FROM 'x'", "SELECT 1 AS t FROM 'x\xFF'", "SELECT '\xED\xA0\x80' AS t FROM 'x'"})
    EXPECT_EQ(selected(wrong, "{}"), "a rule's SQL is UTF-8: rows with its texts are JSON");
}

TEST_F(RulesSql, WhatIsWrongWithAMessage) {
  EXPECT_EQ(value("kwh * 2", R"({"kwh":"5"})"),
            "error at 5: a text * a number: only numbers are reckoned with (number() reads a text)");
  EXPECT_EQ(value("1 / n", R"({"n":0})"), "error at 3: a division by 0");
  EXPECT_EQ(value("a < 1", R"({"a":true})"), "error at 3: a truth cannot be compared with a number by <");
  EXPECT_EQ(value("kwh", "no json"), "error at 1: the message is no JSON, and has no field kwh");
  EXPECT_EQ(value("NOT 1"), "error at 1: a number is no condition");
  EXPECT_EQ(value("1e18"), "at 2, near 'e18': the expression ends before this");
  EXPECT_EQ(value("1000000000000000000 * 1000000000000000000"),
            "error at 21: the result has more than 36 digits, or 18 behind the point: round() what goes in");
}

TEST_F(RulesSql, Rows) {
  EXPECT_EQ(selected("SELECT topic(2) AS meter, kwh FROM 'meters/+/reading' WHERE kwh > 0", R"({"kwh":2})"),
            R"({"meter":"m7","kwh":2})");
  EXPECT_EQ(selected("SELECT kwh FROM 'meters/#' WHERE kwh > 5", R"({"kwh":2})"), "no");
  EXPECT_EQ(selected("SELECT kwh FROM 'meters/#' WHERE kwh > 5", "{}"),
            "error the condition is NULL: a field that it names is missing");
  EXPECT_EQ(selected("SELECT *, 1 AS kwh FROM STREAM \"raw\"", R"({"kwh":2,"b":[3]})"), R"({"kwh":1,"b":[3]})");
  EXPECT_EQ(selected("select a.b.c from stream raw", R"({"a":{"b":{"c":"d"}}})"), R"({"c":"d"})");
  EXPECT_EQ(selected("SELECT * FROM STREAM raw", "[1]"), "error the message is no JSON object: * is its members");
}

TEST_F(RulesSql, WrongSqlIsNamedWithItsPlace) {
  for (const auto& [sql, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"SELEC a FROM 'x'", "at 1, near 'SELEC': a rule begins with SELECT"},
           {"SELECT a", "at 9: here stands FROM"},
           {"SELECT a FROM x", "at 15, near 'x': here stands a 'topic/filter', or STREAM and a \"name\""},
           {"SELECT a FROM 'x/#/y'", "at 15, near 'x/#/y': this is no topic filter"},
           {"SELECT a + 1 FROM 'x'", "at 8, near 'a': say AS and a name for it"},
           {"SELECT a AS b, c AS b FROM 'x'", "at 16, near 'c': two columns have the name b"},
           {"SELECT kw(1) AS a FROM 'x'", "at 8, near 'kw': there is no such function"},
           {"SELECT round() AS a FROM 'x'", "at 8, near 'round': it takes 1 to 2 arguments, not 0"},
           {"SELECT 'a FROM 'x'", "at 18, near '': the quote is not closed"},
           {"SELECT a FROM 'x' WHERE", "at 24: here stands a value: a field, a number, a 'text' or a function"},
           {"SELECT a FROM 'x' GROUP BY a",
            "at 19, near 'GROUP': this is of a window: say WINDOW TUMBLING (SIZE 1 MINUTE) behind the source"},
           {"SELECT a; FROM 'x'", "at 9, near ';': this is no word of SQL"},
           {"SELECT CASE a END AS b FROM 'x'", "at 15, near 'END': here stands WHEN"}}) {
    EXPECT_EQ(selected(sql, "{}"), why) << sql;
  }
}

TEST_F(RulesSql, Bounds) {
  const std::string deep(100, '(');
  EXPECT_NE(value(deep + "1").find("nested deeper than 32"), std::string::npos);
  std::string nots;
  for (int i = 0; i < 100; ++i) nots += "NOT ";
  EXPECT_NE(value(nots + "TRUE").find("nested deeper than 32"), std::string::npos);
  std::string many = "1";
  for (int i = 0; i < 600; ++i) many += "+1";
  EXPECT_NE(value(many).find("at most 512 parts"), std::string::npos);
  EXPECT_NE(value(std::string(9'000, ' ') + "1").find("8,192 bytes"), std::string::npos);
  const std::string half(40'000, 'x');
  EXPECT_NE(value("a || a", R"({"a":")" + half + "\"}").find("longer than 64 KiB"), std::string::npos);
}

// What costs is what is copied and sought, and of both there is so much and no more.
TEST_F(RulesSql, AMessageIsMadeIntoSoMuchText) {
  const std::string payload = R"({"a":")" + std::string(60'000, 'x') + "\"}";
  std::string lengths = "length(a)";
  for (int i = 0; i < 15; ++i) lengths += " + length(a)";
  EXPECT_EQ(value(lengths, payload), std::to_string(16 * 60'000));
  lengths += " + length(a) + length(a)";
  EXPECT_NE(value(lengths, payload).find("more than 1 MiB of texts"), std::string::npos);
  // Of all its columns together.
  std::string columns = "SELECT length(a) AS c0";
  for (int i = 1; i < 18; ++i) columns += ", length(a) AS c" + std::to_string(i);
  EXPECT_NE(selected(columns + " FROM 'x'", payload).find("more than 1 MiB of texts"), std::string::npos);
}

TEST_F(RulesSql, WhatIsSoughtIsShort) {
  const std::string payload = R"({"a":")" + std::string(257, 'x') + R"(","b":")" + std::string(256, 'x') + "\"}";
  for (const char* sought : {"contains(a, a)", "replace(a, a, '')", "split(a, a, 1)"})
    EXPECT_NE(value(sought, payload).find("at most 256 bytes"), std::string::npos) << sought;
  EXPECT_EQ(value("contains(a, b)", payload), "true");
}

}  // namespace
}  // namespace heptane::iot::rules
