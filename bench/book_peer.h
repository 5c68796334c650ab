// The book as it is usually written with the standard library: std::map of prices, std::list of orders, std::unordered_map from ids. It
// takes what the bench sends (limit and immediate orders, cancels, replaces) and emits the same events.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <unordered_map>

#include "modules/fintech/domain/book/book.h"

namespace heptane::bench {

// Events of one thread that the same thread writes over and over.
class EventRing {
 public:
  static constexpr size_t kEvents = 8'192;
  static constexpr size_t kPiece = 2'048;  // what one command may write at most

  book::Event* piece() { return events_ + at_; }
  void advance(size_t events) {
    written_ += events;
    at_ += events;
    if (at_ > kEvents - kPiece) at_ = 0;
  }
  uint64_t written() const { return written_; }

 private:
  book::Event events_[kEvents];
  size_t at_ = 0;
  uint64_t written_ = 0;
};

class PeerBook {
 public:
  explicit PeerBook(size_t orders) { places_.reserve(orders); }

  // Each says how many events it wrote.
  size_t enter(const book::NewOrder& o, book::Event* out);
  size_t cancel(uint64_t id, book::Event* out);
  size_t replace(const book::Replace& change, book::Event* out);

 private:
  struct Order {
    uint64_t id;
    uint64_t quantity;
    uint64_t leaves;
    uint64_t number;
    uint64_t account;
    uint32_t owner;
    book::Side side;
    book::TimeInForce tif;
    book::SelfTrade self_trade;
  };
  struct Level {
    std::list<Order> orders;
    uint64_t total = 0;
  };
  using Bids = std::map<int64_t, Level, std::greater<>>;
  using Asks = std::map<int64_t, Level>;
  struct Place {
    int64_t price;
    Level* level;
    std::list<Order>::iterator order;
  };

  template <class Side>
  book::Event* match(Order& order, int64_t price, Side& other, book::Event* event);
  book::Event* start(Order order, int64_t price, book::Event* event);
  void rest(const Order& order, int64_t price);
  void take_out(const Place& place);

  Bids bids_;
  Asks asks_;
  std::unordered_map<uint64_t, Place> places_;
  uint64_t next_number_ = 1;
  uint64_t next_trade_ = 1;
};

}  // namespace heptane::bench
