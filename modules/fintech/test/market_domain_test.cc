// Levels that differ and candles, against the plainest way to make them.
#include <gtest/gtest.h>

#include <map>

#include "kernel/base/random.h"
#include "modules/fintech/domain/exchange/candles.h"
#include "modules/fintech/domain/exchange/depth.h"

namespace heptane::fintech::exchange {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;

std::vector<DepthLevel> some_levels(SeededRandom& random, bool high_first) {
  std::map<int64_t, DepthLevel> levels;
  for (uint64_t n = random.below(12); n > 0; --n) {
    const auto price = static_cast<int64_t>(random.below(15)) - 5;
    levels[high_first ? -price : price] = {price, random.below(3), static_cast<uint32_t>(random.below(2))};
  }
  std::vector<DepthLevel> rows;
  for (const auto& [key, level] : levels) rows.push_back(level);
  return rows;
}

TEST(Depth, OfOneStateAndWhatDiffersComesTheOther) {
  SeededRandom random(3);
  Depth before;
  for (int n = 0; n < 20'000; ++n) {
    const Depth now{before.sequence + 1, some_levels(random, true), some_levels(random, false)};
    Depth made = before;
    ASSERT_TRUE(apply_changes(difference(before, now), made));
    ASSERT_EQ(made.bids, now.bids);
    ASSERT_EQ(made.asks, now.asks);
    ASSERT_TRUE(difference(now, now).empty());
    before = now;
  }
}

TEST(Depth, ChangesOfAnotherStateAreFound) {
  Depth depth{1, {{100, 1, 1}}, {}};
  EXPECT_FALSE(apply_changes({{LevelAction::added, book::Side::buy, {100, 2, 1}}}, depth));
  EXPECT_FALSE(apply_changes({{LevelAction::changed, book::Side::buy, {99, 2, 1}}}, depth));
  EXPECT_FALSE(apply_changes({{LevelAction::removed, book::Side::sell, {100, 0, 0}}}, depth));
}

using Naive = std::map<std::pair<CandleWidth, int64_t>, Candle>;

void add_naive(Naive& all, int64_t time, int64_t price, uint64_t quantity) {
  for (size_t n = 0; n < kCandleWidths; ++n) {
    const auto width = static_cast<CandleWidth>(n);
    const int64_t start = time / candle_width_ns(width) * candle_width_ns(width);
    const auto [at, is_new] = all.try_emplace({width, start});
    Candle& candle = at->second;
    if (is_new) candle = {start, price, price, price, price, 0, 0, 0};
    candle.high = std::max(candle.high, price);
    candle.low = std::min(candle.low, price);
    candle.close = price;
    candle.volume += quantity;
    candle.notional += static_cast<Uint128>(price) * quantity;
    ++candle.trades;
  }
}

// A trade of then is another one now; none: it is gone.
void restate_naive(Naive& all, int64_t time, const TradeSums& was, const TradeSums& is) {
  for (size_t n = 0; n < kCandleWidths; ++n) {
    const auto width = static_cast<CandleWidth>(n);
    Candle& candle = all.at({width, time / candle_width_ns(width) * candle_width_ns(width)});
    candle.volume += is.volume - was.volume;
    candle.notional += is.notional - was.notional;
    candle.trades += is.trades - was.trades;
  }
}

std::vector<Candle> naive_list(const Naive& all, CandleWidth width, int64_t from, int64_t to) {
  std::vector<Candle> rows;
  for (const auto& [key, candle] : all)
    if (key.first == width && key.second >= from && key.second < to) rows.push_back(candle);
  return rows;
}

TEST(Candles, AreWhatWasTradedInTheirTime) {
  SeededRandom random(5);
  CandleSeries series;
  Naive all;
  std::vector<std::pair<int64_t, TradeSums>> made;
  int64_t now = 1'700'000'000 * kSecond;
  for (int n = 0; n < 4'000; ++n) {
    // Mostly in the same second, now and then in another minute, hour or day.
    constexpr std::array<int64_t, 6> kSteps = {kSecond / 3,   kSecond,         70 * kSecond,
                                               400 * kSecond, 4'000 * kSecond, kDay};
    const uint64_t dice = random.below(60);
    now += static_cast<int64_t>(random.below(static_cast<uint64_t>(kSteps[dice < 6 ? dice : 0])));
    const auto price = static_cast<int64_t>(1 + random.below(100));
    const uint64_t quantity = 1 + random.below(50);
    series.add(now, now / kDay * kDay, price, quantity, static_cast<Uint128>(price) * quantity);
    add_naive(all, now, price, quantity);
    made.push_back({now, {quantity, static_cast<Uint128>(price) * quantity, 1}});
    if (random.below(4) == 0) {
      const size_t behind = random.below(random.below(2) == 0 ? 5 : 3'000);
      auto& [time, was] = made[made.size() - 1 - std::min<size_t>(behind, made.size() - 1)];
      const TradeSums is = random.below(2) == 0 ? TradeSums() : TradeSums{random.below(50), random.below(5'000), 1};
      series.restate(time, was, is);
      restate_naive(all, time, was, is);
      was = is;
    }
    if (n % 50 != 0) continue;
    for (size_t w = 0; w < kCandleWidths; ++w) {
      const auto width = static_cast<CandleWidth>(w);
      const std::optional<int64_t> kept = series.kept_from(width);
      const int64_t from = std::max(kept.value_or(0), now - static_cast<int64_t>(random.below(3 * kDay)));
      const int64_t to = from + static_cast<int64_t>(random.below(3 * kDay));
      ASSERT_EQ(series.list(width, from, to, kCandlesKept + 1, false), naive_list(all, width, from, to));
    }
    if (n % 500 != 0) continue;
    std::array<CandleSeries::Ring, kCandleWidths> saved;
    for (size_t w = 0; w < kCandleWidths; ++w) {
      const CandleSeries::Ring& ring = series.rings()[w];
      saved[w].lost = ring.lost;
      for (size_t k = 0; k < ring.candles.size(); ++k) saved[w].candles.push_back(ring.at(k));
    }
    ASSERT_TRUE(series.restore(saved, series.day(), series.day_begins()));
  }
  EXPECT_EQ(series.size() <= kCandleWidths * kCandlesKept, true);
}

TEST(Candles, TheLastOnesAreKeptAndTheFirstOrLastOfThemAreListed) {
  CandleSeries series;
  for (int64_t n = 0; n < 3'000; ++n) series.add(n * kSecond, 0, n, 1, 1);
  EXPECT_EQ(series.kept_from(CandleWidth::second), (3'000 - static_cast<int64_t>(kCandlesKept)) * kSecond);
  EXPECT_FALSE(series.kept_from(CandleWidth::minute).has_value());
  EXPECT_EQ(series.list(CandleWidth::second, 0, INT64_MAX, 2, false).front().open, 3'000 - int64_t{kCandlesKept});
  EXPECT_EQ(series.list(CandleWidth::second, 0, INT64_MAX, 2, true).back().open, 2'999);
  const std::vector<Candle> days = series.list(CandleWidth::day, 0, INT64_MAX, 10, true);
  ASSERT_EQ(days.size(), 1U);
  EXPECT_EQ(days[0].trades, 3'000U);
  EXPECT_TRUE(CandleSeries().list(CandleWidth::day, 0, INT64_MAX, 10, true).empty());
}

TEST(Candles, ADayIsATradeDateWhateverItsFirstInstant) {
  CandleSeries series;
  const int64_t opens = 22 * 3'600 * kSecond;  // of the day before, UTC
  series.add(opens + kSecond, opens, 100, 1, 100);
  series.add(kDay + kSecond, opens, 101, 1, 101);
  series.add(opens + kDay, opens + kDay, 102, 1, 102);
  const std::vector<Candle> days = series.list(CandleWidth::day, 0, INT64_MAX, 10, false);
  ASSERT_EQ(days.size(), 2U);
  EXPECT_EQ(days[0].start, opens);
  EXPECT_EQ(days[0].trades, 2U);
}

// A trade of an hour that is kept, in a second that is not; of a date that its time alone does not say.
TEST(Candles, WhatIsPutRightFollowsWhereItIsKept) {
  CandleSeries series;
  const int64_t opens = 22 * 3'600 * kSecond;
  series.add(opens + kSecond, opens, 100, 5, 500);
  for (int64_t n = 0; n < 1'500; ++n) series.add(kDay + n * kSecond, opens, 100, 1, 100);
  series.add(opens + kDay, opens + kDay, 102, 1, 102);
  series.restate(opens + kSecond + 77, {5, 500, 1}, {2, 150, 1});
  const std::vector<Candle> days = series.list(CandleWidth::day, 0, INT64_MAX, 10, false);
  ASSERT_EQ(days.size(), 2U);
  EXPECT_EQ(days[0].trades, 1'501U);
  EXPECT_TRUE(days[0].volume == 1'502 && days[0].notional == 150'150);
  EXPECT_EQ(days[1].trades, 1U);
  const Candle hour = series.list(CandleWidth::hour, opens, opens + 1, 1, false).at(0);
  EXPECT_TRUE(hour.volume == 2 && hour.notional == 150 && hour.trades == 1);
  // Of the last second, with a time that is already in the next one.
  series.restate(opens + kDay + kSecond + 500, {1, 102, 1}, {});
  EXPECT_EQ(series.list(CandleWidth::day, 0, INT64_MAX, 1, true)[0].trades, 0U);
}

TEST(Candles, ATradeDateDoesNotGoBack) {
  CandleSeries series;
  series.add(kDay + kSecond, 2 * kDay, 100, 1, 100);
  series.add(kDay + 2 * kSecond, kDay, 100, 1, 100);
  ASSERT_EQ(series.list(CandleWidth::day, 0, INT64_MAX, 10, false).size(), 1U);
  EXPECT_EQ(series.list(CandleWidth::day, 0, INT64_MAX, 10, false)[0].start, 2 * kDay);
}

TEST(Candles, WhatIsNoneIsNotRestored) {
  CandleSeries series;
  std::array<CandleSeries::Ring, kCandleWidths> rings;
  rings[0].candles = {{5 * kSecond, 1, 1, 1, 1, 1, 1, 1}, {4 * kSecond, 1, 1, 1, 1, 1, 1, 1}};
  EXPECT_FALSE(series.restore(rings, 0, {}));
  rings[0].candles.assign(kCandlesKept + 1, {});
  EXPECT_FALSE(series.restore(rings, 0, {}));
  EXPECT_FALSE(series.restore({}, 0, {2, 1}));
}

}  // namespace
}  // namespace heptane::fintech::exchange
