#include <gtest/gtest.h>

#include <cctype>

#include "kernel/base/random.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/net/http/session.h"
#include "kernel/net/http/transcript.h"
#include "kernel/net/http/url.h"
#include "kernel/net/http/websocket_frames.h"

namespace heptane::http {
namespace {

using test::FakeContext;
using test::TranscriptCase;

constexpr int64_t kSecondNs = 1'000'000'000;

// Answers a text in capitals.
class Upper final : public WebSocketHandler {
 public:
  void on_text(std::string_view message, WebSocket& socket) override {
    std::string upper(message);
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    socket.send_text(upper);
  }
  void on_binary(Bytes, WebSocket& socket) override { socket.close(kCloseUnsupportedData, "texts only"); }
};

// Pieces of 60,000 bytes, each after the one before; `count` below nothing breaks off.
void send_pieces(HttpExchange& exchange, const std::shared_ptr<int>& left) {
  if (*left < 0) return exchange.break_off("on purpose");
  if (*left == 0) return exchange.end("end\n");
  --*left;
  exchange.query({}, [left](HttpExchange& answered, const Reply&) {
    answered.send_piece(std::string(60'000, 'p'), [left](HttpExchange& room) { send_pieces(room, left); });
  });
}

// Those that routes gave away.
std::vector<std::function<void()>>& wakers() {
  static std::vector<std::function<void()>> all;
  return all;
}

HttpService make_service() {
  HttpService service;
  service.limits.body_bytes = 1000;
  service.router.add(Method::get, "/hello", [](HttpExchange& exchange) {
    const auto name = exchange.request().query_value("name");
    exchange.respond({200, "text/plain", "hello " + std::string(name.value_or("nobody")) + "\n", {}});
  });
  const Handler echo = [](HttpExchange& exchange) {
    exchange.respond(
        {200, "text/plain", std::string(exchange.request().param("name")) + ' ' + exchange.request().body, {}});
  };
  service.router.add(Method::post, "/echo/{name}", echo);
  service.router.add(Method::del, "/echo/{name}", echo);
  service.router.add(Method::get, "/echo/fixed", echo);
  service.router.add(Method::get, "/echo/{name}", echo);
  service.router.add(Method::get, "/large", [](HttpExchange& exchange) {
    exchange.respond({200, "text/plain", std::string(300 * 1024, 'x'), {}});
  });
  service.router.add(Method::get, "/json/{bytes}", [](HttpExchange& exchange) {
    const auto bytes = static_cast<size_t>(std::stoul(std::string(exchange.request().param("bytes"))));
    exchange.respond(HttpResponse::json(200, std::string(bytes, ' ')));
  });
  service.router.add(Method::get, "/pieces/{count}", [](HttpExchange& exchange) {
    auto left = std::make_shared<int>(std::stoi(std::string(exchange.request().param("count"))));
    exchange.start({200, "text/plain", "", {}});
    send_pieces(exchange, left);
  });
  service.router.add(Method::get, "/socket",
                     [](HttpExchange& exchange) { exchange.upgrade(std::make_unique<Upper>(), {}); });
  service.router.add(Method::get, "/mqtt", [](HttpExchange& exchange) {
    WebSocketOptions options;
    options.subprotocols = {"mqtt", "mqttv3.1"};
    exchange.upgrade(std::make_unique<Upper>(), options);
  });
  service.router.add(Method::post, "/ask", [](HttpExchange& exchange) {
    exchange.submit({}, [](HttpExchange& answered, const Reply& reply) {
      answered.respond({200, "text/plain", "the shard says " + std::to_string(reply.numbers[0]), {}});
    });
  });
  service.router.add(Method::get, "/held/{seconds}", [](HttpExchange& exchange) {
    const int64_t seconds = std::stoll(std::string(exchange.request().param("seconds")));
    wakers().push_back(exchange.hold(seconds * kSecondNs, [](HttpExchange& held) {
      held.respond({200, "text/plain", "held\n", {}});
    }));
  });
  return service;
}

struct Client {
  explicit Client(const HttpService& service) : session(service), context(session) {
    context.on_submit = [](const Submission&) {
      Reply reply;
      reply.numbers[0] = 42;
      return reply;
    };
    context.on_query = [](const QueryRequest&) { return Reply{}; };
  }
  HttpSession session;
  FakeContext context;
};

// Bytes that a text line stands for: \xNN.
std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "\\x") {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

using Sender = std::function<void(FakeContext&, const std::string&)>;

void steer(FakeContext& context, const std::string& what) {
  if (what == "full") context.queue_full = true;
  if (what == "hold") context.hold_answers = true;
  if (what == "deliver") context.deliver();
  if (what.starts_with("wait ")) context.pass_time(std::stoll(what.substr(5)) * kSecondNs);
}

// Consecutive `>` lines go out as one piece of bytes.
std::string play(const HttpService& service, const TranscriptCase& script, const Sender& send) {
  Client client(service);
  std::string pending;
  for (const std::string& line : script.script) {
    if (line.starts_with(">| "))
      pending += unescaped(line.substr(3));
    else if (line.starts_with('>'))
      pending += unescaped(line.size() > 2 ? line.substr(2) : "") + "\r\n";
    if (!line.starts_with("! ")) continue;
    if (!pending.empty()) send(client.context, std::exchange(pending, {}));
    steer(client.context, line.substr(2));
  }
  if (!pending.empty()) send(client.context, pending);
  if (client.context.closed) {
    EXPECT_EQ(client.context.timers(), 0u) << "a timer stays armed after the close";
  }
  return test::as_expected(client.context.output, client.context.closed);
}

void send_whole(FakeContext& context, const std::string& bytes) { context.send(bytes); }
void send_bytewise(FakeContext& context, const std::string& bytes) {
  for (const char c : bytes) {
    if (context.closed) return;
    context.send({&c, 1});
  }
}

class Transcripts : public ::testing::TestWithParam<const char*> {
 protected:
  std::string path() const { return std::string("kernel/net/http/transcripts/") + GetParam(); }
};

TEST_P(Transcripts, match) {
  const HttpService service = make_service();
  std::vector<TranscriptCase> cases = test::read_transcript(path());
  ASSERT_GT(cases.size(), 5u);
  for (TranscriptCase& script : cases) {
    const std::string got = play(service, script, send_whole);
    if (!test::writing_transcripts()) {
      EXPECT_EQ(got, script.expected) << script.script.front();
    }
    script.expected = got;
  }
  if (test::writing_transcripts()) test::write_transcript(path(), cases);
}

TEST_P(Transcripts, do_not_depend_on_how_bytes_arrive) {
  const HttpService service = make_service();
  SeededRandom random(7);
  for (const TranscriptCase& script : test::read_transcript(path())) {
    const std::string whole = play(service, script, send_whole);
    EXPECT_EQ(play(service, script, send_bytewise), whole) << script.script.front();
    for (int round = 0; round < 40; ++round) {
      const auto send_pieces = [&](FakeContext& context, const std::string& bytes) {
        for (size_t at = 0; at < bytes.size() && !context.closed;) {
          const size_t length = std::min<size_t>(1 + random.next() % 60, bytes.size() - at);
          context.send(bytes.substr(at, length));
          at += length;
        }
      };
      EXPECT_EQ(play(service, script, send_pieces), whole) << script.script.front();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Http, Transcripts, ::testing::Values("requests.txt", "refusals.txt"));

std::string head_of(size_t bytes) {
  std::string head = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: ";
  return head + std::string(bytes - head.size() - 4, 'x') + "\r\n\r\n";
}

std::string status_after(const HttpService& service, const std::string& bytes, const Sender& send = send_whole) {
  Client client(service);
  send(client.context, bytes);
  return client.context.output.substr(0, 12);
}

TEST(HttpLimits, are_exact) {
  const HttpService service = make_service();
  for (const Sender& send : {Sender(send_whole), Sender(send_bytewise)}) {
    EXPECT_EQ(status_after(service, head_of(16 * 1024), send), "HTTP/1.1 200");
    EXPECT_EQ(status_after(service, head_of(16 * 1024 + 1), send), "HTTP/1.1 431");
    const std::string rest = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const std::string start = "GET /hello?";
    const std::string fill(8192 - start.size() - 9, 'a');
    EXPECT_EQ(status_after(service, start + fill + rest, send), "HTTP/1.1 200");
    EXPECT_EQ(status_after(service, start + fill + 'a' + rest, send), "HTTP/1.1 414");
    EXPECT_EQ(status_after(service, std::string(16 * 1024, 'G'), send), "HTTP/1.1 414");
  }
  const std::string post = "POST /echo/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  EXPECT_EQ(status_after(service, post + "Content-Length: 1000\r\n\r\n" + std::string(1000, ' ')), "HTTP/1.1 200");
  EXPECT_EQ(status_after(service, post + "Content-Length: 1001\r\n\r\n"), "HTTP/1.1 413");
  EXPECT_EQ(status_after(service, post + "Content-Length: 99999999999999999999999\r\n\r\n"), "HTTP/1.1 400");
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(status_after(service, chunked + "3e7\r\n" + std::string(999, ' ') + "\r\n2\r\n"), "HTTP/1.1 413");
  EXPECT_EQ(status_after(service, chunked + "1;" + std::string(20'000, 'e'), send_bytewise), "HTTP/1.1 400");
  std::string many = "GET /hello HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 99; ++i) many += "A: b\r\n";
  EXPECT_EQ(status_after(service, many + "\r\n"), "HTTP/1.1 200");
  EXPECT_EQ(status_after(service, many + "A: b\r\n\r\n"), "HTTP/1.1 431");
}

TEST(HttpSession, waits_with_input_while_a_handler_asks) {
  const HttpService service = make_service();
  Client client(service);
  client.context.hold_answers = true;
  const std::string ask = "POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n";
  client.context.send(ask + ask);
  EXPECT_TRUE(client.context.paused());
  EXPECT_EQ(client.context.kept(), ask.size());
  EXPECT_EQ(client.context.output, "");
  client.context.deliver();
  EXPECT_FALSE(client.context.paused());
  EXPECT_EQ(client.context.kept(), 0u);
  EXPECT_EQ(client.context.timers(), 0u) << "an idle connection holds no timer";
}

TEST(HttpSession, stops_reading_when_nobody_takes_its_output) {
  const HttpService service = make_service();
  Client client(service);
  client.context.output_stalls = true;
  std::string requests;
  for (int i = 0; i < 50; ++i) requests += "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
  client.context.send(requests);
  EXPECT_LT(client.context.output.size(), 700u * 1024);
  EXPECT_GT(client.context.kept(), 0u);
  client.context.drain_output();
  EXPECT_GT(client.context.output.size(), 50u * 300 * 1024);
}

// The bodies of a chunked response, put together.
std::string unchunked(std::string_view response) {
  std::string body;
  response.remove_prefix(response.find("\r\n\r\n") + 4);
  for (;;) {
    const size_t line = response.find("\r\n");
    const size_t size = std::stoul(std::string(response.substr(0, line)), nullptr, 16);
    if (size == 0) return body;
    body += response.substr(line + 2, size);
    response.remove_prefix(line + 2 + size + 2);
  }
}

TEST(HttpSession, a_response_in_pieces_waits_for_its_reader) {
  const HttpService service = make_service();
  Client client(service);
  client.context.output_stalls = true;
  client.context.send(
      "GET /pieces/100 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_LT(client.context.output.size(), 400'000u) << "nobody reads";
  client.context.pass_time(1000 * kSecondNs);
  EXPECT_FALSE(client.context.closed) << "the loop's deadline, not the answer's";
  client.context.drain_output();
  EXPECT_EQ(unchunked(client.context.output).size(), 100u * 60'000 + 4);
  EXPECT_TRUE(client.context.output.ends_with("hello nobody\n")) << "the next request had to wait, and is answered";
  EXPECT_EQ(client.context.timers(), 0u);
}

TEST(HttpSession, a_response_that_breaks_off_does_not_look_whole) {
  const HttpService service = make_service();
  Client client(service);
  client.context.send("GET /pieces/-1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(client.context.closed);
  EXPECT_FALSE(client.context.output.ends_with("0\r\n\r\n"));
  EXPECT_EQ(client.context.timers(), 0u);
}

TEST(HttpSession, pieces_to_old_clients_and_for_head) {
  const HttpService service = make_service();
  Client old(service);
  old.context.send("GET /pieces/2 HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(old.context.closed);
  EXPECT_EQ(old.context.output.find("chunked"), std::string::npos);
  EXPECT_TRUE(old.context.output.ends_with("ppend\n"));
  Client head(service);
  head.context.send("HEAD /pieces/2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(head.context.output.ends_with("\r\n\r\n"));
  EXPECT_NE(head.context.output.find("Transfer-Encoding: chunked"), std::string::npos);
}

std::string compressed(std::string_view text) { return GzipStream().add(text, true); }

TEST(HttpSession, compressed_bodies_are_bounded_after_they_are_inflated) {
  const HttpService service = make_service();
  const auto answer = [&](const std::string& body, const std::string& coding = "gzip") {
    Client client(service);
    client.context.send(
        "POST /echo/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: " + coding +
        "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.context.output;
  };
  EXPECT_TRUE(answer(compressed("{\"a\":1}")).ends_with("\r\n\r\nx {\"a\":1}"));
  EXPECT_TRUE(answer(compressed("{\"a\":1}"), "X-GZIP").ends_with("\r\n\r\nx {\"a\":1}"));
  EXPECT_EQ(answer(compressed(std::string(1000, 'a'))).substr(9, 3), "200");
  EXPECT_EQ(answer(compressed(std::string(1001, 'a'))).substr(9, 3), "413");
  const std::string bomb = compressed(std::string(900'000, 'a'));
  ASSERT_LT(bomb.size(), 1000u * 5);
  EXPECT_EQ(answer(bomb.substr(0, 1000)).substr(9, 3), "413") << "before its end is seen";
  const std::string good = compressed("{}");
  EXPECT_EQ(answer(good + "x").substr(9, 3), "400");
  EXPECT_EQ(answer(good.substr(0, good.size() - 1)).substr(9, 3), "400");
  EXPECT_EQ(answer("not gzip").substr(9, 3), "400");
  EXPECT_EQ(answer(good, "deflate").substr(9, 3), "400");
  EXPECT_EQ(answer("{}", "br").substr(9, 3), "415");
  EXPECT_EQ(answer(good, "gzip, gzip").substr(9, 3), "415");
  const std::string zlib("\x78\x9c\xab\xae\x05\x00\x01\x75\x00\xf9", 10);
  EXPECT_TRUE(answer(zlib, "deflate").ends_with("x {}"));
}

TEST(HttpSession, long_texts_are_compressed_for_who_asks) {
  const HttpService service = make_service();
  const auto ask = [&](const std::string& target, const std::string& accept) {
    Client client(service);
    client.context.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: " + accept + "\r\n\r\n");
    return client.context.output;
  };
  const auto body = [](const std::string& response) { return response.substr(response.find("\r\n\r\n") + 4); };
  const std::string small = ask("/json/5000", "br, gzip;q=0.5");
  EXPECT_NE(small.find("Content-Encoding: gzip\r\n"), std::string::npos);
  EXPECT_LT(small.size(), 600u);
  EXPECT_EQ(decoded_body("gzip", body(small), 5000).value(), std::string(5000, ' '));
  for (const char* accept : {"identity", "gzip;q=0", "*;q=0, br", "gzip;q=0.000, *", "deflate"})
    EXPECT_EQ(body(ask("/json/5000", accept)).size(), 5000u) << accept;
  EXPECT_LT(body(ask("/json/5000", "*")).size(), 600u);
  EXPECT_EQ(body(ask("/json/1023", "gzip")).size(), 1023u);
  EXPECT_EQ(body(ask("/json/3000000", "gzip")).size(), 3'000'000u);
  const std::string pieces = unchunked(ask("/pieces/3", "gzip"));
  EXPECT_EQ(decoded_body("gzip", pieces, 1 << 20).value(), std::string(180'000, 'p') + "end\n");
}

TEST(HttpSession, a_connection_becomes_a_websocket) {
  const HttpService service = make_service();
  Client client(service);
  // The handshake of RFC 6455 §1.2; a frame may follow at once.
  client.context.send(
      "GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" +
      test::client_frame(Opcode::text, "hello"));
  EXPECT_TRUE(
      client.context.output.ends_with("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05HELLO"))
      << client.context.output;
  EXPECT_EQ(client.context.timers(), 1u) << "the keep-alive";
  client.context.send(test::client_frame(Opcode::close, close_payload(1000, "")));
  EXPECT_TRUE(client.context.closed);
  EXPECT_EQ(client.context.timers(), 0u);
}

TEST(HttpSession, a_late_answer_after_the_deadline_is_dropped) {
  const HttpService service = make_service();
  Client client(service);
  client.context.hold_answers = true;
  client.context.send("POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n");
  client.context.pass_time(30 * kSecondNs);
  EXPECT_EQ(client.context.output.substr(0, 12), "HTTP/1.1 504");
  EXPECT_TRUE(client.context.closed);
  client.session.on_reply(1, Reply{}, client.context);
}

TEST(HttpSession, holds_until_it_is_woken_or_the_time_is_over) {
  const HttpService service = make_service();
  const std::string get = "GET /held/100 HTTP/1.1\r\nHost: localhost\r\n\r\n";
  wakers().clear();
  Client client(service);
  client.context.send(get);
  client.context.pass_time(99 * kSecondNs);
  EXPECT_EQ(client.context.output, "") << "no deadline is over";
  wakers().front()();
  EXPECT_EQ(client.context.output, "") << "the answer comes in a call of its own";
  client.context.pass_time(0);
  EXPECT_TRUE(client.context.output.ends_with("held\n"));
  wakers().front()();  // nobody is held any more
  EXPECT_EQ(client.context.timers(), 0u);
  client.context.send(get);
  client.context.pass_time(100 * kSecondNs);
  EXPECT_EQ(std::exchange(client.context.output, "").substr(9, 3), "200");
  client.context.send(get);
  client.session.on_close(net::CloseReason::peer_closed);
  for (const auto& wake : wakers()) wake();
}

TEST(HttpSession, deadlines_do_not_run_out_early) {
  const HttpService service = make_service();
  Client client(service);
  client.context.pass_time(100 * kSecondNs);
  client.context.send("GET /hello HTTP/1.1\r\n");
  client.context.pass_time(9 * kSecondNs);
  EXPECT_EQ(client.context.output, "");
  client.context.send("Host: localhost\r\n\r\n");
  EXPECT_EQ(client.context.output.substr(0, 12), "HTTP/1.1 200");
  client.context.pass_time(100 * kSecondNs);
  EXPECT_FALSE(client.context.closed);
}

TEST(HttpRouter, prefers_literal_segments) {
  HttpRouter router;
  const auto route = [&](std::string_view pattern) { router.add(Method::get, pattern, [](HttpExchange&) {}); };
  route("/a/{x}");
  route("/a/b");
  route("/{y}/b");
  EXPECT_EQ(router.find(Method::get, "/a/b").route->segments[1], "b");
  EXPECT_EQ(router.find(Method::get, "/a/c").params[0].second, "c");
  EXPECT_EQ(router.find(Method::get, "/q/b").params[0].first, "y");
  EXPECT_EQ(router.find(Method::get, "/a/").route, nullptr);
  EXPECT_EQ(router.find(Method::get, "/a/b/").route, nullptr);
  EXPECT_EQ(router.find(Method::post, "/a/c").allow, "GET, HEAD, OPTIONS");
}

TEST(HostCheck, knows_names_with_and_without_ports) {
  const HostCheck check({"heptane.example", "[fe80::1]"});
  for (const char* good :
       {"localhost", "LocalHost:1", "127.0.0.1:65535", "[::1]", "[::1]:80", "heptane.example:7070", "[fe80::1]:1"})
    EXPECT_TRUE(check.host_allowed(good)) << good;
  for (const char* bad : {"", "localhost.evil.example", "evil.example", "127.0.0.2", "[::1", "[::1]x", "::1",
                          "localhost:x", "localhost@evil.example", "localhost:123456", "xlocalhost", " localhost"})
    EXPECT_FALSE(check.host_allowed(bad)) << bad;
}

TEST(HostCheck, a_page_is_the_hosts_own_or_listed) {
  const HostCheck check({"heptane.example", "[fe80::1]", "pages.example:8080", "localhost:3000"});
  const auto allowed = [&](const char* origin, const char* host) { return check.origin_allowed(origin, host); };
  EXPECT_TRUE(allowed("http://127.0.0.1:7070", "127.0.0.1:7070"));
  EXPECT_TRUE(allowed("http://LocalHost:7070", "localhost:7070"));
  EXPECT_TRUE(allowed("http://[::1]:7070", "[::1]:7070"));
  EXPECT_TRUE(allowed("https://localhost", "localhost:443"));
  EXPECT_TRUE(allowed("http://localhost:80", "localhost"));
  EXPECT_TRUE(allowed("https://heptane.example:9", "localhost:7070")) << "any port of it is listed";
  EXPECT_TRUE(allowed("https://[fe80::1]", "localhost:7070"));
  EXPECT_TRUE(allowed("http://pages.example:8080", "localhost:7070"));
  EXPECT_TRUE(allowed("http://localhost:3000", "localhost:7070"));
  for (const char* bad : {"", "null", "file://localhost:7070", "http://evil.example", "http://localhost:7070/evil",
                          "http://localhost.evil", "http://localhost:3001", "http://localhost", "https://localhost",
                          "http://127.0.0.1:7070", "http://[::1]:7070", "http://pages.example",
                          "http://pages.example:80800", "http://user@localhost:7070", "http://localhost:7070:80"})
    EXPECT_FALSE(allowed(bad, "localhost:7070")) << bad;
  EXPECT_FALSE(allowed("http://evil.example:7070", "evil.example:7070")) << "a name that was rebound";
  EXPECT_FALSE(allowed("http://localhost", "")) << "HTTP/1.0 without a Host";
  EXPECT_TRUE(check.host_allowed("pages.example:1")) << "the port of a listed page says nothing of the Host";
}

TEST(Url, is_taken_apart) {
  const auto target = parse_target("/a%20b?x=1&y=a%2Bb+c&&z");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->path, "/a%20b");
  ASSERT_EQ(target->query.size(), 3u);
  EXPECT_EQ(target->query[1].second, "a+b c");
  EXPECT_EQ(target->query[2].first, "z");
  EXPECT_FALSE(parse_target("/a?x=%1"));
  EXPECT_FALSE(parse_target("*"));
  EXPECT_FALSE(parse_target("/a#b"));
  EXPECT_EQ(parse_target("http://h:1?q=1")->path, "/");
}

TEST(HttpDate, is_the_fixed_form) {
  EXPECT_EQ(http_date(int64_t{784'111'777} * kSecondNs), "Sun, 06 Nov 1994 08:49:37 GMT");
}

}  // namespace
}  // namespace heptane::http
