// Every status that creating an account may have but `created`, in its precedence. The one place where that order is.
#pragma once

#include "modules/fintech/domain/ledger/checks.h"
#include "modules/fintech/domain/ledger/status.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

struct AccountCase {
  const Account& a;
  BatchFacts batch;
  const Account* existing = nullptr;
  uint64_t last_account = 0;      // the newest account's timestamp
  bool transfer_at_time = false;  // a transfer has this (imported) timestamp

  bool imported() const { return a.has(account_flags::kImported); }
};

inline constexpr auto kAccountChecks = [] {
  using enum AccountStatus;
  using enum Stage;
  using C = AccountCase;
  namespace f = account_flags;
  return std::to_array<Check<AccountStatus, AccountCase>>({
      {linked_event_failed, "linked_event_failed", batch,
       [](const C& c) { return c.batch.chain_broken && !c.batch.chain_open; }},
      {linked_event_chain_open, "linked_event_chain_open", batch, [](const C& c) { return c.batch.chain_open; }},
      {imported_event_expected, "imported_event_expected", batch,
       [](const C& c) { return c.batch.imported && !c.imported(); }},
      {imported_event_not_expected, "imported_event_not_expected", batch,
       [](const C& c) { return !c.batch.imported && c.imported(); }},
      {timestamp_must_be_zero, "timestamp_must_be_zero", batch,
       [](const C& c) { return !c.imported() && c.a.timestamp != 0; }},
      {imported_event_timestamp_out_of_range, "imported_event_timestamp_out_of_range", batch,
       [](const C& c) { return c.imported() && !timestamp_valid(c.a.timestamp); }},
      {imported_event_timestamp_must_not_advance, "imported_event_timestamp_must_not_advance", batch,
       [](const C& c) { return c.imported() && c.a.timestamp >= c.batch.timestamp; }},
      {reserved_field, "reserved_field", identity, [](const C& c) { return c.a.reserved != 0; }},
      {reserved_flag, "reserved_flag", identity, [](const C& c) { return c.a.has(f::kReserved); }},
      {id_must_not_be_zero, "id_must_not_be_zero", identity, [](const C& c) { return c.a.id == 0; }},
      {id_must_not_be_int_max, "id_must_not_be_int_max", identity, [](const C& c) { return c.a.id == kUint128Max; }},
      {exists_with_different_flags, "exists_with_different_flags", existing,
       [](const C& c) { return c.a.flags != c.existing->flags; }},
      {exists_with_different_user_data_128, "exists_with_different_user_data_128", existing,
       [](const C& c) { return c.a.user_data_128 != c.existing->user_data_128; }},
      {exists_with_different_user_data_64, "exists_with_different_user_data_64", existing,
       [](const C& c) { return c.a.user_data_64 != c.existing->user_data_64; }},
      {exists_with_different_user_data_32, "exists_with_different_user_data_32", existing,
       [](const C& c) { return c.a.user_data_32 != c.existing->user_data_32; }},
      {exists_with_different_ledger, "exists_with_different_ledger", existing,
       [](const C& c) { return c.a.ledger != c.existing->ledger; }},
      {exists_with_different_code, "exists_with_different_code", existing,
       [](const C& c) { return c.a.code != c.existing->code; }},
      {exists, "exists", existing, [](const C&) { return true; }},
      {flags_are_mutually_exclusive, "flags_are_mutually_exclusive", fields,
       [](const C& c) { return c.a.has(f::kDebitsMustNotExceedCredits) && c.a.has(f::kCreditsMustNotExceedDebits); }},
      {debits_pending_must_be_zero, "debits_pending_must_be_zero", fields,
       [](const C& c) { return c.a.debits_pending != 0; }},
      {debits_posted_must_be_zero, "debits_posted_must_be_zero", fields,
       [](const C& c) { return c.a.debits_posted != 0; }},
      {credits_pending_must_be_zero, "credits_pending_must_be_zero", fields,
       [](const C& c) { return c.a.credits_pending != 0; }},
      {credits_posted_must_be_zero, "credits_posted_must_be_zero", fields,
       [](const C& c) { return c.a.credits_posted != 0; }},
      {ledger_must_not_be_zero, "ledger_must_not_be_zero", fields, [](const C& c) { return c.a.ledger == 0; }},
      {code_must_not_be_zero, "code_must_not_be_zero", fields, [](const C& c) { return c.a.code == 0; }},
      {imported_event_timestamp_must_not_regress, "imported_event_timestamp_must_not_regress", related,
       [](const C& c) { return c.imported() && (c.a.timestamp <= c.last_account || c.transfer_at_time); }},
  });
}();

}  // namespace heptane::fintech
