// Back from bytes that may be anybody's: nothing is believed that the rest of the library relies on.
#include <algorithm>
#include <iterator>

#include "modules/fintech/domain/book/book_state.h"
#include "modules/fintech/domain/book/saved.h"

namespace heptane::book {

namespace {

CallSide side_of(const SavedSide& saved) { return {saved.price, saved.matched, saved.rest, saved.ended != 0}; }

bool same(const CallSide& a, const CallSide& b) {
  return a.price == b.price && a.matched == b.matched && a.rest == b.rest && a.ended == b.ended;
}

bool same(const CallWalk& a, const CallWalk& b) {
  return same(a.buys, b.buys) && same(a.sells, b.sells) && a.volume == b.volume;
}

bool known(const SavedOrder& o) {
  return o.side <= 1 && o.type < kTypes && o.tif < kTimesInForce && o.self_trade <= 3 && o.ladder < kLadders &&
         o.flags < 2 * kSavedActive &&
         std::all_of(std::begin(o.zeros), std::end(o.zeros), [](uint8_t b) { return b == 0; });
}

bool fits_ladder(const SavedOrder& o) {
  const auto type = static_cast<OrderType>(o.type);
  const bool waits = type == OrderType::stop || type == OrderType::stop_limit;
  const bool lasts = o.tif <= static_cast<uint8_t>(TimeInForce::gtd);
  const bool of_call = o.tif >= static_cast<uint8_t>(TimeInForce::at_open);
  if ((o.flags & kSavedActive) != 0) return o.ladder == 0 && !waits && !of_call;
  if (o.ladder % 2 != o.side) return false;
  if (o.ladder <= kAsks) return type == OrderType::limit && lasts;
  if (o.ladder <= kFirstAsks) return of_call ? !waits : type == OrderType::market && o.tif == 0;
  return waits && lasts;
}

bool good_quantities(const SavedOrder& o, const BookState& state) {
  if (o.quantity > state.quantity_max() || o.leaves == 0 || o.leaves > o.quantity) return false;
  if ((o.flags & kSavedIceberg) == 0) return o.visible == o.leaves && o.display == 0;
  return o.type == static_cast<uint8_t>(OrderType::limit) && o.visible > 0 &&
         o.visible <= std::min(o.leaves, o.display);
}

// By itself, whatever stands before it.
bool good(const SavedOrder& o, const BookState& state) {
  if (!known(o) || !fits_ladder(o) || !good_quantities(o, state)) return false;
  const bool waits = o.ladder >= kBuyStops;
  const bool dated = o.tif == static_cast<uint8_t>(TimeInForce::gtd);
  return o.id != 0 && o.number != 0 && o.number < state.next_number && (waits || o.stop_price == 0) &&
         dated == (o.expires_at != 0) && state.index.find(o.id, state.orders) == kNone;
}

uint32_t record(BookState& state, const SavedOrder& o) {
  const uint32_t number = state.orders.take();
  state.orders[number] = {o.id,
                          o.leaves,
                          o.quantity,
                          o.number,
                          o.account,
                          o.owner,
                          kNone,
                          kNone,
                          kNone,
                          static_cast<Side>(o.side),
                          static_cast<OrderType>(o.type),
                          static_cast<TimeInForce>(o.tif),
                          static_cast<SelfTrade>(o.self_trade),
                          static_cast<LadderNumber>(o.ladder),
                          (o.flags & kSavedIceberg) != 0,
                          (o.flags & kSavedPostOnly) != 0};
  state.extras[number] = {o.price, o.stop_price, o.visible, o.display, o.expires_at};
  state.index.insert(o.id, number);
  return number;
}

// After everything that stands before it; false: it cannot stand there.
bool add(BookState& state, const SavedOrder& o, const SavedOrder& before) {
  if (!good(o, state) || state.work.active != kNone) return false;
  const auto place = [](const SavedOrder& order) { return order.ladder >= kBuyStops ? order.stop_price : order.price; };
  if ((o.flags & kSavedActive) != 0) {
    state.work.active = record(state, o);
    state.work.active_price = o.price;
    return true;
  }
  const Ladder& ladder = state.ladders[o.ladder];
  if (before.id != 0 && o.ladder < before.ladder) return false;
  if (before.id != 0 && o.ladder == before.ladder) {
    if (!ladder.reaches(place(before), place(o))) return false;
    if (place(before) == place(o) && o.number <= before.number) return false;
  }
  state.rest(record(state, o), static_cast<LadderNumber>(o.ladder), place(o));
  return true;
}

bool take_header(BookState& state, const SavedBook& saved) {
  if (saved.phase >= kPhases || saved.has_last > 1 || saved.stage >= kStages || saved.judge_stops > 1) return false;
  if (saved.next_number == 0 || saved.next_number > INT64_MAX) return false;
  if (saved.next_trade == 0 || saved.next_trade > INT64_MAX) return false;
  if (saved.has_last == 0 && saved.last_price != 0) return false;
  state.next_number = saved.next_number;
  state.next_trade = saved.next_trade;
  state.last_price = saved.last_price;
  state.has_last = saved.has_last != 0;
  state.phase = static_cast<Phase>(saved.phase);
  return true;
}

bool fits_phase(const BookState& state, Stage stage) {
  switch (stage) {
    case Stage::check:
    case Stage::match:
    case Stage::stops: return state.phase == Phase::continuous;
    case Stage::price:
    case Stage::pairs:
    case Stage::end_of_call: return is_call(state.phase);
    case Stage::idle:
    case Stage::mass: return true;
  }
  return false;
}

bool take_cursor(BookState& state, const SavedBook& saved) {
  if (saved.cursor == 0) return true;
  Work& work = state.work;
  work.cursor = state.index.find(saved.cursor, state.orders);
  if (work.cursor == kNone || work.cursor == work.active) return false;
  if (work.stage == Stage::mass) return true;
  if (work.stage != Stage::check) return false;
  const Order& active = state.orders[work.active];
  return state.orders[work.cursor].ladder == (active.side == Side::buy ? kAsks : kBids);
}

// Walks as far again: what was not reached that way was never a walk of this book.
bool take_walk(BookState& state, const SavedBook& saved) {
  const CallWalk wanted = {side_of(saved.buys), side_of(saved.sells), saved.volume};
  Work& work = state.work;
  for (work.walk = state.call_walk(); !same(work.walk, wanted);)
    if (!state.advance(work.walk)) return false;
  return true;
}

bool take_work(BookState& state, const SavedBook& saved) {
  Work& work = state.work;
  work.stage = static_cast<Stage>(saved.stage);
  work.judge_stops = saved.judge_stops != 0;
  const bool matching = work.stage == Stage::check || work.stage == Stage::match;
  if (matching != (work.active != kNone) || !fits_phase(state, work.stage)) return false;
  if (work.stage == Stage::idle && work.judge_stops) return false;
  work.removed = saved.removed != 0;
  work.expiring = saved.expiring != 0;
  work.need = saved.need, work.found = saved.found;
  work.visible = saved.visible, work.hidden = saved.hidden;
  work.filter = {saved.filter_account, static_cast<uint32_t>(saved.filter_owner), (saved.sides & 1) != 0,
                 (saved.sides & 2) != 0};
  work.expire = {saved.expire_day != 0, saved.expire_until};
  work.count = saved.count;
  work.uncross = {saved.reference, saved.price_low, saved.price_high};
  work.call_price = saved.call_price;
  if (std::max({work.need, work.found, work.visible, work.hidden}) > INT64_MAX) return false;
  if (!take_cursor(state, saved)) return false;
  return work.stage != Stage::price || take_walk(state, saved);
}

// Only in a call, and where a call was halted, may prices cross and orders of a call wait.
bool ended_calls(const BookState& state) {
  if (is_call(state.phase) || state.phase == Phase::halted) return true;
  return state.ladders[kFirstBids].best() == kNone && state.ladders[kFirstAsks].best() == kNone &&
         !state.call_crosses();
}

RestoreResult take(BookState& state, Source source) {
  SavedDigest read;
  SavedBook saved = {};
  if (!source.read(source.context, &saved, sizeof saved)) return RestoreResult::cut_short;
  read.add(&saved, sizeof saved);
  if (saved.magic != kSavedMagic) return RestoreResult::not_a_book;
  if (saved.version != kSavedVersion) return RestoreResult::other_version;
  if (saved.orders > state.orders.capacity()) return RestoreResult::too_many_orders;
  if (!take_header(state, saved)) return RestoreResult::inconsistent;
  SavedOrder order = {};
  for (uint32_t i = 0; i < saved.orders; ++i) {
    const SavedOrder before = order;
    if (!source.read(source.context, &order, sizeof order)) return RestoreResult::cut_short;
    read.add(&order, sizeof order);
    if (!add(state, order, before)) return RestoreResult::inconsistent;
  }
  const uint32_t resting = state.orders.used() - (state.work.active == kNone ? 0 : 1);
  if (resting > state.config.orders_max) return RestoreResult::too_many_orders;
  if (!take_work(state, saved) || !ended_calls(state)) return RestoreResult::inconsistent;
  // What this book would save is what was read: nothing was left out or meant otherwise.
  uint64_t digest = 0;
  state.save({}, digest);
  uint64_t written = 0;
  if (!source.read(source.context, &written, sizeof written)) return RestoreResult::cut_short;
  return digest == written && read.value() == written ? RestoreResult::ok : RestoreResult::inconsistent;
}

}  // namespace

RestoreResult BookState::restore(Source source) {
  clear();
  const RestoreResult result = take(*this, source);
  if (result != RestoreResult::ok) clear();
  return result;
}

// ---- everything with everything, for tests ----

namespace {

bool consistent_level(const BookState& state, uint32_t number, LadderNumber ladder, uint32_t& seen) {
  const Level& level = state.levels[number];
  uint64_t total = 0;
  uint64_t visible = 0;
  uint32_t count = 0;
  uint32_t before = kNone;
  for (uint32_t i = level.head; i != kNone; i = state.orders[i].next) {
    const Order& order = state.orders[i];
    if (order.prev != before || order.level != number || order.ladder != ladder) return false;
    if (order.leaves == 0 || order.leaves > order.quantity || state.index.find(order.id, state.orders) != i)
      return false;
    if (before != kNone && order.number <= state.orders[before].number) return false;
    total += order.leaves;
    visible += state.visible_of(i);
    ++count;
    before = i;
  }
  seen += count;
  return before == level.tail && count > 0 && count == level.orders && total == level.total && visible == level.visible;
}

}  // namespace

bool BookState::consistent() const {
  uint32_t seen = work.active == kNone ? 0 : 1;
  for (uint8_t i = 0; i < kLadders; ++i) {
    if (!ladders[i].consistent()) return false;
    for (uint32_t level = ladders[i].best(); level != kNone; level = ladders[i].worse_than(levels[level].price))
      if (!consistent_level(*this, level, static_cast<LadderNumber>(i), seen)) return false;
  }
  return seen == orders.used() && ended_calls(*this);
}

}  // namespace heptane::book
