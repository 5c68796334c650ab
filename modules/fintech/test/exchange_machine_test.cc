// The exchange command by command: what is refused and why, holds, fills to the cent, ends, work in pieces.
#include <gtest/gtest.h>

#include "modules/fintech/domain/ledger/access.h"
#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using book::OrderType;
using book::Phase;
using book::Side;
using book::TimeInForce;
using test::bitcoin;
using test::ExchangeRig;
using test::fix;
using test::kBtc;
using test::kSecond;
using test::kUsd;
using test::mentions;
using test::said;

TEST(Exchange, ReferenceDataIsMadeOnceAndRefusedWithTheReason) {
  ExchangeRig rig;
  EXPECT_TRUE(rig.exchange.fresh());
  EXPECT_EQ(rig.ask(kPutInstrument, bitcoin()).message, "ledger 1 (base) has no asset: register it");
  rig.open_market(bitcoin(), Phase::closed);
  EXPECT_FALSE(rig.exchange.fresh());
  EXPECT_EQ(rig.ask(kPutFirm, FirmSpec{"alpha"}).error, Errc::exists);
  EXPECT_EQ(rig.ask(kPutFirm, FirmSpec{"al pha"}).error, Errc::invalid_argument);
  EXPECT_EQ(rig.ask(kPutAccount, AccountSpec{"gamma", "main", 0}).error, Errc::not_found);
  EXPECT_EQ(rig.ask(kPutAccount, AccountSpec{"alpha", "main", 0}).error, Errc::exists);
  InstrumentSpec spec = bitcoin();
  spec.instrument.lot = 150;
  EXPECT_EQ(rig.ask(kPutInstrument, spec).error, Errc::invalid_argument);
  spec = bitcoin();
  spec.fees = {{.maker_ppm = -500, .taker_ppm = 100, .minimum = 0}};
  EXPECT_NE(rig.ask(kPutInstrument, spec).message.find("the house would pay"), std::string::npos);
  spec = bitcoin();
  spec.instrument.settlement = Settlement::net;
  EXPECT_EQ(rig.ask(kPutInstrument, spec).error, Errc::unsupported);
  spec = bitcoin();
  spec.orders_max = 0;
  EXPECT_EQ(rig.ask(kPutInstrument, spec).error, Errc::invalid_argument);
  spec = bitcoin();
  spec.instrument.lot = 200;
  spec.instrument.quantity_min = 200;
  EXPECT_EQ(rig.ask(kPutInstrument, spec).numbers[1], 0);
  rig.restore();
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.instrument BTC/USD"));
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.account beta/main"));
}

TEST(Exchange, WhatIsOfAnInstrumentsKindChangesClosedAndEmpty) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  InstrumentSpec spec = bitcoin();
  spec.instrument.lot = 200;
  spec.instrument.quantity_min = 200;
  EXPECT_EQ(rig.ask(kPutInstrument, spec).error, Errc::refused);
  const uint64_t id = rig.enter(rig.buy("1", "100"));
  ASSERT_NE(id, 0U);
  EXPECT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::closed, false}).ok());
  EXPECT_EQ(rig.ask(kPutInstrument, spec).error, Errc::refused);
  InstrumentSpec fees = bitcoin();
  fees.fees = {{.maker_ppm = 0, .taker_ppm = 9'000, .minimum = 0}};
  EXPECT_TRUE(rig.ask(kPutInstrument, fees).ok());
  EXPECT_EQ(rig.find(id)->funds.rates.taker_ppm, 2'000) << "rates are those of an order's acceptance";
  EXPECT_TRUE(rig.cancel("alpha", id).ok());
  EXPECT_TRUE(rig.ask(kPutInstrument, spec).ok());
  spec.instrument.price_scale = 3;
  spec.instrument.steps = {{0, 100}};
  spec.instrument.price_min = 100;
  EXPECT_NE(rig.ask(kPutInstrument, spec).message.find("assets and scales stay"), std::string::npos);
  rig.restore();
}

TEST(Exchange, MoneyComesAndGoes) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "1.5", "1000.50");
  EXPECT_EQ(rig.available("alpha", kUsd), "1000.50");
  EXPECT_EQ(rig.cash(kDeposit, "alpha", kUsd, "0.001").error, Errc::invalid_argument);
  EXPECT_EQ(rig.cash(kDeposit, "alpha", 7, "1").error, Errc::not_found);
  EXPECT_EQ(rig.cash(kDeposit, "gamma", kUsd, "1").error, Errc::not_found);
  EXPECT_EQ(rig.cash(kWithdraw, "alpha", kUsd, "1000.51").message, "available is 1000.50 USD, to be withdrawn 1000.51");
  EXPECT_TRUE(rig.cash(kWithdraw, "alpha", kUsd, "1000.50").ok());
  EXPECT_EQ(rig.available("alpha", kUsd), "0.00");
  EXPECT_EQ(rig.cash(kDeposit, "alpha", kUsd, "12676506002282294014967032054.00").error, Errc::refused);
}

TEST(Exchange, NobodyOutsideMovesItsMoney) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10");
  const Account& account = *rig.ledger.account(purse_id(1, kUsd, Purse::available));
  EXPECT_TRUE(sealed(account));
  const Access cashier{0, true, true};
  EXPECT_FALSE(cashier.may_debit(account, false));
  EXPECT_FALSE(cashier.may_credit(account, false));
  const Access exchange{kExchangeMachineId, false, true};
  EXPECT_TRUE(exchange.may_debit(account, false));
  Account theirs = account;
  theirs.code = 1;
  EXPECT_TRUE(cashier.may_debit(theirs, false));
  EXPECT_TRUE(cashier.may_credit(theirs, false));
}

// The buyer takes: it pays 2,000 ppm of 2 x 100.00 and gets back what its limit had held beyond.
TEST(Exchange, AFillIsSettledToTheCent) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  rig.fund("beta", "5", "0");
  const uint64_t sell = rig.enter(rig.sell("3", "100"));
  EXPECT_EQ(rig.held_of("beta", kBtc), "3.00000000");
  const uint64_t buy = rig.enter(rig.buy("2", "110"));
  ASSERT_NE(buy, 0U) << rig.last.message;
  EXPECT_EQ(rig.find(buy)->status, OrderStatus::filled);
  EXPECT_EQ(rig.find(sell)->funds.leaves, 1'000U);
  EXPECT_EQ(rig.held_of("alpha", kUsd), "0.00");
  EXPECT_EQ(rig.available("alpha", kUsd), "799.60");  // 200.00 and 0.40
  EXPECT_EQ(rig.available("alpha", kBtc), "2.00000000");
  EXPECT_EQ(rig.available("beta", kUsd), "199.80");  // a maker of class 1 pays 1,000 ppm
  EXPECT_EQ(rig.held_of("beta", kBtc), "1.00000000");
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.60");
  EXPECT_TRUE(mentions(rig.told[kTradesView.number],
                       R"("trade_id":"1","symbol":"BTC/USD","price":"100.00","quantity":"2.000","notional":"200.00")"));
  EXPECT_TRUE(mentions(rig.told[kOrdersView.number], R"("last_quantity":"2.000","liquidity":"taker","fee":"0.40")"));
  Transfer transfer{};
  ASSERT_TRUE(rig.ledger.ledger().find_transfer(trade_leg_id(1, 0), transfer));
  EXPECT_TRUE(transfer.amount == 20'000 && transfer.user_data_64 == 1);
  EXPECT_TRUE(rig.cancel("beta", sell).ok());
  EXPECT_EQ(rig.available("beta", kBtc), "3.00000000");
  rig.restore();
}

TEST(Exchange, AMakersRebateIsPaidOutOfTheFees) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  rig.fund("beta", "5", "0");
  ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U);
  ASSERT_NE(rig.enter(rig.sell("1", "90")), 0U);
  EXPECT_EQ(rig.available("alpha", kUsd), "900.05");
  EXPECT_EQ(rig.available("beta", kUsd), "99.70");
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.25");
}

TEST(Exchange, OrdersAreRefusedWithFixsReasonAndWhatTheLimitIs) {
  ExchangeRig rig;
  rig.open_market(bitcoin(), Phase::closed);
  rig.fund("alpha", "0", "1000");
  const auto refused = [&](Rejected why, auto change) {
    NewOrder order = rig.buy("1", "100");
    change(order);
    const Reply reply = rig.ask(kNewOrder, order);
    EXPECT_FALSE(reply.ok());
    EXPECT_EQ(reply.detail, fix(why)) << reply.message;
    return reply.message;
  };
  const auto as_is = [](NewOrder&) {};
  EXPECT_EQ(refused(Rejected::closed, as_is), "the instrument is closed");
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, false}).ok());
  refused(Rejected::unknown_account, [](NewOrder& o) { o.account = "other"; });
  refused(Rejected::unknown_account, [](NewOrder& o) { o.firm = "gamma"; });
  refused(Rejected::unknown_symbol, [](NewOrder& o) { o.symbol = "ETH/USD"; });
  refused(Rejected::other, [](NewOrder& o) { o.client_id = "a b"; });
  refused(Rejected::other, [](NewOrder& o) { o.price = said("100.001"); });
  EXPECT_EQ(refused(Rejected::exceeds_limit, [](NewOrder& o) { o.price = said("100.05"); }),
            "price 100.05 is not on the tick 0.10");
  EXPECT_EQ(refused(Rejected::exceeds_limit, [](NewOrder& o) { o.price = said("0"); }),
            "price 0.00 is below price_min 0.10");
  EXPECT_EQ(refused(Rejected::quantity, [](NewOrder& o) { o.quantity = said("0.15"); }),
            "quantity 0.150 is not in lots of 0.100");
  refused(Rejected::quantity, [](NewOrder& o) { o.quantity = said("-1"); });
  refused(Rejected::exceeds_limit, [](NewOrder& o) { o.quantity = said("2000"); });
  EXPECT_EQ(refused(Rejected::exceeds_limit, [](NewOrder& o) { o.quantity = said("10"); }),
            "the order needs 1002.00 USD, available is 1000.00");
  refused(Rejected::unsupported, [](NewOrder& o) {
    o.type = OrderType::stop;
    o.stop_price = said("100");
    o.tif = TimeInForce::ioc;
  });
  refused(Rejected::unsupported, [](NewOrder& o) { o.tif = TimeInForce::gtd; });
  EXPECT_NE(refused(Rejected::other,
                    [](NewOrder& o) {
                      o.type = OrderType::market;
                      o.tif = TimeInForce::ioc;
                    })
                .find("reference price"),
            std::string::npos);
  const NewOrder first = rig.buy("1", "100");
  ASSERT_NE(rig.enter(first), 0U);
  refused(Rejected::duplicate, [&](NewOrder& o) { o.client_id = first.client_id; });
  rig.now += 86'400 * kSecond;
  refused(Rejected::duplicate, [&](NewOrder& o) { o.client_id = first.client_id; });
  ASSERT_TRUE(rig.cancel("alpha", 1).ok());
  NewOrder again = first;
  EXPECT_NE(rig.enter(again), 0U) << "another trade date, and none of it is open";
}

TEST(Exchange, ImmediateOrdersAndPostOnly) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "10", "0");
  ASSERT_NE(rig.enter(rig.sell("1", "100")), 0U);
  ASSERT_NE(rig.enter(rig.sell("1", "105")), 0U);
  NewOrder fok = rig.buy("3", "105");
  fok.tif = TimeInForce::fok;
  const uint64_t killed = rig.enter(fok);
  EXPECT_EQ(rig.find(killed)->status, OrderStatus::cancelled);
  EXPECT_EQ(rig.available("alpha", kUsd), "10000.00");
  NewOrder post = rig.buy("1", "100");
  post.post_only = true;
  EXPECT_EQ(rig.enter(post), 0U);
  EXPECT_EQ(rig.last.detail, fix(Rejected::other));
  NewOrder ioc = rig.buy("3", "100");
  ioc.tif = TimeInForce::ioc;
  const uint64_t part = rig.enter(ioc);
  EXPECT_EQ(rig.find(part)->status, OrderStatus::cancelled);
  EXPECT_EQ(rig.find(part)->filled, 1'000U);
  EXPECT_TRUE(mentions(rig.told[kOrdersView.number], R"("reason":"unfilled","cancelled_quantity":"2.000")"));
  // A collar of 10 % around the best offer.
  NewOrder market = rig.buy("2", "0");
  market.type = OrderType::market;
  market.tif = TimeInForce::ioc;
  const uint64_t taken = rig.enter(market);
  EXPECT_EQ(rig.find(taken)->funds.price, 11'550);
  EXPECT_EQ(rig.find(taken)->filled, 1'000U);
  EXPECT_EQ(average_text(*rig.find(taken), 2), "105.000000");
  EXPECT_EQ(rig.held_of("alpha", kUsd), "0.00");
}

TEST(Exchange, AReplaceHoldsOrReleasesTheDifferenceOrIsRefusedWhole) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1002");
  rig.fund("beta", "10", "0");
  const uint64_t id = rig.enter(rig.buy("5", "100"));
  EXPECT_EQ(rig.held_of("alpha", kUsd), "501.00");
  ReplaceOrder more = rig.change("alpha", id, "10", "");
  EXPECT_TRUE(rig.ask(kReplaceOrder, more).ok());
  EXPECT_EQ(rig.held_of("alpha", kUsd), "1002.00");
  EXPECT_EQ(rig.find(id)->client_id, more.client_id);
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", id, "10", "101")).message,
            "the order needs 10.02 USD, available is 0.00");
  ReplaceOrder stale = rig.change("alpha", id, "5", "100");
  stale.original_id = "c1";
  EXPECT_EQ(rig.ask(kReplaceOrder, stale).detail, fix(CancelRejected::unknown_order));
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("beta", id, "5", "100")).error, Errc::not_found);
  EXPECT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "8", "90")).ok());
  EXPECT_EQ(rig.held_of("alpha", kUsd), "721.44");
  ASSERT_NE(rig.enter(rig.sell("3", "90")), 0U);
  EXPECT_EQ(rig.find(id)->filled, 3'000U);
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", id, "0", "")).detail, fix(Rejected::quantity));
  EXPECT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", id, "2", "")).ok());
  EXPECT_EQ(rig.find(id)->status, OrderStatus::done);
  EXPECT_EQ(rig.held_of("alpha", kUsd), "0.00");
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("alpha", id, "9", "")).detail, fix(CancelRejected::too_late));
  EXPECT_EQ(rig.cancel("alpha", id).detail, fix(CancelRejected::too_late));
  EXPECT_EQ(rig.cancel("alpha", 77).detail, fix(CancelRejected::unknown_order));
  rig.restore();
}

TEST(Exchange, AReplaceThatCrossesTrades) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  rig.fund("beta", "10", "0");
  const uint64_t buy = rig.enter(rig.buy("2", "90"));
  ASSERT_NE(rig.enter(rig.sell("2", "100")), 0U);
  EXPECT_TRUE(rig.ask(kReplaceOrder, rig.change("alpha", buy, "2", "100")).ok());
  EXPECT_EQ(rig.find(buy)->status, OrderStatus::filled);
  EXPECT_EQ(rig.available("alpha", kBtc), "2.00000000");
}

TEST(Exchange, StopsWaitForTheLastTradeAndHoldAtTheirProtectionPrice) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "10", "0");
  NewOrder stop = rig.buy("1", "0");
  stop.type = OrderType::stop;
  stop.stop_price = said("105");
  const uint64_t id = rig.enter(stop);
  EXPECT_EQ(rig.find(id)->funds.price, 11'550);
  EXPECT_EQ(rig.held_of("alpha", kUsd), "115.74");
  ASSERT_NE(rig.enter(rig.sell("1", "105")), 0U);
  ASSERT_NE(rig.enter(rig.sell("1", "110")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "105")), 0U);
  EXPECT_EQ(rig.find(id)->status, OrderStatus::filled);
  EXPECT_EQ(rig.find(id)->traded, Int128{11'000} * 1'000);
  EXPECT_TRUE(rig.find(id)->triggered);
  EXPECT_EQ(rig.held_of("alpha", kUsd), "0.00");
}

TEST(Exchange, OneAccountDoesNotTradeWithItself) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "5", "1000");
  const uint64_t sell = rig.enter(rig.sell("1", "100", "alpha"));
  NewOrder buy = rig.buy("1", "100");
  const uint64_t newest = rig.enter(buy);
  EXPECT_EQ(rig.find(newest)->status, OrderStatus::cancelled);
  EXPECT_EQ(rig.find(sell)->status, OrderStatus::open);
  buy = rig.buy("1", "100");
  buy.self_trade = book::SelfTrade::cancel_oldest;
  ASSERT_NE(rig.enter(buy), 0U);
  EXPECT_EQ(rig.find(sell)->status, OrderStatus::cancelled);
  ASSERT_NE(rig.enter(rig.sell("0.5", "100", "alpha")), 0U);
  EXPECT_TRUE(rig.told[kTradesView.number].empty());
  NewOrder with_itself = rig.sell("0.5", "100", "alpha");
  with_itself.self_trade = book::SelfTrade::allow;
  const uint64_t allowed = rig.enter(with_itself);
  EXPECT_EQ(rig.find(allowed)->status, OrderStatus::filled);
}

TEST(Exchange, OrdersOfTheDayAndDatedOnesExpire) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "10000");
  NewOrder dated = rig.buy("1", "100");
  dated.tif = TimeInForce::gtd;
  dated.expires_at = rig.now + 10 * kSecond;
  const uint64_t first = rig.enter(dated);
  NewOrder day = rig.buy("1", "100");
  day.tif = TimeInForce::day;
  const uint64_t second = rig.enter(day);
  const uint64_t third = rig.enter(rig.buy("1", "100"));
  rig.restore();
  rig.now += 9 * kSecond;
  rig.fire();
  EXPECT_EQ(rig.find(first)->status, OrderStatus::open);
  rig.now += kSecond;
  rig.fire();
  EXPECT_EQ(rig.find(first)->status, OrderStatus::expired);
  EXPECT_EQ(rig.find(second)->status, OrderStatus::open);
  rig.now = end_of_day(rig.now);
  rig.fire();
  EXPECT_EQ(rig.find(second)->status, OrderStatus::expired);
  EXPECT_EQ(rig.find(third)->status, OrderStatus::open);
  EXPECT_EQ(rig.held_of("alpha", kUsd), "100.20");
}

// 1,300 orders: no entry ends more than 500, and orders of another account come in between.
TEST(Exchange, AMassCancelGoesOnInPieces) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000000");
  rig.fund("beta", "10", "0");
  constexpr size_t kMany = 1'300;
  for (size_t n = 0; n < kMany; ++n) {
    const Reply reply = rig.apply(rig.exchange, kNewOrder, packed(rig.buy("0.1", "100")));
    ASSERT_TRUE(reply.ok()) << reply.message;
  }
  rig.check();
  rig.note_bytes_max = 0;
  const Reply begun = rig.ask(kMassCancel, MassCancelOrders{"alpha", "main", "", std::nullopt});
  ASSERT_TRUE(begun.ok());
  EXPECT_EQ(begun.numbers[1], static_cast<int64_t>(kSweepEnds));
  const uint64_t later = rig.enter(rig.buy("0.1", "100"));
  rig.restore();
  ASSERT_TRUE(rig.fire_one());
  ASSERT_NE(rig.enter(rig.sell("0.1", "200")), 0U) << "others go on in between";
  rig.fire();
  EXPECT_EQ(rig.find(later)->status, OrderStatus::open) << "it came behind the mass cancel";
  EXPECT_EQ(rig.exchange.orders().open(), 2U);
  EXPECT_TRUE(mentions(rig.told[kRiskView.number], R"("orders":"1300")"));
  EXPECT_LT(rig.note_bytes_max, size_t{1} << 20);
}

TEST(Exchange, AMassCancelIsOfASideOrAnInstrument) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "5", "1000");
  const uint64_t buy = rig.enter(rig.buy("1", "90"));
  const uint64_t sell = rig.enter(rig.sell("1", "110", "alpha"));
  EXPECT_EQ(rig.ask(kMassCancel, MassCancelOrders{"alpha", "", "ETH/USD", std::nullopt}).error, Errc::not_found);
  EXPECT_EQ(rig.ask(kMassCancel, MassCancelOrders{"beta", "", "", std::nullopt}).numbers[1], 0);
  EXPECT_EQ(rig.ask(kMassCancel, MassCancelOrders{"alpha", "", "BTC/USD", Side::sell}).numbers[1], 1);
  EXPECT_EQ(rig.find(buy)->status, OrderStatus::open);
  EXPECT_EQ(rig.find(sell)->status, OrderStatus::cancelled);
}

// A sweep through 600 resting orders freezes the instrument: it goes on entry by entry, refuses orders meanwhile, and waits for
// nobody else.
TEST(Exchange, ASweepOfManyFillsGoesOnInPieces) {
  ExchangeRig rig;
  rig.open_market();
  InstrumentSpec other = bitcoin();
  other.instrument.symbol = "BTC/USD.2";
  ASSERT_TRUE(rig.ask(kPutInstrument, other).ok());
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD.2", Phase::continuous, false}).ok());
  rig.fund("alpha", "0", "1000000");
  rig.fund("beta", "100", "0");
  constexpr size_t kMany = 600;
  for (size_t n = 0; n < kMany; ++n)
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(rig.sell("0.1", "100"))).ok());
  rig.note_bytes_max = 0;
  const uint64_t sweep = rig.enter(rig.buy("60", "100"));
  EXPECT_EQ(rig.find(sweep)->status, OrderStatus::open);
  EXPECT_GT(rig.find(sweep)->filled, 0U);
  EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(rig.last.error, Errc::overloaded);
  EXPECT_EQ(rig.cancel("alpha", sweep).error, Errc::overloaded);
  NewOrder elsewhere = rig.buy("1", "100");
  elsewhere.symbol = "BTC/USD.2";
  EXPECT_NE(rig.enter(elsewhere), 0U) << "the other instrument goes on";
  EXPECT_EQ(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::halted, false}).numbers[0], 1) << "once the work is done";
  rig.restore();
  size_t entries = 0;
  while (rig.fire_one()) ++entries;
  EXPECT_GE(entries, 2U);
  EXPECT_EQ(rig.find(sweep)->status, OrderStatus::filled);
  EXPECT_EQ(rig.exchange.directory().listing("BTC/USD")->book.phase(), Phase::halted);
  EXPECT_LT(rig.note_bytes_max, size_t{1} << 20);
  EXPECT_EQ(rig.told[kTradesView.number].size(), kMany);
}

TEST(Exchange, AKillSwitchBlocksAndCancelsUntilItIsLifted) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  rig.fund("beta", "10", "0");
  const auto change = [&](Whose whose, bool lift, const std::string& reason = "runaway") {
    const bool of_firm = whose == Whose::firm || whose == Whose::account;
    return rig.ask(kSwitch, SwitchChange{whose, of_firm ? "alpha" : "", whose == Whose::account ? "main" : "",
                                         whose == Whose::instrument ? "BTC/USD" : "", lift, reason});
  };
  for (const Whose whose : {Whose::everybody, Whose::firm, Whose::account, Whose::instrument}) {
    const uint64_t id = rig.enter(rig.buy("1", "100"));
    ASSERT_NE(id, 0U) << rig.last.message;
    const uint64_t others = rig.enter(rig.sell("1", "200"));
    EXPECT_EQ(change(whose, true).error, Errc::refused);
    EXPECT_EQ(change(whose, false, "").error, Errc::invalid_argument);
    ASSERT_TRUE(change(whose, false).ok());
    EXPECT_EQ(rig.find(id)->status, OrderStatus::cancelled);
    const bool all = whose == Whose::everybody || whose == Whose::instrument;
    EXPECT_EQ(rig.find(others)->status, all ? OrderStatus::cancelled : OrderStatus::open);
    EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
    EXPECT_EQ(rig.last.detail, fix(Rejected::other_rule));
    EXPECT_NE(rig.last.message.find("runaway"), std::string::npos);
    EXPECT_EQ(rig.enter(rig.sell("1", "200")) == 0, all);
    rig.restore();
    ASSERT_TRUE(change(whose, true).ok());
    ASSERT_TRUE(rig.ask(kMassCancel, MassCancelOrders{"beta", "", "", std::nullopt}).ok());
  }
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.kill"));
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.lift"));
  EXPECT_TRUE(mentions(rig.told[kRiskView.number], R"("event":"killed","whose":"firm")"));
}

TEST(Exchange, LimitsAreJudgedBeforeTheMatch) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "10", "100000");
  rig.fund("beta", "10", "0");
  LimitsSpec spec{Whose::account, "alpha", "main", "BTC/USD", {}};
  spec.limits.long_max = 2'000;
  spec.limits.orders_per_second = 2;
  spec.limits.orders_at_once = 2;
  ASSERT_TRUE(rig.ask(kPutLimits, spec).ok());
  ASSERT_NE(rig.enter(rig.buy("1.5", "100")), 0U);
  EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(rig.last.message, "worst-case long of account main would be 2.500, its limit is 2.000");
  EXPECT_NE(rig.enter(rig.sell("1", "200", "alpha")), 0U) << "sells do not count against it";
  EXPECT_EQ(rig.enter(rig.sell("1", "200", "alpha")), 0U);
  EXPECT_NE(rig.last.message.find("orders a second"), std::string::npos);
  rig.now += kSecond;
  ASSERT_NE(rig.enter(rig.sell("1.5", "100")), 0U);
  EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U) << "what was bought counts";
  spec.whose = Whose::firm;
  spec.account.clear();
  spec.limits = {};
  spec.limits.order_quantity_max = 100;
  ASSERT_TRUE(rig.ask(kPutLimits, spec).ok());
  EXPECT_EQ(rig.enter(rig.buy("0.2", "100")), 0U);
  EXPECT_NE(rig.last.message.find("firm alpha"), std::string::npos);
  EXPECT_NE(rig.enter(rig.buy("0.1", "100")), 0U);
}

TEST(Exchange, ACallEndsAtOnePriceAndOutsideItsBandIsExtendedThenHalted) {
  ExchangeRig rig;
  InstrumentSpec spec = bitcoin();
  spec.reference = 10'000;
  rig.open_market(spec, Phase::opening_call);
  rig.fund("alpha", "0", "10000");
  rig.fund("beta", "10", "0");
  const uint64_t buy = rig.enter(rig.buy("2", "110"));
  const uint64_t sell = rig.enter(rig.sell("1", "90"));
  const auto depth = rig.query<DepthRow>(kQueryDepth, DepthQuery{"BTC/USD", 5});
  ASSERT_TRUE(depth && depth->crosses);
  EXPECT_EQ(depth->call_price, 11'000);
  EXPECT_EQ(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, false}).message,
            "from opening_call: the call has not been ended");
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, true}).ok());
  rig.fire();
  EXPECT_EQ(rig.exchange.directory().listing("BTC/USD")->book.phase(), Phase::continuous);
  EXPECT_EQ(rig.find(sell)->status, OrderStatus::filled);
  EXPECT_EQ(rig.find(buy)->filled, 1'000U);
  EXPECT_EQ(rig.available("beta", kUsd), "109.67") << "in a call both are takers";
  EXPECT_TRUE(mentions(rig.told[kMarketView.number], R"("event":"uncrossed","symbol":"BTC/USD","price":"110.00")"));

  ASSERT_TRUE(rig.cancel("alpha", buy).ok());
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::auction_call, false}).ok());
  ASSERT_NE(rig.enter(rig.buy("1", "200")), 0U);
  ASSERT_NE(rig.enter(rig.sell("1", "190")), 0U);
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, true}).ok());
  rig.fire();
  EXPECT_EQ(rig.exchange.directory().listing("BTC/USD")->book.phase(), Phase::auction_call);
  rig.restore();
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, true}).ok());
  rig.fire();
  EXPECT_EQ(rig.exchange.directory().listing("BTC/USD")->book.phase(), Phase::halted);
  EXPECT_TRUE(mentions(rig.told[kMarketView.number], "call_extended"));
  EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(rig.last.detail, fix(Rejected::closed));
}

TEST(Exchange, PagesShowWhatThereIs) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  const uint64_t id = rig.enter(rig.buy("1", "100"));
  const auto accounts = rig.query<AccountRow>(kQueryAccounts, Page{"alpha", "main", true});
  ASSERT_TRUE(accounts);
  ASSERT_EQ(accounts->holdings.size(), 2U);
  EXPECT_TRUE(accounts->holdings[1].held == 10'020 && accounts->holdings[1].available == 89'980);
  EXPECT_TRUE(accounts->positions.at(0).exposure.open_buys == 1'000);
  const auto order = rig.query<OrderRow>(kQueryOrder, OrderQuery{"alpha", 0, "c1"});
  ASSERT_TRUE(order);
  EXPECT_EQ(order->order.id, id);
  EXPECT_FALSE(rig.query<OrderRow>(kQueryOrder, OrderQuery{"beta", id, ""}));
  const auto depth = rig.query<DepthRow>(kQueryDepth, DepthQuery{"BTC/USD", 5});
  ASSERT_TRUE(depth && depth->bids.size() == 1 && depth->asks.empty());
  EXPECT_EQ(depth->bids[0].quantity, 1'000U);
  const auto state = rig.query<StateRow>(kQueryState, StateRow());
  EXPECT_EQ(state->open_orders, 1U);
}

TEST(Exchange, AnythingAtAllIsAnsweredAndLeavesNothing) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  const Buffer order = packed(rig.buy("1", "100"));
  for (CommandType type = 0; type < 45; ++type)
    for (size_t size = 0; size <= order.size(); ++size) {
      const std::string before = rig.state();
      if (type == kNewOrder && size == order.size()) continue;
      const Reply reply = rig.apply(rig.exchange, type, order.slice(0, size));
      ASSERT_TRUE(reply.ok() || rig.state() == before) << type;
    }
  rig.check();
}

}  // namespace
}  // namespace heptane::fintech::exchange
