// Orders over a WebSocket as a transcript (test/transcripts/order_socket.txt): `>` is said by alpha's client, `<` must come; `! sell 1 100.0` and
// `! buy` are beta's orders, `! pass SECONDS`, `! full` and `! room` what the line is like. With HEPTANE_RECORD=1 it is written anew,
// with what came in place of what was expected. And its bounds and rights.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "modules/fintech/test/order_socket_talk.h"

namespace heptane::fintech::exchange_http {
namespace {

using test::OrderTalk;

constexpr const char* kPath = "modules/fintech/test/transcripts/order_socket.txt";

void work(OrderTalk& talk, const std::string& line) {
  std::stringstream words(line);
  std::string what;
  std::string first;
  std::string second;
  words >> what >> first >> second;
  if (what == "pass") return talk.world.pass(std::atoll(first.c_str()) * fixgate::test::kSecond);
  if (what == "full" || what == "room") return talk.set_full(what == "full");
  talk.order(what, first, second);
}

TEST(OrderSocket, SaysWhatTheTranscriptSays) {
  std::ifstream file(kPath);
  ASSERT_TRUE(file.good()) << kPath;
  OrderTalk talk;
  std::string got;
  std::string wanted;
  for (std::string line; std::getline(file, line);) {
    wanted += line + '\n';
    if (line.starts_with("<")) continue;
    got += line + '\n';
    if (line.starts_with("> ")) talk.say(line.substr(2));
    if (line.starts_with("! ")) work(talk, line.substr(2));
    for (const std::string& text : std::exchange(talk.heard.said, {})) got += "< " + text + '\n';
  }
  if (std::getenv("HEPTANE_RECORD") != nullptr) std::ofstream(kPath) << got;
  EXPECT_EQ(got, wanted);
}

// Nothing is read while so many wait; every one is answered, and then it is read again.
TEST(OrderSocket, SoManyWaitForTheirAnswers) {
  OrderTalk talk;
  for (size_t n = 0; n < OrderSocket::kOutstandingMax; ++n) {
    EXPECT_FALSE(talk.heard.paused) << n;
    talk.ask(R"({"op":"cancel","order_id":"9","id":)" + std::to_string(n) + "}");
  }
  EXPECT_TRUE(talk.heard.paused);
  talk.world.run();
  EXPECT_FALSE(talk.heard.paused);
  EXPECT_EQ(talk.heard.said.size(), OrderSocket::kOutstandingMax);
}

// A reader without room gets every report once, in order, when there is some.
TEST(OrderSocket, ReportsWaitForRoom) {
  OrderTalk talk;
  talk.say(R"({"op":"reports"})");
  talk.say(
      R"({"op":"place","order":{"account":"main","cl_ord_id":"a","symbol":"BTC/USD","side":"buy","quantity":"9","price":"100"}})");
  talk.world.pass(fixgate::test::kSecond);  // the stream is there now
  talk.heard.said.clear();
  talk.set_full(true);
  for (int n = 0; n < 30; ++n) talk.order("sell", "0.1", "100.0");
  const size_t told = talk.heard.said.size();
  EXPECT_LE(told, 7U) << "what one read brought";
  talk.set_full(false);
  ASSERT_EQ(talk.heard.said.size(), 30U);
  for (size_t n = 0; n < 30; ++n)
    EXPECT_NE(talk.heard.said[n].find(R"("trade_id":")" + std::to_string(n + 1) + '"'), std::string::npos) << n;
}

TEST(OrderSocket, WhatCannotBeReadNowIsReadLater) {
  OrderTalk talk;
  talk.say(R"({"op":"reports"})");
  talk.world.unreadable = {0};
  talk.say(
      R"({"op":"place","order":{"account":"main","cl_ord_id":"a","symbol":"BTC/USD","side":"buy","quantity":"1","price":"90"}})");
  talk.world.pass(fixgate::test::kSecond);
  talk.heard.said.clear();
  talk.world.unreadable.clear();
  talk.world.pass(fixgate::test::kSecond);
  ASSERT_EQ(talk.heard.said.size(), 1U);
  EXPECT_NE(talk.heard.said[0].find(R"("type":"report")"), std::string::npos);
}

TEST(OrderSocket, RightsAreThoseOfNow) {
  bool reads = true;
  bool enters = true;
  OrderTalk talk({[&] { return reads; }, [&] { return enters; }, [] { return false; }, [] { return false; }});
  const std::string place =
      R"({"op":"place","order":{"account":"main","cl_ord_id":"a","symbol":"BTC/USD","side":"buy","quantity":"1","price":"90"}})";
  talk.say(place);
  EXPECT_NE(talk.heard.said.back().find(R"("status":201)"), std::string::npos);
  enters = false;
  talk.say(place);
  EXPECT_NE(talk.heard.said.back().find(R"("status":403)"), std::string::npos);
  talk.say(R"({"op":"cancel","order_id":"1"})");
  EXPECT_NE(talk.heard.said.back().find("you may not cancel orders of alpha"), std::string::npos);
  reads = false;
  talk.world.pass(2 * fixgate::test::kSecond);
  EXPECT_EQ(talk.heard.closed, 4403);
}

}  // namespace
}  // namespace heptane::fintech::exchange_http
