// The exchange beside a second one, as plain as can be: a list of orders, searched from end to end. After every command both have
// the same open orders, trades, balances and holds; refused by one is refused by the other. Then all of it once more without the
// snapshots in between: the same state.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernel/base/random.h"
#include "modules/fintech/test/exchange_rig.h"

namespace heptane::fintech::exchange {
namespace {

using book::SelfTrade;
using book::Side;
using book::TimeInForce;
using test::ExchangeRig;
using test::kBtc;
using test::kSecond;
using test::kUsd;

constexpr int kAccounts = 3;
constexpr Int128 kMillionths = 1'000'000;

Int128 divided_up(Int128 a, Int128 b) { return (a + b - 1) / b; }

struct NaiveOrder {
  uint64_t id = 0;
  int who = 0;
  bool buy = false;
  bool immediate = false;
  bool post_only = false;
  SelfTrade rule = SelfTrade::allow;
  Int128 price = 0;
  Int128 quantity = 0;
  Int128 leaves = 0;
  FeeRates rates;
  Int128 fee_parts = 0;  // sum of ppm x notional
  Int128 charged = 0;
  bool paying = false;

  Int128 owed(Int128 more_parts, bool pays) const {
    if (!paying && !pays) return 0;
    return std::max<Int128>(divided_up(fee_parts + more_parts, kMillionths), static_cast<Int128>(rates.minimum)) -
           charged;
  }
  Int128 holds() const {
    if (leaves == 0) return 0;
    if (!buy) return leaves * 100'000;
    const Int128 principal = price * leaves / 1'000;
    const Int128 ppm = std::max({rates.maker_ppm, rates.taker_ppm, 0});
    return principal + owed(ppm * principal, ppm > 0);
  }
};

struct NaiveTrade {
  uint64_t buy = 0;
  uint64_t sell = 0;
  Int128 price = 0;
  Int128 quantity = 0;
  bool operator==(const NaiveTrade&) const = default;
};

// Money of an account is one number for each asset: what is held of it follows from the orders.
class NaiveExchange {
 public:
  Int128& has(int who, bool usd) { return money_[who][usd ? 1 : 0]; }
  Int128 held(int who, bool usd) const {
    Int128 sum = 0;
    for (const NaiveOrder& order : open)
      if (order.who == who && order.buy == usd) sum += order.holds();
    return sum;
  }
  Int128 free(int who, bool usd) { return has(who, usd) - held(who, usd); }

  bool enter(const NaiveOrder& order, bool all) {
    if (order.holds() > free(order.who, order.buy)) return false;
    if (order.post_only && best(order) != nullptr) return false;
    if (all && reachable(order) < order.leaves) return true;  // taken, and ended at once
    open.push_back(order);
    match(order.id);
    return true;
  }
  bool replace(uint64_t id, Int128 quantity, Int128 price) {
    NaiveOrder* order = find(id);
    if (order == nullptr || quantity == 0) return false;
    NaiveOrder after = *order;
    after.leaves = quantity - (order->quantity - order->leaves);
    after.quantity = quantity;
    after.price = price;
    if (after.leaves <= 0) {
      erase(id);
      return true;
    }
    if (after.holds() - order->holds() > free(order->who, order->buy)) return false;
    if (order->post_only && best(after) != nullptr) return false;
    const bool stays = price == order->price && quantity < order->quantity;
    if (stays) {
      *order = after;
      return true;
    }
    erase(id);
    open.push_back(after);
    match(id);
    return true;
  }
  bool cancel(uint64_t id) {
    const bool there = find(id) != nullptr;
    erase(id);
    return there;
  }
  NaiveOrder* find(uint64_t id) {
    for (NaiveOrder& order : open)
      if (order.id == id) return &order;
    return nullptr;
  }

  std::vector<NaiveOrder> open;  // in the order of their time
  std::vector<NaiveTrade> trades;

 private:
  void erase(uint64_t id) {
    std::erase_if(open, [id](const NaiveOrder& order) { return order.id == id; });
  }
  static bool crosses(const NaiveOrder& order, const NaiveOrder& other) {
    return other.buy != order.buy && (order.buy ? other.price <= order.price : other.price >= order.price);
  }
  NaiveOrder* best(const NaiveOrder& order) {
    NaiveOrder* found = nullptr;
    for (NaiveOrder& other : open)
      if (other.id != order.id && crosses(order, other) &&
          (found == nullptr || (order.buy ? other.price < found->price : other.price > found->price)))
        found = &other;
    return found;
  }
  Int128 reachable(const NaiveOrder& order) const {
    Int128 sum = 0;
    for (const NaiveOrder& other : open)
      if (crosses(order, other)) sum += other.leaves;
    return sum;
  }

  void match(uint64_t id) {
    for (;;) {
      NaiveOrder* order = find(id);
      if (order == nullptr) return;
      NaiveOrder* other = best(*order);
      if (other == nullptr) {
        if (order->immediate) erase(id);
        return;
      }
      if (other->who == order->who && order->rule != SelfTrade::allow) {
        const SelfTrade rule = order->rule;
        if (rule != SelfTrade::cancel_newest) erase(other->id);
        if (rule != SelfTrade::cancel_oldest) erase(id);
        continue;
      }
      trade(*order, *other);
    }
  }

  void trade(NaiveOrder& came, NaiveOrder& met) {
    NaiveOrder& buyer = came.buy ? came : met;
    NaiveOrder& seller = came.buy ? met : came;
    const Int128 price = met.price;
    const Int128 quantity = std::min(came.leaves, met.leaves);
    const Int128 principal = price * quantity / 1'000;
    trades.push_back({buyer.id, seller.id, price, quantity});
    has(buyer.who, true) -= principal;
    has(seller.who, true) += principal;
    has(buyer.who, false) += quantity * 100'000;
    has(seller.who, false) -= quantity * 100'000;
    for (NaiveOrder* order : {&buyer, &seller}) {
      const Int128 ppm = order == &met ? order->rates.maker_ppm : order->rates.taker_ppm;
      if (ppm < 0) has(order->who, true) += -ppm * principal / kMillionths;
      if (ppm > 0) order->fee_parts += ppm * principal, order->paying = true;
      Int128 fee = order->owed(0, false);
      if (order == &seller) fee = std::min(fee, principal);
      order->charged += fee;
      has(order->who, true) -= fee;
      order->leaves -= quantity;
    }
    const uint64_t gone[] = {came.leaves == 0 ? came.id : 0, met.leaves == 0 ? met.id : 0};
    for (const uint64_t id : gone) erase(id);
  }

  std::map<int, std::map<int, Int128>> money_;
};

class Both {
 public:
  explicit Both(bool with_snapshots) : with_snapshots_(with_snapshots) {
    rig.open_market();
    for (const char* name : {"second"}) EXPECT_TRUE(rig.ask(kPutAccount, AccountSpec{"alpha", name, 1}).ok());
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
      else if (what < 98)
        cancel(any_order(random));
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

 private:
  static std::string firm(int who) { return who == 1 ? "beta" : "alpha"; }
  static std::string account(int who) { return who == 2 ? "second" : "main"; }
  uint32_t number(int who) const {
    const Directory& directory = rig.exchange.directory();
    return directory.account(directory.firm(firm(who))->number, account(who))->number;
  }
  FeeRates rates(int who) const { return test::bitcoin().fees[who == 0 ? 0 : 1]; }
  uint64_t any_order(SeededRandom& random) const {
    if (naive_.open.empty() || random.below(20) == 0) return random.below(rig.exchange.orders().next_id()) + 1;
    return naive_.open[random.below(naive_.open.size())].id;
  }
  template <class Payload>
  bool ask(CommandType type, const Payload& payload) {
    const Reply reply = rig.apply(rig.exchange, type, packed(payload));
    rig.check();
    refused += reply.ok() ? 0 : 1;
    last_ = reply;
    return reply.ok();
  }

  void cash(int who, bool usd, bool in, uint64_t units) {
    const Int128 amount = Int128{units} * (usd ? 10'000 : 100'000'000);
    const bool done = ask(in ? kDeposit : kWithdraw, CashMove{firm(who), account(who), usd ? kUsd : kBtc,
                                                              static_cast<Uint128>(amount), uint8_t(usd ? 2 : 8)});
    EXPECT_EQ(done, in || amount <= naive_.free(who, usd)) << last_.message;
    if (done) naive_.has(who, usd) += in ? amount : -amount;
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
    EXPECT_EQ(ask(kNewOrder, asked), naive_.enter(order, all)) << last_.message;
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
    EXPECT_EQ(ask(kReplaceOrder, asked), naive_.replace(id, quantity, price)) << last_.message;
  }

  void cancel(uint64_t id) {
    const NaiveOrder* order = naive_.find(id);
    const std::string of = firm(order == nullptr ? 0 : order->who);
    const bool there = naive_.cancel(id);
    EXPECT_EQ(ask(kCancelOrder, CancelOrder{of, id, ""}), there);
  }

  void mass_cancel(int who) {
    EXPECT_TRUE(ask(kMassCancel, MassCancelOrders{firm(who), account(who), "", std::nullopt}));
    std::erase_if(naive_.open, [who](const NaiveOrder& order) { return order.who == who; });
  }

  void compare() {
    ASSERT_EQ(rig.exchange.orders().open(), naive_.open.size());
    for (const NaiveOrder& order : naive_.open) {
      const Order* found = rig.find(order.id);
      ASSERT_TRUE(found != nullptr && found->status == OrderStatus::open) << order.id;
      ASSERT_EQ(Int128{found->funds.leaves} == order.leaves, true) << order.id;
    }
    for (int who = 0; who < kAccounts; ++who)
      for (const bool usd : {false, true}) {
        const uint32_t asset = usd ? kUsd : kBtc;
        const Uint128 held = balance(rig.ledger, number(who), asset, Purse::held);
        const Uint128 all = balance(rig.ledger, number(who), asset, Purse::available) + held;
        ASSERT_TRUE(static_cast<Int128>(held) == naive_.held(who, usd)) << who << usd;
        ASSERT_TRUE(static_cast<Int128>(all) == naive_.has(who, usd)) << who << usd;
      }
    compare_trades();
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
      const std::string& told = rig.told[kTradesView.number].at(compared_);
      ASSERT_NE(told.find("\"buy_order_id\":\"" + std::to_string(trade.buy) + "\",\"sell_order_id\":\"" +
                          std::to_string(trade.sell) + "\""),
                std::string::npos)
          << told;
    }
  }

  const bool with_snapshots_;
  NaiveExchange naive_;
  Reply last_;
  size_t compared_ = 0;
};

TEST(ExchangeModel, TwoExchangesAgreeAndSnapshotsChangeNothing) {
  constexpr size_t kSteps = 8'000;
  for (const uint64_t seed : {1, 2, 3}) {
    Both first(true);
    first.run(kSteps, seed);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    EXPECT_GT(first.rig.exchange.trades_total(), kSteps / 10);
    EXPECT_GT(first.refused, kSteps / 50);
    Both second(false);
    second.run(kSteps, seed);
    EXPECT_EQ(first.rig.state(), second.rig.state());
  }
}

}  // namespace
}  // namespace heptane::fintech::exchange
