#include "modules/fintech/domain/ledger/recount.h"

#include <algorithm>

namespace heptane::fintech {

bool Recount::step(const Ledger& ledger, uint32_t work, RecountReport& report) {
  for (; work > 0 && accounts_ < ledger.accounts().size(); --work) add_account(ledger, accounts_++);
  if (accounts_ < ledger.accounts().size()) return false;
  for (const uint32_t all = ledger.transfers().size(); next_ < all; --work) {
    if (work == 0) return false;
    count(ledger, next_++);
  }
  if (!take_back_expired(ledger, work)) return false;
  for (; !to_compare_.empty(); --work) {
    if (work == 0) return false;
    compare(ledger, to_compare_.back());
    to_compare_.pop_back();
  }
  report = report_on(ledger);
  return true;
}

void Recount::add_account(const Ledger& ledger, uint32_t number) {
  counted_.emplace_back();
  touched_.push_back(false);
  ++totals_[ledger.accounts()[number].ledger].accounts;
  touch(number);
}

void Recount::touch(uint32_t account) {
  if (touched_[account]) return;
  touched_[account] = true;
  to_compare_.push_back(account);
}

// Of both accounts, and of their ledger.
template <class Change>
void Recount::change(const Ledger& ledger, const Transfer& transfer, Change change) {
  const uint32_t debit = ledger.number_of_account(transfer.debit_account_id);
  const uint32_t credit = ledger.number_of_account(transfer.credit_account_id);
  if (debit >= counted_.size() || credit >= counted_.size()) return;  // a body that cannot be read: the ledger says so
  Balances& sums = totals_[ledger.accounts()[debit].ledger].balances;
  change(counted_[debit], counted_[credit]);
  change(sums, sums);
  touch(debit);
  touch(credit);
}

void Recount::count(const Ledger& ledger, uint32_t number) {
  const Transfer transfer = ledger.transfers().body(number);
  if (transfer.has(transfer_flags::kPending)) {
    if (transfer.timeout != 0) open_.emplace(transfer.expires_at(), number);
    return change(ledger, transfer, [&](Balances& debit, Balances& credit) {
      debit.debits_pending += transfer.amount;
      credit.credits_pending += transfer.amount;
    });
  }
  Uint128 released = 0;
  if (transfer.resolves()) {
    const uint32_t resolved = ledger.number_of_transfer(transfer.pending_id);
    if (resolved >= number) return;  // its file cannot be read: the ledger says so
    const Transfer pending = ledger.transfers().body(resolved);
    released = pending.amount;
    if (pending.timeout != 0) open_.erase({pending.expires_at(), resolved});
  }
  const Uint128 posted = transfer.has(transfer_flags::kVoid) ? 0 : transfer.amount;
  change(ledger, transfer, [&](Balances& debit, Balances& credit) {
    debit.debits_pending -= released;
    credit.credits_pending -= released;
    debit.debits_posted += posted;
    credit.credits_posted += posted;
  });
}

// An expiry is no transfer: what has expired is known by its status alone, and by then the ledger's clock is not before it.
// The ledger lets them expire in this very order: behind the first that has not, none has.
bool Recount::take_back_expired(const Ledger& ledger, uint32_t& work) {
  for (auto at = open_.begin(); at != open_.end() && at->first <= ledger.clock(); --work) {
    if (ledger.transfers().status(at->second) != PendingStatus::expired) return true;
    if (work == 0) return false;
    const Transfer expired = ledger.transfers().body(at->second);
    change(ledger, expired, [&](Balances& debit, Balances& credit) {
      debit.debits_pending -= expired.amount;
      credit.credits_pending -= expired.amount;
    });
    at = open_.erase(at);
  }
  return true;
}

void Recount::compare(const Ledger& ledger, uint32_t number) {
  touched_[number] = false;
  if (counted_[number] == balances_of(ledger.accounts()[number]))
    differing_.erase(number);
  else
    differing_.insert(number);
}

RecountReport Recount::report_on(const Ledger& ledger) const {
  RecountReport report;
  report.transfers = next_;
  report.accounts = accounts_;
  report.differing_accounts = differing_.size();
  for (const uint32_t number : differing_)
    if (report.named.size() < RecountReport::kNamedMost) report.named.push_back(ledger.accounts()[number].id);
  for (const auto& [number, running] : ledger.totals().rows()) {
    const auto found = totals_.find(number);
    const LedgerTotals counted = found == totals_.end() ? LedgerTotals() : found->second;
    const Balances& sums = counted.balances;
    if (!(running == counted) || sums.debits_pending != sums.credits_pending ||
        sums.debits_posted != sums.credits_posted)
      ++report.differing_ledgers;
  }
  return report;
}

}  // namespace heptane::fintech
