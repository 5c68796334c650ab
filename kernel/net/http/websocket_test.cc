#include "kernel/net/http/websocket.h"

#include <gtest/gtest.h>

#include <map>

#include "kernel/base/random.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/transcript.h"
#include "kernel/net/http/websocket_frames.h"
#include "kernel/net/http/websocket_stream.h"

namespace heptane::http {
namespace {

using test::client_frame;
using test::FakeContext;

constexpr int64_t kSecondNs = 1'000'000'000;

// Sends back what it gets; `flood` gets a great deal.
class Echo final : public WebSocketHandler {
 public:
  void on_text(std::string_view message, WebSocket& socket) override {
    if (message == "bye") return socket.close(kCloseNormal, "you said so");
    if (message == "flood")
      for (int i = 0; i < 100; ++i) socket.send_text(std::string(1000, 'x'));
    socket.send_text(message);
  }
  void on_binary(Bytes message, WebSocket& socket) override { socket.send_binary(message); }
  void on_close(net::CloseReason) override { ++closes; }
  int closes = 0;
};

struct Client {
  explicit Client(const WebSocketLimits& limits = {}) : session(std::make_unique<Echo>(), limits), context(session) {
    session.on_open(context);
  }
  explicit Client(std::unique_ptr<WebSocketHandler> handler, const WebSocketLimits& limits = {})
      : session(std::move(handler), limits), context(session) {
    session.on_open(context);
  }
  std::string said() const {
    std::string words;
    std::string_view rest = context.output;
    uint8_t first = 0;
    for (std::string_view payload; test::take_server_frame(rest, first, payload);)
      words += "< " + test::frame_in_words(first, payload) + '\n';
    EXPECT_TRUE(rest.empty()) << "half a frame was sent";
    if (context.closed) words += "<closed\n";
    return words;
  }
  WebSocketSession session;
  FakeContext context;
};

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) != "\\x") {
      out += text[i];
      continue;
    }
    out += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
    i += 3;
  }
  return out;
}

// `text Hello`, `text+ Hel` (more follows), `close 1000 why`, `raw \x81\x00`.
std::string frame_of(std::string_view words) {
  static const std::map<std::string, uint8_t, std::less<>> kOpcodes = {{"cont", 0},  {"text", 1}, {"binary", 2},
                                                                       {"close", 8}, {"ping", 9}, {"pong", 10}};
  const size_t space = std::min(words.find(' '), words.size());
  std::string name(words.substr(0, space));
  std::string payload = unescaped(words.substr(std::min(space + 1, words.size())));
  if (name == "raw") return payload;
  const bool fin = !name.ends_with('+');
  if (!fin) name.pop_back();
  if (name == "close" && payload.size() >= 4) {
    const auto code = static_cast<uint16_t>(std::stoi(payload.substr(0, 4)));
    payload = close_payload(code, payload.size() > 5 ? payload.substr(5) : "");
  }
  return client_frame(static_cast<uint8_t>(kOpcodes.at(name) | (fin ? 0x80 : 0)), payload);
}

WebSocketLimits small_limits() {
  WebSocketLimits limits;
  limits.message_bytes = 20;
  return limits;
}

std::string play(const test::TranscriptCase& script, size_t piece_bytes) {
  Client client(small_limits());
  std::string pending;
  const auto send = [&] {
    const std::string bytes = std::exchange(pending, {});
    for (size_t at = 0; at < bytes.size() && !client.context.closed; at += piece_bytes)
      client.context.send(bytes.substr(at, piece_bytes));
  };
  for (const std::string& line : script.script) {
    if (line.starts_with("> ")) pending += frame_of(line.substr(2));
    if (!line.starts_with("! wait ")) continue;
    send();
    client.context.pass_time(std::stoll(line.substr(7)) * kSecondNs);
  }
  send();
  if (client.context.closed) {
    EXPECT_EQ(client.context.timers(), 0u) << "a timer stays armed after the close";
  }
  return client.said();
}

TEST(WebSocket, transcripts_match_however_the_bytes_arrive) {
  const std::string path = "kernel/net/http/transcripts/websocket.txt";
  std::vector<test::TranscriptCase> cases = test::read_transcript(path);
  ASSERT_GT(cases.size(), 10u);
  for (test::TranscriptCase& script : cases) {
    const std::string got = play(script, 1 << 20);
    if (!test::writing_transcripts()) {
      EXPECT_EQ(got, script.expected) << script.script.front();
    }
    for (const size_t piece : {1, 2, 3, 7}) EXPECT_EQ(play(script, piece), got) << script.script.front();
    script.expected = got;
  }
  if (test::writing_transcripts()) test::write_transcript(path, cases);
}

TEST(WebSocket, every_length_comes_back) {
  SeededRandom random(3);
  for (const size_t length : {0, 1, 125, 126, 127, 65535, 65536, 200'000}) {
    Client client;
    std::string message;
    while (message.size() < length) message += static_cast<char>('a' + random.next() % 26);
    const std::string frame = client_frame(Opcode::binary, message);
    for (size_t at = 0; at < frame.size();) {
      const size_t piece = std::min<size_t>(1 + random.next() % 5000, frame.size() - at);
      client.context.send(frame.substr(at, piece));
      at += piece;
    }
    std::string expected;
    append_frame(expected, Opcode::binary, as_bytes(message));
    EXPECT_EQ(client.context.output, expected) << length;
    EXPECT_EQ(client.context.kept(), 0u);
  }
}

TEST(WebSocket, a_message_that_is_too_long_is_refused_by_its_header) {
  Client client;
  // A length of 2^62 with nothing behind it.
  client.context.send(std::string("\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00....", 14));
  EXPECT_EQ(client.said(), "< close 1009 a message holds at most 1048576 bytes\n<closed\n");
}

TEST(WebSocket, close_codes_of_a_peer) {
  for (const int code : {1000, 1001, 1003, 1007, 1011, 3000, 4999}) {
    Client client;
    client.context.send(client_frame(Opcode::close, close_payload(static_cast<uint16_t>(code), "why")));
    EXPECT_EQ(client.said(), "< close " + std::to_string(code) + "\n<closed\n");
  }
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535}) {
    Client client;
    client.context.send(client_frame(Opcode::close, close_payload(static_cast<uint16_t>(code), "")));
    EXPECT_EQ(client.said(), "< close 1002 that close code is not for frames\n<closed\n") << code;
  }
}

TEST(WebSocket, silence_is_pinged_and_then_closed) {
  Client client;
  client.context.pass_time(30 * kSecondNs);
  EXPECT_EQ(client.said(), "< ping\n");
  client.context.send(client_frame(Opcode::pong, ""));
  client.context.pass_time(20 * kSecondNs);
  EXPECT_EQ(client.said(), "< ping\n");
  client.context.pass_time(30 * kSecondNs);
  client.context.pass_time(20 * kSecondNs);
  EXPECT_EQ(client.said(), "< ping\n< ping\n< close 1001 a ping was not answered\n<closed\n");
}

TEST(WebSocket, a_slow_reader_is_closed_and_one_that_goes_on_is_not) {
  WebSocketLimits limits;
  limits.ping_interval_ns = 1000 * kSecondNs;
  for (const bool reads : {true, false}) {
    Client client(limits);
    client.context.output_stalls = true;
    for (int i = 0; i < 4; ++i) client.context.send(client_frame(Opcode::text, "flood"));
    ASSERT_TRUE(client.context.output_full());
    if (reads) client.context.take_output(1);
    client.context.pass_time(20 * kSecondNs);
    EXPECT_EQ(client.context.closed, !reads);
  }
}

TEST(WebSocket, a_handler_that_pushes_beyond_the_bound_loses_its_reader) {
  WebSocketLimits limits;
  limits.output_bytes = 90'000;
  Client client(limits);
  client.context.output_stalls = true;
  client.context.send(client_frame(Opcode::text, "flood"));
  EXPECT_TRUE(client.context.closed);
  EXPECT_LT(client.context.output.size(), 95'000u);
  EXPECT_TRUE(client.context.output.ends_with("the reader is too slow"));
}

TEST(WebSocket, a_reason_is_cut_at_a_character) {
  const std::string reason(122, 'a');
  EXPECT_EQ(close_payload(1000, reason + "\xc3\xa4").size(), 2 + 122u);
  EXPECT_EQ(close_payload(1000, reason + "a").size(), 2 + 123u);
}

// Bytes as from a socket: echoes whole lines.
class Lines final : public net::Session {
 public:
  size_t on_bytes(Bytes input, net::SessionContext& context) override {
    const std::string_view text = as_text(input);
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return 0;
    context.write(Buffer::copy_of(text.substr(0, end + 1)));
    if (text.substr(0, end) == "ask") {
      context.pause_input(true);
      context.submit(7, {});
    }
    if (text.substr(0, end) == "end") context.close(net::CloseReason::session_closed, "asked to");
    return end + 1;
  }
  void on_reply(RequestId request, const Reply&, net::SessionContext& context) override {
    context.write(Buffer::copy_of("answer " + std::to_string(request) + '\n'));
    context.pause_input(false);
  }
};

TEST(WebSocketStream, a_session_of_bytes_runs_in_binary_messages) {
  Client client(std::make_unique<WebSocketStream>(std::make_unique<Lines>(), 100));
  client.context.on_submit = [](const Submission&) { return Reply{}; };
  client.context.hold_answers = true;
  client.context.send(client_frame(Opcode::binary, "on"));
  client.context.send(client_frame(Opcode::binary, "e\ntwo\nask\nth"));
  client.context.send(client_frame(Opcode::binary, "ree\n"));
  EXPECT_EQ(client.said(), "< binary one\n\n< binary two\n\n< binary ask\n\n") << "input waits for the answer";
  client.context.deliver();
  EXPECT_EQ(client.said(), "< binary one\n\n< binary two\n\n< binary ask\n\n< binary answer 7\n\n< binary three\n\n");
  client.context.send(client_frame(Opcode::binary, "end\nmore\n"));
  EXPECT_TRUE(client.said().ends_with("< binary end\n\n< close 1000 asked to\n<closed\n"));
}

TEST(WebSocketStream, what_is_no_bytes_or_too_many_is_refused) {
  Client text(std::make_unique<WebSocketStream>(std::make_unique<Lines>(), 100));
  text.context.send(client_frame(Opcode::text, "one\n"));
  EXPECT_EQ(text.said(), "< close 1003 what is spoken here goes into binary messages\n<closed\n");
  Client many(std::make_unique<WebSocketStream>(std::make_unique<Lines>(), 100));
  many.context.send(client_frame(Opcode::binary, std::string(99, 'x')));
  EXPECT_FALSE(many.context.closed);
  many.context.send(client_frame(Opcode::binary, "x"));
  EXPECT_EQ(many.said(), "< close 1008 a message is too long\n<closed\n");
}

}  // namespace
}  // namespace heptane::http
