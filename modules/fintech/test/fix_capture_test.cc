// Trade capture over FIX where no script can say it: many trades, crashes, bounds.
#include <gtest/gtest.h>

#include <set>

#include "modules/fintech/test/fix_hand.h"

namespace heptane::fintech::fixgate::test {
namespace {

std::string value_in(const std::string& message, const std::string& tag) {
  const size_t at = message.find('|' + tag + '=');
  if (at == std::string::npos) return "";
  const size_t begin = at + tag.size() + 2;
  return message.substr(begin, message.find('|', begin) - begin);
}

// Of all that beta has sold.
void expect_whole(const std::vector<std::string>& heard, size_t trades) {
  EXPECT_EQ(count_of(heard, "35=AQ|"), 1U);
  EXPECT_EQ(count_of(heard, "35=AE|"), trades);
  EXPECT_EQ(count_of(heard, "|912=Y|"), 1U);
  EXPECT_EQ(count_of(heard, "|748=" + std::to_string(trades) + "|"), trades + 1);
  std::set<std::string> ids;
  for (const std::string& message : heard) ids.insert(value_in(message, "571"));
  ids.erase("");
  EXPECT_EQ(ids.size(), trades);
}

void trade_many(FixWorld& world, Hand& alpha, Hand& beta) {
  enter_many(world, beta);
  alpha.say("35=D", "11=all|1=main|55=BTC/USD|54=1|60=20231114-22:13:20|38=55.0|40=2|44=100.0|59=1|");
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "|150=F|"), kMany);
  beta.heard();
}

TEST(FixCapture, GoesOnInPiecesAndIsCompleteOverACrash) {
  for (const bool crashes : {false, true}) {
    FixWorld world;
    world.open_market();
    Hand alpha(world, "ALPHA");
    Hand beta(world, "BETA");
    trade_many(world, alpha, beta);
    world.rig.note_bytes_max = 0;
    beta.say("35=AD", "568=r|569=0|");
    if (!crashes) {
      world.run();
      expect_whole(beta.heard(), kMany);
      EXPECT_TRUE(world.rig.exchange.firm_trades().captures().empty());
      constexpr size_t kPiece = 100;
      EXPECT_LT(world.rig.note_bytes_max, kPiece * 1'024);
      continue;
    }
    world.run_some(1);
    ASSERT_EQ(world.rig.exchange.firm_trades().captures().size(), 1U);
    const std::vector<std::string> before = beta.heard();
    world.crash();
    Hand again(world, "BETA");
    again.say("35=2", "7=1|16=0|");
    world.run();
    std::vector<std::string> told;
    for (const std::string& message : again.heard())
      if (message.starts_with("35=AE|") || message.starts_with("35=AQ|")) told.push_back(message);
    expect_whole(told, kMany);
  }
}

TEST(FixCapture, MoreThanARequestMayHaveIsRefusedAndLessIsNot) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  Hand beta(world, "BETA");
  trade_many(world, alpha, beta);
  for (size_t n = 0; n < kMany; ++n) world.rig.enter(world.rig.sell("0.1", "100.0"));
  world.rig.enter(world.rig.buy("55.0", "100.0"));
  world.run();
  beta.heard();
  beta.say("35=AD", "568=all|569=0|");
  beta.say("35=AD", "568=one|569=1|880=1100|");
  world.run();
  const std::vector<std::string> heard = beta.heard();
  ASSERT_EQ(heard.size(), 3U);
  EXPECT_EQ(count_of(heard, "|568=all|569=0|749=99|750=2|"), 1U);
  EXPECT_EQ(count_of(heard, "|568=one|569=1|748=1|749=0|750=0|"), 1U);
  EXPECT_EQ(count_of(heard, "|880=1100|"), 1U);
}

TEST(FixCapture, ASessionMayAskForTwoAtATime) {
  FixWorld world;
  world.open_market();
  Hand alpha(world, "ALPHA");
  Hand beta(world, "BETA");
  trade_many(world, alpha, beta);
  const size_t before = world.said("BETA").size();
  exchange::FixInput input;
  input.session = "BETA";
  input.connection = 77;
  input.had_in = input.next_in = world.session("BETA").next_in;
  input.received = world.rig.now;
  input.request.emplace().ask = exchange::FixAsk::capture;
  input.request->request_type = '0';
  for (const char* id : {"a", "b", "c"}) {
    ++input.serial;
    input.request->client_id = id;
    EXPECT_TRUE(world.rig.ask(exchange::kFixOrders, input).ok());
  }
  world.rig.fire();
  EXPECT_EQ(world.said("BETA").size() - before, 2 * (kMany + 1) + 1);
  const std::string refused = expected_form(world.said("BETA")[before + 2 * 101]);
  EXPECT_NE(refused.find("|568=c|569=0|749=99|750=2|"), std::string::npos) << refused;
}

// Nothing is told of others, and nothing of before.
TEST(FixCapture, IsOfTheFirmAndOfTheTimeSinceThereAreSessions) {
  FixWorld world;
  world.rig.open_market();
  world.rig.fund("alpha", "0", "1000000.00");
  world.rig.fund("beta", "1000", "0");
  const auto trade = [&] {
    world.rig.enter(world.rig.sell("0.1", "100.0"));
    world.rig.enter(world.rig.buy("0.1", "100.0"));
  };
  trade();
  world.put(FixWorld::spec("ALPHA", "alpha"));
  trade();
  Hand alpha(world, "ALPHA");
  alpha.say("35=AD", "568=r|569=0|");
  world.run();
  const std::vector<std::string> heard = alpha.heard();
  EXPECT_EQ(count_of(heard, "35=AE|"), 1U);
  EXPECT_EQ(count_of(heard, "|880=2|"), 1U);
  EXPECT_EQ(count_of(heard, "|58=up to 20231114 not all are kept here"), 1U);
  EXPECT_EQ(count_of(heard, "|54=1|"), 1U);
}

TEST(FixCapture, IsNotTakenBeforeItsVersionOfTheLogic) {
  FixWorld world;
  world.open_market();
  world.rig.kernel.versions[exchange::kExchangeMachineId] = exchange::kLogicParties - 1;
  world.rig.enter(world.rig.sell("0.1", "100.0"));
  world.rig.enter(world.rig.buy("0.1", "100.0"));
  EXPECT_TRUE(world.rig.exchange.firm_trades().empty());
  Hand alpha(world, "ALPHA");
  alpha.say("35=AD", "568=r|569=0|");
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "|58=Unsupported Message Type|372=AD|380=3|"), 1U);
}

}  // namespace
}  // namespace heptane::fintech::fixgate::test
