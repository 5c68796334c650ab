#include "modules/fintech/domain/ledger/recount.h"

#include <algorithm>
#include <numeric>

namespace heptane::fintech {

namespace {

constexpr uint32_t kRowsAhead = 1024;  // transfers that are asked for together, of which one is not there

}  // namespace

Scanned Recount::step(const Ledger& ledger, uint32_t work, bool may_wait, RecountReport& report) {
  may_wait_ = may_wait;
  for (; work > 0 && accounts_ < ledger.accounts().size(); --work) add_account(ledger, accounts_++);
  if (accounts_ < ledger.accounts().size()) return Scanned::more;
  for (const uint32_t all = ledger.transfers().size(); next_ < all; --work, ++next_) {
    if (work == 0) return Scanned::more;
    if (!count(ledger, next_)) return Scanned::waits;
  }
  if (const Scanned taken = take_back_expired(ledger, work); taken != Scanned::done) return taken;
  for (; !to_compare_.empty(); --work) {
    if (work == 0) return Scanned::more;
    compare(ledger, to_compare_.back());
    to_compare_.pop_back();
  }
  report = report_on(ledger);
  return Scanned::done;
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

// Nullopt: it is on its way.
std::optional<Transfer> Recount::body(const Ledger& ledger, uint32_t number) {
  if (may_wait_ || ledger.transfers().ready(number)) return ledger.transfers().body(number);
  expect(ledger, number);
  return std::nullopt;
}

// Those that are counted next, too. One before them was asked for with others, or is asked for alone.
void Recount::expect(const Ledger& ledger, uint32_t number) {
  std::vector<uint32_t> numbers{number};
  if (number >= expected_ && number == next_) {
    numbers.resize(std::min(kRowsAhead, ledger.transfers().size() - number));
    std::iota(numbers.begin(), numbers.end(), number);
    expected_ = number + static_cast<uint32_t>(numbers.size());
  }
  ledger.transfers().expect(numbers);
}

// The pending transfer, and its number. Its id's fingerprint finds it without a look at the keys in files.
std::optional<Transfer> Recount::resolved_by(const Ledger& ledger, const Transfer& transfer, uint32_t& number) {
  number = ledger.expected_number(transfer.pending_id);
  if (number >= ledger.transfers().size()) return Transfer{};
  const std::optional<Transfer> expected = body(ledger, number);
  if (!expected || expected->id == transfer.pending_id) return expected;
  number = ledger.number_of_transfer(transfer.pending_id);  // once in very many times
  return number < ledger.transfers().size() ? body(ledger, number) : Transfer{};
}

// False: what it needs is on its way, and nothing is counted.
bool Recount::count(const Ledger& ledger, uint32_t number) {
  const std::optional<Transfer> found = body(ledger, number);
  if (!found) return false;
  const Transfer& transfer = *found;
  if (transfer.has(transfer_flags::kPending)) {
    count_pending(ledger, transfer, number);
    return true;
  }
  Uint128 released = 0;
  if (transfer.resolves()) {
    uint32_t resolved = 0;
    const std::optional<Transfer> pending = resolved_by(ledger, transfer, resolved);
    if (!pending) return false;
    if (resolved >= number) return true;  // its file cannot be read: the ledger says so
    released = pending->amount;
    if (pending->timeout != 0) open_.erase({pending->expires_at(), resolved});
  }
  count_posted(ledger, transfer, released);
  return true;
}

void Recount::count_pending(const Ledger& ledger, const Transfer& transfer, uint32_t number) {
  if (transfer.timeout != 0) open_.emplace(transfer.expires_at(), number);
  change(ledger, transfer, [&](Balances& debit, Balances& credit) {
    debit.debits_pending += transfer.amount;
    credit.credits_pending += transfer.amount;
  });
}

void Recount::count_posted(const Ledger& ledger, const Transfer& transfer, Uint128 released) {
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
Scanned Recount::take_back_expired(const Ledger& ledger, uint32_t& work) {
  for (auto at = open_.begin(); at != open_.end() && at->first <= ledger.clock(); --work) {
    if (ledger.transfers().status(at->second) != PendingStatus::expired) return Scanned::done;
    if (work == 0) return Scanned::more;
    const std::optional<Transfer> expired = body(ledger, at->second);
    if (!expired) return Scanned::waits;
    change(ledger, *expired, [&](Balances& debit, Balances& credit) {
      debit.debits_pending -= expired->amount;
      credit.credits_pending -= expired->amount;
    });
    at = open_.erase(at);
  }
  return Scanned::done;
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
