#include "modules/data/test/sql_fixture.h"

namespace heptane::data::sql {
namespace {

TEST(StatementWords, WhatStandsBeforeAQuery) {
  EXPECT_EQ(words_of(" -- a\n /* b /* c */ */ SELECT 1").query, "SELECT 1");
  EXPECT_EQ(words_of("-- a\rSELECT 1\n, 2").query, "SELECT 1\n, 2");
  EXPECT_EQ(words_of("EXPLAIN SELECT 1").text(), "EXPLAIN (FORMAT text) SELECT 1");
  EXPECT_EQ(words_of("explain /* x */ analyze -- y\n SELECT 1").text(), "EXPLAIN (ANALYZE, FORMAT text) SELECT 1");
  EXPECT_EQ(words_of("EXPLAIN (ANALYZE, FORMAT Json) SELECT 1").text(), "EXPLAIN (ANALYZE, FORMAT json) SELECT 1");
  EXPECT_EQ(words_of("EXPLAIN (SELECT 1)").text(), "EXPLAIN (FORMAT text) (SELECT 1)");
  EXPECT_EQ(words_of("EXPLAIN (ANALYZE /* ) */ ) SELECT 1").query, "(ANALYZE /* ) */ ) SELECT 1");
  EXPECT_EQ(words_of("EXPLAIN (FORMAT 'json') SELECT 1").query, "(FORMAT 'json') SELECT 1");
  EXPECT_EQ(words_of("Insert INTO x").first, "Insert");
}

TEST(StatementWords, WhatIsCutEndsIt) {
  const std::string_view statement = "/* a /* b */ -- */ c\n */ EXPLAIN (ANALYZE, /* */ FORMAT json) SELECT 1";
  for (size_t length = 0; length <= statement.size(); ++length) (void)words_of(statement.substr(0, length));
}

class SqlEngineTest : public SqlFixture {
 protected:
  void SetUp() override {
    SqlFixture::SetUp();
    if (IsSkipped()) return;
    history_.create("fintech.trades", {1, 2});
    history_.create("Orders", {3});
    history_.create("secret", {4});
    history_.append(1, {R"({"price":10,"side":"buy","ok":true})", R"({"price":11,"side":"sell","ok":false})"});
    history_.append(2, {R"({"price":12.5,"tags":[1,2],"note":null})"});
    history_.append(3, {"plain text", R"({"value":"x","Offset":7})"});
    history_.append(4, {R"({"pin":1234})"});
    start();
    wait_for(4);
  }
};

TEST_F(SqlEngineTest, EveryStreamIsATable) {
  EXPECT_EQ(
      rows(R"(SELECT partition, "offset", position, key, price, side, ok, tags FROM fintech.trades ORDER BY 1, 2)"),
      "0|0|0:1|k1|10.000000|buy|1|NULL\n0|1|0:1|k1|11.000000|sell|0|NULL\n1|0|0:2|k2|12.500000|NULL|NULL|[1,2]\n");
  EXPECT_EQ(rows(R"(SELECT value, value_2, "Offset_2" FROM Orders ORDER BY "offset")"),
            "plain text|NULL|NULL\n{\"value\":\"x\",\"Offset\":7}|x|7\n");
  EXPECT_EQ(rows("SELECT timestamp FROM secret"), "1700000000004000\n");
}

TEST_F(SqlEngineTest, RowsComeWhileItRuns) {
  wait_for(history_.append(1, {R"({"price":1,"fresh":"yes"})"}));
  EXPECT_EQ(rows("SELECT fresh FROM fintech.trades WHERE fresh IS NOT NULL"), "yes\n");
}

TEST_F(SqlEngineTest, AsOfShowsWhatWasThereThen) {
  EXPECT_EQ(rows("SELECT count(*) FROM fintech.trades", {}, 1), "2\n");
  EXPECT_EQ(rows("SELECT count(*) FROM fintech.trades", {}, 2), "3\n");
  EXPECT_EQ(rows("SELECT (SELECT count(*) FROM orders), count(*) FROM fintech.trades", {}, 2), "0|3\n");
  EXPECT_EQ(rows("SELECT 1", {}, 1000).substr(0, 5), "22023");
}

TEST_F(SqlEngineTest, AStreamThatGoesTakesItsTableAlong) {
  history_.remove("secret");
  wait_rows("SELECT 1 FROM secret", "42P01 relation \"secret\" does not exist");
}

TEST_F(SqlEngineTest, WhatTheLogLetGoOfGoes) {
  history_.trim(1, 1);
  history_.append(1, {R"({"price":5})"});
  wait_rows(R"(SELECT count(*) FROM fintech.trades WHERE partition = 0 AND "offset" = 0)", "0\n");
  EXPECT_EQ(rows("SELECT count(*) FROM fintech.trades", {}, 1).substr(0, 5), "22023");
  // Also where the tables are made again.
  stop();
  std::filesystem::remove_all(directory_ + "/sql");
  start();
  wait_for(5);
  EXPECT_EQ(rows("SELECT count(*) FROM fintech.trades", {}, 1).substr(0, 5), "22023");
  EXPECT_EQ(rows("SELECT count(*) FROM fintech.trades", {}, 2), "2\n");
}

TEST_F(SqlEngineTest, ParametersAreOfTheirTypes) {
  EXPECT_EQ(rows("SELECT side FROM fintech.trades WHERE price = $1 AND ok = $2", {"10", "t"}), "buy\n");
  EXPECT_EQ(rows("SELECT $1", {"text"}), "text\n");
  EXPECT_EQ(rows("SELECT count(*) FROM fintech.trades WHERE timestamp > $1", {"2020-01-01 00:00:00+00"}), "3\n");
  EXPECT_EQ(rows("SELECT CAST($1 AS INTEGER) + 1", {std::nullopt}), "NULL\n");
  EXPECT_EQ(rows("SELECT side FROM fintech.trades WHERE price = $1", {"x"}).substr(0, 5), "22P02");
  EXPECT_EQ(rows("SELECT $1", {}).substr(0, 5), "08P01");
}

TEST_F(SqlEngineTest, TypesHaveTheirForms) {
  EXPECT_EQ(
      rows("SELECT true, 1::TINYINT, 2::SMALLINT, 3, 4::BIGINT, 5::UBIGINT, 1.25, 1::HUGEINT, DATE '1970-01-03', "
           "TIME '00:00:01', TIMESTAMP '1970-01-01 00:00:02', 'a\\x00'::BLOB, "
           "'12345678-9abc-def0-1234-56789abcdef0'::UUID"),
      std::string("1|1|2|3|4|5e-0|125e-2|1e-0|2|1000000|2000000|a") + '\0' + "|12345678-9abc-def0-1234-56789abcdef0\n");
  EXPECT_EQ(rows("SELECT [1,2], {'a':1}, INTERVAL 1 DAY, 3 AS n ORDER BY 4"), "[1, 2]|{'a': 1}|1 day|3\n");
}

TEST_F(SqlEngineTest, WhatIsInfiniteStaysSo) {
  const std::string most = std::to_string(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(rows("SELECT 'infinity'::TIMESTAMP_S, '-infinity'::TIMESTAMP_MS, 'infinity'::TIMESTAMP_NS, "
                 "'infinity'::TIMESTAMPTZ, '-infinity'::DATE"),
            most + "|-" + most + "|" + most + "|" + most + "|-2147483647\n");
}

TEST_F(SqlEngineTest, LargeAnswersStream) {
  const Outcome<std::unique_ptr<Cursor>> outcome = run("SELECT i FROM range(100000) r(i)");
  Cursor& cursor = *std::get<std::unique_ptr<Cursor>>(outcome);
  size_t count = 0;
  for (;;) {
    const auto next = cursor.next();
    const auto& rows = std::get<std::unique_ptr<Rows>>(next);
    if (rows == nullptr) break;
    EXPECT_LE(rows->size(), 2048U);
    count += rows->size();
  }
  EXPECT_EQ(count, 100'000U);
}

TEST_F(SqlEngineTest, AnAnswerIsOfOnePosition) {
  const Outcome<std::unique_ptr<Cursor>> outcome = run("SELECT count(*) OVER () FROM fintech.trades, range(10000)");
  Cursor& cursor = *std::get<std::unique_ptr<Cursor>>(outcome);
  EXPECT_EQ(cursor.position(), 4U);
  wait_for(history_.append(1, {"{}"}));
  const auto next = cursor.next();
  EXPECT_EQ(std::get<std::unique_ptr<Rows>>(next)->integer(0, 0), 30'000);
}

TEST_F(SqlEngineTest, AStatementIsInterrupted) {
  Outcome<std::shared_ptr<Prepared>> prepared =
      connection_->prepare("SELECT count(*) FROM range(1000000) a, range(1000000) b");
  std::atomic<bool> began{false};
  ASSERT_TRUE(engine_->submit({1, 2}, connection_, [&](Connection& connection) {
    began = true;
    const auto outcome = connection.execute(std::get<std::shared_ptr<Prepared>>(prepared), {}, std::nullopt, {});
    ASSERT_TRUE(std::holds_alternative<Failure>(outcome));
    EXPECT_STREQ(std::get<Failure>(outcome).sqlstate, "57014");
  }));
  // Until it has begun there is nothing to interrupt.
  std::thread interrupting([&] {
    while (engine_->counters().statements_failed == 0) {
      connection_->interrupt();
      std::this_thread::yield();
    }
  });
  workers_.wait_for(1);
  interrupting.join();
  EXPECT_EQ(rows("SELECT 1"), "1\n");
}

TEST_F(SqlEngineTest, TimeAndRowsAreLimited) {
  const auto prepared = connection_->prepare("SELECT count(*) FROM range(1000000) a, range(1000000) b");
  const auto slow =
      connection_->execute(std::get<std::shared_ptr<Prepared>>(prepared), {}, std::nullopt, {0, 50'000'000});
  EXPECT_STREQ(std::get<Failure>(slow).sqlstate, "57014");
  const auto many = connection_->prepare("SELECT * FROM range(5000)");
  EXPECT_EQ(text_of(connection_->execute(std::get<std::shared_ptr<Prepared>>(many), {}, std::nullopt, {4999, 0}))
                .substr(0, 5),
            "54000");
  EXPECT_EQ(
      text_of(connection_->execute(std::get<std::shared_ptr<Prepared>>(many), {}, std::nullopt, {5000, 0})).size(),
      23'890U);
  EXPECT_EQ(rows("SELECT list(repeat('x', 1000) || i) FROM range(1000000) r(i)").substr(0, 5), "53200");
  EXPECT_EQ(
      rows(
          "WITH RECURSIVE r AS (SELECT repeat('x', 1000000) s, 1 n UNION ALL SELECT s || s, n + 1 FROM r WHERE n < 40) "
          "SELECT max(length(s)) FROM r")
          .substr(0, 5),
      "53200");
}

// What no limit ends within one value.
TEST_F(SqlEngineTest, FunctionsThatMultiplyAreLimited) {
  EXPECT_EQ(
      rows(
          "SELECT repeat('ab', 3), lpad('a', 3, '-'), rpad('a', 3, '-'), replace('abc', 'b', 'xx'), "
          "regexp_replace('abc', '[ab]', 'z', 'g'), regexp_replace('abc', '[AB]', 'z', 'i'), len(list_resize([1], 3)), "
          "len(range(2)), len(range(1, 4)), len(generate_series(1, 4))"),
      "ababab|--a|a--|axxc|zzc|zbc|3|2|3|4\n");
  EXPECT_EQ(rows("SELECT levenshtein('abc', 'abd'), damerau_levenshtein('ab', 'ba'), editdist3('a', 'b'), "
                 "jaro_similarity('a', 'a'), jaro_winkler_similarity('a', 'a', 0.5)"),
            "1|1|1|1.000000|1.000000\n");
  for (const char* statement :
       {"SELECT repeat('x', 4000000000)", "SELECT lpad('x', 2000000000, 'y')", "SELECT rpad('x', 2000000000, 'y')",
        "SELECT list_resize([1], 1000000000)", "SELECT range(1000000000)", "SELECT generate_series(0, 1000000000)",
        "SELECT length(replace(repeat('x', 1000000), 'x', repeat('y', 1000)))",
        "SELECT length(regexp_replace(repeat('x', 1000000), 'x', repeat('y', 1000), 'g'))",
        "SELECT bitstring('1', 2000000000)", "SELECT levenshtein(repeat('a', 10000), repeat('b', 10000))",
        "SELECT editdist3(repeat('a', 10000), repeat('b', 10000))",
        "SELECT damerau_levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
        "SELECT jaro_similarity(repeat('a', 10000), repeat('b', 10000))",
        "SELECT jaro_similarity(repeat('a', 10000), repeat('b', 10000), 0.5)",
        "SELECT jaro_winkler_similarity(repeat('a', 10000), repeat('b', 10000))",
        "SELECT jaro_winkler_similarity(repeat('a', 10000), repeat('b', 10000), 0.5)"})
    EXPECT_EQ(rows(statement).substr(0, 5), "22023") << statement;
  for (const char* statement : {"SELECT main.repeat('x', 4000000000)", "SELECT system.main.lpad('x', 2000000000, 'y')",
                                "SELECT main.range(1000000000)", "SELECT main.levenshtein('a', 'b')"})
    EXPECT_EQ(rows(statement).substr(0, 5), "0A000") << statement;
}

TEST_F(SqlEngineTest, ParquetComesOutAsAFile) {
  const auto outcome = connection_->export_parquet("SELECT * FROM fintech.trades", std::nullopt, {});
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<Cursor>>(outcome)) << std::get<Failure>(outcome).message;
  const std::string file = text_of(connection_->export_parquet("SELECT * FROM fintech.trades", std::nullopt, {}));
  EXPECT_EQ(file.substr(0, 4), "PAR1");
  EXPECT_EQ(file.substr(file.size() - 5), "PAR1\n");
  EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/sql/export"));
  const auto stolen = connection_->export_parquet("SELECT * FROM '/etc/passwd'", std::nullopt, {});
  EXPECT_STREQ(std::get<Failure>(stolen).sqlstate, "42P01");
}

TEST_F(SqlEngineTest, AnExportLeavesRoomOnTheDisk) {
  const char* const kLarge = "SELECT i, hash(i), hash(i + 1) FROM range(3000000) r(i)";
  const auto code_of = [](const auto& outcome) { return std::string(std::get<Failure>(outcome).sqlstate); };
  stop();
  export_bytes_max_ = 1 << 20;
  start();
  wait_for(4);
  EXPECT_EQ(code_of(connection_->export_parquet(kLarge, std::nullopt, {})), "53100");
  EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/sql/export"));
  stop();
  export_free_bytes_min_ = UINT64_MAX;
  start();
  wait_for(4);
  EXPECT_EQ(code_of(connection_->export_parquet("SELECT 1", std::nullopt, {})), "53100");
}

// What a client does not come for in time is let go of, its rows that it has stay whole.
TEST_F(SqlEngineTest, AnAnswerThatNobodyTakesEnds) {
  const auto prepared = connection_->prepare("SELECT 'a text of some length ' || i FROM range(100000) r(i)");
  auto outcome =
      connection_->execute(std::get<std::shared_ptr<Prepared>>(prepared), {}, std::nullopt, {0, 1'000'000'000});
  Cursor& cursor = *std::get<std::unique_ptr<Cursor>>(outcome);
  const auto first = cursor.next();
  std::weak_ptr<Store> store = feed_->store();
  ASSERT_GE(store.use_count(), 3);
  // The statement's own share of the store goes with it; that of the rows stays.
  while (store.use_count() > 3) feed_->wait(Feed::kChunkNs, [] { return false; });
  EXPECT_EQ(std::get<std::unique_ptr<Rows>>(first)->text(0, 7), "a text of some length 7");
  const auto late = cursor.next();
  ASSERT_TRUE(std::holds_alternative<Failure>(late));
  EXPECT_STREQ(std::get<Failure>(late).sqlstate, "57014");
}

TEST_F(SqlEngineTest, ErrorsHavePostgresCodes) {
  const std::pair<const char*, const char*> kCases[] = {
      {"selec 1", "42601"},
      {"select nocol from orders", "42703"},
      {"select * from nosuch", "42P01"},
      {"select nofunc(1)", "42883"},
      {"select cast('x' as integer)", "22P02"},
      {"select 9223372036854775807 + 1", "22003"},
      {"select 1; select 2", "42601"},
      {"insert into orders values (1)", "25006"},
      {"pragma database_list", "0A000"},
      {"", "42601"},
  };
  for (const auto& [statement, code] : kCases) EXPECT_EQ(rows(statement).substr(0, 5), code) << statement;
  const auto wrong = std::get<Failure>(run("select  nocol from orders"));
  EXPECT_EQ(wrong.position, 9U);
  EXPECT_EQ(std::get<Failure>(run("/* a */ explain analyze select nocol from orders")).position, 32U);
}

TEST_F(SqlEngineTest, WhatOnlyReadsIsExecuted) {
  for (const char* statement :
       {"VALUES (1)",
        "FROM orders",
        "TABLE orders",
        "WITH o AS (SELECT * FROM orders) SELECT * FROM o",
        "(SELECT 1)",
        "EXPLAIN SELECT * FROM orders",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (FORMAT json) SELECT 1",
        "EXPLAIN ( FORMAT text , ANALYZE ) (SELECT 1)",
        "EXPLAIN (SELECT 1)",
        "/* a */ EXPLAIN -- b\rSELECT 1",
        "DESCRIBE orders",
        "DESCRIBE SELECT 1",
        "SUMMARIZE orders",
        "SHOW TABLES",
        "-- a comment\nSELECT 1",
        "/* a /* nested */ one */ SELECT 1",
        "SELECT * FROM information_schema.tables",
        "SELECT relname FROM pg_catalog.pg_class",
        "SELECT * FROM heptane_catalog.tables",
        "SELECT unnest([1,2])",
        "SELECT * FROM json_each('{\"a\":1}')",
        "WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a + 1 FROM r WHERE a < 3) SELECT * FROM r"})
    EXPECT_TRUE(std::holds_alternative<std::unique_ptr<Cursor>>(run(statement)))
        << statement << ": " << rows(statement);
}

// Nothing of the server, and nothing that may not be read, by whatever way.
TEST_F(SqlEngineTest, HostileStatementsAreRefused) {
  const std::shared_ptr<Connection> guest = connect([](std::string_view stream) { return stream == "fintech.trades"; });
  EXPECT_EQ(text_of(run(*guest, "SELECT count(*) FROM fintech.trades")), "3\n");
  for (const char* statement :
       {"SELECT * FROM secret",
        "SELECT * FROM public.secret",
        "SELECT * FROM heptane.public.secret",
        "SELECT * FROM heptane_storage.s4",
        "SELECT * FROM HEPTANE_STORAGE.S4",
        "SELECT * FROM heptane.heptane_storage.s4",
        "SELECT * FROM heptane_storage.streams",
        "SELECT * FROM s4",
        "WITH secret AS (SELECT * FROM secret) SELECT * FROM secret",
        "WITH s4 AS (SELECT * FROM s4) SELECT * FROM s4",
        "SELECT * FROM fintech.trades WHERE EXISTS (SELECT 1 FROM secret WHERE pin > 1)",
        "SELECT (SELECT max(pin) FROM secret)",
        "SELECT * FROM fintech.trades, LATERAL (SELECT * FROM secret)",
        "SELECT CASE WHEN (SELECT count(*) FROM secret) > 0 THEN 1 END",
        "EXPLAIN SELECT * FROM secret",
        "EXPLAIN ANALYZE SELECT * FROM secret",
        "EXPLAIN (FORMAT json) SELECT * FROM secret",
        "DESCRIBE secret",
        "SUMMARIZE secret",
        "SHOW secret",
        "TABLE secret",
        "FROM secret",
        "SELECT * FROM query('SELECT * FROM secret')",
        "SELECT * FROM query_table('secret')",
        "SELECT * FROM query_table(['secret'])",
        "PIVOT secret ON pin USING count(*)",
        "SELECT * FROM (PIVOT secret ON pin USING count(*))",
        "UNPIVOT secret ON pin INTO NAME n VALUE v",
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "SHOW DATABASES",
        "SHOW VARIABLES",
        "DESCRIBE",
        "SHOW TABLES FROM fintech",
        "SHOW TABLES FROM heptane_storage",
        "SELECT * FROM (SHOW TABLES FROM fintech)",
        "SELECT * FROM (SHOW ALL TABLES)",
        "EXPLAIN (ANALYZE /* ) SELECT 1 -- */ ) SELECT error(value) FROM heptane_storage.s4 WHERE $1='1'",
        "EXPLAIN (ANALYZE /* ) SELECT 1 -- */ ) SELECT error(value) FROM heptane_storage.s4",
        "EXPLAIN (FORMAT ')') SELECT * FROM secret",
        "EXPLAIN (ANALYZE \")\") SELECT * FROM secret",
        "-- \rSELECT value FROM heptane_storage.s4 WHERE EXISTS (SELECT * FROM (DESCRIBE secret)) "
        "UNION ALL\nSELECT 'x'",
        "-- \rSELECT value FROM heptane_storage.s4 UNION ALL\nSELECT $1",
        "SELECT value FROM heptane_storage.s4 WHERE $1 = '1'",
        "SELECT value FROM heptane_storage.s4 UNION ALL SELECT nofunc(1)",
        "SELECT (SELECT error(value) FROM secret) WHERE $1 = '1'",
        "SELECT b.* FROM (WITH \"/tmp/*.parquet\" AS (SELECT 1) SELECT 1) a, \"/tmp/*.parquet\" b",
        "WITH \"/tmp/*.parquet\" AS (SELECT * FROM \"/tmp/*.parquet\" WHERE $1 = 1) SELECT 1",
        "SELECT b.* FROM (WITH s4 AS (SELECT 1) SELECT 1) a, s4 b",
        "SELECT b.* FROM (WITH secret AS (SELECT 1) SELECT 1) a, secret b WHERE $1 = 1",
        "SELECT * FROM duckdb_tables()",
        "SELECT * FROM duckdb_views()",
        "SELECT * FROM duckdb_columns()",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_logs()",
        "SELECT * FROM duckdb_variables()",
        "SELECT * FROM duckdb_temporary_files()",
        "SELECT * FROM pragma_table_info('secret')",
        "SELECT * FROM pragma_storage_info('secret')",
        "SELECT * FROM pragma_show('secret')",
        "SELECT * FROM pg_class",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM system.information_schema.tables",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM main.sqlite_master",
        "SELECT * FROM duckdb_tables",
        "WITH pg_class AS (SELECT 1) SELECT * FROM pg_catalog.pg_class",
        "SELECT pg_get_viewdef(1)",
        "SELECT * FROM seq_scan('secret')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM \"/etc/passwd.csv\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv_auto('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM read_parquet('x')",
        "SELECT * FROM parquet_scan('x')",
        "SELECT * FROM parquet_metadata('x')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT getenv('HOME')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM secret'))",
        "SELECT json_serialize_plan('SELECT * FROM secret')",
        "SELECT write_log('x')",
        "SELECT * FROM secret AT (VERSION => 1)",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH 'x.db'",
        "DETACH heptane",
        "COPY secret TO '/tmp/x'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY secret FROM '/tmp/x'",
        "EXPORT DATABASE '/tmp/x'",
        "IMPORT DATABASE '/tmp/x'",
        "CREATE TABLE x(a INTEGER)",
        "CREATE TEMP VIEW v AS SELECT * FROM secret",
        "CREATE MACRO m() AS 1",
        "CREATE SECRET s (TYPE s3)",
        "DROP TABLE heptane_storage.s4",
        "DELETE FROM secret",
        "UPDATE secret SET pin = 1",
        "INSERT INTO secret VALUES (1)",
        "SET memory_limit = '10GB'",
        "SET VARIABLE heptane_all = true",
        "RESET memory_limit",
        "USE heptane_storage",
        "PRAGMA show_tables",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "PREPARE p AS SELECT * FROM secret",
        "EXECUTE p",
        "SELECT 1; SELECT * FROM secret",
        "EXPLAIN SELECT 1; SELECT * FROM secret",
        "EXPLAIN INSERT INTO secret VALUES (1)",
        "SELECT * FROM heptane_catalog.nosuch",
        "MERGE INTO secret USING fintech.trades ON true WHEN MATCHED THEN DELETE"}) {
    const std::string answer = text_of(run(*guest, statement));
    EXPECT_NE(answer.find(' '), std::string::npos) << statement << ": " << answer;
    EXPECT_EQ(answer.find("1234"), std::string::npos) << statement << ": " << answer;
    const std::string code = answer.substr(0, 5);
    EXPECT_TRUE(code == "42P01" || code == "42501" || code == "0A000" || code == "25006" || code == "42601" ||
                code == "42883")
        << statement << ": " << answer;
    if (const size_t guess = answer.find("Did you mean"); guess != std::string::npos) ADD_FAILURE() << answer;
  }
}

TEST_F(SqlEngineTest, WhatMayNotBeReadDoesNotExist) {
  const std::shared_ptr<Connection> guest = connect([](std::string_view stream) { return stream == "fintech.trades"; });
  EXPECT_EQ(text_of(run(*guest, "SELECT * FROM secret")), "42P01 relation \"secret\" does not exist");
  EXPECT_EQ(text_of(run(*guest, "SELECT * FROM nosuch")), "42P01 relation \"nosuch\" does not exist");
  EXPECT_EQ(text_of(run(*guest, "SELECT schema, name, stream FROM heptane_catalog.tables")),
            "fintech|trades|fintech.trades\n");
  EXPECT_EQ(text_of(run(*guest, "SELECT DISTINCT table_name FROM heptane_catalog.columns")), "trades\n");
  EXPECT_EQ(text_of(run(*guest, "WITH secret AS (SELECT 1 AS a) SELECT * FROM secret")), "1\n");
}

}  // namespace
}  // namespace heptane::data::sql
