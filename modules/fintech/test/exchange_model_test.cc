// The exchange beside a second one, as plain as can be (naive_exchange.h). After every command both have the same open orders, trades,
// balances and holds; refused by one is refused by the other. Then all of it once more without the snapshots in between: the same
// state.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernel/base/random.h"
#include "modules/fintech/gateway/http/risk_json.h"
#include "modules/fintech/test/exchange_rig.h"
#include "modules/fintech/test/naive_exchange.h"
#include "modules/fintech/test/naive_positions.h"

namespace heptane::fintech::exchange {
namespace {

using book::SelfTrade;
using book::Side;
using book::TimeInForce;
using test::ExchangeRig;
using test::kBtc;
using test::kSecond;
using test::kUsd;
using test::NaiveExchange;
using test::NaiveOrder;
using test::NaivePositions;
using test::NaiveTrade;

constexpr int kAccounts = 3;
constexpr uint64_t kUnitsOfAll = 40;  // of 200
constexpr size_t kStepsBetweenSums = 10;
constexpr int64_t kReviewed = 25'000;  // from this quantity on

class Both {
 public:
  explicit Both(bool with_snapshots) : with_snapshots_(with_snapshots) {
    rig.open_market();
    for (const char* name : {"second"}) EXPECT_TRUE(rig.ask(kPutAccount, AccountSpec{"alpha", name, 1}).ok());
    const std::string json = R"({"rules": [{"name": "large", "then": "review", "when":
      {">=": [{"field": "quantity"}, )" +
                             std::to_string(kReviewed) + R"(]}, "review": {"seconds": 3600}}]})";
    const auto rules = exchange_http::rules_of_json(json);
    EXPECT_TRUE(rules.ok() && rig.ask(kPutRiskRules, RiskRulesPut{false, *rules, json}).ok());
  }

  void run(size_t steps, uint64_t seed) {
    SeededRandom random(seed);
    const auto below = [&](uint64_t most) { return random.below(most); };
    for (size_t step = 0; step < steps && !testing::Test::HasFailure(); ++step) {
      const uint64_t what = below(100);
      if (what < 8)
        cash(static_cast<int>(below(kAccounts)), below(2) == 0, below(3) != 0, below(200) + 1);
      else if (what < 60)
        enter(random);
      else if (what < 80)
        replace(random);
      else if (what < 93)
        cancel(any_order(random));
      else if (what < 96)
        bust(random);
      else if (what < 98)
        review(random);
      else
        mass_cancel(static_cast<int>(below(kAccounts)));
      rig.now += static_cast<LogTime>(below(1'000));
      rig.fire();
      compare();
      if (with_snapshots_ && step % 500 == 499) rig.restore();
    }
  }

  ExchangeRig rig;
  uint64_t refused = 0;
  uint64_t busted = 0;
  uint64_t owed = 0;
  uint64_t reviewed = 0;

 private:
  static std::string firm(int who) { return who == 1 ? "beta" : "alpha"; }
  static std::string account(int who) { return who == 2 ? "second" : "main"; }
  static int firm_of(int who) { return who == 1 ? 1 : 0; }
  uint32_t number(int who) const {
    const Directory& directory = rig.exchange.directory();
    return directory.account(directory.firm(firm(who))->number, account(who))->number;
  }
  FeeRates rates(int who) const { return test::bitcoin().fees[who == 0 ? 0 : 1]; }
  uint64_t any_order(SeededRandom& random) const {
    if (!naive_.waiting.empty() && random.below(20) == 0) return naive_.waiting[random.below(naive_.waiting.size())].id;
    if (naive_.open.empty() || random.below(20) == 0) return random.below(rig.exchange.orders().next_id()) + 1;
    return naive_.open[random.below(naive_.open.size())].id;
  }
  template <class Payload>
  bool ask(CommandType type, const Payload& payload) {
    const Reply reply = rig.apply(rig.exchange, type, packed(payload));
    rig.check();
    const bool ruled_out = reply.ok() && (type == kNewOrder || type == kReplaceOrder) && reply.numbers[0] == 0;
    const bool done = reply.ok() && !ruled_out;
    refused += done ? 0 : 1;
    last_ = reply;
    return done;
  }

  void cash(int who, bool usd, bool in, uint64_t units) {
    // Now and then all that is free: what a busted trade brought is gone then.
    const Int128 all = naive_.free(who, usd);
    const bool takes_all = !in && units <= kUnitsOfAll && all > 0;
    const Int128 amount = takes_all ? all : Int128{units} * (usd ? 10'000 : 100'000'000);
    const bool done = ask(in ? kDeposit : kWithdraw, CashMove{firm(who), account(who), usd ? kUsd : kBtc,
                                                              static_cast<Uint128>(amount), uint8_t(usd ? 2 : 8)});
    EXPECT_EQ(done, in || (amount <= naive_.free(who, usd) && !naive_.owes_any(firm_of(who)))) << last_.message;
    if (!done) return;
    Int128& owes = naive_.owes(firm_of(who), usd);
    const Int128 clears = in ? std::min(owes, amount) : 0;
    owes -= clears;
    naive_.has(who, usd) += in ? amount - clears : -amount;
  }

  // Or corrects, one of the last trades as a rule; of one that was busted already it is refused.
  void bust(SeededRandom& random) {
    if (naive_.trades.empty()) return;
    const size_t all = naive_.trades.size();
    const size_t at = all - 1 - random.below(std::min<size_t>(all, random.below(4) == 0 ? all : 20));
    const NaiveTrade& trade = naive_.trades[at];
    BustTrade asked{at + 1, "by the test", std::nullopt};
    NaiveTrade agreed;
    const bool corrects = random.below(3) == 0;
    if (corrects) {
      agreed.price = Int128{9'900 + random.below(20) * 10};
      agreed.quantity = Int128{random.below(static_cast<uint64_t>(trade.quantity) / 100) + 1} * 100;
      asked.agreed = AgreedTrade{{static_cast<int64_t>(agreed.price), 2}, {static_cast<int64_t>(agreed.quantity), 3}};
    }
    const bool same = corrects && agreed.price == trade.price && agreed.quantity == trade.quantity;
    const bool can = !trade.busted && !same;
    ASSERT_EQ(ask(kBustTrade, asked), can) << last_.message;
    if (!can) return;
    ++busted;
    naive_.bust(at, corrects ? &agreed : nullptr, firm_of);
    const size_t newest = naive_.trades.size();
    for (const Side side : {Side::buy, Side::sell}) {
      const TradedSide is = side_of(newest, side);
      positions_.restate(who_of(at + 1, side), at + 1, side, corrects ? &is : nullptr, newest);
    }
    positioned_ = newest;
    for (const int of : {0, 1}) owed += naive_.owes_any(of) ? 1 : 0;
  }

  void enter(SeededRandom& random) {
    NaiveOrder order;
    order.id = rig.exchange.orders().next_id();
    order.who = static_cast<int>(random.below(kAccounts));
    order.buy = random.below(2) == 0;
    order.price = Int128{9'900 + random.below(20) * 10};
    order.quantity = order.leaves = Int128{(random.below(300) + 1) * 100};
    order.rates = rates(order.who);
    const uint64_t kind = random.below(10);
    const bool all = kind == 0;
    order.immediate = kind <= 2;
    order.rule = all ? SelfTrade::allow : static_cast<SelfTrade>(random.below(4));
    NewOrder asked = rig.order(firm(order.who), order.buy ? Side::buy : Side::sell, "0", "0");
    asked.account = account(order.who);
    asked.price = {static_cast<int64_t>(order.price), 2};
    asked.quantity = {static_cast<int64_t>(order.quantity), 3};
    asked.self_trade = order.rule;
    asked.post_only = order.post_only = kind == 3;
    if (order.immediate) asked.tif = all ? TimeInForce::fok : TimeInForce::ioc;
    const bool may = !naive_.owes_any(firm_of(order.who));
    if (order.quantity < kReviewed) {
      EXPECT_EQ(ask(kNewOrder, asked), may && naive_.enter(order, all)) << last_.message;
      return;
    }
    fok_.erase(order.id);  // of one that was refused
    if (all) fok_.insert(order.id);
    EXPECT_EQ(ask(kNewOrder, asked), may && naive_.wait(order)) << last_.message;
  }

  void review(SeededRandom& random) {
    if (naive_.waiting.empty()) return;
    const NaiveOrder order = naive_.waiting[random.below(naive_.waiting.size())];
    const bool allow = random.below(4) != 0;
    const bool may = !allow || !naive_.owes_any(firm_of(order.who));
    const bool done = ask(kDecideReview, ReviewDecision{order.id, allow, "by the test"});
    if (allow)
      EXPECT_EQ(done, may && naive_.release(order.id, fok_.contains(order.id))) << last_.message;
    else
      EXPECT_EQ(done, naive_.cancel(order.id)) << last_.message;
    ++reviewed;
  }

  void replace(SeededRandom& random) {
    const uint64_t id = any_order(random);
    const NaiveOrder* order = naive_.find(id);
    const int who = order == nullptr ? 0 : order->who;
    const Int128 quantity = Int128{random.below(300) * 100};
    const Int128 price =
        order != nullptr && random.below(2) == 0 ? order->price : Int128{9'900 + random.below(20) * 10};
    ReplaceOrder asked = rig.change(firm(who), id, "0", "0");
    asked.quantity = {static_cast<int64_t>(quantity), 3};
    asked.price = Said{static_cast<int64_t>(price), 2};
    const bool may = order == nullptr || !naive_.owes_any(firm_of(who));
    // What is not held for a review, and is not judged where it ends the order.
    const Int128 leaves = order == nullptr ? 0 : quantity - (order->quantity - order->leaves);
    const bool reviews = leaves >= kReviewed;
    EXPECT_EQ(ask(kReplaceOrder, asked), may && !reviews && naive_.replace(id, quantity, price)) << last_.message;
  }

  void cancel(uint64_t id) {
    const NaiveOrder* order = naive_.find(id);
    if (order == nullptr) order = naive_.waits(id);
    const std::string of = firm(order == nullptr ? 0 : order->who);
    const bool there = naive_.cancel(id);
    EXPECT_EQ(ask(kCancelOrder, CancelOrder{of, id, ""}), there);
  }

  void mass_cancel(int who) {
    EXPECT_TRUE(ask(kMassCancel, MassCancelOrders{firm(who), account(who), "", std::nullopt}));
    for (auto* orders : {&naive_.open, &naive_.waiting})
      std::erase_if(*orders, [who](const NaiveOrder& order) { return order.who == who; });
  }

  void compare() {
    ASSERT_EQ(rig.exchange.orders().open(), naive_.open.size() + naive_.waiting.size());
    ASSERT_EQ(rig.exchange.reviews().size(), naive_.waiting.size());
    for (const NaiveOrder& order : naive_.waiting) ASSERT_TRUE(rig.exchange.reviews().contains(order.id)) << order.id;
    for (const NaiveOrder& order : naive_.open) {
      const Order* found = rig.find(order.id);
      ASSERT_TRUE(found != nullptr && found->status == OrderStatus::open) << order.id;
      ASSERT_EQ(Int128{found->funds.leaves} == order.leaves, true) << order.id;
      ASSERT_EQ(Int128{found->quantity} == order.quantity, true) << order.id;
    }
    for (int who = 0; who < kAccounts; ++who)
      for (const bool usd : {false, true}) {
        const uint32_t asset = usd ? kUsd : kBtc;
        const Uint128 held = balance(rig.ledger, number(who), asset, Purse::held);
        const Uint128 all = balance(rig.ledger, number(who), asset, Purse::available) + held;
        ASSERT_TRUE(static_cast<Int128>(held) == naive_.held(who, usd)) << who << usd;
        ASSERT_TRUE(static_cast<Int128>(all) == naive_.has(who, usd)) << who << usd;
        const uint32_t of = rig.exchange.directory().firm(firm(who))->number;
        ASSERT_TRUE(static_cast<Int128>(exchange::owed(rig.ledger, of, asset)) == naive_.owes(firm_of(who), usd));
      }
    compare_positions();
    compare_trades();
  }

  TradedSide side_of(size_t number, Side side) const {
    const NaiveTrade& trade = naive_.trades[number - 1];
    const int of = side == Side::buy ? 0 : 1;
    return {number,
            side,
            {static_cast<Uint128>(trade.quantity), static_cast<Uint128>(trade.principal())},
            static_cast<Uint128>(trade.fees[of]),
            static_cast<Uint128>(trade.rebates[of])};
  }
  int who_of(size_t number, Side side) const {
    const NaiveTrade& trade = naive_.trades[number - 1];
    return side == Side::buy ? trade.buyer : trade.seller;
  }
  // Of the list of trades that stand, summed anew.
  void compare_positions() {
    for (; positioned_ < naive_.trades.size(); ++positioned_)
      for (const Side side : {Side::buy, Side::sell})
        positions_.add(who_of(positioned_ + 1, side), side_of(positioned_ + 1, side));
    if (++compares_ % kStepsBetweenSums != 0) return;
    for (int who = 0; who < kAccounts; ++who) {
      const auto rows = rig.query<AccountPositions>(kQueryPositions, Page{firm(who), account(who), true});
      ASSERT_TRUE(rows.has_value());
      const PositionRow row = rows->positions.empty() ? PositionRow() : rows->positions.front();
      ASSERT_TRUE(test::agrees(row.traded, positions_.of(who))) << who;
      ASSERT_TRUE(row.exposure.position == row.traded.open()) << who;
    }
  }

  // Each with its postings: what went for it is in the ledger under the trade's ids.
  void compare_trades() {
    ASSERT_EQ(rig.exchange.trades_total(), naive_.trades.size());
    for (; compared_ < naive_.trades.size(); ++compared_) {
      const NaiveTrade& trade = naive_.trades[compared_];
      Transfer principal{};
      Transfer base{};
      ASSERT_TRUE(rig.ledger.ledger().find_transfer(trade_leg_id(compared_ + 1, 0), principal));
      ASSERT_TRUE(rig.ledger.ledger().find_transfer(trade_leg_id(compared_ + 1, 1), base));
      ASSERT_TRUE(static_cast<Int128>(principal.amount) == trade.price * trade.quantity / 1'000);
      ASSERT_TRUE(static_cast<Int128>(base.amount) == trade.quantity * 100'000);
      const auto read = settled_trade(rig.ledger, compared_ + 1);
      ASSERT_TRUE(read.ok());
      ASSERT_TRUE(static_cast<Int128>(read->buyer_fee) == trade.fees[0] &&
                  static_cast<Int128>(read->seller_rebate) == trade.rebates[1]);
      ASSERT_TRUE(read->marks.buy_order == trade.buy && read->marks.sell_order == trade.sell);
      while (!rig.told[kTradesView.number].at(told_).starts_with(R"({"event":"trade")") &&
             !rig.told[kTradesView.number].at(told_).starts_with(R"({"event":"corrected")"))
        ++told_;
      const std::string& told = rig.told[kTradesView.number].at(told_++);
      ASSERT_NE(told.find("\"buy_order_id\":\"" + std::to_string(trade.buy) + "\",\"sell_order_id\":\"" +
                          std::to_string(trade.sell) + "\""),
                std::string::npos)
          << told;
    }
  }

  const bool with_snapshots_;
  NaiveExchange naive_;
  Reply last_;
  std::set<uint64_t> fok_;  // of those that wait, or did
  NaivePositions positions_;
  size_t positioned_ = 0;
  size_t compares_ = 0;
  size_t compared_ = 0;
  size_t told_ = 0;
};

TEST(ExchangeModel, TwoExchangesAgreeAndSnapshotsChangeNothing) {
  constexpr size_t kSteps = 8'000;
  for (const uint64_t seed : {1, 2, 3}) {
    Both first(true);
    first.run(kSteps, seed);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    EXPECT_GT(first.rig.exchange.trades_total(), kSteps / 10);
    EXPECT_GT(first.refused, kSteps / 50);
    EXPECT_GT(first.busted, kSteps / 50);
    EXPECT_GT(first.owed, 10U);
    EXPECT_GT(first.reviewed, kSteps / 100);
    Both second(false);
    second.run(kSteps, seed);
    EXPECT_EQ(first.rig.state(), second.rig.state());
  }
}

}  // namespace
}  // namespace heptane::fintech::exchange
