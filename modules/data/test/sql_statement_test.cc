// Splitting and classifying of query strings, paths as tables, functions about the session.

#include <gtest/gtest.h>

#include "modules/data/domain/sql/lexer.h"
#include "modules/data/domain/sql/statement.h"
#include "modules/data/domain/sql/table_paths.h"

namespace heptane::data::sql {
namespace {

std::vector<Statement> parsed(std::string_view query) {
  auto outcome = parse_statements(query);
  if (auto* failed = std::get_if<Failure>(&outcome)) {
    ADD_FAILURE() << query << ": " << failed->message;
    return {};
  }
  return std::get<0>(outcome);
}

Failure refused(std::string_view query) {
  auto outcome = parse_statements(query);
  if (auto* failed = std::get_if<Failure>(&outcome)) return *failed;
  ADD_FAILURE() << "accepted: " << query;
  return {};
}

std::vector<std::string> texts(std::string_view query) {
  std::vector<std::string> found;
  for (const Statement& statement : parsed(query)) found.push_back(statement.text);
  return found;
}

using Texts = std::vector<std::string>;

TEST(Statements, AreSplitAtSemicolonsOutsideOfQuotesAndComments) {
  EXPECT_EQ(texts(""), Texts{});
  EXPECT_EQ(texts(" ;; -- nothing\n ; /* ; */ "), Texts{});
  EXPECT_EQ(texts("SELECT 1; SELECT 2 ;"), (Texts{"SELECT 1", "SELECT 2"}));
  EXPECT_EQ(texts("SELECT ';''a;'; SELECT \"x;\"\"\""), (Texts{"SELECT ';''a;'", "SELECT \"x;\"\"\""}));
  EXPECT_EQ(texts("SELECT E'\\';'; SELECT 2"), (Texts{"SELECT E'\\';'", "SELECT 2"}));
  EXPECT_EQ(texts("SELECT '\\'; SELECT 2"), (Texts{"SELECT '\\'", "SELECT 2"}));
  EXPECT_EQ(texts("SELECT $$;$$, $a$;$$;$a$; SELECT 2"), (Texts{"SELECT $$;$$, $a$;$$;$a$", "SELECT 2"}));
  EXPECT_EQ(texts("SELECT /* ; /* ; */ ; */ 1; SELECT 2 -- ;"), (Texts{"SELECT /* ; /* ; */ ; */ 1", "SELECT 2"}));
  EXPECT_EQ(texts("SELECT a$1; SELECT $1;"), (Texts{"SELECT a$1", "SELECT $1"}));
}

TEST(Statements, ThatDoNotEndAreRefusedWithTheirPlace) {
  for (const std::string_view query : {"SELECT 'x", "SELECT \"x", "SELECT /* x", "SELECT $$x", "SELECT E'x\\'"}) {
    const Failure failed = refused(query);
    EXPECT_STREQ(failed.sqlstate, "42601") << query;
    EXPECT_EQ(failed.position, 8u) << query;
  }
  EXPECT_EQ(refused("SELECT 'ä'; SELECT 'x").position, 20u);  // characters, not bytes
}

TEST(Statements, AreBounded) {
  EXPECT_STREQ(refused(std::string(kQueryBytesMax + 1, ' ')).sqlstate, "54000");
  std::string many;
  for (size_t i = 0; i < kStatementsMax; ++i) many += "SELECT 1;";
  EXPECT_EQ(parsed(many).size(), kStatementsMax);
  EXPECT_STREQ(refused(many + "SELECT 1").sqlstate, "54000");
}

TEST(AsOf, IsTakenOffTheEnd) {
  const std::vector<Statement> statements =
      parsed("SELECT * FROM fintech.trades as of Position '0:123' ; SELECT 2 AS OF POSITION '0:18446744073709551615'");
  ASSERT_EQ(statements.size(), 2u);
  EXPECT_EQ(statements[0].text, "SELECT * FROM fintech.trades");
  EXPECT_EQ(statements[0].as_of, 123u);
  EXPECT_EQ(statements[1].as_of, UINT64_MAX);
  EXPECT_EQ(statements[1].text_offset, 54u);
}

TEST(AsOf, WithinTextIsNone) {
  for (const std::string_view query :
       {"SELECT 'AS OF POSITION ''0:1'''", "SELECT 1 -- AS OF POSITION '0:1'", "SELECT 1 /* AS OF POSITION '0:1' */",
        "SELECT $$ AS OF POSITION '0:1' $$", "SELECT 1 AS \"of position '0:1'\"", "SELECT 1 AS of"}) {
    const std::vector<Statement> statements = parsed(query);
    ASSERT_EQ(statements.size(), 1u) << query;
    EXPECT_FALSE(statements[0].as_of) << query;
  }
}

TEST(AsOf, AnywhereElseOrOfAnotherShardIsRefused) {
  EXPECT_STREQ(refused("SELECT 1 AS OF POSITION '0:1' WHERE true").sqlstate, "42601");
  EXPECT_STREQ(refused("SELECT 1 AS OF POSITION '0:1' AS OF POSITION '0:2'").sqlstate, "42601");
  EXPECT_STREQ(refused("SELECT * FROM (SELECT 1 AS OF POSITION '0:1')").sqlstate, "42601");
  EXPECT_STREQ(refused("SELECT 1 AS OF POSITION 5").sqlstate, "42601");
  for (const std::string_view position : {"1:5", "5", "0:", "0:x", "0:-1", "0:18446744073709551616", "0:1 "})
    EXPECT_STREQ(refused("SELECT 1 AS OF POSITION '" + std::string(position) + "'").sqlstate, "22023") << position;
}

TEST(Statements, AreClassified) {
  using Kind = StatementKind;
  const std::vector<std::pair<std::string_view, Kind>> cases = {
      {"select 1", Kind::query},
      {"WITH a AS (SELECT 1) SELECT * FROM a", Kind::query},
      {"EXPLAIN SELECT 1", Kind::query},
      {"INSERT INTO t VALUES (1)", Kind::query},
      {"SHOW TABLES", Kind::query},
      {"SHOW ALL TABLES", Kind::query},
      {"begin", Kind::begin},
      {"BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", Kind::begin},
      {"START TRANSACTION", Kind::begin},
      {"COMMIT WORK", Kind::commit},
      {"END", Kind::commit},
      {"ROLLBACK", Kind::rollback},
      {"ABORT", Kind::rollback},
      {"ROLLBACK TO SAVEPOINT a", Kind::rollback_to},
      {"ROLLBACK WORK TO a", Kind::rollback_to},
      {"SAVEPOINT a", Kind::savepoint},
      {"RELEASE SAVEPOINT a", Kind::release},
      {"DISCARD ALL", Kind::discard},
      {"DEALLOCATE ALL", Kind::deallocate},
      {"UNLISTEN *", Kind::discard},
      {"RESET ALL", Kind::reset},
      {"COPY fintech.trades TO STDOUT", Kind::copy},
  };
  for (const auto& [query, kind] : cases) {
    const std::vector<Statement> statements = parsed(query);
    ASSERT_EQ(statements.size(), 1u) << query;
    EXPECT_EQ(statements[0].kind, kind) << query;
  }
  EXPECT_TRUE(parsed("BEGIN READ WRITE")[0].read_write);
  EXPECT_FALSE(parsed("BEGIN READ ONLY")[0].read_write);
  EXPECT_STREQ(refused("COMMIT AND CHAIN").sqlstate, "0A000");
}

TEST(Statements, SetAndShowNameTheirVariable) {
  const auto set = [](std::string_view query) {
    const Statement statement = parsed(query).at(0);
    return statement.name + (statement.local ? " local " : " ") + statement.value.value_or("(default)");
  };
  EXPECT_EQ(set("SET heptane.as_of = '0:5'"), "heptane.as_of 0:5");
  EXPECT_EQ(set("SET SESSION DateStyle TO ISO, mdy"), "datestyle iso, mdy");
  EXPECT_EQ(set("SET LOCAL statement_timeout = 100"), "statement_timeout local 100");
  EXPECT_EQ(set("SET extra_float_digits = -3"), "extra_float_digits -3");
  EXPECT_EQ(set("SET TIME ZONE 'UTC'"), "timezone UTC");
  EXPECT_EQ(set("SET NAMES 'utf8'"), "client_encoding utf8");
  EXPECT_EQ(set("SET search_path TO DEFAULT"), "search_path (default)");
  EXPECT_EQ(set("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), "transaction (default)");
  EXPECT_EQ(parsed("SHOW TRANSACTION ISOLATION LEVEL")[0].name, "transaction_isolation");
  EXPECT_EQ(parsed("SHOW TIME ZONE")[0].name, "timezone");
  EXPECT_EQ(parsed("SHOW server_version")[0].name, "server_version");
  EXPECT_EQ(parsed("SHOW ALL")[0].name, "");
  EXPECT_STREQ(refused("SET x").sqlstate, "42601");
  EXPECT_EQ(refused("SET x").message, "syntax error at end of input");
  EXPECT_STREQ(refused("SET ROLE admin").sqlstate, "0A000");
  EXPECT_STREQ(refused("SET a = E'\\xff'").sqlstate, "22023");
}

TEST(Copy, TakesQueriesAndTables) {
  Statement copy =
      parsed("COPY (SELECT 1 AS OF POSITION '0:7') TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';', NULL 'x')").at(0);
  EXPECT_EQ(copy.text, "SELECT 1");
  EXPECT_EQ(copy.text_offset, 6u);
  EXPECT_EQ(copy.as_of, 7u);
  EXPECT_EQ(copy.copy.format, CopyFormat::csv);
  EXPECT_TRUE(copy.copy.header);
  EXPECT_EQ(copy.copy.delimiter, ';');
  EXPECT_EQ(copy.copy.null_text, "x");
  copy = parsed("COPY fintech.trades (price, \"a b\") TO STDOUT CSV HEADER AS OF POSITION '0:9'").at(0);
  EXPECT_EQ(copy.text, "SELECT price, \"a b\" FROM fintech.trades");
  EXPECT_EQ(copy.as_of, 9u);
  EXPECT_EQ(copy.copy.delimiter, ',');
  EXPECT_EQ(copy.copy.null_text, "");
  copy = parsed("COPY \"t\" TO STDOUT WITH DELIMITER AS '|' NULL AS '?'").at(0);
  EXPECT_EQ(copy.text, "SELECT * FROM \"t\"");
  EXPECT_EQ(copy.copy.delimiter, '|');
  EXPECT_EQ(parsed("COPY t TO STDOUT (FORMAT parquet)").at(0).copy.format, CopyFormat::parquet);
  EXPECT_FALSE(parsed("COPY t TO STDOUT (HEADER false)").at(0).copy.header);
}

TEST(Copy, WritesNowhereElse) {
  EXPECT_STREQ(refused("COPY t TO '/tmp/x'").sqlstate, "42501");
  EXPECT_STREQ(refused("COPY t TO PROGRAM 'sh'").sqlstate, "42501");
  EXPECT_STREQ(refused("COPY t FROM STDIN").sqlstate, "25006");
  EXPECT_STREQ(refused("COPY (SELECT * FROM 'x.csv') TO STDOUT").sqlstate, "42501");
  EXPECT_STREQ(refused("COPY t TO STDOUT (FORMAT binary)").sqlstate, "0A000");
  EXPECT_STREQ(refused("COPY t TO STDOUT (DELIMITER 'ab')").sqlstate, "22023");
  EXPECT_STREQ(refused("COPY (SELECT 1").sqlstate, "42601");
  EXPECT_STREQ(refused("COPY (SELECT 1 AS OF POSITION '0:1') TO STDOUT AS OF POSITION '0:2'").sqlstate, "42601");
}

TEST(TablePaths, AreFoundWhereATableStands) {
  for (const std::string_view query :
       {"SELECT * FROM 'a.csv'", "FROM 'a.csv'", "SELECT * FROM t JOIN 'a.csv' ON true", "SELECT * FROM t, 'a.csv'",
        "SELECT * FROM (SELECT * FROM 'a.csv')", "SELECT * FROM ('a.csv')", "SELECT (SELECT 1 FROM $$a.csv$$)",
        "WITH x AS (SELECT * FROM E'a.csv') SELECT 1", "SELECT * FROM t LEFT JOIN (u JOIN 'a.csv' ON true) ON true",
        "SELECT * FROM t WHERE x IN (FROM 'a.csv')"})
    EXPECT_NE(find_table_path(query), std::string_view::npos) << query;
  for (const std::string_view query :
       {"SELECT 'a.csv'", "SELECT extract(year FROM '2020-01-01'::date)",
        "SELECT trim('x' FROM 'y'), substring('a' FROM 'b')", "SELECT 1 WHERE a IS DISTINCT FROM 'x'",
        "SELECT * FROM t WHERE a IN ('x', 'y')", "SELECT * FROM t ORDER BY a, 'x'",
        "SELECT * FROM t WHERE a = 'x' AND f(b, 'y')", "SELECT * FROM \"a.csv\"", "SELECT * FROM f('x', 'y'), t",
        "SELECT * FROM t GROUP BY a, 'x' HAVING b = 'y'"})
    EXPECT_EQ(find_table_path(query), std::string_view::npos) << query;
}

TEST(Lexer, ResolvesWhatStringsStandFor) {
  const auto value = [](std::string_view text) { return value_of(Lexer(text).next()); };
  EXPECT_EQ(value("'a''b'"), "a'b");
  EXPECT_EQ(value("E'a\\n\\x41\\101\\u00e4\\'\\\\'"), "a\nAA\xc3\xa4'\\");
  EXPECT_EQ(value("$x$a'b$x$"), "a'b");
  EXPECT_EQ(value("\"A\"\"b\""), "A\"b");
  EXPECT_EQ(value("Word"), "word");
}

}  // namespace
}  // namespace heptane::data::sql
