#include "modules/fintech/domain/ledger/recount.h"

#include <algorithm>
#include <map>

namespace heptane::fintech {

bool Recount::step(const Ledger& ledger, uint32_t transfers, RecountReport& report) {
  counted_.resize(std::max<size_t>(counted_.size(), ledger.accounts().size()));
  const uint32_t all = ledger.transfers().size();
  for (; transfers > 0 && next_ < all; --transfers) count(ledger, next_++);
  if (next_ < all) return false;
  report = compare(ledger);
  return true;
}

void Recount::count(const Ledger& ledger, uint32_t number) {
  const Transfer transfer = ledger.transfers().body(number);
  Balances& debit = counted_[ledger.number_of_account(transfer.debit_account_id)];
  Balances& credit = counted_[ledger.number_of_account(transfer.credit_account_id)];
  if (transfer.has(transfer_flags::kPending)) {
    debit.debits_pending += transfer.amount;
    credit.credits_pending += transfer.amount;
    open_.insert(number);
    return;
  }
  if (transfer.resolves()) {
    const uint32_t pending = ledger.number_of_transfer(transfer.pending_id);
    const Uint128 amount = ledger.transfers().body(pending).amount;
    debit.debits_pending -= amount;
    credit.credits_pending -= amount;
    open_.erase(pending);
    if (transfer.has(transfer_flags::kVoid)) return;
  }
  debit.debits_posted += transfer.amount;
  credit.credits_posted += transfer.amount;
}

// An expiry is no transfer: what has expired is known by its status alone.
RecountReport Recount::compare(const Ledger& ledger) {
  for (auto at = open_.begin(); at != open_.end();) {
    if (ledger.transfers().status(*at) != PendingStatus::expired) {
      ++at;
      continue;
    }
    const Transfer expired = ledger.transfers().body(*at);
    counted_[ledger.number_of_account(expired.debit_account_id)].debits_pending -= expired.amount;
    counted_[ledger.number_of_account(expired.credit_account_id)].credits_pending -= expired.amount;
    at = open_.erase(at);
  }
  RecountReport report;
  report.transfers = next_;
  report.accounts = ledger.accounts().size();
  std::map<uint32_t, LedgerTotals> totals;
  for (uint32_t i = 0; i < ledger.accounts().size(); ++i) {
    const Account& account = ledger.accounts()[i];
    ++totals[account.ledger].accounts;
    totals[account.ledger].balances += counted_[i];
    if (counted_[i] == balances_of(account)) continue;
    if (report.differing_accounts++ < RecountReport::kNamedMost) report.named.push_back(account.id);
  }
  for (const auto& [number, running] : ledger.totals().rows()) {
    const LedgerTotals& counted = totals[number];
    const Balances& sums = counted.balances;
    if (!(running == counted) || sums.debits_pending != sums.credits_pending ||
        sums.debits_posted != sums.credits_posted)
      ++report.differing_ledgers;
  }
  return report;
}

}  // namespace heptane::fintech
