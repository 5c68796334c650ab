// What clients can make grow in the kernel's own state, timers and first results, stands under the memory budget: near it new
// state is refused while repeats, queries, deletions and timers go on, and it ends by itself.
#include <gtest/gtest.h>

#include "kernel/shard/transact.h"
#include "test/shard_harness.h"

namespace heptane::test {
namespace {

constexpr uint64_t kBudgetBytes = 40'000;

Submission keyed_put(uint64_t number) {
  Submission submission = streams::make_command(kKvId, kKvPut, kv_payload("key", std::to_string(number)));
  submission.idempotency.emplace();
  store_le(submission.idempotency->id.data(), number);
  submission.idempotency->request_hash = number;
  return submission;
}

Reply hold(ShardHarness& harness, LogTime due) {
  return harness.run(kLedgerId, kLedgerHold, ledger_payload({1, 0, 1, due}));
}

// How many are kept before the first one is refused.
template <class Run>
uint64_t until_refused(Run&& run) {
  for (uint64_t number = 0; number < 10'000; ++number) {
    const Reply reply = run(number);
    if (reply.ok()) continue;
    EXPECT_EQ(reply.error, Errc::overloaded) << reply.message;
    EXPECT_NE(reply.message.find("timers and idempotency keys"), std::string::npos) << reply.message;
    return number;
  }
  ADD_FAILURE() << "nothing was refused";
  return 0;
}

}  // namespace

TEST(MemoryBudget, FirstResultsCountAndAreForgottenWhenTheyAreOldEnough) {
  ShardHarness harness;
  ASSERT_TRUE(
      harness.run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{"s", 1})).ok());
  harness.shard().set_machine_memory_budget(kBudgetBytes);
  const uint64_t kept = until_refused([&](uint64_t number) { return harness.run(keyed_put(number)); });
  EXPECT_GT(kept, 100U);
  EXPECT_LT(kept, 300U);
  const uint64_t bytes = harness.shard().kernel().memory_bytes();
  EXPECT_GT(bytes, kBudgetBytes);

  const Reply repeat = harness.run(keyed_put(0));
  EXPECT_TRUE(repeat.ok() && repeat.repeated) << "a first result is no new state";
  const Buffer put = kv_payload("other", "1");
  EXPECT_EQ(
      harness.run(machine_ids::kKernel, kTransact, encode_transact({{kKvId, kKvPut, kNoPartition, put.view()}})).error,
      Errc::overloaded);
  EXPECT_TRUE(
      harness.run(machine_ids::kStreams, streams::kDeleteStream, streams::encode(streams::DeleteStream{"s"})).ok())
      << "what relieves goes on";
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().kernel().memory_bytes(), bytes) << "the count is the state's";

  harness.shard().set_machine_memory_budget(kBudgetBytes);
  harness.clock().advance(IdempotencyTable::kKeptNs + 2'000'000'000);
  EXPECT_TRUE(harness.run(keyed_put(10'000)).ok());
  EXPECT_EQ(harness.shard().kernel().idempotency.size(), 1U) << "of a principal that asks nothing any more, too";
  const Hash128 hash = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().state_hash(), hash) << "forgetting is a command";
}

TEST(MemoryBudget, TimersCountUntilTheyHaveFired) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerDeposit, ledger_payload({0, 1, 1'000'000, 0})).ok());
  harness.shard().set_machine_memory_budget(kBudgetBytes);
  constexpr LogTime kLater = 1'000'000'000;
  const uint64_t kept = until_refused([&](uint64_t) { return hold(harness, kLater); });
  EXPECT_GT(kept, 100U);
  EXPECT_LT(kept, 300U);
  EXPECT_EQ(harness.shard().kernel().timers.size(), kept);
  const uint64_t bytes = harness.shard().kernel().memory_bytes();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().kernel().memory_bytes(), bytes);
  harness.shard().set_machine_memory_budget(kBudgetBytes);
  EXPECT_EQ(hold(harness, kLater).error, Errc::overloaded);
  harness.clock().advance(2 * kLater);
  harness.settle();
  EXPECT_EQ(harness.shard().kernel().memory_bytes(), 0U) << "timers fire whatever the budget says";
  EXPECT_TRUE(hold(harness, kLater).ok());
}

}  // namespace heptane::test
