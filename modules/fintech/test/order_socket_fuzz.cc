// What reads a client's messages on a WebSocket of orders, with the exchange behind it. Input: lines; `+` and `-` are the other firm's
// orders, `~` passes time, `#` makes the line full, or not; others are messages. What is said is JSON, and every message has an answer.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernel/net/http/json.h"
#include "modules/fintech/test/order_socket_talk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using heptane::fintech::exchange_http::test::OrderTalk;
  constexpr size_t kLinesMax = 64;
  constexpr int64_t kTurnNs = 200'000'000;
  OrderTalk talk;
  size_t lines = 0;
  const std::string input(reinterpret_cast<const char*>(data), size);
  for (const std::string& line : heptane::fintech::fixgate::test::split(input, '\n')) {
    if (++lines > kLinesMax) break;
    if (line.starts_with('~'))
      talk.world.pass(kTurnNs);
    else if (line.starts_with('#'))
      talk.set_full(!talk.heard.full);
    else if (line.starts_with('+') || line.starts_with('-'))
      talk.order(line[0] == '+' ? "buy" : "sell", "0." + std::to_string(1 + line.size() % 9),
                 std::to_string(95 + line.size() % 10));
    else if (!line.empty())
      talk.say(line);
    for (const std::string& said : talk.heard.said)
      if (!heptane::http::JsonDocument::parse(said)) {
        std::fprintf(stderr, "no JSON: %s\n", said.c_str());
        std::abort();
      }
    talk.heard.said.clear();
  }
  return 0;
}
