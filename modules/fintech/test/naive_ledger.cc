#include "modules/fintech/test/naive_ledger.h"

#include <algorithm>

namespace heptane::fintech::test {

namespace {

using U = Uint128;
constexpr uint32_t kCreated = 0xFFFFFFFF;
constexpr uint32_t kLinkedEventFailed = 1;
constexpr uint32_t kLinkedEventChainOpen = 2;
constexpr U kMax = ~U{0};

// Collects what holds; `first` is the one that is reported.
struct Holds {
  std::set<uint32_t> all;
  void when(bool condition, uint32_t status) {
    if (condition) all.insert(status);
  }
  uint32_t first(const std::vector<uint32_t>& order) const {
    for (const uint32_t status : order)
      if (all.contains(status)) return status;
    return kCreated;
  }
};

bool bit(uint16_t flags, int number) { return ((flags >> number) & 1) != 0; }
bool too_much(U a, U b) { return a > kMax - b; }
bool too_much(U a, U b, U c) { return too_much(b, c) || too_much(a, b + c); }
bool time_ok(uint64_t t) { return t != 0 && t < (uint64_t{1} << 63); }

enum Bit {
  kLinked = 0,
  kPending = 1,
  kPost = 2,
  kVoid = 3,
  kBalancingDebit = 4,
  kBalancingCredit = 5,
  kClosingDebit = 6,
  kClosingCredit = 7,
  kImported = 8
};
enum AccountBit { kNoOverdraft = 1, kNoOvercredit = 2, kHistory = 3, kAccountImported = 4, kClosed = 5 };

uint64_t expiry(const Transfer& p) { return p.timestamp + uint64_t{p.timeout} * 1000000000; }

const std::set<uint32_t>& transient() {
  // debit/credit account not found, pending transfer not found, exceeds credits/debits, debit/credit account closed
  static const std::set<uint32_t> all{21, 22, 25, 54, 55, 65, 66};
  return all;
}

}  // namespace

const std::vector<uint32_t>& naive_account_order() {
  static const std::vector<uint32_t> order{1,  2,  22, 23, 3,  24, 25, 4,  5,  6,  7,  15, 16,
                                           17, 18, 19, 20, 21, 8,  9,  10, 11, 12, 13, 14, 26};
  return order;
}

const std::vector<uint32_t>& naive_transfer_order() {
  static const std::vector<uint32_t> order{1,  2,  56, 57, 3,  58, 59, 4,  5,  6,  36, 40, 44, 37, 38, 39, 41,
                                           42, 43, 67, 45, 46, 68, 7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,
                                           64, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
                                           35, 60, 61, 62, 63, 65, 66, 47, 48, 49, 50, 51, 52, 53, 54, 55};
  return order;
}

uint64_t NaiveLedger::advance(uint64_t now, uint64_t events) {
  state_.clock = std::max(now, state_.clock + events);
  return state_.clock;
}

uint32_t NaiveLedger::account_status(const Account& a, uint64_t) const {
  Holds holds;
  holds.when(a.reserved != 0, 4);
  holds.when((a.flags >> 6) != 0, 5);
  holds.when(a.id == 0, 6);
  holds.when(a.id == kMax, 7);
  if (const auto found = state_.accounts.find(a.id); found != state_.accounts.end()) {
    const Account& e = found->second;
    uint16_t flags = e.flags;
    holds.when(a.flags != flags, 15);
    holds.when(a.user_data_128 != e.user_data_128, 16);
    holds.when(a.user_data_64 != e.user_data_64, 17);
    holds.when(a.user_data_32 != e.user_data_32, 18);
    holds.when(a.ledger != e.ledger, 19);
    holds.when(a.code != e.code, 20);
    holds.when(true, 21);
  }
  holds.when(bit(a.flags, kNoOverdraft) && bit(a.flags, kNoOvercredit), 8);
  holds.when(a.debits_pending != 0, 9);
  holds.when(a.debits_posted != 0, 10);
  holds.when(a.credits_pending != 0, 11);
  holds.when(a.credits_posted != 0, 12);
  holds.when(a.ledger == 0, 13);
  holds.when(a.code == 0, 14);
  if (bit(a.flags, kAccountImported)) {
    for (const auto& [id, account] : state_.accounts) holds.when(account.timestamp >= a.timestamp, 26);
    for (const auto& [id, transfer] : state_.transfers) holds.when(transfer.timestamp == a.timestamp, 26);
  }
  return holds.first(naive_account_order());
}

void NaiveLedger::keep_account(const Account& a, uint64_t now) {
  Account kept = a;
  if (!bit(a.flags, kAccountImported)) kept.timestamp = now;
  state_.accounts[a.id] = kept;
}

// What t would move if it may.
U NaiveLedger::moved(const Transfer& t) const {
  if (bit(t.flags, kPost) || bit(t.flags, kVoid)) {
    const auto p = state_.transfers.find(t.pending_id);
    if (p == state_.transfers.end()) return t.amount;
    if (bit(t.flags, kPost) && t.amount == kMax) return p->second.amount;
    if (bit(t.flags, kVoid) && t.amount == 0) return p->second.amount;
    return t.amount;
  }
  U amount = t.amount;
  const Account& dr = state_.accounts.at(t.debit_account_id);
  const Account& cr = state_.accounts.at(t.credit_account_id);
  if (bit(t.flags, kBalancingDebit)) {
    const U used = dr.debits_posted + dr.debits_pending;
    amount = std::min(amount, dr.credits_posted < used ? 0 : dr.credits_posted - used);
  }
  if (bit(t.flags, kBalancingCredit)) {
    const U used = cr.credits_posted + cr.credits_pending;
    amount = std::min(amount, cr.debits_posted < used ? 0 : cr.debits_posted - used);
  }
  return amount;
}

uint32_t NaiveLedger::transfer_status(const Transfer& t, uint64_t now) const {
  Holds holds;
  const bool post = bit(t.flags, kPost);
  const bool voids = bit(t.flags, kVoid);
  const bool second = post || voids;
  const bool imported = bit(t.flags, kImported);
  holds.when((t.flags >> 9) != 0, 4);
  holds.when(t.id == 0, 5);
  holds.when(t.id == kMax, 6);
  if (const auto found = state_.transfers.find(t.id); found != state_.transfers.end()) {
    const Transfer& e = found->second;
    const bool same_kind = t.flags == e.flags && t.pending_id == e.pending_id;
    holds.when(t.flags != e.flags, 36);
    holds.when(t.pending_id != e.pending_id, 40);
    holds.when(t.timeout != e.timeout, 44);
    if (second && same_kind) {
      // A field left out stands for the pending transfer's.
      const Transfer& p = state_.transfers.at(t.pending_id);
      holds.when(t.debit_account_id != 0 && t.debit_account_id != e.debit_account_id, 37);
      holds.when(t.credit_account_id != 0 && t.credit_account_id != e.credit_account_id, 38);
      const U all = post ? kMax : U{0};
      holds.when((t.amount == all ? p.amount : t.amount) != e.amount, 39);
      holds.when((t.user_data_128 == 0 ? p.user_data_128 : t.user_data_128) != e.user_data_128, 41);
      holds.when((t.user_data_64 == 0 ? p.user_data_64 : t.user_data_64) != e.user_data_64, 42);
      holds.when((t.user_data_32 == 0 ? p.user_data_32 : t.user_data_32) != e.user_data_32, 43);
      holds.when(t.ledger != 0 && t.ledger != e.ledger, 67);
      holds.when(t.code != 0 && t.code != e.code, 45);
    } else if (!second) {
      holds.when(t.debit_account_id != e.debit_account_id, 37);
      holds.when(t.credit_account_id != e.credit_account_id, 38);
      const bool balancing = bit(t.flags, kBalancingDebit) || bit(t.flags, kBalancingCredit);
      holds.when(balancing ? t.amount < e.amount : t.amount != e.amount, 39);
      holds.when(t.user_data_128 != e.user_data_128, 41);
      holds.when(t.user_data_64 != e.user_data_64, 42);
      holds.when(t.user_data_32 != e.user_data_32, 43);
      holds.when(t.ledger != e.ledger, 67);
      holds.when(t.code != e.code, 45);
    }
    holds.when(true, 46);
  }
  holds.when(state_.failed.contains(t.id), 68);
  const uint64_t time = imported ? t.timestamp : now;
  bool regresses = false;
  if (imported) {
    for (const auto& [id, transfer] : state_.transfers) regresses |= transfer.timestamp >= t.timestamp;
    for (const auto& [id, account] : state_.accounts) regresses |= account.timestamp == t.timestamp;
  }
  if (second) {
    holds.when(post && voids, 7);
    for (const int other : {kPending, kBalancingDebit, kBalancingCredit, kClosingDebit, kClosingCredit})
      holds.when(bit(t.flags, other), 7);
    holds.when(t.pending_id == 0, 14);
    holds.when(t.pending_id == kMax, 15);
    holds.when(t.pending_id == t.id, 16);
    holds.when(t.timeout != 0, 17);
    const auto found = state_.transfers.find(t.pending_id);
    if (found == state_.transfers.end()) {
      holds.when(true, 25);
      return holds.first(naive_transfer_order());
    }
    const Transfer& p = found->second;
    const Account& dr = state_.accounts.at(p.debit_account_id);
    const Account& cr = state_.accounts.at(p.credit_account_id);
    holds.when(!bit(p.flags, kPending), 26);
    holds.when(t.debit_account_id != 0 && t.debit_account_id != p.debit_account_id, 27);
    holds.when(t.credit_account_id != 0 && t.credit_account_id != p.credit_account_id, 28);
    holds.when(t.ledger != 0 && t.ledger != p.ledger, 29);
    holds.when(t.code != 0 && t.code != p.code, 30);
    holds.when(moved(t) > p.amount, 31);
    holds.when(voids && moved(t) < p.amount, 32);
    if (bit(p.flags, kPending)) {
      const PendingStatus status = state_.pendings.at(p.id);
      holds.when(status == PendingStatus::posted, 33);
      holds.when(status == PendingStatus::voided, 34);
      holds.when(status == PendingStatus::expired, 35);
      holds.when(status == PendingStatus::pending && p.timeout != 0 && now >= expiry(p), 35);
    }
    holds.when(regresses, 60);
    holds.when(!voids && bit(dr.flags, kClosed), 65);
    holds.when(!voids && bit(cr.flags, kClosed), 66);
    return holds.first(naive_transfer_order());
  }
  holds.when(t.debit_account_id == 0, 8);
  holds.when(t.debit_account_id == kMax, 9);
  holds.when(t.credit_account_id == 0, 10);
  holds.when(t.credit_account_id == kMax, 11);
  holds.when(t.debit_account_id == t.credit_account_id, 12);
  holds.when(t.pending_id != 0, 13);
  const bool pending = bit(t.flags, kPending);
  holds.when(!pending && t.timeout != 0, 17);
  holds.when(!pending && (bit(t.flags, kClosingDebit) || bit(t.flags, kClosingCredit)), 64);
  holds.when(t.ledger == 0, 19);
  holds.when(t.code == 0, 20);
  const auto debit = state_.accounts.find(t.debit_account_id);
  const auto credit = state_.accounts.find(t.credit_account_id);
  holds.when(debit == state_.accounts.end(), 21);
  holds.when(credit == state_.accounts.end(), 22);
  if (debit == state_.accounts.end() || credit == state_.accounts.end()) return holds.first(naive_transfer_order());
  const Account& dr = debit->second;
  const Account& cr = credit->second;
  holds.when(dr.ledger != cr.ledger, 23);
  holds.when(t.ledger != dr.ledger, 24);
  holds.when(regresses, 60);
  holds.when(imported && t.timestamp <= dr.timestamp, 61);
  holds.when(imported && t.timestamp <= cr.timestamp, 62);
  holds.when(imported && t.timeout != 0, 63);
  holds.when(bit(dr.flags, kClosed), 65);
  holds.when(bit(cr.flags, kClosed), 66);
  const U amount = moved(t);
  holds.when(pending && too_much(amount, dr.debits_pending), 47);
  holds.when(pending && too_much(amount, cr.credits_pending), 48);
  holds.when(too_much(amount, dr.debits_posted), 49);
  holds.when(too_much(amount, cr.credits_posted), 50);
  holds.when(too_much(amount, dr.debits_pending, dr.debits_posted), 51);
  holds.when(too_much(amount, cr.credits_pending, cr.credits_posted), 52);
  holds.when(U{time} + U{t.timeout} * 1000000000 > (U{1} << 63) - 1, 53);
  if (!too_much(amount, dr.debits_pending, dr.debits_posted))
    holds.when(bit(dr.flags, kNoOverdraft) && dr.debits_pending + dr.debits_posted + amount > dr.credits_posted, 54);
  if (!too_much(amount, cr.credits_pending, cr.credits_posted))
    holds.when(bit(cr.flags, kNoOvercredit) && cr.credits_pending + cr.credits_posted + amount > cr.debits_posted, 55);
  return holds.first(naive_transfer_order());
}

void NaiveLedger::keep_transfer(const Transfer& t, uint64_t now) {
  Transfer kept = t;
  kept.amount = moved(t);
  if (!bit(t.flags, kImported)) kept.timestamp = now;
  if (bit(t.flags, kPost) || bit(t.flags, kVoid)) {
    const Transfer& p = state_.transfers.at(t.pending_id);
    kept.debit_account_id = p.debit_account_id;
    kept.credit_account_id = p.credit_account_id;
    kept.ledger = p.ledger;
    kept.code = p.code;
    if (t.user_data_128 == 0) kept.user_data_128 = p.user_data_128;
    if (t.user_data_64 == 0) kept.user_data_64 = p.user_data_64;
    if (t.user_data_32 == 0) kept.user_data_32 = p.user_data_32;
    Account& dr = state_.accounts.at(p.debit_account_id);
    Account& cr = state_.accounts.at(p.credit_account_id);
    dr.debits_pending -= p.amount;
    cr.credits_pending -= p.amount;
    if (bit(t.flags, kPost)) {
      dr.debits_posted += kept.amount;
      cr.credits_posted += kept.amount;
      state_.pendings[p.id] = PendingStatus::posted;
    } else {
      if (bit(p.flags, kClosingDebit)) dr.flags = static_cast<uint16_t>(dr.flags & ~(1 << kClosed));
      if (bit(p.flags, kClosingCredit)) cr.flags = static_cast<uint16_t>(cr.flags & ~(1 << kClosed));
      state_.pendings[p.id] = PendingStatus::voided;
    }
  } else {
    Account& dr = state_.accounts.at(t.debit_account_id);
    Account& cr = state_.accounts.at(t.credit_account_id);
    if (bit(t.flags, kPending)) {
      dr.debits_pending += kept.amount;
      cr.credits_pending += kept.amount;
      state_.pendings[t.id] = PendingStatus::pending;
    } else {
      dr.debits_posted += kept.amount;
      cr.credits_posted += kept.amount;
    }
    if (bit(t.flags, kClosingDebit)) dr.flags = static_cast<uint16_t>(dr.flags | 1 << kClosed);
    if (bit(t.flags, kClosingCredit)) cr.flags = static_cast<uint16_t>(cr.flags | 1 << kClosed);
  }
  state_.transfers[t.id] = kept;
  for (const U id : {kept.debit_account_id, kept.credit_account_id}) {
    const Account& a = state_.accounts.at(id);
    if (bit(a.flags, kHistory))
      state_.balances[{id, kept.timestamp}] = {a.debits_pending, a.debits_posted, a.credits_pending,
                                               a.credits_posted, kept.timestamp,  {}};
  }
}

namespace {

// The rules of batches, the same for both kinds of events.
template <class Event, class State, class StatusOf, class Keep, class TimeOf>
std::vector<CreateResult> run(uint64_t timestamp, const std::vector<Event>& events, int imported_bit,
                              const std::array<uint32_t, 5>& batch_statuses, State& state, StatusOf status_of,
                              Keep keep, TimeOf time_of) {
  std::vector<CreateResult> results;
  State before;
  bool in_chain = false;
  bool broken = false;
  size_t chain_begin = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    const uint64_t now = timestamp - events.size() + i + 1;
    const bool linked = bit(event.flags, kLinked);
    const bool last = i + 1 == events.size();
    if (linked && !in_chain) {
      in_chain = true;
      broken = false;
      chain_begin = i;
      before = state;
    }
    uint32_t status = kCreated;
    const bool batch_imported = bit(events[0].flags, imported_bit);
    const bool imported = bit(event.flags, imported_bit);
    if (linked && last)
      status = kLinkedEventChainOpen;
    else if (broken)
      status = kLinkedEventFailed;
    else if (batch_imported && !imported)
      status = batch_statuses[0];
    else if (!batch_imported && imported)
      status = batch_statuses[1];
    else if (!imported && event.timestamp != 0)
      status = batch_statuses[2];
    else if (imported && !time_ok(event.timestamp))
      status = batch_statuses[3];
    else if (imported && event.timestamp >= timestamp)
      status = batch_statuses[4];
    else
      status = status_of(event, now);
    uint64_t time = now;
    if (status == kCreated) {
      keep(event, now);
      if (imported) time = event.timestamp;
    } else {
      time = time_of(event, status, now);
    }
    if (status != kCreated && in_chain && !broken) {
      broken = true;
      state = before;
      for (size_t j = chain_begin; j < i; ++j) results[j].status = kLinkedEventFailed;
    }
    if constexpr (std::is_same_v<Event, Transfer>)
      if (transient().contains(status)) state.failed.insert(event.id);
    results.push_back({time, status, 0});
    if (!linked || last) in_chain = broken = false;
  }
  return results;
}

}  // namespace

std::vector<CreateResult> NaiveLedger::create_accounts(uint64_t timestamp, const std::vector<Account>& events) {
  return run(
      timestamp, events, kAccountImported, {22, 23, 3, 24, 25}, state_,
      [&](const Account& a, uint64_t now) { return account_status(a, now); },
      [&](const Account& a, uint64_t now) { keep_account(a, now); },
      [&](const Account& a, uint32_t status, uint64_t now) {
        return status == 21 ? state_.accounts.at(a.id).timestamp : now;
      });
}

std::vector<CreateResult> NaiveLedger::create_transfers(uint64_t timestamp, const std::vector<Transfer>& events) {
  return run(
      timestamp, events, kImported, {56, 57, 3, 58, 59}, state_,
      [&](const Transfer& t, uint64_t now) { return transfer_status(t, now); },
      [&](const Transfer& t, uint64_t now) { keep_transfer(t, now); },
      [&](const Transfer& t, uint32_t status, uint64_t now) {
        return status == 46 ? state_.transfers.at(t.id).timestamp : now;
      });
}

void NaiveLedger::expire(uint64_t now, uint32_t limit) {
  const uint64_t until = std::max(now, state_.clock);
  std::map<std::pair<uint64_t, uint64_t>, U> due;
  for (const auto& [id, status] : state_.pendings) {
    const Transfer& p = state_.transfers.at(id);
    if (status == PendingStatus::pending && p.timeout != 0 && expiry(p) <= until) due[{expiry(p), p.timestamp}] = id;
  }
  uint32_t expired = 0;
  for (const auto& [when, id] : due) {
    if (expired == limit) break;
    const Transfer& p = state_.transfers.at(id);
    Account& dr = state_.accounts.at(p.debit_account_id);
    Account& cr = state_.accounts.at(p.credit_account_id);
    dr.debits_pending -= p.amount;
    cr.credits_pending -= p.amount;
    if (bit(p.flags, kClosingDebit)) dr.flags = static_cast<uint16_t>(dr.flags & ~(1 << kClosed));
    if (bit(p.flags, kClosingCredit)) cr.flags = static_cast<uint16_t>(cr.flags & ~(1 << kClosed));
    state_.pendings[id] = PendingStatus::expired;
    ++expired;
  }
  advance(now, expired);
}

}  // namespace heptane::fintech::test
