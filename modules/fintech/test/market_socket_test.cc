// Market data over a WebSocket as a transcript (test/transcripts/market_data.txt): `>` is said by the client, `<` must come; `! buy 1 100.0`
// and `! sell` are orders of two firms, `! pass SECONDS`, `! full` and `! room` what the line is like. With HEPTANE_RECORD=1 it is written
// anew, with what came in place of what was expected.
#include "modules/fintech/test/market_socket_talk.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace heptane::fintech::exchange_http {
namespace {

using test::SocketTalk;

constexpr const char* kPath = "modules/fintech/test/transcripts/market_data.txt";

void work(SocketTalk& talk, const std::string& line) {
  std::stringstream words(line);
  std::string what;
  std::string first;
  std::string second;
  words >> what >> first >> second;
  if (what == "pass") return talk.pass(std::atoll(first.c_str()) * fixgate::test::kSecond);
  if (what == "full" || what == "room") return talk.set_full(what == "full");
  talk.order(what, first, second);
}

TEST(MarketSocket, SaysWhatTheTranscriptSays) {
  std::ifstream file(kPath);
  ASSERT_TRUE(file.good()) << kPath;
  SocketTalk talk;
  std::string got;
  std::string wanted;
  const auto take_said = [&] {
    for (const std::string& text : std::exchange(talk.socket.said, {})) got += "< " + text + '\n';
  };
  for (std::string line; std::getline(file, line);) {
    wanted += line + '\n';
    if (line.starts_with("<")) continue;
    got += line + '\n';
    if (line.starts_with("> ")) talk.say(line.substr(2));
    if (line.starts_with("! ")) work(talk, line.substr(2));
    take_said();
  }
  if (std::getenv("HEPTANE_RECORD") != nullptr) std::ofstream(kPath) << got;
  EXPECT_EQ(got, wanted);
}

TEST(MarketSocket, BinaryMessagesCloseIt) {
  SocketTalk talk;
  talk.say_binary({});
  EXPECT_EQ(talk.socket.closed, http::kCloseUnsupportedData);
}

}  // namespace
}  // namespace heptane::fintech::exchange_http
