#include "modules/fintech/domain/ledger/ledger.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

#include "kernel/base/assert.h"
#include "kernel/base/prefetch.h"
#include "modules/fintech/domain/ledger/account_checks.h"
#include "modules/fintech/domain/ledger/transfer_checks.h"

namespace heptane::fintech {

namespace {

constexpr size_t kEventBytes = 128;

constexpr bool transient(uint32_t status) {
  if (status == static_cast<uint32_t>(TransferStatus::created)) return false;  // mostly
  for (const auto& check : kTransferChecks)
    if (static_cast<uint32_t>(check.status) == status) return check.transient;
  return false;
}

template <class Status>
CreateResult result_of(Status status, uint64_t timestamp) {
  return {timestamp, static_cast<uint32_t>(status), 0};
}

Uint128 load_id(const std::byte* at) {
  Uint128 id;
  std::memcpy(&id, at, sizeof id);
  return id;
}

void note(Denials::Row& row, Uint128 event, Uint128 account) {
  if (row.count++ == 0) row = {1, event, account};
}

constexpr Uint128 room(Uint128 limit, Uint128 used) { return limit > used ? limit - used : 0; }

// What a plain transfer moves: a balancing one no more than the balance of its account.
Uint128 plain_amount(const TransferCase& at) {
  Uint128 amount = at.t.amount;
  if (at.t.has(transfer_flags::kBalancingDebit))
    amount = std::min(amount, room(at.debit->credits_posted, at.debit->debits_posted + at.debit->debits_pending));
  if (at.t.has(transfer_flags::kBalancingCredit))
    amount = std::min(amount, room(at.credit->debits_posted, at.credit->credits_posted + at.credit->credits_pending));
  return amount;
}

// What posts or voids: 2^128 - 1 posts all, 0 voids all.
Uint128 resolved_amount(const Transfer& t, const Transfer& pending) {
  if (t.has(transfer_flags::kVoid)) return t.amount == 0 ? pending.amount : t.amount;
  return t.amount == kUint128Max ? pending.amount : t.amount;
}

// What is stored of a transfer that posts or voids: what it leaves out is the pending one's.
Transfer resolving_body(const TransferCase& at) {
  using checks_detail::meant;
  Transfer body = at.t;
  body.debit_account_id = at.pending->debit_account_id;
  body.credit_account_id = at.pending->credit_account_id;
  body.user_data_128 = meant(body.user_data_128, at.pending->user_data_128);
  body.user_data_64 = meant(body.user_data_64, at.pending->user_data_64);
  body.user_data_32 = meant(body.user_data_32, at.pending->user_data_32);
  body.ledger = at.pending->ledger;
  body.code = at.pending->code;
  body.amount = at.amount;
  body.timestamp = at.time;
  return body;
}

}  // namespace

uint64_t Ledger::advance(uint64_t now, uint64_t events) {
  if (recording()) undo_.push_back({Undo::Kind::clock, {}, 0, clock_});
  clock_ = std::max(now, clock_ + events);
  return clock_;
}

// Batches and chains.

template <class Event, uint16_t kImported, class Create, class After, class Ahead>
void Ledger::run_batch(uint64_t timestamp, Bytes events, std::vector<CreateResult>& results, Create create, After after,
                       Ahead ahead) {
  static_assert(sizeof(Event) == kEventBytes && account_flags::kLinked == transfer_flags::kLinked);
  HEPTANE_ASSERT(events.size() % kEventBytes == 0, "a batch is whole events");
  const size_t count = events.size() / kEventBytes;
  const size_t base = results.size();
  std::optional<size_t> chain;  // where the running one began
  BatchFacts batch;
  batch.timestamp = timestamp;
  for (size_t index = 0; index < count; ++index) {
    ahead(index);
    Event event;
    std::memcpy(&event, events.data() + index * kEventBytes, kEventBytes);
    if (index == 0) batch.imported = event.has(kImported);
    const bool linked = event.has(account_flags::kLinked);
    batch.chain_open = linked && index + 1 == count;
    if (linked && !chain) {
      chain = index;
      open_scope();
    }
    const CreateResult result = create(event, batch, timestamp - count + index + 1);
    const bool created = result.status == static_cast<uint32_t>(TransferStatus::created);
    if (!created && chain && !batch.chain_broken) {
      close_scope(false);
      batch.chain_broken = true;
      for (size_t i = *chain; i < index; ++i)
        results[base + i].status = static_cast<uint32_t>(TransferStatus::linked_event_failed);
    }
    after(event, result);
    results.push_back(result);
    if (!chain || (linked && !batch.chain_open)) continue;
    if (!batch.chain_broken) close_scope(true);
    chain.reset();
    batch.chain_broken = false;
  }
}

void Ledger::create_accounts(uint64_t timestamp, Bytes events, std::vector<CreateResult>& results) {
  run_batch<Account, account_flags::kImported>(
      timestamp, events, results,
      [this](const Account& account, const BatchFacts& batch, uint64_t event_time) {
        return create_account(account, batch, event_time);
      },
      [](const Account&, const CreateResult&) {}, [](size_t) {});
}

void Ledger::create_transfers(uint64_t timestamp, Bytes events, std::vector<CreateResult>& results) {
  run_batch<Transfer, transfer_flags::kImported>(
      timestamp, events, results,
      [this](const Transfer& transfer, const BatchFacts& batch, uint64_t event_time) {
        return create_transfer(transfer, batch, event_time);
      },
      // After a broken chain is taken back: the id stays used up.
      [this](const Transfer& transfer, const CreateResult& result) {
        if (transient(result.status)) use_up(transfer.id);
      },
      [this, events](size_t index) { look_ahead(events, index); });
}

// Memory is slower than the rest: what later events of the batch will touch is asked for in two steps, the second of which
// finds what the first has brought.
void Ledger::look_ahead(Bytes events, size_t index) {
  constexpr size_t kFar = 2 * kNear;
  const size_t left = events.size() / kEventBytes - index;
  if (left > kFar) expect_ids(events.data() + (index + kFar) * kEventBytes);
  Sides& found = ahead_[index % kNear];
  expected_ = found;
  found = Sides{};
  if (left <= kNear) return;
  const std::byte* near = events.data() + (index + kNear) * kEventBytes;
  found.debit = expect_account(load_id(near + offsetof(Transfer, debit_account_id)));
  found.credit = expect_account(load_id(near + offsetof(Transfer, credit_account_id)));
}

uint32_t Ledger::expect_account(Uint128 id) const {
  const uint32_t account = account_index_.likely(id);
  if (account == kNone) return kNone;
  const auto* row = reinterpret_cast<const std::byte*>(&accounts_[account]);
  prefetch_line(row);
  prefetch_line(row + 64);
  transfers_of_.prefetch(account);
  return account;
}

void Ledger::expect_ids(const std::byte* event) const {
  transfer_index_.prefetch(load_id(event + offsetof(Transfer, id)));
  account_index_.prefetch(load_id(event + offsetof(Transfer, debit_account_id)));
  account_index_.prefetch(load_id(event + offsetof(Transfer, credit_account_id)));
}

// Accounts.

CreateResult Ledger::create_account(const Account& account, const BatchFacts& batch, uint64_t event_time) {
  using enum AccountStatus;
  AccountCase at{account, batch};
  AccountStatus status = first_failure<kAccountChecks, Stage::batch>(at);
  if (status == created) status = first_failure<kAccountChecks, Stage::identity>(at);
  if (status != created) return result_of(status, event_time);
  at.existing = find_account(account.id);
  if (at.existing != nullptr) {
    status = first_failure<kAccountChecks, Stage::existing>(at);
    return result_of(status, status == exists ? at.existing->timestamp : event_time);
  }
  status = first_failure<kAccountChecks, Stage::fields>(at);
  if (status != created) return result_of(status, event_time);
  if (!access_.may_use(account.id)) {
    note(denials_.reserved, account.id, account.id);
    return result_of(exists_with_different_flags, event_time);  // somebody else's, as far as anybody can say
  }
  if (at.imported()) {
    at.last_account = accounts_.empty() ? 0 : accounts_.back().timestamp;
    at.transfer_at_time = transfers_.has_timestamp(account.timestamp);
  }
  status = first_failure<kAccountChecks, Stage::related>(at);
  if (status != created) return result_of(status, event_time);
  Account stored = account;
  stored.reserved = access_.machine;
  if (!at.imported()) stored.timestamp = event_time;
  add_account(stored);
  return result_of(created, stored.timestamp);
}

// Transfers.

CreateResult Ledger::create_transfer(const Transfer& transfer, const BatchFacts& batch, uint64_t event_time) {
  using enum TransferStatus;
  TransferCase at{transfer, batch};
  at.event_time = event_time;
  at.time = at.imported() ? transfer.timestamp : event_time;
  TransferStatus status = first_failure<kTransferChecks, Stage::batch>(at);
  if (status == created) status = first_failure<kTransferChecks, Stage::identity>(at);
  if (status != created) return result_of(status, event_time);

  const uint32_t number = transfer_number(transfer.id);
  if (number != kNone && (number & kFailedBit) == 0) return judge_existing(at, number);
  at.failed_before = number != kNone || !access_.may_use(transfer.id);
  status = first_failure<kTransferChecks, Stage::fields>(at);
  if (status == id_already_failed && number == kNone) note(denials_.reserved, transfer.id, transfer.id);
  if (status != created) return result_of(status, event_time);

  Transfer pending;
  uint32_t pending_number = kNone;
  Sides sides;
  if (at.resolves()) {
    pending_number = transfer_number(transfer.pending_id);
    if (pending_number != kNone && (pending_number & kFailedBit) == 0) {
      pending = transfers_.body(pending_number);
      at.pending = &pending;
      at.pending_status = transfers_.status(pending_number);
      at.amount = resolved_amount(transfer, pending);
      sides = sides_of(pending);
      // Of no account: it could not be read, and whoever applies this ends the process (take_damage).
      if (std::max(sides.debit, sides.credit) == kNone) return result_of(pending_transfer_not_found, event_time);
    }
  } else {
    sides = expected_sides_of(transfer);
  }
  if (sides.debit != kNone) at.debit = &accounts_[sides.debit];
  if (sides.credit != kNone) at.credit = &accounts_[sides.credit];
  if (at.imported()) {
    at.last_transfer = transfers_.last_timestamp();
    at.account_at_time = has_account_at(transfer.timestamp);
  }
  const TransferStatus hidden = hide(at);
  status = first_failure<kTransferChecks, Stage::related>(at);
  if (status != created && status == hidden) deny(status, at);
  if (status != created) return result_of(status, event_time);
  if (!at.resolves()) at.amount = plain_amount(at);
  status = first_failure<kTransferChecks, Stage::balances>(at);
  if (status != created) return result_of(status, event_time);

  if (at.resolves())
    resolve(at, pending_number, sides);
  else
    move(at, sides);
  return result_of(created, at.time);
}

// Takes away what the one who acts may not touch. Returns the status that says so; `created`: it is all there.
TransferStatus Ledger::hide(TransferCase& at) const {
  using enum TransferStatus;
  if (at.resolves()) {
    if (at.pending == nullptr || access_.may_resolve(*at.pending, *at.debit)) return created;
    at.pending = nullptr;
    return pending_transfer_not_found;
  }
  if (at.debit != nullptr && !access_.may_debit(*at.debit, at.t.has(transfer_flags::kClosingDebit))) {
    at.debit = nullptr;
    return debit_account_not_found;
  }
  if (at.credit != nullptr && !access_.may_credit(*at.credit, at.t.has(transfer_flags::kClosingCredit))) {
    at.credit = nullptr;
    return credit_account_not_found;
  }
  return created;
}

void Ledger::deny(TransferStatus status, const TransferCase& at) {
  using enum TransferStatus;
  if (status == credit_account_not_found) return note(denials_.owned, at.t.id, at.t.credit_account_id);
  const bool resolving = status == pending_transfer_not_found;
  const bool of_machine = resolving ? !access_.may_use(at.t.pending_id) : at.t.has(transfer_flags::kClosingDebit);
  note(access_.withdraw || of_machine ? denials_.owned : denials_.withdraw, at.t.id,
       resolving ? at.t.pending_id : at.t.debit_account_id);
}

CreateResult Ledger::judge_existing(TransferCase& at, uint32_t number) const {
  const Transfer existing = transfers_.body(number);
  at.existing = &existing;
  Transfer pending{};
  // Looked at only when both resolve the same one. Found, unless its file cannot be read (take_damage).
  if (existing.resolves())
    if (const uint32_t resolved = transfer_number(existing.pending_id); resolved != kNone)
      pending = transfers_.body(resolved);
  at.pending = &pending;
  const TransferStatus status = first_failure<kTransferChecks, Stage::existing>(at);
  return result_of(status, status == TransferStatus::exists ? existing.timestamp : at.event_time);
}

void Ledger::move(const TransferCase& at, Sides sides) {
  Account& debit = accounts_[sides.debit];
  Account& credit = accounts_[sides.credit];
  remember(debit);
  remember(credit);
  const bool pending = at.t.has(transfer_flags::kPending);
  (pending ? debit.debits_pending : debit.debits_posted) += at.amount;
  (pending ? credit.credits_pending : credit.credits_posted) += at.amount;
  Balances& sums = totals_.of(debit.ledger).balances;
  (pending ? sums.debits_pending : sums.debits_posted) += at.amount;
  (pending ? sums.credits_pending : sums.credits_posted) += at.amount;
  if (at.t.has(transfer_flags::kClosingDebit)) debit.flags |= account_flags::kClosed;
  if (at.t.has(transfer_flags::kClosingCredit)) credit.flags |= account_flags::kClosed;
  Transfer body = at.t;
  body.amount = at.amount;
  body.timestamp = at.time;
  const uint32_t number = add_transfer(body, pending ? PendingStatus::pending : PendingStatus::none, sides);
  add_history(number, debit, credit, at.time);
}

void Ledger::resolve(const TransferCase& at, uint32_t pending_number, Sides sides) {
  Account& debit = accounts_[sides.debit];
  Account& credit = accounts_[sides.credit];
  const bool post = at.t.has(transfer_flags::kPost);
  release(*at.pending, debit, credit, !post);
  set_status(pending_number, post ? PendingStatus::posted : PendingStatus::voided, *at.pending);
  if (post) {
    debit.debits_posted += at.amount;
    credit.credits_posted += at.amount;
    Balances& sums = totals_.of(debit.ledger).balances;
    sums.debits_posted += at.amount;
    sums.credits_posted += at.amount;
  }
  const uint32_t number = add_transfer(resolving_body(at), PendingStatus::none, sides);
  add_history(number, debit, credit, at.time);
}

// Takes a pending amount back; a closing transfer that is not posted opens its accounts again.
void Ledger::release(const Transfer& pending, Account& debit, Account& credit, bool reopen) {
  HEPTANE_ASSERT(debit.debits_pending >= pending.amount && credit.credits_pending >= pending.amount,
                 "a pending amount is not in its accounts");
  remember(debit);
  remember(credit);
  debit.debits_pending -= pending.amount;
  credit.credits_pending -= pending.amount;
  Balances& sums = totals_.of(debit.ledger).balances;
  sums.debits_pending -= pending.amount;
  sums.credits_pending -= pending.amount;
  if (!reopen) return;
  constexpr uint16_t kOpen = static_cast<uint16_t>(~account_flags::kClosed);
  if (pending.has(transfer_flags::kClosingDebit)) debit.flags &= kOpen;
  if (pending.has(transfer_flags::kClosingCredit)) credit.flags &= kOpen;
}

uint32_t Ledger::expire(uint64_t now, uint32_t limit, std::vector<Transfer>* closing) {
  const uint64_t until = std::max(now, clock_);
  uint32_t expired = 0;
  while (expired < limit && !expiries_.empty() && expiries_.begin()->first <= until) {
    const uint32_t number = expiries_.begin()->second;
    const Transfer pending = transfers_.body(number);
    const Sides sides = sides_of(pending);
    release(pending, accounts_[sides.debit], accounts_[sides.credit], true);
    set_status(number, PendingStatus::expired, pending);
    if (closing != nullptr && pending.has(transfer_flags::kClosingDebit | transfer_flags::kClosingCredit))
      closing->push_back(pending);
    ++expired;
  }
  advance(now, expired);
  return expired;
}

void Ledger::use_up(Uint128 id) {
  failed_.push_back(id);
  transfer_index_.insert(id, (failed_.size() - 1) | kFailedBit);
  if (recording()) undo_.push_back({Undo::Kind::failed_added});
}

// What is stored. Every change passes here and is remembered while a scope is open.

void Ledger::add_account(const Account& account) {
  account_index_.insert(account.id, accounts_.size());
  accounts_.push_back(account);
  transfers_of_.add_list();
  LedgerTotals& totals = totals_.of(account.ledger);
  ++totals.accounts;
  totals.balances += balances_of(account);
  if (recording()) undo_.push_back({Undo::Kind::account_added});
}

uint32_t Ledger::add_transfer(const Transfer& transfer, PendingStatus status, Sides sides) {
  const uint32_t number = transfers_.append(transfer, status, sides.debit, sides.credit, histories_of(sides));
  HEPTANE_ASSERT(number < kFailedBit, "2^31 transfers are stored");
  transfer_index_.insert(transfer.id, number);
  transfers_of_.append(sides.debit, number);
  transfers_of_.append(sides.credit, number);
  if (status == PendingStatus::pending && transfer.timeout != 0) expiries_.emplace(transfer.expires_at(), number);
  if (recording()) undo_.push_back({Undo::Kind::transfer_added});
  return number;
}

void Ledger::add_history(uint32_t transfer, const Account& debit, const Account& credit, uint64_t timestamp) {
  for (const Account* account : {&debit, &credit}) {
    if (!account->has(account_flags::kHistory)) continue;
    transfers_.append_balance({account->debits_pending, account->debits_posted, account->credits_pending,
                               account->credits_posted, timestamp, transfer, account == &credit ? 1U : 0U});
    if (recording()) undo_.push_back({Undo::Kind::history_added});
  }
}

void Ledger::set_status(uint32_t number, PendingStatus status, const Transfer& pending) {
  if (recording()) {
    undo_.push_back({Undo::Kind::status, transfers_.status(number), number});
    resolved_.push_back(pending);
  }
  transfers_.set_status(number, status, pending);
  if (pending.timeout == 0) return;
  if (status == PendingStatus::pending)
    expiries_.emplace(pending.expires_at(), number);
  else
    expiries_.erase({pending.expires_at(), number});
}

void Ledger::remember(const Account& account) {
  if (!recording()) return;
  before_.push_back(account);
  undo_.push_back({Undo::Kind::account});
}

void Ledger::close_scope(bool keep) {
  const size_t mark = marks_.back();
  if (!keep) {
    std::vector<size_t> marks;
    marks.swap(marks_);  // what is taken back is not remembered
    while (undo_.size() > mark) undo_last();
    marks.swap(marks_);
  }
  marks_.pop_back();
  if (!marks_.empty()) return;
  undo_.clear();
  before_.clear();
  resolved_.clear();
}

void Ledger::undo_last() {
  const Undo undo = undo_.back();
  undo_.pop_back();
  switch (undo.kind) {
    case Undo::Kind::clock: clock_ = undo.clock; return;
    case Undo::Kind::account: {
      Account& account = accounts_[account_number(before_.back().id)];
      Balances& sums = totals_.of(account.ledger).balances;
      sums -= balances_of(account);
      account = before_.back();
      sums += balances_of(account);
      before_.pop_back();
      return;
    }
    case Undo::Kind::account_added:
      --totals_.of(accounts_.back().ledger).accounts;
      account_index_.erase(accounts_.back().id, accounts_.size() - 1);
      accounts_.pop_back();
      account_keys_.forget_from(accounts_.size());
      transfers_of_.pop_list();
      return;
    case Undo::Kind::transfer_added: {
      const uint32_t number = transfers_.size() - 1;
      const Transfer transfer = transfers_.body(number);
      const Sides sides = sides_of(transfer);
      transfers_of_.pop(sides.credit);
      transfers_of_.pop(sides.debit);
      if (transfer.has(transfer_flags::kPending) && transfer.timeout != 0)
        expiries_.erase({transfer.expires_at(), number});
      transfer_index_.erase(transfer.id, number);
      transfers_.pop();
      return;
    }
    case Undo::Kind::failed_added:
      transfer_index_.erase(failed_.back(), (failed_.size() - 1) | kFailedBit);
      failed_.pop_back();
      return;
    case Undo::Kind::status:
      set_status(undo.number, undo.status, resolved_.back());
      resolved_.pop_back();
      return;
    case Undo::Kind::history_added: transfers_.pop_balance(); return;
  }
}

// Finding.

uint32_t Ledger::account_number(Uint128 id) const {
  return account_index_.find(id, [&](uint32_t number) { return accounts_[number].id == id; });
}

uint32_t Ledger::transfer_number(Uint128 id) const {
  return transfer_index_.find(id, [&](uint32_t number) {
    return (number & kFailedBit) != 0 ? failed_[number & ~kFailedBit] == id : transfers_.has_id(number, id);
  });
}

const Account* Ledger::find_account(Uint128 id) const {
  const uint32_t number = account_number(id);
  return number == kNone ? nullptr : &accounts_[number];
}

bool Ledger::find_transfer(Uint128 id, Transfer& found) const {
  const uint32_t number = transfer_number(id);
  if (number == kNone || (number & kFailedBit) != 0) return false;
  found = transfers_.body(number);
  return true;
}

PendingStatus Ledger::pending_status(Uint128 id) const {
  const uint32_t number = transfer_number(id);
  return number == kNone || (number & kFailedBit) != 0 ? PendingStatus::none : transfers_.status(number);
}

uint32_t Ledger::first_account_not_before(uint64_t timestamp) const {
  uint32_t low = 0;
  for (uint32_t high = accounts_.size(); low < high;) {
    const uint32_t middle = low + (high - low) / 2;
    if (accounts_[middle].timestamp < timestamp)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

bool Ledger::has_account_at(uint64_t timestamp) const {
  const uint32_t number = first_account_not_before(timestamp);
  return number < accounts_.size() && accounts_[number].timestamp == timestamp;
}

void Ledger::expect_transfers(Bytes events) const {
  for (; events.size() >= kEventBytes; events = events.subspan(kEventBytes)) expect_ids(events.data());
}

// Snapshots.

void Ledger::settle() {
  if (in_scope()) return;
  for (rows::RowStore* store : transfers_.stores()) store->settle();
}

void Ledger::clear() {
  clock_ = 0;
  accounts_.clear();
  transfers_of_ = NumberLists();
  account_index_.clear();
  account_keys_.clear();
  transfers_.clear();
  transfer_index_.clear();
  failed_.clear();
  expiries_.clear();
  totals_ = Totals();
  undo_.clear();
  before_.clear();
  resolved_.clear();
  marks_.clear();
}

bool Ledger::restore_account(const Account& account) {
  if (account_number(account.id) != kNone) return false;
  if (!accounts_.empty() && account.timestamp <= accounts_.back().timestamp) return false;
  add_account(account);
  return true;
}

bool Ledger::restore_transfer(const Transfer& transfer, PendingStatus status) {
  if (transfer_number(transfer.id) != kNone || transfer.timestamp <= transfers_.last_timestamp()) return false;
  const Sides sides = sides_of(transfer);
  if (sides.debit == kNone || sides.credit == kNone) return false;
  if (transfer.resolves() && transfer_number(transfer.pending_id) == kNone) return false;
  add_transfer(transfer, status, sides);
  return true;
}

bool Ledger::restore_failed(Uint128 id) {
  if (transfer_number(id) != kNone) return false;
  use_up(id);
  return true;
}

bool Ledger::restore_history(const BalanceRow& row) {
  if (row.transfer >= transfers_.size()) return false;
  if (!history().empty() && history().back().transfer > row.transfer) return false;
  transfers_.append_balance(row);
  return history().size() <= transfers_.balances_due();
}

// Keys of some transfers at a time. What costs is memory out of the cache: accounts' lists are asked for ahead, ids entered part
// by part, and which accounts keep balances is brought together.
Result<bool> Ledger::restore_rows(const Progress& progress) {
  constexpr uint32_t kTellEvery = 16'384;
  std::vector<uint8_t> keeps(accounts_.size());  // balances
  for (uint32_t account = 0; account < accounts_.size(); ++account)
    keeps[account] = accounts_[account].has(account_flags::kHistory) ? 1 : 0;
  TransferIds::Bulk ids(transfer_index_, 0, transfers_.size());
  uint64_t last = 0;
  uint32_t told = 0;
  bool ended = false;
  const auto take = [&](uint32_t number, std::span<const TransferKey> keys) {
    if (progress && number - told >= kTellEvery) {
      told = number;
      ended = !progress(uint64_t{number} * sizeof(TransferKey), uint64_t{transfers_.size()} * sizeof(TransferKey));
      if (ended) return false;
    }
    for (const TransferKey& key : keys) {
      if (key.timestamp <= last || std::max(key.debit, key.credit) >= keeps.size()) return false;
      last = key.timestamp;
      transfers_of_.prefetch(key.debit);
      transfers_of_.prefetch(key.credit);
    }
    for (const TransferKey& key : keys) {
      transfers_.restore_mark(number, key.timestamp, {keeps[key.debit] != 0, keeps[key.credit] != 0});
      ids.add(key.id);
      transfers_of_.append(key.debit, number);
      transfers_of_.append(key.credit, number++);
    }
    return true;
  };
  const Result<bool> whole = transfers_.scan_keys(take);
  if (ended) return Error{Errc::closed, "stopped before all rows were read; nothing was changed"};
  if (!whole || !*whole) return whole;
  ids.finish();
  return history().size() == transfers_.balances_due();
}

bool Ledger::restore_status(uint32_t number, PendingStatus status, const Transfer& pending) {
  if (number >= transfers_.size() || status == PendingStatus::none || status > PendingStatus::expired) return false;
  transfers_.set_status(number, status, pending);
  if (status == PendingStatus::pending && pending.timeout != 0) expiries_.emplace(pending.expires_at(), number);
  return true;
}

uint64_t Ledger::memory_bytes() const {
  constexpr uint64_t kSetNode = 64;
  return accounts_.memory_bytes() + transfers_of_.memory_bytes() + account_index_.memory_bytes() +
         transfers_.memory_bytes() + transfer_index_.memory_bytes() + failed_.memory_bytes() +
         expiries_.size() * kSetNode;
}

}  // namespace heptane::fintech
