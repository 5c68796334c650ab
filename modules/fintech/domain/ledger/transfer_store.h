// Where the bodies of transfers live, and the answers about what became of pending ones. Numbered in the order of their
// creation, which is that of their timestamps. The newest are in memory, the others in row files (kernel/rows); so are the
// balances that accounts with history keep. Who uses the store gets copies and cannot tell, but by the time it takes.
//
// Beside the files of bodies lie sorted runs of the fields that queries name (kernel/rows/run_store.h); of rows without runs
// their keys are in memory once somebody has asked for them (field_keys.h).
// In memory for each transfer: a byte (what became of it, whose balances it left) and a quarter (a waypoint for every 64). The
// bodies of pending transfers that nothing has resolved are always there: apply() reads files for an id that exists alone. What
// a command will read of them can be taken into memory before (held()).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/prefetch.h"
#include "kernel/base/result.h"
#include "kernel/rows/rows.h"
#include "kernel/rows/run_store.h"
#include "modules/fintech/domain/ledger/chunks.h"
#include "modules/fintech/domain/ledger/field_keys.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

constexpr uint32_t kRowsPerFile = 65'536;  // of every log that there is: snapshots count in them

// What a start reads of a transfer.
struct TransferKey {
  Uint128 id;
  uint64_t timestamp;
  uint32_t debit;  // numbers of the accounts
  uint32_t credit;
};
static_assert(kWireLayout<TransferKey, 32>);

// Of an account with history, behind a transfer. That of the debited account comes first.
struct BalanceRow {
  Uint128 debits_pending;
  Uint128 debits_posted;
  Uint128 credits_pending;
  Uint128 credits_posted;
  uint64_t timestamp;
  uint32_t transfer;
  uint32_t credit_side;  // 0, 1

  AccountBalance balance() const {
    return {debits_pending, debits_posted, credits_pending, credits_posted, timestamp, {}};
  }
};
static_assert(kWireLayout<BalanceRow, 80>);

class TransferStore {
 public:
  struct Histories {  // which of its accounts keep balances
    bool debit = false;
    bool credit = false;
  };

  explicit TransferStore(uint32_t rows_per_file = kRowsPerFile);

  uint32_t size() const { return bodies_.size(); }
  Transfer body(uint32_t number) const;
  Uint128 id(uint32_t number) const { return keys_[number].id; }
  // Reads a file only when it says yes, or once in very many times.
  bool has_id(uint32_t number, Uint128 id) const;
  uint64_t timestamp(uint32_t number) const {
    const Transfer* held = held_body(number);
    return held != nullptr ? held->timestamp : keys_[number].timestamp;
  }
  // Of all transfers, some at a time, in their order: `take(first, keys)`, see RowStore::scan.
  template <class Take>
  Result<bool> scan_keys(Take take) const {
    return keys_.scan(take);
  }
  uint64_t last_timestamp() const { return size() == 0 ? 0 : timestamp(size() - 1); }

  uint32_t append(const Transfer& transfer, PendingStatus status, uint32_t debit, uint32_t credit, Histories keep);
  // The last one; its balances first.
  void pop();

  PendingStatus status(uint32_t number) const { return static_cast<PendingStatus>(marks_[number] & kStatusBits); }
  // `body` is the transfer's.
  void set_status(uint32_t number, PendingStatus status, const Transfer& body);

  // The first with a timestamp not below this one; size() when there is none. Reads two blocks of a file at most.
  uint32_t lower_bound(uint64_t timestamp) const;
  bool has_timestamp(uint64_t timestamp) const {
    const uint32_t at = lower_bound(timestamp);
    return at < size() && this->timestamp(at) == timestamp;
  }

  // The first row that has_timestamp() would read of a file.
  std::optional<uint32_t> first_lacking(uint64_t timestamp) const;

  // Bodies that commands to come need, by number, with how often they are held: in memory until they are released as often.
  struct HeldBody {
    Transfer body;
    uint32_t times;
  };
  using HeldBodies = std::map<uint32_t, HeldBody>;
  // Outlives the store where somebody holds some.
  const std::shared_ptr<HeldBodies>& held() const { return held_; }
  // body(), id and timestamp read no file.
  bool at_hand(uint32_t number) const {
    return held_body(number) != nullptr ||
           (bodies_.store().in_memory(number) != nullptr && keys_.store().in_memory(number) != nullptr);
  }

  const rows::Rows<BalanceRow>& balances() const { return balances_; }
  void append_balance(const BalanceRow& row) { balances_.push_back(row); }
  void pop_balance() { balances_.pop_back(); }
  // Of an account that keeps balances.
  BalanceRow balance(uint32_t transfer, bool credit_side) const {
    return balances_[balance_row(transfer, credit_side)];
  }
  // How many rows the transfers say there are.
  uint32_t balances_due() const { return balances_due_; }

  // Between which numbers those of a range of time lie, up to a waypoint more on both sides; from memory.
  struct Numbers {
    uint32_t first;
    uint32_t last;  // one behind
  };
  Numbers around(uint64_t timestamp_min, uint64_t timestamp_max) const;

  // For who must not wait for the disk, see RowStore::ready.
  bool ready(uint32_t number) const {
    return held_body(number) != nullptr || kept_pending(number) != nullptr || bodies_.store().ready(number);
  }
  bool balance_ready(uint32_t transfer, bool credit_side) const {
    return balances_.store().ready(balance_row(transfer, credit_side));
  }
  void expect(std::span<const uint32_t> numbers) const { bodies_.store().expect(numbers); }
  void expect_balances(std::span<const uint32_t> transfers) const;
  // Of all files.
  uint64_t blocks_read() const {
    return bodies_.store().blocks_read() + balances_.store().blocks_read() + runs_.blocks_read();
  }
  // Likewise, rows that were read alone.
  uint64_t rows_read() const { return bodies_.store().rows_read() + balances_.store().rows_read(); }
  // Brings into the cache what ready() and body() look at in memory.
  void prefetch(uint32_t number) const {
    prefetch_line(&marks_[number]);
    bodies_.store().prefetch(number);
  }
  // Which bodies in files have a value in a field; numbers of rows and files as in bodies.
  const rows::RunStore& runs() const { return runs_; }
  rows::RunStore& runs() { return runs_; }
  uint32_t rows_per_file() const { return bodies_.store().shape().rows_per_file; }
  // Of rows that no runs know; their pieces are files. Whoever asks makes it.
  FieldKeys& field_keys() const { return field_keys_; }
  // Nullopt: it is in a file.
  std::optional<TransferKeys> keys_in_memory(uint32_t number) const;
  // Between two commands, never in replay.
  void settle_runs();
  void verify_runs(std::vector<std::string>& problems) const { runs_.verify(bodies_.store(), problems); }
  std::optional<Error> take_damage() const;

  // All kinds of rows, for the machine that saves, restores and writes them: bodies, keys, balances.
  std::vector<rows::RowStore*> stores() { return {&bodies_.store(), &keys_.store(), &balances_.store()}; }
  std::vector<const rows::RowStore*> stores() const { return {&bodies_.store(), &keys_.store(), &balances_.store()}; }
  bool in_files() const { return full_chunk(bodies_.store()) || full_chunk(balances_.store()); }
  void clear();
  // Rows of bodies and keys are there again: what is known of each, in their order.
  void restore_mark(uint32_t number, uint64_t timestamp, Histories keep);

  // What has come by commands alone: a budget of it refuses commands.
  uint64_t memory_bytes() const;
  // What was read stays in, keys that were asked for and bodies that are held.
  uint64_t cache_bytes() const;

 private:
  static constexpr uint8_t kStatusBits = 0x07;
  static constexpr uint8_t kDebitBalance = 0x08;
  static constexpr uint8_t kCreditBalance = 0x10;
  static constexpr uint32_t kPerWaypoint = 64;
  struct Waypoint {  // at every 64th transfer
    uint64_t timestamp;
    uint32_t balances;  // rows before its own
    uint32_t reserved;
  };

  static bool full_chunk(const rows::RowStore& store) { return store.full_chunks() != 0; }
  static uint32_t rows_of(uint8_t mark) { return (mark & kDebitBalance ? 1 : 0) + (mark & kCreditBalance ? 1 : 0); }
  void mark_status(uint32_t number, PendingStatus status) {
    marks_[number] = static_cast<uint8_t>((marks_[number] & ~kStatusBits) | static_cast<uint8_t>(status));
  }
  const Transfer* kept_pending(uint32_t number) const;
  const Transfer* held_body(uint32_t number) const {
    if (held_->empty()) return nullptr;
    const auto found = held_->find(number);
    return found == held_->end() ? nullptr : &found->second.body;
  }
  template <class TimeOf>
  uint32_t first_not_before(uint64_t timestamp, TimeOf time_of) const;
  uint32_t balance_row(uint32_t transfer, bool credit_side) const;
  void keep_pending(uint32_t first, uint32_t count);

  rows::Rows<Transfer> bodies_;
  rows::Rows<TransferKey> keys_;
  rows::Rows<BalanceRow> balances_;
  rows::RunStore runs_;
  mutable FieldKeys field_keys_;  // no state
  Chunks<uint8_t> marks_;
  Chunks<Waypoint> waypoints_;
  uint32_t balances_due_ = 0;
  std::map<uint32_t, Transfer> pending_;                                     // unresolved, whose bodies are in files
  const std::shared_ptr<HeldBodies> held_ = std::make_shared<HeldBodies>();  // no state
};

}  // namespace heptane::fintech
