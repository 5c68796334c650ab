// Counts all balances again from nothing but the transfers, a slice at a time between commands, and compares them with what
// the ledger says: accounts, and the totals of every ledger. Not state: a ledger may be counted at any time, and another
// recount begins from its first transfer. One that has come to its end can go on later with what was made since, and then
// compares the accounts that this touched; it holds some 70 bytes an account.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "modules/fintech/domain/ledger/ledger.h"
#include "modules/fintech/domain/ledger/scan.h"

namespace heptane::fintech {

struct RecountReport {
  static constexpr size_t kNamedMost = 16;
  uint64_t transfers = 0;
  uint64_t accounts = 0;
  uint64_t differing_accounts = 0;
  std::vector<Uint128> named;      // of them
  uint64_t differing_ledgers = 0;  // their totals are not what their transfers make, or debits are not credits

  bool agrees() const { return differing_accounts == 0 && differing_ledgers == 0; }
};

class Recount {
 public:
  // Counts and compares at most `work` transfers and accounts more, outside of scopes. done: it has come to the end, and
  // `report` is filled; waits: for a transfer that is on its way from the disk, unless it `may_wait` for it here. Accounts are
  // compared when every transfer there is has been counted, so each at a moment of its own.
  Scanned step(const Ledger& ledger, uint32_t work, bool may_wait, RecountReport& report);
  uint32_t counted() const { return next_; }

 private:
  using Open = std::set<std::pair<uint64_t, uint32_t>>;  // when it expires, and its number

  void add_account(const Ledger& ledger, uint32_t number);
  bool count(const Ledger& ledger, uint32_t number);
  void count_pending(const Ledger& ledger, const Transfer& transfer, uint32_t number);
  void count_posted(const Ledger& ledger, const Transfer& transfer, Uint128 released);
  std::optional<Transfer> body(const Ledger& ledger, uint32_t number);
  std::optional<Transfer> resolved_by(const Ledger& ledger, const Transfer& transfer, uint32_t& number);
  void expect(const Ledger& ledger, uint32_t number);
  Scanned take_back_expired(const Ledger& ledger, uint32_t& work);
  void compare(const Ledger& ledger, uint32_t number);
  RecountReport report_on(const Ledger& ledger) const;
  void touch(uint32_t account);
  template <class Change>
  void change(const Ledger& ledger, const Transfer& transfer, Change change);

  bool may_wait_ = false;          // in this step
  uint32_t expected_ = 0;          // transfers before this one were asked for
  uint32_t accounts_ = 0;          // so far
  uint32_t next_ = 0;              // transfer
  std::vector<Balances> counted_;  // by the number of the account
  std::map<uint32_t, LedgerTotals> totals_;
  Open open_;  // pending transfers with a time-out that nothing counted so far has resolved
  std::vector<bool> touched_;
  std::vector<uint32_t> to_compare_;
  std::set<uint32_t> differing_;
};

}  // namespace heptane::fintech
