// Idempotency of the exchange over HTTP: what one key stands for.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernel/net/http/exchange.h"
#include "kernel/net/http/fake_context.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/market/feed.h"
#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using http::Method;
using test::ExchangeRig;
using test::kBtc;
using test::kUsd;

class NoSession final : public net::Session {
 public:
  size_t on_bytes(Bytes, net::SessionContext&) override { return 0; }
  void on_reply(RequestId, const Reply&, net::SessionContext&) override {}
};

// At a time that the test says.
class Clock final : public http::test::FakeContext {
 public:
  explicit Clock(net::Session& session) : FakeContext(session) {}
  int64_t utc_ns() const override { return now; }

  int64_t now = 0;
};

// One request, answered before the handler returns, by the exchange and ledger of the rig; keeps what was submitted.
class Asked final : public http::HttpExchange {
 public:
  Asked(ExchangeRig& rig, Clock& clock) : rig_(rig), clock_(clock) {}

  http::HttpRequest& request() override { return request_; }
  net::SessionContext& context() override { return clock_; }
  const auth::Identity& identity() const override { return identity_; }
  bool allowed(std::string_view, std::string_view, auth::Verb) override { return true; }
  std::function<bool()> standing(std::string, std::string, auth::Verb) override { return nullptr; }
  void denied(std::string_view) override {}
  bool sees(std::string_view, std::string_view) override { return true; }
  void submit(Submission submission, OnReply then) override {
    submitted = submission;
    then(*this, rig_.apply(rig_.exchange, submission.type, submission.payload));
  }
  void query(QueryRequest query, OnReply then) override {
    const StateMachine& asked =
        query.machine == kExchangeMachineId ? static_cast<const StateMachine&>(rig_.exchange) : rig_.ledger;
    Reply reply;
    asked.query({query.type, query.payload.view(), {}}, reply);
    then(*this, reply);
  }
  void read(ReadRequest, OnRecords) override { std::abort(); }
  void work(std::function<void()>, OnWaited) override { std::abort(); }
  void receive(OnPiece) override { std::abort(); }
  void wait(PartitionId, Offset, int64_t, OnWaited) override { std::abort(); }
  void pause(int64_t, OnWaited) override { std::abort(); }
  std::function<void()> hold(int64_t, OnWaited) override { std::abort(); }
  void respond(http::HttpResponse response) override { answer = std::move(response); }
  void start(http::HttpResponse) override { std::abort(); }
  void send_piece(std::string, OnWaited) override { std::abort(); }
  void end(std::string) override { std::abort(); }
  void break_off(std::string_view) override { std::abort(); }
  void upgrade(std::unique_ptr<http::WebSocketHandler>, const http::WebSocketOptions&) override { std::abort(); }

  http::HttpResponse answer;
  Submission submitted;

 private:
  ExchangeRig& rig_;
  Clock& clock_;
  http::HttpRequest request_;
  auth::Identity identity_;
};

class ExchangeRoutes : public testing::Test {
 protected:
  ExchangeRoutes() {
    exchange_http::add_routes(router_, feed_, nullptr, nullptr);
    rig_.open_market();
    rig_.fund("alpha", "0", "10000");
    clock_.now = rig_.now;
  }
  // The key with which it was submitted.
  IdempotencyKey ask(const std::string& path, const std::string& body, const std::string& key = "") {
    Asked asked(rig_, clock_);
    const http::HttpRouter::Match match = router_.find(Method::post, path);
    EXPECT_NE(match.route, nullptr) << path;
    asked.request().params = match.params;
    asked.request().body = body;
    if (!key.empty()) asked.request().headers.push_back({"idempotency-key", key});
    match.route->handler(asked);
    status_ = asked.answer.status;
    return asked.submitted.idempotency.value_or(IdempotencyKey());
  }

  int status_ = 0;
  market::MarketFeed feed_;
  ExchangeRig rig_;
  NoSession session_;
  Clock clock_{session_};
  http::HttpRouter router_;
};

TEST_F(ExchangeRoutes, AKeyOfADepositIsNotOneOfAWithdrawalOfTheSameBytes) {
  const std::string body = R"({"firm":"alpha","account":"main","asset":"USD","amount":"5.00"})";
  const IdempotencyKey deposit = ask("/api/v1/exchange/deposits", body, "K");
  ASSERT_EQ(status_, 200);
  const IdempotencyKey withdrawal = ask("/api/v1/exchange/withdrawals", body, "K");
  ASSERT_EQ(status_, 200);
  EXPECT_EQ(deposit.id, withdrawal.id);
  EXPECT_NE(deposit.request_hash, withdrawal.request_hash) << "answered as a repeat, and no money moves";
  EXPECT_EQ(ask("/api/v1/exchange/deposits", body, "K").request_hash, deposit.request_hash);
}

TEST_F(ExchangeRoutes, AClOrdIdIsAKeyOfItsTradeDate) {
  const std::string orders = "/api/v1/exchange/firms/alpha/orders";
  const std::string body =
      R"({"account":"main","cl_ord_id":"b1","symbol":"BTC/USD","side":"buy","quantity":"1","price":"100"})";
  clock_.now = rig_.now = end_of_day(rig_.now) - 1;
  const IdempotencyKey first = ask(orders, body);
  ASSERT_EQ(status_, 201);
  EXPECT_EQ(ask(orders, body).id, first.id);
  clock_.now = ++rig_.now;
  rig_.fire();
  const IdempotencyKey next = ask(orders, body);
  EXPECT_EQ(status_, 201) << "another order, of the next day";
  EXPECT_NE(next.id, first.id) << "answered with the order of yesterday";
}

}  // namespace
}  // namespace heptane::fintech::exchange
