#include "modules/fintech/domain/book/book.h"

#include <algorithm>
#include <new>

#include "modules/fintech/domain/book/book_state.h"

namespace heptane::book {

namespace {

constexpr size_t kAlignment = 64;

// The pieces of a book's memory, one after another.
struct Pieces {
  size_t state, orders, extras, levels, nodes, places, end;
  uint32_t records;  // one more than orders: what is being matched needs one also when the book is full
  uint32_t node_count;
  uint32_t places_bits;
};

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

Pieces pieces_of(const Config& config) {
  Pieces p{};
  p.records = config.orders_max + 1;
  p.node_count = static_cast<uint32_t>(Ladder::nodes_for(p.records, kLadders));
  p.places_bits = OrderIndex::places_bits(p.records);
  p.orders = aligned(sizeof(BookState));
  p.levels = p.orders + aligned(size_t{p.records} * sizeof(Order));
  p.places = p.levels + aligned(size_t{p.records} * sizeof(Level));
  p.nodes = p.places + aligned((size_t{1} << p.places_bits) * sizeof(OrderIndex::Place));
  p.extras = p.nodes + aligned(size_t{p.node_count} * sizeof(TreeNode));
  p.end = p.extras + aligned(size_t{p.records} * sizeof(Extra));
  return p;
}

bool can_be(const Config& config) {
  return config.orders_max > 0 && config.orders_max <= kOrdersMax && config.iceberg_slices_max > 0;
}

template <class Record>
Record* at(std::byte* base, size_t offset) {
  return reinterpret_cast<Record*>(base + offset);
}

constexpr const char* kTexts[] = {
    "taken",
    "the book is frozen until its unfinished work is done",
    "a turn needs room for 4 events and 1 order",
    "closed",
    "halted",
    "not in a call",
    "only in the opening call",
    "only in the closing call",
    "a market order does not rest",
    "a stop waits, it is not immediate",
    "the book is full",
    "an order with this id is in the book",
    "no order with this id is in the book",
    "an order id is not 0",
    "the quantity is 0 or above the most",
    "a value that its type does not have",
    "the displayed quantity is not below the quantity, makes too many slices, or is not for this kind of order",
    "the minimum quantity is above the quantity or not for this kind of order",
    "post-only is not for this kind of order",
    "a time of expiry and good-till-date belong together",
    "post-only, and it would take",
    "this phase does not follow on the present one",
    "the call has not been ended",
    "this is no call",
    "the band's low end is above its high end",
};
static_assert(std::size(kTexts) == kRejects);

}  // namespace

const char* text(Reject reject) noexcept {
  const auto number = static_cast<size_t>(reject);
  return number < kRejects ? kTexts[number] : "unknown";
}

size_t BookState::bytes_for(const Config& config) { return can_be(config) ? pieces_of(config).end + kAlignment : 0; }

BookState* BookState::open(const Config& config, std::span<std::byte> memory) {
  if (!can_be(config) || memory.size() < bytes_for(config)) return nullptr;
  const Pieces pieces = pieces_of(config);
  std::byte* base = memory.data();
  base += (kAlignment - reinterpret_cast<size_t>(base) % kAlignment) % kAlignment;
  auto* state = new (base) BookState();
  state->config = config;
  state->orders = {at<Order>(base, pieces.orders), pieces.records};
  state->extras = at<Extra>(base, pieces.extras);
  state->levels = {at<Level>(base, pieces.levels), pieces.records};
  state->nodes = {at<TreeNode>(base, pieces.nodes), pieces.node_count};
  state->index.open(at<OrderIndex::Place>(base, pieces.places), pieces.places_bits, config.index_key);
  for (uint32_t i = 0; i < kLadders; ++i)
    state->ladders[i].open(&state->levels, &state->nodes, i == kBids || i == kFirstBids || i == kSellStops);
  state->clear();
  return state;
}

void BookState::clear() {
  if (orders.used() > 0) index.clear();
  orders.clear();
  levels.clear();
  nodes.clear();
  for (Ladder& ladder : ladders) ladder.clear();
  next_number = next_trade = 1;
  last_price = 0;
  has_last = false;
  phase = Phase::closed;
  work = {};
}

// ---- turns ----

Reject BookState::begin(Room room, bool proceeding) {
  if (!proceeding && work.stage != Stage::idle) return Reject::frozen;
  if (room.events.size() < kEventsMin || room.orders == 0) return Reject::no_room;
  events = event = room.events.data();
  events_end = event + room.events.size();
  orders_left = room.orders;
  return Reject::none;
}

Outcome BookState::run() {
  while (work.stage != Stage::idle && has_room()) {
    switch (work.stage) {
      case Stage::idle: break;
      case Stage::check: check_step(); break;
      case Stage::match: match_step(); break;
      case Stage::stops: stops_step(); break;
      case Stage::mass: mass_step(); break;
      case Stage::price: price_step(); break;
      case Stage::pairs: pairs_step(); break;
      case Stage::end_of_call: end_of_call_step(); break;
    }
  }
  return {Reject::none, work.stage != Stage::idle, static_cast<uint32_t>(event - events)};
}

void BookState::finish_work() {
  const bool stops = ladders[kBuyStops].best() != kNone || ladders[kSellStops].best() != kNone;
  work.judge_stops = work.judge_stops && stops;
  work.stage = work.judge_stops ? Stage::stops : Stage::idle;
}

Event& BookState::emit(EventType type, const Order& order, int64_t price) {
  Event& e = *event++;
  e = {type, Reason::none, order.side,     false,        order.owner, order.id,
       0,    price,        order.quantity, order.leaves, 0,           order.number};
  return e;
}

// ---- orders and their places ----

bool BookState::crosses(Side side, int64_t price) const {
  const Ladder& other = other_side(side);
  return other.best() != kNone && other.reaches(levels[other.best()].price, price);
}

int64_t BookState::price_of(uint32_t number) const {
  const Order& order = orders[number];
  if (order.level == kNone) return work.active_price;
  return order.ladder >= kBuyStops ? extras[number].price : levels[order.level].price;
}

void BookState::rest(uint32_t number, LadderNumber ladder, int64_t price) {
  orders[number].ladder = ladder;
  const uint32_t level = ladders[ladder].make(price);
  append(number, levels[level], level);
}

void BookState::append(uint32_t number, Level& level, uint32_t level_number) {
  Order& order = orders[number];
  order.level = level_number;
  order.next = kNone;
  order.prev = level.tail;
  if (level.tail == kNone) {
    level.head = number;
  } else {
    orders[level.tail].next = number;
  }
  level.tail = number;
  level.total += order.leaves;
  level.visible += visible_of(number);
  ++level.orders;
}

void BookState::unlink(uint32_t number) {
  Order& order = orders[number];
  Level& level = levels[order.level];
  if (order.prev == kNone) {
    level.head = order.next;
  } else {
    orders[order.prev].next = order.next;
  }
  if (order.next == kNone) {
    level.tail = order.prev;
  } else {
    orders[order.next].prev = order.prev;
  }
  level.total -= order.leaves;
  level.visible -= visible_of(number);
  if (--level.orders == 0) ladders[order.ladder].erase(order.level);
  order.level = kNone;
}

// One that is in no level.
void BookState::forget(uint32_t number) {
  index.erase(orders[number].id, number);
  orders.give_back(number);
}

// Tells it, too.
void BookState::end(uint32_t number, Reason reason) {
  const int64_t price = price_of(number);
  emit(EventType::ended, orders[number], price).reason = reason;
  if (orders[number].level != kNone) unlink(number);
  forget(number);
}

// In a walk through everything; kNone at its end.
uint32_t BookState::after(uint32_t number) const {
  const Order& order = orders[number];
  if (order.next != kNone) return order.next;
  const uint32_t level = ladders[order.ladder].worse_than(levels[order.level].price);
  return level != kNone ? levels[level].head : first_from(order.ladder + 1u);
}

uint32_t BookState::first_from(uint32_t ladder) const {
  for (; ladder < kLadders; ++ladder)
    if (ladders[ladder].best() != kNone) return levels[ladders[ladder].best()].head;
  return kNone;
}

// ---- the view ----

size_t Book::bytes_for(const Config& config) noexcept { return BookState::bytes_for(config); }
Book::Book(const Config& config, std::span<std::byte> memory) noexcept : state_(BookState::open(config, memory)) {}

Outcome Book::enter(const NewOrder& order, Room room) noexcept { return state_->enter(order, room); }
Outcome Book::replace(const Replace& change, Room room) noexcept { return state_->replace(change, room); }
Outcome Book::cancel(uint64_t order_id, Room room, Reason reason) noexcept {
  return state_->cancel(order_id, room, reason);
}
Outcome Book::mass_cancel(const MassCancel& which, Room room) noexcept { return state_->mass_cancel(which, room); }
Outcome Book::expire(const Expire& which, Room room) noexcept { return state_->expire(which, room); }
Outcome Book::set_phase(Phase phase, Room room) noexcept { return state_->set_phase(phase, room); }
Outcome Book::uncross(const Uncross& command, Room room) noexcept { return state_->start_uncross(command, room); }
Outcome Book::proceed(Room room) noexcept { return state_->proceed(room); }

Outcome Book::set_last_trade(int64_t price) noexcept {
  if (frozen()) return refused(Reject::frozen);
  state_->last_price = price;
  state_->has_last = true;
  return {};
}

Outcome Book::clear_last_trade() noexcept {
  if (frozen()) return refused(Reject::frozen);
  state_->last_price = 0;
  state_->has_last = false;
  return {};
}

Phase Book::phase() const noexcept { return state_->phase; }
bool Book::frozen() const noexcept { return state_->work.stage != Stage::idle; }
uint32_t Book::size() const noexcept { return state_->orders.used(); }
uint64_t Book::quantity_max() const noexcept { return state_->quantity_max(); }

bool Book::last_trade(int64_t& price) const noexcept {
  price = state_->last_price;
  return state_->has_last;
}

bool Book::find(uint64_t order_id, OrderView& found) const noexcept {
  const uint32_t number = state_->index.find(order_id, state_->orders);
  if (number == kNone) return false;
  const Order& o = state_->orders[number];
  const int64_t stop_price = state_->is_stop(o) ? state_->extras[number].stop_price : 0;
  found = {o.id,       state_->price_of(number),
           stop_price, o.quantity,
           o.leaves,   state_->visible_of(number),
           o.account,  o.number,
           o.owner,    o.side,
           o.type,     o.tif};
  return true;
}

size_t Book::depth(Side side, std::span<LevelView> rows) const noexcept {
  size_t count = 0;
  const Ladder& ladder = state_->ladders[side == Side::buy ? kBids : kAsks];
  for (uint32_t i = ladder.best(); i != kNone && count < rows.size(); i = ladder.worse_than(rows[count - 1].price)) {
    const Level& level = state_->levels[i];
    rows[count++] = {level.price, level.visible, level.total, level.orders};
  }
  return count;
}

LevelView Book::level(Side side, int64_t price) const noexcept {
  const uint32_t number = state_->ladders[side == Side::buy ? kBids : kAsks].find(price);
  if (number == kNone) return {};
  const Level& level = state_->levels[number];
  return {level.price, level.visible, level.total, level.orders};
}

Indication Book::indication(int64_t reference, uint32_t levels_max) const noexcept {
  CallWalk walk = state_->call_walk();
  for (; levels_max > 0; --levels_max)
    if (!state_->advance(walk)) return state_->outcome_of(walk, reference);
  return {};
}

bool Book::save(Sink sink) const noexcept {
  uint64_t digest = 0;
  return state_->save(sink, digest);
}
uint64_t Book::hash() const noexcept {
  uint64_t digest = 0;
  state_->save({}, digest);
  return digest;
}
RestoreResult Book::restore(Source source) noexcept { return state_->restore(source); }
bool Book::consistent() const noexcept { return state_->consistent(); }

}  // namespace heptane::book
