// A second exchange, as plain as can be: a list of orders, searched from end to end, for one instrument with prices in hundredths,
// quantities in thousandths and assets of 2 and 8 decimals (test::bitcoin()), traded continuously. Money of an account is one number
// for each asset: what is held of it follows from the orders. Trades may be taken back: what somebody has not any more its firm owes.
// Test support; one owner.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "modules/fintech/domain/book/book.h"
#include "modules/fintech/domain/exchange/fees.h"
#include "modules/fintech/domain/exchange/instrument.h"

namespace heptane::fintech::exchange::test {

using book::SelfTrade;

constexpr Int128 kMillionths = 1'000'000;

inline Int128 divided_up(Int128 a, Int128 b) { return (a + b - 1) / b; }

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
  int buyer = 0;  // who
  int seller = 0;
  Int128 fees[2] = {0, 0};  // the buyer's and the seller's
  Int128 rebates[2] = {0, 0};
  bool busted = false;

  Int128 principal() const { return price * quantity / 1'000; }
};

class NaiveExchange {
 public:
  Int128& has(int who, bool usd) { return money_[who][usd ? 1 : 0]; }
  Int128 held(int who, bool usd) const {
    Int128 sum = 0;
    for (const auto* orders : {&open, &waiting})
      for (const NaiveOrder& order : *orders)
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
    const bool there = find(id) != nullptr || waits(id) != nullptr;
    erase(id);
    std::erase_if(waiting, [id](const NaiveOrder& order) { return order.id == id; });
    return there;
  }
  // For a review: held for, and meets nobody.
  bool wait(const NaiveOrder& order) {
    if (order.holds() > free(order.who, order.buy)) return false;
    waiting.push_back(order);
    return true;
  }
  // False: it cannot be entered now, and waits on.
  bool release(uint64_t id, bool all) {
    const NaiveOrder order = *waits(id);
    if (order.post_only && best(order) != nullptr) return false;
    cancel(id);
    return enter(order, all);
  }
  // What the firm owes; firm_of says whose an account is.
  Int128& owes(int firm, bool usd) { return owed_[firm][usd ? 1 : 0]; }
  bool owes_any(int firm) { return owes(firm, false) != 0 || owes(firm, true) != 0; }

  // Takes the trade back, and settles `agreed` in its place, if it is there; its number is the next one.
  template <class FirmOf>
  void bust(size_t at, const NaiveTrade* agreed, FirmOf firm_of) {
    NaiveTrade was = trades[at];
    trades[at].busted = true;
    settle(was, -1);
    restate(was, agreed);
    if (agreed != nullptr) {
      NaiveTrade is = was;
      is.price = agreed->price;
      is.quantity = agreed->quantity;
      for (const int side : {0, 1}) {
        if (is.fees[side] <= was.principal())
          is.fees[side] = divided_up(was.fees[side] * is.principal(), was.principal());
        is.rebates[side] = was.rebates[side] * is.principal() / was.principal();
      }
      settle(is, 1);
      trades.push_back(is);
    }
    for (const int who : {was.buyer, was.seller})
      for (const bool usd : {false, true}) {
        const Int128 lacks = -free(who, usd);
        if (lacks <= 0) continue;
        owes(firm_of(who), usd) += lacks;
        has(who, usd) += lacks;
      }
  }

  NaiveOrder* find(uint64_t id) {
    for (NaiveOrder& order : open)
      if (order.id == id) return &order;
    return nullptr;
  }

  const NaiveOrder* waits(uint64_t id) const {
    for (const NaiveOrder& order : waiting)
      if (order.id == id) return &order;
    return nullptr;
  }

  std::vector<NaiveOrder> open;  // in the order of their time
  std::vector<NaiveOrder> waiting;
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

  void settle(const NaiveTrade& trade, int sign) {
    const Int128 quote = trade.principal();
    has(trade.buyer, true) += sign * (trade.rebates[0] - trade.fees[0] - quote);
    has(trade.seller, true) += sign * (quote + trade.rebates[1] - trade.fees[1]);
    has(trade.buyer, false) += sign * trade.quantity * 100'000;
    has(trade.seller, false) -= sign * trade.quantity * 100'000;
  }
  // What is left of an open order stays.
  void restate(const NaiveTrade& was, const NaiveTrade* agreed) {
    for (NaiveOrder& order : open)
      if (order.id == was.buy || order.id == was.sell)
        order.quantity -= was.quantity - (agreed == nullptr ? 0 : agreed->quantity);
  }

  void trade(NaiveOrder& came, NaiveOrder& met) {
    NaiveOrder& buyer = came.buy ? came : met;
    NaiveOrder& seller = came.buy ? met : came;
    const Int128 price = met.price;
    const Int128 quantity = std::min(came.leaves, met.leaves);
    const Int128 principal = price * quantity / 1'000;
    NaiveTrade made{buyer.id, seller.id, price, quantity, buyer.who, seller.who, {0, 0}, {0, 0}, false};
    has(buyer.who, true) -= principal;
    has(seller.who, true) += principal;
    has(buyer.who, false) += quantity * 100'000;
    has(seller.who, false) -= quantity * 100'000;
    for (NaiveOrder* order : {&buyer, &seller}) {
      const Int128 ppm = order == &met ? order->rates.maker_ppm : order->rates.taker_ppm;
      const int side = order == &buyer ? 0 : 1;
      if (ppm < 0) made.rebates[side] = -ppm * principal / kMillionths;
      has(order->who, true) += made.rebates[side];
      if (ppm > 0) order->fee_parts += ppm * principal, order->paying = true;
      Int128 fee = order->owed(0, false);
      if (order == &seller) fee = std::min(fee, principal);
      made.fees[side] = fee;
      order->charged += fee;
      has(order->who, true) -= fee;
      order->leaves -= quantity;
    }
    trades.push_back(made);
    const uint64_t gone[] = {came.leaves == 0 ? came.id : 0, met.leaves == 0 ? met.id : 0};
    for (const uint64_t id : gone) erase(id);
  }

  std::map<int, std::map<int, Int128>> money_;
  std::map<int, std::map<int, Int128>> owed_;  // by firm
};

}  // namespace heptane::fintech::exchange::test
