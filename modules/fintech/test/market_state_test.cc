// What the machine counts of its instruments, and how it answers who watches them.
#include <gtest/gtest.h>

#include <tuple>

#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using test::ExchangeRig;
using test::kSecond;

std::vector<MarketRow> ask(const ExchangeRig& rig, const MarketQuery& query, int64_t* answered = nullptr) {
  Reply reply;
  rig.exchange.query({kQueryMarket, packed(query).view(), {}}, reply);
  EXPECT_TRUE(reply.ok());
  if (answered != nullptr) *answered = reply.numbers[0];
  return unpacked_rows<MarketRow>(reply.payload.view()).value();
}

MarketRow row_of(const ExchangeRig& rig, uint32_t levels = 10) {
  MarketQuery query;
  query.asks.push_back({"BTC/USD", kNoSequence, levels, {{CandleWidth::day, 0}}, true});
  return ask(rig, query).at(0);
}

TEST(MarketState, TheSequenceGrowsWithTheBookAndSurvivesSnapshots) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "100", "0");
  uint64_t before = row_of(rig).depth.sequence;
  const auto grows = [&] {
    const uint64_t now = row_of(rig).depth.sequence;
    EXPECT_GT(now, before);
    before = now;
    rig.restore();
    EXPECT_EQ(row_of(rig).depth.sequence, now);
  };
  const uint64_t order = rig.enter(rig.buy("1", "100"));
  grows();
  EXPECT_EQ(row_of(rig).depth.bids, (std::vector<DepthLevel>{{10'000, 1'000, 1}}));
  rig.ask(kReplaceOrder, rig.change("alpha", order, "2", "100"));
  grows();
  rig.enter(rig.sell("1", "100"));
  grows();
  rig.cancel("alpha", order);
  grows();
  // What was refused changes nothing.
  EXPECT_EQ(rig.enter(rig.buy("1", "100.05")), 0U);
  EXPECT_EQ(row_of(rig).depth.sequence, before);
  const MarketRow row = row_of(rig);
  ASSERT_EQ(row.candles.size(), 1U);
  ASSERT_EQ(row.candles[0].candles.size(), 1U);
  EXPECT_EQ(row.candles[0].candles[0].trades, 1U);
  EXPECT_EQ(row.days, row.candles[0].candles);
}

TEST(MarketState, WhoKnowsTheSequenceIsToldNothing) {
  ExchangeRig rig;
  rig.open_market();
  MarketQuery query;
  query.asks.push_back({"BTC/USD", row_of(rig).depth.sequence, 10, {}, false});
  query.asks.push_back({"NO/SUCH", 5, 10, {}, false});
  int64_t answered = 0;
  const std::vector<MarketRow> rows = ask(rig, query, &answered);
  EXPECT_EQ(answered, 2);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].ask, 1U);
  EXPECT_FALSE(rows[0].listed);
}

TEST(MarketState, AnAnswerLooksAtSoManyLevelsAndTheRestIsAskedAgain) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "100000000");
  for (int n = 1; n <= 1'000; ++n) ASSERT_NE(rig.enter(rig.buy("0.1", std::to_string(n))), 0U);
  MarketQuery query;
  for (int n = 0; n < 10; ++n) query.asks.push_back({"BTC/USD", kNoSequence, 5'000, {}, false});
  int64_t answered = 0;
  const std::vector<MarketRow> rows = ask(rig, query, &answered);
  EXPECT_EQ(answered, 4);
  EXPECT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].depth.bids.size(), 1'000U);
}

TEST(MarketState, BeforeItsVersionNothingIsCounted) {
  ExchangeRig rig;
  rig.kernel.versions[kExchangeMachineId] = kMarketVersion - 1;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.enter(rig.buy("1", "100"));
  const auto refused = [&] {
    Reply reply;
    rig.exchange.query({kQueryMarket, packed(MarketQuery()).view(), {}}, reply);
    return reply.error;
  };
  EXPECT_EQ(refused(), Errc::unsupported) << "who watches would wait for ever";
  EXPECT_FALSE(
      rig.query<CandlesRow>(kQueryCandles, CandlesQuery{"BTC/USD", CandleWidth::minute, 0, 1, 1, 0}).has_value());
  FixSpec session;
  session.name = session.comp_id = "MARKET";
  session.firm = "alpha";
  session.role = FixRole::market_data;
  EXPECT_EQ(rig.ask(kPutFixSession, session).error, Errc::unsupported) << "programs of then do not know the role";
  rig.restore();
  EXPECT_EQ(refused(), Errc::overloaded) << "no command has said yet which version it is";
  rig.kernel.versions[kExchangeMachineId] = kMarketVersion;
  rig.enter(rig.buy("1", "99"));
  EXPECT_EQ(row_of(rig).depth.sequence, 1U);
  EXPECT_TRUE(rig.ask(kPutFixSession, session).ok());
}

// A trade that is taken back, corrected, and corrected once more: in its own candle each time.
TEST(MarketState, CandlesFollowWhatIsPutRight) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "100", "0");
  const auto trade = [&] {
    rig.enter(rig.sell("2", "100"));
    rig.enter(rig.buy("2", "100"));
    rig.now += 3'600 * kSecond;
  };
  for (int n = 0; n < 3; ++n) trade();
  const auto hours = [&] {
    return rig.query<CandlesRow>(kQueryCandles, CandlesQuery{"BTC/USD", CandleWidth::hour, 0, kAllTimes, 10, 0})
        ->candles;
  };
  const auto sums = [](const Candle& candle) {
    return std::tuple(static_cast<uint64_t>(candle.volume), static_cast<uint64_t>(candle.notional), candle.trades);
  };
  uint64_t before = row_of(rig).depth.sequence;
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{1, "reason", std::nullopt}).ok());
  EXPECT_GT(row_of(rig).depth.sequence, before) << "who watches is not told";
  EXPECT_EQ(sums(hours()[0]), std::tuple(0U, 0U, 0U));
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{2, "reason", AgreedTrade{test::said("90"), test::said("1.5")}}).ok());
  EXPECT_EQ(sums(hours()[1]), std::tuple(1'500U, 13'500U, 1U));
  rig.restore();
  rig.now += 3'600 * kSecond;
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{4, "reason", AgreedTrade{test::said("80"), test::said("1")}}).ok());
  EXPECT_EQ(sums(hours()[1]), std::tuple(1'000U, 8'000U, 1U)) << "when it was agreed does not matter";
  EXPECT_EQ(sums(hours()[2]), std::tuple(2'000U, 20'000U, 1U));
  EXPECT_EQ(hours().size(), 3U);
  EXPECT_EQ(hours()[1].open, 10'000) << "prices are of what was traded";
}

TEST(MarketState, CandlesAreListedByTheirTimes) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "100", "0");
  for (const char* price : {"100", "101", "102"}) {
    rig.enter(rig.sell("1", price));
    rig.enter(rig.buy("1", price));
    rig.now += 60 * kSecond;
  }
  const auto list = [&](std::optional<LogTime> from, uint32_t most) {
    return rig.query<CandlesRow>(kQueryCandles, CandlesQuery{"BTC/USD", CandleWidth::minute, from, kAllTimes, most, 0})
        ->candles;
  };
  EXPECT_EQ(list(std::nullopt, 2).front().open, 10'100);
  EXPECT_EQ(list(0, 2).front().open, 10'000);
  EXPECT_EQ(list(list(0, 2).front().start + 1, 10).size(), 2U);
  EXPECT_FALSE(
      rig.query<CandlesRow>(kQueryCandles, CandlesQuery{"NO/SUCH", CandleWidth::minute, 0, 1, 1, 0}).has_value());
}

}  // namespace
}  // namespace heptane::fintech::exchange
