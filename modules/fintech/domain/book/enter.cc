// Commands: what is refused, what they begin.
#include <algorithm>

#include "modules/fintech/domain/book/book_state.h"

namespace heptane::book {

namespace {

bool known(const NewOrder& o) {
  return o.side <= Side::sell && o.type <= OrderType::stop_limit && o.tif <= TimeInForce::at_close &&
         o.self_trade <= SelfTrade::cancel_both;
}

// A limit order that may rest outside of calls.
bool lasting_limit(OrderType type, TimeInForce tif) { return type == OrderType::limit && tif <= TimeInForce::gtd; }

bool immediate(OrderType type, TimeInForce tif) {
  return type == OrderType::market || tif == TimeInForce::ioc || tif == TimeInForce::fok;
}

bool good_display(uint64_t display, uint64_t quantity, uint32_t slices_max) {
  return display < quantity && (quantity - 1) / display < slices_max;
}

bool good_minimum(const NewOrder& o) {
  return o.minimum_quantity <= o.quantity && o.type <= OrderType::market && o.tif != TimeInForce::fok;
}

// What is wrong whatever the book holds.
Reject judge_form(const NewOrder& o, const Config& config, uint64_t quantity_max) {
  if (!known(o)) return Reject::bad_enum;
  if (o.order_id == 0) return Reject::bad_order_id;
  if (o.quantity == 0 || o.quantity > quantity_max) return Reject::bad_quantity;
  if ((o.tif == TimeInForce::gtd) != (o.expires_at != 0)) return Reject::bad_expiry;
  if (o.display_quantity != 0 &&
      !(lasting_limit(o.type, o.tif) && good_display(o.display_quantity, o.quantity, config.iceberg_slices_max)))
    return Reject::bad_display;
  if (o.minimum_quantity != 0 && !good_minimum(o)) return Reject::bad_minimum;
  if (o.post_only && (!lasting_limit(o.type, o.tif) || o.minimum_quantity != 0)) return Reject::bad_post_only;
  return Reject::none;
}

}  // namespace

Reject BookState::judge(const NewOrder& o) const {
  if (const Reject bad = judge_form(o, config, quantity_max()); bad != Reject::none) return bad;
  if (const Reject no = admitted(phase, o.type, o.tif); no != Reject::none) return no;
  if ((o.post_only || o.minimum_quantity != 0) && phase != Phase::continuous) return Reject::not_in_call;
  if (index.find(o.order_id, orders) != kNone) return Reject::duplicate_order;
  const bool rests = phase != Phase::continuous || !immediate(o.type, o.tif);
  if (rests && orders.used() >= config.orders_max) return Reject::book_full;
  if (o.post_only && crosses(o.side, o.price)) return Reject::would_take;
  return Reject::none;
}

Outcome BookState::enter(const NewOrder& order, Room room) {
  if (const Reject no = begin(room); no != Reject::none) return refused(no);
  if (const Reject no = judge(order); no != Reject::none) return refused(no);
  const uint32_t number = record(order);
  emit(EventType::accepted, orders[number], order.price);
  start(number, order.price, order.minimum_quantity);
  return run();
}

uint32_t BookState::record(const NewOrder& o) {
  const uint32_t number = orders.take();
  const bool iceberg = o.display_quantity != 0;
  const bool waits = o.type == OrderType::stop || o.type == OrderType::stop_limit;
  orders[number] = {o.order_id, o.quantity, o.quantity, next_number++, o.account, o.owner,      kNone,
                    kNone,      kNone,      o.side,     o.type,        o.tif,     o.self_trade, LadderNumber::kBids,
                    iceberg,    o.post_only};
  if (iceberg || waits || o.tif == TimeInForce::gtd)
    extras[number] = {o.price, o.stop_price, o.display_quantity, o.display_quantity, o.expires_at};
  index.insert(o.order_id, number);
  return number;
}

// One that was accepted or replaced goes where its kind and the phase send it.
void BookState::start(uint32_t number, int64_t price, uint64_t minimum) {
  const Order& order = orders[number];
  const bool buy = order.side == Side::buy;
  if (is_stop(order)) {
    if (reached(order.side, extras[number].stop_price)) return trigger(number);
    return rest(number, buy ? kBuyStops : kSellStops, extras[number].stop_price);
  }
  if (phase != Phase::continuous) {
    const bool first = order.type == OrderType::market || order.tif >= TimeInForce::at_open;
    return rest(number, first ? (buy ? kFirstBids : kFirstAsks) : (buy ? kBids : kAsks), price);
  }
  work.active = number;
  work.active_price = price;
  work.need = order.tif == TimeInForce::fok ? order.quantity : minimum;
  if (work.need == 0) {
    work.stage = Stage::match;
    return;
  }
  const uint32_t best = other_side(order.side).best();
  work.stage = Stage::check;
  work.cursor = best == kNone ? kNone : levels[best].head;
  work.found = work.visible = work.hidden = 0;
}

// ---- replace ----

Reject BookState::judge(const Replace& change, const Order& order) const {
  if (change.quantity > quantity_max()) return Reject::bad_quantity;
  if (change.display_quantity != 0 &&
      !(lasting_limit(order.type, order.tif) &&
        good_display(change.display_quantity, change.quantity, config.iceberg_slices_max)))
    return Reject::bad_display;
  if (const Reject no = admitted(phase, order.type, order.tif); no != Reject::none) return no;
  if (order.post_only && phase != Phase::continuous) return Reject::not_in_call;
  if (order.post_only && crosses(order.side, change.price)) return Reject::would_take;
  return Reject::none;
}

Outcome BookState::replace(const Replace& change, Room room) {
  if (const Reject no = begin(room); no != Reject::none) return refused(no);
  const uint32_t number = index.find(change.order_id, orders);
  if (number == kNone) return refused(Reject::unknown_order);
  const Order& order = orders[number];
  if (change.quantity == 0) return refused(Reject::bad_quantity);
  if (change.quantity <= order.quantity - order.leaves) {
    end(number, Reason::reduced);
    return run();
  }
  if (const Reject no = judge(change, order); no != Reject::none) return refused(no);
  if (stays(number, change)) {
    shrink(number, change.quantity);
    emit(EventType::replaced, order, change.price);
  } else {
    renew(number, change);
    emit(EventType::replaced, order, change.price);
    start(number, change.price, 0);
  }
  return run();
}

// Nothing but the quantity changes, and it becomes smaller: the place in the queue stays.
bool BookState::stays(uint32_t number, const Replace& change) const {
  const Order& order = orders[number];
  const uint64_t display = order.iceberg ? extras[number].display : 0;
  return change.quantity < order.quantity && change.price == price_of(number) && change.display_quantity == display &&
         (!is_stop(order) || change.stop_price == extras[number].stop_price);
}

// Out of its level, as it will be from now on.
void BookState::renew(uint32_t number, const Replace& change) {
  Order& order = orders[number];
  Extra& extra = extras[number];
  unlink(number);
  const uint64_t filled = order.quantity - order.leaves;
  order.quantity = change.quantity;
  order.leaves = change.quantity - filled;
  order.number = next_number++;
  order.iceberg = change.display_quantity != 0;
  if (!order.iceberg && !is_stop(order)) return;
  const uint64_t expires_at = order.tif == TimeInForce::gtd ? extra.expires_at : 0;
  extra = {change.price, change.stop_price, std::min(change.display_quantity, order.leaves), change.display_quantity,
           expires_at};
}

void BookState::shrink(uint32_t number, uint64_t quantity) {
  Order& order = orders[number];
  Level& level = levels[order.level];
  const uint64_t less = order.quantity - quantity;
  const uint64_t visible = visible_of(number);
  order.quantity = quantity;
  order.leaves -= less;
  if (order.iceberg) extras[number].visible = std::min(visible, order.leaves);
  level.total -= less;
  level.visible -= visible - visible_of(number);
}

// ---- the others ----

Outcome BookState::cancel(uint64_t order_id, Room room, Reason reason) {
  if (const Reject no = begin(room); no != Reject::none) return refused(no);
  if (reason != Reason::cancelled && reason != Reason::expired) return refused(Reject::bad_enum);
  const uint32_t number = index.find(order_id, orders);
  if (number == kNone) return refused(Reject::unknown_order);
  end(number, reason);
  return run();
}

Outcome BookState::set_phase(Phase to, Room room) {
  if (const Reject no = begin(room); no != Reject::none) return refused(no);
  if (to > Phase::halted) return refused(Reject::bad_enum);
  if (to == Phase::continuous && phase == Phase::halted) return refused(Reject::bad_phase);
  if (to == Phase::continuous || to == Phase::closed) {
    const bool waiting = ladders[kFirstBids].best() != kNone || ladders[kFirstAsks].best() != kNone;
    if (waiting || call_crosses()) return refused(Reject::call_not_ended);
  }
  if (to == Phase::continuous && phase != to) {
    work.judge_stops = true;
    finish_work();
  }
  phase = to;
  return run();
}

Outcome BookState::proceed(Room room) {
  if (const Reject no = begin(room, true); no != Reject::none) return refused(no);
  return run();
}

}  // namespace heptane::book
