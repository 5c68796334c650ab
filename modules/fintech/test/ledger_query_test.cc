// Keys of rows in memory against a look at every row; what queries by field cost with them.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "modules/fintech/domain/ledger/scan.h"
#include "sim/sim_disk.h"

namespace heptane::fintech::test {
namespace {

// Fields of few and of many values; 0 is none.
TransferKeys draw_keys(SeededRandom& random) {
  TransferKeys keys;
  const uint64_t values[] = {500, 40, 3, 2, 1};
  for (uint32_t field = 0; field < kTransferFields; ++field)
    if (const auto value = static_cast<uint32_t>(random.below(values[field] + 1)); value != 0)
      keys[field] = value == 1 && field == 0 ? 0xFFFFFFFF : value;
  return keys;
}

bool may_match(const TransferKeys& row, const TransferKeys& asked) {
  for (uint32_t field = 0; field < kTransferFields; ++field)
    if (asked[field] && row[field] != asked[field]) return false;
  return true;
}

// Everything between the two, some at a time; rows in memory are those from `in_memory` on.
std::vector<uint32_t> find_all(FieldKeys& keys, const std::vector<TransferKeys>& rows, const TransferKeys& asked,
                               FieldKeys::Search range, SeededRandom& random) {
  std::vector<uint32_t> found;
  while (range.first < range.last) {
    const uint32_t piece = keys.piece_of(range.reversed ? range.last - 1 : range.first);
    FieldKeys::Search search = range;
    search.first = std::max(range.first, keys.first_of(piece));
    search.last = std::min(range.last, keys.first_of(piece + 1));
    search.most = 1 + random.below(20);
    auto work = static_cast<int64_t>(1 + random.below(100));
    const uint32_t known =
        keys.reach(piece, asked, search.last, work, [&](uint32_t row) { return std::optional(rows[row]); });
    if (range.reversed ? known < search.last : known <= search.first) continue;
    search.last = std::min(search.last, known);
    keys.find(piece, asked, search, found, work);
    (range.reversed ? range.last : range.first) = range.reversed ? search.last : search.first;
  }
  return found;
}

void agrees_with_a_look_at_every_row(FieldKeys::Full full, uint64_t seed) {
  SeededRandom random(seed);
  constexpr uint32_t kPieces[] = {1, 7, 64, 1000};
  FieldKeys keys(kPieces[seed % std::size(kPieces)], full);
  std::vector<TransferKeys> rows;
  for (int i = 0; i < 400; ++i) {
    for (uint64_t more = random.below(40); more > 0; --more) rows.push_back(draw_keys(random));
    if (random.one_in(10) && !rows.empty()) {
      rows.resize(random.below(rows.size()) + 1);
      keys.forget_from(static_cast<uint32_t>(rows.size()));
      for (uint64_t more = random.below(40); more > 0; --more) rows.push_back(draw_keys(random));
    }
    if (random.one_in(50)) keys.drop(static_cast<uint32_t>(random.below(5)));
    TransferKeys asked;
    while (!any_asked(asked))
      for (const TransferKeys like = draw_keys(random); auto& key : asked)
        if (random.one_in(3)) key = like[static_cast<size_t>(&key - asked.data())];
    FieldKeys::Search range;
    range.reversed = random.one_in(2);
    range.first = static_cast<uint32_t>(random.below(rows.size() + 1));
    range.last = range.first + static_cast<uint32_t>(random.below(rows.size() - range.first + 1));
    std::vector<uint32_t> wanted;
    for (uint32_t row = range.first; row < range.last; ++row)
      if (may_match(rows[row], asked)) wanted.push_back(row);
    if (range.reversed) std::ranges::reverse(wanted);
    std::vector<uint32_t> found = find_all(keys, rows, asked, range, random);
    // Of sorted pieces one field is searched; whoever finds a row looks at it.
    std::erase_if(found, [&](uint32_t row) { return !may_match(rows[row], asked); });
    ASSERT_EQ(found, wanted) << "seed " << seed << " look " << i;
  }
  // What was counted is taken off again, of each piece alone.
  EXPECT_GT(keys.memory_bytes(), 0U);
  keys.drop_if([](uint32_t piece) { return piece % 2 == 0; });
  keys.drop_if([](uint32_t) { return true; });
  EXPECT_EQ(keys.memory_bytes(), 0U);
}

TEST(FieldKeys, AgreeWithALookAtEveryRow) {
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    agrees_with_a_look_at_every_row(FieldKeys::Full::stay_columns, seed);
    agrees_with_a_look_at_every_row(FieldKeys::Full::are_sorted, seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

template <class Row>
Bytes bytes_of(const std::vector<Row>& rows) {
  return {reinterpret_cast<const std::byte*>(rows.data()), rows.size() * sizeof(Row)};
}

constexpr uint32_t kAccounts = 40'000;
constexpr uint32_t kTransfers = 30'000;  // fewer than a file holds

// Two rows of each kind share a value of user_data_64; every tenth has code 2.
struct World {
  explicit World(uint32_t rows_per_file) : ledger(0, rows_per_file) {
    EXPECT_TRUE(disk.make_directory("rows"));
    open(ledger);
    std::vector<CreateResult> results;
    for (uint32_t done = 0; done < kAccounts; done += 1000)
      ledger.create_accounts(ledger.advance(1000, 1000), bytes_of(rows_behind<Account>(done)), results);
    for (uint32_t done = 0; done < kTransfers; done += 1000) add_transfers(done);
  }
  void open(Ledger& opened) {
    for (rows::RowStore* store : opened.stored_transfers().stores()) EXPECT_TRUE(store->open({&disk, "rows", true}));
    opened.stored_transfers().runs().open({&disk, "rows", true});
  }
  template <class Row>
  static std::vector<Row> rows_behind(uint32_t done) {
    std::vector<Row> rows(1000);
    for (Row& row : rows) {
      row.id = ++done;
      row.user_data_64 = 1 + done / 2;
      row.ledger = 1;
      row.code = done % 10 == 0 ? 2 : 1;
    }
    return rows;
  }
  void add_transfers(uint32_t done) {
    std::vector<Transfer> rows = rows_behind<Transfer>(done);
    for (Transfer& row : rows) {
      row.debit_account_id = 1;
      row.credit_account_id = 2;
      row.amount = 1;
    }
    std::vector<CreateResult> results;
    ledger.create_transfers(ledger.advance(1, rows.size()), bytes_of(rows), results);
  }
  // Files, but no runs of them.
  void write_rows() {
    ledger.settle();
    for (rows::RowStore* store : ledger.stored_transfers().stores())
      while (*store->write_next()) continue;
    ledger.settle();
  }

  sim::SimDisk disk{sim::SimDiskOptions{.seed = 1, .immediate = true}};
  Ledger ledger;
};

QueryFilter filter_of(uint64_t user_data_64, uint16_t code = 0, bool reversed = false) {
  QueryFilter filter{};
  filter.user_data_64 = user_data_64;
  filter.code = code;
  filter.limit = 8000;
  filter.flags = reversed ? filter_flags::kQueryReversed : 0;
  return filter;
}

struct Cost {
  std::vector<Uint128> ids;
  int64_t work = 0;
  int64_t most = 0;  // in one slice
};

Cost transfers_by(const Ledger& ledger, const QueryFilter& filter) {
  Cost cost;
  TransferScan scan(ledger, filter, 8000, ledger.transfers().size());
  for (bool more = true; more;) {
    Slice slice;
    slice.may_wait = true;
    more = scan.step(slice, [&](uint32_t, const Transfer& body) { cost.ids.push_back(body.id); }) != Scanned::done;
    cost.work += Slice::kWork - slice.left;
    cost.most = std::max(cost.most, Slice::kWork - slice.left);
  }
  return cost;
}

Cost accounts_by(const Ledger& ledger, const QueryFilter& filter) {
  Cost cost;
  AccountScan scan(ledger, filter, 8000);
  for (bool more = true; more;) {
    Slice slice;
    more = scan.step(slice) != Scanned::done;
    cost.work += Slice::kWork - slice.left;
    cost.most = std::max(cost.most, Slice::kWork - slice.left);
  }
  std::vector<Account> found;
  scan.append_to(found);
  for (const Account& account : found) cost.ids.push_back(account.id);
  return cost;
}

TEST(LedgerQueries, ARareValueAmongRowsInMemoryCostsNoLookAtEachRow) {
  World world(65'536);
  const uint64_t state = world.ledger.memory_bytes();
  const Cost first = transfers_by(world.ledger, filter_of(5000));
  EXPECT_EQ(first.ids, (std::vector<Uint128>{9998, 9999}));
  const Cost second = transfers_by(world.ledger, filter_of(6000, 1, true));
  EXPECT_EQ(second.ids, (std::vector<Uint128>{11'999, 11'998}));
  const uint64_t kept = world.ledger.cache_bytes();
  EXPECT_GT(kept, kTransfers * sizeof(uint32_t));
  const Cost third = transfers_by(world.ledger, filter_of(6001, 2));
  EXPECT_EQ(third.ids, (std::vector<Uint128>{12'000}));
  EXPECT_LT(third.work, 100);
  EXPECT_EQ(world.ledger.cache_bytes(), kept);
  (void)accounts_by(world.ledger, filter_of(5000));
  EXPECT_GT(world.ledger.cache_bytes(), kept);
  EXPECT_EQ(world.ledger.memory_bytes(), state) << "who reads has nobody else refused";
  // What is new is read once.
  world.add_transfers(kTransfers);
  EXPECT_EQ(transfers_by(world.ledger, filter_of(15'200)).ids, (std::vector<Uint128>{30'398, 30'399}));
  EXPECT_LT(transfers_by(world.ledger, filter_of(15'300)).work, 100);
  world.ledger.clear();
  EXPECT_EQ(world.ledger.cache_bytes(), 0U);
}

TEST(LedgerQueries, KeysInMemoryServeUntilThereAreRuns) {
  World world(1024);
  (void)transfers_by(world.ledger, filter_of(5000));
  world.write_rows();
  TransferStore& transfers = world.ledger.stored_transfers();
  ASSERT_EQ(transfers.stores().front()->files(), 29U);
  const uint64_t before = transfers.blocks_read();
  EXPECT_EQ(transfers_by(world.ledger, filter_of(6000)).ids, (std::vector<Uint128>{11'998, 11'999}));
  EXPECT_LE(transfers.blocks_read() - before, 2U);
  EXPECT_GT(transfers.field_keys().memory_bytes(), 0U);
  transfers.settle_runs();
  while (*transfers.runs().write_next()) continue;
  transfers.settle_runs();
  EXPECT_LT(transfers.field_keys().memory_bytes(), 1024 * sizeof(uint32_t)) << "of the rows behind the last file";
  EXPECT_EQ(transfers_by(world.ledger, filter_of(7000)).ids, (std::vector<Uint128>{13'998, 13'999}));
}

TEST(LedgerQueries, AccountsAreFoundByTheirFieldsWithoutALookAtEachOne) {
  World world(1024);
  Cost first = accounts_by(world.ledger, filter_of(5000));
  EXPECT_EQ(first.ids, (std::vector<Uint128>{9998, 9999}));
  EXPECT_LE(first.most, Slice::kWork + 1000);
  Cost second = accounts_by(world.ledger, filter_of(6000, 0, true));
  EXPECT_EQ(second.ids, (std::vector<Uint128>{11'999, 11'998}));
  EXPECT_LT(second.work, 40 * 10);
  EXPECT_TRUE(accounts_by(world.ledger, filter_of(80'000)).ids.empty());
  // The rarer one of two is searched, once both are known.
  EXPECT_EQ(accounts_by(world.ledger, filter_of(5000, 1)).ids, (std::vector<Uint128>{9998, 9999}));
  const Cost both = accounts_by(world.ledger, filter_of(5000, 2));
  EXPECT_TRUE(both.ids.empty());
  EXPECT_LT(both.work, 40 * 10);
  const Cost many = accounts_by(world.ledger, filter_of(0, 2, true));
  ASSERT_EQ(many.ids.size(), kAccounts / 10);
  EXPECT_EQ(many.ids.front(), kAccounts);
  EXPECT_LT(many.work, kAccounts / 10 + 40 * 20);
}

// All but what restore_rows() reads.
void restore_but_rows(World& world, Ledger& restored) {
  world.open(restored);
  for (uint32_t i = 0; i < world.ledger.accounts().size(); ++i)
    ASSERT_TRUE(restored.restore_account(world.ledger.accounts()[i]));
  const auto to_stores = restored.stored_transfers().stores();
  for (size_t kind = 0; kind < to_stores.size(); ++kind) {
    const rows::RowStore& store = *std::as_const(world.ledger).transfers().stores()[kind];
    rows::RowStore* to = to_stores[kind];
    std::vector<Hash128> hashes;
    for (uint32_t chunk = 0; chunk < store.full_chunks(); ++chunk) hashes.push_back(store.hash_of(chunk));
    ASSERT_TRUE(to->restore(hashes));
    for (Bytes rows = store.tail(); !rows.empty(); rows = rows.subspan(store.shape().row_bytes))
      to->append(rows.data());
  }
}

// Who starts says how far it is, and others have their turn meanwhile.
TEST(LedgerQueries, AStartThatReadsRowFilesTellsHowFarItIs) {
  World world(1024);
  world.write_rows();
  Ledger restored(0, 1024);
  restore_but_rows(world, restored);
  std::vector<uint64_t> told;
  const Result<bool> whole = restored.restore_rows([&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, kTransfers * sizeof(TransferKey));
    told.push_back(done);
    return true;
  });
  ASSERT_TRUE(whole && *whole);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_GT(told[0], 0U);
  EXPECT_LT(told[0], kTransfers * sizeof(TransferKey));
  EXPECT_EQ(transfers_by(restored, filter_of(5000)).ids, (std::vector<Uint128>{9998, 9999}));
}

TEST(LedgerQueries, AStartThatIsToEndReadsNoMoreRowFiles) {
  World world(1024);
  world.write_rows();
  Ledger restored(0, 1024);
  restore_but_rows(world, restored);
  const Result<bool> ended = restored.restore_rows([](uint64_t, uint64_t) { return false; });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Errc::closed);
}

}  // namespace
}  // namespace heptane::fintech::test
