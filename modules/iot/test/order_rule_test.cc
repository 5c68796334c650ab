// What a rule that enters orders makes of a message: numbers as they stand, and what is wrong with them; the configuration's keys; what the
// log has of it.
#include <gtest/gtest.h>

#include "modules/iot/gateway/rules/compiled_rule.h"
#include "modules/iot/gateway/rules/rule_settings.h"

namespace heptane::iot::rules {
namespace {

RuleDefinition hedge() {
  RuleDefinition rule;
  rule.name = "hedge";
  rule.sql = "SELECT side, q, p, n FROM STREAM raw";
  rule.source = "raw";
  rule.order = OrderAction{"alpha", "main", "'BTC-USD'", "side", "q * 2", "p", "", "'m:' || n", 30};
  return rule;
}

CompiledRule compiled(const RuleDefinition& rule) {
  Result<CompiledRule> made = CompiledRule::compile(rule);
  HEPTANE_ASSERT(made.ok(), "it is a rule");
  return std::move(*made);
}

// The input as the machine reads it; the buffer holds its texts.
RuleInput input_of(const RuleDefinition& rule, const std::string& payload, Buffer& commit) {
  Workspace work;
  streams::RecordView record;
  record.key = as_bytes("t");
  record.value = as_bytes(payload);
  record.offset = 3;
  record.timestamp_ms = 5'000;
  ByteWriter bytes;
  EXPECT_TRUE(compiled(rule).append_input_of(record, 0, work, bytes));
  RuleCommit head;
  head.rule = rule.name;
  head.from = 3;
  head.upto = 4;
  commit = encode(head, bytes.view(), 1);
  return decode_commit(commit.view())->inputs.at(0);
}

TEST(OrderRule, NumbersAreExactWithoutZerosBehind) {
  Buffer commit;
  const RuleInput input = input_of(hedge(), R"({"side":"sell","q":1.25,"p":"40100.10","n":7})", commit);
  EXPECT_EQ(input.fault, "");
  ASSERT_TRUE(input.order.has_value());
  EXPECT_EQ(input.order->side, book::Side::sell);
  EXPECT_EQ(input.order->quantity.digits, 25);
  EXPECT_EQ(input.order->quantity.decimals, 1);
  EXPECT_EQ(input.order->price->digits, 401'001);
  EXPECT_EQ(input.order->price->decimals, 1);
  EXPECT_EQ(input.order->symbol, "BTC-USD");
  EXPECT_EQ(input.order->id, "m:7");
  EXPECT_EQ(input.order->until_ms, 35'000);
  const auto order = port_order(*hedge().order, *input.order, "other");
  EXPECT_EQ(order.client_id, "m:7");
  EXPECT_FALSE(order.market);
  EXPECT_EQ(order.tif, book::TimeInForce::day);
  RuleDefinition at_market = hedge();
  at_market.order->price.clear();
  at_market.order->id.clear();
  at_market.order->within_s = 0;
  const RuleInput other = input_of(at_market, R"({"side":"buy","q":1})", commit);
  EXPECT_EQ(other.order->until_ms, 0);
  const auto market = port_order(*at_market.order, *other.order, "other");
  EXPECT_TRUE(market.market);
  EXPECT_EQ(market.tif, book::TimeInForce::ioc);
  EXPECT_EQ(market.client_id, "other");
}

TEST(OrderRule, WhatIsNoOrderIsADeadLetter) {
  const CompiledRule rule = compiled(hedge());
  const auto fault = [&](const std::string& payload) { return rule.try_on("t", payload, 0, 0).fault; };
  EXPECT_EQ(fault(R"({"side":"buy","q":1,"p":1,"n":1})"), "");
  EXPECT_EQ(fault(R"({"side":"both","q":1,"p":1,"n":1})"), "order.side is buy or sell");
  EXPECT_NE(fault(R"({"q":1,"p":1,"n":1})").find("the order.side is NULL"), std::string::npos);
  EXPECT_NE(fault(R"({"side":"buy","p":1,"n":1})").find("the order.quantity is NULL"), std::string::npos);
  EXPECT_NE(fault(R"({"side":"buy","q":1,"p":true,"n":1})").find("that is no number"), std::string::npos);
  EXPECT_EQ(fault(R"({"side":"buy","q":1,"p":99999999999999999999,"n":1})"),
            "at 8: the message is no JSON, and has no field side");
  EXPECT_NE(fault(R"({"side":"buy","q":1,"p":"99999999999999999999","n":1})").find("order.price"), std::string::npos)
      << fault(R"({"side":"buy","q":1,"p":"99999999999999999999","n":1})");
  EXPECT_NE(fault(R"({"side":"buy","q":1,"p":1})").find("order.id"), std::string::npos);
  EXPECT_NE(fault(R"({"side":"buy","q":1,"p":1,"n":")" + std::string(64, 'x') + "\"}").find("1 to 64 bytes"),
            std::string::npos);
}

TEST(OrderRule, TheConfigurationSaysTheSame) {
  const auto wanted = rule_of_table(
      "name=hedge\nsql=SELECT side, q, p, n FROM STREAM "
      "raw\norder_firm=alpha\norder_account=main\norder_symbol='BTC-USD'\n"
      "order_side=side\norder_quantity=q * 2\norder_price=p\norder_id='m:' || n\norder_within_s=30");
  ASSERT_TRUE(wanted.ok()) << wanted.error().message;
  EXPECT_EQ(wanted->rule, hedge());
  const auto wrong = [](const std::string& more) {
    return wrong_rule_table("name=r\nsql=SELECT n FROM STREAM raw\norder_firm=a\norder_account=b\n" + more);
  };
  EXPECT_NE(wrong("order_firms=x").find("there is no such key"), std::string::npos);
  EXPECT_NE(wrong("order_within_s=soon").find("say seconds"), std::string::npos);
  EXPECT_NE(wrong("order_symbol='s'\norder_side='buy'\norder_quantity=n +").find("order.quantity"), std::string::npos);
  EXPECT_NE(wrong("order_symbol='s'\norder_side='buy'").find("order.quantity is an expression"), std::string::npos);
}

TEST(OrderRule, TheLogHasItWhole) {
  RuleRow row;
  row.definition = hedge();
  row.version = 9;
  row.counters.orders = 4;
  row.counters.late = 1;
  ByteWriter out;
  append_row(out, row);
  ByteReader in(out.view());
  const RuleRow read = read_row(in);
  EXPECT_TRUE(in.complete());
  EXPECT_EQ(read.definition, row.definition);
  EXPECT_EQ(read.counters.orders, 4U);
  // Cut off anywhere it is no input.
  Buffer commit;
  (void)input_of(hedge(), R"({"side":"sell","q":1.25,"p":"40100.10","n":7})", commit);
  for (size_t bytes = 0; bytes < commit.size(); ++bytes)
    EXPECT_FALSE(decode_commit(commit.view().first(bytes)).has_value()) << bytes;
}

}  // namespace
}  // namespace heptane::iot::rules
