// Quotas as an HTTP client meets them: 429 before a request, a slower body and a slower answer within one.
#include <gtest/gtest.h>

#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/session.h"
#include "sim/sim_clock.h"

namespace heptane::http {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

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

TEST_F(QuotaSession, ABodyInPiecesIsReadAsItIsPaidFor) {
  limit({.bytes_in = 300'000, .bytes_out = 0, .requests = 0, .connections = 0});
  context_.send("PUT /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
  for (int i = 0; i < 10; ++i) context_.send(std::string(100'000, 'x'));
  EXPECT_LT(taken_, 700'000u);
  EXPECT_GT(context_.kept(), 0u) << "the rest waits outside";
  for (int i = 0; i < 10; ++i) pass(kSecondNs);
  EXPECT_TRUE(context_.output.ends_with("1000000")) << context_.output;
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
