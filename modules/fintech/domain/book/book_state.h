// What a book consists of, at the beginning of its memory. Not installed.
//
// An order is a record of 64 bytes, in one of six ladders or, while it is being matched, in none (`Work::active`). What only few
// orders have lies beside it, in Extra. Every call is a first step and then run(): steps of bounded work until the stage is idle or
// the room is used up. All that run() needs to go on is in Work, which is saved with the book.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "modules/fintech/domain/book/book.h"
#include "modules/fintech/domain/book/ladder.h"
#include "modules/fintech/domain/book/order_index.h"
#include "modules/fintech/domain/book/pool.h"

namespace heptane::book {

// In the order in which mass cancels walk.
enum LadderNumber : uint8_t { kBids, kAsks, kFirstBids, kFirstAsks, kBuyStops, kSellStops, kLadders };

struct alignas(64) Order {
  uint64_t id;
  uint64_t leaves;
  uint64_t quantity;  // with what is filled
  uint64_t number;    // place in time
  uint64_t account;
  uint32_t owner;
  uint32_t next;  // behind it in its level
  uint32_t prev;
  uint32_t level;  // kNone: in none
  Side side;
  OrderType type;
  TimeInForce tif;
  SelfTrade self_trade;
  LadderNumber ladder;
  bool iceberg;
  bool post_only;
};
static_assert(sizeof(Order) == 64);

struct Extra {
  int64_t price;  // of a stop
  int64_t stop_price;
  uint64_t visible;  // of an iceberg
  uint64_t display;
  uint64_t expires_at;
};

enum class Stage : uint8_t {
  idle,
  check,        // could `need` be traded? the cursor walks the other side
  match,        // the active order against the best of the other side
  stops,        // is there one to trigger?
  mass,         // the cursor walks everything
  price,        // of a call: both sides are walked towards each other
  pairs,        // trades of a call
  end_of_call,  // what was for the call alone leaves
};
inline constexpr uint8_t kStages = 8;

// The walk of one side of a call: from the best price to worse ones.
struct CallSide {
  int64_t price;    // of the level it stands on
  int64_t matched;  // of the last level that gave something
  uint64_t rest;    // what that level has not given yet
  bool ended;       // there is no further level
};

// The search of a call's price, level by level.
struct CallWalk {
  CallSide buys;
  CallSide sells;
  uint64_t volume;
};

struct Work {
  Stage stage = Stage::idle;
  bool judge_stops = false;  // something traded since they were last judged
  bool removed = false;      // a self-trade took an order out of the call
  uint32_t active = kNone;
  uint32_t cursor = kNone;
  int64_t active_price = 0;
  uint64_t need = 0;
  uint64_t found = 0;    // on levels that were seen whole
  uint64_t visible = 0;  // on the present one
  uint64_t hidden = 0;
  MassCancel filter;
  bool expiring = false;
  Expire expire;
  uint64_t count = 0;
  Uncross uncross;
  CallWalk walk = {};
  int64_t call_price = 0;
};

struct BookState {
  static size_t bytes_for(const Config& config);
  static BookState* open(const Config& config, std::span<std::byte> memory);
  void clear();

  Outcome enter(const NewOrder& order, Room room);
  Outcome replace(const Replace& change, Room room);
  Outcome cancel(uint64_t order_id, Room room, Reason reason);
  Outcome mass_cancel(const MassCancel& which, Room room);
  Outcome expire(const Expire& which, Room room);
  Outcome set_phase(Phase to, Room room);
  Outcome start_uncross(const Uncross& command, Room room);
  Outcome proceed(Room room);

  // ---- turns
  Reject begin(Room room, bool proceeding = false);
  Outcome run();
  bool has_room() const { return events_end - event >= 3 && orders_left > 0; }
  Event& emit(EventType type, const Order& order, int64_t price);
  void finish_work();

  // ---- entering (book_enter.cc)
  Reject judge(const NewOrder& order) const;
  Reject judge(const Replace& change, const Order& order) const;
  uint32_t record(const NewOrder& order);
  void start(uint32_t number, int64_t price, uint64_t minimum);
  bool stays(uint32_t number, const Replace& change) const;
  void shrink(uint32_t number, uint64_t quantity);
  void renew(uint32_t number, const Replace& change);

  // ---- orders and their places (book.cc)
  // So that no sum over a side overflows 63 bits.
  uint64_t quantity_max() const { return INT64_MAX / orders.capacity(); }
  bool is_stop(const Order& order) const {
    return order.type == OrderType::stop || order.type == OrderType::stop_limit;
  }
  Ladder& other_side(Side side) { return ladders[side == Side::buy ? kAsks : kBids]; }
  const Ladder& other_side(Side side) const { return ladders[side == Side::buy ? kAsks : kBids]; }
  bool crosses(Side side, int64_t price) const;
  uint64_t visible_of(uint32_t number) const {
    return orders[number].iceberg ? extras[number].visible : orders[number].leaves;
  }
  int64_t price_of(uint32_t number) const;
  void rest(uint32_t number, LadderNumber ladder, int64_t price);
  void append(uint32_t number, Level& level, uint32_t level_number);
  void unlink(uint32_t number);
  void forget(uint32_t number);
  void end(uint32_t number, Reason reason);
  uint32_t after(uint32_t number) const;
  uint32_t first_from(uint32_t ladder) const;

  // ---- steps (match.cc, mass.cc, call.cc)
  void check_step();
  bool look_at(const Order& active, uint32_t at);
  void match_step();
  void trade(uint32_t resting, Level& level);
  void pop(Level& level, const Order& first);
  void refresh(uint32_t number, Level& level, uint32_t level_number);
  void finish_active();
  bool self_trade(uint32_t resting);
  bool reached(Side side, int64_t stop_price) const;
  void stops_step();
  void trigger(uint32_t number);
  void mass_step();
  void price_step();
  void found_price();
  void pairs_step();
  bool self_trade_of_call(uint32_t buy, uint32_t sell);
  void trade_of_call(uint32_t buy, uint32_t sell);
  void call_fill(uint32_t number, uint64_t quantity);
  void end_of_call_step();
  bool best_of_call(Side side, uint32_t& number) const;
  bool call_crosses() const;

  // ---- the search of a call's price (call_price.cc)
  CallWalk call_walk() const;
  bool advance(CallWalk& walk) const;  // false: it is done
  Indication outcome_of(const CallWalk& walk, int64_t reference) const;
  void step_to_worse(Side side, CallSide& at) const;
  uint64_t quantity_at(Side side, int64_t price) const;

  // ---- saving (snapshot.cc, restore.cc)
  bool save(Sink sink, uint64_t& digest) const;
  RestoreResult restore(Source source);
  bool consistent() const;

  Config config;
  Pool<Order> orders;
  Extra* extras;  // beside the orders, by the same numbers
  Pool<Level> levels;
  Pool<TreeNode> nodes;
  OrderIndex index;
  Ladder ladders[kLadders];
  uint64_t next_number;  // places in time
  uint64_t next_trade;
  int64_t last_price;
  bool has_last;
  Phase phase;
  Work work;

  // Of the present turn alone.
  Event* events;
  Event* event;
  Event* events_end;
  uint32_t orders_left;
};

inline Outcome refused(Reject reject) { return {reject, false, 0}; }

}  // namespace heptane::book
