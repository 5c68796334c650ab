// A limit order book with calls (auctions) as a library: the standard library only, no threads, exceptions, globals, clocks
// or allocation. Everything lives in memory that the caller gives at construction; full is an answer (Reject::book_full).
//
// Invariants: the same calls give the same events and bytes, whatever the memory, the index key or how the work is cut into
// turns; no call touches more than Room::orders orders beside the one that came, or writes more than Room::events. Work that
// needs more leaves the book frozen: it refuses everything but proceed(), which goes on where it stopped, also after save and
// restore.
// What is refused has changed nothing. Outside of calls the best buy is below the best sell. One owner, no threads.
//
// Prices are int64 ticks, negative ones too; quantities are lots. Ids, owners, accounts and times are the caller's numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace heptane::book {

enum class Side : uint8_t { buy, sell };
enum class OrderType : uint8_t { limit, market, stop, stop_limit };
enum class TimeInForce : uint8_t { day, gtc, gtd, ioc, fok, at_open, at_close };
// What happens when an order meets one of the same owner, by what the newer of both asks for.
enum class SelfTrade : uint8_t { allow, cancel_newest, cancel_oldest, cancel_both };
enum class Phase : uint8_t { closed, opening_call, continuous, auction_call, closing_call, halted };

inline constexpr size_t kTypes = 4;
inline constexpr size_t kTimesInForce = 7;
inline constexpr size_t kPhases = 6;

// Why a call was refused. text() says it in words.
enum class Reject : uint8_t {
  none,
  frozen,   // earlier work is not done: proceed()
  no_room,  // fewer than kEventsMin events or no order a turn
  closed,
  halted,
  not_in_call,  // stops, immediate orders, post-only and minimum quantity
  only_in_opening_call,
  only_in_closing_call,
  never_rests,        // a market order that would have to wait
  waits_for_trigger,  // a stop that would have to be immediate
  book_full,
  duplicate_order,  // the id is in the book
  unknown_order,
  bad_order_id,    // 0
  bad_quantity,    // 0, or more than Book::quantity_max()
  bad_enum,        // a value that its type does not have
  bad_display,     // not below the quantity, too many slices, or not for this kind of order
  bad_minimum,     // more than the quantity, or not for this kind of order
  bad_post_only,   // not for this kind of order
  bad_expiry,      // gtd without a time, or a time without gtd
  would_take,      // post-only
  bad_phase,       // the phase does not follow on the present one
  call_not_ended,  // orders of the call wait or cross: uncross() first
  not_a_call,
  bad_band,  // low above high
};
inline constexpr size_t kRejects = 25;
const char* text(Reject reject) noexcept;

namespace admission {
inline constexpr Reject kYes = Reject::none, kShut = Reject::closed, kHalt = Reject::halted,
                        kCall = Reject::not_in_call;
inline constexpr Reject kOpen = Reject::only_in_opening_call, kClose = Reject::only_in_closing_call;
inline constexpr Reject kRest = Reject::never_rests, kWait = Reject::waits_for_trigger;
using Row = std::array<Reject, kTimesInForce>;
using Table = std::array<Row, kTypes>;

inline constexpr Row kAllShut = {kShut, kShut, kShut, kShut, kShut, kShut, kShut};
inline constexpr Row kAllHalt = {kHalt, kHalt, kHalt, kHalt, kHalt, kHalt, kHalt};
inline constexpr Row kNoStops = {kCall, kCall, kCall, kCall, kCall, kCall, kCall};

// Which (phase, type, time in force) is taken.           day    gtc    gtd    ioc    fok    at_open at_close
inline constexpr std::array<Table, kPhases> kTable = {{
    /* closed */ {{kAllShut, kAllShut, kAllShut, kAllShut}},
    /* opening_call */
    {{/* limit */ {kYes, kYes, kYes, kCall, kCall, kYes, kClose},
      /* market */ {kYes, kRest, kRest, kCall, kCall, kYes, kClose},
      /* stop */ kNoStops,
      /* stop_limit */ kNoStops}},
    /* continuous */
    {{/* limit */ {kYes, kYes, kYes, kYes, kYes, kOpen, kClose},
      /* market */ {kYes, kRest, kRest, kYes, kYes, kOpen, kClose},
      /* stop */ {kYes, kYes, kYes, kWait, kWait, kOpen, kClose},
      /* stop_limit */ {kYes, kYes, kYes, kWait, kWait, kOpen, kClose}}},
    /* auction_call */
    {{/* limit */ {kYes, kYes, kYes, kCall, kCall, kOpen, kClose},
      /* market */ {kYes, kRest, kRest, kCall, kCall, kOpen, kClose},
      /* stop */ kNoStops,
      /* stop_limit */ kNoStops}},
    /* closing_call */
    {{/* limit */ {kYes, kYes, kYes, kCall, kCall, kOpen, kYes},
      /* market */ {kYes, kRest, kRest, kCall, kCall, kOpen, kYes},
      /* stop */ kNoStops,
      /* stop_limit */ kNoStops}},
    /* halted */ {{kAllHalt, kAllHalt, kAllHalt, kAllHalt}},
}};
}  // namespace admission

constexpr Reject admitted(Phase phase, OrderType type, TimeInForce tif) {
  return admission::kTable[static_cast<size_t>(phase)][static_cast<size_t>(type)][static_cast<size_t>(tif)];
}
constexpr bool is_call(Phase phase) {
  return phase == Phase::opening_call || phase == Phase::auction_call || phase == Phase::closing_call;
}

struct NewOrder {
  uint64_t order_id = 0;
  int64_t price = 0;       // the limit; of a market order and a stop the protection price
  int64_t stop_price = 0;  // of stop and stop_limit
  uint64_t quantity = 0;
  uint64_t display_quantity = 0;  // of an iceberg; 0 = all is shown
  uint64_t minimum_quantity = 0;  // judged once, on entry; 0 = none
  uint64_t expires_at = 0;        // of gtd
  uint64_t account = 0;
  uint32_t owner = 0;  // whose orders do not trade with one another; 0 = nobody's
  Side side = Side::buy;
  OrderType type = OrderType::limit;
  TimeInForce tif = TimeInForce::day;
  SelfTrade self_trade = SelfTrade::allow;
  bool post_only = false;
};

// The whole order anew, but for what cannot change. A smaller quantity alone keeps the place in the queue.
struct Replace {
  uint64_t order_id = 0;
  int64_t price = 0;
  int64_t stop_price = 0;  // of a stop that waits; otherwise ignored
  uint64_t quantity = 0;   // the total with what is filled; not more than that ends the order
  uint64_t display_quantity = 0;
};

struct MassCancel {
  uint64_t account = 0;  // 0 = any
  uint32_t owner = 0;    // 0 = any
  bool buys = true;
  bool sells = true;
};

struct Expire {
  bool day = false;    // orders for the day
  uint64_t until = 0;  // gtd orders that expire at or before it
};

struct Uncross {
  int64_t reference = 0;  // last trade, previous close or configured
  int64_t price_low = INT64_MIN;
  int64_t price_high = INT64_MAX;  // a price outside changes nothing and is told (EventType::outside_band)
};

enum class EventType : uint8_t {
  accepted,      // order_id, price, quantity, leaves, number = place in time
  replaced,      // order_id, price, quantity = the new total, leaves, number = place in time
  triggered,     // a stop became an order: order_id, price, quantity, leaves, number = place in time
  trade,         // order_id met other_id: price, quantity, leaves and other_leaves after it, number = of the trade
  ended,         // order_id left with `leaves` not done, of `quantity`, for `reason`
  mass_done,     // quantity = orders that ended
  uncrossed,     // price, quantity = volume (0: nothing crosses), leaves = surplus, on `side`; before its trades
  outside_band,  // the same, and no trades
};

enum class Reason : uint8_t {
  none,
  cancelled,  // cancel()
  mass,       // mass_cancel()
  expired,    // expire(), or cancel() that says so
  reduced,    // replaced by a total that is filled already
  unfilled,   // what is left of market, stop and ioc orders
  fok,        // all at once was not possible
  minimum,    // neither was the minimum quantity
  self_trade,
  call_ended,  // what is left of market, at_open and at_close orders
};

// In a trade of the continuous phase order_id came and other_id rested; in a call order_id bought and other_id sold.
struct Event {
  EventType type = EventType::accepted;
  Reason reason = Reason::none;
  Side side = Side::buy;  // of order_id
  bool in_call = false;
  uint32_t owner = 0;  // of order_id
  uint64_t order_id = 0;
  uint64_t other_id = 0;
  int64_t price = 0;
  uint64_t quantity = 0;
  uint64_t leaves = 0;
  uint64_t other_leaves = 0;
  uint64_t number = 0;
};
static_assert(sizeof(Event) == 64);

inline constexpr uint32_t kOrdersPerTurn = 1'000;
inline constexpr size_t kEventsMin = 4;

// What one call may do. An order that is looked at counts, so does a price level in an auction's search.
struct Room {
  std::span<Event> events;  // written from the first on; at least kEventsMin
  uint32_t orders = kOrdersPerTurn;
};

struct Outcome {
  Reject reject = Reject::none;
  bool more = false;    // the book is frozen until proceed() has said false
  uint32_t events = 0;  // written
};

struct Config {
  uint32_t orders_max = 0;            // 1 to kOrdersMax
  uint32_t iceberg_slices_max = 100;  // quantity <= display_quantity times this
  uint64_t index_key = 0;             // secret where ids are not the caller's own; no answer depends on it
};
inline constexpr uint32_t kOrdersMax = 1u << 28;

struct OrderView {
  uint64_t order_id = 0;
  int64_t price = 0;
  int64_t stop_price = 0;
  uint64_t quantity = 0;
  uint64_t leaves = 0;
  uint64_t visible = 0;
  uint64_t account = 0;
  uint64_t number = 0;  // place in time
  uint32_t owner = 0;
  Side side = Side::buy;
  OrderType type = OrderType::limit;  // a triggered stop is market or limit
  TimeInForce tif = TimeInForce::day;
};

struct LevelView {
  int64_t price = 0;
  uint64_t visible = 0;  // what may be shown
  uint64_t total = 0;
  uint32_t orders = 0;
};

// What a call would do now.
struct Indication {
  bool crosses = false;   // otherwise there is no price
  bool complete = false;  // false: more levels cross than were allowed to be looked at
  int64_t price = 0;
  uint64_t volume = 0;
  uint64_t surplus = 0;
  Side surplus_side = Side::buy;
};

// Where save() writes to and restore() reads from: false ends it.
struct Sink {
  bool (*write)(void* context, const void* bytes, size_t size) = nullptr;
  void* context = nullptr;
};
struct Source {
  bool (*read)(void* context, void* bytes, size_t size) = nullptr;
  void* context = nullptr;
};
enum class RestoreResult : uint8_t { ok, cut_short, not_a_book, other_version, too_many_orders, inconsistent };

struct BookState;

// A view of the state that it made in the caller's memory: copies are the same book, and none frees anything.
class Book {
 public:
  // Bytes of memory that a book needs, of any alignment; it touches them as it fills. 0: the configuration cannot be.
  static size_t bytes_for(const Config& config) noexcept;
  // A book without orders, closed; valid() is false, and nothing else may be called, when the memory is too small or the
  // configuration cannot be.
  Book(const Config& config, std::span<std::byte> memory) noexcept;
  bool valid() const noexcept { return state_ != nullptr; }

  // O(log levels) and what it trades with.
  Outcome enter(const NewOrder& order, Room room) noexcept;
  Outcome replace(const Replace& change, Room room) noexcept;
  // O(1), with O(log levels) when it was the last one at its price. In every phase. `reason`: cancelled or expired.
  Outcome cancel(uint64_t order_id, Room room, Reason reason = Reason::cancelled) noexcept;
  // Look at every order: buys, sells, those of a call, stops; each from the best price on, then in time order.
  Outcome mass_cancel(const MassCancel& which, Room room) noexcept;
  Outcome expire(const Expire& which, Room room) noexcept;
  // Calls follow on everything, continuous and closed not on an unfinished call, continuous not on a halt. What follows on a
  // call as continuous judges the stops.
  Outcome set_phase(Phase phase, Room room) noexcept;
  // Ends a call: one price, trades at it, the end of what was for this call alone. The phase stays.
  Outcome uncross(const Uncross& command, Room room) noexcept;
  // Goes on with what a call with Outcome::more left.
  Outcome proceed(Room room) noexcept;
  // After a trade was taken back, say. Triggers nothing by itself.
  Outcome set_last_trade(int64_t price) noexcept;
  Outcome clear_last_trade() noexcept;  // as before the first one

  Phase phase() const noexcept;
  bool frozen() const noexcept;
  uint32_t size() const noexcept;  // orders in the book, stops too
  uint64_t quantity_max() const noexcept;
  bool last_trade(int64_t& price) const noexcept;  // false: there was none
  bool find(uint64_t order_id, OrderView& found) const noexcept;
  // From the best price on, without orders of a call and stops; says how many levels there were, up to rows.size().
  size_t depth(Side side, std::span<LevelView> rows) const noexcept;
  // All zero when nothing rests there.
  LevelView level(Side side, int64_t price) const noexcept;
  // Looks at `levels_max` levels at most.
  Indication indication(int64_t reference, uint32_t levels_max) const noexcept;

  // Canonical: equal books, equal bytes. FORMAT.md describes them.
  bool save(Sink sink) const noexcept;
  // Of save()'s bytes.
  uint64_t hash() const noexcept;
  // Bytes may be anybody's. The book is empty and closed unless it is ok.
  RestoreResult restore(Source source) noexcept;
  // Compares everything with everything, O(orders). For tests.
  bool consistent() const noexcept;

  BookState* state() const noexcept { return state_; }
  explicit Book(BookState* state) noexcept : state_(state) {}

 private:
  BookState* state_ = nullptr;
};

}  // namespace heptane::book
