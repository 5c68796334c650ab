// A second book, as plain as can be, that the first must agree with event for event: maps of lists, every order looked for from
// the beginning, work done whole, feasibility tried out on a copy, a call's price by looking at every price there is.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include "modules/fintech/domain/book/book.h"

namespace heptane::book::test {

class NaiveBook {
 public:
  explicit NaiveBook(const Config& config) : config_(config) {}

  // Append what happens; what is refused appends nothing.
  Reject enter(const NewOrder& order, std::vector<Event>& out);
  Reject replace(const Replace& change, std::vector<Event>& out);
  Reject cancel(uint64_t order_id, Reason reason, std::vector<Event>& out);
  Reject mass_cancel(const MassCancel& which, std::vector<Event>& out);
  Reject expire(const Expire& which, std::vector<Event>& out);
  Reject set_phase(Phase phase, std::vector<Event>& out);
  Reject uncross(const Uncross& command, std::vector<Event>& out);
  void set_last_trade(int64_t price) { last_ = price, has_last_ = true; }
  void clear_last_trade() { last_ = 0, has_last_ = false; }

  Indication indication(int64_t reference) const;
  std::vector<LevelView> depth(Side side) const;
  size_t size() const;
  std::vector<uint64_t> ids() const;

 private:
  struct Order {
    NewOrder asked;
    OrderType type;
    uint64_t leaves;
    uint64_t visible;
    uint64_t number;
  };
  using Queue = std::list<Order>;
  using Prices = std::map<int64_t, Queue>;  // none of them empty
  struct Place {
    Prices* prices;
    Prices::iterator at;
    Queue::iterator order;
  };

  Reject judge(const NewOrder& o) const;
  Reject judge_kind(OrderType type, TimeInForce tif) const;
  void place(Order order, std::vector<Event>& out);
  bool match(Order& order, std::vector<Event>& out);
  uint64_t could_trade(const Order& order) const;
  void judge_stops(std::vector<Event>& out);
  void trigger(Order order, std::vector<Event>& out);
  void rest(Prices& prices, int64_t price, const Order& order);
  void end(const Order& order, Reason reason, std::vector<Event>& out) const;
  bool find(uint64_t id, Place& found);
  void take_out(Place place);
  bool crosses(Side side, int64_t price) const;
  bool reached(Side side, int64_t stop_price) const;
  Prices& main_of(Side side) { return side == Side::buy ? bids_ : asks_; }
  template <class Wanted>
  uint64_t end_all(Wanted wanted, Reason reason, std::vector<Event>& out);
  void trade_call(int64_t price, bool& removed, std::vector<Event>& out);
  bool next_of_call(Side side, int64_t price, Place& found);
  void fill_of_call(Place place, uint64_t quantity);
  Event event_of(EventType type, const Order& order, int64_t price) const;

  Config config_;
  Prices bids_, asks_, first_bids_, first_asks_, buy_stops_, sell_stops_;
  Phase phase_ = Phase::closed;
  int64_t last_ = 0;
  bool has_last_ = false;
  uint64_t next_number_ = 1;
  uint64_t next_trade_ = 1;
};

}  // namespace heptane::book::test
