// The reads of the ledger in slices: filters over what is stored, in the order of timestamps. Between two slices commands may
// be applied, so that a search through a long history holds up none.
//
// A search for values of fields looks at the rows that the sorted runs name, file by file; where there are none, at those that
// their keys in memory name (field_keys.h), or at all of them.
//
// Transfers and balances never change: their searches show what there was at their first slice. Accounts do: theirs show
// what there is at the last. A filter that is invalid finds nothing. Not state; the ledger outlives them; its thread.
#pragma once

#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "modules/fintech/domain/ledger/ledger.h"
#include "modules/fintech/domain/ledger/transfer_fields.h"

namespace heptane::fintech {

// What one slice may do: rows looked at, and blocks read of files, which cost more.
struct Slice {
  static constexpr int64_t kBlockCost = 32;
  static constexpr int64_t kRowCost = 8;  // one that is read alone
  static constexpr int64_t kWork = 8192;  // less than a millisecond, where files are in the system's memory

  int64_t left = kWork;
  bool may_wait = false;  // for the disk

  bool over() const { return left <= 0; }
};

enum class Scanned : uint8_t { done, more, waits };  // waits: for the disk

class TransferScan {
 public:
  using Found = std::function<void(uint32_t number, const Transfer& body)>;

  // At most `limit` are found, and at most the filter's own limit; of those there are before the number `end`.
  TransferScan(const Ledger& ledger, const QueryFilter& filter, uint32_t limit, uint32_t end);
  // `balances`: of an account with history, and its balances will be asked for, too.
  TransferScan(const Ledger& ledger, const AccountFilter& filter, uint32_t limit, uint32_t end, bool balances = false);
  // Those of these ids that there are, in the order of the ids.
  TransferScan(const Ledger& ledger, std::vector<Uint128> ids, uint32_t end);

  Scanned step(Slice& slice, const Found& found);

 private:
  // 0 = any, in all fields but the flags and times.
  struct Wanted {
    Uint128 account = 0;
    bool debits = true;
    bool credits = true;
    Uint128 user_data_128 = 0;
    uint64_t user_data_64 = 0;
    uint32_t user_data_32 = 0;
    uint32_t ledger = 0;
    uint16_t code = 0;
    uint64_t timestamp_min = 0;
    uint64_t timestamp_max = 0;
  };
  enum class Source : uint8_t { nothing, range, account, ids };

  template <class Filter>
  void take(const Filter& filter, uint32_t limit, uint32_t end);
  bool matches(const Transfer& body) const;
  void look_at(uint32_t number, const Found& found);
  bool ready(Slice& slice);
  Scanned fill(Slice& slice);
  size_t look_ahead(size_t most);
  Scanned fill_from_range(Slice& slice);
  Scanned fill_from_runs(Slice& slice);
  Scanned fill_from_keys(Slice& slice);
  Scanned fill_from_account(Slice& slice);
  Scanned fill_from_ids();
  Scanned gather_blocks(Slice& slice);
  uint32_t next_file() const;
  TransferStore::Numbers piece_in(rows::RunPlace place) const;
  void pass(const TransferStore::Numbers& piece);
  void expect_runs(uint32_t file);
  void add_numbers(std::span<const uint32_t> numbers);

  const Ledger& ledger_;
  Source source_ = Source::nothing;
  Wanted wanted_;
  uint32_t left_ = 0;  // to be found
  bool reversed_ = false;
  bool balances_ = false;
  TransferStore::Numbers range_{0, 0};  // not looked at yet

  // Numbers to look at next, in the order of the answer.
  std::vector<uint32_t> batch_;
  size_t at_ = 0;
  size_t ahead_ = 0;       // how many at once
  bool expected_ = false;  // the files of the batch

  TransferKeys keys_;           // of the fields asked for
  bool keyed_ = false;          // there is one
  uint32_t runs_expected_ = 0;  // files whose blocks are on their way, from the next piece on

  NumberLists::View list_;
  bool newest_taken_ = false;
  uint32_t block_ = NumberLists::kNone;  // reversed: the next one; else the next one to be gathered
  std::vector<uint32_t> blocks_;         // oldest last
  bool gathered_ = false;

  std::vector<Uint128> ids_;
  size_t next_id_ = 0;
  std::vector<Uint128> batch_ids_;  // beside the batch
};

class AccountScan {
 public:
  AccountScan(const Ledger& ledger, const QueryFilter& filter, uint32_t limit);
  // done: for what there is now; a later step looks at what has come since.
  Scanned step(Slice& slice);
  // Behind a step that was done, before anything is applied: in the order of the answer.
  void append_to(std::vector<Account>& found) const;

 private:
  bool matches(const Account& account) const;
  void look_at(uint32_t& first, uint32_t& last, Slice& slice);
  void candidates(uint32_t& first, uint32_t& last, Slice& slice);

  const Ledger& ledger_;
  const QueryFilter filter_;
  TransferKeys keys_;  // of the fields asked for
  bool keyed_ = false;
  size_t limit_ = 0;
  bool reversed_ = false;
  uint32_t next_ = 0;            // upwards from here; in reverse what has come since the beginning
  uint32_t below_ = 0;           // in reverse: downwards, those before it
  uint32_t first_ = 0;           // of the range
  std::vector<uint32_t> found_;  // in reverse: from below, newest first
  std::vector<uint32_t> candidates_;
  std::deque<uint32_t> newer_;  // in reverse: since the beginning, oldest first
};

}  // namespace heptane::fintech
