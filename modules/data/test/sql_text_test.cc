#include "modules/data/gateway/sql/sql_text.h"

#include <gtest/gtest.h>

#include <limits>
#include <variant>

namespace heptane::data::sql {
namespace {

using Cell = std::variant<std::monostate, int64_t, double, __int128, std::string>;

class OneRow final : public Rows {
 public:
  explicit OneRow(std::vector<Cell> cells) : cells_(std::move(cells)) {}
  size_t size() const override { return 1; }
  bool is_null(size_t column, size_t) const override { return cells_[column].index() == 0; }
  int64_t integer(size_t column, size_t) const override { return std::get<int64_t>(cells_[column]); }
  double real(size_t column, size_t) const override { return std::get<double>(cells_[column]); }
  __int128 wide(size_t column, size_t) const override { return std::get<__int128>(cells_[column]); }
  std::string_view text(size_t column, size_t) const override { return std::get<std::string>(cells_[column]); }

 private:
  const std::vector<Cell> cells_;
};

std::string json(Type type, Cell cell, uint8_t scale = 0) {
  std::string out;
  append_json({{"a", type, 38, scale}}, OneRow({std::move(cell)}), 0, out);
  return out;
}

TEST(SqlText, JsonHoldsWhatItCanAndTextsOfTheRest) {
  EXPECT_EQ(json(Type::boolean, int64_t{1}), "[true]");
  EXPECT_EQ(json(Type::int64, int64_t{-7}), "[-7]");
  EXPECT_EQ(json(Type::int64, std::numeric_limits<int64_t>::min()), R"(["-9223372036854775808"])");
  EXPECT_EQ(json(Type::float8, 1.5), "[1.5]");
  EXPECT_EQ(json(Type::float8, std::numeric_limits<double>::infinity()), R"(["Infinity"])");
  EXPECT_EQ(json(Type::float4, std::numeric_limits<double>::quiet_NaN()), R"(["NaN"])");
  EXPECT_EQ(json(Type::float4, -std::numeric_limits<double>::infinity()), R"(["-Infinity"])");
  EXPECT_EQ(json(Type::numeric, static_cast<__int128>(-5), 2), R"(["-0.05"])");
  EXPECT_EQ(json(Type::numeric, static_cast<__int128>(1234), 0), R"(["1234"])");
  EXPECT_EQ(json(Type::text, std::string("a\"b\n")), R"(["a\"b\u000a"])");
  EXPECT_EQ(json(Type::json, std::string(R"({"a":[1]})")), R"([{"a":[1]}])");
  EXPECT_EQ(json(Type::bytea, std::string("\x00\xff", 2)), R"(["\\x00ff"])");
  EXPECT_EQ(json(Type::text, {}), "[null]");
}

TEST(SqlText, TimesAreIso) {
  EXPECT_EQ(json(Type::date, int64_t{0}), R"(["1970-01-01"])");
  EXPECT_EQ(json(Type::date, int64_t{-1}), R"(["1969-12-31"])");
  EXPECT_EQ(json(Type::date, int64_t{19'782}), R"(["2024-02-29"])");
  EXPECT_EQ(json(Type::time, int64_t{3'723'000'001}), R"(["01:02:03.000001"])");
  EXPECT_EQ(json(Type::timestamp, int64_t{-1}), R"(["1969-12-31T23:59:59.999999"])");
  EXPECT_EQ(json(Type::timestamptz, int64_t{1'700'000'000'000'000}), R"(["2023-11-14T22:13:20Z"])");
  EXPECT_EQ(json(Type::date, int64_t{std::numeric_limits<int32_t>::max()}), R"(["infinity"])");
  EXPECT_EQ(json(Type::date, -int64_t{std::numeric_limits<int32_t>::max()}), R"(["-infinity"])");
  EXPECT_EQ(json(Type::timestamp, std::numeric_limits<int64_t>::max()), R"(["infinity"])");
  EXPECT_EQ(json(Type::timestamptz, -std::numeric_limits<int64_t>::max()), R"(["-infinity"])");
}

TEST(SqlText, CsvQuotesWhatItMust) {
  const std::vector<Column> columns = {{"plain", Type::text, 0, 0},
                                       {"with,comma", Type::text, 0, 0},
                                       {"n", Type::int32, 0, 0},
                                       {"empty", Type::text, 0, 0},
                                       {"null", Type::text, 0, 0}};
  std::string out;
  append_csv_names(columns, out);
  append_csv(columns, OneRow({std::string("a"), std::string("say \"b\""), int64_t{3}, std::string(), Cell()}), 0, out);
  EXPECT_EQ(out, "plain,\"with,comma\",n,empty,null\r\na,\"say \"\"b\"\"\",3,\"\",\r\n");
}

}  // namespace
}  // namespace heptane::data::sql
