// The exchange in a simulation: a second one, as plain as can be (modules/fintech/test/naive_exchange.h), that takes the commands of the
// log in the log's order, and what clients were told.
//
// Rules, looked at after every start: open orders with what is left of them, balances and holds of every account are the model's,
// so there is no hold without an order; each trade has its postings in the ledger and its record in `fintech.trades`, no more and
// no less, and one that was busted has those that take it back; with the house's fees, and less what firms owe, all accounts hold what
// was deposited; a ClOrdID is in the log once a trade date, and a deposit once; what a client was told of an order, an end or a deposit
// is so; nothing was let through while a kill switch was on. What is asked for over FIX is in the log whatever became of it: the sessions'
// streams say that (fix_watch.h). One owner.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel/base/disk.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"
#include "modules/fintech/test/naive_exchange.h"
#include "sim/checker.h"
#include "sim/fix_watch.h"
#include "sim/followed_log.h"
#include "sim/stream_tail.h"

namespace heptane::sim {

struct ExchangeMachines {
  const fintech::exchange::ExchangeMachine* exchange = nullptr;
  const fintech::LedgerMachine* ledger = nullptr;
};

// Of one instrument, BTC/USD.
constexpr uint32_t kSimBtc = 1;
constexpr uint32_t kSimUsd = 840;
struct SimAccount {
  const char* firm;
  const char* name;
  uint8_t fee_class;
};
constexpr SimAccount kSimAccounts[] = {{"alpha", "main", 0}, {"beta", "main", 1}, {"alpha", "second", 1}};
constexpr int kSimAccountCount = 3;
fintech::exchange::FeeRates sim_rates(int account);

class ExchangeWatch {
 public:
  struct Counts {
    uint64_t orders = 0;
    uint64_t trades = 0;
    uint64_t replaced = 0;
    uint64_t cancelled = 0;  // by cancels and mass cancels
    uint64_t kills = 0;
    uint64_t busts = 0;
    uint64_t owed = 0;          // busts after which a firm owed
    uint64_t acknowledged = 0;  // answers to clients
    uint64_t repeats = 0;       // of them such as had been done before
    uint64_t refused = 0;       // likewise such as were refused
    uint64_t audits = 0;
    uint64_t gaps = 0;  // the log was history before it was read: nothing is compared from there on
    FixWatch::Counts fix;
    Counts& operator+=(const Counts& other);
    std::string text() const;  // for the report
  };

  bool is_open = false;  // traders may begin: all that they need was acknowledged
  Counts counts;
  bool has_fix = false;  // in this seed
  FixWatch fix;

  void follow(server::Server& server);
  // After a start. `damaged`: bytes at rest were changed.
  void audit(server::Server& server, const ExchangeMachines& machines, Disk& disk, Checker& checker, bool damaged);

  // What clients were told.
  void entered(const std::string& firm, const std::string& client_id, uint64_t order) {
    entered_[{firm, client_id}] = order;
  }
  void ended(uint64_t order) { ended_.insert(order); }
  void moved(fintech::Uint128 amount) { moved_.insert(amount); }
  void busted(uint64_t trade) { busted_.insert(trade); }

 private:
  using Name = std::pair<std::string, std::string>;  // firm, ClOrdID

  bool catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  void run(const FollowedCommand& command, Checker& checker);
  using NewOrder = fintech::exchange::NewOrder;
  using ReplaceOrder = fintech::exchange::ReplaceOrder;
  using CancelOrder = fintech::exchange::CancelOrder;
  void enter(const FollowedCommand& command, const NewOrder& asked, Checker& checker);
  void replace(const FollowedCommand& command, const ReplaceOrder& asked, Checker& checker);
  void cancel(const CancelOrder& asked, Checker& checker);
  void run_fix(const FollowedCommand& command, Checker& checker);
  void run_mass_cancel(const FollowedCommand& command, Checker& checker);
  void run_switch(const FollowedCommand& command, Checker& checker);
  void run_cash(const FollowedCommand& command, Checker& checker);
  void run_bust(const FollowedCommand& command, Checker& checker);
  void cancel_all(const std::string& firm, const std::string& account);
  bool use(const FollowedCommand& command, const Name& name, uint64_t order, Checker& checker);
  bool blocked(int who);

  void compare_orders(const fintech::exchange::ExchangeMachine& exchange, Checker& checker);
  void compare_money(const ExchangeMachines& machines, Checker& checker);
  void compare_trades(const ExchangeMachines& machines, Checker& checker);
  void compare_busts(const ExchangeMachines& machines, Checker& checker);
  void compare_positions(const fintech::exchange::ExchangeMachine& exchange, Checker& checker) const;
  void compare_answers(Checker& checker) const;

  FollowedLog log_{fintech::exchange::kExchangeMachineId};
  fintech::exchange::test::NaiveExchange model_;
  uint64_t next_order_ = 1;
  size_t compared_ = 0;  // trades
  StreamTail trades_tail_{"fintech.trades"};
  std::vector<std::string> told_trades_;  // also those in the place of others
  size_t told_busts_ = 0;
  std::vector<uint64_t> corrected_;  // and busted, in the order of the log
  size_t compared_busts_ = 0;
  size_t busts_alone_ = 0;                                        // without a trade in its place
  std::map<Name, std::set<uint64_t>> orders_;                     // by every ClOrdID that they had
  std::set<std::tuple<int64_t, std::string, std::string>> used_;  // with their trade dates
  std::multiset<fintech::Uint128> cash_;                          // moved in and out
  std::set<std::string> blocked_;                                 // `everybody`, `firm/` or `firm/account`
  std::map<Name, uint64_t> entered_;
  std::set<uint64_t> ended_;
  std::set<fintech::Uint128> moved_;
  std::set<uint64_t> busted_;
  bool blind_ = false;
};

}  // namespace heptane::sim
