#include "sim/ledger_events.h"

#include <algorithm>

namespace heptane::sim {

namespace {

using namespace fintech;

constexpr uint64_t kAccounts = 8;  // of one ledger, but for the last two
constexpr uint64_t kMissingAccount = 99;
constexpr uint32_t kTimeoutMax = 3;  // seconds
constexpr size_t kSentKept = 40;
constexpr size_t kImportedMost = 12;  // accounts of a client
constexpr uint64_t kFarNs = uint64_t{3600} * 1'000'000'000;

uint32_t ledger_of(uint64_t account) { return account > kAccounts - 2 ? 2 : 1; }

}  // namespace

std::vector<Account> LedgerEvents::accounts() {
  static constexpr uint16_t kFlags[kAccounts] = {0,
                                                 0,
                                                 account_flags::kHistory,
                                                 account_flags::kDebitsMustNotExceedCredits,
                                                 account_flags::kCreditsMustNotExceedDebits,
                                                 account_flags::kHistory | account_flags::kDebitsMustNotExceedCredits,
                                                 0,
                                                 account_flags::kHistory};
  std::vector<Account> all;
  for (uint64_t i = 0; i < kAccounts; ++i) {
    Account account{};
    account.id = i + 1;
    account.ledger = ledger_of(i + 1);
    account.code = 10;
    account.user_data_64 = i * 1'000'003;
    account.flags = kFlags[i];
    all.push_back(account);
  }
  return all;
}

std::vector<Account> LedgerEvents::imported_accounts(uint64_t past) {
  std::vector<Account> batch;
  for (uint64_t i = random_.below(4); i < 4 && imported_.size() < kImportedMost; ++i) {
    Account account{};
    account.id = Uint128{client_ + 1} << 64 | (imported_.size() + 1);
    account.ledger = 1;
    account.code = 11;
    account.flags = account_flags::kImported;
    if (random_.one_in(3)) account.flags |= account_flags::kHistory;
    if (random_.one_in(4)) account.flags |= account_flags::kLinked;
    account.timestamp = moment(past);
    batch.push_back(account);
    imported_.push_back(account);
  }
  if (!batch.empty() && random_.one_in(4)) batch.push_back(imported_[random_.below(imported_.size())]);
  return batch;
}

// The next one; or one that no event may have.
uint64_t LedgerEvents::moment(uint64_t& past) {
  const uint64_t kind = random_.below(60);
  if (kind == 0) return 0;
  if (kind == 1) return past - random_.below(kFarNs);
  if (kind == 2) return past + kFarNs;
  return past += 1 + random_.below(4);
}

// Without what an account would wait for without end.
void LedgerEvents::import(Transfer& transfer, uint64_t& past) {
  transfer.flags |= transfer_flags::kImported;
  transfer.flags &= static_cast<uint16_t>(~(transfer_flags::kClosingDebit | transfer_flags::kClosingCredit));
  if (!random_.one_in(10)) transfer.timeout = 0;
  transfer.timestamp = moment(past);
}

std::vector<std::vector<Transfer>> LedgerEvents::transfers(uint64_t past) {
  std::vector<std::vector<Transfer>> batches(random_.one_in(5) ? 1 + random_.below(3) : 1);
  for (std::vector<Transfer>& batch : batches) {
    const uint64_t events = 1 + random_.below(random_.one_in(10) ? 40 : 6);
    const bool imported = random_.one_in(6);
    for (uint64_t i = 0; i < events; ++i) {
      batch.push_back(any());
      if (imported && !random_.one_in(40)) import(batch.back(), past);
      // The last one of a batch may leave its chain open: then the chain fails.
      if (random_.one_in(i + 1 == events ? 40 : 4)) batch.back().flags |= transfer_flags::kLinked;
    }
    for (const Transfer& transfer : batch) {
      if (transfer.has(transfer_flags::kPending)) pending_.push_back(transfer.id);
      if (sent_.size() < kSentKept)
        sent_.push_back(transfer);
      else
        sent_[random_.below(kSentKept)] = transfer;
    }
  }
  return batches;
}

Transfer LedgerEvents::any() {
  const uint64_t kind = random_.below(100);
  if (kind < 22) return pending();
  if (kind < 45) return resolving();
  if (kind < 53) return again();
  Transfer transfer = fresh();
  if (kind < 60)
    transfer.flags = random_.one_in(2) ? transfer_flags::kBalancingDebit : transfer_flags::kBalancingCredit;
  else if (kind < 62)
    transfer.credit_account_id = kMissingAccount;
  return transfer;
}

Transfer LedgerEvents::fresh() {
  Transfer transfer{};
  transfer.id = Uint128{client_} << 32 | ++made_;
  const uint64_t from = 1 + random_.below(kAccounts);
  uint64_t to = 1 + random_.below(kAccounts);
  if (!random_.one_in(30))  // else it may stay in one account or cross ledgers, and fail
    while (to == from || ledger_of(to) != ledger_of(from)) to = 1 + random_.below(kAccounts);
  transfer.debit_account_id = from;
  transfer.credit_account_id = to;
  if (!imported_.empty() && random_.one_in(5))
    (random_.one_in(2) ? transfer.debit_account_id : transfer.credit_account_id) =
        imported_[random_.below(imported_.size())].id;
  transfer.amount = 1 + random_.below(100);
  transfer.user_data_64 = random_.below(4);
  transfer.ledger = ledger_of(from);
  transfer.code = 20;
  return transfer;
}

Transfer LedgerEvents::pending() {
  Transfer transfer = fresh();
  transfer.flags = transfer_flags::kPending;
  transfer.timeout = random_.one_in(3) ? 0 : static_cast<uint32_t>(1 + random_.below(kTimeoutMax));
  if (random_.one_in(25)) {  // closed until its time-out
    transfer.flags |= transfer_flags::kClosingCredit;
    transfer.timeout = 1;
  }
  return transfer;
}

// One's own, or another client's, whose ids can be guessed.
Transfer LedgerEvents::resolving() {
  Transfer transfer{};
  transfer.id = Uint128{client_} << 32 | ++made_;
  const bool own = !pending_.empty() && !random_.one_in(8);
  transfer.pending_id = own ? pending_[pending_.size() - 1 - random_.below(std::min<uint64_t>(pending_.size(), 20))]
                            : Uint128{random_.below(4)} << 32 | (1 + random_.below(made_ + 1));
  const bool post = !random_.one_in(3);
  transfer.flags = post ? transfer_flags::kPost : transfer_flags::kVoid;
  if (post) transfer.amount = random_.one_in(2) ? kUint128Max : Uint128{random_.below(60)};
  return transfer;
}

// An id once more, with the same fields or with others.
Transfer LedgerEvents::again() {
  if (sent_.empty()) return fresh();
  Transfer transfer = sent_[random_.below(sent_.size())];
  if (random_.one_in(4)) ++transfer.amount;
  return transfer;
}

}  // namespace heptane::sim
