// Rules over orders in the exchange: what they refuse is kept and told, what was entered counts, replaces too; over snapshots, changes of
// rules and lists; nothing of it while there are none.
#include <gtest/gtest.h>

#include "modules/fintech/gateway/http/risk_backtest.h"
#include "modules/fintech/gateway/http/risk_json.h"
#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using test::ExchangeRig;
using test::fix;
using test::kBtc;
using test::kSecond;
using test::kUsd;
using test::mentions;

const std::string kFast = R"({"windows": {"orders": {"key": ["account"], "seconds": 10},
    "money": {"key": ["firm", "instrument"], "seconds": 60, "adds": "notional"}},
  "rules": [{"name": "fast", "then": "deny", "when": {">": [{"window": "orders"}, 3]}},
    {"name": "money", "then": "review", "when": {">": [{"window": "money"}, 100000]}}]})";

class RiskMachine : public testing::Test {
 protected:
  void SetUp() override {
    rig.open_market();
    rig.fund("alpha", "10", "100000");
    rig.fund("beta", "10", "100000");
  }
  Reply put(const std::string& json) {
    auto spec = exchange_http::rules_of_json(json);
    EXPECT_TRUE(spec.ok()) << (spec ? "" : spec.error().message);
    return rig.ask(kPutRiskRules, RiskRulesPut{false, *spec, json});
  }
  Reply put_list(const std::string& name, const std::string& json) {
    auto list = exchange_http::list_of_json(json, name);
    EXPECT_TRUE(list.ok());
    return rig.ask(kPutRiskList, RiskListPut{*list, false});
  }
  // What the last order was refused by; empty: it was not, or not by a rule.
  std::string ruled() const {
    const auto refused = unpacked<RiskRefused>(rig.last.payload.view());
    return rig.last.ok() && rig.last.numbers[0] == 0 && refused ? refused->text : "";
  }
  const std::vector<std::string>& risk() { return rig.told[kRiskView.number]; }

  ExchangeRig rig;
};

TEST_F(RiskMachine, WhatComesTooFastIsDeniedKeptAndTold) {
  EXPECT_EQ(put(kFast).numbers[0], 1);
  EXPECT_TRUE(mentions(risk(), R"({"event":"risk_rules","version":"1","rules":"2","by":)"));
  EXPECT_EQ(rig.trail.told.back(), "exchange.risk_rules version 1");
  for (int n = 0; n < 3; ++n) ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_TRUE(mentions(risk(), R"({"event":"verdict","verdict":"allow","version":"1","order_id":"3","action":"new",)"));
  const Sequence before = rig.sequence;
  EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(ruled(), "denied by rule fast: orders is 4, its limit is 3");
  EXPECT_EQ(rig.last.numbers[1], 1);
  EXPECT_EQ(rig.sequence, before + 1) << "it is kept";
  EXPECT_TRUE(mentions(
      risk(), R"("verdict":"deny","version":"1","rule":"fast","why":"rule fast: orders is 4, its limit is 3",)"));
  EXPECT_EQ(rig.exchange.orders().open(), 3U);
  EXPECT_NE(rig.enter(rig.sell("1", "120")), 0U) << "another account";
  rig.now += 10 * kSecond;
  EXPECT_NE(rig.enter(rig.buy("1", "100")), 0U);
}

// What a rule refuses is kept, so it costs the sender's rate; what is refused otherwise leaves nothing and costs none.
TEST_F(RiskMachine, ARefusalByARuleCostsTheRateOfOrders) {
  put(R"({"rules": [{"name": "no", "then": "deny", "when": {"is": ["side", "buy"]}}]})");
  LimitsSpec spec{Whose::account, "alpha", "main", "BTC/USD", {}};
  spec.limits.orders_per_second = 1;
  spec.limits.orders_at_once = 2;
  ASSERT_TRUE(rig.ask(kPutLimits, spec).ok());
  for (int n = 0; n < 5; ++n) EXPECT_EQ(rig.enter(rig.buy("0.15", "100")), 0U) << "in no lots: no rule judges it";
  EXPECT_TRUE(ruled().empty());
  for (int n = 0; n < 2; ++n) {
    EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
    EXPECT_EQ(ruled(), "denied by rule no: side is buy");
  }
  EXPECT_EQ(rig.enter(rig.sell("1", "120", "alpha")), 0U);
  EXPECT_EQ(rig.last.message, "account main sends more than 1 orders a second");
  EXPECT_NE(rig.enter(rig.sell("1", "120")), 0U) << "the other firm's";
  rig.restore();
  EXPECT_EQ(rig.enter(rig.sell("1", "120", "alpha")), 0U);
  rig.now += kSecond;
  EXPECT_NE(rig.enter(rig.sell("1", "120", "alpha")), 0U);
}

TEST_F(RiskMachine, WhatIsRefusedOtherwiseIsNotCounted) {
  put(R"({"windows": {"orders": {"key": ["account"], "seconds": 10}}, "rules": []})");
  for (int n = 0; n < 5; ++n) {
    EXPECT_EQ(rig.enter(rig.buy("900", "200")), 0U);
    EXPECT_EQ(rig.last.error, Errc::refused);
  }
  EXPECT_EQ(rig.exchange.risk_rules().windows()[0].keys(), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U);
}

TEST_F(RiskMachine, AReplaceIsJudgedByWhatItAdds) {
  put(kFast);
  const uint64_t id = rig.enter(rig.buy("5", "100"));
  ASSERT_NE(id, 0U);
  // 600.00 would be open: 100.00 more, 600.00 in all within the minute.
  EXPECT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "6", "100")).ok());
  EXPECT_TRUE(mentions(risk(), R"("action":"replace")"));
  EXPECT_TRUE(mentions(risk(), R"("more_quantity":"1.000","notional":"600.00","more_notional":"100.00",)"));
  rig.last = rig.ask(kReplaceOrder, rig.change("alpha", id, "11", "100"));
  EXPECT_EQ(ruled(),
            "it needs a review, which is not to be had here: rule money: money is 110000, its limit is 100000");
  EXPECT_EQ(rig.find(id)->quantity, 6'000U) << "it is as it was";
  EXPECT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "5", "100")).ok());
  rig.last = rig.ask(kReplaceOrder, rig.change("alpha", id, "4", "100"));
  EXPECT_EQ(ruled(), "denied by rule fast: orders is 4, its limit is 3");
  EXPECT_TRUE(rig.cancel("alpha", id).ok()) << "cancels are never judged";
}

TEST_F(RiskMachine, ListsAreNamedAndStay) {
  EXPECT_EQ(put(R"({"rules": [{"name": "l", "then": "deny", "when": {"in": ["account", "blocked"]}}]})").message,
            "rules[0].when.in: there is no list blocked: put it first");
  EXPECT_EQ(put_list("blocked", R"({"items": ["beta/main"]})").numbers[0], 1);
  EXPECT_EQ(rig.trail.told.back(), "exchange.risk_list blocked");
  EXPECT_TRUE(put(R"({"rules": [{"name": "l", "then": "deny", "when": {"in": ["account", "blocked"]}}]})").ok());
  EXPECT_NE(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(rig.enter(rig.sell("1", "120")), 0U);
  EXPECT_EQ(ruled(), "denied by rule l: account is beta/main, the rule looks for it in the list blocked");
  RiskListPut gone;
  gone.list.name = "blocked";
  gone.remove = true;
  EXPECT_EQ(rig.ask(kPutRiskList, gone).error, Errc::refused);
  EXPECT_EQ(put_list("blocked", R"({"items": []})").numbers[0], 3);
  rig.restore();
  EXPECT_NE(rig.enter(rig.sell("1", "120")), 0U);
  const auto rows = rig.query<RiskRow>(kQueryRiskRules, std::string());
  ASSERT_TRUE(rows.has_value());
  EXPECT_EQ(rows->version, 3U);
  EXPECT_NE(rows->source.find("blocked"), std::string::npos);
  const auto list = rig.query<risk_rules::List>(kQueryRiskList, std::string("blocked"));
  ASSERT_TRUE(list.has_value());
  EXPECT_TRUE(list->texts.empty());
}

TEST_F(RiskMachine, OffIsAsIfThereWereNone) {
  put(kFast);
  RiskRulesPut off;
  off.off = true;
  EXPECT_EQ(rig.ask(kPutRiskRules, off).numbers[0], 2);
  const size_t told = risk().size();
  for (int n = 0; n < 6; ++n) EXPECT_NE(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(risk().size(), told);
  rig.restore();
}

// The same orders with and without snapshots in between: the same verdicts, the same state.
TEST_F(RiskMachine, GoesOnFromASnapshot) {
  ExchangeRig other;
  other.open_market();
  other.fund("alpha", "10", "100000");
  other.fund("beta", "10", "100000");
  const auto spec = exchange_http::rules_of_json(kFast);
  ASSERT_TRUE(spec.ok());
  put(kFast);
  ASSERT_TRUE(other.ask(kPutRiskRules, RiskRulesPut{false, *spec, kFast}).ok());
  size_t denied = 0;
  for (int n = 0; n < 200; ++n) {
    rig.now = other.now += (n % 7) * kSecond;
    const bool sells = n % 3 == 0;
    const uint64_t one = rig.enter(sells ? rig.sell("0.1", "120") : rig.buy("0.1", "100"));
    const uint64_t two = other.enter(sells ? other.sell("0.1", "120") : other.buy("0.1", "100"));
    ASSERT_EQ(one, two) << n;
    ASSERT_EQ(rig.last.payload.view().size(), other.last.payload.view().size());
    denied += one == 0 ? 1 : 0;
    if (n % 10 == 0) rig.restore();
    ASSERT_EQ(rig.state(), other.state());
  }
  EXPECT_GT(denied, 10U);
  EXPECT_LT(denied, 190U);
}

const std::string kSlow =
    R"({"windows": {"orders": {"key": ["account"], "seconds": 5}, "size": {"key": ["session"], "seconds": 20, "adds": "quantity", "exact": 4}},
  "rules": [{"name": "fast", "then": "deny", "when": {">": [{"window": "orders"}, 1]}},
    {"name": "size", "then": "review", "when": {"all": [{"is": ["side", "sell"]}, {">": [{"window": "size"}, 250]}]}}]})";

// Orders that meet nobody.
size_t trade_under(ExchangeRig& rig, const std::string& json) {
  rig.open_market();
  rig.fund("alpha", "10", "100000");
  rig.fund("beta", "10", "100000");
  const auto spec = exchange_http::rules_of_json(json);
  EXPECT_TRUE(spec.ok());
  EXPECT_TRUE(rig.ask(kPutRiskRules, RiskRulesPut{false, *spec, json}).ok());
  size_t denied = 0;
  for (int n = 0; n < 300; ++n) {
    rig.now += (n * n % 5) * kSecond + n;
    denied += rig.enter(n % 3 == 0 ? rig.sell("0.1", "120") : rig.buy("0.1", "100")) == 0 ? 1 : 0;
  }
  return denied;
}

std::vector<std::string> backtested(const ExchangeRig& rig, const std::string& json, uint64_t& judged) {
  auto test = exchange_http::RiskBacktest::make(*exchange_http::rules_of_json(json), {});
  EXPECT_TRUE(test.ok());
  std::vector<std::string> lines;
  for (const std::string& record : rig.told.at(kRiskView.number))
    if (std::string line = test->take(record, "0:7"); !line.empty()) lines.push_back(std::move(line));
  EXPECT_EQ(test->differ(), lines.size());
  EXPECT_EQ(test->unread(), 0U);
  judged = test->judged();
  return lines;
}

TEST(RiskBacktest, TheSameRulesSayTheSameAndOthersWhatTheyWouldHaveSaid) {
  ExchangeRig fast;
  ExchangeRig slow;
  const size_t denied_fast = trade_under(fast, kFast);
  const size_t denied_slow = trade_under(slow, kSlow);
  EXPECT_GT(denied_fast, 10U);
  EXPECT_GT(denied_slow, denied_fast);
  uint64_t judged = 0;
  EXPECT_TRUE(backtested(fast, kFast, judged).empty());
  EXPECT_EQ(judged, 300U);
  const std::vector<std::string> lines = backtested(fast, kSlow, judged);
  EXPECT_TRUE(mentions(lines, R"("was":"allow","would_be":"review","why":"rule size: size is )")) << lines.size();
  EXPECT_TRUE(mentions(lines, R"({"position":"0:7","cl_ord_id":"c)"));
  // As the exchange itself under them: the same orders differ.
  const auto verdicts = [](const ExchangeRig& rig) {
    std::vector<std::string> found;
    for (const std::string& record : rig.told.at(kRiskView.number))
      if (const size_t at = record.find(R"("verdict":")"); at != std::string::npos)
        found.push_back(record.substr(at, 17));
    return found;
  };
  const auto was = verdicts(fast);
  const auto is = verdicts(slow);
  ASSERT_EQ(was.size(), is.size());
  size_t differ = 0;
  for (size_t n = 0; n < was.size(); ++n) differ += was[n] != is[n] ? 1 : 0;
  EXPECT_EQ(lines.size(), differ);
}

TEST(RiskBacktest, WhatDoesNotReadIsCounted) {
  auto test = exchange_http::RiskBacktest::make(*exchange_http::rules_of_json(kFast), {});
  ASSERT_TRUE(test.ok());
  EXPECT_EQ(test->take(R"({"event":"killed","whose":"firm"})", "0:1"), "");
  EXPECT_EQ(test->unread(), 0U);
  for (const char* bad :
       {"", "[]", R"({"event":"verdict"})", R"({"event":"verdict","verdict":"allow","quantity":"x"})"})
    EXPECT_EQ(test->take(bad, "0:1"), "");
  EXPECT_EQ(test->judged(), 0U);
  EXPECT_EQ(
      exchange_http::RiskBacktest::make(
          *exchange_http::rules_of_json(R"({"rules": [{"name": "l", "then": "deny", "when": {"in": ["firm", "l"]}}]})"),
          {})
          .error()
          .code,
      Errc::invalid_argument);
}

TEST_F(RiskMachine, WhatIsNoSetOfRulesIsRefused) {
  EXPECT_EQ(rig.ask_payload(kPutRiskRules, Buffer::copy_of(as_bytes("rubbish"))).error, Errc::invalid_argument);
  EXPECT_EQ(rig.ask_payload(kPutRiskList, Buffer::copy_of(as_bytes("rubbish"))).error, Errc::invalid_argument);
  RiskListPut put;
  put.list.name = "l";
  put.list.texts = {"b", "a"};
  EXPECT_EQ(rig.ask(kPutRiskList, put).error, Errc::invalid_argument);
  EXPECT_TRUE(rig.exchange.risk_rules().lists().empty());
}

}  // namespace
}  // namespace heptane::fintech::exchange
