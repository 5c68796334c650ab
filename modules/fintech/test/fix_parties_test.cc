// Parties of orders, and where order events come from, where no script can say it: records, bounds of entries, logs of before.
#include <gtest/gtest.h>

#include "modules/fintech/test/fix_hand.h"

namespace heptane::fintech::fixgate::test {
namespace {

constexpr const char* kTwo = "453=2|448=BROKER|447=D|452=1|448=JOE|447=C|452=11|";
constexpr const char* kTwoAsJson =
    R"("parties":[{"id":"BROKER","source":"D","role":"1"},{"id":"JOE","source":"C","role":"11"}])";

std::string order(const std::string& id, const std::string& more) {
  return "11=" + id + "|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=1.0|40=2|44=100.0|59=1|" + more;
}

// As many as there may be, as long as they may be.
std::string most() {
  std::string parties = "453=" + std::to_string(exchange::kFixPartiesMax) + "|";
  for (size_t n = 0; n < exchange::kFixPartiesMax; ++n)
    parties +=
        "448=" + std::string(kIdBytesMax, static_cast<char>('a' + n)) + "|447=D|452=" + std::to_string(n + 1) + "|";
  return parties;
}

TEST(FixParties, AreInTheRecordsWithWhereTheyComeFrom) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  alpha.say("35=D", order("a", kTwo));
  world.run();
  const std::vector<std::string>& records = world.rig.told[exchange::kOrdersView.number];
  const std::string origin = R"("received_ns":")" + std::to_string(world.rig.now) +
                             R"(","by":"1","entered_by":"1","session":"ALPHA",)" + kTwoAsJson + "}";
  ASSERT_EQ(records.size(), 1U);
  EXPECT_TRUE(records[0].ends_with(origin)) << records[0];
  world.crash();
  world.rig.enter(world.rig.sell("1.0", "100.0"));
  ASSERT_EQ(records.size(), 4U);
  EXPECT_TRUE(records[2].ends_with(std::string(R"("by":"1","entered_by":"1","session":"ALPHA",)") + kTwoAsJson + "}"))
      << records[2];
  EXPECT_TRUE(records[3].ends_with(R"("by":"1","entered_by":"1"})")) << records[3];
}

// By its own hand nobody made it.
TEST(FixParties, WhatTheExchangeDoesByItselfIsNobodys) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  alpha.say("35=D", "11=a|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=1.0|40=2|44=100.0|59=0|" + std::string(kTwo));
  world.run();
  world.pass(exchange::kDayNs / 4);
  const std::vector<std::string>& records = world.rig.told[exchange::kOrdersView.number];
  ASSERT_EQ(records.size(), 2U);
  EXPECT_NE(records[1].find(R"("reason":"expired")"), std::string::npos);
  EXPECT_TRUE(records[1].ends_with(std::string(R"("0.000","entered_by":"1","session":"ALPHA",)") + kTwoAsJson + "}") ||
              records[1].ends_with(std::string(R"("1.000","entered_by":"1","session":"ALPHA",)") + kTwoAsJson + "}"))
      << records[1];
}

TEST(FixParties, AreForgottenWithTheirOrder) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  alpha.say("35=D", order("a", kTwo));
  alpha.say("35=D", order("b", std::string(kTwo) + "18=6|").replace(0, 4, "11=a"));  // the ClOrdID is in use
  world.run();
  EXPECT_TRUE(world.rig.exchange.orders().has_parties());
  EXPECT_EQ(world.rig.exchange.orders().parties(2), "");
  world.rig.enter(world.rig.sell("1.0", "100.00"));
  for (size_t n = 0; n < exchange::kEndedKept; ++n) {
    exchange::NewOrder passing = world.rig.sell("0.1", "100.00");
    passing.tif = book::TimeInForce::ioc;
    ASSERT_TRUE(world.rig
                    .ExchangeShard::apply(world.rig.exchange, exchange::kNewOrder, exchange::packed(passing),
                                          world.rig.now, [](const Command&) {})
                    .ok());
  }
  EXPECT_FALSE(world.rig.exchange.orders().has_parties());
}

TEST(FixParties, LongOnesFitInTheirEntriesWithAllTheirDropCopies) {
  FixWorld world;
  world.open_market();
  world.put(FixWorld::spec("DROP2", "alpha", exchange::FixRole::drop_copy));
  world.put(FixWorld::spec("DROP3", "beta", exchange::FixRole::drop_copy));
  world.put(FixWorld::spec("DROP4", "beta", exchange::FixRole::drop_copy));
  Hand alpha(world, "ALPHA");
  Hand beta(world, "BETA");
  enter_many(world, beta, most());
  EXPECT_EQ(count_of(beta.heard(), "|150=0|"), kMany);
  alpha.say("35=D", "11=all|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=27.5|40=2|44=100.0|59=1|" + most());
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "|150=F|"), kMany / 2);
  beta.heard();
  beta.say("35=AF", "584=s|585=7|");
  beta.say("35=q", "11=q|530=7|60=20231114-22:13:20|");
  world.run();
  const std::vector<std::string> heard = beta.heard();
  EXPECT_EQ(count_of(heard, "|150=I|"), kMany / 2);
  EXPECT_EQ(count_of(heard, "|150=4|"), kMany / 2);
  EXPECT_NE(heard.back().find("533=275"), std::string::npos);
  constexpr size_t kEntryMax = size_t{1} << 20;
  EXPECT_LT(world.rig.note_bytes_max, kEntryMax * 3 / 4);
}

// A program of before reads what is logged, and does what this one does.
TEST(FixParties, AreNotKeptBeforeTheirVersionOfTheLogic) {
  FixWorld world;
  world.open_market();
  world.rig.kernel.versions[exchange::kExchangeMachineId] = exchange::kLogicParties - 1;
  world.rig.enter(world.rig.sell("0.1", "200.0"));
  Hand alpha(world, "ALPHA");
  alpha.say("35=D", order("a", most() + ""));
  alpha.say("35=D", order("b", "453=1|448=" + std::string(kIdBytesMax + 1, 'x') + "|"));
  world.run();
  const std::vector<std::string> heard = alpha.heard();
  EXPECT_EQ(count_of(heard, "|150=0|"), 2U);
  EXPECT_EQ(count_of(heard, "|453="), 0U);
  EXPECT_FALSE(world.rig.exchange.orders().has_parties());
  EXPECT_TRUE(exchange::test::mentions(world.rig.told[exchange::kOrdersView.number], R"("average_price":"0"})"));

  exchange::FixInput input;
  input.session = "ALPHA";
  input.connection = 9;
  input.serial = 1;
  input.had_in = input.next_in = world.session("ALPHA").next_in;
  input.received = world.rig.now;
  EXPECT_EQ(world.rig.ask(exchange::kFixInput, input).error, Errc::invalid_argument);
  world.rig.kernel.versions[exchange::kExchangeMachineId] = exchange::kLogicParties;
  EXPECT_TRUE(world.rig.ask(exchange::kFixInput, input).ok());
  input.serial = 2;
  input.request.emplace().ask = exchange::FixAsk::cancel;
  input.request->parties.assign(exchange::kFixPartiesBytesMax + 1, 'x');
  EXPECT_EQ(world.rig.ask(exchange::kFixInput, input).error, Errc::too_large);
}

}  // namespace
}  // namespace heptane::fintech::fixgate::test
