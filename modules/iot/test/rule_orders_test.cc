// Orders of rules: entered in the entry that the rule's position moves in, exactly once whatever comes again or crashes; what the
// exchange refuses is a dead letter that says why, and nothing of the rule comes of it.
#include <gtest/gtest.h>

#include "modules/iot/test/rules_world.h"

namespace heptane::iot::rules::test {
namespace {

namespace exchange = fintech::exchange;

constexpr uint32_t kBtc = 1;
constexpr uint32_t kUsd = 840;

RuleDefinition hedge() {
  RuleDefinition rule;
  rule.name = "hedge";
  rule.sql = "SELECT n FROM STREAM readings";
  rule.source = "readings";
  rule.earliest = true;
  rule.order = OrderAction{"alpha", "main", "'BTC-USD'", "'buy'", "n", "100", "gtc", ""};
  rule.append = AppendAction{"done", ""};
  return rule;
}

struct Said {
  int64_t tenths = 1;
  book::Side side = book::Side::buy;
  std::string id{};
  std::string fault{};
  std::optional<int64_t> price = 100;
  std::string symbol = "BTC-USD";
  int64_t until_ms = 0;
};

class RuleOrdersTest : public testing::Test {
 protected:
  RuleOrdersTest() {
    const Submission activation = make_activation(exchange::kExchangeMachineId, exchange::kLogicParties);
    EXPECT_TRUE(world.run(activation.machine, activation.type, activation.payload).ok());
    world.make_stream("readings");
    world.make_stream("done");
    open_market();
  }
  template <class Payload>
  Reply ask(CommandType type, const Payload& payload) {
    return world.run(exchange::kExchangeMachineId, type, exchange::packed(payload));
  }
  void open_market() {
    for (const fintech::Asset& asset : {fintech::Asset{kBtc, 1, "BTC"}, fintech::Asset{kUsd, 2, "USD"}})
      EXPECT_TRUE(world.run(fintech::kLedgerMachineId, fintech::kPutAsset, fintech::encode(asset)).ok());
    exchange::InstrumentSpec spec;
    exchange::Instrument& i = spec.instrument;
    i.symbol = "BTC-USD";
    i.base_asset = kBtc, i.quote_asset = kUsd;
    i.price_scale = 2, i.quantity_scale = 1;
    i.steps = {{0, 10}};
    i.lot = 1, i.quantity_min = 1, i.quantity_max = 1'000'000;
    i.price_min = 10, i.price_max = 10'000'000;
    i.collar_ppm = i.call_band_ppm = 100'000;
    spec.fees = {{}};
    spec.orders_max = 1'024;
    EXPECT_TRUE(ask(exchange::kPutInstrument, spec).ok());
    for (const char* firm : {"alpha", "beta"}) {
      EXPECT_TRUE(ask(exchange::kPutFirm, exchange::FirmSpec{firm}).ok());
      EXPECT_TRUE(ask(exchange::kPutAccount, exchange::AccountSpec{firm, "main", 0}).ok());
      EXPECT_TRUE(ask(exchange::kDeposit, exchange::CashMove{firm, "main", kBtc, 1'000, 1}).ok());
      EXPECT_TRUE(ask(exchange::kDeposit, exchange::CashMove{firm, "main", kUsd, 1'000'000, 2}).ok());
    }
    EXPECT_TRUE(ask(exchange::kSetPhase, exchange::PhaseChange{"BTC-USD", book::Phase::continuous, false}).ok());
  }
  Buffer run_of(Offset from, const std::vector<Said>& inputs) {
    const RuleRow row = world.rule("hedge");
    RuleCommit head;
    head.rule = "hedge";
    head.version = row.version;
    head.partition = world.partition("readings");
    head.from = from;
    head.upto = from + static_cast<Offset>(inputs.size());
    ByteWriter bytes;
    for (size_t n = 0; n < inputs.size(); ++n) {
      const Said& said = inputs[n];
      RuleInput input;
      input.offset = from + static_cast<Offset>(n);
      input.topic = "plant/1";
      input.payload = R"({"n":1})";
      input.is_json = true;
      input.fault = said.fault;
      if (said.fault.empty()) {
        RuleOrder& order = input.order.emplace();
        order.side = said.side;
        order.quantity = {said.tenths, 1};
        if (said.price) order.price = exchange::Said{*said.price, 0};
        order.symbol = said.symbol;
        order.id = said.id;
        order.until_ms = said.until_ms;
        input.appends = true;
        input.row = R"({"n":1})";
      }
      append_input(bytes, input);
    }
    return encode(head, bytes.view(), static_cast<uint16_t>(inputs.size()));
  }
  Reply commit(Offset from, const Said& said) {
    world.fill("readings", from + 1);
    return world.run(kRulesMachineId, kRuleCommit, run_of(from, {said}));
  }
  // What the run told, one behind the other: `topic payload`.
  static std::string told(const Reply& reply) {
    std::string all;
    const auto read = decode_commit_reply(reply.payload);
    if (!read) return "no reply: " + reply.message;
    ByteReader in(read->messages.view());
    while (in.remaining() > 0 && !in.failed()) {
      const MessageView message = read_message(in);
      all += std::string(message.topic) + ' ' + std::string(message.payload) + '\n';
    }
    return all;
  }
  static bool has(const Reply& reply, std::string_view text) {
    const std::string all = told(reply);
    EXPECT_NE(all.find(text), std::string::npos) << all;
    return all.find(text) != std::string::npos;
  }

  RulesWorld world{kLogicOrders};
};

TEST_F(RuleOrdersTest, AnOrderIsEnteredWithThePosition) {
  ASSERT_TRUE(world.put(hedge()).ok());
  const Reply entered = commit(0, {});
  ASSERT_TRUE(entered.ok()) << entered.message;
  const std::string id =
      "hedge/" + std::to_string(world.rule("hedge").version) + "/0:" + std::to_string(entered.sequence) + "/0";
  EXPECT_TRUE(has(entered, R"($rules/hedge/order {"event":"order","order_id":"1","cl_ord_id":")" + id +
                               R"(","firm":"alpha","account":"main","symbol":"BTC-USD","status":"open")"));
  const exchange::Order* order = world.exchange().orders().find(1);
  ASSERT_NE(order, nullptr);
  EXPECT_EQ(order->client_id, id);
  EXPECT_EQ(world.rule("hedge").counters.orders, 1u);
  EXPECT_EQ(world.rule("hedge").cursors.at(0).next, 1);
  EXPECT_EQ(world.end("done"), 1);
  EXPECT_TRUE(world.has("fintech.orders"));

  // The other side of it: at the market, and with a name of its own.
  const Reply sold = commit(1, {1, book::Side::sell, "mine"});
  EXPECT_TRUE(has(sold, R"("cl_ord_id":"mine")"));
  EXPECT_TRUE(has(sold, R"("status":"cancelled")")) << "it does not trade with the firm's own order";
  EXPECT_EQ(world.exchange().trades_total(), 0u);
}

TEST_F(RuleOrdersTest, WhatComesAgainEntersNothing) {
  ASSERT_TRUE(world.put(hedge()).ok());
  world.fill("readings", 1);
  const Buffer run = run_of(0, {{}});
  ASSERT_TRUE(world.run(kRulesMachineId, kRuleCommit, run).ok());
  EXPECT_EQ(world.run(kRulesMachineId, kRuleCommit, run).error, Errc::stale);
  world.crash_and_recover();
  EXPECT_EQ(world.run(kRulesMachineId, kRuleCommit, run).error, Errc::stale);
  EXPECT_EQ(world.exchange().orders().open(), 1u);
  EXPECT_EQ(world.rule("hedge").counters.orders, 1u);
  // The same reading in another record, which the rule names the same.
  ASSERT_TRUE(commit(1, {1, book::Side::buy, "m1:7"}).ok());
  const Reply again = commit(2, {1, book::Side::buy, "m1:7"});
  EXPECT_TRUE(has(again, R"($rules/hedge/order {"event":"repeated","cl_ord_id":"m1:7")"));
  EXPECT_EQ(world.exchange().orders().open(), 2u);
  EXPECT_EQ(world.rule("hedge").counters.repeats, 1u);
  EXPECT_EQ(world.end("done"), 2) << "nothing else is done with a repeat";
  EXPECT_EQ(world.rule("hedge").definition, hedge());
}

TEST_F(RuleOrdersTest, WhatIsRefusedIsADeadLetterWithTheReason) {
  RuleDefinition rule = hedge();
  ASSERT_TRUE(world.put(rule).ok());
  EXPECT_TRUE(has(commit(0, {1'000'000}), "the order needs 10000000.00 USD, available is 10000.00"));
  Said elsewhere;
  elsewhere.symbol = "ETH-USD";
  EXPECT_TRUE(has(commit(1, elsewhere), R"("why":"there is no instrument ETH-USD")"));
  Said fault;
  fault.fault = "order.quantity: division by zero";
  EXPECT_TRUE(has(commit(2, fault), R"("why":"order.quantity: division by zero")"));
  ASSERT_TRUE(
      ask(exchange::kSwitch, exchange::SwitchChange{exchange::Whose::account, "alpha", "main", "", false, "runaway"})
          .ok());
  EXPECT_TRUE(has(commit(3, {}), R"("why":"the kill switch of account main is on: runaway")"));
  EXPECT_EQ(world.rule("hedge").counters.dead_letters, 4u);
  EXPECT_EQ(world.rule("hedge").cursors.at(0).next, 4);
  EXPECT_EQ(world.end("done"), 0);
  EXPECT_EQ(world.exchange().orders().open(), 0u);
  rule.order->account = "other";
  ASSERT_TRUE(world.put(rule).ok());
  EXPECT_TRUE(has(commit(4, {}), R"("why":"the firm has no account other")"));
  world.crash_and_recover();
  EXPECT_EQ(world.rule("hedge").counters.dead_letters, 5u);
}

// A rule that was behind does not trade on readings of an hour ago.
TEST_F(RuleOrdersTest, WhatComesTooLateIsNotEntered) {
  RuleDefinition rule = hedge();
  rule.order->within_s = 2;
  ASSERT_TRUE(world.put(rule).ok());
  const Reply first = commit(0, {});
  const int64_t now_ms = first.time / 1'000'000;
  Said said;
  said.until_ms = now_ms + 3'600'000;
  ASSERT_TRUE(commit(1, said).ok());
  EXPECT_EQ(world.exchange().orders().open(), 2u);
  said.until_ms = now_ms - 1;
  EXPECT_TRUE(has(commit(2, said), R"("why":"the order is too late: order.within_s is 2")"));
  EXPECT_EQ(world.exchange().orders().open(), 2u);
}

TEST_F(RuleOrdersTest, OneOrderHasAnEntryToItself) {
  ASSERT_TRUE(world.put(hedge()).ok());
  world.fill("readings", 3);
  EXPECT_EQ(world.run(kRulesMachineId, kRuleCommit, run_of(0, {{}, {}})).error, Errc::too_large);
  EXPECT_EQ(world.exchange().orders().open(), 0u);
  Said fault;
  fault.fault = "no number";
  EXPECT_TRUE(world.run(kRulesMachineId, kRuleCommit, run_of(0, {fault, {}, fault})).ok());
  EXPECT_EQ(world.exchange().orders().open(), 1u);
  EXPECT_EQ(world.rule("hedge").counters.dead_letters, 2u);
}

// A market order that sweeps more than comes in its entry: the rest follows, and the log of it replays.
TEST_F(RuleOrdersTest, ASweepGoesOnByItself) {
  RuleDefinition at_market = hedge();
  at_market.order->price.clear();
  at_market.order->time_in_force.clear();
  ASSERT_TRUE(world.put(at_market).ok());
  for (int n = 0; n < 300; ++n) {
    exchange::NewOrder order;
    order.firm = "beta";
    order.account = "main";
    order.client_id = "s" + std::to_string(n);
    order.symbol = "BTC-USD";
    order.side = book::Side::sell;
    order.price = {100, 0};
    order.quantity = {1, 1};
    ASSERT_TRUE(ask(exchange::kNewOrder, order).ok());
  }
  Said market{300};
  market.price.reset();
  const Reply swept = commit(0, market);
  ASSERT_TRUE(swept.ok()) << swept.message;
  EXPECT_TRUE(has(swept, R"("status":"open")"));
  EXPECT_EQ(world.exchange().trades_total(), 300u);
  ASSERT_TRUE(commit(1, market).ok());
  EXPECT_EQ(world.rule("hedge").counters.orders, 2u);
  const uint64_t open = world.exchange().orders().open();
  world.crash_and_recover();
  EXPECT_EQ(world.exchange().trades_total(), 300u);
  EXPECT_EQ(world.exchange().orders().open(), open);
}

// Its memory is the exchange's and the ledger's.
TEST_F(RuleOrdersTest, OrdersWaitForRoom) {
  ASSERT_TRUE(world.put(hedge()).ok());
  world.set_budget(world.exchange().memory_bytes() - 1);
  const Reply refused = commit(0, {});
  EXPECT_EQ(refused.error, Errc::overloaded);
  EXPECT_NE(refused.message.find("memory budget of the exchange"), std::string::npos) << refused.message;
  world.set_budget(uint64_t{4} << 30);
  EXPECT_TRUE(commit(0, {}).ok());
}

TEST_F(RuleOrdersTest, RefusesWhatCannotBe) {
  const auto refused = [&](auto&& change) {
    RuleDefinition rule = hedge();
    change(rule);
    const Reply reply = world.put(rule);
    EXPECT_FALSE(reply.ok());
    return reply.message;
  };
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.transfer = TransferAction{7, 1, "1", "2", "3", ""}; }),
            "a rule that enters orders makes no transfers, shadows and points: what was entered cannot be taken back "
            "where those are refused");
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.order->firm.clear(); }), "order.firm is a firm's name");
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.order->side.clear(); }), "order.side is an expression");
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.order->time_in_force = "gtd"; }),
            "order.time_in_force is one of day, gtc, ioc, fok");
  EXPECT_EQ(refused([](RuleDefinition& rule) { rule.order->price.clear(); }),
            "order.time_in_force of a market order is ioc or fok");
  EXPECT_NE(refused([](RuleDefinition& rule) { rule.name = std::string(20, 'r'); }).find("at most 19 characters"),
            std::string::npos);
  EXPECT_NE(refused([](RuleDefinition& rule) {
              rule.source = "fintech.trades";
              rule.sql = "SELECT n FROM STREAM \"fintech.trades\"";
            }).find("there is no stream"),
            std::string::npos);
  RuleDefinition named = hedge();
  named.name = std::string(20, 'r');
  named.order->id = "n";
  EXPECT_TRUE(world.put(named).ok());
  ASSERT_TRUE(world.put(hedge()).ok());
  ASSERT_TRUE(commit(0, {}).ok());
  RuleDefinition circle = hedge();
  circle.source = "fintech.orders";
  EXPECT_NE(world.put(circle).message.find("circle"), std::string::npos);
  RulesWorld before{kLogicOnce};
  before.make_stream("readings");
  before.make_stream("done");
  EXPECT_EQ(before.put(hedge()).message, "order needs the rules' logic 5: heptane upgrade activate rules");
}

}  // namespace
}  // namespace heptane::iot::rules::test
