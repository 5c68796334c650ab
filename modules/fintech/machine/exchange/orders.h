// All open orders, the last ones that ended, and the ClOrdIDs of the trade date. State of the exchange machine; the shard thread's.
//
// Invariants: an order's number is never used again; a ClOrdID is its firm's once a trade date and once among its open orders; at
// most kEndedKept orders that ended are kept, those that ended last. The trade date is its caller's to say. ClOrdIDs of
// earlier days are forgotten by forget(), those whose day ended first first, which a timer calls piece by piece: whether or not anything
// new comes. An order stays where it is in memory as long as it is kept.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/domain/ledger/id_index.h"
#include "modules/fintech/machine/exchange/ascending_numbers.h"
#include "modules/fintech/machine/exchange/exchange_api.h"
#include "modules/fintech/machine/exchange/name_index.h"

namespace heptane::fintech::exchange {

class Orders {
 public:
  using Place = std::pair<uint32_t, uint64_t>;  // account, order
  using Due = std::pair<LogTime, uint64_t>;

  // The key of its indexes: nothing that anybody can see depends on it.
  explicit Orders(uint64_t index_key = 0) : ids_(index_key), clients_(index_key), used_index_(index_key) {}

  Order* find(uint64_t id);
  const Order* find(uint64_t id) const { return const_cast<Orders*>(this)->find(id); }
  // Brings into the cache what find() will look at: where it is, and then, a little later, the order itself.
  void expect(uint64_t id) const { ids_.prefetch(id); }
  void expect_order(uint64_t id) const;
  // An open one, else one of the day in which the last order came.
  const Order* find_client(uint32_t firm, const std::string& client_id) const;
  // What taken() will look at is brought into the cache.
  void expect(uint32_t firm, const std::string& client_id) const {
    clients_.prefetch(firm, client_id);
    used_index_.prefetch(firm, client_id);
  }
  bool taken(uint32_t firm, const std::string& client_id, const TradingDay& day) const;
  // ClOrdIDs of the firm on the trade date.
  uint32_t used(uint32_t firm, const TradingDay& day) const;
  // At most so many ClOrdIDs of trade dates that have ended.
  void forget(LogTime now, size_t most);
  // When there are some to forget; 0: never.
  LogTime forgets_at() const { return used_until_.empty() ? 0 : used_until_.begin()->first; }

  uint64_t next_id() const { return next_id_; }
  Order& add(const Order& order, const TradingDay& day);  // open, under next_id()
  void rename(Order& order, const std::string& client_id, const TradingDay& day);
  // A ClOrdID of something else: a cancel of the order; 0: of many.
  void use_up(uint32_t firm, const std::string& client_id, uint64_t order, const TradingDay& day) {
    use({day.date, day.ends, firm, client_id, order});
  }
  void end(Order& order, OrderStatus status);

  // The parties of an order, as FIX says them; they are there as long as the order is kept. Empty: none.
  void set_parties(uint64_t id, const std::string& parties);
  std::string_view parties(uint64_t id) const {
    const auto found = parties_.find(id);
    return found == parties_.end() ? std::string_view() : found->second;
  }
  bool has_parties() const { return !parties_.empty(); }

  size_t open() const { return open_; }
  // The first open one behind it, by account and number.
  std::optional<Place> next_open(Place place) const;
  // The first open one behind it whose time ends at all, by that time and number.
  std::optional<Due> next_due(Due due) const;
  // Whether the time of an open order of the instrument is over.
  bool overdue(uint32_t instrument, LogTime now) const;
  bool empty() const { return next_id_ == 1; }

  uint64_t memory_bytes() const;  // with those of the books
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);
  // Of ClOrdIDs whose trade date is no UTC day, until when it lasts, and the day of the last one: beside what save() writes.
  void save_ends(SnapshotWriter& writer) const;
  void restore_ends(SnapshotReader& reader);
  void save_parties(SnapshotWriter& writer) const;
  void restore_parties(SnapshotReader& reader);

 private:
  struct Used {
    int64_t day = 0;
    LogTime until = 0;
    uint32_t firm = 0;
    std::string client_id;
    uint64_t order = 0;
  };
  static constexpr size_t kPerPiece = 64;
  using Piece = std::array<Order, kPerPiece>;

  Order& at(uint32_t slot) { return (*pieces_[slot / kPerPiece])[slot % kPerPiece]; }
  const Order& at(uint32_t slot) const { return (*pieces_[slot / kPerPiece])[slot % kPerPiece]; }
  uint32_t slot_of(uint64_t id) const {
    return ids_.find(id, [&](uint32_t slot) { return at(slot).id == id; });
  }
  uint32_t keep(const Order& order);
  void drop(uint64_t id);
  const Used* find_used(int64_t day, uint32_t firm, const std::string& client_id) const;
  void use(Used used);
  void forget(uint32_t slot);
  size_t used_kept() const { return used_.size() - free_used_.size(); }
  int64_t day_saved_last() const;
  void index(uint32_t slot);

  uint64_t next_id_ = 1;
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::vector<uint32_t> free_;  // slots of them
  size_t kept_ = 0;
  IdIndex ids_;                 // to slots
  std::deque<uint64_t> ended_;  // the one that ended first is the first
  std::map<uint64_t, std::string> parties_;
  uint64_t parties_bytes_ = 0;  // of them
  std::deque<Used> used_;
  std::vector<uint32_t> free_used_;                     // slots of them
  std::map<LogTime, std::deque<uint32_t>> used_until_;  // slots by the end of their day, each in the order of its use
  int64_t last_day_ = 0;                                // of the one that was used last
  std::map<std::pair<int64_t, uint32_t>, uint32_t> counts_;  // of used_, by trade date and firm
  // Of the open ones.
  size_t open_ = 0;
  std::deque<AscendingNumbers> open_of_;  // by account
  std::set<uint32_t> open_accounts_;      // that have any
  std::map<LogTime, AscendingNumbers> due_;
  std::map<std::pair<uint32_t, LogTime>, uint32_t> due_of_;  // how many, by instrument and time
  NameIndex clients_;                                        // to slots
  NameIndex used_index_;                                     // to slots of used_
};

}  // namespace heptane::fintech::exchange
