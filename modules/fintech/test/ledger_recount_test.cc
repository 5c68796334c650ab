// When the ledger is counted again, and what that holds up: nothing.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "modules/fintech/domain/ledger/recount.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/fintech/test/ledger_commands.h"
#include "modules/fintech/test/ledger_harness.h"

namespace heptane::fintech::test {
namespace {

// After a start everything is counted again as soon as there is nothing else to do, and not twice.
TEST(LedgerRecount, AStartIsFollowedByARecount) {
  SeededRandom random(6);
  Harness harness;
  Uint128 next_id = 0;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
  harness.crash_and_recover();
  EXPECT_EQ(harness.machine().recounts_total(), 0U);
  harness.settle();
  EXPECT_EQ(harness.machine().recounts_total(), 1U);
  EXPECT_EQ(harness.machine().recount_differences(), 0U);
  ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
  EXPECT_EQ(harness.machine().recounts_total(), 1U);
}

// At a snapshot what was made since the last recount is counted, and the accounts that it touched are compared.
TEST(LedgerRecount, ASnapshotIsFollowedByARecountOfWhatIsNew) {
  SeededRandom random(7);
  Harness harness;
  Uint128 next_id = 0;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
    harness.clock().advance(700'000'000);  // some expire between two recounts
    const uint64_t before = harness.machine().recounts_total();
    harness.shard().snapshot_begun();
    harness.settle();
    ASSERT_EQ(harness.machine().recounts_total(), before + 1);
    ASSERT_EQ(harness.machine().recount_differences(), 0U);
  }
  EXPECT_TRUE(harness.shard().take_alarms().empty());

  // A bit of memory flips.
  const_cast<Account&>(harness.ledger().accounts()[0]).debits_posted ^= 1;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
  harness.shard().snapshot_begun();
  harness.settle();
  EXPECT_EQ(harness.machine().recount_differences(), 1U);
  const std::vector<Shard::Alarm> alarms = harness.shard().take_alarms();
  ASSERT_EQ(alarms.size(), 1U);
  EXPECT_EQ(alarms[0].machine, "ledger");
  EXPECT_NE(alarms[0].text.find("1 accounts and the totals of 0 ledgers are others: accounts 1"), std::string::npos)
      << alarms[0].text;
  harness.settle();
  EXPECT_TRUE(harness.shard().take_alarms().empty()) << "each is told once";
}

TEST(LedgerRecount, TheRecountComesToItsEndUnderLoadToo) {
  SeededRandom random(8);
  ShardOptions options;
  options.requests_per_turn = 1;
  Harness harness(8, kRowsPerFile, Harness::Rows::in_memory, options);
  Uint128 next_id = 0;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
  const uint64_t before = harness.machine().recounts_total();
  harness.shard().snapshot_begun();
  // One turn takes one of them: there is always more to do.
  for (int i = 0; i < 4; ++i) harness.submit(kCreateTransfers, draw_transfers(random, next_id));
  EXPECT_TRUE(harness.shard().run_once());
  EXPECT_EQ(harness.machine().recounts_total(), before) << "work comes first";
  harness.clock().advance(kIdleWorkEveryNs);
  EXPECT_TRUE(harness.shard().run_once());
  EXPECT_EQ(harness.machine().recounts_total(), before + 1);
}

TEST(LedgerRecount, TheRecountComesToItsEndASliceAtATime) {
  SeededRandom random(5);
  Harness harness;
  Uint128 next_id = 0;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
  Reply reply;
  harness.machine().query({kQueryRecount, {}, {}}, reply);
  ASSERT_EQ(reply.numbers[1], 1);
  const auto done = row_at<RecountRow>(reply, 0);
  EXPECT_EQ(done.number, 2U);  // the first one followed the start
  EXPECT_EQ(done.transfers, harness.ledger().transfers().size());
  EXPECT_EQ(done.accounts, 8U);
  EXPECT_EQ(done.differing_accounts + done.differing_ledgers, 0U);
}

// Neither that of a query nor the shard's own; posts read the pending transfers, too.
TEST(LedgerRecount, ARecountLetsCommandsThroughWhileItWaitsForTheDisk) {
  Harness harness(1, 1024, Harness::Rows::in_files);
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  std::vector<Transfer> pending;
  std::vector<Transfer> posts;
  for (Uint128 id = 1; id <= 4096; ++id) {
    pending.push_back(transfer(id, 1, transfer_flags::kPending, 3600));
    posts.push_back(transfer(10'000 + id, 1, transfer_flags::kPost));
    posts.back().pending_id = id;
  }
  for (const std::vector<Transfer>* transfers : {&pending, &posts}) {
    ASSERT_TRUE(harness.run(kCreateTransfers, payload<Transfer>({}, {*transfers})).ok());
    harness.write_files();
    harness.settle();
  }
  const LedgerMachine& machine = harness.machine();
  const auto count = [&](QueryInSlices& slices, Reply& reply) {
    QueryInSlices::Step step = slices.step(reply);
    while (step == QueryInSlices::Step::more) step = slices.step(reply);
    return step;
  };
  Reply reply;
  ASSERT_EQ(count(*machine.begin_query({kQueryRecount, {}, {}}), reply), QueryInSlices::Step::done);
  EXPECT_EQ(row_at<RecountRow>(reply, 0).transfers, 8192U);
  EXPECT_EQ(row_at<RecountRow>(reply, 0).differing_accounts, 0U);
  EXPECT_GT(harness.shy_disk().reads, 0U);

  harness.shy_disk().on_read = [](const std::string&, uint64_t) { return false; };
  const std::unique_ptr<QueryInSlices> asked = machine.begin_query({kQueryRecount, {}, {}});
  EXPECT_EQ(count(*asked, reply), QueryInSlices::Step::waits);
  const uint64_t before = machine.recounts_total();
  harness.shard().snapshot_begun();
  harness.settle();
  EXPECT_EQ(machine.recounts_total(), before);
  EXPECT_LE(harness.shard().next_deadline_ns(), harness.clock().monotonic_ns() + RunningQueries::kDiskEveryNs);
  EXPECT_TRUE(harness.run(kCreateTransfers, payload<Transfer>({}, {{transfer(20'000, 1)}})).ok());
  EXPECT_EQ(machine.recounts_total(), before);

  harness.shy_disk().on_read = nullptr;
  harness.clock().advance(RunningQueries::kDiskEveryNs);
  harness.settle();
  EXPECT_EQ(machine.recounts_total(), before + 1);
  EXPECT_EQ(machine.recount_differences(), 0U);
  EXPECT_EQ(count(*asked, reply), QueryInSlices::Step::done);
  EXPECT_EQ(row_at<RecountRow>(reply, 0).differing_accounts + row_at<RecountRow>(reply, 0).differing_ledgers, 0U);
}

}  // namespace
}  // namespace heptane::fintech::test
