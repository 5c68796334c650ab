// What all accounts of a ledger hold together, kept up with every change. Debits equal credits, always: that is what
// double entry means. Sums are modulo 2^128.
#pragma once

#include <cstdint>
#include <map>

#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

struct Balances {
  Uint128 debits_pending = 0;
  Uint128 debits_posted = 0;
  Uint128 credits_pending = 0;
  Uint128 credits_posted = 0;

  bool operator==(const Balances&) const = default;
  Balances& operator+=(const Balances& other) {
    debits_pending += other.debits_pending;
    debits_posted += other.debits_posted;
    credits_pending += other.credits_pending;
    credits_posted += other.credits_posted;
    return *this;
  }
  Balances& operator-=(const Balances& other) {
    debits_pending -= other.debits_pending;
    debits_posted -= other.debits_posted;
    credits_pending -= other.credits_pending;
    credits_posted -= other.credits_posted;
    return *this;
  }
};

inline Balances balances_of(const Account& account) {
  return {account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted};
}

struct LedgerTotals {
  uint64_t accounts = 0;
  Balances balances;

  bool operator==(const LedgerTotals&) const = default;
};

// By ledger. A batch is mostly of one: the row used last is found without a search.
class Totals {
 public:
  Totals() = default;
  Totals(Totals&& other) noexcept : rows_(std::move(other.rows_)) {}
  Totals& operator=(Totals&& other) noexcept {
    rows_ = std::move(other.rows_);
    last_ = nullptr;
    return *this;
  }

  LedgerTotals& of(uint32_t ledger) {
    if (last_ == nullptr || last_ledger_ != ledger) {
      last_ = &rows_[ledger];
      last_ledger_ = ledger;
    }
    return *last_;
  }
  // Ledgers that never had an account, or have none any more, are not there or hold nothing.
  const std::map<uint32_t, LedgerTotals>& rows() const { return rows_; }

 private:
  std::map<uint32_t, LedgerTotals> rows_;
  LedgerTotals* last_ = nullptr;
  uint32_t last_ledger_ = 0;
};

}  // namespace heptane::fintech
