// The ledger's model in a simulation: a second ledger, as plain as can be (modules/fintech/test/naive_ledger.h), that takes the
// commands of the log in the log's order, and what clients were told.
//
// Rules, looked at after every start: accounts with all their balances, transfers, what became of pending ones and the balances
// of accounts with history are the model's, no more and no less; totals are the sums of the accounts, and a recount from
// nothing but the transfers agrees; every answer that a client had is the one that the model gives to that very request, which
// is in the log once; what was synced is never lost. One owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "kernel/server/server.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/fintech/test/naive_ledger.h"
#include "sim/checker.h"

namespace heptane::sim {

class LedgerWatch {
 public:
  using Request = std::pair<fintech::Uint128, fintech::Uint128>;  // client, checksum of the request
  struct Known {
    fintech::Uint128 id = 0;
    uint64_t timestamp = 0;
  };
  struct Counts {
    uint64_t acknowledged = 0;  // events in answers
    uint64_t commands = 0;      // of the log, through the model
    uint64_t expired = 0;       // pending transfers whose time-out came
    uint64_t imported = 0;      // accounts and transfers that were created with their own timestamps
    uint64_t audits = 0;
    uint64_t gaps = 0;  // the log was history before it was read: nothing is compared from there on
  };

  // After a turn of the shard: reads what is synced before it becomes history. The ledger's own recounts agree.
  void follow(server::Server& server, const fintech::LedgerMachine& ledger, Checker& checker);
  // After a start. `damaged`: bytes at rest were changed.
  void audit(server::Server& server, const fintech::LedgerMachine& ledger, Checker& checker, bool damaged);

  // A client's answer to a request that creates; `events` as it sent them.
  void acknowledged(Request request, const std::vector<fintech::Transfer>& events, std::vector<std::byte> results);
  // Transfers that clients know to be there.
  const std::vector<Known>& known() const { return known_; }
  const Counts& counts() const { return counts_; }

 private:
  struct Logged {
    Sequence sequence = 0;
    LogTime time = 0;
    CommandType type = 0;
    std::vector<std::byte> payload;
  };

  Result<void> read(server::Server& server, Sequence upto);
  void forget_behind(Sequence last, Checker& checker);
  void run(const Logged& command, Checker& checker);
  void run_create(const Logged& command, Checker& checker);
  template <class Row, class Create>
  std::vector<fintech::CreateResult> run_batch(const std::vector<Row>& events, uint16_t imported, Create create);
  static std::optional<Error> unreadable(const fintech::Ledger& ledger);
  void compare(const fintech::Ledger& ledger, Checker& checker);
  void compare_accounts(const fintech::Ledger& ledger, Checker& checker) const;
  void compare_transfers(const fintech::Ledger& ledger, Checker& checker) const;
  void compare_histories(const fintech::Ledger& ledger, Checker& checker);
  void compare_totals(const fintech::Ledger& ledger, Checker& checker) const;
  void compare_answers(Checker& checker);

  std::vector<Logged> log_;  // of the ledger, synced
  Sequence read_ = 0;        // so far
  size_t run_ = 0;           // of log_, through the model
  fintech::test::NaiveLedger model_;
  std::map<Request, std::vector<std::byte>> results_;       // that the model gave
  std::map<Request, std::vector<std::byte>> acknowledged_;  // not compared yet
  std::vector<Known> known_;
  size_t next_history_ = 0;
  bool blind_ = false;
  Counts counts_;
};

}  // namespace heptane::sim
