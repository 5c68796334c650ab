#include <gtest/gtest.h>

#include "modules/data/domain/sql/columns.h"
#include "modules/data/domain/sql/names.h"
#include "modules/data/domain/sql/statement_tree.h"

namespace heptane::data::sql {
namespace {

TEST(TableNames, TheModuleIsTheSchema) {
  EXPECT_EQ(table_of_stream("fintech.trades"), (TableName{"fintech", "trades"}));
  EXPECT_EQ(table_of_stream("iot.lines.raw"), (TableName{"iot", "lines.raw"}));
  EXPECT_EQ(table_of_stream("orders.eu"), (TableName{"public", "orders.eu"}));
  EXPECT_EQ(table_of_stream("audit"), (TableName{"public", "audit"}));
  EXPECT_EQ(table_of_stream("iot."), (TableName{"public", "iot."}));
}

TEST(TableNames, QuotesAreDoubled) {
  EXPECT_EQ(quoted_name("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(quoted_text("a'b"), "'a''b'");
}

TEST(StreamColumns, OneKindShowsAsItself) {
  StreamColumns columns;
  EXPECT_EQ(columns.place("price", Kind::integer), 0U);
  EXPECT_EQ(columns.place("price", Kind::integer), 0U);
  EXPECT_EQ(columns.place("tags", Kind::json), 1U);
  EXPECT_EQ(columns.select_list(), ", f0_integer AS \"price\", CAST(f1_json AS JSON) AS \"tags\"");
}

TEST(StreamColumns, NumbersWidenAndConflictsEndInText) {
  StreamColumns columns;
  columns.place("a", Kind::integer);
  columns.place("a", Kind::real);
  EXPECT_EQ(columns.select_list(), ", coalesce(CAST(f0_integer AS DOUBLE), CAST(f0_real AS DOUBLE)) AS \"a\"");
  columns.place("a", Kind::boolean);
  EXPECT_EQ(columns.select_list(),
            ", coalesce(CAST(f0_integer AS VARCHAR), CAST(f0_real AS VARCHAR), CAST(f0_boolean AS VARCHAR)) AS \"a\"");
}

TEST(StreamColumns, NamesThatAreTakenGetASuffix) {
  StreamColumns columns;
  columns.place("value", Kind::real);
  columns.place("A", Kind::real);
  columns.place("a", Kind::real);
  columns.place("a_2", Kind::real);
  ASSERT_EQ(columns.fields().size(), 4U);
  EXPECT_EQ(columns.fields()[0].shown, "value_2");
  EXPECT_EQ(columns.fields()[1].shown, "A");
  EXPECT_EQ(columns.fields()[2].shown, "a_2");
  EXPECT_EQ(columns.fields()[3].shown, "a_2_2");
}

TEST(StreamColumns, ThereAreAtMostSoMany) {
  StreamColumns columns;
  for (size_t i = 0; i < StreamColumns::kFieldsMax; ++i)
    EXPECT_TRUE(columns.place("f" + std::to_string(i), Kind::text));
  EXPECT_FALSE(columns.place("one more", Kind::text));
  EXPECT_TRUE(columns.place("f7", Kind::integer));  // a field that is there may hold another kind
}

TEST(StreamColumns, NamesThatAreNoneStayInThePayload) {
  StreamColumns columns;
  EXPECT_FALSE(columns.place("", Kind::text));
  EXPECT_FALSE(columns.place(std::string("a\0b", 3), Kind::text));
  EXPECT_FALSE(columns.place(std::string(StreamColumns::kFieldNameBytesMax + 1, 'x'), Kind::text));
}

constexpr std::string_view kTree =
    R"({"error":false,"statements":[{"node":{"type":"SELECT_NODE","cte_map":{"map":[{"key":"T","value":{"query":)"
    R"({"node":{"from_table":{"type":"TABLE_FUNCTION","function":{"class":"FUNCTION","function_name":"Range"}}}}}}]},)"
    R"("select_list":[{"class":"FUNCTION","function_name":"max","children":[]},)"
    R"({"value":"{\"type\":\"BASE_TABLE\",\"table_name\":\"no\"}"}],)"
    R"("from_table":{"type":"JOIN","left":{"type":"BASE_TABLE","query_location":32,"schema_name":"fintech",)"
    R"("table_name":"tr\"ades","catalog_name":"","at_clause":null},"right":{"type":"BASE_TABLE","query_location":50,)"
    R"("schema_name":"","table_name":"T","catalog_name":"","at_clause":{"unit":"VERSION"}}}}}]})";

TEST(StatementTree, FindsWhatIsNamed) {
  const NamedThings things = named_things(kTree);
  EXPECT_EQ(things.statements, 1U);
  ASSERT_EQ(things.tables.size(), 2U);
  EXPECT_EQ(things.tables[0].schema, "fintech");
  EXPECT_EQ(things.tables[0].table, "tr\"ades");
  EXPECT_EQ(things.tables[0].position, 32U);
  EXPECT_FALSE(things.tables[0].at_clause);
  EXPECT_TRUE(things.tables[1].at_clause);
  EXPECT_TRUE(things.common.contains("t"));
  EXPECT_EQ(things.table_functions, std::set<std::string>{"range"});
  EXPECT_EQ(things.functions, std::set<std::string>{"max"});
}

TEST(StatementTree, WhatIsCutEndsIt) {
  for (size_t length = 0; length < kTree.size(); ++length) (void)named_things(kTree.substr(0, length));
}

}  // namespace
}  // namespace heptane::data::sql
