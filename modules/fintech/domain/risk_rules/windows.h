// What came in the last seconds, apart for each key: a sum of amounts by log time.
//
// Exact to the event while a key has no more than `exact` of them within the window; from then on, until all of its events are
// over, in 64 buckets of a 63rd of the window's length each. All that came in the last 64 buckets counts then: never less than what
// came in the window, and at most what came in it and in the bucket before its begin. An event of the time `t` counts at every time before t + seconds.
//
// Bounds: `keys` keys, and of all windows of a set together kEventsMax events and buckets. Where there is no room for one more a
// reading is `full`; when events were left out for that, until the last of them would be over: for want of keys that of a key that was not there
// before the first of them, for want of events of every key. Keys whose events are over make room.
// Deterministic; save() is canonical. One owner.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernel/base/ids.h"
#include "modules/fintech/domain/ledger/id_index.h"
#include "modules/fintech/domain/risk_rules/spec.h"

namespace heptane::fintech::risk_rules {

constexpr uint32_t kEventsMax = 1u << 22;
constexpr int64_t kBuckets = 64;
constexpr Uint128 kAmountMax = Uint128{1} << 100;  // of an event; more counts as that

// Events and buckets that there are, of all windows of a set; at most so many.
struct Room {
  uint32_t used = 0;
  uint32_t most = kEventsMax;
};

class Window {
 public:
  struct Event {
    int64_t at = 0;  // ns; of a bucket its number
    uint64_t low = 0;
    uint64_t high = 0;
    Uint128 amount() const { return Uint128{high} << 64 | low; }
  };
  struct Reading {
    Uint128 sum = 0;
    uint32_t looked = 0;  // at so many events
    bool full = false;
  };
  // As it is saved.
  struct Saved {
    uint64_t key = 0;
    LogTime last = 0;
    LogTime made = 0;
    bool coarse = false;
    std::vector<Event> events;
  };
  // Events that were left out.
  struct LeftOut {
    LogTime all_until = 0;   // for want of events
    LogTime keys_since = 0;  // for want of keys, the first one
    LogTime keys_until = 0;
  };

  Window(const WindowSpec& spec, uint64_t index_key);

  const WindowSpec& spec() const { return spec_; }
  // Changes nothing. The time is not before that of the last event.
  Reading read(uint64_t key, LogTime now, const Room& room) const;
  void add(uint64_t key, Uint128 amount, LogTime now, Room& room);

  uint32_t keys() const { return keys_; }
  uint64_t memory_bytes() const;

  // The keys, the one whose last event is the oldest first.
  template <class Each>
  void each(Each each) const {
    for (uint32_t at = oldest_; at != kNone; at = row(at).newer) {
      const Row& of = row(at);
      each(Saved{of.key, of.last, of.made, of.coarse, {of.events.begin() + of.first, of.events.end()}});
    }
  }
  const LeftOut& left_out() const { return left_out_; }
  // In the order of each(), into an empty one. False: it was never saved so.
  bool restore(const Saved& saved, Room& room);
  void restore_left_out(const LeftOut& left_out) { left_out_ = left_out; }
  // Gives back what it has of the room: it is read and added to no more.
  void leave(Room& room) const { room.used -= events_; }
  // Of one that has left: frees some of its memory. False: there is none left.
  bool free_some() {
    if (!pieces_.empty()) pieces_.pop_back();
    return !pieces_.empty();
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kPerPiece = 64;
  static constexpr size_t kForgets = 2;  // keys that are over, for each event that comes

  struct Row {
    uint64_t key = 0;
    LogTime last = 0;
    LogTime made = 0;
    Uint128 sum = 0;
    uint32_t older = kNone;
    uint32_t newer = kNone;
    uint32_t first = 0;  // of the events; those before it are over
    bool coarse = false;
    std::vector<Event> events;
  };
  using Piece = std::array<Row, kPerPiece>;

  Row& row(uint32_t at) { return (*pieces_[at / kPerPiece])[at % kPerPiece]; }
  const Row& row(uint32_t at) const { return (*pieces_[at / kPerPiece])[at % kPerPiece]; }
  uint32_t find(uint64_t key) const;
  uint32_t make(uint64_t key, LogTime now);
  void leave_out(bool key_is_missing, LogTime now);
  void forget_oldest(LogTime now, Room& room);
  void link_newest(uint32_t at);
  void unlink(uint32_t at);
  int64_t bucket(LogTime time) const { return time / width_; }
  // Of an event or a bucket of the row.
  bool over(const Row& of, const Event& event, LogTime now) const {
    return of.coarse ? event.at <= bucket(now) - kBuckets : event.at <= now - length_;
  }
  bool all_over(const Row& of, LogTime now) const {
    return of.first == of.events.size() || over(of, of.events.back(), now);
  }
  void drop_over(Row& of, LogTime now, Room& room);
  void make_coarse(Row& of, Room& room);
  void append(Row& of, int64_t at, Uint128 amount, Room& room);
  void take_from(Room& room, uint32_t events) { room.used += events, events_ += events; }
  void give_back(Room& room, uint32_t events) { room.used -= events, events_ -= events; }
  static void set(Event& event, Uint128 amount) {
    event.low = static_cast<uint64_t>(amount), event.high = static_cast<uint64_t>(amount >> 64);
  }

  WindowSpec spec_;
  int64_t length_;  // ns
  int64_t width_;   // of a bucket
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::vector<uint32_t> free_;  // rows of them
  IdIndex index_;               // to rows
  uint32_t keys_ = 0;
  uint32_t events_ = 0;
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
  LeftOut left_out_;
};

}  // namespace heptane::fintech::risk_rules
