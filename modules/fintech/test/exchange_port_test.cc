// Orders that another machine enters in its own entry: they become what the same orders over a command of the exchange become, with
// every check; half of an entry's room is theirs, and the rest of a sweep goes on by itself.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "modules/fintech/gateway/http/risk_json.h"
#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using book::Phase;
using book::Side;
using book::TimeInForce;
using test::ExchangeRig;
using test::fix;
using test::kBtc;
using test::kUsd;
using test::mentions;

constexpr MachineId kTraderId = machine_ids::kFirstTest + 40;

// Enters the order that the test has put beside it, and says what became of it.
class Trader final : public StateMachine {
 public:
  MachineId id() const override { return kTraderId; }
  std::string_view name() const override { return "toy_trader"; }
  void query(const Query&, Reply&) const override {}
  void open_scope() override {}
  void close_scope(ScopeOutcome) override {}
  uint64_t memory_bytes() const override { return 0; }
  void save(SnapshotWriter&) const override {}
  Result<void> restore(SnapshotReader&) override { return {}; }

  void apply(const Command& command, Effects& effects) override {
    auto* port = dynamic_cast<OrderPort*>(&effects.enlist(kExchangeMachineId));
    ASSERT_NE(port, nullptr);
    takes = port->takes_orders(next.symbol, command, effects);
    if (!takes) return effects.refuse(Errc::overloaded, 0, "busy");
    ASSERT_TRUE(effects.room_for(kPortRecordsMax, kPortBytesMax));
    entered.emplace(port->enter(said(next), command, effects));
    effects.reply(1);
  }
  static PortOrder said(const NewOrder& order) {
    return {order.firm, order.account, order.client_id, order.symbol, order.side, order.type == book::OrderType::market,
            order.tif,  order.price,   order.quantity};
  }

  NewOrder next;
  bool takes = true;
  std::optional<Result<PortOrderEntered>> entered;
};

class TraderRig : public ExchangeRig {
 public:
  TraderRig() {
    machines.add(trader);
    open_market();
  }
  // As the exchange's own command answers; `last` has what was refused.
  uint64_t enter_by_port(const NewOrder& order) {
    trader.next = order;
    trader.entered.reset();
    last = apply(trader, 1, Buffer());
    check();
    if (!last.ok() || !trader.entered) return 0;
    if (*trader.entered) return (*trader.entered)->order_id;
    last.error = trader.entered->error().code;
    last.detail = trader.entered->error().detail;
    last.message = trader.entered->error().message;
    return 0;
  }

  Trader trader;
};

TEST(ExchangePort, AnOrderIsHeldForMatchedAndSettledInTheCallersEntry) {
  TraderRig rig;
  rig.fund("alpha", "0", "1000");
  rig.fund("beta", "5", "0");
  const Sequence before = rig.sequence;
  const uint64_t rests = rig.enter_by_port(rig.buy("2", "100"));
  ASSERT_NE(rests, 0U) << rig.last.message;
  EXPECT_EQ(rig.sequence, before + 1);
  EXPECT_EQ((*rig.trader.entered)->status, "open");
  EXPECT_EQ((*rig.trader.entered)->leaves, "2.000");
  EXPECT_NE(rig.held_of("alpha", kUsd), "0.00");
  ASSERT_NE(rig.enter_by_port(rig.sell("0.5", "100")), 0U);
  EXPECT_EQ((*rig.trader.entered)->status, "filled");
  EXPECT_EQ((*rig.trader.entered)->filled, "0.500");
  EXPECT_EQ(rig.find(rests)->filled, 500U);
  EXPECT_EQ(rig.available("alpha", kBtc), "0.50000000");
  EXPECT_TRUE(mentions(rig.told[kTradesView.number], R"("price":"100.00","quantity":"0.500")"));
  rig.restore();
}

TEST(ExchangePort, WhatIsRefusedHasChangedNothingAndSaysWhy) {
  TraderRig rig;
  rig.fund("alpha", "0", "100");
  ASSERT_NE(rig.enter_by_port(rig.buy("0.1", "90")), 0U);
  const auto refused = [&](const NewOrder& order, uint32_t detail, std::string_view why) {
    const std::string before = rig.state();
    EXPECT_EQ(rig.enter_by_port(order), 0U);
    EXPECT_EQ(rig.last.detail, detail) << rig.last.message;
    EXPECT_NE(rig.last.message.find(why), std::string::npos) << rig.last.message;
    EXPECT_EQ(rig.state(), before);
  };
  NewOrder order = rig.buy("0.1", "90");
  order.account = "other";
  refused(order, fix(Rejected::unknown_account), "the firm has no account other");
  order = rig.buy("0.1", "90", "gamma");
  refused(order, fix(Rejected::unknown_account), "the firm has no account main");
  order = rig.buy("0.1", "90");
  order.symbol = "ETH/USD";
  refused(order, fix(Rejected::unknown_symbol), "there is no instrument ETH/USD");
  refused(rig.buy("2", "90"), fix(Rejected::exceeds_limit), "the order needs");
  refused(rig.buy("0.15", "90"), fix(Rejected::quantity), "is not in lots of 0.100");
  order = rig.buy("0.1", "90");
  order.client_id = "c1";
  refused(order, fix(Rejected::duplicate), "ClOrdID c1 was used today");
  order.client_id = "a b";
  refused(order, fix(Rejected::other), "a ClOrdID is");
  ASSERT_TRUE(rig.ask(kSwitch, SwitchChange{Whose::firm, "alpha", "", "", false, "runaway"}).ok());
  refused(rig.buy("0.1", "90"), fix(Rejected::other_rule), "the kill switch of firm alpha is on: runaway");
  ASSERT_TRUE(rig.ask(kSwitch, SwitchChange{Whose::firm, "alpha", "", "", true, "over"}).ok());
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::halted, false}).ok());
  refused(rig.buy("0.1", "90"), fix(Rejected::closed), "the instrument is");
}

// Its rate is spent, its verdict is told; the caller's own entry stands.
TEST(ExchangePort, RiskRulesJudgeItAndTheirVerdictIsKept) {
  TraderRig rig;
  rig.fund("alpha", "0", "1000");
  const std::string json =
      R"({"windows": {"orders": {"key": ["account"], "seconds": 10}},
          "rules": [{"name": "fast", "then": "deny", "when": {">": [{"window": "orders"}, 1]}}]})";
  const auto rules = exchange_http::rules_of_json(json);
  ASSERT_TRUE(rules.ok());
  ASSERT_TRUE(rig.ask(kPutRiskRules, RiskRulesPut{false, *rules, json}).ok());
  ASSERT_NE(rig.enter_by_port(rig.buy("0.1", "90")), 0U);
  const Sequence before = rig.sequence;
  EXPECT_EQ(rig.enter_by_port(rig.buy("0.1", "90")), 0U);
  EXPECT_EQ(rig.last.message, "denied by rule fast: orders is 2, its limit is 1");
  EXPECT_EQ(rig.sequence, before + 1);
  EXPECT_TRUE(mentions(rig.told[kRiskView.number], R"("verdict":"deny")"));
}

// 600 orders are swept: half of an entry's events come with the order, the others in commands of their own; the instrument takes no
// orders until then, another one does. Commands of before have all of an entry again.
TEST(ExchangePort, ASweepGoesOnByItselfWithHalfOfAnEntryFirst) {
  TraderRig rig;
  InstrumentSpec other = test::bitcoin();
  other.instrument.symbol = "OTHER";
  ASSERT_TRUE(rig.ask(kPutInstrument, other).ok());
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"OTHER", Phase::continuous, false}).ok());
  rig.fund("alpha", "0", "1000000");
  rig.fund("beta", "100", "0");
  for (int n = 0; n < 600; ++n) ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(rig.sell("0.1", "100"))).ok());
  rig.note_bytes_max = 0;
  const uint64_t sweep = rig.enter_by_port(rig.buy("60", "100"));
  ASSERT_NE(sweep, 0U);
  const uint64_t first = rig.exchange.trades_total();
  EXPECT_GT(first, kEventsPerEntry / 4);
  EXPECT_LE(first, kEventsPerEntry / 2);
  EXPECT_LE(rig.note_bytes_max, kPortBytesMax);
  EXPECT_EQ(rig.enter_by_port(rig.buy("0.1", "90")), 0U);
  EXPECT_FALSE(rig.trader.takes);
  NewOrder elsewhere = rig.buy("0.1", "90");
  elsewhere.symbol = "OTHER";
  EXPECT_NE(rig.enter_by_port(elsewhere), 0U);
  rig.restore();
  ASSERT_TRUE(rig.fire_one());
  EXPECT_GT(rig.exchange.trades_total() - first, kEventsPerEntry / 2) << "what goes on has a whole entry";
  rig.fire();
  EXPECT_EQ(rig.find(sweep)->status, OrderStatus::filled);
  EXPECT_EQ(rig.exchange.trades_total(), 600U);
  EXPECT_NE(rig.enter_by_port(rig.buy("0.1", "90")), 0U);
}

// The same random orders by the port and by commands: every record of every stream is the same, and so is all money.
TEST(ExchangePort, BecomesWhatTheCommandBecomes) {
  TraderRig by_port;
  ExchangeRig by_command;
  by_command.open_market();
  SeededRandom random(7);
  for (ExchangeRig* rig : std::initializer_list<ExchangeRig*>{&by_port, &by_command}) {
    rig->fund("alpha", "20", "3000");
    rig->fund("beta", "20", "3000");
  }
  size_t refused = 0;
  for (int step = 0; step < 3'000 && !testing::Test::HasFailure(); ++step) {
    const bool buys = random.below(2) == 0;
    const std::string price = std::to_string(95 + random.below(11));
    const std::string quantity = "0." + std::to_string(random.below(9) + 1);
    const std::string firm = random.below(2) == 0 ? "alpha" : "beta";
    const uint64_t kind = random.below(10);
    const auto make = [&](ExchangeRig& rig) {
      NewOrder order = rig.order(firm, buys ? Side::buy : Side::sell, quantity, price);
      order.self_trade = book::SelfTrade::cancel_newest;
      if (kind == 0) order.tif = TimeInForce::fok;
      if (kind == 1) order.type = book::OrderType::market;
      if (kind <= 2 && kind > 0) order.tif = TimeInForce::ioc;
      if (kind == 3) order.quantity = Said{15, 2};  // no lot
      if (order.type == book::OrderType::market) order.price = Said{};
      return order;
    };
    const uint64_t one = by_port.enter_by_port(make(by_port));
    const uint64_t other = by_command.enter(make(by_command));
    ASSERT_EQ(one, other) << by_port.last.message << " / " << by_command.last.message;
    refused += one == 0 ? 1 : 0;
    ASSERT_TRUE(one != 0 || by_port.last.message == by_command.last.message);
    ASSERT_TRUE(one == 0 || (*by_port.trader.entered)->status == status_name(by_command.find(other)->status));
    by_port.fire();
    by_command.fire();
    if (step % 50 != 49) continue;
    ASSERT_TRUE(by_port.ask(kMassCancel, MassCancelOrders{firm, "", "", std::nullopt}).ok());
    ASSERT_TRUE(by_command.ask(kMassCancel, MassCancelOrders{firm, "", "", std::nullopt}).ok());
    if (step % 500 == 499) by_port.restore();
  }
  EXPECT_GT(refused, 200U);
  EXPECT_GT(by_port.exchange.trades_total(), 500U);
  EXPECT_EQ(by_port.told, by_command.told);
  for (const char* firm : {"alpha", "beta"})
    for (const uint32_t asset : {kBtc, kUsd}) {
      EXPECT_EQ(by_port.available(firm, asset), by_command.available(firm, asset));
      EXPECT_EQ(by_port.held_of(firm, asset), by_command.held_of(firm, asset));
    }
}

}  // namespace
}  // namespace heptane::fintech::exchange
