// All open orders, the last ones that ended, and the ClOrdIDs of the trade date. State of the exchange machine; the shard thread's.
//
// Invariants: an order's number is never used again; a ClOrdID is its firm's once a trade date and once among its open orders; at
// most kEndedKept orders that ended are kept, those that ended last. The trade date is the UTC day of the log time. ClOrdIDs of
// earlier days are forgotten by forget(), which a timer calls piece by piece: whether or not anything new comes.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

class Orders {
 public:
  using Place = std::pair<uint32_t, uint64_t>;  // account, order
  using Due = std::pair<LogTime, uint64_t>;
  using DueOf = std::tuple<uint32_t, LogTime, uint64_t>;  // instrument first

  Order* find(uint64_t id);
  const Order* find(uint64_t id) const { return const_cast<Orders*>(this)->find(id); }
  // An open one, else one of the day in which the last order came.
  const Order* find_client(uint32_t firm, const std::string& client_id) const;
  bool taken(uint32_t firm, const std::string& client_id, LogTime now) const;
  // ClOrdIDs of the firm on the trade date.
  uint32_t used(uint32_t firm, LogTime now) const;
  // At most so many ClOrdIDs of earlier trade dates.
  void forget(LogTime now, size_t most);
  // When there are some to forget; 0: never.
  LogTime forgets_at() const;

  uint64_t next_id() const { return next_id_; }
  Order& add(Order order, LogTime now);  // open, under next_id()
  void rename(Order& order, const std::string& client_id, LogTime now);
  // A ClOrdID of something else: a cancel of the order; 0: of many.
  void use_up(uint32_t firm, const std::string& client_id, uint64_t order, LogTime now) {
    use({trade_date(now), firm, client_id}, order);
  }
  void end(Order& order, OrderStatus status);

  const std::set<Place>& open() const { return open_; }
  const std::set<Due>& due() const { return due_; }
  // Whether the time of an open order of the instrument is over.
  bool overdue(uint32_t instrument, LogTime now) const;
  bool empty() const { return next_id_ == 1; }

  uint64_t memory_bytes() const;  // with those of the books
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  using Client = std::pair<uint32_t, std::string>;
  using DatedClient = std::tuple<int64_t, uint32_t, std::string>;

  void use(DatedClient client, uint64_t order);
  void index(const Order& order);

  uint64_t next_id_ = 1;
  std::map<uint64_t, Order> orders_;
  std::deque<uint64_t> ended_;  // the one that ended first is the first
  std::map<DatedClient, uint64_t> used_;
  std::map<std::pair<int64_t, uint32_t>, uint32_t> counts_;  // of used_, by trade date and firm
  // Of the open ones.
  std::set<Place> open_;
  std::set<Due> due_;
  std::set<DueOf> due_of_;
  std::map<Client, uint64_t> clients_;
};

}  // namespace heptane::fintech::exchange
