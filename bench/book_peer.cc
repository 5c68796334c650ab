#include "bench/book_peer.h"

#include <algorithm>

namespace heptane::bench {

using namespace book;

namespace {

template <class Order>
Event event_of(EventType type, const Order& o, int64_t price) {
  return {type, Reason::none, o.side, false, o.owner, o.id, 0, price, o.quantity, o.leaves, 0, o.number};
}

}  // namespace

void PeerBook::rest(const Order& order, int64_t price) {
  Level& level = order.side == Side::buy ? bids_[price] : asks_[price];
  level.orders.push_back(order);
  level.total += order.leaves;
  places_[order.id] = {price, &level, std::prev(level.orders.end())};
}

void PeerBook::take_out(const Place& place) {
  const Side side = place.order->side;
  place.level->total -= place.order->leaves;
  place.level->orders.erase(place.order);
  if (!place.level->orders.empty()) return;
  if (side == Side::buy) {
    bids_.erase(place.price);
  } else {
    asks_.erase(place.price);
  }
}

template <class Prices>
Event* PeerBook::match(Order& order, int64_t price, Prices& other, Event* event) {
  while (order.leaves > 0 && !other.empty()) {
    const auto best = other.begin();
    if (order.side == Side::buy ? best->first > price : best->first < price) break;
    Level& level = best->second;
    Order& resting = level.orders.front();
    const uint64_t quantity = std::min(order.leaves, resting.leaves);
    order.leaves -= quantity;
    resting.leaves -= quantity;
    level.total -= quantity;
    *event++ = {EventType::trade, Reason::none, order.side, false,        order.owner,    order.id,
                resting.id,       best->first,  quantity,   order.leaves, resting.leaves, next_trade_++};
    if (resting.leaves > 0) continue;
    places_.erase(resting.id);
    level.orders.pop_front();
    if (level.orders.empty()) other.erase(best);
  }
  return event;
}

Event* PeerBook::start(Order order, int64_t price, Event* event) {
  event = order.side == Side::buy ? match(order, price, asks_, event) : match(order, price, bids_, event);
  if (order.leaves == 0) return event;
  if (order.tif != TimeInForce::ioc) {
    rest(order, price);
    return event;
  }
  *event = event_of(EventType::ended, order, price);
  event->reason = Reason::unfilled;
  return event + 1;
}

size_t PeerBook::enter(const NewOrder& o, Event* out) {
  if (o.quantity == 0 || places_.find(o.order_id) != places_.end()) return 0;
  const Order order{o.order_id, o.quantity, o.quantity, next_number_++, o.account,
                    o.owner,    o.side,     o.tif,      o.self_trade};
  *out = event_of(EventType::accepted, order, o.price);
  return static_cast<size_t>(start(order, o.price, out + 1) - out);
}

size_t PeerBook::cancel(uint64_t id, Event* out) {
  const auto found = places_.find(id);
  if (found == places_.end()) return 0;
  *out = event_of(EventType::ended, *found->second.order, found->second.price);
  out->reason = Reason::cancelled;
  take_out(found->second);
  places_.erase(found);
  return 1;
}

size_t PeerBook::replace(const Replace& change, Event* out) {
  const auto found = places_.find(change.order_id);
  if (found == places_.end()) return 0;
  const Place place = found->second;
  Order& order = *place.order;
  const uint64_t filled = order.quantity - order.leaves;
  if (change.quantity <= filled) return cancel(change.order_id, out);
  if (change.quantity < order.quantity && change.price == place.price) {
    place.level->total -= order.quantity - change.quantity;
    order.leaves -= order.quantity - change.quantity;
    order.quantity = change.quantity;
    *out = event_of(EventType::replaced, order, place.price);
    return 1;
  }
  Order moved = order;
  moved.quantity = change.quantity;
  moved.leaves = change.quantity - filled;
  moved.number = next_number_++;
  take_out(place);
  places_.erase(found);
  *out = event_of(EventType::replaced, moved, change.price);
  return static_cast<size_t>(start(moved, change.price, out + 1) - out);
}

}  // namespace heptane::bench
