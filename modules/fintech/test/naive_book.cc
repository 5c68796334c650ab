#include "modules/fintech/test/naive_book.h"

#include <algorithm>
#include <set>

namespace heptane::book::test {

namespace {

bool waits(OrderType type) { return type == OrderType::stop || type == OrderType::stop_limit; }
bool at_once(const NewOrder& o) {
  return o.type == OrderType::market || o.tif == TimeInForce::ioc || o.tif == TimeInForce::fok;
}
bool is_lasting_limit(const NewOrder& o) {
  return o.type == OrderType::limit &&
         (o.tif == TimeInForce::day || o.tif == TimeInForce::gtc || o.tif == TimeInForce::gtd);
}
bool bad_iceberg(uint64_t display, uint64_t quantity, uint64_t slices) {
  return display >= quantity || (quantity + display - 1) / display > slices;
}

}  // namespace

Event NaiveBook::event_of(EventType type, const Order& order, int64_t price) const {
  Event e;
  e.type = type;
  e.side = order.asked.side;
  e.owner = order.asked.owner;
  e.order_id = order.asked.order_id;
  e.price = price;
  e.quantity = order.asked.quantity;
  e.leaves = order.leaves;
  e.number = order.number;
  return e;
}

void NaiveBook::end(const Order& order, Reason reason, std::vector<Event>& out) const {
  out.push_back(event_of(EventType::ended, order, order.asked.price));
  out.back().reason = reason;
}

Reject NaiveBook::judge_kind(OrderType type, TimeInForce tif) const {
  if (phase_ == Phase::closed) return Reject::closed;
  if (phase_ == Phase::halted) return Reject::halted;
  const bool call = phase_ != Phase::continuous;
  if (call && waits(type)) return Reject::not_in_call;
  const bool immediate = tif == TimeInForce::ioc || tif == TimeInForce::fok;
  if (call && immediate) return Reject::not_in_call;
  if (waits(type) && immediate) return Reject::waits_for_trigger;
  if (tif == TimeInForce::at_open && phase_ != Phase::opening_call) return Reject::only_in_opening_call;
  if (tif == TimeInForce::at_close && phase_ != Phase::closing_call) return Reject::only_in_closing_call;
  if (type == OrderType::market && (tif == TimeInForce::gtc || tif == TimeInForce::gtd)) return Reject::never_rests;
  return Reject::none;
}

Reject NaiveBook::judge(const NewOrder& o) const {
  if (o.order_id == 0) return Reject::bad_order_id;
  if (o.quantity == 0 || o.quantity > INT64_MAX / (config_.orders_max + uint64_t{1})) return Reject::bad_quantity;
  if ((o.tif == TimeInForce::gtd) != (o.expires_at > 0)) return Reject::bad_expiry;
  if (o.display_quantity > 0)
    if (!is_lasting_limit(o) || bad_iceberg(o.display_quantity, o.quantity, config_.iceberg_slices_max))
      return Reject::bad_display;
  if (o.minimum_quantity > 0)
    if (o.minimum_quantity > o.quantity || waits(o.type) || o.tif == TimeInForce::fok) return Reject::bad_minimum;
  if (o.post_only && (!is_lasting_limit(o) || o.minimum_quantity > 0)) return Reject::bad_post_only;
  if (const Reject no = judge_kind(o.type, o.tif); no != Reject::none) return no;
  if (phase_ != Phase::continuous && (o.post_only || o.minimum_quantity > 0)) return Reject::not_in_call;
  Place place;
  if (const_cast<NaiveBook*>(this)->find(o.order_id, place)) return Reject::duplicate_order;
  if (size() >= config_.orders_max && (phase_ != Phase::continuous || !at_once(o))) return Reject::book_full;
  if (o.post_only && crosses(o.side, o.price)) return Reject::would_take;
  return Reject::none;
}

Reject NaiveBook::enter(const NewOrder& o, std::vector<Event>& out) {
  if (const Reject no = judge(o); no != Reject::none) return no;
  Order order{o, o.type, o.quantity, o.display_quantity > 0 ? o.display_quantity : o.quantity, next_number_++};
  out.push_back(event_of(EventType::accepted, order, o.price));
  place(order, out);
  judge_stops(out);
  return Reject::none;
}

bool NaiveBook::reached(Side side, int64_t stop_price) const {
  if (!has_last_) return false;
  return side == Side::buy ? last_ >= stop_price : last_ <= stop_price;
}

void NaiveBook::place(Order order, std::vector<Event>& out) {
  const bool buy = order.asked.side == Side::buy;
  if (waits(order.type)) {
    if (reached(order.asked.side, order.asked.stop_price)) return trigger(order, out);
    return rest(buy ? buy_stops_ : sell_stops_, order.asked.stop_price, order);
  }
  if (phase_ != Phase::continuous) {
    const bool first = order.type == OrderType::market || order.asked.tif == TimeInForce::at_open ||
                       order.asked.tif == TimeInForce::at_close;
    if (first) return rest(buy ? first_bids_ : first_asks_, order.asked.price, order);
    return rest(main_of(order.asked.side), order.asked.price, order);
  }
  if (order.asked.tif == TimeInForce::fok && could_trade(order) < order.leaves) return end(order, Reason::fok, out);
  if (order.asked.minimum_quantity > 0 && could_trade(order) < order.asked.minimum_quantity)
    return end(order, Reason::minimum, out);
  order.asked.minimum_quantity = 0;
  if (match(order, out) || order.leaves == 0) return;
  NewOrder kind = order.asked;
  kind.type = order.type;
  if (at_once(kind)) return end(order, Reason::unfilled, out);
  order.visible =
      order.asked.display_quantity > 0 ? std::min(order.asked.display_quantity, order.leaves) : order.leaves;
  rest(main_of(order.asked.side), order.asked.price, order);
}

uint64_t NaiveBook::could_trade(const Order& order) const {
  NaiveBook copy = *this;
  Order tried = order;
  std::vector<Event> events;
  copy.match(tried, events);
  uint64_t traded = 0;
  for (const Event& e : events)
    if (e.type == EventType::trade) traded += e.quantity;
  return traded;
}

bool NaiveBook::crosses(Side side, int64_t price) const {
  if (side == Side::buy) return !asks_.empty() && asks_.begin()->first <= price;
  return !bids_.empty() && bids_.rbegin()->first >= price;
}

// True when a self-trade ended it.
bool NaiveBook::match(Order& order, std::vector<Event>& out) {
  const Side side = order.asked.side;
  while (order.leaves > 0 && crosses(side, order.asked.price)) {
    Prices& prices = side == Side::buy ? asks_ : bids_;
    const auto at = side == Side::buy ? prices.begin() : std::prev(prices.end());
    Queue& queue = at->second;
    Order& resting = queue.front();
    const SelfTrade rule = order.asked.self_trade;
    if (order.asked.owner != 0 && order.asked.owner == resting.asked.owner && rule != SelfTrade::allow) {
      if (rule == SelfTrade::cancel_oldest || rule == SelfTrade::cancel_both) {
        end(resting, Reason::self_trade, out);
        queue.pop_front();
        if (queue.empty()) prices.erase(at);
      }
      if (rule == SelfTrade::cancel_oldest) continue;
      end(order, Reason::self_trade, out);
      return true;
    }
    const uint64_t quantity = std::min(order.leaves, resting.visible);
    order.leaves -= quantity;
    resting.leaves -= quantity;
    resting.visible -= quantity;
    Event e = event_of(EventType::trade, order, at->first);
    e.other_id = resting.asked.order_id;
    e.quantity = quantity;
    e.other_leaves = resting.leaves;
    e.number = next_trade_++;
    out.push_back(e);
    last_ = at->first;
    has_last_ = true;
    if (resting.visible > 0) continue;
    Order again = resting;
    queue.pop_front();
    if (again.leaves > 0) {
      again.visible = std::min(again.asked.display_quantity, again.leaves);
      again.number = next_number_++;
      queue.push_back(again);
    }
    if (queue.empty()) prices.erase(at);
  }
  return false;
}

void NaiveBook::judge_stops(std::vector<Event>& out) {
  if (phase_ != Phase::continuous) return;
  // Stops are judged after a trade alone; one that waits was not reached by any before.
  const bool traded = std::any_of(out.begin(), out.end(), [](const Event& e) { return e.type == EventType::trade; });
  if (!traded) return;
  for (;;) {
    Prices* prices = nullptr;
    Prices::iterator at;
    if (!buy_stops_.empty() && reached(Side::buy, buy_stops_.begin()->first)) {
      prices = &buy_stops_;
      at = buy_stops_.begin();
    } else if (!sell_stops_.empty() && reached(Side::sell, sell_stops_.rbegin()->first)) {
      prices = &sell_stops_;
      at = std::prev(sell_stops_.end());
    } else {
      return;
    }
    const Order order = at->second.front();
    take_out({prices, at, at->second.begin()});
    trigger(order, out);
  }
}

void NaiveBook::trigger(Order order, std::vector<Event>& out) {
  order.type = order.type == OrderType::stop ? OrderType::market : OrderType::limit;
  order.number = next_number_++;
  out.push_back(event_of(EventType::triggered, order, order.asked.price));
  place(order, out);
}

void NaiveBook::rest(Prices& prices, int64_t price, const Order& order) { prices[price].push_back(order); }

bool NaiveBook::find(uint64_t id, Place& found) {
  for (Prices* prices : {&bids_, &asks_, &first_bids_, &first_asks_, &buy_stops_, &sell_stops_})
    for (auto at = prices->begin(); at != prices->end(); ++at)
      for (auto order = at->second.begin(); order != at->second.end(); ++order) {
        if (order->asked.order_id != id) continue;
        found = {prices, at, order};
        return true;
      }
  return false;
}

void NaiveBook::take_out(Place place) {
  place.at->second.erase(place.order);
  if (place.at->second.empty()) place.prices->erase(place.at);
}

Reject NaiveBook::replace(const Replace& change, std::vector<Event>& out) {
  Place place;
  if (!find(change.order_id, place)) return Reject::unknown_order;
  if (change.quantity == 0) return Reject::bad_quantity;
  Order order = *place.order;
  NewOrder kind = order.asked;
  kind.type = order.type;
  const uint64_t filled = order.asked.quantity - order.leaves;
  if (change.quantity <= filled) {
    end(order, Reason::reduced, out);
    take_out(place);
    return Reject::none;
  }
  if (change.quantity > INT64_MAX / (config_.orders_max + uint64_t{1})) return Reject::bad_quantity;
  if (change.display_quantity > 0)
    if (!is_lasting_limit(kind) || bad_iceberg(change.display_quantity, change.quantity, config_.iceberg_slices_max))
      return Reject::bad_display;
  if (const Reject no = judge_kind(order.type, order.asked.tif); no != Reject::none) return no;
  if (order.asked.post_only && phase_ != Phase::continuous) return Reject::not_in_call;
  if (order.asked.post_only && crosses(order.asked.side, change.price)) return Reject::would_take;
  const bool same_stop = !waits(order.type) || change.stop_price == order.asked.stop_price;
  const bool smaller = change.quantity < order.asked.quantity && change.price == order.asked.price && same_stop &&
                       change.display_quantity == order.asked.display_quantity;
  order.asked.quantity = change.quantity;
  order.leaves = change.quantity - filled;
  if (smaller) {
    order.visible = std::min(order.visible, order.leaves);
    *place.order = order;
    out.push_back(event_of(EventType::replaced, order, order.asked.price));
    return Reject::none;
  }
  take_out(place);
  order.asked.price = change.price;
  if (waits(order.type)) order.asked.stop_price = change.stop_price;
  order.asked.display_quantity = change.display_quantity;
  order.visible = change.display_quantity > 0 ? std::min(change.display_quantity, order.leaves) : order.leaves;
  order.number = next_number_++;
  out.push_back(event_of(EventType::replaced, order, order.asked.price));
  this->place(order, out);
  judge_stops(out);
  return Reject::none;
}

Reject NaiveBook::cancel(uint64_t order_id, Reason reason, std::vector<Event>& out) {
  Place place;
  if (!find(order_id, place)) return Reject::unknown_order;
  end(*place.order, reason, out);
  take_out(place);
  return Reject::none;
}

template <class Wanted>
uint64_t NaiveBook::end_all(Wanted wanted, Reason reason, std::vector<Event>& out) {
  uint64_t count = 0;
  const auto walk = [&](Prices& prices, bool from_the_highest) {
    std::vector<int64_t> in_order;
    for (const auto& [price, queue] : prices) in_order.push_back(price);
    if (from_the_highest) std::reverse(in_order.begin(), in_order.end());
    for (const int64_t price : in_order) {
      Queue& queue = prices[price];
      for (auto order = queue.begin(); order != queue.end();) {
        const auto here = order++;
        if (!wanted(*here)) continue;
        end(*here, reason, out);
        queue.erase(here);
        ++count;
      }
      if (queue.empty()) prices.erase(price);
    }
  };
  walk(bids_, true);
  walk(asks_, false);
  walk(first_bids_, true);
  walk(first_asks_, false);
  walk(buy_stops_, false);
  walk(sell_stops_, true);
  Event done;
  done.type = EventType::mass_done;
  done.reason = reason;
  done.quantity = count;
  out.push_back(done);
  return count;
}

Reject NaiveBook::mass_cancel(const MassCancel& which, std::vector<Event>& out) {
  end_all(
      [&](const Order& order) {
        if (which.account != 0 && which.account != order.asked.account) return false;
        if (which.owner != 0 && which.owner != order.asked.owner) return false;
        return order.asked.side == Side::buy ? which.buys : which.sells;
      },
      Reason::mass, out);
  return Reject::none;
}

Reject NaiveBook::expire(const Expire& which, std::vector<Event>& out) {
  end_all(
      [&](const Order& order) {
        if (order.asked.tif == TimeInForce::day) return which.day;
        return order.asked.tif == TimeInForce::gtd && order.asked.expires_at <= which.until;
      },
      Reason::expired, out);
  return Reject::none;
}

Reject NaiveBook::set_phase(Phase to, std::vector<Event>& out) {
  if (to == Phase::continuous && phase_ == Phase::halted) return Reject::bad_phase;
  if (to == Phase::continuous || to == Phase::closed) {
    if (!first_bids_.empty() || !first_asks_.empty()) return Reject::call_not_ended;
    if (!bids_.empty() && !asks_.empty() && bids_.rbegin()->first >= asks_.begin()->first)
      return Reject::call_not_ended;
  }
  const bool opens = to == Phase::continuous && phase_ != to;
  phase_ = to;
  if (!opens) return Reject::none;
  // As after a trade at the last price.
  Event pretended;
  pretended.type = EventType::trade;
  std::vector<Event> events = {pretended};
  judge_stops(events);
  out.insert(out.end(), events.begin() + 1, events.end());
  return Reject::none;
}

// ---- calls ----

Indication NaiveBook::indication(int64_t reference) const {
  struct Outcome {
    int64_t price;
    uint64_t volume;
    int64_t surplus;  // of buys
  };
  std::set<int64_t> prices = {reference};
  for (const Prices* side : {&bids_, &asks_, &first_bids_, &first_asks_})
    for (const auto& [price, queue] : *side) prices.insert(price);
  std::vector<Outcome> outcomes;
  for (const int64_t price : prices) {
    uint64_t buys = 0;
    uint64_t sells = 0;
    for (const Prices* side : {&bids_, &first_bids_})
      for (const auto& [limit, queue] : *side)
        for (const Order& order : queue) buys += limit >= price ? order.leaves : 0;
    for (const Prices* side : {&asks_, &first_asks_})
      for (const auto& [limit, queue] : *side)
        for (const Order& order : queue) sells += limit <= price ? order.leaves : 0;
    outcomes.push_back({price, std::min(buys, sells), static_cast<int64_t>(buys) - static_cast<int64_t>(sells)});
  }
  const auto keep = [&](auto better) {
    Outcome best = outcomes[0];
    for (const Outcome& o : outcomes)
      if (better(o, best)) best = o;
    std::erase_if(outcomes, [&](const Outcome& o) { return better(best, o); });
  };
  keep([](const Outcome& a, const Outcome& b) { return a.volume > b.volume; });
  if (outcomes[0].volume == 0) return {false, true, reference, 0, 0, Side::buy};
  keep([](const Outcome& a, const Outcome& b) { return std::abs(a.surplus) < std::abs(b.surplus); });
  const auto all = [&](auto holds) { return std::all_of(outcomes.begin(), outcomes.end(), holds); };
  Outcome chosen = outcomes[0];
  if (all([](const Outcome& o) { return o.surplus > 0; })) {
    chosen = outcomes.back();
  } else if (!all([](const Outcome& o) { return o.surplus < 0; })) {
    for (const Outcome& o : outcomes)
      if (std::abs(o.price - reference) <= std::abs(chosen.price - reference)) chosen = o;
  }
  return {true,
          true,
          chosen.price,
          chosen.volume,
          static_cast<uint64_t>(std::abs(chosen.surplus)),
          chosen.surplus < 0 ? Side::sell : Side::buy};
}

Reject NaiveBook::uncross(const Uncross& command, std::vector<Event>& out) {
  if (phase_ == Phase::closed || phase_ == Phase::continuous || phase_ == Phase::halted) return Reject::not_a_call;
  if (command.price_low > command.price_high) return Reject::bad_band;
  bool removed = false;
  bool first = true;
  do {
    removed = false;
    const Indication found = indication(command.reference);
    if (!found.crosses && !first) break;
    const bool outside = found.crosses && (found.price < command.price_low || found.price > command.price_high);
    Event e;
    e.type = outside ? EventType::outside_band : EventType::uncrossed;
    e.in_call = true;
    e.side = found.surplus_side;
    e.price = found.price;
    e.quantity = found.volume;
    e.leaves = found.surplus;
    out.push_back(e);
    if (outside) return Reject::none;
    if (found.crosses) trade_call(found.price, removed, out);
    first = false;
  } while (removed);
  for (Prices* prices : {&first_bids_, &first_asks_}) {
    std::vector<int64_t> in_order;
    for (const auto& [price, queue] : *prices) in_order.push_back(price);
    if (prices == &first_bids_) std::reverse(in_order.begin(), in_order.end());
    for (const int64_t price : in_order)
      for (const Order& order : (*prices)[price]) end(order, Reason::call_ended, out);
    prices->clear();
  }
  return Reject::none;
}

bool NaiveBook::next_of_call(Side side, int64_t price, Place& found) {
  const bool buy = side == Side::buy;
  for (Prices* prices : {buy ? &first_bids_ : &first_asks_, buy ? &bids_ : &asks_}) {
    if (prices->empty()) continue;
    const auto best = buy ? std::prev(prices->end()) : prices->begin();
    if (buy ? best->first < price : best->first > price) continue;
    found = {prices, best, best->second.begin()};
    return true;
  }
  return false;
}

void NaiveBook::fill_of_call(Place place, uint64_t quantity) {
  place.order->leaves -= quantity;
  place.order->visible = std::min(place.order->visible, place.order->leaves);
  if (place.order->leaves == 0) take_out(place);
}

void NaiveBook::trade_call(int64_t price, bool& removed, std::vector<Event>& out) {
  Place buy;
  Place sell;
  while (next_of_call(Side::buy, price, buy) && next_of_call(Side::sell, price, sell)) {
    const Order& newer = buy.order->number > sell.order->number ? *buy.order : *sell.order;
    const SelfTrade rule = newer.asked.self_trade;
    if (newer.asked.owner != 0 && buy.order->asked.owner == sell.order->asked.owner && rule != SelfTrade::allow) {
      const Place newer_place = &newer == &*buy.order ? buy : sell;
      const Place older_place = &newer == &*buy.order ? sell : buy;
      if (rule == SelfTrade::cancel_oldest || rule == SelfTrade::cancel_both) {
        end(*older_place.order, Reason::self_trade, out);
        take_out(older_place);
      }
      if (rule == SelfTrade::cancel_newest || rule == SelfTrade::cancel_both) {
        end(*newer_place.order, Reason::self_trade, out);
        take_out(newer_place);
      }
      removed = true;
      continue;
    }
    const uint64_t quantity = std::min(buy.order->leaves, sell.order->leaves);
    Event e = event_of(EventType::trade, *buy.order, price);
    e.in_call = true;
    e.other_id = sell.order->asked.order_id;
    e.quantity = quantity;
    e.leaves = buy.order->leaves - quantity;
    e.other_leaves = sell.order->leaves - quantity;
    e.number = next_trade_++;
    out.push_back(e);
    last_ = price;
    has_last_ = true;
    fill_of_call(buy, quantity);
    fill_of_call(sell, quantity);
  }
}

// ---- looks ----

std::vector<LevelView> NaiveBook::depth(Side side) const {
  std::vector<LevelView> rows;
  for (const auto& [price, queue] : side == Side::buy ? bids_ : asks_) {
    LevelView row{price, 0, 0, static_cast<uint32_t>(queue.size())};
    for (const Order& order : queue) row.visible += order.visible, row.total += order.leaves;
    rows.push_back(row);
  }
  if (side == Side::buy) std::reverse(rows.begin(), rows.end());
  return rows;
}

size_t NaiveBook::size() const { return ids().size(); }

std::vector<uint64_t> NaiveBook::ids() const {
  std::vector<uint64_t> ids;
  for (const Prices* prices : {&bids_, &asks_, &first_bids_, &first_asks_, &buy_stops_, &sell_stops_})
    for (const auto& [price, queue] : *prices)
      for (const Order& order : queue) ids.push_back(order.asked.order_id);
  return ids;
}

}  // namespace heptane::book::test
