// The end of a call: its price, the trades at it, the end of what was for it alone.
#include <algorithm>

#include "modules/fintech/domain/book/book_state.h"

namespace heptane::book {

Outcome BookState::start_uncross(const Uncross& command, Room room) {
  if (const Reject no = begin(room); no != Reject::none) return refused(no);
  if (!is_call(phase)) return refused(Reject::not_a_call);
  if (command.price_low > command.price_high) return refused(Reject::bad_band);
  work.uncross = command;
  work.removed = false;
  work.count = 0;  // of prices found
  work.walk = call_walk();
  work.stage = Stage::price;
  return run();
}

void BookState::price_step() {
  while (has_room()) {
    --orders_left;
    if (!advance(work.walk)) return found_price();
  }
}

void BookState::found_price() {
  const Indication found = outcome_of(work.walk, work.uncross.reference);
  const bool again = work.count++ > 0;
  if (!found.crosses && again) {
    work.stage = Stage::end_of_call;
    return;
  }
  const bool inside = found.price >= work.uncross.price_low && found.price <= work.uncross.price_high;
  Event& e = *event++;
  e = {};
  e.type = found.crosses && !inside ? EventType::outside_band : EventType::uncrossed;
  e.side = found.surplus_side;
  e.in_call = true;
  e.price = found.price;
  e.quantity = found.volume;
  e.leaves = found.surplus;
  work.call_price = found.price;
  work.stage = !found.crosses ? Stage::end_of_call : inside ? Stage::pairs : Stage::idle;
}

// The order whose turn it is at the call's price: those of the call before the others.
bool BookState::best_of_call(Side side, uint32_t& number) const {
  const bool buy = side == Side::buy;
  for (const LadderNumber i : {buy ? kFirstBids : kFirstAsks, buy ? kBids : kAsks}) {
    const uint32_t best = ladders[i].best();
    if (best == kNone || !ladders[i].reaches(levels[best].price, work.call_price)) continue;
    number = levels[best].head;
    return true;
  }
  return false;
}

void BookState::pairs_step() {
  while (has_room()) {
    uint32_t buy = kNone;
    uint32_t sell = kNone;
    if (!best_of_call(Side::buy, buy) || !best_of_call(Side::sell, sell)) {
      // What a self-trade took out may have left prices that cross: they get a price of their own.
      work.stage = work.removed ? Stage::price : Stage::end_of_call;
      if (work.removed) work.walk = call_walk();
      work.removed = false;
      return;
    }
    --orders_left;
    if (!self_trade_of_call(buy, sell)) trade_of_call(buy, sell);
  }
}

bool BookState::self_trade_of_call(uint32_t buy, uint32_t sell) {
  const bool buy_is_newer = orders[buy].number > orders[sell].number;
  const uint32_t newer = buy_is_newer ? buy : sell;
  const uint32_t older = buy_is_newer ? sell : buy;
  const SelfTrade rule = orders[newer].self_trade;
  if (orders[buy].owner != orders[sell].owner || orders[buy].owner == 0 || rule == SelfTrade::allow) return false;
  if (rule != SelfTrade::cancel_newest) end(older, Reason::self_trade);
  if (rule != SelfTrade::cancel_oldest) end(newer, Reason::self_trade);
  work.removed = true;
  return true;
}

void BookState::trade_of_call(uint32_t buy, uint32_t sell) {
  const Order& b = orders[buy];
  const Order& s = orders[sell];
  const uint64_t quantity = std::min(b.leaves, s.leaves);
  Event& e = *event++;
  e = {EventType::trade, Reason::none,        Side::buy,           true,        b.owner, b.id, s.id, work.call_price,
       quantity,         b.leaves - quantity, s.leaves - quantity, next_trade++};
  last_price = work.call_price;
  has_last = true;
  call_fill(buy, quantity);
  call_fill(sell, quantity);
}

// Hidden quantity goes first, so that nothing has to be shown anew: the order keeps its place.
void BookState::call_fill(uint32_t number, uint64_t quantity) {
  Order& order = orders[number];
  Level& level = levels[order.level];
  const uint64_t visible = visible_of(number);
  order.leaves -= quantity;
  if (order.iceberg) extras[number].visible = std::min(visible, order.leaves);
  level.total -= quantity;
  level.visible -= visible - visible_of(number);
  if (order.leaves > 0) return;
  unlink(number);
  forget(number);
}

void BookState::end_of_call_step() {
  const uint32_t best = ladders[kFirstBids].best() != kNone ? ladders[kFirstBids].best() : ladders[kFirstAsks].best();
  if (best == kNone) {
    work.stage = Stage::idle;
    return;
  }
  --orders_left;
  end(levels[best].head, Reason::call_ended);
}

}  // namespace heptane::book
