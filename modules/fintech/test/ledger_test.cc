// The ledger against a naive second one: random operations full of edges, compared status for status and balance for
// balance; scopes taken back; what is restored equals what was saved.
#include "modules/fintech/domain/ledger/ledger.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/domain/ledger/recount.h"
#include "modules/fintech/domain/ledger/scan.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>

#include "kernel/base/random.h"
#include "modules/fintech/domain/ledger/account_checks.h"
#include "modules/fintech/domain/ledger/transfer_checks.h"
#include "modules/fintech/test/naive_ledger.h"
#include "sim/sim_disk.h"

namespace heptane::fintech::test {
namespace {

uint64_t scaled(uint64_t full) {
  const char* scale = std::getenv("HEPTANE_TEST_SCALE");
  return std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(full) * (scale == nullptr ? 1.0 : std::atof(scale))));
}

template <class T>
Bytes bytes_of(const std::vector<T>& rows) {
  return {reinterpret_cast<const std::byte*>(rows.data()), rows.size() * sizeof(T)};
}

template <class T>
bool same(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

// Draws events that come near every rule: few ids, few values, and now and then a field that is wrong.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}

  SeededRandom& random() { return random_; }
  Uint128 amount() {
    switch (random_.below(12)) {
      case 0: return 0;
      case 1: return kUint128Max;
      case 2: return kUint128Max - random_.below(3);
      case 3: return kUint128Max / 2 + random_.below(3);
      default: return random_.below(60);
    }
  }
  Uint128 account_id() {
    if (random_.one_in(60)) return random_.one_in(2) ? 0 : kUint128Max;
    return (Uint128{1} << 90) + 1 + random_.below(14);
  }
  Uint128 transfer_id() {
    if (random_.one_in(80)) return random_.one_in(2) ? 0 : kUint128Max;
    if (!used_.empty() && random_.one_in(4)) return used_[random_.below(used_.size())];
    used_.push_back(++next_id_);
    return next_id_;
  }
  uint16_t linked() { return random_.one_in(6) ? 1 : 0; }

  Account account(bool imported, uint64_t now) {
    Account a{};
    a.id = account_id();
    a.ledger = random_.one_in(30) ? 0 : 1 + static_cast<uint32_t>(random_.one_in(8));
    a.code = random_.one_in(30) ? 0 : 1 + static_cast<uint16_t>(random_.one_in(8));
    a.flags = linked();
    if (random_.one_in(2)) a.flags |= account_flags::kHistory;
    if (random_.one_in(4)) a.flags |= account_flags::kDebitsMustNotExceedCredits;
    if (random_.one_in(4)) a.flags |= account_flags::kCreditsMustNotExceedDebits;
    if (random_.one_in(25)) a.flags |= account_flags::kClosed;
    if (random_.one_in(60)) a.flags |= 1 << 9;
    common(a, imported, account_flags::kImported, now);
    if (random_.one_in(60)) a.reserved = 1;
    if (random_.one_in(60)) a.debits_pending = 1;
    if (random_.one_in(60)) a.debits_posted = 1;
    if (random_.one_in(60)) a.credits_pending = 1;
    if (random_.one_in(60)) a.credits_posted = 1;
    return a;
  }

  Transfer transfer(bool imported, uint64_t now) {
    Transfer t{};
    t.id = transfer_id();
    t.amount = amount();
    t.flags = linked();
    const bool second = random_.one_in(3) && !used_.empty();
    if (second) {
      t.flags |= random_.one_in(2) ? transfer_flags::kPost : transfer_flags::kVoid;
      t.pending_id = random_.one_in(40) ? (random_.one_in(2) ? 0 : kUint128Max) : used_[random_.below(used_.size())];
      if (random_.one_in(40)) t.pending_id = t.id;
      if (random_.one_in(30)) t.flags |= static_cast<uint16_t>(1 << (1 + random_.below(7)));
      if (random_.one_in(6)) t.debit_account_id = account_id();
      if (random_.one_in(6)) t.credit_account_id = account_id();
      if (random_.one_in(2)) t.amount = t.flags & transfer_flags::kPost ? kUint128Max : 0;
      if (random_.one_in(6)) t.ledger = 1 + static_cast<uint32_t>(random_.one_in(8));
      if (random_.one_in(6)) t.code = 1 + static_cast<uint16_t>(random_.one_in(8));
    } else {
      t.debit_account_id = account_id();
      t.credit_account_id = account_id();
      t.ledger = random_.one_in(40) ? 0 : 1 + static_cast<uint32_t>(random_.one_in(8));
      t.code = random_.one_in(40) ? 0 : 1 + static_cast<uint16_t>(random_.one_in(8));
      if (random_.one_in(2)) t.flags |= transfer_flags::kPending;
      if (random_.one_in(10)) t.flags |= transfer_flags::kBalancingDebit;
      if (random_.one_in(10)) t.flags |= transfer_flags::kBalancingCredit;
      if (random_.one_in(40)) t.flags |= transfer_flags::kClosingDebit;
      if (random_.one_in(40)) t.flags |= transfer_flags::kClosingCredit;
      if (random_.one_in(60)) t.pending_id = 1;
    }
    const bool may_time_out = (t.flags & transfer_flags::kPending) != 0 || random_.one_in(20);
    if (may_time_out && random_.one_in(2)) t.timeout = 1 + static_cast<uint32_t>(random_.below(3));
    if (t.timeout != 0 && random_.one_in(20)) t.timeout = 0xFFFFFFFF;
    if (random_.one_in(60)) t.flags |= 1 << 12;
    common(t, imported, transfer_flags::kImported, now);
    return t;
  }

  // One that was sent before, perhaps with a field changed.
  void vary(Transfer& t) {
    switch (random_.below(12)) {
      case 0: t.flags ^= transfer_flags::kPending; break;
      case 1: t.pending_id += 1; break;
      case 2: t.timeout += 1; break;
      case 3: t.debit_account_id = account_id(); break;
      case 4: t.credit_account_id = account_id(); break;
      case 5: t.amount = amount(); break;
      case 6: t.user_data_128 += 1; break;
      case 7: t.user_data_64 += 1; break;
      case 8: t.user_data_32 += 1; break;
      case 9: t.ledger += 1; break;
      case 10: t.code += 1; break;
      default: break;
    }
  }
  void vary(Account& a) {
    switch (random_.below(7)) {
      case 0: a.flags ^= account_flags::kHistory; break;
      case 1: a.user_data_128 += 1; break;
      case 2: a.user_data_64 += 1; break;
      case 3: a.user_data_32 += 1; break;
      case 4: a.ledger += 1; break;
      case 5: a.code += 1; break;
      default: break;
    }
  }

 private:
  template <class Event>
  void common(Event& event, bool imported, uint16_t flag, uint64_t now) {
    if (random_.one_in(4)) event.user_data_128 = random_.below(3);
    if (random_.one_in(4)) event.user_data_64 = random_.below(3);
    if (random_.one_in(4)) event.user_data_32 = static_cast<uint32_t>(random_.below(3));
    if (imported != random_.one_in(100)) event.flags |= flag;
    if ((event.flags & flag) != 0) {
      event.timestamp = now - 200 + random_.below(220);
      if (random_.one_in(30)) event.timestamp = random_.one_in(2) ? 0 : ~uint64_t{0};
    } else if (random_.one_in(80)) {
      event.timestamp = 5;
    }
  }

  SeededRandom random_;
  std::vector<Uint128> used_;
  Uint128 next_id_ = 0;
};

// The two of them and the hits of every status. With small row files most of what the first ledger knows is read from them.
struct Pair {
  explicit Pair(uint32_t rows_per_file = kRowsPerFile) : ledger(0, rows_per_file) {
    EXPECT_TRUE(disk.make_directory("rows"));
    for (rows::RowStore* store : ledger.stored_transfers().stores()) EXPECT_TRUE(store->open({&disk, "rows", true}));
    ledger.stored_transfers().runs().open({&disk, "rows", true});
  }

  sim::SimDisk disk{sim::SimDiskOptions{.seed = 1, .immediate = true}};
  Ledger ledger;
  NaiveLedger naive;

  void settle() {
    ledger.settle();
    for (rows::RowStore* store : ledger.stored_transfers().stores())
      while (*store->write_next()) continue;
    ledger.settle();
    ledger.stored_transfers().settle_runs();
    while (*ledger.stored_transfers().runs().write_next()) continue;
    ledger.stored_transfers().settle_runs();
    ASSERT_FALSE(ledger.take_damage().has_value());
  }
  void compare() const {
    const NaiveLedger::State& state = naive.state();
    ASSERT_EQ(ledger.clock(), state.clock);
    ASSERT_EQ(ledger.accounts().size(), state.accounts.size());
    for (const auto& [id, account] : state.accounts) {
      const Account* found = ledger.find_account(id);
      ASSERT_NE(found, nullptr);
      ASSERT_TRUE(same(*found, account));
    }
    ASSERT_EQ(ledger.transfers().size(), state.transfers.size());
    for (const auto& [id, transfer] : state.transfers) {
      Transfer found{};
      ASSERT_TRUE(ledger.find_transfer(id, found));
      ASSERT_TRUE(same(found, transfer));
      const auto pending = state.pendings.find(id);
      ASSERT_EQ(ledger.pending_status(id), pending == state.pendings.end() ? PendingStatus::none : pending->second);
    }
    ASSERT_EQ(ledger.failed_ids().size(), state.failed.size());
    ASSERT_EQ(ledger.history().size(), state.balances.size());
    compare_sums();
  }
  // What the ledger sums up, and what is counted from transfers alone.
  void compare_sums() const {
    std::map<uint32_t, LedgerTotals> sums;
    for (const auto& [id, account] : naive.state().accounts) {
      ++sums[account.ledger].accounts;
      sums[account.ledger].balances += balances_of(account);
    }
    for (const auto& [number, totals] : ledger.totals().rows()) ASSERT_TRUE(totals == sums[number]) << number;
    for (const auto& [number, totals] : sums)
      ASSERT_TRUE(totals == LedgerTotals{} || ledger.totals().rows().contains(number)) << number;
    Recount recount;
    RecountReport report;
    while (recount.step(ledger, 7, true, report) != Scanned::done) continue;
    ASSERT_TRUE(report.agrees()) << report.differing_accounts << " accounts, " << report.differing_ledgers
                                 << " ledgers";
    ASSERT_EQ(report.transfers, ledger.transfers().size());
  }
};

std::map<uint32_t, uint64_t>& account_hits() {
  static std::map<uint32_t, uint64_t> hits;
  return hits;
}
std::map<uint32_t, uint64_t>& transfer_hits() {
  static std::map<uint32_t, uint64_t> hits;
  return hits;
}

template <class Event>
void expect_same(const std::vector<CreateResult>& got, const std::vector<CreateResult>& want,
                 const std::vector<Event>& events, std::map<uint32_t, uint64_t>& hits) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ++hits[want[i].status];
    ASSERT_EQ(got[i].status, want[i].status)
        << "event " << i << " of " << events.size() << ", flags " << events[i].flags;
    ASSERT_EQ(got[i].timestamp, want[i].timestamp) << "event " << i << ", status " << got[i].status;
  }
}

// One batch into both. In an open scope that is taken back the first ledger must be as before; then it is done again.
uint64_t step(Pair& pair, Draw& draw, uint64_t now) {
  SeededRandom& random = draw.random();
  const size_t count = random.one_in(20) ? 0 : 1 + random.below(6);
  const bool imported = random.one_in(6);
  std::vector<CreateResult> got;
  const bool rehearse = random.one_in(5);
  const auto twice = [&](auto create) {
    if (rehearse) {
      pair.ledger.open_scope();
      if (random.one_in(2)) pair.ledger.open_scope();
      pair.ledger.advance(now, count);
      create();
      if (random.one_in(2)) pair.ledger.expire(now + 3'000'000'000, 100);
      pair.ledger.close_scope(false);
      // The inner one, kept, went with the outer.
      if (pair.ledger.in_scope()) pair.ledger.close_scope(false);
      pair.compare();
      got.clear();
    }
    ASSERT_EQ(pair.ledger.advance(now, count), pair.naive.advance(now, count));
    create();
  };
  if (random.one_in(5)) {
    std::vector<Account> events;
    for (size_t i = 0; i < count; ++i) events.push_back(draw.account(imported, now));
    for (Account& event : events) {
      if (pair.ledger.accounts().empty() || !random.one_in(6)) continue;
      const uint16_t linked = event.flags & 1;
      event = pair.ledger.accounts()[static_cast<uint32_t>(random.below(pair.ledger.accounts().size()))];
      event.flags = static_cast<uint16_t>((event.flags & ~1) | linked);
      event.debits_pending = event.debits_posted = event.credits_pending = event.credits_posted = 0;
      if (!event.has(account_flags::kImported)) event.timestamp = 0;
      draw.vary(event);
    }
    twice([&] { pair.ledger.create_accounts(std::max(pair.ledger.clock(), now), bytes_of(events), got); });
    expect_same(got, pair.naive.create_accounts(pair.naive.state().clock, events), events, account_hits());
  } else {
    std::vector<Transfer> events;
    for (size_t i = 0; i < count; ++i) events.push_back(draw.transfer(imported, now));
    for (Transfer& event : events) {
      if (pair.ledger.transfers().size() == 0 || !random.one_in(6)) continue;
      const uint16_t linked = event.flags & 1;
      event = pair.ledger.transfers().body(static_cast<uint32_t>(random.below(pair.ledger.transfers().size())));
      event.flags = static_cast<uint16_t>((event.flags & ~1) | linked);
      if (!event.has(transfer_flags::kImported)) event.timestamp = 0;
      if (random.one_in(2) && event.resolves()) {
        event.debit_account_id = event.credit_account_id = 0;
        event.ledger = 0;
        event.code = 0;
        event.amount = event.has(transfer_flags::kPost) ? kUint128Max : 0;
      }
      draw.vary(event);
    }
    twice([&] { pair.ledger.create_transfers(pair.ledger.clock(), bytes_of(events), got); });
    expect_same(got, pair.naive.create_transfers(pair.naive.state().clock, events), events, transfer_hits());
  }
  return count;
}

void expect_every_status_seen() {
  for (const auto& check : kAccountChecks)
    EXPECT_GT(account_hits()[static_cast<uint32_t>(check.status)], 0U) << check.name;
  for (const auto& check : kTransferChecks)
    EXPECT_GT(transfer_hits()[static_cast<uint32_t>(check.status)], 0U) << check.name;
  EXPECT_GT(transfer_hits()[0xFFFFFFFF], 0U);
}

TEST(Ledger, AgreesWithANaiveOneStatusForStatus) {
  const uint64_t events = scaled(3'000'000);
  uint64_t done = 0;
  for (uint64_t seed = 1; done < events; ++seed) {
    SCOPED_TRACE("world " + std::to_string(seed));
    Draw draw(seed);
    Pair pair(seed % 2 == 0 ? 16 : kRowsPerFile);
    // Some worlds end where timestamps do.
    uint64_t now = seed % 7 == 0 ? kTimestampMax - 20'000'000'000 : 1'700'000'000'000'000'000;
    for (int i = 0; i < 60; ++i) {
      now += draw.random().one_in(10) ? 800'000'000 : draw.random().below(30);
      done += step(pair, draw, now);
      if (testing::Test::HasFatalFailure()) return;
      if (draw.random().one_in(8)) {
        const auto limit = static_cast<uint32_t>(1 + draw.random().below(3));
        pair.ledger.expire(now, limit);
        pair.naive.expire(now, limit);
      }
      if (draw.random().one_in(2)) pair.settle();
      if (i % 10 == 9) pair.compare();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  if (events >= 200'000) expect_every_status_seen();
}

TEST(Ledger, ThePrecedenceIsTheDocumentedOne) {
  ASSERT_EQ(kAccountChecks.size(), naive_account_order().size());
  for (size_t i = 0; i < kAccountChecks.size(); ++i)
    EXPECT_EQ(static_cast<uint32_t>(kAccountChecks[i].status), naive_account_order()[i]) << kAccountChecks[i].name;
  ASSERT_EQ(kTransferChecks.size(), naive_transfer_order().size());
  for (size_t i = 0; i < kTransferChecks.size(); ++i)
    EXPECT_EQ(static_cast<uint32_t>(kTransferChecks[i].status), naive_transfer_order()[i]) << kTransferChecks[i].name;
}

// Queries against a plain scan of everything.

template <class Row, class Filter>
bool row_matches(const Filter& f, const Row& row) {
  return (f.user_data_128 == 0 || f.user_data_128 == row.user_data_128) &&
         (f.user_data_64 == 0 || f.user_data_64 == row.user_data_64) &&
         (f.user_data_32 == 0 || f.user_data_32 == row.user_data_32) && (f.code == 0 || f.code == row.code) &&
         (f.timestamp_min == 0 || row.timestamp >= f.timestamp_min) &&
         (f.timestamp_max == 0 || row.timestamp <= f.timestamp_max);
}

template <class Row>
std::vector<Row> ordered(std::map<uint64_t, Row> rows, bool reversed, uint32_t limit) {
  std::vector<Row> out;
  for (const auto& [time, row] : rows) out.push_back(row);
  if (reversed) std::reverse(out.begin(), out.end());
  if (out.size() > limit) out.resize(limit);
  return out;
}

template <class Row>
void expect_rows(const std::vector<Row>& got, const std::vector<Row>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_TRUE(same(got[i], want[i])) << "row " << i;
}

template <class Filter>
Filter draw_filter(Draw& draw, const Pair& pair) {
  SeededRandom& random = draw.random();
  Filter filter{};
  if (random.one_in(4)) filter.user_data_128 = random.below(3);
  if (random.one_in(4)) filter.user_data_64 = random.below(3);
  if (random.one_in(4)) filter.user_data_32 = static_cast<uint32_t>(random.below(3));
  if (random.one_in(4)) filter.code = static_cast<uint16_t>(random.below(3));
  const auto some_time = [&] {
    const uint32_t size = pair.ledger.transfers().size();
    return size == 0 ? pair.ledger.clock()
                     : pair.ledger.transfers().timestamp(static_cast<uint32_t>(random.below(size)));
  };
  if (random.one_in(3)) filter.timestamp_min = some_time();
  if (random.one_in(3)) filter.timestamp_max = some_time();
  filter.limit = random.one_in(3) ? 1 + static_cast<uint32_t>(random.below(5)) : 1000;
  return filter;
}

// In slices of any size, between which `meanwhile` does what it likes.
template <class Scan, class Step>
void in_slices(SeededRandom& random, Scan& scan, Step step, uint64_t work_most = 60,
               const std::function<void()>& meanwhile = nullptr) {
  for (bool more = true; more; more = more && (meanwhile == nullptr || (meanwhile(), true))) {
    Slice slice;
    slice.left = static_cast<int64_t>(1 + random.below(work_most));
    more = step(scan, slice) != Scanned::done;
  }
}

void query_once(const Pair& pair, Draw& draw) {
  SeededRandom& random = draw.random();
  const NaiveLedger::State& state = pair.naive.state();
  const auto of_account = draw_filter<AccountFilter>(draw, pair);
  AccountFilter filter = of_account;
  filter.account_id = draw.account_id();
  filter.flags = static_cast<uint32_t>(random.below(8));
  const bool range_ok = filter.timestamp_max == 0 || filter.timestamp_min <= filter.timestamp_max;
  std::map<uint64_t, Transfer> moved;
  std::map<uint64_t, AccountBalance> balances;
  if (range_ok)
    for (const auto& [id, t] : state.transfers) {
      const bool debit = t.debit_account_id == filter.account_id && (filter.flags & 1) != 0;
      const bool credit = t.credit_account_id == filter.account_id && (filter.flags & 2) != 0;
      if (!(debit || credit) || !row_matches(filter, t)) continue;
      moved[t.timestamp] = t;
      const auto balance = state.balances.find({filter.account_id, t.timestamp});
      if (balance != state.balances.end()) balances[t.timestamp] = balance->second;
    }
  const bool reversed = (filter.flags & 4) != 0;
  std::vector<Transfer> transfers;
  const auto search = [&](TransferScan scan) {
    transfers.clear();
    in_slices(random, scan, [&](TransferScan& running, Slice& slice) {
      return running.step(slice, [&](uint32_t, const Transfer& body) { transfers.push_back(body); });
    });
  };
  const uint32_t end = pair.ledger.transfers().size();
  search(TransferScan(pair.ledger, filter, 500, end));
  expect_rows(transfers, ordered(moved, reversed, std::min<uint32_t>(500, filter.limit)));
  std::vector<AccountBalance> found;
  TransferScan balance_scan(pair.ledger, filter, 500, end, true);
  in_slices(random, balance_scan, [&](TransferScan& running, Slice& slice) {
    return running.step(slice, [&](uint32_t number, const Transfer& body) {
      const bool credit_side = body.credit_account_id == filter.account_id;
      found.push_back(pair.ledger.transfers().balance(number, credit_side).balance());
    });
  });
  expect_rows(found, ordered(balances, reversed, std::min<uint32_t>(500, filter.limit)));

  auto query = draw_filter<QueryFilter>(draw, pair);
  query.flags = static_cast<uint32_t>(random.below(2));
  if (random.one_in(4)) query.ledger = 1 + static_cast<uint32_t>(random.below(2));
  std::map<uint64_t, Transfer> some;
  std::map<uint64_t, Account> accounts;
  if (query.timestamp_max == 0 || query.timestamp_min <= query.timestamp_max) {
    for (const auto& [id, t] : state.transfers)
      if (row_matches(query, t) && (query.ledger == 0 || query.ledger == t.ledger)) some[t.timestamp] = t;
    for (const auto& [id, a] : state.accounts)
      if (row_matches(query, a) && (query.ledger == 0 || query.ledger == a.ledger)) accounts[a.timestamp] = a;
  }
  search(TransferScan(pair.ledger, query, 500, end));
  expect_rows(transfers, ordered(some, query.flags != 0, std::min<uint32_t>(500, query.limit)));
  std::vector<Uint128> ids;
  std::vector<Transfer> known;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(draw.transfer_id());
    if (const auto at = state.transfers.find(ids.back()); at != state.transfers.end()) known.push_back(at->second);
  }
  search(TransferScan(pair.ledger, ids, end));
  expect_rows(transfers, known);
  std::vector<Account> got;
  pair.ledger.query_accounts(query, 500, got);
  expect_rows(got, ordered(accounts, query.flags != 0, std::min<uint32_t>(500, query.limit)));
}

TEST(Ledger, QueriesFindWhatAScanFinds) {
  const uint64_t worlds = scaled(60);
  for (uint64_t seed = 1; seed <= worlds; ++seed) {
    SCOPED_TRACE("world " + std::to_string(seed));
    Draw draw(seed);
    Pair pair(seed % 2 == 0 ? 32 : kRowsPerFile);
    uint64_t now = 1'700'000'000'000'000'000;
    for (int i = 0; i < 200; ++i) {
      now += draw.random().below(30);
      step(pair, draw, now);
      if (draw.random().one_in(2)) pair.settle();
      if (i % 4 == 0) query_once(pair, draw);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// With files large enough that many blocks of runs are read, fields that few transfers have and fields that many have.
TEST(Ledger, QueriesByEveryFieldFindTheSameWithAndWithoutRuns) {
  for (uint64_t seed = 1; seed <= scaled(4); ++seed) {
    SCOPED_TRACE("world " + std::to_string(seed));
    SeededRandom random(seed);
    Pair pair(seed % 2 == 0 ? 64 : 2048);
    std::vector<Account> accounts(2);
    Uint128 id = 0;
    for (Account& account : accounts) {
      account.id = ++id;
      account.ledger = account.code = 1;
    }
    std::vector<CreateResult> results;
    pair.ledger.create_accounts(pair.ledger.advance(1000, 2), bytes_of(accounts), results);
    std::vector<Transfer> all;
    while (all.size() < 10'000) {
      std::vector<Transfer> batch(1 + random.below(2000));
      for (Transfer& t : batch) {
        t = {};
        t.id = all.size() + static_cast<size_t>(&t - batch.data()) + 1;
        t.debit_account_id = 1;
        t.credit_account_id = 2;
        t.amount = t.ledger = 1;
        t.code = static_cast<uint16_t>(random.one_in(50) ? 2 + random.below(3) : 1);
        t.user_data_128 = random.one_in(3) ? Uint128{random.below(40'000)} << 70 : 0;
        t.user_data_64 = random.one_in(2) ? random.below(300) : random.below(30'000);
        t.user_data_32 = static_cast<uint32_t>(random.below(3));
      }
      const uint64_t last = pair.ledger.advance(1, batch.size());
      pair.ledger.create_transfers(last, bytes_of(batch), results);
      for (Transfer& t : batch) t.timestamp = last - batch.size() + static_cast<size_t>(&t - batch.data()) + 1;
      all.insert(all.end(), batch.begin(), batch.end());
      if (all.size() < 7'000 || random.one_in(2)) pair.settle();
    }
    ASSERT_EQ(pair.ledger.transfers().size(), all.size());
    EXPECT_GT(pair.ledger.transfers().runs().files(), 2U);
    for (int i = 0; i < 60; ++i) {
      const Transfer& like = all[random.below(all.size())];
      QueryFilter filter{};
      for (bool asked = false; !asked;) {
        if (random.one_in(3)) asked = true, filter.user_data_128 = like.user_data_128;
        if (random.one_in(3)) asked = true, filter.user_data_64 = like.user_data_64;
        if (random.one_in(6)) asked = true, filter.user_data_32 = like.user_data_32;
        if (random.one_in(6)) asked = true, filter.code = like.code;
        if (random.one_in(6)) asked = true, filter.ledger = like.ledger;
      }
      if (random.one_in(20)) filter.user_data_64 += 70'000;  // nobody has it
      if (random.one_in(3)) filter.timestamp_min = all[random.below(all.size())].timestamp;
      if (random.one_in(3)) filter.timestamp_max = filter.timestamp_min + random.below(8'000);
      filter.limit = random.one_in(3) ? 1 + static_cast<uint32_t>(random.below(5)) : 8000;
      filter.flags = static_cast<uint32_t>(random.below(2));
      std::map<uint64_t, Transfer> want;
      if (filter.timestamp_max == 0 || filter.timestamp_min <= filter.timestamp_max)
        for (const Transfer& t : all)
          if (row_matches(filter, t) && (filter.ledger == 0 || t.ledger == filter.ledger)) want[t.timestamp] = t;
      TransferScan scan(pair.ledger, filter, 8000, pair.ledger.transfers().size());
      std::vector<Transfer> got;
      in_slices(
          random, scan,
          [&](TransferScan& running, Slice& slice) {
            return running.step(slice, [&](uint32_t, const Transfer& body) { got.push_back(body); });
          },
          1000);
      expect_rows(got, ordered(want, filter.flags != 0, filter.limit));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// A value that few have, among many files: what is looked at is a block of each file's runs, and their own rows.
TEST(Ledger, ASearchForARareValueReadsFewBlocks) {
  Pair pair(1024);
  std::vector<Account> accounts(2);
  accounts[0].id = 1;
  accounts[1].id = 2;
  for (Account& account : accounts) account.ledger = account.code = 1;
  std::vector<CreateResult> results;
  pair.ledger.create_accounts(pair.ledger.advance(1000, 2), bytes_of(accounts), results);
  constexpr uint64_t kTransfers = uint64_t{1024} * 40;
  for (uint64_t id = 1; id <= kTransfers; id += 1024) {
    std::vector<Transfer> batch(1024);
    for (Transfer& t : batch) {
      t.id = id + static_cast<size_t>(&t - batch.data());
      t.debit_account_id = 1;
      t.credit_account_id = 2;
      t.amount = t.ledger = t.code = 1;
      t.user_data_64 = static_cast<uint64_t>(t.id) / 2;  // two have each
    }
    pair.ledger.create_transfers(pair.ledger.advance(1, batch.size()), bytes_of(batch), results);
  }
  pair.settle();
  ASSERT_EQ(pair.ledger.transfers().runs().files(), 40U);
  QueryFilter filter{};
  filter.user_data_64 = 5000;
  filter.ledger = 1;
  filter.limit = 100;
  std::vector<Transfer> found;
  const uint64_t before = pair.ledger.transfers().blocks_read();
  pair.ledger.query_transfers(filter, 100, found);
  EXPECT_EQ(found.size(), 2U);
  EXPECT_LE(pair.ledger.transfers().blocks_read() - before, 40U * 2 + 1);
}

// Whatever is created between the slices: transfers are those of the first, accounts those of the last.
TEST(Ledger, ASearchInSlicesShowsOneMoment) {
  for (uint64_t seed = 1; seed <= scaled(40); ++seed) {
    SCOPED_TRACE("world " + std::to_string(seed));
    Draw draw(seed);
    SeededRandom& random = draw.random();
    Pair pair(seed % 2 == 0 ? 32 : kRowsPerFile);
    uint64_t now = 1'700'000'000'000'000'000;
    const auto go_on = [&] {
      now += random.below(30);
      step(pair, draw, now);
      if (random.one_in(2)) pair.settle();
    };
    for (int i = 0; i < 100; ++i) go_on();
    for (int i = 0; i < 20; ++i) {
      auto of_account = draw_filter<AccountFilter>(draw, pair);
      of_account.account_id = draw.account_id();
      of_account.flags = static_cast<uint32_t>(1 + random.below(7));
      auto query = draw_filter<QueryFilter>(draw, pair);
      query.flags = static_cast<uint32_t>(random.below(2));
      const auto search = [&](TransferScan scan, const std::vector<Transfer>& want) {
        std::vector<Transfer> got;
        in_slices(
            random, scan,
            [&](TransferScan& running, Slice& slice) {
              return running.step(slice, [&](uint32_t, const Transfer& body) { got.push_back(body); });
            },
            60, go_on);
        expect_rows(got, want);
      };
      std::vector<Transfer> want;
      pair.ledger.account_transfers(of_account, 500, want);
      search(TransferScan(pair.ledger, of_account, 500, pair.ledger.transfers().size()), want);
      want.clear();
      pair.ledger.query_transfers(query, 500, want);
      search(TransferScan(pair.ledger, query, 500, pair.ledger.transfers().size()), want);
      AccountScan accounts(pair.ledger, query, 500);
      for (Slice slice; accounts.step(slice) != Scanned::done; go_on())
        slice.left = 1 + static_cast<int64_t>(random.below(5));
      go_on();  // one that had come to its end looks at what is new
      for (Slice slice; accounts.step(slice) != Scanned::done;) slice = {};
      std::vector<Account> got;
      accounts.append_to(got);
      std::vector<Account> all;
      pair.ledger.query_accounts(query, 500, all);
      expect_rows(got, all);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(Ledger, InvalidFiltersFindNothing) {
  Ledger ledger;
  std::vector<Account> accounts(2);
  accounts[0].id = 1;
  accounts[1].id = 2;
  for (Account& account : accounts) account.ledger = account.code = 1;
  std::vector<CreateResult> results;
  ledger.create_accounts(ledger.advance(1000, 2), bytes_of(accounts), results);
  const auto found = [&](auto change) {
    QueryFilter filter{};
    filter.limit = 10;
    change(filter);
    std::vector<Account> rows;
    ledger.query_accounts(filter, 10, rows);
    return rows.size();
  };
  EXPECT_EQ(found([](QueryFilter&) {}), 2U);
  EXPECT_EQ(found([](QueryFilter& f) { f.limit = 0; }), 0U);
  EXPECT_EQ(found([](QueryFilter& f) { f.flags = 2; }), 0U);
  EXPECT_EQ(found([](QueryFilter& f) { f.reserved[3] = std::byte{1}; }), 0U);
  EXPECT_EQ(found([](QueryFilter& f) { f.timestamp_min = ~uint64_t{0}; }), 0U);
  EXPECT_EQ(found([](QueryFilter& f) { f.timestamp_max = ~uint64_t{0}; }), 0U);
  EXPECT_EQ(found([](QueryFilter& f) { f.timestamp_min = 9, f.timestamp_max = 8; }), 0U);
  EXPECT_EQ(found([](QueryFilter& f) { f.timestamp_max = kTimestampMax; }), 2U);
}

TEST(Recount, FindsABalanceThatIsNotWhatTransfersMake) {
  Ledger ledger;
  for (Uint128 id = 1; id <= 3; ++id) {
    Account account{};
    account.id = id;
    account.ledger = account.code = 1;
    account.timestamp = static_cast<uint64_t>(id);
    account.debits_posted = id == 1 ? 10 : 0;
    account.credits_posted = id == 2 ? 9 : 0;  // one is missing
    ASSERT_TRUE(ledger.restore_account(account));
  }
  Transfer transfer{};
  transfer.id = 1;
  transfer.debit_account_id = 1;
  transfer.credit_account_id = 2;
  transfer.amount = 10;
  transfer.ledger = transfer.code = 1;
  transfer.timestamp = 4;
  ASSERT_TRUE(ledger.restore_transfer(transfer, PendingStatus::none));
  RecountReport report;
  ASSERT_EQ(Recount().step(ledger, 10, true, report), Scanned::done);
  EXPECT_EQ(report.differing_accounts, 1U);
  EXPECT_TRUE(report.named == std::vector<Uint128>{2});
  EXPECT_EQ(report.differing_ledgers, 1U);
}

TEST(Amount, IsReadAndWrittenWithItsScale) {
  const auto units = [](std::string_view text, uint8_t scale) -> std::string {
    const std::optional<Decimal> decimal = parse_decimal(text);
    const std::optional<Uint128> amount = decimal ? scaled(*decimal, scale) : std::nullopt;
    return amount ? number_text(*amount) : "none";
  };
  EXPECT_EQ(units("12.5", 2), "1250");
  EXPECT_EQ(units("12.50", 2), "1250");
  EXPECT_EQ(units("12", 2), "1200");
  EXPECT_EQ(units("0.000000000000000001", 18), "1");
  EXPECT_EQ(units("12.505", 2), "none");
  EXPECT_EQ(units("12.500", 2), "none");
  EXPECT_EQ(units("340282366920938463463374607431768211455", 0), "340282366920938463463374607431768211455");
  EXPECT_EQ(units("340282366920938463463374607431768211456", 0), "none");
  EXPECT_EQ(units("3402823669209384634633746074317682114.56", 2), "none");
  for (const char* bad : {"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "1.2.3"})
    EXPECT_EQ(units(bad, 2), "none") << bad;
  EXPECT_EQ(amount_text(1250, 2), "12.50");
  EXPECT_EQ(amount_text(5, 2), "0.05");
  EXPECT_EQ(amount_text(0, 3), "0.000");
  EXPECT_EQ(amount_text(kUint128Max, 0), "340282366920938463463374607431768211455");
  EXPECT_FALSE(parse_number("1.0").has_value());
}

// Ids are erased again where the table is full of neighbours and has grown in between.
template <class Index>
void agrees_with_a_map() {
  SeededRandom random(3);
  Index index;
  std::map<Uint128, uint32_t> model;
  std::vector<Uint128> ids(1);
  const auto find = [&](Uint128 id) { return index.find(id, [&](uint32_t number) { return ids[number] == id; }); };
  for (uint64_t i = 0; i < scaled(400'000); ++i) {
    const Uint128 id = random.one_in(2) ? random.below(20'000) + 1 : (Uint128{random.below(200)} << 64) + 1;
    const auto at = model.find(id);
    if (at == model.end()) {
      ASSERT_EQ(find(id), Index::kNone);
      ids.push_back(id);
      index.insert(id, static_cast<uint32_t>(ids.size() - 1));
      model[id] = static_cast<uint32_t>(ids.size() - 1);
    } else {
      ASSERT_EQ(find(id), at->second);
      if (!random.one_in(2)) continue;
      index.erase(id, at->second);
      model.erase(at);
    }
  }
  for (const auto& [id, number] : model) ASSERT_EQ(find(id), number);
}
TEST(IdIndex, AgreesWithAMap) { agrees_with_a_map<IdIndex>(); }
TEST(TransferIds, AgreesWithAMap) { agrees_with_a_map<TransferIds>(); }

// A start enters them so: what is there before and behind is found as well.
TEST(TransferIds, EnteredInBulkAreFoundAsEnteredOneByOne) {
  const auto none = [](uint32_t) { return true; };
  for (const uint64_t full : {uint64_t{0}, uint64_t{1}, uint64_t{3'000}, uint64_t{5'000'000}}) {
    const auto count = static_cast<uint32_t>(full < 10'000 ? full : scaled(full));
    TransferIds ids(7);
    ids.insert(1, 5);
    {
      TransferIds::Bulk bulk(ids, 10, count);
      for (uint32_t i = 0; i < count; ++i) bulk.add((Uint128{i} << 64) + 2);
      bulk.finish();
    }
    ids.insert(3, 6);
    EXPECT_EQ(ids.find(1, none), 5U);
    EXPECT_EQ(ids.find(3, none), 6U);
    EXPECT_EQ(ids.find(4, none), TransferIds::kNone);
    for (uint32_t i = 0; i < count; ++i)
      ASSERT_EQ(ids.find((Uint128{i} << 64) + 2, [&](uint32_t number) { return number == 10 + i; }), 10 + i);
    if (count >= 4'000'000) {
      EXPECT_LE(ids.memory_bytes(), uint64_t{count} * 14 + (uint64_t{1} << 20));
    }
    if (count > 10) ids.erase((Uint128{10} << 64) + 2, 20);
    EXPECT_EQ(ids.find((Uint128{10} << 64) + 2, none), TransferIds::kNone);
  }
}

// The bound of all indexes together is 32 bytes a transfer; wrong candidates would be reads of the disk.
TEST(TransferIds, AreSmallAndHardlyEverWrong) {
  TransferIds ids(5);
  const auto count = static_cast<uint32_t>(scaled(3'000'000));
  for (uint32_t number = 0; number < count; ++number) ids.insert(Uint128{number} + 1, number);
  if (count >= 1'000'000) {
    EXPECT_LE(ids.memory_bytes(), uint64_t{count} * 14 + (uint64_t{1} << 20));
  }
  uint32_t wrong = 0;
  for (uint32_t number = 0; number < count; ++number)
    ids.find(Uint128{number} + count + 1, [&](uint32_t) {
      ++wrong;
      return false;
    });
  EXPECT_LE(wrong, 3U);
}

}  // namespace
}  // namespace heptane::fintech::test
