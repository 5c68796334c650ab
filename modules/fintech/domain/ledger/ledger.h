// Accounts and transfers with exactly TigerBeetle's semantics (0.17, docs/reference), as a library: double entry, two-phase
// transfers with time-outs, linked chains, balancing and closing transfers, imported events, balance history.
//
// Invariants: every transfer debits one account what it credits another, in one ledger; posted plus pending of a side
// never overflows; accounts and transfers are append-only and their timestamps unique on one axis. An event that fails
// changes nothing, except that a transient failure uses up the transfer's id. Deterministic; one owner, no threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "modules/fintech/domain/ledger/access.h"
#include "modules/fintech/domain/ledger/chunks.h"
#include "modules/fintech/domain/ledger/id_index.h"
#include "modules/fintech/domain/ledger/number_lists.h"
#include "modules/fintech/domain/ledger/status.h"
#include "modules/fintech/domain/ledger/totals.h"
#include "modules/fintech/domain/ledger/transfer_ids.h"
#include "modules/fintech/domain/ledger/transfer_store.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

struct BatchFacts;
struct TransferCase;

class Ledger {
 public:
  // The key of the fingerprints in the indexes: answers do not depend on it.
  explicit Ledger(uint64_t index_key = 0, uint32_t rows_per_file = kRowsPerFile)
      : account_index_(index_key),
        account_keys_(std::min(rows_per_file, kAccountsSorted), FieldKeys::Full::are_sorted),
        transfers_(rows_per_file),
        transfer_index_(~index_key) {}

  // The last timestamp given out. Never goes back.
  uint64_t clock() const { return clock_; }
  // Makes room for `events` timestamps: the clock becomes the later of `now` and clock + events, and is returned. The
  // events that follow get clock - events + 1 to clock.
  uint64_t advance(uint64_t now, uint64_t events);

  // On whose behalf the next events are created: nothing of it is state. Forgets what was denied.
  void act_as(const Access& access) {
    access_ = access;
    denials_ = {};
  }
  const Denials& denials() const { return denials_; }

  // Whole events of 128 bytes; the last one gets `timestamp`. Appends one result for each.
  void create_accounts(uint64_t timestamp, Bytes events, std::vector<CreateResult>& results);
  void create_transfers(uint64_t timestamp, Bytes events, std::vector<CreateResult>& results);

  // Expires pending transfers that are due at the later of `now` and the clock, at most `limit`; says how many. Appends
  // those that had closed an account, which is open again.
  uint32_t expire(uint64_t now, uint32_t limit, std::vector<Transfer>* closing = nullptr);
  // When the next one is due; 0 = none is.
  uint64_t next_expiry() const { return expiries_.empty() ? 0 : expiries_.begin()->first; }

  // Until the matching close, every change can be taken back. Scopes nest; free when none is open.
  void open_scope() { marks_.push_back(undo_.size()); }
  bool in_scope() const { return !marks_.empty(); }
  void close_scope(bool keep);

  const Account* find_account(Uint128 id) const;
  // False when there is none.
  bool find_transfer(Uint128 id, Transfer& found) const;
  PendingStatus pending_status(Uint128 id) const;

  // An invalid filter finds nothing. At most `limit` answers, and at most the filter's own limit. In slices: scan.h.
  void account_transfers(const AccountFilter& filter, uint32_t limit, std::vector<Transfer>& found) const;
  void account_balances(const AccountFilter& filter, uint32_t limit, std::vector<AccountBalance>& found) const;
  void query_accounts(const QueryFilter& filter, uint32_t limit, std::vector<Account>& found) const;
  void query_transfers(const QueryFilter& filter, uint32_t limit, std::vector<Transfer>& found) const;

  // For searches. The numbers of an account's transfers, in their order.
  NumberLists::View list_of(uint32_t account) const { return {transfers_of_, account}; }
  // Of accounts, by their numbers. Whoever asks makes it.
  FieldKeys& account_keys() const { return account_keys_; }
  // By the id's fingerprint alone, from memory: the one with the number may have another. NumberLists::kNone: there is none.
  uint32_t expected_number(Uint128 id) const;

  // Where that is looked for.
  TransferIds::Place place_of_transfer(Uint128 id) const { return transfer_index_.place_of(id); }
  // The same, and of each that may have it.
  template <class Visit>
  void visit_expected(const TransferIds::Place& place, Visit visit) const {
    (void)transfer_index_.find(place, [&](uint32_t number) {
      if ((number & kFailedBit) == 0) visit(number);
      return false;
    });
  }

  // Asks the processor for where expected_number() looks.
  void prefetch_transfer(const TransferIds::Place& place) const { transfer_index_.prefetch(place); }
  // Asks the processor for what these events will touch.
  void expect_transfers(Bytes events) const;

  // Of each ledger, kept up with every change.
  const Totals& totals() const { return totals_; }
  // Places in accounts() and transfers(); the id must be there.
  uint32_t number_of_account(Uint128 id) const { return account_number(id); }
  uint32_t number_of_transfer(Uint128 id) const { return transfer_number(id); }

  // Between two commands, outside of scopes: what is old enough goes to row files (kernel/rows).
  void settle();
  // The first read of a row file that failed since the last call: what was answered meanwhile is not to be believed.
  std::optional<Error> take_damage() const { return transfers_.take_damage(); }

  // All there is, in its order, for snapshots: what restore_* takes in the same order gives an equal ledger. False: it
  // cannot be.
  const Chunks<Account>& accounts() const { return accounts_; }
  // The number of accounts when there is none.
  uint32_t first_account_not_before(uint64_t timestamp) const;
  const TransferStore& transfers() const { return transfers_; }
  const Chunks<Uint128>& failed_ids() const { return failed_; }
  const rows::Rows<BalanceRow>& history() const { return transfers_.balances(); }
  void clear();
  void restore_clock(uint64_t clock) { clock_ = clock; }
  bool restore_account(const Account& account);
  bool restore_transfer(const Transfer& transfer, PendingStatus status);
  bool restore_failed(Uint128 id);
  bool restore_history(const BalanceRow& row);
  // Of row files: when the rows of all stores are there again; then what became of the pending ones, in their order.
  TransferStore& stored_transfers() { return transfers_; }
  // False: they are no ledger's; an error names the file that cannot be read. `progress`, if there is one, is called every few
  // milliseconds with the bytes read of how many, and ends it with Errc::closed when it says false.
  using Progress = std::function<bool(uint64_t done, uint64_t total)>;
  Result<bool> restore_rows(const Progress& progress = nullptr);
  bool restore_status(uint32_t number, PendingStatus status, const Transfer& pending);

  // Of the state. Readers add nothing to it.
  uint64_t memory_bytes() const;
  // What readers have it keep: blocks and checks of row files, up to a limit, and keys, in proportion to the rows in memory.
  uint64_t cache_bytes() const { return account_keys_.memory_bytes() + transfers_.cache_bytes(); }

 private:
  static constexpr uint32_t kNone = IdIndex::kNone;
  static constexpr uint32_t kAccountsSorted = 16'384;  // at once, in less than a millisecond
  static constexpr uint32_t kFailedBit = 0x80000000;   // of a number in transfer_index_: it is one of failed_

  struct Undo {
    enum class Kind : uint8_t { clock, account, account_added, transfer_added, failed_added, status, history_added };
    Kind kind;
    PendingStatus status = PendingStatus::none;
    uint32_t number = 0;
    uint64_t clock = 0;
  };
  struct Sides {  // numbers of the two accounts
    uint32_t debit = kNone;
    uint32_t credit = kNone;
  };

  uint32_t account_number(Uint128 id) const;
  Sides sides_of(const Transfer& transfer) const {
    return {account_number(transfer.debit_account_id), account_number(transfer.credit_account_id)};
  }
  // The same, where look_ahead() has found them.
  Sides expected_sides_of(const Transfer& transfer) const {
    return {is_account(expected_.debit, transfer.debit_account_id) ? expected_.debit
                                                                   : account_number(transfer.debit_account_id),
            is_account(expected_.credit, transfer.credit_account_id) ? expected_.credit
                                                                     : account_number(transfer.credit_account_id)};
  }
  bool is_account(uint32_t number, Uint128 id) const { return number < accounts_.size() && accounts_[number].id == id; }
  uint32_t transfer_number(Uint128 id) const;
  bool has_account_at(uint64_t timestamp) const;

  CreateResult create_account(const Account& account, const BatchFacts& batch, uint64_t event_time);
  CreateResult create_transfer(const Transfer& transfer, const BatchFacts& batch, uint64_t event_time);
  TransferStatus hide(TransferCase& at) const;
  void deny(TransferStatus status, const TransferCase& at);
  CreateResult judge_existing(TransferCase& at, uint32_t number) const;
  void move(const TransferCase& at, Sides sides);
  void resolve(const TransferCase& at, uint32_t pending_number, Sides sides);
  void release(const Transfer& pending, Account& debit, Account& credit, bool reopen);
  void use_up(Uint128 id);

  void add_account(const Account& account);
  uint32_t add_transfer(const Transfer& transfer, PendingStatus status, Sides sides);
  void add_history(uint32_t transfer, const Account& debit, const Account& credit, uint64_t timestamp);
  void set_status(uint32_t number, PendingStatus status, const Transfer& pending);
  TransferStore::Histories histories_of(Sides sides) const {
    return {accounts_[sides.debit].has(account_flags::kHistory), accounts_[sides.credit].has(account_flags::kHistory)};
  }

  bool recording() const { return !marks_.empty(); }
  void remember(const Account& account);
  void undo_last();

  template <class Event, uint16_t kImported, class Create, class After, class Ahead>
  void run_batch(uint64_t timestamp, Bytes events, std::vector<CreateResult>& results, Create create, After after,
                 Ahead ahead);
  void look_ahead(Bytes events, size_t index);
  void expect_ids(const std::byte* event) const;
  uint32_t expect_account(Uint128 id) const;

  uint64_t clock_ = 0;
  Chunks<Account> accounts_;
  NumberLists transfers_of_;  // of each account, in their order
  IdIndex account_index_;
  mutable FieldKeys account_keys_;  // no state
  TransferStore transfers_;
  TransferIds transfer_index_;
  Chunks<Uint128> failed_;                            // ids that a transient failure used up
  std::set<std::pair<uint64_t, uint32_t>> expiries_;  // when, and the pending transfer's number
  Totals totals_;

  Access access_;
  Denials denials_;

  // What look_ahead() has found for the events that come next, and for the one that is being looked at: hints.
  static constexpr size_t kNear = 12;
  std::array<Sides, kNear> ahead_;
  Sides expected_;

  std::vector<Undo> undo_;
  std::vector<Account> before_;     // of Undo::Kind::account, in their order
  std::vector<Transfer> resolved_;  // of Undo::Kind::status: they may be in files by now
  std::vector<size_t> marks_;
};

}  // namespace heptane::fintech
