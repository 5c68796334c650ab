// Plays the transcripts, and checks what transcripts cannot show: pieces of any size, limits, back-pressure, clients that go.
// HEPTANE_RECORD_TRANSCRIPTS=1 rewrites the answers in the transcripts with what is seen; HEPTANE_POSTGRES_CORPUS=directory
// writes each transcript's input there, for the fuzzer (after a byte 0: in one piece).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "modules/data/test/postgres_transcript.h"
#include "modules/data/test/postgres_world.h"

namespace heptane::data::postgres::test {
namespace {

constexpr char kTranscripts[] = "modules/data/test/postgres_transcripts";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path << ": run from the root of the tree";
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(PostgresTranscripts, AllArePlayed) {
  size_t played = 0;
  for (const auto& file : std::filesystem::directory_iterator(kTranscripts)) {
    SCOPED_TRACE(file.path().filename().string());
    const TranscriptResult result = play(read_file(file.path()));
    if (std::getenv("HEPTANE_RECORD_TRANSCRIPTS") != nullptr)
      std::ofstream(file.path(), std::ios::binary) << result.rewritten;
    if (const char* corpus = std::getenv("HEPTANE_POSTGRES_CORPUS"); corpus != nullptr)
      std::ofstream(std::filesystem::path(corpus) / file.path().stem(), std::ios::binary) << '\0' << result.input;
    for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
    ++played;
  }
  EXPECT_GE(played, 30u);
}

std::string started() { return startup_message({{"user", "alice"}}); }

Scripted one_row() {
  Scripted scripted;
  scripted.columns = {{"a", sql::Type::int32}};
  scripted.rows = {{"1"}};
  return scripted;
}

// A hundred thousand rows of a kilobyte.
Scripted many_rows() {
  Scripted scripted;
  scripted.columns = {{"t", sql::Type::text}};
  scripted.rows = {{std::string(1000, 'x')}};
  scripted.rows_at_once = 2048;
  scripted.repeated = 100'000;
  return scripted;
}

TEST(PostgresSession, TakesMessagesInPiecesOfAnySize) {
  const std::string input = request_message(kSslRequest) + started() + query_message("SELECT 1") +
                            message('P', std::string("s\0SELECT 1\0\0\0", 13)) + message('S', "") +
                            query_message("SHOW ALL");
  std::string whole;
  for (size_t piece = 1; piece <= input.size(); ++piece) {
    World world;
    world.engine.answers["SELECT 1"] = one_row();
    for (size_t at = 0; at < input.size(); at += piece) world.send(std::string_view(input).substr(at, piece));
    if (piece == 1) whole = world.output;
    EXPECT_EQ(world.output, whole) << piece;
    EXPECT_TRUE(world.pending.empty());
    EXPECT_FALSE(world.closed);
  }
  EXPECT_NE(whole.find("SELECT 1"), std::string::npos);
}

TEST(PostgresSession, SaysHowManyBytesItNeedsAndRefusesMoreAtTheLength) {
  World world;
  world.send(started());
  world.send(std::string("Q\0\0\1\0", 5));
  EXPECT_EQ(world.needed, 1u + 256u);
  EXPECT_FALSE(world.closed);
  World bind;
  bind.send(started());
  bind.output.clear();
  bind.send(std::string("B\x40\0\0\0", 5));
  EXPECT_EQ(bind.needed, kHeaderBytes);  // a gigabyte was never asked for
  ASSERT_TRUE(bind.closed);
  EXPECT_NE(bind.output.find("54000"), std::string::npos);
}

TEST(PostgresSession, TakesNothingWhileAStatementIsUnderWay) {
  World world;
  world.engine.answers["SELECT 1"] = one_row();
  world.send(started());
  world.output.clear();
  world.hold(true);
  world.send(query_message("SELECT 1") + query_message("SELECT 1"));
  EXPECT_EQ(world.engine.jobs.size(), 1u);
  EXPECT_EQ(world.pending, query_message("SELECT 1"));
  EXPECT_FALSE(world.paused);  // so that it would hear the client's end
  EXPECT_EQ(world.needed, world.pending.size() + 1);
  world.send(std::string(PostgresSession::kAheadBytes, '\0'));
  EXPECT_TRUE(world.paused);
  world.pending.resize(query_message("SELECT 1").size());
  world.hold(false);
  world.deliver();
  EXPECT_FALSE(world.paused);
  EXPECT_EQ(lines_of(world.output).size(), 8u);
}

// A client that does not read costs a few pieces of output and one cursor; what it then reads is whole.
TEST(PostgresSession, GoesOnWhenTheClientHasReadWhatWasSent) {
  World world;
  world.engine.answers["SELECT many"] = many_rows();
  world.send(started());
  world.output.clear();
  world.stall_output(true);
  world.send(query_message("SELECT many"));
  const size_t ahead = PostgresSession::kOutputHoldBytes + 2 * kStepBytes;
  EXPECT_LE(world.output.size(), ahead);
  EXPECT_TRUE(world.engine.jobs.empty());
  size_t bytes = 0;
  size_t rounds = 0;
  while (world.engine.cursors > 0) {
    bytes += world.output.size();
    EXPECT_LE(world.output.size(), ahead);
    world.output.clear();
    world.drain_output();
    ASSERT_LT(++rounds, 10'000u);
  }
  bytes += world.output.size();
  EXPECT_GT(bytes, 100'000u * 1011);
  EXPECT_EQ(lines_of(world.output).back(), "Z I");
  EXPECT_EQ(world.engine.cursors, 0u);
}

TEST(PostgresSession, ACancelReachesAStatementWhoseClientDoesNotRead) {
  World world;
  world.engine.answers["SELECT many"] = many_rows();
  world.send(started());
  world.stall_output(true);
  world.send(query_message("SELECT many"));
  world.protocol().cancel({1, 0x01010101});
  world.output.clear();
  world.drain_output();
  EXPECT_EQ(lines_of(world.output),
            (std::vector<std::string>{"E ERROR 57014 canceling statement due to user request", "Z I"}));
  EXPECT_EQ(world.engine.cursors, 0u);
}

TEST(PostgresSession, LeavesNothingBehindWhenItsClientGoes) {
  for (const bool held : {false, true}) {
    World world;
    world.engine.answers["SELECT many"] = many_rows();
    world.send(started() + query_message("BEGIN") + message('P', std::string("s\0SELECT many\0\0\0", 16)) +
               message('B', std::string("p\0s\0\0\0\0\0\0\0", 10)) + message('E', std::string("p\0\0\0\0\5", 6)) +
               message('S', ""));
    EXPECT_EQ(world.engine.cursors, 1u);
    world.hold(held);
    world.stall_output(true);
    world.send(query_message("SELECT many"));
    world.end();
    EXPECT_EQ(world.engine.cursors, 0u) << held;
    EXPECT_EQ(world.engine.connections, 0u) << held;
    world.protocol().cancel({1, 0x01010101});
    EXPECT_EQ(world.protocol().counters().cancel_requests_unknown, 1u);
  }
}

TEST(PostgresSession, KeepsABoundedNumberOfStatementsAndPortals) {
  World world;
  world.send(started());
  for (size_t i = 0; i <= PostgresSession::kStoredMax; ++i) {
    world.output.clear();
    world.send(message('P', "s" + std::to_string(i) + '\0' + std::string("BEGIN\0\0\0", 8)));
  }
  EXPECT_EQ(lines_of(world.output)[0].substr(0, 13), "E ERROR 53400");
  World portals;
  portals.send(started() + message('P', std::string("s\0BEGIN\0\0\0", 10)));
  for (size_t i = 0; i <= PostgresSession::kPortalsMax; ++i) {
    portals.output.clear();
    portals.send(message('B', "p" + std::to_string(i) + '\0' + std::string("s\0\0\0\0\0\0\0", 8)));
  }
  EXPECT_EQ(lines_of(portals.output)[0].substr(0, 13), "E ERROR 53400");
}

TEST(PostgresSession, KeepsABoundedNumberOfBytes) {
  World world;
  const std::string text = "SELECT " + std::string(1'000'000, '1');
  world.engine.answers[text] = one_row();
  world.send(started());
  size_t kept = 0;
  for (; kept < 100; ++kept) {
    world.output.clear();
    world.send(message('P', "s" + std::to_string(kept) + '\0' + text + std::string("\0\0\0", 3)));
    if (world.output[0] == 'E') break;
  }
  EXPECT_EQ(kept, PostgresSession::kKeptBytesMax / 2'000'100);  // the text and the engine's own
  world.send(message('S', "") + query_message("DEALLOCATE ALL"));
  world.output.clear();
  world.send(message('P', "again" + std::string(1, '\0') + text + std::string("\0\0\0", 3)));
  EXPECT_EQ(world.output[0], '1');
}

TEST(PostgresSession, ASimpleQueryEndsOnce) {
  for (const std::string query : {"SHOW ALL", "SHOW a; SHOW b", "SHOW TimeZone; SELECT 1; SHOW TimeZone", "SELECT 2",
                                  "SELECT 1; SHOW TimeZone", "BEGIN; SHOW TimeZone; COMMIT", ""}) {
    World world;
    world.engine.answers["SELECT 1"] = one_row();
    world.send(started());
    world.output.clear();
    world.send(query_message(query) + query_message("SHOW TimeZone"));
    const std::vector<std::string> lines = lines_of(world.output);
    EXPECT_EQ(std::count(lines.begin(), lines.end(), "Z I"), 2) << query;
  }
}

// What a statement's calls become counts, not what they were: 40,000 of them fit into a query.
TEST(PostgresSession, CallsAboutTheSessionMakeNoStatementLong) {
  World world;
  world.send(startup_message({{"user", "alice"}, {"application_name", std::string(1024, 'x')}}));
  world.output.clear();
  std::string text = "SELECT 1";
  while (text.size() < 1'000'000) text += ",current_setting('application_name')";
  world.send(message('P', "s" + std::string(1, '\0') + text + std::string("\0\0\0", 3)) + message('S', ""));
  EXPECT_EQ(lines_of(world.output)[0].substr(0, 13), "E ERROR 54000");
  world.output.clear();
  world.send(query_message(text));
  EXPECT_EQ(lines_of(world.output)[0].substr(0, 13), "E ERROR 54000");
  EXPECT_EQ(lines_of(world.output).size(), 2u);
  World longer;
  longer.send(startup_message({{"user", "alice"}, {"application_name", std::string(1025, 'x')}}));
  EXPECT_EQ(lines_of(longer.output)[0].substr(0, 13), "E FATAL 22023");
}

TEST(PostgresSession, ASavepointHasANameOfPostgresLength) {
  World world;
  world.send(started() + query_message("BEGIN; SAVEPOINT " + std::string(63, 's')));
  world.output.clear();
  world.send(query_message("SAVEPOINT " + std::string(64, 's')));
  EXPECT_EQ(lines_of(world.output)[0].substr(0, 13), "E ERROR 42622");
}

// It holds a connection of the engine no longer than its statement may take.
TEST(PostgresSession, ASuspendedPortalEndsWhenItsTimeIsUp) {
  World world;
  world.options.limits.time_ns_max = 1'000'000'000;
  world.engine.answers["SELECT many"] = many_rows();
  const std::string execute = message('E', std::string("p\0\0\0\0\5", 6));
  world.send(started() + query_message("BEGIN") + message('P', std::string("s\0SELECT many\0\0\0", 16)) +
             message('B', std::string("p\0s\0\0\0\0\0\0\0", 10)) + execute + message('S', ""));
  EXPECT_EQ(world.engine.cursors, 1u);
  world.pass_time(999'999'999);
  EXPECT_EQ(world.engine.cursors, 1u);
  world.pass_time(1);
  EXPECT_EQ(world.engine.cursors, 0u);
  EXPECT_EQ(world.engine.connections, 0u);
  world.output.clear();
  world.send(execute + message('S', ""));
  EXPECT_EQ(lines_of(world.output),
            (std::vector<std::string>{"E ERROR 57014 canceling statement due to statement timeout", "Z E"}));
}

TEST(PostgresSession, AnswersWhatCameBeforeTheGoodbye) {
  World world;
  world.send(started());
  world.output.clear();
  world.send(query_message("SHOW TimeZone") + message('X', ""));
  EXPECT_EQ(lines_of(world.output), (std::vector<std::string>{"T TimeZone:25", "D UTC", "C SHOW", "Z I"}));
  EXPECT_TRUE(world.closed);
}

TEST(PostgresSession, SaysTheLastWordWhenTheServerStops) {
  World world;
  world.send(started());
  world.output.clear();
  world.session().on_stop(world);
  EXPECT_EQ(lines_of(world.output)[0], "E FATAL 57P01 terminating connection due to administrator command");
}

TEST(PostgresProtocol, GivesDifferentKeysAndRefusesInItsWords) {
  PostgresProtocol protocol({});
  const CancelKey one = protocol.enter(std::make_shared<Cancellation>());
  const CancelKey two = protocol.enter(std::make_shared<Cancellation>());
  EXPECT_NE(one.process_id, two.process_id);
  protocol.leave(one);
  protocol.cancel(one);
  EXPECT_EQ(protocol.counters().cancel_requests_unknown, 1u);
  EXPECT_EQ(lines_of(protocol.refusal()), (std::vector<std::string>{"E FATAL 53300 sorry, too many clients already"}));
}

TEST(PostgresCatalog, PatternsAreThoseOfPsql) {
  EXPECT_TRUE(matches_pattern("^(trades)$", "trades"));
  EXPECT_FALSE(matches_pattern("^(trades)$", "trades2"));
  EXPECT_TRUE(matches_pattern("^(t.*s)$", "trades"));
  EXPECT_TRUE(matches_pattern("^(.*)$", ""));
  EXPECT_TRUE(matches_pattern("^(tr.des)$", "trades"));
  EXPECT_TRUE(matches_pattern("^(a\\.b)$", "a.b"));
  EXPECT_FALSE(matches_pattern("^(a\\.b)$", "axb"));
  EXPECT_TRUE(matches_pattern("^(x|trades)$", "trades"));
  EXPECT_FALSE(matches_pattern("^(x|y)$", "trades"));
  EXPECT_FALSE(matches_pattern("^(.*.*.*.*.*.*b)$", std::string(100'000, 'a')));
}

}  // namespace
}  // namespace heptane::data::postgres::test
