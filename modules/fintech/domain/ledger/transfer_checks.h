// Every status that creating a transfer may have but `created`, in its precedence. The one place where that order is.
#pragma once

#include "modules/fintech/domain/ledger/checks.h"
#include "modules/fintech/domain/ledger/status.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

struct TransferCase {
  const Transfer& t;
  BatchFacts batch;
  uint64_t event_time = 0;             // the timestamp that the event's place gives it
  uint64_t time = 0;                   // the one it will have: its own when imported
  const Transfer* existing = nullptr;  // under the same id
  bool failed_before = false;          // the id is used up
  const Transfer* pending = nullptr;   // that t posts or voids, or that `existing` did
  PendingStatus pending_status = PendingStatus::none;
  const Account* debit = nullptr;
  const Account* credit = nullptr;
  Uint128 amount = 0;            // that would move
  uint64_t last_transfer = 0;    // the newest transfer's timestamp
  bool account_at_time = false;  // an account has this (imported) timestamp

  bool imported() const { return t.has(transfer_flags::kImported); }
  bool resolves() const { return t.resolves(); }
};

namespace checks_detail {

using C = TransferCase;
namespace f = transfer_flags;

constexpr bool overflows(Uint128 a, Uint128 b) { return a + b < a; }

// What t means by a field that it leaves out, when it posts or voids: the pending transfer's.
template <class T>
constexpr T meant(T own, T inherited) {
  return own == 0 ? inherited : own;
}

inline bool exclusive(const C& c) {
  constexpr uint16_t kNotWithResolve =
      f::kPending | f::kBalancingDebit | f::kBalancingCredit | f::kClosingDebit | f::kClosingCredit;
  return c.resolves() && ((c.t.has(f::kPost) && c.t.has(f::kVoid)) || c.t.has(kNotWithResolve));
}

inline bool same_id_other_amount(const C& c) {
  const Uint128 amount = c.t.amount;
  const Uint128 stored = c.existing->amount;
  if (c.t.has(f::kVoid)) return meant(amount, c.pending->amount) != stored;
  if (c.t.has(f::kPost)) return (amount == kUint128Max ? c.pending->amount : amount) != stored;
  // The amount of a balancing transfer is a bound.
  if (c.t.has(f::kBalancingDebit | f::kBalancingCredit)) return amount < stored;
  return amount != stored;
}

// A resolving transfer that leaves a field out means the pending one's.
template <auto kField>
bool same_id_other(const C& c) {
  if (c.resolves()) return meant(c.t.*kField, c.pending->*kField) != c.existing->*kField;
  return c.t.*kField != c.existing->*kField;
}

template <auto kField>
bool other_than_pending(const C& c) {
  return c.resolves() && meant(c.t.*kField, c.pending->*kField) != c.pending->*kField;
}

inline bool regresses(const C& c) { return c.imported() && (c.t.timestamp <= c.last_transfer || c.account_at_time); }

inline bool exceeds_credits(const C& c) {
  return !c.resolves() && c.debit->has(account_flags::kDebitsMustNotExceedCredits) &&
         c.debit->debits_pending + c.debit->debits_posted + c.amount > c.debit->credits_posted;
}

inline bool exceeds_debits(const C& c) {
  return !c.resolves() && c.credit->has(account_flags::kCreditsMustNotExceedDebits) &&
         c.credit->credits_pending + c.credit->credits_posted + c.amount > c.credit->debits_posted;
}

}  // namespace checks_detail

inline constexpr auto kTransferChecks = [] {
  using enum TransferStatus;
  using enum Stage;
  using C = TransferCase;
  using T = Transfer;
  namespace d = checks_detail;
  namespace f = transfer_flags;
  return std::to_array<Check<TransferStatus, TransferCase>>({
      {linked_event_failed, "linked_event_failed", batch,
       [](const C& c) { return c.batch.chain_broken && !c.batch.chain_open; }},
      {linked_event_chain_open, "linked_event_chain_open", batch, [](const C& c) { return c.batch.chain_open; }},
      {imported_event_expected, "imported_event_expected", batch,
       [](const C& c) { return c.batch.imported && !c.imported(); }},
      {imported_event_not_expected, "imported_event_not_expected", batch,
       [](const C& c) { return !c.batch.imported && c.imported(); }},
      {timestamp_must_be_zero, "timestamp_must_be_zero", batch,
       [](const C& c) { return !c.imported() && c.t.timestamp != 0; }},
      {imported_event_timestamp_out_of_range, "imported_event_timestamp_out_of_range", batch,
       [](const C& c) { return c.imported() && !timestamp_valid(c.t.timestamp); }},
      {imported_event_timestamp_must_not_advance, "imported_event_timestamp_must_not_advance", batch,
       [](const C& c) { return c.imported() && c.t.timestamp >= c.batch.timestamp; }},

      {reserved_flag, "reserved_flag", identity, [](const C& c) { return c.t.has(f::kReserved); }},
      {id_must_not_be_zero, "id_must_not_be_zero", identity, [](const C& c) { return c.t.id == 0; }},
      {id_must_not_be_int_max, "id_must_not_be_int_max", identity, [](const C& c) { return c.t.id == kUint128Max; }},

      {exists_with_different_flags, "exists_with_different_flags", existing,
       [](const C& c) { return c.t.flags != c.existing->flags; }},
      {exists_with_different_pending_id, "exists_with_different_pending_id", existing,
       [](const C& c) { return c.t.pending_id != c.existing->pending_id; }},
      {exists_with_different_timeout, "exists_with_different_timeout", existing,
       [](const C& c) { return c.t.timeout != c.existing->timeout; }},
      {exists_with_different_debit_account_id, "exists_with_different_debit_account_id", existing,
       d::same_id_other<&T::debit_account_id>},
      {exists_with_different_credit_account_id, "exists_with_different_credit_account_id", existing,
       d::same_id_other<&T::credit_account_id>},
      {exists_with_different_amount, "exists_with_different_amount", existing, d::same_id_other_amount},
      {exists_with_different_user_data_128, "exists_with_different_user_data_128", existing,
       d::same_id_other<&T::user_data_128>},
      {exists_with_different_user_data_64, "exists_with_different_user_data_64", existing,
       d::same_id_other<&T::user_data_64>},
      {exists_with_different_user_data_32, "exists_with_different_user_data_32", existing,
       d::same_id_other<&T::user_data_32>},
      {exists_with_different_ledger, "exists_with_different_ledger", existing, d::same_id_other<&T::ledger>},
      {exists_with_different_code, "exists_with_different_code", existing, d::same_id_other<&T::code>},
      {exists, "exists", existing, [](const C&) { return true; }},

      {id_already_failed, "id_already_failed", fields, [](const C& c) { return c.failed_before; }},
      {flags_are_mutually_exclusive, "flags_are_mutually_exclusive", fields, d::exclusive},
      {debit_account_id_must_not_be_zero, "debit_account_id_must_not_be_zero", fields,
       [](const C& c) { return !c.resolves() && c.t.debit_account_id == 0; }},
      {debit_account_id_must_not_be_int_max, "debit_account_id_must_not_be_int_max", fields,
       [](const C& c) { return !c.resolves() && c.t.debit_account_id == kUint128Max; }},
      {credit_account_id_must_not_be_zero, "credit_account_id_must_not_be_zero", fields,
       [](const C& c) { return !c.resolves() && c.t.credit_account_id == 0; }},
      {credit_account_id_must_not_be_int_max, "credit_account_id_must_not_be_int_max", fields,
       [](const C& c) { return !c.resolves() && c.t.credit_account_id == kUint128Max; }},
      {accounts_must_be_different, "accounts_must_be_different", fields,
       [](const C& c) { return !c.resolves() && c.t.debit_account_id == c.t.credit_account_id; }},
      {pending_id_must_be_zero, "pending_id_must_be_zero", fields,
       [](const C& c) { return !c.resolves() && c.t.pending_id != 0; }},
      {pending_id_must_not_be_zero, "pending_id_must_not_be_zero", fields,
       [](const C& c) { return c.resolves() && c.t.pending_id == 0; }},
      {pending_id_must_not_be_int_max, "pending_id_must_not_be_int_max", fields,
       [](const C& c) { return c.resolves() && c.t.pending_id == kUint128Max; }},
      {pending_id_must_be_different, "pending_id_must_be_different", fields,
       [](const C& c) { return c.resolves() && c.t.pending_id == c.t.id; }},
      {timeout_reserved_for_pending_transfer, "timeout_reserved_for_pending_transfer", fields,
       [](const C& c) { return !c.t.has(f::kPending) && c.t.timeout != 0; }},
      {closing_transfer_must_be_pending, "closing_transfer_must_be_pending", fields,
       [](const C& c) { return !c.t.has(f::kPending) && c.t.has(f::kClosingDebit | f::kClosingCredit); }},
      {ledger_must_not_be_zero, "ledger_must_not_be_zero", fields,
       [](const C& c) { return !c.resolves() && c.t.ledger == 0; }},
      {code_must_not_be_zero, "code_must_not_be_zero", fields,
       [](const C& c) { return !c.resolves() && c.t.code == 0; }},

      {debit_account_not_found, "debit_account_not_found", related,
       [](const C& c) { return !c.resolves() && c.debit == nullptr; }, true},
      {credit_account_not_found, "credit_account_not_found", related,
       [](const C& c) { return !c.resolves() && c.credit == nullptr; }, true},
      {accounts_must_have_the_same_ledger, "accounts_must_have_the_same_ledger", related,
       [](const C& c) { return !c.resolves() && c.debit->ledger != c.credit->ledger; }},
      {transfer_must_have_the_same_ledger_as_accounts, "transfer_must_have_the_same_ledger_as_accounts", related,
       [](const C& c) { return !c.resolves() && c.t.ledger != c.debit->ledger; }},
      {pending_transfer_not_found, "pending_transfer_not_found", related,
       [](const C& c) { return c.resolves() && c.pending == nullptr; }, true},
      {pending_transfer_not_pending, "pending_transfer_not_pending", related,
       [](const C& c) { return c.resolves() && !c.pending->has(f::kPending); }},
      {pending_transfer_has_different_debit_account_id, "pending_transfer_has_different_debit_account_id", related,
       d::other_than_pending<&T::debit_account_id>},
      {pending_transfer_has_different_credit_account_id, "pending_transfer_has_different_credit_account_id", related,
       d::other_than_pending<&T::credit_account_id>},
      {pending_transfer_has_different_ledger, "pending_transfer_has_different_ledger", related,
       d::other_than_pending<&T::ledger>},
      {pending_transfer_has_different_code, "pending_transfer_has_different_code", related,
       d::other_than_pending<&T::code>},
      {exceeds_pending_transfer_amount, "exceeds_pending_transfer_amount", related,
       [](const C& c) { return c.resolves() && c.amount > c.pending->amount; }},
      {pending_transfer_has_different_amount, "pending_transfer_has_different_amount", related,
       [](const C& c) { return c.t.has(f::kVoid) && c.amount < c.pending->amount; }},
      {pending_transfer_already_posted, "pending_transfer_already_posted", related,
       [](const C& c) { return c.resolves() && c.pending_status == PendingStatus::posted; }},
      {pending_transfer_already_voided, "pending_transfer_already_voided", related,
       [](const C& c) { return c.resolves() && c.pending_status == PendingStatus::voided; }},
      // By the clock, whether or not the command that expires it has run.
      {pending_transfer_expired, "pending_transfer_expired", related,
       [](const C& c) {
         return c.resolves() && (c.pending_status == PendingStatus::expired ||
                                 (c.pending->timeout != 0 && c.pending->expires_at() <= c.event_time));
       }},
      {imported_event_timestamp_must_not_regress, "imported_event_timestamp_must_not_regress", related, d::regresses},
      {imported_event_timestamp_must_postdate_debit_account, "imported_event_timestamp_must_postdate_debit_account",
       related, [](const C& c) { return c.imported() && !c.resolves() && c.t.timestamp <= c.debit->timestamp; }},
      {imported_event_timestamp_must_postdate_credit_account, "imported_event_timestamp_must_postdate_credit_account",
       related, [](const C& c) { return c.imported() && !c.resolves() && c.t.timestamp <= c.credit->timestamp; }},
      {imported_event_timeout_must_be_zero, "imported_event_timeout_must_be_zero", related,
       [](const C& c) { return c.imported() && !c.resolves() && c.t.timeout != 0; }},
      // Voiding is all that a closed account allows.
      {debit_account_already_closed, "debit_account_already_closed", related,
       [](const C& c) { return c.debit->has(account_flags::kClosed) && !c.t.has(f::kVoid); }, true},
      {credit_account_already_closed, "credit_account_already_closed", related,
       [](const C& c) { return c.credit->has(account_flags::kClosed) && !c.t.has(f::kVoid); }, true},

      {overflows_debits_pending, "overflows_debits_pending", balances,
       [](const C& c) { return c.t.has(f::kPending) && d::overflows(c.amount, c.debit->debits_pending); }},
      {overflows_credits_pending, "overflows_credits_pending", balances,
       [](const C& c) { return c.t.has(f::kPending) && d::overflows(c.amount, c.credit->credits_pending); }},
      {overflows_debits_posted, "overflows_debits_posted", balances,
       [](const C& c) { return !c.resolves() && d::overflows(c.amount, c.debit->debits_posted); }},
      {overflows_credits_posted, "overflows_credits_posted", balances,
       [](const C& c) { return !c.resolves() && d::overflows(c.amount, c.credit->credits_posted); }},
      {overflows_debits, "overflows_debits", balances,
       [](const C& c) {
         return !c.resolves() && d::overflows(c.amount, c.debit->debits_pending + c.debit->debits_posted);
       }},
      {overflows_credits, "overflows_credits", balances,
       [](const C& c) {
         return !c.resolves() && d::overflows(c.amount, c.credit->credits_pending + c.credit->credits_posted);
       }},
      {overflows_timeout, "overflows_timeout", balances,
       [](const C& c) { return c.time > kTimestampMax - c.t.timeout_ns(); }},
      {exceeds_credits, "exceeds_credits", balances, d::exceeds_credits, true},
      {exceeds_debits, "exceeds_debits", balances, d::exceeds_debits, true},
  });
}();

}  // namespace heptane::fintech
