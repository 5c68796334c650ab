// Quotas as an HTTP client meets them: 429 before a request, a slower body and a slower answer within one.
#include <gtest/gtest.h>

#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/session.h"
#include "kernel/net/http/websocket_frames.h"
#include "sim/sim_clock.h"

namespace heptane::http {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

// Counts what it is given; pushes pieces of 1,000 bytes while there is room. Something may have been read for it before.
class Pieces final : public WebSocketHandler {
 public:
  explicit Pieces(int to_send, size_t read_bytes = 0) : to_send_(to_send), read_bytes_(read_bytes) {}
  void on_open(WebSocket& socket) override {
    socket.charge(read_bytes_);
    push(socket);
  }
  void on_text(std::string_view message, WebSocket& socket) override {
    socket.send_text(std::to_string(message.size()));
  }
  void on_binary(Bytes, WebSocket&) override {}
  void on_writable(WebSocket& socket) override { push(socket); }

 private:
  void push(WebSocket& socket) {
    for (; to_send_ > 0 && !socket.output_full(); --to_send_) socket.send_text(std::string(1000, 'p'));
  }
  int to_send_;
  const size_t read_bytes_;
};

class QuotaSession : public testing::Test {
 protected:
  QuotaSession() : service_(make()), session_(std::make_unique<HttpSession>(service_)), context_(*session_) {}

  HttpService make() {
    HttpService service;
    service.quotas = &quotas_;
    service.listener = "admin";
    service.router.add(Method::get, "/hello", [](HttpExchange& exchange) {
      exchange.respond({200, "text/plain", "hi", {}});
    });
    service.router.add(
        Method::get, "/livez",
        [](HttpExchange& exchange) {
          exchange.respond({200, "text/plain", "up", {}});
        },
        {.needs = {.module = "", .resource = "", .verb = auth::Verb::read, .open = true, .in_handler = false}});
    service.router.add(Method::get, "/pieces", [this](HttpExchange& exchange) {
      exchange.start({200, "text/plain", "", {}});
      piece(exchange, 4);
    });
    service.router.add(Method::get, "/large", [](HttpExchange& exchange) {
      exchange.start({200, "text/plain", "", {}});
      exchange.send_piece(std::string(300'000, 'p'), [](HttpExchange& room) {
        room.send_piece(std::string(1000, 'p'), [](HttpExchange& again) { again.end(""); });
      });
    });
    service.router.add(Method::get, "/socket",
                       [](HttpExchange& exchange) { exchange.upgrade(std::make_unique<Pieces>(0), {}); });
    service.router.add(Method::get, "/pushes",
                       [](HttpExchange& exchange) { exchange.upgrade(std::make_unique<Pieces>(5), {}); });
    service.router.add(Method::get, "/reads",
                       [](HttpExchange& exchange) { exchange.upgrade(std::make_unique<Pieces>(1, 10'000), {}); });
    service.router.add(Method::put, "/upload", [this](HttpExchange& exchange) { take(exchange); },
                       {.any_content_type = true, .streamed_body_bytes = uint64_t{10} << 20});
    return service;
  }
  void piece(HttpExchange& exchange, int left) {
    if (left == 0) return exchange.end("");
    exchange.send_piece(std::string(1000, 'p'), [this, left](HttpExchange& room) { piece(room, left - 1); });
  }
  void take(HttpExchange& exchange) {
    exchange.receive([this](HttpExchange& answered, const std::string& piece, bool last) {
      taken_ += piece.size();
      if (!last) return take(answered);
      answered.respond({200, "text/plain", std::to_string(taken_), {}});
    });
  }
  void limit(net::QuotaLimits limits) {
    net::QuotaConfig config;
    config.principal = limits;
    quotas_.configure(std::move(config));
  }
  std::string get(const std::string& path) {
    context_.output.clear();
    context_.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return context_.output;
  }
  void open_socket(const std::string& path) {
    context_.send("GET " + path +
                  " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    EXPECT_TRUE(context_.output.starts_with("HTTP/1.1 101")) << context_.output;
    context_.output.erase(0, context_.output.find("\r\n\r\n") + 4);
  }
  void pass(int64_t ns) {
    clock_.advance(ns);
    context_.pass_time(ns);
  }

  sim::SimClock clock_;
  net::Quotas quotas_{clock_};
  size_t taken_ = 0;
  const HttpService service_;
  std::unique_ptr<HttpSession> session_;
  test::FakeContext context_;
};

TEST_F(QuotaSession, WhoAsksTooOftenIsToldWhenToComeBack) {
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 1, .connections = 0});
  EXPECT_TRUE(get("/hello").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get("/hello").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get("/hello").starts_with("HTTP/1.1 429")) << context_.output;
  EXPECT_NE(context_.output.find("Retry-After: 1\r\n"), std::string::npos);
  EXPECT_FALSE(context_.closed);
  EXPECT_TRUE(get("/livez").starts_with("HTTP/1.1 200")) << "health is open";
  pass(kSecondNs);
  EXPECT_TRUE(get("/hello").starts_with("HTTP/1.1 200"));
}

TEST_F(QuotaSession, AnAnswerInPiecesGoesOnAsItIsPaidFor) {
  limit({.bytes_in = 0, .bytes_out = 1000, .requests = 0, .connections = 0});
  const size_t begun = get("/pieces").size();
  EXPECT_LT(begun, 3000u);
  pass(kSecondNs / 1000);
  EXPECT_EQ(context_.output.size(), begun) << "too early";
  for (int i = 0; i < 10; ++i) pass(kSecondNs);
  EXPECT_TRUE(context_.output.ends_with("0\r\n\r\n"));
  EXPECT_GT(context_.output.size(), 4000u);
  EXPECT_GT(quotas_.throttled().value(), 0u);
}

// Pieces above the loop's mark are sent when there is room again; that is no way around the quota.
TEST_F(QuotaSession, ALargePieceIsPaidForToo) {
  limit({.bytes_in = 0, .bytes_out = 200'000, .requests = 0, .connections = 0});
  context_.output_stalls = true;
  const size_t begun = get("/large").size();
  context_.drain_output();
  EXPECT_EQ(context_.output.size(), begun) << "room, and a debt of half a second";
  pass(kSecondNs);
  EXPECT_GT(context_.output.size(), begun);
  for (int i = 0; i < 10; ++i) pass(kSecondNs);
  EXPECT_TRUE(context_.output.ends_with("0\r\n\r\n"));
}

TEST_F(QuotaSession, ABodyInPiecesIsReadAsItIsPaidFor) {
  limit({.bytes_in = 300'000, .bytes_out = 0, .requests = 0, .connections = 0});
  context_.send("PUT /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
  for (int i = 0; i < 10; ++i) context_.send(std::string(100'000, 'x'));
  EXPECT_LT(taken_, 700'000u);
  EXPECT_GT(context_.kept(), 0u) << "the rest waits outside";
  for (int i = 0; i < 10; ++i) pass(kSecondNs);
  EXPECT_TRUE(context_.output.ends_with("1000000")) << context_.output;
}

TEST_F(QuotaSession, MessagesOfAWebSocketAreReadAsTheyArePaidFor) {
  limit({.bytes_in = 1000, .bytes_out = 0, .requests = 0, .connections = 0});
  open_socket("/socket");
  const std::string frame = test::client_frame(Opcode::text, std::string(3000, 'x'));
  context_.send(frame.substr(0, 2000));
  EXPECT_FALSE(context_.paused()) << "a message that has begun is read to its end";
  context_.send(frame.substr(2000));
  EXPECT_TRUE(context_.paused());
  context_.send(frame);
  EXPECT_EQ(context_.output.size(), 2 + 4u) << "the second waits outside";
  EXPECT_EQ(context_.kept(), frame.size());
  pass(kSecondNs);
  EXPECT_EQ(context_.output.size(), 2 + 4u) << "too early";
  // More silence than a ping is answered in: nothing is read, so nothing is missed.
  for (int i = 0; i < 120; ++i) pass(kSecondNs / 2);
  EXPECT_FALSE(context_.closed);
  EXPECT_EQ(context_.kept(), 0u);
  EXPECT_NE(context_.output.find("3000", 6), std::string::npos);
  EXPECT_GT(quotas_.throttled().value(), 0u);
}

TEST_F(QuotaSession, WhatAWebSocketPushesGoesOnAsItIsPaidFor) {
  limit({.bytes_in = 0, .bytes_out = 1000, .requests = 0, .connections = 0});
  open_socket("/pushes");
  const size_t begun = context_.output.size();
  EXPECT_LT(begun, 3 * 1004u);
  pass(kSecondNs / 1000);
  EXPECT_EQ(context_.output.size(), begun) << "too early";
  for (int i = 0; i < 10; ++i) pass(kSecondNs);
  EXPECT_EQ(context_.output.size(), 5 * 1004u);
  EXPECT_FALSE(context_.paused());
}

TEST_F(QuotaSession, WhatIsReadForAWebSocketIsPaidForFirst) {
  limit({.bytes_in = 0, .bytes_out = 1000, .requests = 0, .connections = 0});
  open_socket("/reads");
  for (int i = 0; i < 8; ++i) pass(kSecondNs);
  EXPECT_TRUE(context_.output.empty());
  for (int i = 0; i < 4; ++i) pass(kSecondNs);
  EXPECT_EQ(context_.output.size(), 1004u);
}

TEST_F(QuotaSession, AUsersConnectionsAreCounted) {
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 0, .connections = 1});
  EXPECT_TRUE(get("/hello").starts_with("HTTP/1.1 200"));
  HttpSession other(service_);
  test::FakeContext context(other);
  context.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(context.output.starts_with("HTTP/1.1 429"));
  EXPECT_TRUE(context.closed);
  session_.reset();
  HttpSession third(service_);
  test::FakeContext again(third);
  again.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(again.output.starts_with("HTTP/1.1 200"));
}

}  // namespace
}  // namespace heptane::http
