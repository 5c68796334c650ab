// A command that needs rows of files waits for them beside the shard, and apply() reads none.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernel/shard/transact.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/fintech/test/ledger_commands.h"
#include "modules/fintech/test/ledger_harness.h"

namespace heptane::fintech::test {
namespace {

constexpr uint32_t kRows = 1024;  // of a file
constexpr SessionId kOther = 2;

TransferStatus status_of(const Reply& reply, size_t index = 0) {
  return static_cast<TransferStatus>(results_of(reply)[index].status);
}

Transfer resolving(Uint128 id, Uint128 pending_id, uint16_t flag) {
  Transfer t = transfer(id, flag == transfer_flags::kPost ? kUint128Max : 0, flag);
  t.pending_id = pending_id;
  return t;
}

// Ids 1 to 1,024 are transfers, 1,025 to 2,048 pending ones, 2,049 to 2,560 post the first half of those; files hold them all.
struct World {
  World() {
    EXPECT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
    std::vector<Transfer> transfers;
    for (Uint128 id = 1; id <= kRows; ++id) transfers.push_back(transfer(id, 1));
    for (Uint128 id = kRows + 1; id <= 2 * kRows; ++id) transfers.push_back(transfer(id, 1, transfer_flags::kPending));
    for (Uint128 id = 2 * kRows + 1; id <= 5 * kRows / 2; ++id)
      transfers.push_back(resolving(id, id - kRows, transfer_flags::kPost));
    while (transfers.size() < 4 * kRows) transfers.push_back(transfer(10'000 + transfers.size(), 1));
    EXPECT_TRUE(create(transfers).ok());
    harness.write_files();
    EXPECT_TRUE(create({transfer(++next_id, 1)}).ok());  // what was written leaves memory
    EXPECT_EQ(harness.ledger().transfers().stores().front()->files(), 4U);
    // The disk answers, so that one that does not is believed to have more to do.
    EXPECT_EQ(status_of(create({transfer(900, 1)})), TransferStatus::exists);
  }

  Reply create(const std::vector<Transfer>& transfers) {
    return harness.run(kCreateTransfers, payload<Transfer>({}, {transfers}));
  }
  void submit(SessionId session, const std::vector<Transfer>& transfers) {
    harness.submit(kCreateTransfers, payload<Transfer>({}, {transfers}), kLedgerMachineId, session);
  }
  void disk_is_busy() {
    harness.shy_disk().on_read = [this](const std::string&, uint64_t) {
      ++refused_reads;
      return false;
    };
  }
  void disk_answers() {
    harness.shy_disk().on_read = nullptr;
    harness.clock().advance(HeldCommands::kDiskEveryNs);
  }
  std::vector<ShardReply> replies() {
    harness.settle();
    std::vector<ShardReply> all;
    while (std::optional<ShardReply> reply = harness.any_reply()) all.push_back(std::move(*reply));
    return all;
  }
  uint64_t reads_in_apply() { return harness.machine().reads_in_apply_total(); }

  Harness harness{1, kRows, Harness::Rows::in_files};
  Uint128 next_id = 100'000;
  uint64_t refused_reads = 0;
};

TEST(LedgerHeld, OldIdsWaitForTheDiskAndOtherCommandsAreApplied) {
  World world;
  const uint64_t before = world.reads_in_apply();
  world.disk_is_busy();
  world.submit(1, {transfer(7, 1), transfer(++world.next_id, 1)});
  for (int i = 0; i < 50; ++i) world.submit(kOther, {transfer(++world.next_id, 1)});
  std::vector<ShardReply> others = world.replies();
  ASSERT_EQ(others.size(), 50U) << "the shard was held up";
  for (const ShardReply& reply : others) {
    EXPECT_EQ(reply.session, kOther);
    EXPECT_EQ(status_of(std::get<Reply>(reply.body)), TransferStatus::created);
  }
  EXPECT_EQ(world.harness.shard().held_commands().held(), 1U);
  EXPECT_GT(world.refused_reads, 0U);
  EXPECT_LE(world.harness.shard().next_deadline_ns(),
            world.harness.clock().monotonic_ns() + HeldCommands::kDiskEveryNs);

  world.disk_answers();
  const std::vector<ShardReply> late = world.replies();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(status_of(std::get<Reply>(late[0].body), 0), TransferStatus::exists);
  EXPECT_EQ(status_of(std::get<Reply>(late[0].body), 1), TransferStatus::created);
  EXPECT_EQ(world.reads_in_apply(), before);
  EXPECT_EQ(world.harness.shard().held_commands().waited_total(), 1U);
  EXPECT_TRUE(world.harness.ledger().transfers().held()->empty());
}

// One that exists and posted another is compared with that one, too.
TEST(LedgerHeld, NothingThatACommandNeedsIsReadInApply) {
  World world;
  const uint64_t before = world.reads_in_apply();
  std::vector<Transfer> old{transfer(1, 2),
                            resolving(2100, 2100 - kRows, transfer_flags::kPost),
                            resolving(200'001, kRows + 600, transfer_flags::kPost),  // pending, in memory
                            resolving(200'002, kRows + 601, transfer_flags::kVoid),  // likewise
                            resolving(200'003, kRows + 1, transfer_flags::kVoid),    // posted, in a file
                            resolving(200'004, 5, transfer_flags::kPost),            // never pending
                            resolving(200'005, 999'999, transfer_flags::kPost)};     // not there
  const std::vector<TransferStatus> expected{TransferStatus::exists_with_different_amount,
                                             TransferStatus::exists,
                                             TransferStatus::created,
                                             TransferStatus::created,
                                             TransferStatus::pending_transfer_already_posted,
                                             TransferStatus::pending_transfer_not_pending,
                                             TransferStatus::pending_transfer_not_found};
  world.disk_is_busy();
  world.submit(1, old);
  EXPECT_TRUE(world.replies().empty());
  world.disk_answers();
  const std::vector<ShardReply> replies = world.replies();
  ASSERT_EQ(replies.size(), 1U);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(status_of(std::get<Reply>(replies[0].body), i), expected[i]) << i;
  EXPECT_EQ(world.reads_in_apply(), before);
}

// A pending transfer that another one has posted is in no memory any more, nor is a row whose file was written.
TEST(LedgerHeld, WhatOthersDidMeanwhileIsFetchedToo) {
  World world;
  const uint64_t before = world.reads_in_apply();
  const Uint128 pending = kRows + 700;
  const Uint128 newest = world.next_id;
  world.disk_is_busy();
  world.submit(1, {transfer(7, 1), transfer(newest, 1), resolving(300'001, pending, transfer_flags::kVoid)});
  EXPECT_TRUE(world.replies().empty());
  std::vector<Transfer> others{resolving(300'002, pending, transfer_flags::kPost)};
  while (others.size() < kRows) others.push_back(transfer(++world.next_id, 1));
  for (const std::vector<Transfer>& transfers : {others, std::vector<Transfer>{transfer(++world.next_id, 1)}}) {
    world.submit(kOther, transfers);
    const std::vector<ShardReply> replies = world.replies();
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(status_of(std::get<Reply>(replies[0].body)), TransferStatus::created);
    world.harness.write_files();
  }
  world.disk_answers();
  const std::vector<ShardReply> replies = world.replies();
  ASSERT_EQ(replies.size(), 1U);
  const Reply& reply = std::get<Reply>(replies[0].body);
  EXPECT_EQ(status_of(reply, 1), TransferStatus::exists);
  EXPECT_EQ(status_of(reply, 2), TransferStatus::pending_transfer_already_posted);
  EXPECT_EQ(world.reads_in_apply(), before);
}

TEST(LedgerHeld, ASessionKeepsItsOrder) {
  World world;
  world.disk_is_busy();
  world.submit(1, {transfer(7, 1)});
  world.submit(1, {transfer(400'001, 1)});
  world.submit(kOther, {transfer(400'001, 5)});
  std::vector<ShardReply> first = world.replies();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].session, kOther);
  EXPECT_EQ(status_of(std::get<Reply>(first[0].body)), TransferStatus::created);
  world.disk_answers();
  const std::vector<ShardReply> then = world.replies();
  ASSERT_EQ(then.size(), 2U);
  EXPECT_LT(then[0].request, then[1].request);
  EXPECT_EQ(status_of(std::get<Reply>(then[0].body)), TransferStatus::exists);
  EXPECT_EQ(status_of(std::get<Reply>(then[1].body)), TransferStatus::exists_with_different_amount);
}

TEST(LedgerHeld, ATransactionWaitsToo) {
  World world;
  const uint64_t before = world.reads_in_apply();
  const auto transaction = [](const std::vector<Transfer>& transfers) {
    std::vector<ScaledTransfer> scaled;
    for (const Transfer& each : transfers) scaled.push_back({each});
    const Buffer part = encode(scaled);
    return encode_transact({{kLedgerMachineId, kTransferAllOutside, kNoPartition, part.view()}});
  };
  world.disk_is_busy();
  world.harness.submit(kTransact, transaction({transfer(++world.next_id, 1), transfer(8, 1)}), machine_ids::kKernel);
  world.harness.submit(kTransact, transaction({transfer(++world.next_id, 1)}), machine_ids::kKernel, kOther);
  std::vector<ShardReply> others = world.replies();
  ASSERT_EQ(others.size(), 1U);
  EXPECT_EQ(others[0].session, kOther);
  EXPECT_TRUE(std::get<Reply>(others[0].body).ok());
  world.disk_answers();
  const std::vector<ShardReply> late = world.replies();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(std::get<Reply>(late[0].body).error, Errc::refused);
  EXPECT_EQ(world.reads_in_apply(), before);
}

// For each that lacks something all of them are looked at again: of very many none is fetched before.
TEST(LedgerHeld, ATransactionOfVeryManyOperationsIsNotLookedAtForEach) {
  World world;
  const auto transaction = [&world](size_t operations) {
    std::vector<Buffer> parts = {encode(std::vector<ScaledTransfer>{{transfer(8, 1)}})};
    while (parts.size() < operations)
      parts.push_back(encode(std::vector<ScaledTransfer>{{transfer(++world.next_id, 1)}}));
    std::vector<heptane::Operation> all;
    for (const Buffer& part : parts) all.push_back({kLedgerMachineId, kTransferAllOutside, kNoPartition, part.view()});
    return encode_transact(all);
  };
  world.disk_is_busy();
  world.harness.submit(kTransact, transaction(64), machine_ids::kKernel);
  EXPECT_TRUE(world.replies().empty());
  const uint64_t before = world.reads_in_apply();
  world.harness.submit(kTransact, transaction(65), machine_ids::kKernel, kOther);
  const std::vector<ShardReply> at_once = world.replies();
  ASSERT_EQ(at_once.size(), 1U);
  EXPECT_EQ(at_once[0].session, kOther);
  EXPECT_EQ(std::get<Reply>(at_once[0].body).error, Errc::refused);
  EXPECT_EQ(world.reads_in_apply(), before + 1);
}

TEST(LedgerHeld, TimesOfImportedEventsAreFetched) {
  World world;
  world.harness.clock().advance(1'000'000);
  const Ledger& ledger = world.harness.ledger();
  Transfer old;
  ASSERT_TRUE(ledger.find_transfer(40, old));
  Account taken = account(50'000);
  taken.flags |= account_flags::kImported;
  taken.timestamp = old.timestamp + 3000;  // another transfer's, whose block nobody has read
  const uint64_t before = world.reads_in_apply();
  world.disk_is_busy();
  world.harness.submit(kCreateAccounts, payload<Account>({}, {{taken}}));
  EXPECT_TRUE(world.replies().empty());
  world.disk_answers();
  const std::vector<ShardReply> replies = world.replies();
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(results_of(std::get<Reply>(replies[0].body))[0].status,
            static_cast<uint32_t>(AccountStatus::imported_event_timestamp_must_not_regress));
  EXPECT_EQ(world.reads_in_apply(), before);
}

TEST(LedgerHeld, WhoStopsAnswersWhatWaits) {
  World world;
  world.disk_is_busy();
  world.submit(1, {transfer(7, 1)});
  world.submit(1, {transfer(++world.next_id, 1)});
  EXPECT_TRUE(world.replies().empty());
  EXPECT_FALSE(world.harness.shard().drained());
  world.harness.shard().request_stop();
  const std::vector<ShardReply> replies = world.replies();
  ASSERT_EQ(replies.size(), 2U);
  for (const ShardReply& reply : replies) EXPECT_EQ(std::get<Reply>(reply.body).error, Errc::closed);
  world.harness.settle();
  EXPECT_TRUE(world.harness.shard().drained());
}

// Of one session, whose order is kept: a disk that has something or has not changes no answer and no state.
TEST(LedgerHeld, AnswersAreThoseOfALedgerInMemory) {
  SeededRandom random(11);
  Harness shy(1, 64, Harness::Rows::in_files);
  Harness whole(1, 64);
  shy.shy_disk().on_read = [&random](const std::string&, uint64_t) { return random.one_in(3); };
  const auto pass_time = [&](int64_t ns) {
    shy.clock().advance(ns);
    whole.clock().advance(ns);
  };
  SeededRandom draws(12);
  Uint128 newest = 0;
  ASSERT_EQ(shy.run(kCreateAccounts, accounts_payload()).ok(), whole.run(kCreateAccounts, accounts_payload()).ok());
  for (int i = 0; i < 600; ++i) {
    // Ids come again.
    Uint128 next_id = draws.one_in(4) ? draws.below(static_cast<uint64_t>(newest) + 1) : newest;
    const Buffer transfers = draw_transfers(draws, next_id);
    newest = std::max(newest, next_id);
    shy.submit(kCreateTransfers, transfers);
    std::optional<Reply> answer;
    for (int looks = 0; !answer && looks < 10'000; ++looks) {
      shy.settle();
      answer = shy.reply();
      if (!answer) pass_time(HeldCommands::kDiskEveryNs);
    }
    ASSERT_TRUE(answer.has_value());
    const std::vector<CreateResult> left = results_of(*answer);
    const std::vector<CreateResult> right = results_of(whole.run(kCreateTransfers, transfers));
    ASSERT_EQ(left.size(), right.size());
    for (size_t at = 0; at < left.size(); ++at) ASSERT_EQ(left[at].status, right[at].status) << i << " " << at;
    shy.write_files();
    if (i % 10 == 0) pass_time(200'000'000);
  }
  EXPECT_GT(shy.shard().held_commands().waited_total(), 20U);
  EXPECT_EQ(shy.machine().reads_in_apply_total(), 0U);
}

}  // namespace
}  // namespace heptane::fintech::test
