#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/net/http/session.h"
#include "kernel/net/http/transcript.h"
#include "kernel/net/http/url.h"

namespace heptane::http {
namespace {

using test::FakeContext;
using test::TranscriptCase;

constexpr int64_t kSecondNs = 1'000'000'000;

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
  service.router.add(Method::post, "/ask", [](HttpExchange& exchange) {
    exchange.submit({}, [](HttpExchange& answered, const Reply& reply) {
      answered.respond({200, "text/plain", "the shard says " + std::to_string(reply.numbers[0]), {}});
    });
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
  EXPECT_TRUE(client.context.paused());
  client.context.drain_output();
  EXPECT_GT(client.context.output.size(), 50u * 300 * 1024);
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
  EXPECT_EQ(router.find(Method::post, "/a/c").allow, "GET, HEAD");
}

TEST(HostCheck, knows_names_with_and_without_ports) {
  const HostCheck check({"heptane.example", "[fe80::1]"});
  for (const char* good :
       {"localhost", "LocalHost:1", "127.0.0.1:65535", "[::1]", "[::1]:80", "heptane.example:7070", "[fe80::1]:1"})
    EXPECT_TRUE(check.host_allowed(good)) << good;
  for (const char* bad : {"", "localhost.evil.example", "evil.example", "127.0.0.2", "[::1", "[::1]x", "::1",
                          "localhost:x", "localhost@evil.example", "localhost:123456", "xlocalhost", " localhost"})
    EXPECT_FALSE(check.host_allowed(bad)) << bad;
  EXPECT_TRUE(check.origin_allowed("https://localhost:3000"));
  for (const char* bad :
       {"", "null", "file://localhost", "http://evil.example", "http://localhost/evil", "http://localhost.evil"})
    EXPECT_FALSE(check.origin_allowed(bad)) << bad;
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
