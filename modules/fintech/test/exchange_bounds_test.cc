// The exchange at its limits: days that end, reference data that changes, work in pieces with others' commands in between.
#include <gtest/gtest.h>

#include <limits>

#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using book::Phase;
using book::TimeInForce;
using test::bitcoin;
using test::ExchangeRig;
using test::fix;
using test::kSecond;
using test::kUsd;
using test::mentions;
using test::said;

// A page may begin anywhere that somebody says.
TEST(ExchangeBounds, PagesOfOrdersBeginAnywhere) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  ASSERT_NE(rig.enter(rig.buy("1", "90")), 0U);
  const auto rows_behind = [&](uint64_t account, uint64_t order) {
    Reply reply;
    rig.exchange.query({kQueryOrders, packed(OrdersQuery{"alpha", "", account, order}).view(), {}}, reply);
    return reply.numbers[0];
  };
  EXPECT_EQ(rows_behind(0, 0), 1);
  EXPECT_EQ(rows_behind(0, UINT64_MAX), 1);
  EXPECT_EQ(rows_behind(1, UINT64_MAX), 0);
  EXPECT_EQ(rows_behind(UINT32_MAX, UINT64_MAX), 0);
}

// What its orders post is the ledger's to keep, and counts against the budget of both.
TEST(ExchangeBounds, IsFullWhenTheLedgerIs) {
  ExchangeRig rig;
  rig.open_market();
  EXPECT_GE(rig.exchange.memory_bytes(), rig.ledger.memory_bytes());
  EXPECT_GE(rig.exchange.memory_bytes(), rig.exchange.own_memory_bytes());
  EXPECT_FALSE(rig.exchange.relieves(kNewOrder));
  EXPECT_TRUE(rig.exchange.relieves(kCancelOrder));
  EXPECT_TRUE(rig.exchange.relieves(kSetPhase));
}

// The day is full for one firm, not for the other; the next day begins without ClOrdIDs of the last one, although nothing came.
TEST(ExchangeBounds, ClOrdIdsOfADayAreCountedAndForgottenByATimer) {
  ExchangeRig rig(3);
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "10", "0");
  const uint64_t before = rig.exchange.own_memory_bytes();
  const uint64_t id = rig.enter(rig.buy("1", "90"));
  ASSERT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "1", "91")).ok());
  ASSERT_NE(rig.enter(rig.buy("1", "90")), 0U);
  EXPECT_EQ(rig.enter(rig.buy("1", "90")), 0U);
  EXPECT_EQ(rig.last.message, "firm alpha has used 3 ClOrdIDs today, its limit is 3");
  EXPECT_EQ(rig.last.detail, fix(Rejected::exceeds_limit));
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", id, "1", "92")).detail, fix(Rejected::exceeds_limit));
  EXPECT_NE(rig.enter(rig.sell("1", "200")), 0U) << "the other firm's";
  rig.restore();
  EXPECT_EQ(rig.exchange.orders().used(1, utc_day(rig.now)), 3U);
  ASSERT_TRUE(rig.ask(kMassCancel, MassCancelOrders{"alpha", "", "", std::nullopt}).ok());
  ASSERT_TRUE(rig.ask(kMassCancel, MassCancelOrders{"beta", "", "", std::nullopt}).ok());
  const uint64_t of_ended = 3 * 480;  // orders that ended are kept
  rig.now = end_of_day(rig.now);
  rig.fire();
  EXPECT_EQ(rig.exchange.orders().forgets_at(), 0);
  EXPECT_LE(rig.exchange.own_memory_bytes(), before + of_ended + 8 * 256) << "of the day's ClOrdIDs nothing is left";
  EXPECT_NE(rig.enter(rig.buy("1", "90")), 0U);
}

// As many as an entry forgets and some: the machine goes on by itself until all are gone.
TEST(ExchangeBounds, ManyClOrdIdsAreForgottenInPieces) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  for (size_t n = 0; n < 2 * kForgets + 10; ++n) {
    NewOrder order = rig.buy("0.1", "100");
    order.tif = TimeInForce::ioc;
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(order)).ok());
  }
  rig.now = end_of_day(rig.now);
  size_t entries = 0;
  while (rig.fire_one()) ++entries;
  EXPECT_EQ(entries, 3U);
  EXPECT_EQ(rig.exchange.orders().forgets_at(), 0);
}

// A book whose work goes on has an order whose time is over: it is looked at when that is done.
TEST(ExchangeBounds, WhatIsOverdueWaitsWithoutTakingTurns) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "100000");
  rig.fund("beta", "1000", "0");
  NewOrder gtd = rig.buy("1", "50");
  gtd.tif = TimeInForce::gtd;
  gtd.expires_at = rig.now + 1;
  const uint64_t overdue = rig.enter(gtd);
  ASSERT_NE(overdue, 0U);
  for (int n = 0; n < 3'000; ++n) ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(rig.sell("0.1", "100"))).ok());
  ASSERT_NE(rig.enter(rig.buy("300", "100")), 0U) << rig.last.message;
  rig.now += 1;
  std::map<CommandType, int> fired;
  for (LogTime due = 0; rig.kernel.first_due(due) != 0 && due <= rig.now;) {
    ++fired[rig.kernel.timers.at(rig.kernel.first_due(due)).type];
    ASSERT_TRUE(rig.fire_one());
  }
  EXPECT_EQ(rig.exchange.trades_total(), 3'000U);
  EXPECT_EQ(rig.find(overdue)->status, OrderStatus::expired);
  EXPECT_GT(fired[kProceed], 5);
  EXPECT_LE(fired[kExpire], 2);
}

TEST(ExchangeBounds, ASwitchAndLimitsNameWhatTheyAreOfAndNothingElse) {
  ExchangeRig rig;
  rig.open_market();
  const std::string much(65'535, 'x');
  for (const SwitchChange& change : {SwitchChange{Whose::everybody, much, "", "", false, "r"},
                                     SwitchChange{Whose::firm, "alpha", much, "", false, "r"},
                                     SwitchChange{Whose::firm, "alpha", "", much, false, "r"},
                                     SwitchChange{Whose::account, "alpha", "main", much, false, "r"},
                                     SwitchChange{Whose::instrument, much, "", "BTC/USD", false, "r"}})
    EXPECT_EQ(rig.ask(kSwitch, change).error, Errc::invalid_argument);
  EXPECT_EQ(rig.ask(kPutLimits, LimitsSpec{Whose::firm, "alpha", much, "BTC/USD", {}}).error, Errc::invalid_argument);
  EXPECT_TRUE(rig.told[kRiskView.number].empty());
}

// The maker rests with a rebate; then fees are lowered to nothing: what the taker does not pay nobody gets.
TEST(ExchangeBounds, ARebateIsNotPaidOutOfNothingAfterFeesChange) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  rig.fund("beta", "5", "0");
  ASSERT_NE(rig.enter(rig.buy("2", "100")), 0U);
  InstrumentSpec spec = bitcoin();
  spec.fees = {{.maker_ppm = 0, .taker_ppm = 0, .minimum = 0}};
  ASSERT_TRUE(rig.ask(kPutInstrument, spec).ok());
  ASSERT_NE(rig.enter(rig.sell("1", "100")), 0U);
  EXPECT_EQ(rig.available("beta", kUsd), "100.00");
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.00");
  spec.fees = {{.maker_ppm = -100, .taker_ppm = 100, .minimum = 0}};
  ASSERT_TRUE(rig.ask(kPutInstrument, spec).ok());
  ASSERT_NE(rig.enter(rig.sell("1", "100")), 0U);
  EXPECT_EQ(rig.available("beta", kUsd), "199.99");
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.00") << "a rebate of 500 ppm is paid as the taker's 100";
}

TEST(ExchangeBounds, AReplaceIsJudgedByItsNotionalWhenThatGrows) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "100000");
  LimitsSpec spec{Whose::account, "alpha", "main", "BTC/USD", {}};
  spec.limits.order_notional_max = 20'000;
  ASSERT_TRUE(rig.ask(kPutLimits, spec).ok());
  const uint64_t id = rig.enter(rig.buy("2", "100"));
  ASSERT_NE(id, 0U);
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", id, "2", "1000")).message,
            "an order's notional of account main would be 2000.00, its limit is 200.00");
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", id, "1", "1000")).error, Errc::refused);
  spec.limits.order_notional_max = 10'000;
  ASSERT_TRUE(rig.ask(kPutLimits, spec).ok());
  EXPECT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "2", "90")).ok()) << "less of it, above the limit";
}

// A trade at 100.10, then the tick is 1.00: a call that could be at the reference is on the new tick.
TEST(ExchangeBounds, ACallIsOnTheTickThatTheInstrumentHasNow) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "10", "0");
  ASSERT_NE(rig.enter(rig.sell("1", "100.10")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "100.10")), 0U);
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::closed, false}).ok());
  InstrumentSpec spec = bitcoin();
  spec.instrument.steps = {{0, 100}};
  spec.instrument.price_min = 100;
  ASSERT_TRUE(rig.ask(kPutInstrument, spec).ok());
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::opening_call, false}).ok());
  const uint64_t buy = rig.enter(rig.buy("1", "105"));
  ASSERT_NE(rig.enter(rig.sell("1", "95")), 0U);
  EXPECT_EQ(rig.query<DepthRow>(kQueryDepth, DepthQuery{"BTC/USD", 5})->call_price, 10'000);
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, true}).ok());
  rig.fire();
  EXPECT_EQ(rig.find(buy)->traded, Int128{10'000} * 1'000);
}

// The search of the call's price goes on for some entries; the halt comes in between, and the price is outside the band.
TEST(ExchangeBounds, AHaltThatWasAcknowledgedStaysWhenTheCallIsOutsideItsBand) {
  ExchangeRig rig;
  InstrumentSpec spec = bitcoin();
  spec.reference = 10'000;
  rig.open_market(spec, Phase::opening_call);
  rig.fund("alpha", "0", "1000000");
  rig.fund("beta", "1000", "0");
  for (int64_t n = 0; n < 1'500; ++n) {
    NewOrder buy = rig.buy("0.1", "0");
    buy.price = {60'000 + 10 * n, 2};
    NewOrder sell = rig.sell("0.1", "0");
    sell.price = {50'000 - 10 * n, 2};
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(buy)).ok());
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(sell)).ok());
  }
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, true}).ok());
  ASSERT_FALSE(mentions(rig.told[kMarketView.number], "call_extended")) << "the search is over already";
  ASSERT_EQ(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::halted, false}).numbers[0], 1);
  rig.restore();
  rig.fire();
  EXPECT_EQ(rig.exchange.directory().listing("BTC/USD")->book.phase(), Phase::halted);
  EXPECT_TRUE(mentions(rig.told[kMarketView.number], "outside_band"));
  EXPECT_EQ(rig.exchange.trades_total(), 0U);
}

TEST(ExchangeBounds, AReplaceWithoutDisplayShowsNoMoreThanBefore) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  NewOrder iceberg = rig.buy("10", "100");
  iceberg.display = said("1");
  const uint64_t id = rig.enter(iceberg);
  const auto shown = [&] { return rig.query<DepthRow>(kQueryDepth, DepthQuery{"BTC/USD", 5})->bids.at(0).quantity; };
  ASSERT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "9", "99")).ok());
  EXPECT_EQ(shown(), 1'000U);
  ReplaceOrder more = rig.change("alpha", id, "9", "");
  more.display = said("2");
  ASSERT_TRUE(rig.ask(kReplaceOrder, more).ok());
  EXPECT_EQ(shown(), 2'000U);
  ASSERT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "1.5", "")).ok()) << "what was shown is more than all";
  EXPECT_EQ(shown(), 1'500U);
  EXPECT_EQ(rig.find(id)->display, 0U);
  more = rig.change("alpha", id, "5", "");
  more.display = said("0");
  ASSERT_TRUE(rig.ask(kReplaceOrder, more).ok());
  EXPECT_EQ(shown(), 5'000U);
}

// 600 orders are overdue, an entry ends 500: the rest of them meets nobody.
TEST(ExchangeBounds, NoOrderMeetsOneWhoseTimeIsOver) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000000");
  rig.fund("beta", "100", "0");
  for (size_t n = 0; n < kSweepEnds + 100; ++n) {
    NewOrder day = rig.buy("0.1", "100");
    day.tif = TimeInForce::day;
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(day)).ok());
  }
  const uint64_t lasting = rig.enter(rig.buy("0.1", "50"));
  rig.now = end_of_day(rig.now);
  ASSERT_TRUE(rig.fire_one());
  ASSERT_EQ(rig.exchange.orders().open(), 101U);
  EXPECT_EQ(rig.enter(rig.sell("0.1", "100")), 0U);
  EXPECT_EQ(rig.last.error, Errc::overloaded);
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", lasting, "0.1", "51")).error, Errc::overloaded);
  rig.restore();
  EXPECT_EQ(rig.enter(rig.sell("0.1", "100")), 0U);
  rig.fire();
  EXPECT_NE(rig.enter(rig.sell("0.1", "100")), 0U) << rig.last.message;
  EXPECT_EQ(rig.exchange.trades_total(), 0U);
}

// Two instruments, the first one frozen by a sweep through 600 orders: the other's overdue and mass-cancelled orders do not wait.
TEST(ExchangeBounds, AFrozenBookHoldsUpNoOthersExpiryAndMassCancel) {
  ExchangeRig rig;
  rig.open_market();
  InstrumentSpec other = bitcoin();
  other.instrument.symbol = "BTC/USD.2";
  ASSERT_TRUE(rig.ask(kPutInstrument, other).ok());
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD.2", Phase::continuous, false}).ok());
  rig.fund("alpha", "0", "1000000");
  rig.fund("beta", "100", "0");
  const LogTime over = rig.now + kSecond;
  const auto enter = [&](std::string_view symbol, TimeInForce tif) {
    NewOrder order = rig.buy("0.1", "50");
    order.symbol = symbol;
    order.tif = tif;
    if (tif == TimeInForce::gtd) order.expires_at = over;
    return rig.enter(order);
  };
  const uint64_t due_here = enter("BTC/USD", TimeInForce::gtd);
  const uint64_t due_there = enter("BTC/USD.2", TimeInForce::gtd);
  const uint64_t here = enter("BTC/USD", TimeInForce::gtc);
  const uint64_t there = enter("BTC/USD.2", TimeInForce::gtc);
  for (size_t n = 0; n < 600; ++n) ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(rig.sell("0.1", "100"))).ok());
  const uint64_t sweep = rig.enter(rig.buy("60", "100"));
  ASSERT_TRUE(rig.exchange.directory().listing("BTC/USD")->book.frozen());
  rig.now = over;
  ASSERT_TRUE(rig.ask(kExpire, uint8_t{0}).ok());
  EXPECT_EQ(rig.find(due_there)->status, OrderStatus::expired);
  EXPECT_EQ(rig.find(due_here)->status, OrderStatus::open);
  ASSERT_TRUE(rig.ask(kMassCancel, MassCancelOrders{"alpha", "", "", std::nullopt}).ok());
  EXPECT_EQ(rig.find(there)->status, OrderStatus::cancelled);
  EXPECT_EQ(rig.find(here)->status, OrderStatus::open);
  rig.restore();
  rig.fire();
  EXPECT_NE(rig.find(due_here)->status, OrderStatus::open) << "its time is over, and it was of the mass cancel";
  EXPECT_EQ(rig.find(here)->status, OrderStatus::cancelled);
  EXPECT_EQ(rig.find(sweep)->status, OrderStatus::filled);
}

// 1,300 orders of a firm whose kill switch is thrown: none of them trades any more, however long their ends take.
TEST(ExchangeBounds, WhatIsKilledMeetsNobody) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000000");
  rig.fund("beta", "100", "0");
  for (size_t n = 0; n < 1'300; ++n)
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(rig.buy("0.1", "100"))).ok());
  ASSERT_TRUE(rig.ask(kSwitch, SwitchChange{Whose::firm, "alpha", "", "", false, "runaway"}).ok());
  EXPECT_EQ(rig.enter(rig.sell("0.1", "100")), 0U);
  EXPECT_EQ(rig.last.error, Errc::overloaded);
  EXPECT_EQ(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::halted, false}).numbers[0], 0)
      << "a halt waits for nobody";
  rig.restore();
  rig.fire();
  EXPECT_EQ(rig.exchange.orders().open(), 0U);
  EXPECT_EQ(rig.exchange.trades_total(), 0U);
}

TEST(ExchangeBounds, BooksOfAllInstrumentsTogetherAreBounded) {
  ExchangeRig rig;
  rig.open_market();
  InstrumentSpec large = bitcoin();
  large.orders_max = kBookOrdersMax;
  const uint64_t before = rig.exchange.own_memory_bytes();
  for (const char* symbol : {"A", "B", "C"}) {
    large.instrument.symbol = symbol;
    ASSERT_TRUE(rig.ask(kPutInstrument, large).ok());
  }
  EXPECT_GT(rig.exchange.own_memory_bytes(), before + uint64_t{64} * kBookOrdersMax);
  large.instrument.symbol = "D";
  EXPECT_EQ(rig.ask(kPutInstrument, large).message,
            "orders_max of all instruments together would be 16781312, it is at most 16777216: lower it");
  large.orders_max -= 4'096;
  ASSERT_TRUE(rig.ask(kPutInstrument, large).ok());
  large.orders_max += 1;
  EXPECT_EQ(rig.ask(kPutInstrument, large).error, Errc::overloaded) << "no more of one that is there";
  large.orders_max = 1;
  ASSERT_TRUE(rig.ask(kPutInstrument, large).ok());
}

// The book has room for the order that comes beside orders_max.
TEST(ExchangeBounds, TheLargestQuantityIsTheBooks) {
  ExchangeRig rig;
  rig.open_market(bitcoin(), Phase::closed);
  InstrumentSpec spec = bitcoin();
  spec.instrument.symbol = "X";
  spec.orders_max = 1;
  spec.instrument.price_max = 10;
  spec.instrument.quantity_scale = 0, spec.instrument.price_scale = 2;
  spec.instrument.steps = {{0, 1}};
  spec.instrument.price_min = 1;
  spec.instrument.lot = 1, spec.instrument.quantity_min = 1;
  const auto most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / 2);
  spec.instrument.quantity_max = most + 1;
  EXPECT_EQ(rig.ask(kPutInstrument, spec).error, Errc::invalid_argument);
  spec.instrument.quantity_max = most;
  ASSERT_TRUE(rig.ask(kPutInstrument, spec).ok()) << rig.last.message;
  EXPECT_EQ(rig.exchange.directory().listing("X")->book.quantity_max(), most);
}

TEST(ExchangeBounds, AHaltIsLeftByACallAlone) {
  ExchangeRig rig;
  rig.open_market();
  const auto go = [&](Phase phase, bool uncross = false) {
    const bool done = rig.ask(kSetPhase, PhaseChange{"BTC/USD", phase, uncross}).ok();
    rig.fire();
    return done;
  };
  ASSERT_TRUE(go(Phase::halted));
  ASSERT_TRUE(go(Phase::closed));
  EXPECT_FALSE(go(Phase::continuous));
  rig.restore();
  EXPECT_FALSE(go(Phase::continuous));
  ASSERT_TRUE(go(Phase::auction_call));
  ASSERT_TRUE(go(Phase::continuous, true));
  EXPECT_EQ(rig.exchange.directory().listing("BTC/USD")->book.phase(), Phase::continuous);
  ASSERT_TRUE(go(Phase::closed));
  EXPECT_TRUE(go(Phase::continuous)) << "it was not halted since";
}

}  // namespace
}  // namespace heptane::fintech::exchange
