// The price of a call: most volume; of these prices, least surplus; of these, the highest when only buys are left over, the
// lowest when only sells are, else the one nearest to the reference, of two the higher. Prices that count are those of orders,
// and the reference.
//
// Both sides are walked from their best price towards each other, level against level, as if they traded: what has met is the
// most volume, and it can trade at every price from the last sell level that gave something (`low`) to the last such buy
// level (`high`). Which of these, the rest of the rules says from where the walk stopped.
#include <algorithm>

#include "modules/fintech/domain/book/book_state.h"

namespace heptane::book {

namespace {

uint64_t distance(int64_t a, int64_t b) {
  return a > b ? static_cast<uint64_t>(a) - static_cast<uint64_t>(b)
               : static_cast<uint64_t>(b) - static_cast<uint64_t>(a);
}

int64_t nearer(int64_t low, int64_t high, int64_t reference) {
  return distance(low, reference) < distance(high, reference) ? low : high;
}

// The level that gave something last has more.
bool has_rest(const CallSide& side) { return !side.ended && side.price == side.matched; }

}  // namespace

uint64_t BookState::quantity_at(Side side, int64_t price) const {
  const bool buy = side == Side::buy;
  uint64_t quantity = 0;
  for (const LadderNumber i : {buy ? kFirstBids : kFirstAsks, buy ? kBids : kAsks}) {
    const uint32_t level = ladders[i].find(price);
    if (level != kNone) quantity += levels[level].total;
  }
  return quantity;
}

CallWalk BookState::call_walk() const {
  CallWalk walk = {};
  for (const Side side : {Side::buy, Side::sell}) {
    const bool buy = side == Side::buy;
    CallSide& at = buy ? walk.buys : walk.sells;
    at.ended = true;
    for (const LadderNumber i : {buy ? kFirstBids : kFirstAsks, buy ? kBids : kAsks}) {
      const uint32_t best = ladders[i].best();
      if (best == kNone || (!at.ended && ladders[i].reaches(at.price, levels[best].price))) continue;
      at.ended = false;
      at.price = levels[best].price;
    }
    if (!at.ended) at.rest = quantity_at(side, at.price);
  }
  return walk;
}

void BookState::step_to_worse(Side side, CallSide& at) const {
  const bool buy = side == Side::buy;
  const int64_t from = at.price;
  at.ended = true;
  for (const LadderNumber i : {buy ? kFirstBids : kFirstAsks, buy ? kBids : kAsks}) {
    const uint32_t level = ladders[i].worse_than(from);
    if (level == kNone || (!at.ended && ladders[i].reaches(at.price, levels[level].price))) continue;
    at.ended = false;
    at.price = levels[level].price;
  }
  at.rest = at.ended ? 0 : quantity_at(side, at.price);
}

bool BookState::advance(CallWalk& walk) const {
  CallSide& buys = walk.buys;
  CallSide& sells = walk.sells;
  if (buys.ended || sells.ended || buys.price < sells.price) return false;
  const uint64_t met = std::min(buys.rest, sells.rest);
  walk.volume += met;
  buys.rest -= met;
  sells.rest -= met;
  buys.matched = buys.price;
  sells.matched = sells.price;
  if (buys.rest == 0) step_to_worse(Side::buy, buys);
  if (sells.rest == 0) step_to_worse(Side::sell, sells);
  return true;
}

Indication BookState::outcome_of(const CallWalk& walk, int64_t reference) const {
  const CallSide& buys = walk.buys;
  const CallSide& sells = walk.sells;
  if (walk.volume == 0) return {false, true, reference, 0, 0, Side::buy};
  const int64_t low = sells.matched;
  const int64_t high = buys.matched;
  if (has_rest(buys)) return {true, true, high, walk.volume, buys.rest, Side::buy};
  if (has_rest(sells)) return {true, true, low, walk.volume, sells.rest, Side::sell};
  // Nothing is left over at a price above all further buys and below all further sells.
  const auto even = [&](int64_t price) {
    return price >= low && price <= high && (buys.ended || price > buys.price) && (sells.ended || price < sells.price);
  };
  if (even(reference)) return {true, true, reference, walk.volume, 0, Side::buy};
  if (even(low) || even(high)) {
    const int64_t price = !even(high) ? low : !even(low) ? high : nearer(low, high, reference);
    return {true, true, price, walk.volume, 0, Side::buy};
  }
  // So the next buy and the next sell level lie between low and high, and the reference, if it lies there, beyond one of them.
  if (buys.rest < sells.rest) return {true, true, buys.price, walk.volume, buys.rest, Side::buy};
  if (sells.rest < buys.rest) return {true, true, sells.price, walk.volume, sells.rest, Side::sell};
  CallSide more_buys = buys;
  CallSide more_sells = sells;
  step_to_worse(Side::buy, more_buys);
  step_to_worse(Side::sell, more_sells);
  // As much is left over at every price up to the buy level beyond the next one, and to the sell level.
  const auto as_good = [&](int64_t price) {
    if (price < low || price > high) return false;
    if (price <= buys.price) return more_buys.ended || price > more_buys.price;
    return price >= sells.price && (more_sells.ended || price < more_sells.price);
  };
  int64_t price = nearer(buys.price, sells.price, reference);
  if (as_good(low)) price = nearer(low, price, reference);
  if (as_good(high)) price = nearer(price, high, reference);
  if (as_good(reference)) price = reference;
  return {true, true, price, walk.volume, buys.rest, price <= buys.price ? Side::buy : Side::sell};
}

bool BookState::call_crosses() const {
  const CallWalk walk = call_walk();
  return !walk.buys.ended && !walk.sells.ended && walk.buys.price >= walk.sells.price;
}

}  // namespace heptane::book
