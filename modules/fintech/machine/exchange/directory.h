// Who trades what: instruments with their books, firms, trading accounts, the limits and exposures of both, and the kill
// switches. State of the exchange machine; the shard thread's.
//
// Invariants: numbers begin at 1 and are never used again; names are unique, an account's within its firm; an instrument has let
// through check_instrument() and check_fees(), and its book holds quantities in lots. save() is canonical.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/exchange/exchange_api.h"
#include "modules/fintech/machine/exchange/name_index.h"
#include "modules/fintech/machine/exchange/positions_api.h"
#include "modules/fintech/machine/exchange/recent_trades.h"

namespace heptane::fintech::exchange {

struct Listing {
  uint32_t number = 0;
  InstrumentSpec spec;
  Block block;
  std::optional<book::Phase> next_phase;  // once the book's work is done
  bool extended = false;                  // the call that goes on, by a price outside the band
  bool proceeding = false;                // a kProceed is armed
  bool needs_call = false;                // it was halted: continuous trading begins with a call
  bool used = false;                      // there were orders or limits: scales and assets stay what they are
  RecentTrades recent;
  std::optional<Mark> mark;
  uint32_t calendar = 0;   // 0: operators set its phases
  LogTime labelled = 0;    // since then orders' trade dates are what they are now; 0: always
  bool turning = false;    // a kCalendarPhase is armed: `turn`, if it is known
  bool waits = false;      // it comes again when earlier work is done, or by itself after a while
  bool ends_call = false;  // it is to end the call that was extended
  TimerId turn = 0;
  TimerId extension = 0;                // the kCalendarPhase that ends the call that was extended
  std::unique_ptr<std::byte[]> memory;  // the book's
  book::Book book{nullptr};

  const Instrument& instrument() const { return spec.instrument; }
  // Orders are refused while earlier work goes on.
  bool working() const { return book.frozen() || next_phase.has_value(); }
  std::optional<int64_t> last_price() const;
  // The last trade, on a tick and within the bounds of now; else the configured price.
  std::optional<int64_t> reference() const;
  uint64_t lots(uint64_t quantity) const { return quantity / spec.instrument.lot; }
  uint64_t units(uint64_t lots) const { return lots * spec.instrument.lot; }
  // An empty, closed one. False: there is no such book.
  bool make_book();
};
// A call's price is judged by the reference; where there is none, any will do.
book::Uncross uncross_of(const Listing& listing);

struct Firm {
  uint32_t number = 0;
  std::string name;
  Block block;
  uint32_t owes = 0;  // so many assets: it enters no orders and withdraws nothing
};

struct TradingAccount {
  uint32_t number = 0;
  uint32_t firm = 0;
  std::string name;
  uint8_t fee_class = 0;
  Block block;
};

// What a firm or an account has and may have in an instrument.
struct Usage {
  Limits limits;
  Exposure exposure;
  OrderRate rate;
  uint32_t traded = 0;  // of an account, its place among the traded positions; 0: it has none
};

class Directory {
 public:
  // The key of its indexes: nothing that anybody can see depends on it.
  explicit Directory(uint64_t index_key = 0) : names_(index_key), usage_index_(index_key) {}

  Listing* listing(const std::string& symbol);
  const Listing* listing(const std::string& symbol) const { return const_cast<Directory*>(this)->listing(symbol); }
  Listing& listing(uint32_t number) { return listings_[number - 1]; }
  const Listing& listing(uint32_t number) const { return listings_[number - 1]; }
  bool has_listing(uint32_t number) const { return number >= 1 && number <= listings_.size(); }
  const std::deque<Listing>& listings() const { return listings_; }

  Firm* firm(const std::string& name);
  const Firm* firm(const std::string& name) const { return const_cast<Directory*>(this)->firm(name); }
  Firm& firm(uint32_t number) { return firms_[number - 1]; }
  const Firm& firm(uint32_t number) const { return firms_[number - 1]; }
  size_t firms() const { return firms_.size(); }

  TradingAccount* account(uint32_t firm, const std::string& name);
  const TradingAccount* account(uint32_t firm, const std::string& name) const {
    return const_cast<Directory*>(this)->account(firm, name);
  }
  TradingAccount& account(uint32_t number) { return accounts_[number - 1]; }
  const TradingAccount& account(uint32_t number) const { return accounts_[number - 1]; }
  size_t accounts() const { return accounts_.size(); }

  Listing& add_listing(InstrumentSpec spec);  // without a book
  Firm& add_firm(const std::string& name);
  TradingAccount& add_account(uint32_t firm, const std::string& name, uint8_t fee_class);

  // Of a firm or an account; made when it is asked for.
  Usage& usage(Whose whose, uint32_t number, uint32_t instrument);
  // As it is, or as it would be made.
  const Usage& peek(Whose whose, uint32_t number, uint32_t instrument) const;

  // What the account has traded of the instrument that the usage is of; made when it is asked for.
  TradedPosition& traded(Usage& usage);
  const TradedPosition* traded(const Usage& usage) const {
    return usage.traded == 0 ? nullptr : &traded_[usage.traded - 1];
  }
  size_t traded_positions() const { return traded_.size(); }
  // By account and instrument.
  template <class Take>
  void for_each_traded(Take take) const {
    for (const auto& [key, usage] : usages_)
      if (usage.traded != 0) take(std::get<1>(key), std::get<2>(key), traded_[usage.traded - 1]);
  }

  const std::map<std::string, uint32_t>& symbols() const { return symbols_; }
  const std::map<std::string, uint32_t>& firm_names() const { return firm_names_; }
  const std::map<std::pair<uint32_t, std::string>, uint32_t>& account_names() const { return account_names_; }

  // orders_max of all instruments together, as count_books() found it: after each change of one.
  uint64_t book_orders() const { return book_orders_; }
  void count_books();

  bool empty() const { return listings_.empty() && firms_.empty(); }
  uint64_t memory_bytes() const;  // without the books' orders
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  using UsageKey = std::tuple<Whose, uint32_t, uint32_t>;

  template <class Row>
  Row* named(std::deque<Row>& rows, uint64_t owner, std::string_view name);
  Usage* find_usage(Whose whose, uint32_t number, uint32_t instrument) const;
  Usage& add_usage(const UsageKey& key, const Usage& usage);

  uint64_t book_orders_ = 0;
  std::deque<Listing> listings_;
  std::deque<Firm> firms_;
  std::deque<TradingAccount> accounts_;
  std::map<std::string, uint32_t> symbols_;
  std::map<std::string, uint32_t> firm_names_;
  std::map<std::pair<uint32_t, std::string>, uint32_t> account_names_;
  NameIndex names_;  // of all three
  std::map<UsageKey, Usage> usages_;
  std::vector<std::map<UsageKey, Usage>::value_type*> usage_nodes_;
  IdIndex usage_index_;  // to usage_nodes_
  std::deque<TradedPosition> traded_;
};

}  // namespace heptane::fintech::exchange
