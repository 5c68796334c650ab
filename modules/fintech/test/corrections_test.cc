// Trades that are busted and corrected: to the cent, once, however old, with what follows for orders, prices and firms that owe.
#include <gtest/gtest.h>

#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using book::Phase;
using book::Side;
using test::bitcoin;
using test::ExchangeRig;
using test::kBtc;
using test::kSecond;
using test::kUsd;
using test::mentions;
using test::said;

class Corrections : public testing::Test {
 protected:
  // Alpha buys two of three at 100.00, as the taker.
  void SetUp() override {
    rig.open_market();
    rig.fund("alpha", "0", "1000");
    rig.fund("beta", "5", "0");
    sell_ = rig.enter(rig.sell("3", "100"));
    buy_ = rig.enter(rig.buy("2", "110"));
  }
  Reply bust(uint64_t trade, const std::string& reason = "fat finger") {
    return rig.ask(kBustTrade, BustTrade{trade, reason, std::nullopt});
  }
  Reply correct(uint64_t trade, std::string_view quantity, std::string_view price) {
    return rig.ask(kBustTrade, BustTrade{trade, "agreed", AgreedTrade{said(price), said(quantity)}});
  }
  std::optional<int64_t> last_price() { return rig.exchange.directory().listing(1).last_price(); }
  std::string owed_of(const std::string& firm, uint32_t asset) {
    return amount_text(owed(rig.ledger, rig.exchange.directory().firm(firm)->number, asset), asset == kUsd ? 2 : 8);
  }

  ExchangeRig rig;
  uint64_t sell_ = 0;
  uint64_t buy_ = 0;
};

TEST_F(Corrections, ABustedTradeIsTakenBackToTheCent) {
  EXPECT_EQ(bust(1, "").error, Errc::invalid_argument);
  EXPECT_EQ(bust(0).error, Errc::not_found);
  EXPECT_EQ(bust(2).error, Errc::not_found);
  EXPECT_TRUE(bust(1).ok()) << rig.last.message;
  EXPECT_EQ(rig.available("alpha", kUsd), "1000.00");
  EXPECT_EQ(rig.available("alpha", kBtc), "0.00000000");
  EXPECT_EQ(rig.available("beta", kUsd), "0.00");
  EXPECT_EQ(rig.available("beta", kBtc), "4.00000000");
  EXPECT_EQ(rig.held_of("beta", kBtc), "1.00000000");
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.00");
  // Neither is revived: what is left of the sell order is what was left of it.
  EXPECT_EQ(rig.find(sell_)->quantity, 1'000U);
  EXPECT_EQ(rig.find(sell_)->filled, 0U);
  EXPECT_TRUE(rig.find(sell_)->traded == 0);
  EXPECT_EQ(rig.find(buy_)->status, OrderStatus::cancelled);
  EXPECT_EQ(rig.exchange.directory().peek(Whose::account, 1, 1).exposure.position, Int128{0});
  EXPECT_EQ(rig.exchange.directory().peek(Whose::firm, 2, 1).exposure.position, Int128{0});
  EXPECT_FALSE(last_price());
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.bust trade 1"));
  EXPECT_TRUE(mentions(rig.told[kTradesView.number],
                       R"({"event":"busted","trade_id":"1","symbol":"BTC/USD","price":"100.00")"));
  EXPECT_FALSE(mentions(rig.told[kTradesView.number], "fat finger")) << "why and by whom is not everybody's";
  EXPECT_FALSE(mentions(rig.told[kTradesView.number], "\"by\""));
  EXPECT_TRUE(mentions(rig.told[kOrdersView.number],
                       R"("event":"trade_busted","exec_id":"5","exec_ref_id":"3","order_id":"2")"));
  const Reply again = bust(1);
  EXPECT_EQ(again.error, Errc::exists);
  EXPECT_EQ(again.message, "trade 1 was busted already");
  rig.restore();
  EXPECT_EQ(bust(1).error, Errc::exists);
}

TEST_F(Corrections, ACorrectedTradeIsSettledAsItWasAgreed) {
  EXPECT_EQ(correct(1, "2.1", "100").error, Errc::refused);
  EXPECT_EQ(correct(1, "0", "100").error, Errc::refused);
  EXPECT_EQ(correct(1, "1.05", "100").error, Errc::refused);
  EXPECT_EQ(correct(1, "1", "100.05").error, Errc::refused);
  EXPECT_EQ(correct(1, "2", "100").message, "that is what was traded");
  const Reply done = correct(1, "1", "105");
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_EQ(done.numbers[0], 2);
  // 1 x 105.00, 0.21 for the taker, 0.11 for the maker: 2,000 and 1,000 ppm rounded up.
  EXPECT_EQ(rig.available("alpha", kUsd), "894.79");
  EXPECT_EQ(rig.available("alpha", kBtc), "1.00000000");
  EXPECT_EQ(rig.available("beta", kUsd), "104.89");
  EXPECT_EQ(rig.available("beta", kBtc), "3.00000000");
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.32");
  EXPECT_EQ(rig.find(sell_)->filled, 1'000U);
  EXPECT_EQ(rig.find(sell_)->quantity, 2'000U);
  EXPECT_EQ(average_text(*rig.find(buy_), 2), "105.000000");
  EXPECT_EQ(last_price(), 10'500);
  EXPECT_EQ(rig.exchange.directory().peek(Whose::firm, 1, 1).exposure.position, Int128{1'000});
  EXPECT_TRUE(mentions(rig.told[kTradesView.number], R"({"event":"corrected","trade_id":"2","corrects":"1")"));
  EXPECT_EQ(bust(1).message, "trade 1 was busted already: trade 2 is in its place");
  // What is in its place is a trade like every other.
  EXPECT_TRUE(bust(2).ok());
  EXPECT_EQ(rig.available("alpha", kUsd), "1000.00");
  EXPECT_EQ(rig.available("beta", kBtc), "4.00000000");
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.00");
  rig.restore();
}

TEST_F(Corrections, WhatIsNotThereAnyMoreIsOwedAndBlocksTheFirm) {
  ASSERT_TRUE(rig.cash(kWithdraw, "beta", kUsd, "150").ok());
  ASSERT_TRUE(rig.cash(kWithdraw, "alpha", kBtc, "2").ok());
  const Reply done = bust(1);
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_EQ(done.numbers[1], 1);
  EXPECT_EQ(owed_of("beta", kUsd), "150.00");
  EXPECT_EQ(owed_of("alpha", kBtc), "2.00000000");
  EXPECT_EQ(rig.available("beta", kBtc), "4.00000000") << "whoever is not at fault has all of it";
  EXPECT_EQ(rig.available("alpha", kUsd), "1000.00");
  EXPECT_EQ(rig.enter(rig.buy("1", "90")), 0U);
  EXPECT_EQ(rig.last.detail, test::fix(Rejected::other_rule));
  EXPECT_EQ(rig.cash(kWithdraw, "alpha", kUsd, "1").error, Errc::refused);
  EXPECT_EQ(rig.ask(kReplaceOrder, rig.change("beta", sell_, "1", "101")).error, Errc::refused);
  EXPECT_TRUE(rig.cancel("beta", sell_).ok());
  rig.restore();
  // What comes in clears it first.
  EXPECT_TRUE(rig.cash(kDeposit, "alpha", kBtc, "0.5").ok());
  EXPECT_EQ(owed_of("alpha", kBtc), "1.50000000");
  EXPECT_EQ(rig.enter(rig.buy("1", "90")), 0U);
  EXPECT_TRUE(rig.cash(kDeposit, "alpha", kBtc, "2").ok());
  EXPECT_EQ(owed_of("alpha", kBtc), "0.00000000");
  EXPECT_EQ(rig.available("alpha", kBtc), "0.50000000");
  EXPECT_NE(rig.enter(rig.buy("1", "90")), 0U) << rig.last.message;
  EXPECT_TRUE(
      mentions(rig.told[kRiskView.number], R"({"event":"receivable","firm":"beta","ledger":"840","owed":"150.00")"));
  EXPECT_TRUE(mentions(rig.told[kRiskView.number], R"("firm":"alpha","ledger":"1","owed":"0.00000000")"));
}

// Then more was withdrawn than was ever deposited: what comes in is taken all the same.
TEST_F(Corrections, WhatWasLentMayBeWithdrawnAndPaidBackInParts) {
  ASSERT_TRUE(rig.cash(kWithdraw, "beta", kUsd, "199.80").ok());
  ASSERT_TRUE(bust(1).ok());
  ASSERT_TRUE(rig.cash(kWithdraw, "alpha", kUsd, "1000").ok()) << rig.last.message;
  EXPECT_TRUE(supply(rig.ledger, kUsd) == -19'980);
  EXPECT_TRUE(rig.cash(kDeposit, "beta", kUsd, "50").ok()) << rig.last.message;
  EXPECT_TRUE(supply(rig.ledger, kUsd) == -14'980);
  EXPECT_EQ(owed_of("beta", kUsd), "149.80");
  rig.restore();
  EXPECT_TRUE(rig.cash(kDeposit, "beta", kUsd, "149.80").ok());
  EXPECT_EQ(rig.exchange.directory().firm("beta")->owes, 0U);
}

TEST_F(Corrections, WhatIsOwedIsClearedOutOfAnotherAccount) {
  ASSERT_TRUE(rig.ask(kPutAccount, AccountSpec{"beta", "other", 1}).ok());
  rig.fund("beta", "0", "500", "other");
  ASSERT_TRUE(rig.cash(kWithdraw, "beta", kUsd, "199.80").ok());
  ASSERT_TRUE(bust(1).ok());
  EXPECT_EQ(owed_of("beta", kUsd), "199.80");
  const auto clear = [&](const std::string& account, Uint128 cents, const std::string& reason) {
    return rig.ask(kClearReceivable, ClearReceivable{{"beta", account, kUsd, cents, 2}, reason});
  };
  EXPECT_EQ(clear("other", 10'000, "").error, Errc::invalid_argument);
  EXPECT_EQ(clear("nobody", 10'000, "agreed").error, Errc::not_found);
  EXPECT_EQ(clear("main", 10'000, "agreed").error, Errc::refused);
  EXPECT_EQ(clear("other", 19'981, "agreed").message, "the firm owes 199.80 USD, the account has 500.00 USD available");
  EXPECT_TRUE(clear("other", 10'000, "agreed").ok());
  EXPECT_EQ(rig.exchange.directory().firm("beta")->owes, 1U);
  EXPECT_TRUE(clear("other", 9'980, "agreed").ok());
  EXPECT_EQ(rig.exchange.directory().firm("beta")->owes, 0U);
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.clear beta/other"));
  rig.restore();
}

TEST_F(Corrections, ALaterTradeKeepsItsPrice) {
  ASSERT_NE(rig.enter(rig.buy("0.5", "110")), 0U);
  ASSERT_TRUE(rig.cancel("beta", sell_).ok());
  ASSERT_NE(rig.enter(rig.sell("1", "102")), 0U);
  ASSERT_NE(rig.enter(rig.buy("0.5", "110")), 0U);
  EXPECT_EQ(last_price(), 10'200);
  EXPECT_TRUE(bust(2).ok());
  EXPECT_EQ(last_price(), 10'200);
  EXPECT_TRUE(bust(3).ok());
  EXPECT_EQ(last_price(), 10'000) << "that of the trade that stands";
  EXPECT_TRUE(correct(1, "2", "99").ok());
  EXPECT_EQ(last_price(), 9'900);
  rig.restore();
  EXPECT_EQ(last_price(), 9'900);
}

// The one before the last sixteen is known too.
TEST_F(Corrections, AllButOneOfTheLastTradesMayBeBusted) {
  ASSERT_TRUE(rig.cancel("beta", sell_).ok());
  for (int n = 0; n < 17; ++n) {
    ASSERT_NE(rig.enter(rig.sell("0.1", n == 0 ? "101" : "102")), 0U);
    ASSERT_NE(rig.enter(rig.buy("0.1", "110")), 0U) << rig.last.message;
  }
  for (uint64_t trade = 18; trade > 2; --trade) {
    EXPECT_EQ(last_price(), 10'200);
    ASSERT_TRUE(bust(trade).ok()) << trade;
  }
  EXPECT_EQ(last_price(), 10'100);
  rig.restore();
  EXPECT_TRUE(bust(2).ok());
  EXPECT_FALSE(last_price()) << "what is before it is not known any more";
  rig.restore();
}

TEST_F(Corrections, AnOpenOrderGoesOnWithWhatWasLeftOfIt) {
  ASSERT_TRUE(bust(1).ok());
  ASSERT_NE(rig.enter(rig.buy("0.4", "110")), 0U);
  EXPECT_EQ(rig.find(sell_)->filled, 400U);
  EXPECT_EQ(rig.find(sell_)->funds.leaves, 600U);
  ASSERT_TRUE(rig.ask(kReplaceOrder, rig.change("beta", sell_, "2.4", "101")).ok()) << rig.last.message;
  EXPECT_EQ(rig.find(sell_)->funds.leaves, 2'000U);
  rig.restore();
  // A total that is filled already ends it, as the exchange counts now.
  ASSERT_TRUE(rig.ask(kReplaceOrder, rig.change("beta", sell_, "0.4", "101")).ok()) << rig.last.message;
  EXPECT_EQ(rig.find(sell_)->status, OrderStatus::done);
}

// The two sides are one account: what goes round needs no loan that stays.
TEST_F(Corrections, ATradeWithOneselfIsTakenBackToo) {
  ASSERT_TRUE(rig.cancel("beta", sell_).ok());
  ASSERT_TRUE(rig.cash(kDeposit, "beta", kUsd, "1000").ok());
  NewOrder buy = rig.buy("3", "120", "beta");
  ASSERT_NE(rig.enter(buy), 0U);
  NewOrder sell = rig.sell("3", "120");
  sell.self_trade = book::SelfTrade::allow;
  ASSERT_NE(rig.enter(sell), 0U) << rig.last.message;
  ASSERT_TRUE(rig.cash(kWithdraw, "beta", kUsd, "1190").ok()) << rig.last.message;
  const std::string before = rig.available("beta", kUsd);
  EXPECT_TRUE(correct(2, "2", "110").ok());
  EXPECT_TRUE(bust(3).ok());
  EXPECT_EQ(rig.exchange.directory().firm("beta")->owes, 0U);
  EXPECT_NE(rig.available("beta", kUsd), before) << "its fees came back";
  EXPECT_EQ(rig.available("beta", kBtc), "3.00000000");
}

// Orders are not needed: the ledger knows.
TEST_F(Corrections, ATradeIsKnownHoweverOldItIs) {
  FixSpec drop;
  drop.name = "DROP";
  drop.comp_id = "HEPTANE";
  drop.firm = "alpha";
  drop.role = FixRole::drop_copy;
  ASSERT_TRUE(rig.ask(kPutFixSession, drop).ok());
  const auto row = rig.query<TradeRow>(kQueryTrade, uint64_t{1});
  ASSERT_TRUE(row);
  EXPECT_EQ(row->price, 10'000);
  EXPECT_EQ(row->quantity, 2'000U);
  EXPECT_TRUE(row->buyer.order == buy_ && row->buyer.firm == "alpha" && row->buyer.fee == 40);
  EXPECT_TRUE(row->seller.order == sell_ && row->seller.exec == row->buyer.exec + 1);
  EXPECT_FALSE(rig.query<TradeRow>(kQueryTrade, uint64_t{9}));
  ASSERT_TRUE(rig.cancel("beta", sell_).ok());
  NewOrder order = rig.sell("0.1", "100");
  for (size_t n = 0; n <= kEndedKept; ++n) {  // none of them rests
    order.client_id = "n" + std::to_string(n);
    order.tif = book::TimeInForce::ioc;
    ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(order)).ok());
  }
  EXPECT_EQ(rig.find(buy_), nullptr);
  EXPECT_EQ(rig.find(sell_), nullptr);
  ASSERT_TRUE(correct(1, "1.5", "99").ok());
  ASSERT_TRUE(bust(2).ok());
  EXPECT_EQ(rig.available("alpha", kUsd), "1000.00");
  EXPECT_TRUE(rig.query<TradeRow>(kQueryTrade, uint64_t{1})->busted);
  // Nothing is said of the whole order, and nothing that does not fit together.
  const std::vector<std::string>& copies = rig.told[kFixViews + 1];
  ASSERT_EQ(copies.size(), 2U);
  const auto has = [&](size_t at, const std::string& field) {
    return copies[at].find('\x01' + field + '\x01') != std::string::npos;
  };
  EXPECT_TRUE(has(0, "150=G") && has(0, "39=4") && has(0, "151=0") && has(0, "14=1.500") && has(0, "6=99.00") &&
              has(0, "32=1.500") && has(0, "31=99.00"))
      << copies[0];
  EXPECT_TRUE(has(1, "150=H") && has(1, "39=4") && has(1, "14=0") && has(1, "6=0")) << copies[1];
  for (const std::string& copy : copies)
    EXPECT_NE(copy.find("58=the order is not kept any more, its other fills are not known: OrdStatus, CumQty and AvgPx "
                        "are of this fill alone. "),
              std::string::npos);
}

// More assets than an answer has.
TEST(Receivables, AnAnswerThatIsCutOffSaysSo) {
  ExchangeRig rig;
  rig.open_market();
  rig.fund("beta", "1000", "0");
  const auto do_it = [&](CommandType type, const auto& payload) {
    const Reply reply = rig.apply(rig.exchange, type, packed(payload));
    ASSERT_TRUE(reply.ok()) << reply.message;
  };
  const auto order = [&](NewOrder of, const std::string& symbol) {
    of.symbol = symbol;
    do_it(kNewOrder, of);
  };
  for (uint32_t n = 0; n <= kReceivableRows; ++n) {
    InstrumentSpec spec = bitcoin();
    spec.instrument.symbol = "BTC/" + std::to_string(n);
    spec.instrument.quote_asset = 1'000 + n;
    spec.orders_max = 16;
    spec.fees = {{}, {}};
    rig.asset({1'000 + n, 2, "A" + std::to_string(n)});
    do_it(kPutInstrument, spec);
    do_it(kSetPhase, PhaseChange{spec.instrument.symbol, Phase::continuous, false});
    do_it(kDeposit, CashMove{"alpha", "main", 1'000 + n, 100, 0});
    order(rig.sell("0.1", "100"), spec.instrument.symbol);
    order(rig.buy("0.1", "100"), spec.instrument.symbol);
    do_it(kWithdraw, CashMove{"beta", "main", 1'000 + n, 10, 0});
  }
  const auto numbers = [&] {
    Reply reply;
    rig.exchange.query({kQueryReceivables, packed(std::string("beta")).view(), {}}, reply);
    return reply.numbers;
  };
  for (uint64_t trade = 1; trade <= kReceivableRows; ++trade) do_it(kBustTrade, BustTrade{trade, "all", std::nullopt});
  EXPECT_EQ(numbers(), (std::array<int64_t, 2>{kReceivableRows, 0}));
  do_it(kBustTrade, BustTrade{kReceivableRows + 1, "all", std::nullopt});
  EXPECT_EQ(numbers(), (std::array<int64_t, 2>{kReceivableRows, 1}));
}

TEST_F(Corrections, TheHousesFeesAreWithdrawn) {
  const auto withdraw = [&](Uint128 cents, const std::string& reason) {
    return rig.ask(kWithdrawFees, WithdrawFees{kUsd, cents, 2, reason});
  };
  EXPECT_EQ(withdraw(60, "").error, Errc::invalid_argument);
  EXPECT_EQ(withdraw(61, "month's end").message, "the house has 0.60 USD of fees, to be withdrawn 0.61 USD");
  EXPECT_TRUE(withdraw(50, "month's end").ok());
  EXPECT_EQ(rig.house(kUsd, Purse::fees), "0.10");
  // What it gives back it may not have: then it owes itself.
  EXPECT_TRUE(bust(1).ok());
  EXPECT_TRUE(fees_of(rig.ledger, kUsd) == -50);
  EXPECT_EQ(withdraw(1, "again").error, Errc::refused);
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.withdraw_fees 50e-2 of ledger 840"));
}

TEST_F(Corrections, AMinimumAboveTheNotionalStays) {
  EXPECT_TRUE(in_proportion_up(10, 5, 50) == 10);
  EXPECT_TRUE(in_proportion_up(3, 9, 4) == 2 && in_proportion_down(3, 9, 4) == 1);
  constexpr Uint128 kMuch = Uint128{1} << 120;
  EXPECT_TRUE(in_proportion_up(kMuch, kMuch, kMuch - 1) == kMuch - 1);
  EXPECT_TRUE(in_proportion_down(kMuch / 3, kMuch, kMuch * 3) == kMuch / 3 * 3);
}

// Trades of a log of before have no marks, and leave none.
TEST(OldLogs, TradesOfBeforeAreNotBusted) {
  ExchangeRig rig;
  rig.kernel.versions[kExchangeMachineId] = 1;
  rig.open_market();
  rig.fund("alpha", "0", "1000");
  rig.fund("beta", "5", "0");
  ASSERT_NE(rig.enter(rig.sell("3", "100")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "110")), 0U);
  EXPECT_EQ(rig.exchange.directory().listing(1).recent.size(), 0U);
  EXPECT_EQ(rig.ask(kBustTrade, BustTrade{1, "reason", std::nullopt}).error, Errc::unsupported);
  rig.restore();
  rig.kernel.versions[kExchangeMachineId] = 2;
  ASSERT_TRUE(rig.ask(kMassCancel, MassCancelOrders{"beta", "", "", std::nullopt}).ok());
  ASSERT_NE(rig.enter(rig.sell("1", "105")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "110")), 0U);
  const auto last_price = [&] { return rig.exchange.directory().listing(1).last_price(); };
  EXPECT_EQ(last_price(), 10'500);
  rig.restore();
  EXPECT_TRUE(rig.ask(kBustTrade, BustTrade{2, "reason", std::nullopt}).ok());
  EXPECT_EQ(last_price(), 10'000) << "that of the last trade of before stands";
  rig.restore();
  EXPECT_EQ(last_price(), 10'000);
}

}  // namespace
}  // namespace heptane::fintech::exchange
