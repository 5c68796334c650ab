// Orders that a risk rule holds for a review: held for, in no book, decided by somebody or by the deadline, ended by everything that
// ends open orders; over snapshots, and in logs of before.
#include <gtest/gtest.h>

#include "modules/fintech/gateway/http/risk_json.h"
#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using book::Phase;
using book::TimeInForce;
using test::bitcoin;
using test::ExchangeRig;
using test::fix;
using test::kSecond;
using test::kUsd;
using test::mentions;

// Ten and more are looked at.
std::string large(const std::string& otherwise) {
  return R"({"rules": [{"name": "large", "then": "review", "when": {">=": [{"field": "quantity"}, 10000]},
    "review": {"seconds": 60, "otherwise": ")" +
         otherwise + R"("}}]})";
}

class Reviews : public testing::Test {
 protected:
  void SetUp() override {
    rig.open_market();
    rig.fund("alpha", "100", "1000000");
    rig.fund("beta", "100", "1000000");
    put(large("deny"));
  }
  Reply put(const std::string& json) {
    auto spec = exchange_http::rules_of_json(json);
    EXPECT_TRUE(spec.ok()) << (spec ? "" : spec.error().message);
    return rig.ask(kPutRiskRules, RiskRulesPut{false, *spec, json});
  }
  Reply decide(uint64_t order, bool allow, const std::string& reason = "looked at") {
    return rig.ask(kDecideReview, ReviewDecision{order, allow, reason});
  }
  OrderStatus shown(uint64_t id) const {
    return rig.query<OrderRow>(kQueryOrder, OrderQuery{"alpha", id, ""})->order.status;
  }
  bool waits(uint64_t id) const { return rig.exchange.reviews().contains(id); }
  void expect_nothing_left(uint64_t id, OrderStatus status) {
    EXPECT_FALSE(waits(id));
    EXPECT_EQ(rig.find(id)->status, status);
    EXPECT_EQ(rig.held_of("alpha", kUsd), "0.00");
    EXPECT_EQ(rig.available("alpha", kUsd), "1000000.00");
    EXPECT_TRUE(rig.kernel.timers.empty() || rig.exchange.reviews().size() > 0 || timers_of_reviews() == 0);
  }
  size_t timers_of_reviews() const {
    size_t count = 0;
    for (const auto& [id, timer] : rig.kernel.timers) count += timer.type == kReviewDue ? 1 : 0;
    return count;
  }

  ExchangeRig rig;
};

TEST_F(Reviews, AnOrderIsHeldForAndMeetsNobodyUntilItIsAllowed) {
  const uint64_t small = rig.enter(rig.sell("2", "100"));
  const uint64_t id = rig.enter(rig.buy("10", "100"));
  ASSERT_NE(id, 0U) << rig.last.message;
  EXPECT_EQ(unpacked<OrderRow>(rig.last.payload.view())->order.status, OrderStatus::in_review);
  EXPECT_TRUE(waits(id));
  EXPECT_EQ(rig.held_of("alpha", kUsd), "1002.00");
  EXPECT_EQ(rig.exchange.trades_total(), 0U);
  EXPECT_TRUE(mentions(rig.told[kOrdersView.number], R"({"event":"in_review","exec_id":"2","order_id":"2",)"));
  EXPECT_TRUE(mentions(rig.told[kOrdersView.number], R"("status":"in_review")"));
  EXPECT_TRUE(
      mentions(rig.told[kRiskView.number], R"({"event":"verdict","verdict":"review","version":"1","rule":"large")"));
  rig.restore();
  const auto reviews = [&] {
    Reply reply;
    rig.exchange.query({kQueryReviews, packed(uint64_t{0}).view(), {}}, reply);
    return *unpacked_rows<ReviewRow>(reply.payload.view());
  };
  ASSERT_EQ(reviews().size(), 1U);
  EXPECT_EQ(reviews()[0].order.order.id, id);
  EXPECT_EQ(reviews()[0].rule, "large");
  EXPECT_EQ(reviews()[0].why, "rule large: quantity is 10000, its limit is 10000");
  EXPECT_EQ(reviews()[0].deadline, rig.now + 60 * kSecond);
  EXPECT_FALSE(reviews()[0].allows);

  EXPECT_EQ(decide(id, true, "").error, Errc::invalid_argument);
  EXPECT_EQ(decide(small, true).error, Errc::not_found);
  ASSERT_TRUE(decide(id, true).ok());
  EXPECT_EQ(rig.find(small)->status, OrderStatus::filled);
  EXPECT_EQ(rig.find(id)->filled, 2'000U);
  EXPECT_EQ(shown(id), OrderStatus::open);
  EXPECT_EQ(timers_of_reviews(), 0U);
  EXPECT_EQ(rig.trail.told.back(), "exchange.review_allow order 2");
  EXPECT_TRUE(mentions(rig.told[kRiskView.number],
                       R"({"event":"reviewed","order_id":"2","decision":"allow","rule":"large","reason":"looked at")"));
  EXPECT_EQ(decide(id, false).error, Errc::not_found) << "once";
  EXPECT_NE(rig.enter(rig.sell("1", "100")), 0U);
  EXPECT_EQ(rig.find(id)->filled, 3'000U);
}

TEST_F(Reviews, DeniedItGivesEverythingBack) {
  const uint64_t id = rig.enter(rig.buy("10", "100"));
  ASSERT_TRUE(decide(id, false, "too large for today").ok());
  expect_nothing_left(id, OrderStatus::cancelled);
  EXPECT_TRUE(
      mentions(rig.told[kRiskView.number], R"("decision":"deny","rule":"large","reason":"too large for today")"));
  NewOrder again = rig.buy("1", "100");
  again.client_id = rig.find(id)->client_id;
  EXPECT_EQ(rig.enter(again), 0U);
  EXPECT_EQ(rig.last.detail, fix(Rejected::duplicate)) << "its ClOrdID is used";
}

TEST_F(Reviews, TheDeadlineDecidesByTheRule) {
  const uint64_t denied = rig.enter(rig.buy("10", "100"));
  put(large("allow"));
  const uint64_t allowed = rig.enter(rig.buy("10", "100"));
  rig.now += 60 * kSecond - 1;
  rig.fire();
  EXPECT_TRUE(waits(denied) && waits(allowed));
  rig.restore();
  rig.now += 1;
  rig.fire();
  EXPECT_EQ(rig.find(denied)->status, OrderStatus::cancelled) << "by the rules that it came under";
  EXPECT_EQ(rig.find(allowed)->status, OrderStatus::open);
  EXPECT_TRUE(rig.exchange.reviews().empty());
  EXPECT_TRUE(mentions(rig.told[kRiskView.number],
                       R"("decision":"deny","rule":"large","reason":"the deadline has come","by":"0")"));
  EXPECT_NE(rig.enter(rig.sell("1", "100")), 0U);
  EXPECT_EQ(rig.exchange.trades_total(), 1U);
}

// What stands in its way by then denies it; work that goes on is waited for.
TEST_F(Reviews, AnAllowingDeadlineFindsTheMarketAsItIs) {
  put(large("allow"));
  const uint64_t id = rig.enter(rig.buy("10", "100"));
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::halted, false}).ok());
  EXPECT_EQ(decide(id, true).detail, fix(Rejected::closed));
  EXPECT_TRUE(waits(id)) << "it waits on";
  rig.now += 60 * kSecond;
  rig.fire();
  expect_nothing_left(id, OrderStatus::cancelled);
  EXPECT_TRUE(mentions(rig.told[kRiskView.number], "the deadline has come: the instrument is"));
}

TEST_F(Reviews, WorkThatGoesOnIsWaitedFor) {
  put(large("allow"));
  const uint64_t id = rig.enter(rig.buy("10", "90"));
  for (int n = 0; n < 600; ++n) ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(rig.sell("0.1", "100"))).ok());
  put(R"({"rules": []})");
  rig.now += 60 * kSecond;
  ASSERT_NE(rig.enter(rig.buy("60", "100")), 0U);  // goes on for three entries
  EXPECT_EQ(decide(id, true).error, Errc::overloaded);
  while (waits(id) && rig.fire_one()) continue;
  EXPECT_TRUE(waits(id)) << "everything that is due was done, and the deadline came first";
  rig.now += kSecond;
  rig.fire();
  EXPECT_FALSE(waits(id));
  EXPECT_EQ(rig.find(id)->status, OrderStatus::open);
  EXPECT_EQ(rig.exchange.trades_total(), 600U);
}

TEST_F(Reviews, WhatEndsOpenOrdersEndsIt) {
  uint64_t id = rig.enter(rig.buy("10", "100"));
  ASSERT_TRUE(rig.cancel("alpha", id).ok());
  expect_nothing_left(id, OrderStatus::cancelled);
  id = rig.enter(rig.buy("10", "100"));
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", id, "11", "100")).message,
            "the order waits for a review: cancel it and enter another");
  ASSERT_TRUE(rig.ask(kMassCancel, MassCancelOrders{"alpha", "main", "BTC/USD", std::nullopt}).ok());
  expect_nothing_left(id, OrderStatus::cancelled);
  id = rig.enter(rig.buy("10", "100"));
  ASSERT_TRUE(rig.ask(kSwitch, SwitchChange{Whose::firm, "alpha", "", "", false, "runaway"}).ok());
  rig.fire();
  expect_nothing_left(id, OrderStatus::cancelled);
  ASSERT_TRUE(rig.ask(kSwitch, SwitchChange{Whose::firm, "alpha", "", "", true, "over"}).ok());
  NewOrder gtd = rig.buy("10", "100");
  gtd.tif = TimeInForce::gtd;
  gtd.expires_at = rig.now + kSecond;
  id = rig.enter(gtd);
  rig.now += kSecond;
  rig.fire();
  expect_nothing_left(id, OrderStatus::expired);
  NewOrder day = rig.buy("10", "100");
  day.tif = TimeInForce::day;
  put(R"({"rules": [{"name": "all", "then": "review", "when": {">": [{"field": "quantity"}, 0]},
    "review": {"seconds": 604800}}]})");
  id = rig.enter(day);
  rig.restore();
  rig.now = end_of_day(rig.now);
  rig.fire();
  expect_nothing_left(id, OrderStatus::expired);
}

TEST_F(Reviews, ABlockStandsInTheWayOfItsDecision) {
  const uint64_t id = rig.enter(rig.buy("10", "100"));
  InstrumentSpec spec = bitcoin();
  spec.instrument.steps = {{0, 20}};
  spec.instrument.price_min = 20;
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::closed, false}).ok());
  EXPECT_EQ(rig.ask(kPutInstrument, spec).error, Errc::refused) << "its tick stays as long as an order waits";
  EXPECT_EQ(decide(id, true).detail, fix(Rejected::closed));
  ASSERT_TRUE(decide(id, false).ok());
  EXPECT_TRUE(rig.ask(kPutInstrument, spec).ok());
}

// Exposure and rate count it; funds it has not are refused as without rules, and nothing is told.
TEST_F(Reviews, ItCountsAsAnOpenOrderDoes) {
  LimitsSpec limits{Whose::account, "alpha", "main", "BTC/USD", {}};
  limits.limits.long_max = 115'000;
  ASSERT_TRUE(rig.ask(kPutLimits, limits).ok());
  ASSERT_NE(rig.enter(rig.buy("10", "100")), 0U);
  EXPECT_EQ(rig.enter(rig.buy("9", "100")) != 0 && rig.enter(rig.buy("100", "100")) != 0, false);
  const size_t told = rig.told[kRiskView.number].size();
  EXPECT_EQ(rig.enter(rig.buy("999", "9000")), 0U);
  EXPECT_EQ(rig.last.error, Errc::refused);
  EXPECT_EQ(rig.told[kRiskView.number].size(), told);
}

TEST_F(Reviews, SoManyWaitAndNoMore) {
  put(R"({"rules": [{"name": "all", "then": "review", "when": {">": [{"field": "quantity"}, 0]},
    "review": {"seconds": 60}}]})");
  for (size_t n = 0; n < kReviewsMax; ++n)
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(rig.buy("0.1", "100"))).ok());
  EXPECT_EQ(rig.exchange.reviews().size(), kReviewsMax);
  EXPECT_EQ(rig.enter(rig.buy("0.1", "100")), 0U);
  const auto refused = unpacked<RiskRefused>(rig.last.payload.view());
  ASSERT_TRUE(refused.has_value());
  EXPECT_TRUE(refused->text.starts_with("too many wait for a review: rule all")) << refused->text;
  rig.now += 60 * kSecond;
  rig.fire();
  EXPECT_TRUE(rig.exchange.reviews().empty());
  EXPECT_EQ(rig.exchange.orders().open(), 0U);
}

TEST_F(Reviews, AReplaceIsRefusedAndALogOfBeforeKnowsNone) {
  const uint64_t id = rig.enter(rig.buy("5", "100"));
  rig.last = rig.ask(kReplaceOrder, rig.change("alpha", id, "12", "100"));
  EXPECT_TRUE(unpacked<RiskRefused>(rig.last.payload.view())->text.starts_with("a replace is not held for a review"));
  EXPECT_EQ(rig.find(id)->quantity, 5'000U);
  ExchangeRig before;
  before.kernel.versions[kExchangeMachineId] = kReviewVersion - 1;
  before.open_market();
  const auto spec = exchange_http::rules_of_json(large("deny"));
  EXPECT_EQ(before.ask(kPutRiskRules, RiskRulesPut{false, *spec, ""}).error, Errc::unsupported);
  RiskRulesPut wrong{false, *spec, ""};
  wrong.spec.reviews[0].rule = 7;
  EXPECT_EQ(rig.ask(kPutRiskRules, wrong).error, Errc::invalid_argument);
}

TEST(ReviewJson, WhatIsWrongIsNamedWithItsPath) {
  const auto message = [](const std::string& rule) {
    const auto spec =
        exchange_http::rules_of_json(R"({"rules": [{"name": "r", "when": {"<": [1, 2]}, )" + rule + "}]}");
    return spec ? std::string() : spec.error().message;
  };
  EXPECT_EQ(message(R"("then": "review", "review": {"seconds": 5, "otherwise": "allow"})"), "");
  EXPECT_EQ(message(R"("then": "deny", "review": {"seconds": 5})"), "") << "its on_error is a review";
  EXPECT_EQ(message(R"("then": "deny", "on_error": "deny", "review": {"seconds": 5})"),
            "rules[0].review: the rule never says review");
  EXPECT_NE(message(R"("then": "review", "review": {"seconds": 0})").find("rules[0].review.seconds"),
            std::string::npos);
  EXPECT_NE(message(R"("then": "review", "review": {"seconds": 5, "otherwise": "review"})").find("otherwise"),
            std::string::npos);
  EXPECT_NE(message(R"("then": "review", "review": {"seconds": 5, "x": 1})").find("rules[0].review"),
            std::string::npos);
}

}  // namespace
}  // namespace heptane::fintech::exchange
