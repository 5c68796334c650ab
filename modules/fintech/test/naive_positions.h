// Positions as plain as can be: for each account the list of its sides of trades that stand, summed anew whenever it is asked. Test support;
// one owner.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "modules/fintech/domain/exchange/position.h"

namespace heptane::fintech::exchange::test {

class NaivePositions {
 public:
  struct Account {
    std::vector<TradedSide> sides;
    uint64_t since = 0;
    size_t round = 0;  // so many of them are of earlier rounds,
    Uint128 rest = 0;  // but for this much of the last of those

    Int128 position() const {
      Int128 sum = 0;
      for (const TradedSide& one : sides)
        sum += one.side == book::Side::buy ? static_cast<Int128>(one.sums.quantity)
                                           : -static_cast<Int128>(one.sums.quantity);
      return sum;
    }
    TradedSums all(book::Side side) const { return summed(side, 0); }
    TradedSums of_round(book::Side side) const {
      TradedSums sums = summed(side, round);
      if (rest != 0 && sides[round - 1].side == side) {
        const TradedSums& split = sides[round - 1].sums;
        sums.quantity += rest;
        sums.value += split.value - split.value * (split.quantity - rest) / split.quantity;
      }
      return sums;
    }
    Uint128 fees() const {
      Uint128 sum = 0;
      for (const TradedSide& one : sides) sum += one.fee;
      return sum;
    }
    Uint128 rebates() const {
      Uint128 sum = 0;
      for (const TradedSide& one : sides) sum += one.rebate;
      return sum;
    }

   private:
    TradedSums summed(book::Side side, size_t from) const {
      TradedSums sums;
      for (size_t at = from; at < sides.size(); ++at) {
        if (sides[at].side != side) continue;
        sums.quantity += sides[at].sums.quantity;
        sums.value += sides[at].sums.value;
      }
      return sums;
    }
  };

  void add(int who, const TradedSide& made) {
    Account& account = accounts_[who];
    const Int128 before = account.position();
    account.sides.push_back(made);
    const Int128 after = account.position();
    if (before == 0 || (after != 0 && (after < 0) == (before < 0))) return;
    account.since = made.trade;
    account.round = account.sides.size();
    account.rest = static_cast<Uint128>(after < 0 ? -after : after);
  }
  void restate(int who, uint64_t trade, book::Side side, const TradedSide* is, uint64_t newest) {
    Account& account = accounts_[who];
    if (trade <= account.since) account.since = account.round = 0, account.rest = 0;
    std::erase_if(account.sides, [&](const TradedSide& one) { return one.trade == trade && one.side == side; });
    if (is != nullptr) account.sides.push_back(*is);
    if (account.position() != 0) return;
    account.since = newest;
    account.round = account.sides.size();
    account.rest = 0;
  }
  const Account& of(int who) { return accounts_[who]; }

 private:
  std::map<int, Account> accounts_;
};

// Whether a position is the sum of these.
inline bool agrees(const TradedPosition& position, const NaivePositions::Account& naive) {
  const auto less = [](const TradedSums& all, Uint128 quantity, Uint128 value) {
    return TradedSums{all.quantity - quantity, all.value - value};
  };
  return position.bought == naive.all(book::Side::buy) && position.sold == naive.all(book::Side::sell) &&
         position.fees == naive.fees() && position.rebates == naive.rebates() && position.open() == naive.position() &&
         less(position.bought, position.flat_quantity, position.flat_bought_for) == naive.of_round(book::Side::buy) &&
         less(position.sold, position.flat_quantity, position.flat_sold_for) == naive.of_round(book::Side::sell);
}

}  // namespace heptane::fintech::exchange::test
