// What accounts trade and gain: average cost, rounds, busts, marks; beside the plain list of their trades; over snapshots and logs of before.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "modules/fintech/test/exchange_rig.h"
#include "modules/fintech/test/naive_positions.h"

namespace heptane::fintech::exchange {
namespace {

using book::Side;
using test::ExchangeRig;
using test::kUsd;
using test::mentions;
using test::NaivePositions;
using test::said;

constexpr uint64_t kLot = 100;

// Prices in cents, quantities in thousandths: what is bought and sold, in lots of a tenth.
TradedSide side_of(uint64_t trade, Side side, uint64_t lots, uint64_t price, uint64_t fee = 0) {
  const uint64_t quantity = lots * kLot;
  return {trade, side, {quantity, price * quantity / 1'000}, fee, 0};
}

std::string text(Int128 amount) {
  return (amount < 0 ? "-" : "") + amount_text(static_cast<Uint128>(amount < 0 ? -amount : amount), 2);
}

class Positions : public testing::Test {
 protected:
  void add(Side side, uint64_t lots, uint64_t price) { position.add(side_of(++trades, side, lots, price)); }
  // `average realised unrealised`
  std::string gained(std::optional<int64_t> mark) const {
    const ProfitAndLoss found = profit_and_loss(position, instrument, mark);
    return average_cost_text(instrument, found.open_side) + " " + text(found.realised) + " " +
           (found.unrealised ? text(*found.unrealised) : "unknown");
  }
  void bust(uint64_t trade, Side side, uint64_t lots, uint64_t price) {
    position.restate(side_of(trade, side, lots, price), nullptr, trades);
  }

  Instrument instrument = [] {
    Instrument i = test::bitcoin().instrument;
    i.base_scale = 8, i.quote_scale = 2;
    return i;
  }();
  TradedPosition position;
  uint64_t trades = 0;
};

TEST_F(Positions, WhatIsOpenStandsAtTheAverageOfItsSide) {
  EXPECT_EQ(gained(10'000), "0 0.00 0.00");
  add(Side::buy, 10, 10'000);
  add(Side::buy, 20, 13'000);
  EXPECT_EQ(gained(15'000), "120.000000 0.00 90.00");
  EXPECT_EQ(gained(std::nullopt), "120.000000 0.00 unknown");
  add(Side::sell, 10, 15'000);
  EXPECT_EQ(gained(15'000), "120.000000 30.00 60.00");
  add(Side::sell, 20, 11'000);
  EXPECT_EQ(gained(15'000), "0 10.00 0.00") << "it is over: exact";
  add(Side::buy, 10, 20'000);
  EXPECT_EQ(gained(15'000), "200.000000 10.00 -50.00") << "what was bought before is of another round";
}

TEST_F(Positions, ShortsStandAtWhatWasSold) {
  add(Side::sell, 10, 10'000);
  add(Side::sell, 10, 12'000);
  EXPECT_EQ(gained(10'500), "110.000000 0.00 10.00");
  add(Side::buy, 5, 10'000);
  EXPECT_EQ(gained(10'500), "110.000000 5.00 7.50");
}

TEST_F(Positions, ATradeThroughZeroEndsARoundAndBeginsTheNext) {
  add(Side::buy, 10, 10'000);
  add(Side::sell, 30, 15'000);
  EXPECT_EQ(gained(14'000), "150.000000 50.00 20.00");
  bust(2, Side::sell, 30, 15'000);
  EXPECT_EQ(gained(14'000), "100.000000 0.00 40.00") << "as if it had never been";
}

TEST_F(Positions, ABustInTheRoundLeavesNothing) {
  add(Side::buy, 10, 10'000);
  add(Side::buy, 10, 20'000);
  add(Side::sell, 10, 18'000);
  bust(2, Side::buy, 10, 20'000);
  EXPECT_EQ(gained(18'000), "0 80.00 0.00");
}

TEST_F(Positions, ABustOfAnEarlierRoundMakesOneOfAll) {
  add(Side::buy, 10, 10'000);
  add(Side::sell, 10, 11'000);
  add(Side::buy, 10, 30'000);
  EXPECT_EQ(gained(30'000), "300.000000 10.00 0.00");
  bust(2, Side::sell, 10, 11'000);
  EXPECT_EQ(gained(30'000), "200.000000 0.00 200.00");
}

TEST_F(Positions, NoRoundingIsEverLost) {
  add(Side::buy, 1, 10'000);
  add(Side::buy, 1, 10'010);
  add(Side::buy, 1, 10'010);
  add(Side::sell, 1, 10'000);
  // 30.02 for 0.3: 100.0666.. each; two of three are 20.0133.., rounded down.
  EXPECT_EQ(gained(10'000), "100.066666 -0.01 -0.01") << "their sum is 30.00 - 30.02";
  add(Side::sell, 2, 10'000);
  EXPECT_EQ(gained(10'000), "0 -0.02 0.00");
}

TEST_F(Positions, ScalesAtTheirEnds) {
  instrument.price_scale = 18, instrument.quantity_scale = 18, instrument.quote_scale = 0;
  const Uint128 one = Uint128{1'000'000} * 1'000'000 * 1'000'000;
  EXPECT_TRUE(worth(instrument, static_cast<Int128>(3 * one), static_cast<int64_t>(one)) == Int128{3});
  EXPECT_TRUE(worth(instrument, -static_cast<Int128>(3 * one), static_cast<int64_t>(one / 2)) == Int128{-1});
  EXPECT_EQ(average_cost_text(instrument, {3 * one, 2}), "0.66666666666666666666");
  instrument.price_scale = 0, instrument.quantity_scale = 0, instrument.quote_scale = 18;
  EXPECT_TRUE(worth(instrument, 2, 5) == static_cast<Int128>(10 * one));
  EXPECT_FALSE(worth(instrument, Int128{1} << 100, 1'000'000).has_value());
  EXPECT_EQ(average_cost_text(instrument, {3, 2 * one}), "0.6666");
}

TEST(PositionsModel, SumsAreThoseOfTheListOfTrades) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SeededRandom random(seed);
    TradedPosition position;
    NaivePositions naive;
    std::vector<TradedSide> standing;
    uint64_t trades = 0;
    uint64_t flips = 0;
    // Back to zero and through it as a rule.
    const auto made = [&] {
      const bool back = random.below(4) != 0;
      return side_of(++trades, (position.open() > 0) == back ? Side::sell : Side::buy, random.below(9) + 1,
                     9'000 + random.below(200) * 10, random.below(5));
    };
    for (int step = 0; step < 2'000; ++step) {
      if (standing.empty() || random.below(5) != 0) {
        const TradedSide one = made();
        const Int128 before = position.open();
        position.add(one);
        naive.add(0, one);
        standing.push_back(one);
        flips += (before < 0) != (position.open() < 0) ? 1 : 0;
      } else {
        const size_t back = random.below(std::min<size_t>(standing.size(), random.below(3) == 0 ? 1'000 : 4));
        const size_t at = standing.size() - 1 - back;
        const TradedSide was = standing[at];
        std::optional<TradedSide> is;
        if (random.below(3) == 0) is = made(), is->side = was.side;
        position.restate(was, is ? &*is : nullptr, trades);
        naive.restate(0, was.trade, was.side, is ? &*is : nullptr, trades);
        standing.erase(standing.begin() + static_cast<ptrdiff_t>(at));
        if (is) standing.push_back(*is);
      }
      ASSERT_TRUE(test::agrees(position, naive.of(0))) << seed << " " << step;
      const auto mark = static_cast<int64_t>(9'000 + random.below(200) * 10);
      Instrument i = test::bitcoin().instrument;
      i.quote_scale = 2;
      const ProfitAndLoss found = profit_and_loss(position, i, mark);
      const Int128 cash = static_cast<Int128>(position.sold.value) - static_cast<Int128>(position.bought.value);
      ASSERT_TRUE(found.realised + *found.unrealised == cash + *worth(i, position.open(), mark)) << seed << " " << step;
    }
    EXPECT_GT(flips, 100U);
  }
}

// ---- in the exchange

class PositionsOfAccounts : public testing::Test {
 protected:
  void SetUp() override {
    rig.open_market();
    rig.fund("alpha", "0", "10000");
    rig.fund("beta", "50", "0");
  }
  void trade(const char* quantity, const char* price) {
    ASSERT_NE(rig.enter(rig.sell(quantity, price)), 0U) << rig.last.message;
    ASSERT_NE(rig.enter(rig.buy(quantity, price)), 0U) << rig.last.message;
  }
  PositionRow of(const std::string& firm) const {
    const auto found = rig.query<AccountPositions>(kQueryPositions, Page{firm, "main", true});
    return found && !found->positions.empty() ? found->positions.front() : PositionRow();
  }
  Reply mark(std::optional<Said> price, const std::string& reason = "the close elsewhere") {
    return rig.ask(kPutMark, MarkChange{"BTC/USD", price, reason});
  }

  ExchangeRig rig;
};

TEST_F(PositionsOfAccounts, FeesAreToldApartAndBustsRestate) {
  trade("2", "100");
  trade("1", "130");
  PositionRow row = of("alpha");
  EXPECT_EQ(row.average_cost, "110.000000");
  EXPECT_EQ(text(row.realised), "0.00");
  EXPECT_EQ(text(*row.unrealised), "60.00") << "at the last trade";
  EXPECT_EQ(amount_text(row.traded.fees, 2), "0.66") << "as the taker, 2,000 ppm";
  EXPECT_EQ(text(*row.value), "390.00");
  EXPECT_EQ(of("beta").average_cost, "110.000000");
  EXPECT_EQ(text(*of("beta").unrealised), "-60.00");
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{2, "fat finger", std::nullopt}).ok());
  row = of("alpha");
  EXPECT_EQ(row.average_cost, "100.000000");
  EXPECT_EQ(text(*row.unrealised), "0.00") << "the last price follows";
  EXPECT_EQ(amount_text(row.traded.fees, 2), "0.40");
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{1, "agreed", AgreedTrade{said("90"), said("1")}}).ok());
  row = of("alpha");
  EXPECT_EQ(row.average_cost, "90.000000");
  EXPECT_EQ(amount_text(row.traded.fees, 2), "0.18");
  EXPECT_TRUE(row.exposure.position == row.traded.open());
  rig.restore();
  EXPECT_EQ(of("beta").average_cost, "90.000000");
  trade("1", "90");
  rig.restore();
}

TEST_F(PositionsOfAccounts, AMarkIsWhatPositionsAreValuedAt) {
  trade("2", "100");
  EXPECT_EQ(mark(said("120"), "").error, Errc::invalid_argument);
  EXPECT_EQ(mark(said("-1")).error, Errc::invalid_argument);
  EXPECT_EQ(mark(said("1.001")).error, Errc::invalid_argument);
  EXPECT_EQ(rig.ask(kPutMark, MarkChange{"NO/SUCH", said("1"), "reason"}).error, Errc::not_found);
  ASSERT_TRUE(mark(said("120.07")).ok());
  EXPECT_TRUE(of("alpha").external);
  EXPECT_EQ(text(*of("alpha").unrealised), "40.14") << "it need not be on a tick";
  EXPECT_TRUE(mentions(rig.told[kRiskView.number],
                       R"({"event":"marked","symbol":"BTC/USD","price":"120.07","reason":"the close elsewhere")"));
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.mark BTC/USD"));
  trade("1", "100");
  rig.restore();
  EXPECT_EQ(text(*of("alpha").unrealised), "60.21") << "a trade does not change it";
  EXPECT_EQ(rig.exchange.directory().listing(1).last_price(), 10'000) << "nothing trades by it";
  ASSERT_TRUE(mark(std::nullopt).ok());
  EXPECT_FALSE(of("alpha").external);
  EXPECT_EQ(text(*of("alpha").unrealised), "0.00");
  EXPECT_TRUE(mentions(rig.told[kRiskView.number], R"({"event":"mark_removed","symbol":"BTC/USD","reason")"));
  EXPECT_FALSE(rig.query<MarkRow>(kQueryMark, std::string("NO/SUCH")).has_value());
  EXPECT_FALSE(rig.query<MarkRow>(kQueryMark, std::string("BTC/USD"))->mark.has_value());
}

// It is in the instrument's units: where those change it would be another price.
TEST_F(PositionsOfAccounts, AMarkGoesWithTheUnits) {
  ASSERT_TRUE(mark(said("120.07")).ok());
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", book::Phase::closed, false}).ok());
  InstrumentSpec spec = test::bitcoin();
  spec.instrument.collar_ppm = 50'000;
  ASSERT_TRUE(rig.ask(kPutInstrument, spec).ok());
  EXPECT_TRUE(rig.query<MarkRow>(kQueryMark, std::string("BTC/USD"))->mark.has_value()) << "the units are the same";
  spec.instrument.price_scale = 1;
  spec.instrument.steps = {{0, 1}};
  spec.instrument.price_min = 1, spec.instrument.price_max = 1'000'000;
  const Reply changed = rig.ask(kPutInstrument, spec);
  ASSERT_TRUE(changed.ok()) << changed.message;
  EXPECT_FALSE(rig.query<MarkRow>(kQueryMark, std::string("BTC/USD"))->mark.has_value());
  EXPECT_FALSE(of("alpha").external);
  rig.restore();
  ASSERT_TRUE(mark(said("120.1")).ok());
}

TEST_F(PositionsOfAccounts, WithoutAPriceNothingIsValued) {
  EXPECT_TRUE(of("alpha").symbol.empty());
  ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(of("alpha").symbol, "BTC/USD") << "it has an order open";
  EXPECT_FALSE(of("alpha").mark.has_value());
  EXPECT_FALSE(of("alpha").value.has_value());
  ASSERT_TRUE(mark(said("50")).ok());
  EXPECT_EQ(text(*of("alpha").worst_long), "50.00");
}

TEST_F(PositionsOfAccounts, ALogOfBeforeCountsFromItsActivationOn) {
  rig.kernel.versions[kExchangeMachineId] = kPositionsVersion - 1;
  trade("2", "100");
  trade("1", "130");
  EXPECT_EQ(mark(said("1")).error, Errc::unsupported);
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{2, "fat finger", std::nullopt}).ok());
  EXPECT_EQ(of("alpha").average_cost, "0");
  EXPECT_TRUE(of("alpha").exposure.position == Int128{2'000});
  rig.kernel.versions[kExchangeMachineId] = kPositionsVersion;
  trade("1", "150");
  EXPECT_EQ(of("alpha").average_cost, "150.000000");
  EXPECT_TRUE(of("alpha").traded.open() == Int128{1'000}) << "the rest is uncounted";
  rig.restore();
  // One that was not counted is not taken out; what is agreed in its place is counted.
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{1, "agreed", AgreedTrade{said("90"), said("1")}}).ok());
  EXPECT_EQ(of("alpha").average_cost, "120.000000");
  EXPECT_TRUE(of("alpha").exposure.position == of("alpha").traded.open());
  ASSERT_TRUE(rig.ask(kBustTrade, BustTrade{4, "fat finger", std::nullopt}).ok());
  EXPECT_EQ(of("alpha").average_cost, "150.000000");
  rig.restore();
}

}  // namespace
}  // namespace heptane::fintech::exchange
