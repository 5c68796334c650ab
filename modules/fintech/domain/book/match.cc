// The continuous phase: what comes against what rests, and the stops that its trades trigger.
#include <algorithm>

#include "modules/fintech/domain/book/book_state.h"

namespace heptane::book {

namespace {

// Whether they may not trade with each other, by what the one that came asks for.
bool barred(const Order& came, const Order& rests) {
  return came.owner == rests.owner && came.owner != 0 && came.self_trade != SelfTrade::allow;
}

}  // namespace

// One order, or a level where owners do not matter.
void BookState::check_step() {
  if (work.found + work.visible >= work.need) {
    work.stage = Stage::match;
    return;
  }
  const Order& active = orders[work.active];
  --orders_left;
  if (work.cursor == kNone || !look_at(active, work.cursor)) {
    end(work.active, active.tif == TimeInForce::fok ? Reason::fok : Reason::minimum);
    work.active = kNone;
    finish_work();
  }
}

// Adds what the order at the cursor has, and moves the cursor on; false: nothing more can be had. With cancel_newest and cancel_both
// nothing behind an own order can, and of its level only what is visible before it.
bool BookState::look_at(const Order& active, uint32_t at) {
  const Ladder& other = other_side(active.side);
  const Level& level = levels[orders[at].level];
  if (!other.reaches(level.price, work.active_price)) return false;
  uint32_t next = orders[at].next;
  if (active.owner == 0 || active.self_trade == SelfTrade::allow) {
    work.found += level.total;
    next = kNone;
  } else if (active.self_trade == SelfTrade::cancel_oldest) {
    work.found += barred(active, orders[at]) ? 0 : orders[at].leaves;
  } else if (barred(active, orders[at])) {
    return false;
  } else {
    work.visible += visible_of(at);
    work.hidden += orders[at].leaves - visible_of(at);
  }
  if (next == kNone) {
    work.found += work.visible + work.hidden;
    work.visible = work.hidden = 0;
    const uint32_t worse = other.worse_than(level.price);
    next = worse == kNone ? kNone : levels[worse].head;
  }
  work.cursor = next;
  return true;
}

void BookState::match_step() {
  Order& active = orders[work.active];
  Ladder& other = other_side(active.side);
  while (has_room()) {
    const uint32_t best = other.best();
    if (best == kNone || !other.reaches(levels[best].price, work.active_price)) return finish_active();
    Level& level = levels[best];
    const uint32_t resting = level.head;
    --orders_left;
    if (barred(active, orders[resting])) {
      if (self_trade(resting)) return;
      continue;
    }
    trade(resting, level);
    if (active.leaves == 0) {
      forget(work.active);
      work.active = kNone;
      return finish_work();
    }
  }
}

void BookState::trade(uint32_t resting_number, Level& level) {
  Order& active = orders[work.active];
  Order& resting = orders[resting_number];
  const uint64_t quantity = std::min(active.leaves, visible_of(resting_number));
  const int64_t price = level.price;
  active.leaves -= quantity;
  resting.leaves -= quantity;
  level.total -= quantity;
  level.visible -= quantity;
  Event& e = *event++;
  e = {EventType::trade, Reason::none, active.side, false,         active.owner,   active.id,
       resting.id,       price,        quantity,    active.leaves, resting.leaves, next_trade++};
  last_price = price;
  has_last = work.judge_stops = true;
  if (resting.iceberg) {
    extras[resting_number].visible -= quantity;
    if (resting.leaves > 0 && extras[resting_number].visible == 0) return refresh(resting_number, level, resting.level);
  }
  if (resting.leaves == 0) {
    pop(level, resting);
    forget(resting_number);
  }
}

// The first of its level, which has nothing left.
void BookState::pop(Level& level, const Order& first) {
  level.head = first.next;
  if (--level.orders == 0) {
    ladders[first.ladder].erase(first.level);
  } else {
    orders[first.next].prev = kNone;
  }
}

// The next slice of an iceberg stands behind everybody.
void BookState::refresh(uint32_t number, Level& level, uint32_t level_number) {
  Order& order = orders[number];
  Extra& extra = extras[number];
  order.number = next_number++;
  extra.visible = std::min(extra.display, order.leaves);
  if (level.tail == number) {
    level.visible += extra.visible;
    return;
  }
  level.head = order.next;
  orders[order.next].prev = kNone;
  level.total -= order.leaves;
  --level.orders;
  append(number, level, level_number);
}

// True when the active order is gone.
bool BookState::self_trade(uint32_t resting) {
  const SelfTrade rule = orders[work.active].self_trade;
  if (rule != SelfTrade::cancel_newest) end(resting, Reason::self_trade);
  if (rule == SelfTrade::cancel_oldest) return false;
  end(work.active, Reason::self_trade);
  work.active = kNone;
  finish_work();
  return true;
}

// There is nothing more to trade with.
void BookState::finish_active() {
  const uint32_t number = work.active;
  const Order& order = orders[number];
  const bool immediate =
      order.type == OrderType::market || order.tif == TimeInForce::ioc || order.tif == TimeInForce::fok;
  if (immediate) {
    end(number, Reason::unfilled);
  } else {
    if (order.iceberg) extras[number].visible = std::min(extras[number].display, order.leaves);
    rest(number, order.side == Side::buy ? kBids : kAsks, work.active_price);
  }
  work.active = kNone;
  finish_work();
}

// ---- stops ----

bool BookState::reached(Side side, int64_t stop_price) const {
  return has_last && (side == Side::buy ? last_price >= stop_price : last_price <= stop_price);
}

// The nearest one that the last trade has reached; buys before sells.
void BookState::stops_step() {
  for (const LadderNumber ladder : {kBuyStops, kSellStops}) {
    const uint32_t best = ladders[ladder].best();
    if (best == kNone || !reached(ladder == kBuyStops ? Side::buy : Side::sell, levels[best].price)) continue;
    --orders_left;
    return trigger(levels[best].head);
  }
  work.judge_stops = false;
  work.stage = Stage::idle;
}

void BookState::trigger(uint32_t number) {
  Order& order = orders[number];
  if (order.level != kNone) unlink(number);
  order.type = order.type == OrderType::stop ? OrderType::market : OrderType::limit;
  order.number = next_number++;
  work.active = number;
  work.active_price = extras[number].price;
  work.stage = Stage::match;
  emit(EventType::triggered, order, work.active_price);
}

}  // namespace heptane::book
