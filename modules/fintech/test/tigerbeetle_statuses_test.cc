// Every status on the wire, one message each: test/transcripts/{account,transfer}_statuses.txt.
#include <gtest/gtest.h>

#include <functional>

#include "modules/fintech/domain/ledger/account_checks.h"
#include "modules/fintech/domain/ledger/transfer_checks.h"
#include "modules/fintech/test/tigerbeetle_talk.h"

namespace heptane::fintech::test {
namespace {

template <class Table>
void expect_all_in(const std::string& text, const Table& table) {
  for (const auto& check : table)
    EXPECT_NE(text.find(std::string("<     ") + std::string(check.name) + " at "), std::string::npos) << check.name;
}

TEST(TigerbeetleStatuses, OfAccounts) {
  namespace f = account_flags;
  Talk talk;
  const auto one = [&](std::string_view what, const Account& base, const std::function<void(Account&)>& change) {
    Account a = base;
    change(a);
    talk.ask<Account>(what, 146, {{a}});
  };
  const Account fresh = account(2);
  Account first = account(1);
  first.user_data_128 = 1;
  one("created", first, [](Account&) {});
  one("the same", first, [](Account&) {});
  one("other flags", first, [](Account& a) { a.flags = f::kHistory; });
  one("other user data, 128", first, [](Account& a) { a.user_data_128 = 0; });
  one("other user data, 64", first, [](Account& a) { a.user_data_64 = 1; });
  one("other user data, 32", first, [](Account& a) { a.user_data_32 = 1; });
  one("other ledger", first, [](Account& a) { a.ledger = 2; });
  one("other code", first, [](Account& a) { a.code = 2; });
  one("linked and alone", fresh, [](Account& a) { a.flags = f::kLinked; });
  one("a timestamp", fresh, [](Account& a) { a.timestamp = 1; });
  one("a reserved field", fresh, [](Account& a) { a.reserved = 1; });
  one("a reserved flag", fresh, [](Account& a) { a.flags = 1 << 6; });
  one("id 0", fresh, [](Account& a) { a.id = 0; });
  one("the largest id", fresh, [](Account& a) { a.id = kUint128Max; });
  one("both limits", fresh,
      [](Account& a) { a.flags = f::kDebitsMustNotExceedCredits | f::kCreditsMustNotExceedDebits; });
  one("debits pending", fresh, [](Account& a) { a.debits_pending = 1; });
  one("debits posted", fresh, [](Account& a) { a.debits_posted = 1; });
  one("credits pending", fresh, [](Account& a) { a.credits_pending = 1; });
  one("credits posted", fresh, [](Account& a) { a.credits_posted = 1; });
  one("no ledger", fresh, [](Account& a) { a.ledger = 0; });
  one("no code", fresh, [](Account& a) { a.code = 0; });
  one("imported at 0", fresh, [](Account& a) { a.flags = f::kImported; });
  one("imported from the future", fresh, [](Account& a) { a.flags = f::kImported, a.timestamp = kTimestampMax; });
  one("imported before the last one", fresh, [](Account& a) { a.flags = f::kImported, a.timestamp = 1; });
  Account linked = account(3);
  linked.flags = f::kLinked;
  talk.ask<Account>("a chain that breaks", 146, {{linked, first}});
  Account imported = account(4, f::kImported);
  imported.timestamp = 1;
  talk.ask<Account>("imported among others", 146, {{account(5), imported}});
  talk.ask<Account>("another one among imported", 146, {{imported, account(6)}});
  expect_all_in(talk.text, kAccountChecks);
  expect_transcript("account_statuses", talk.text);
}

// 1 and 2 are plain, 3 may not be overdrawn, 4 not be credited over its debits, 5 is in another ledger, 6 is closed.
struct Transfers : Talk {
  Transfers() {
    Account other = account(5);
    other.ledger = 2;
    ask<Account>("accounts", 146,
                 {{account(1), account(2), account(3, account_flags::kDebitsMustNotExceedCredits),
                   account(4, account_flags::kCreditsMustNotExceedDebits), other, account(6, account_flags::kClosed)}});
  }
  void one(std::string_view what, const Transfer& base, const std::function<void(Transfer&)>& change) {
    Transfer t = base;
    change(t);
    ask<Transfer>(what, 147, {{t}});
  }
  void plain(std::string_view what, const std::function<void(Transfer&)>& change) {
    one(what, transfer(++next, 1, 2, 5), change);
  }
  void post(std::string_view what, uint64_t pending, const std::function<void(Transfer&)>& change) {
    one(what, resolving(++next, pending, kUint128Max, transfer_flags::kPost), change);
  }
  uint64_t next = 100;
};

void fields(Transfers& talk) {
  namespace f = transfer_flags;
  talk.plain("linked and alone", [](Transfer& t) { t.flags = f::kLinked; });
  talk.plain("a timestamp", [](Transfer& t) { t.timestamp = 1; });
  talk.plain("a reserved flag", [](Transfer& t) { t.flags = 1 << 9; });
  talk.plain("id 0", [](Transfer& t) { t.id = 0; });
  talk.plain("the largest id", [](Transfer& t) { t.id = kUint128Max; });
  talk.plain("from 0", [](Transfer& t) { t.debit_account_id = 0; });
  talk.plain("from the largest id", [](Transfer& t) { t.debit_account_id = kUint128Max; });
  talk.plain("to 0", [](Transfer& t) { t.credit_account_id = 0; });
  talk.plain("to the largest id", [](Transfer& t) { t.credit_account_id = kUint128Max; });
  talk.plain("to itself", [](Transfer& t) { t.credit_account_id = 1; });
  talk.plain("with a pending id", [](Transfer& t) { t.pending_id = 1; });
  talk.plain("a time-out that is not pending", [](Transfer& t) { t.timeout = 1; });
  talk.plain("closing that is not pending", [](Transfer& t) { t.flags = f::kClosingDebit; });
  talk.plain("no ledger", [](Transfer& t) { t.ledger = 0; });
  talk.plain("no code", [](Transfer& t) { t.code = 0; });
  talk.plain("from nobody", [](Transfer& t) { t.id = 50, t.debit_account_id = 99; });
  talk.plain("its id again", [](Transfer& t) { t.id = 50; });
  talk.plain("to nobody", [](Transfer& t) { t.credit_account_id = 99; });
  talk.plain("to another ledger", [](Transfer& t) { t.credit_account_id = 5; });
  talk.plain("in another ledger", [](Transfer& t) { t.ledger = 2; });
  talk.plain("from a closed account", [](Transfer& t) { t.debit_account_id = 6; });
  talk.plain("to a closed account", [](Transfer& t) { t.credit_account_id = 6; });
  talk.plain("more than there is", [](Transfer& t) { t.debit_account_id = 3; });
  talk.plain("more than may come", [](Transfer& t) { t.credit_account_id = 4; });
}

void existing(Transfers& talk) {
  const Transfer first = transfer(1, 1, 2, 5);
  talk.one("created", first, [](Transfer&) {});
  talk.one("the same", first, [](Transfer&) {});
  talk.one("other flags", first, [](Transfer& t) { t.flags = transfer_flags::kPending; });
  talk.one("other pending id", first, [](Transfer& t) { t.pending_id = 9; });
  talk.one("other time-out", first, [](Transfer& t) { t.timeout = 9; });
  talk.one("from another", first, [](Transfer& t) { t.debit_account_id = 3; });
  talk.one("to another", first, [](Transfer& t) { t.credit_account_id = 3; });
  talk.one("other amount", first, [](Transfer& t) { t.amount = 6; });
  talk.one("other user data, 128", first, [](Transfer& t) { t.user_data_128 = 1; });
  talk.one("other user data, 64", first, [](Transfer& t) { t.user_data_64 = 1; });
  talk.one("other user data, 32", first, [](Transfer& t) { t.user_data_32 = 1; });
  talk.one("other ledger", first, [](Transfer& t) { t.ledger = 2; });
  talk.one("other code", first, [](Transfer& t) { t.code = 2; });
}

void phases(Transfers& talk) {
  namespace f = transfer_flags;
  for (const uint64_t id : {10, 11, 12})
    talk.one("pending", transfer(id, 1, 2, 5, f::kPending), [id](Transfer& t) { t.timeout = id == 12 ? 1 : 0; });
  talk.post("post and void", 10, [](Transfer& t) { t.flags |= f::kVoid; });
  talk.post("no pending id", 10, [](Transfer& t) { t.pending_id = 0; });
  talk.post("the largest pending id", 10, [](Transfer& t) { t.pending_id = kUint128Max; });
  talk.post("itself", 10, [](Transfer& t) { t.pending_id = t.id; });
  talk.post("one that never was", 99, [](Transfer&) {});
  talk.post("one that is not pending", 1, [](Transfer&) {});
  talk.post("from another", 10, [](Transfer& t) { t.debit_account_id = 2; });
  talk.post("to another", 10, [](Transfer& t) { t.credit_account_id = 1; });
  talk.post("other ledger", 10, [](Transfer& t) { t.ledger = 2; });
  talk.post("other code", 10, [](Transfer& t) { t.code = 2; });
  talk.post("more than is pending", 10, [](Transfer& t) { t.amount = 6; });
  talk.post("void in part", 10, [](Transfer& t) { t.flags = f::kVoid, t.amount = 4; });
  talk.post("post", 10, [](Transfer&) {});
  talk.post("post again", 10, [](Transfer&) {});
  talk.post("void", 11, [](Transfer& t) { t.flags = f::kVoid, t.amount = 0; });
  talk.post("post what was voided", 11, [](Transfer&) {});
  talk.world.now += 1'000'000'000;
  talk.post("post what timed out, though no command took it back", 12, [](Transfer&) {});
}

void overflows(Transfers& talk) {
  namespace f = transfer_flags;
  const auto most = [](uint16_t flags, uint64_t from, uint64_t to) {
    return [=](Transfer& t) {
      t.amount = kUint128Max - 20;
      t.flags = flags;
      t.debit_account_id = from;
      t.credit_account_id = to;
    };
  };
  const auto again = [](uint16_t flags, uint64_t from, uint64_t to) {
    return [=](Transfer& t) {
      t.amount = 30;
      t.flags = flags;
      t.debit_account_id = from;
      t.credit_account_id = to;
    };
  };
  talk.ask<Account>("more accounts", 146, {{account(21), account(22), account(23), account(24), account(25)}});
  talk.plain("nearly all, pending", most(f::kPending, 21, 22));
  talk.plain("debits pending overflow", again(f::kPending, 21, 23));
  talk.plain("credits pending overflow", again(f::kPending, 23, 22));
  talk.plain("debits overflow with what is pending", again(0, 21, 23));
  talk.plain("credits overflow with what is pending", again(0, 23, 22));
  talk.plain("nearly all", most(0, 24, 25));
  talk.plain("debits posted overflow", again(0, 24, 23));
  talk.plain("credits posted overflow", again(0, 23, 25));
  talk.world.now = kTimestampMax - 2'000'000'000;
  talk.plain("a time-out after the last timestamp", [](Transfer& t) { t.flags = f::kPending, t.timeout = 9; });
}

void imported(Transfers& talk) {
  const auto at = [](uint64_t timestamp) {
    return [=](Transfer& t) { t.flags = transfer_flags::kImported, t.timestamp = timestamp; };
  };
  talk.plain("imported at 0", at(0));
  talk.plain("imported from the future", at(kTimestampMax));
  const uint64_t last = talk.world.machine().ledger().transfers().last_timestamp();
  talk.plain("imported before the last one", at(last));
  talk.plain("imported with a time-out", [&](Transfer& t) {
    at(last + 1)(t);
    t.flags |= transfer_flags::kPending;
    t.timeout = 1;
  });
  Transfer one = transfer(200, 1, 2, 1);
  at(last + 1)(one);
  talk.ask<Transfer>("imported among others", 147, {{transfer(201, 1, 2, 1), one}});
  talk.ask<Transfer>("another one among imported", 147, {{one, transfer(202, 1, 2, 1)}});
}

// Accounts that came after the last transfer.
void postdates(Transfers& talk) {
  const auto between = [&](uint64_t from, uint64_t to, uint64_t before) {
    return [=, &talk](Transfer& t) {
      t.flags = transfer_flags::kImported;
      t.timestamp = talk.world.machine().ledger().find_account(before)->timestamp - 1;
      t.debit_account_id = from;
      t.credit_account_id = to;
    };
  };
  talk.ask<Account>("an account that is new", 146, {{account(30)}});
  talk.plain("imported before its debit account", between(30, 1, 30));
  talk.plain("imported before its credit account", between(1, 30, 30));
}

TEST(TigerbeetleStatuses, OfTransfers) {
  Transfers talk;
  postdates(talk);
  fields(talk);
  existing(talk);
  phases(talk);
  imported(talk);
  Transfer linked = transfer(300, 1, 2, 1, transfer_flags::kLinked);
  talk.ask<Transfer>("a chain that breaks", 147, {{linked, transfer(301, 1, 1, 1)}});
  overflows(talk);
  expect_all_in(talk.text, kTransferChecks);
  expect_transcript("transfer_statuses", talk.text);
}

}  // namespace
}  // namespace heptane::fintech::test
