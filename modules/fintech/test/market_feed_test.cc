// Market data as who watches is told it, against what is in the books and in the streams: with readers that have no room, over crashes.
#include <gtest/gtest.h>

#include <set>

#include "kernel/base/random.h"
#include "modules/fintech/test/fix_world.h"

namespace heptane::fintech::market {
namespace {

using exchange::Candle;
using exchange::CandleWidth;
using exchange::Depth;
using fixgate::test::FixWorld;
using fixgate::test::kSecond;

constexpr int64_t kTurnNs = kConflateNs;
const std::string kSymbol = "BTC/USD";

// Rebuilds what it watches out of what it is told, and says when that does not fit.
class Reader final : public Watcher {
 public:
  bool has_room() override { return room; }
  void on_snapshot(WatchId watch, const Quote& quote, const Depth& depth) override {
    EXPECT_TRUE(room);
    books[watch] = depth;
    last_quote = quote;
    ++snapshots;
  }
  void on_changes(WatchId watch, const Quote& quote, uint64_t from, const Depth& depth,
                  const std::vector<exchange::LevelChange>& changes) override {
    EXPECT_TRUE(room);
    Depth& mine = books.at(watch);
    EXPECT_EQ(mine.sequence, from) << "a gap";
    EXPECT_TRUE(exchange::apply_changes(changes, mine));
    mine.sequence = depth.sequence;
    EXPECT_EQ(mine.bids, depth.bids);
    EXPECT_EQ(mine.asks, depth.asks);
    last_quote = quote;
    ++increments;
  }
  void on_trades_from(WatchId, Offset next) override { trades_from = next; }
  void on_trade(WatchId watch, const Trade& trade) override {
    EXPECT_TRUE(room);
    std::vector<Trade>& of_watch = trades_of[watch];
    EXPECT_TRUE(of_watch.empty() || of_watch.back().offset < trade.offset) << "twice, or out of order";
    of_watch.push_back(trade);
    trades.push_back(trade);
  }
  void on_candle(WatchId watch, const Quote&, const Candle& candle, bool closed) override {
    EXPECT_TRUE(room);
    auto& mine = candles[watch];
    EXPECT_TRUE(is_put_right || !closed_ones.contains({watch, candle.start})) << "told after its end";
    mine[candle.start] = candle;
    if (closed) closed_ones.insert({watch, candle.start});
  }
  void on_ended(WatchId watch, const Error& why) override { ended.emplace(watch, why.code); }
  void on_read(size_t bytes) override {
    read_bytes += bytes;
    ++reads;
    room = room && !owes_for_reads;
  }

  bool room = true;
  bool is_put_right = false;
  bool owes_for_reads = false;
  std::map<WatchId, Depth> books;
  Quote last_quote;
  std::vector<Trade> trades;
  std::map<WatchId, std::vector<Trade>> trades_of;
  Offset trades_from = -1;
  std::map<WatchId, std::map<LogTime, Candle>> candles;
  std::set<std::pair<WatchId, LogTime>> closed_ones;
  std::map<WatchId, Errc> ended;
  size_t read_bytes = 0;
  size_t reads = 0;
  size_t snapshots = 0;
  size_t increments = 0;
};

class Feed : public testing::Test {
 protected:
  Feed() { world_.open_market(); }

  Depth shown(uint32_t levels) {
    const auto row = world_.rig.query<exchange::DepthRow>(exchange::kQueryDepth, exchange::DepthQuery{kSymbol, levels});
    return {row->sequence, row->bids, row->asks};
  }
  void expect_same(const Depth& mine, uint32_t levels) {
    const Depth book = shown(levels);
    EXPECT_EQ(mine.bids, book.bids);
    EXPECT_EQ(mine.asks, book.asks);
    EXPECT_LE(mine.sequence, book.sequence);
  }
  // Orders of every kind: they rest, trade, show a part, change, end.
  void act() {
    const bool buys = random_.below(2) == 0;
    const std::string price = std::to_string(90 + random_.below(20)) + ".00";
    const std::string quantity = std::to_string(1 + random_.below(9)) + "." + std::to_string(random_.below(10));
    const uint64_t what = random_.below(10);
    if (what < 3 && !open_.empty()) {
      const auto [firm, id] = open_[random_.below(open_.size())];
      if (what == 0)
        (void)world_.rig.ask(exchange::kReplaceOrder, world_.rig.change(firm, id, quantity, price));
      else
        (void)world_.rig.cancel(firm, id);
      return;
    }
    exchange::NewOrder order = buys ? world_.rig.buy(quantity, price) : world_.rig.sell(quantity, price);
    if (what == 3) order.display = exchange::test::said("0.5");
    if (what == 4) order.tif = book::TimeInForce::ioc;
    if (const uint64_t id = world_.rig.enter(order); id != 0) open_.emplace_back(order.firm, id);
  }
  void pass(int64_t ns) { world_.pass(ns); }
  void trade(const char* price = "100.0") {
    world_.rig.enter(world_.rig.sell("1", price));
    world_.rig.enter(world_.rig.buy("1", price));
  }

  FixWorld world_;
  SeededRandom random_{7};
  std::vector<std::pair<std::string, uint64_t>> open_;
};

TEST_F(Feed, ASnapshotAndThenWhatChangesOfTheBestLevels) {
  for (const char* price : {"100.0", "99.0", "98.0"}) world_.rig.enter(world_.rig.buy("1", price));
  Reader reader;
  const WatchId two = world_.feed->watch_book(reader, kSymbol, 2);
  const WatchId all = world_.feed->watch_book(reader, kSymbol, 1'000);
  pass(kTurnNs);
  ASSERT_EQ(reader.snapshots, 2U);
  EXPECT_EQ(reader.books[two].bids.size(), 2U);
  EXPECT_EQ(reader.books[all].bids.size(), 3U);
  world_.rig.enter(world_.rig.buy("1", "97.0"));
  pass(kTurnNs);
  EXPECT_EQ(reader.increments, 1U) << "the best two are what they were";
  // What was third comes into view when the first is gone.
  world_.rig.enter(world_.rig.sell("1", "100.0"));
  pass(kTurnNs);
  EXPECT_EQ(reader.books[two].bids.back().price, 9'800);
  expect_same(reader.books[two], 2);
  expect_same(reader.books[all], 1'000);
  world_.feed->unwatch(two);
  world_.feed->unwatch(all);
  EXPECT_EQ(world_.feed->watches(reader), 0U);
}

TEST_F(Feed, HiddenQuantityIsNotShown) {
  exchange::NewOrder iceberg = world_.rig.sell("10", "100.0");
  iceberg.display = exchange::test::said("1");
  world_.rig.enter(iceberg);
  Reader reader;
  const WatchId id = world_.feed->watch_book(reader, kSymbol, 10);
  pass(kTurnNs);
  ASSERT_EQ(reader.books[id].asks.size(), 1U);
  EXPECT_EQ(reader.books[id].asks[0].quantity, 1'000U);
}

TEST_F(Feed, NothingIsAskedWhileNothingHappens) {
  world_.rig.enter(world_.rig.buy("1", "100.0"));
  Reader reader;
  world_.feed->watch_book(reader, kSymbol, 10);
  pass(kSecond);
  EXPECT_FALSE(world_.advance(world_.rig.now + 60 * kSecond)) << "a timer runs for nothing";
}

TEST_F(Feed, AnInstrumentThatThereIsNotEndsTheWatch) {
  Reader reader;
  const WatchId book = world_.feed->watch_book(reader, "NO/SUCH", 10);
  const WatchId trades = world_.feed->watch_trades(reader, "NO/SUCH");
  const WatchId candles = world_.feed->watch_candles(reader, "NO/SUCH", CandleWidth::minute);
  pass(kTurnNs);
  EXPECT_EQ(reader.ended,
            (std::map<WatchId, Errc>{{book, Errc::not_found}, {trades, Errc::not_found}, {candles, Errc::not_found}}));
  EXPECT_EQ(world_.feed->watches(reader), 0U);
}

TEST_F(Feed, TradesBeforeTheFirstOneThereIsAreAllTold) {
  Reader reader;
  world_.feed->watch_trades(reader, kSymbol);
  pass(kSecond);
  EXPECT_EQ(reader.trades_from, 0) << "the stream begins with its first record";
  world_.rig.enter(world_.rig.sell("1", "100.0"));
  world_.rig.enter(world_.rig.buy("1", "100.0"));
  pass(kSecond);
  ASSERT_EQ(reader.trades.size(), 1U);
  EXPECT_EQ(reader.trades[0].price, "100.00");
}

TEST_F(Feed, PhasesAreTold) {
  Reader reader;
  world_.feed->watch_book(reader, kSymbol, 10);
  pass(kTurnNs);
  EXPECT_EQ(reader.last_quote.phase, book::Phase::continuous);
  ASSERT_TRUE(world_.rig.ask(exchange::kSetPhase, exchange::PhaseChange{kSymbol, book::Phase::halted, false}).ok());
  pass(kSecond);
  EXPECT_EQ(reader.last_quote.phase, book::Phase::halted);
}

TEST_F(Feed, ACandleGrowsAndIsClosedWhenItsTimeIsOver) {
  Reader reader;
  const WatchId id = world_.feed->watch_candles(reader, kSymbol, CandleWidth::minute);
  const LogTime minute = world_.rig.now - world_.rig.now % (60 * kSecond);
  for (const char* price : {"100.0", "103.0", "99.0"}) {
    world_.rig.enter(world_.rig.sell("1", price));
    world_.rig.enter(world_.rig.buy("1", price));
    pass(kSecond);
  }
  ASSERT_EQ(reader.candles[id].size(), 1U);
  const Candle& candle = reader.candles[id].begin()->second;
  EXPECT_EQ(candle.start, minute);
  EXPECT_EQ((std::vector{candle.open, candle.high, candle.low, candle.close}),
            (std::vector<int64_t>{10'000, 10'300, 9'900, 9'900}));
  EXPECT_EQ(candle.trades, 3U);
  EXPECT_TRUE(candle.volume == 3'000 && candle.notional == 30'200);
  EXPECT_TRUE(reader.closed_ones.empty());
  pass(60 * kSecond);
  EXPECT_TRUE(reader.closed_ones.contains({id, minute})) << "though nothing is traded any more";
}

// What it is told is asked for while a read of what comes later is under way.
TEST_F(Feed, AWatchThatBeginsEarlierThanAReadOnItsWayMissesNothing) {
  for (int n = 0; n < 40; ++n) trade();
  Reader live;
  Reader reader;
  world_.feed->watch_trades(live, kSymbol);
  pass(kSecond);
  const WatchId late = world_.feed->watch_trades(reader, kSymbol, 30);
  world_.let_ask();
  ASSERT_GT(world_.reads_asked(), 0U);
  const WatchId early = world_.feed->watch_trades(reader, kSymbol, 0);
  pass(kSecond);
  EXPECT_EQ(reader.trades_of[late].size(), 10U);
  EXPECT_EQ(reader.trades_of[early].size(), 40U);
}

TEST_F(Feed, FewReadsOfThoseWhoAreBehindAreUnderWayAndEachPaysForHis) {
  for (int n = 0; n < 40; ++n) trade();
  Reader live;
  world_.feed->watch_trades(live, kSymbol);
  pass(kSecond);
  std::vector<std::unique_ptr<Reader>> readers;
  for (int n = 0; n < 10; ++n) {
    readers.push_back(std::make_unique<Reader>());
    world_.feed->watch_trades(*readers.back(), kSymbol, 0);
  }
  world_.let_ask();
  EXPECT_EQ(world_.reads_asked(), TradeTape::kLateReadsMax);
  pass(kSecond);
  for (const auto& reader : readers) {
    EXPECT_EQ(reader->trades.size(), 40U);
    EXPECT_GT(reader->read_bytes, 0U);
  }
  EXPECT_EQ(live.read_bytes, 0U);
}

// Also where nothing of what was read is his.
TEST_F(Feed, WhoOwesForAReadWaitsUntilItIsPaidAndGoesOn) {
  exchange::InstrumentSpec rare = exchange::test::bitcoin();
  rare.instrument.symbol = "RARE/USD";
  ASSERT_TRUE(world_.rig.ask(exchange::kPutInstrument, rare).ok());
  for (int n = 0; n < 40; ++n) trade();
  Reader live;
  world_.feed->watch_trades(live, kSymbol);
  pass(kSecond);
  Reader some;
  Reader none;
  some.owes_for_reads = none.owes_for_reads = true;
  world_.feed->watch_trades(some, kSymbol, 0);
  world_.feed->watch_trades(none, "RARE/USD", 0);
  for (size_t n = 1; n <= 6; ++n) {
    pass(kSecond);
    EXPECT_EQ(some.reads, n);
    EXPECT_EQ(none.reads, n);
    for (Reader* reader : {&some, &none}) {
      reader->room = true;
      world_.feed->resumed(*reader);
    }
  }
  EXPECT_EQ(some.trades.size(), 40U);
  EXPECT_TRUE(none.trades.empty());
}

TEST_F(Feed, WhatCannotBeReadEndsTheWatchesThatNeedIt) {
  for (int n = 0; n < 40; ++n) trade();
  Reader live;
  Reader reader;
  const WatchId other = world_.feed->watch_trades(live, kSymbol);
  pass(kSecond);
  world_.unreadable = {0};
  const WatchId early = world_.feed->watch_trades(reader, kSymbol, 0);
  const WatchId late = world_.feed->watch_trades(reader, kSymbol, 35);
  pass(kSecond);
  EXPECT_EQ(reader.ended, (std::map<WatchId, Errc>{{early, Errc::io}}));
  EXPECT_EQ(reader.trades_of[late].size(), 5U);
  EXPECT_FALSE(world_.advance(world_.rig.now + 60 * kSecond)) << "it is tried for ever";
  world_.unreadable = {40};
  trade();
  pass(kSecond);
  EXPECT_TRUE(live.ended.contains(other) && reader.ended.contains(late));
}

// The question that was on its way when there was room again does not ask for what was missed.
TEST_F(Feed, ASlowReaderIsToldTheEndOfTheCandleThatHeKnows) {
  Reader reader;
  const WatchId id = world_.feed->watch_candles(reader, kSymbol, CandleWidth::second);
  trade();
  pass(2 * kTurnNs);
  ASSERT_EQ(reader.candles[id].size(), 1U);
  reader.room = false;
  for (int n = 0; n < 3; ++n) {
    pass(kSecond);
    trade();
    pass(2 * kTurnNs);
  }
  trade();
  world_.let_ask();
  reader.room = true;
  world_.feed->resumed(reader);
  pass(2 * kSecond);
  EXPECT_EQ(reader.candles[id].size(), 4U);
  EXPECT_EQ(reader.closed_ones.size(), 4U);
}

TEST_F(Feed, ACandleIsClosedInAQuietMarketThoughTheClockWasLate) {
  Reader reader;
  world_.feed->watch_candles(reader, kSymbol, CandleWidth::minute);
  trade();
  pass(kSecond);
  world_.utc_late_ns = 5 * kSecond;
  pass(60 * kSecond);
  EXPECT_FALSE(reader.closed_ones.empty());
}

TEST_F(Feed, ATradeDateThatIsOverIsToldThoughNothingHappens) {
  Reader reader;
  const WatchId id = world_.feed->watch_candles(reader, kSymbol, CandleWidth::day);
  world_.feed->watch_book(reader, kSymbol, 1, true);
  trade();
  pass(kSecond);
  ASSERT_EQ(reader.last_quote.days.size(), 1U);
  EXPECT_EQ(reader.last_quote.days[0].start, reader.last_quote.day);
  pass(2 * 3'600 * kSecond);  // past midnight UTC
  EXPECT_LT(reader.last_quote.days[0].start, reader.last_quote.day);
  EXPECT_TRUE(reader.closed_ones.contains({id, reader.last_quote.days[0].start}));
}

TEST_F(Feed, WhatIsPutRightIsTold) {
  Reader reader;
  reader.is_put_right = true;
  const WatchId id = world_.feed->watch_candles(reader, kSymbol, CandleWidth::minute);
  world_.feed->watch_trades(reader, kSymbol, 0);
  trade();
  trade();
  pass(kSecond);
  const auto put_right = [&](uint64_t number, std::optional<exchange::AgreedTrade> agreed) {
    EXPECT_TRUE(world_.rig.ask(exchange::kBustTrade, exchange::BustTrade{number, "reason", agreed}).ok());
    pass(kSecond);
  };
  put_right(1, std::nullopt);
  put_right(2, exchange::AgreedTrade{exchange::test::said("90"), exchange::test::said("0.5")});
  ASSERT_EQ(reader.trades.size(), 4U);
  EXPECT_EQ(reader.trades[2].event, TradeEvent::busted);
  EXPECT_EQ(reader.trades[2].trade_id, "1");
  EXPECT_EQ(reader.trades[3].event, TradeEvent::corrected);
  EXPECT_EQ(reader.trades[3].trade_id + reader.trades[3].corrects, "32");
  EXPECT_EQ(reader.trades[3].price, "90.00");
  const Candle& candle = reader.candles[id].begin()->second;
  EXPECT_TRUE(candle.trades == 1 && candle.volume == 500 && candle.notional == 4'500);
}

TEST_F(Feed, AFeedThatIsOpenedAnewGoesOn) {
  Reader reader;
  const WatchId book = world_.feed->watch_book(reader, kSymbol, 10);
  world_.feed->watch_trades(reader, kSymbol);
  const WatchId candles = world_.feed->watch_candles(reader, kSymbol, CandleWidth::second);
  trade();
  pass(kSecond);
  trade();
  world_.let_ask();
  world_.reopen_feed();
  pass(kSecond);
  world_.rig.enter(world_.rig.buy("1", "90"));
  trade();
  pass(2 * kSecond);
  expect_same(reader.books[book], 10);
  EXPECT_EQ(reader.trades.size(), 3U);
  EXPECT_EQ(reader.closed_ones.size(), reader.candles[candles].size());
}

// A log of a program from before market data: who watches is told so at once.
TEST(OldLogs, WatchesAreRefused) {
  FixWorld world;
  EXPECT_TRUE(world.rig.ask(exchange::kPutFirm, exchange::FirmSpec{"alpha"}).ok());
  world.put(FixWorld::spec("MARKET", "alpha", exchange::FixRole::market_data));
  world.rig.kernel.versions[exchange::kExchangeMachineId] = exchange::kMarketVersion - 1;
  world.rig.asset({exchange::test::kBtc, 8, "BTC"});
  world.rig.asset({exchange::test::kUsd, 2, "USD"});
  EXPECT_TRUE(world.rig.ask(exchange::kPutInstrument, exchange::test::bitcoin()).ok());
  Reader reader;
  const WatchId book = world.feed->watch_book(reader, kSymbol, 10);
  const WatchId trades = world.feed->watch_trades(reader, kSymbol);
  const WatchId candles = world.feed->watch_candles(reader, kSymbol, CandleWidth::minute);
  world.pass(kTurnNs);
  EXPECT_EQ(reader.ended, (std::map<WatchId, Errc>{
                              {book, Errc::unsupported}, {trades, Errc::unsupported}, {candles, Errc::unsupported}}));
  fixgate::test::Line& line = world.connect();
  line.send(fixgate::test::message_of("35=A|34=1|98=0|108=30|141=Y|", "MARKET", world.rig.now));
  line.send(fixgate::test::message_of("35=V|34=2|262=m|263=1|264=0|265=1|267=1|269=0|146=1|55=BTC/USD|", "MARKET",
                                      world.rig.now));
  world.run();
  EXPECT_NE(line.out().find("\x01"
                            "35=Y\x01"),
            std::string::npos)
      << line.out();
  EXPECT_NE(line.out().find("upgrade activate exchange"), std::string::npos);
}

// Any snapshot and what follows it make the book, whoever had no room when, and over crashes; every trade comes once.
TEST_F(Feed, WhatWasToldIsWhatThereIs) {
  constexpr std::array<uint32_t, 3> kLevels = {1, 5, 1'000};
  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<std::vector<WatchId>> watched;
  const auto watch = [&](Reader& reader, std::optional<Offset> from) {
    std::vector<WatchId> ids;
    for (const uint32_t levels : kLevels) ids.push_back(world_.feed->watch_book(reader, kSymbol, levels));
    ids.push_back(world_.feed->watch_candles(reader, kSymbol, CandleWidth::second));
    world_.feed->watch_trades(reader, kSymbol, from);
    return ids;
  };
  for (int n = 0; n < 4; ++n) {
    readers.push_back(std::make_unique<Reader>());
    watched.push_back(watch(*readers.back(), 0));
  }
  for (int step = 0; step < 6'000; ++step) {
    act();
    if (random_.below(4) == 0) world_.run_some(random_.below(4));
    if (random_.below(3) == 0) world_.advance(world_.rig.now + static_cast<int64_t>(random_.below(30)) * 1'000'000);
    Reader& any = *readers[1 + random_.below(readers.size() - 1)];  // the first one always has room
    if (random_.below(8) == 0) {
      any.room = !any.room;
      if (any.room) world_.feed->resumed(any);
    }
    if (random_.below(1'500) != 0) continue;
    world_.crash();
    for (size_t n = 0; n < readers.size(); ++n) {
      Reader& reader = *readers[n];
      reader.books.clear();
      reader.candles.clear();
      reader.closed_ones.clear();
      watched[n] = watch(reader, reader.trades.empty() ? 0 : reader.trades.back().offset + 1);
    }
  }
  for (const auto& reader : readers) {
    if (!std::exchange(reader->room, true)) world_.feed->resumed(*reader);
  }
  pass(2 * kSecond);
  const std::vector<std::string>& told = world_.rig.told[exchange::kTradesView.number];
  ASSERT_GT(told.size(), 500U);
  for (size_t n = 0; n < readers.size(); ++n) {
    for (size_t k = 0; k < kLevels.size(); ++k) expect_same(readers[n]->books.at(watched[n][k]), kLevels[k]);
    ASSERT_EQ(readers[n]->trades.size(), told.size());
    for (size_t k = 0; k < told.size(); ++k)
      EXPECT_EQ(readers[n]->trades[k].trade_id, trade_of(0, 0, told[k])->trade_id);
    const auto& candles = readers[n]->candles.at(watched[n].back());
    for (const auto& [start, candle] : candles)
      EXPECT_TRUE(readers[n]->closed_ones.contains({watched[n].back(), start})) << start;
  }
  EXPECT_GT(readers[0]->increments, 1'000U);
  EXPECT_GT(readers[1]->snapshots, readers[0]->snapshots) << "who had no room has the whole anew";
}

}  // namespace
}  // namespace heptane::fintech::market
