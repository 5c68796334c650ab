// The ledger as a machine of a shard: crashes, refusals at every index of a transaction, expiry by timer, client sessions,
// snapshots. A crash keeps the log and forgets the rest; replay checks every digest.
#include "modules/fintech/machine/ledger/ledger_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>

#include "kernel/base/crc32c.h"
#include "kernel/log/memory_log.h"
#include "kernel/log/quarantine.h"
#include "kernel/shard/shard.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/api.h"
#include "kernel/streams/streams_machine.h"
#include "modules/fintech/test/ledger_commands.h"
#include "modules/fintech/test/ledger_harness.h"

namespace heptane::fintech::test {
namespace {

uint64_t scaled(uint64_t full) {
  const char* scale = std::getenv("HEPTANE_TEST_SCALE");
  return std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(full) * (scale == nullptr ? 1.0 : std::atof(scale))));
}

TEST(LedgerMachine, RefusedTransactionsLeaveNoTrace) {
  SeededRandom random(1);
  Harness all(1);
  Harness kept(1);
  Uint128 next_id = 0;
  ASSERT_TRUE(all.run(kCreateAccounts, accounts_payload()).ok());
  ASSERT_TRUE(kept.run(kCreateAccounts, accounts_payload()).ok());
  uint64_t refused = 0;
  const uint64_t commands = scaled(20'000);
  const Buffer malformed = Buffer::copy_of("what is this");
  for (uint64_t i = 0; i < commands; ++i) {
    const auto passed = static_cast<int64_t>(random.below(400'000'000));
    all.clock().advance(passed);
    kept.clock().advance(passed);
    all.settle();
    kept.settle();
    std::vector<Buffer> parts(1 + random.below(4));
    for (Buffer& part : parts) part = draw_transfers(random, next_id);
    if (random.one_in(2)) parts[random.below(parts.size())] = malformed;
    std::vector<heptane::Operation> operations;
    for (const Buffer& part : parts)
      operations.push_back({kLedgerMachineId, kCreateTransfers, kNoPartition, part.view()});
    const Reply reply = all.run(kTransact, encode_transact(operations), machine_ids::kKernel);
    if (reply.ok())
      ASSERT_TRUE(kept.run(kTransact, encode_transact(operations), machine_ids::kKernel).ok());
    else
      ++refused;
    if (i % 100 == 0) {
      ASSERT_EQ(all.shard().state_hash(), kept.shard().state_hash()) << "after command " << i;
    }
  }
  EXPECT_EQ(all.shard().state_hash(), kept.shard().state_hash());
  EXPECT_GT(refused, commands / 4);
  EXPECT_GT(kept.ledger().transfers().size(), 0U);
}

// Bursts, batches held back, crashes with pendings, chains and time-outs under way.
TEST(LedgerMachine, CrashesLoseOnlyWhatWasNotAnswered) {
  SeededRandom random(2);
  auto harness = std::make_unique<Harness>(2);
  Uint128 next_id = 0;
  Sequence answered = 0;
  for (uint64_t round = 0; round < scaled(1500); ++round) {
    if (round % 100 == 0) {
      harness = std::make_unique<Harness>(round);
      harness->run(kCreateAccounts, accounts_payload());
      next_id = 0;
      answered = 0;
    }
    if (random.one_in(2)) harness->log().hold();
    for (uint64_t i = 0; i < 1 + random.below(10); ++i) {
      harness->clock().advance(static_cast<int64_t>(random.below(300'000'000)));
      harness->submit(kCreateTransfers, draw_transfers(random, next_id));
      if (random.one_in(3)) harness->settle();
    }
    harness->settle();
    while (const std::optional<Reply> reply = harness->reply()) answered = std::max(answered, reply->sequence);
    if (random.one_in(2)) harness->log().release();
    if (!random.one_in(3)) continue;
    const Sequence watermark = harness->watermark();
    harness->crash_and_recover();
    ASSERT_TRUE(harness->recovery().ok()) << harness->recovery().error().message;
    ASSERT_GE(harness->shard().last_applied(), std::max(answered, watermark));
    const Hash128 hash = harness->shard().state_hash();
    harness->crash_and_recover();
    ASSERT_EQ(harness->shard().state_hash(), hash);
    harness->settle();
    ASSERT_EQ(harness->machine().recounts_total(), 1U);
    ASSERT_EQ(harness->machine().recount_differences(), 0U);
    // What recovery does not bring back may be asked for again under its id.
    next_id += 1000;
  }
}

TEST(LedgerMachine, PendingTransfersExpireByTimerOverACrash) {
  Harness harness;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  const Reply made = harness.run(kCreateTransfers, payload<Transfer>({}, {{transfer(1, 10, transfer_flags::kPending, 2),
                                                                           transfer(2, 5, transfer_flags::kPending, 1),
                                                                           transfer(3, 3, transfer_flags::kPending)}}));
  for (const CreateResult& result : results_of(made)) EXPECT_EQ(result.status, 0xFFFFFFFF);
  EXPECT_EQ(static_cast<uint64_t>(harness.ledger().find_account(1)->debits_pending), 18U);
  harness.crash_and_recover();
  harness.clock().advance(1'100'000'000);
  harness.settle();
  EXPECT_EQ(static_cast<uint64_t>(harness.ledger().find_account(1)->debits_pending), 13U);
  EXPECT_EQ(harness.ledger().pending_status(2), PendingStatus::expired);
  harness.crash_and_recover();
  harness.clock().advance(1'000'000'000);
  harness.settle();
  EXPECT_EQ(static_cast<uint64_t>(harness.ledger().find_account(2)->credits_pending), 3U);
  Transfer late{};
  late.id = 9;
  late.pending_id = 1;
  late.flags = transfer_flags::kPost;
  late.amount = kUint128Max;
  const Reply refused = harness.run(kCreateTransfers, payload<Transfer>({}, {{late}}));
  EXPECT_EQ(results_of(refused)[0].status, static_cast<uint32_t>(TransferStatus::pending_transfer_expired));
}

// Of a caller without a session; logs from before version 2 mean what they did.
TEST(LedgerMachine, AnAnswerSaysInBriefWhatFailedFirst) {
  Harness harness;
  const auto create = [&](std::vector<Account> rows) {
    return harness.run(kCreateAccounts, payload<Account>({}, {std::move(rows)}));
  };
  const Reply before = create({account(1), account(0)});
  EXPECT_FALSE(is_brief(before.numbers));
  EXPECT_EQ(before.numbers[0], static_cast<int64_t>(before.sequence));
  harness.shard().adopt({}, true);
  harness.settle();
  const Reply good = create({account(1), account(2)});
  ASSERT_TRUE(is_brief(good.numbers));
  EXPECT_FALSE(failure_of(good.numbers).has_value()) << "one that exists just so is no failure";
  Account linked = account(3);
  linked.flags |= account_flags::kLinked;
  const Reply bad = create({account(4), linked, account(0), account(0)});
  ASSERT_TRUE(is_brief(bad.numbers));
  const std::optional<FailedEvent> failed = failure_of(bad.numbers);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->index, 2U) << "the one before it failed because of it";
  EXPECT_EQ(failed->status, static_cast<uint32_t>(AccountStatus::id_must_not_be_zero));
  const Hash128 state = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().state_hash(), state);
}

TEST(LedgerMachine, BatchesOfAMessageHaveTimestampsThatRunOn) {
  Harness harness;
  const Reply reply = harness.run(kCreateAccounts, payload<Account>({}, {{account(1), account(2)}, {}, {account(3)}}));
  const std::vector<CreateResult> results = results_of(reply);
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[1].timestamp, results[0].timestamp + 1);
  EXPECT_EQ(results[2].timestamp, results[1].timestamp + 1);
  EXPECT_EQ(results[2].timestamp, static_cast<uint64_t>(reply.numbers[1]));
  // A chain ends with its batch.
  Account open = account(4);
  open.flags |= account_flags::kLinked;
  const std::vector<CreateResult> chain =
      results_of(harness.run(kCreateAccounts, payload<Account>({}, {{open}, {account(5)}})));
  EXPECT_EQ(chain[0].status, static_cast<uint32_t>(AccountStatus::linked_event_chain_open));
  EXPECT_EQ(chain[1].status, static_cast<uint32_t>(AccountStatus::created));
}

// Sessions.

Buffer registration(Uint128 client, Uint128 checksum = 7, uint32_t release = 1) {
  std::vector<std::byte> bytes(Caller::kBytes);
  Caller{client, checksum, 0, 0, release}.write(bytes.data());
  return Buffer::take(std::move(bytes));
}

Caller caller(Uint128 client, uint64_t session, uint32_t request, Uint128 checksum) {
  return {client, checksum, session, request, 1};
}

uint32_t refusal(const Reply& reply) { return reply.ok() ? 0 : reply.detail; }
constexpr auto kDropped = static_cast<uint32_t>(LedgerRefusal::dropped);

TEST(LedgerMachine, ARepeatIsAnsweredFromWhatIsKept) {
  Harness harness;
  const Reply registered = harness.run(kRegister, registration(5));
  ASSERT_TRUE(registered.ok());
  const auto session = static_cast<uint64_t>(registered.numbers[0]);
  EXPECT_EQ(session, registered.sequence);
  EXPECT_EQ(harness.run(kRegister, registration(5)).numbers, registered.numbers);
  EXPECT_EQ(refusal(harness.run(kRegister, registration(5, 8))), kDropped);
  const auto ask = [&](const Caller& who, Uint128 id) {
    return harness.run(kCreateAccounts, payload<Account>(who, {{account(id)}}));
  };
  const Reply first = ask(caller(5, session, 3, 100), 1);  // requests 1 and 2 were reads
  ASSERT_TRUE(first.ok());
  for (int restart = 0; restart < 2; ++restart) {
    const Sequence before = harness.shard().last_applied();
    const Reply again = ask(caller(5, session, 3, 100), 1);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(as_text(again.payload.view()), as_text(first.payload.view()));
    EXPECT_EQ(again.numbers, first.numbers);
    EXPECT_EQ(harness.shard().last_applied(), before);
    EXPECT_EQ(refusal(ask(caller(5, session, 3, 101), 1)), kDropped);
    EXPECT_EQ(refusal(ask(caller(5, session, 2, 99), 1)), kDropped);
    harness.crash_and_recover();
  }
  EXPECT_EQ(refusal(ask(caller(5, session - 1, 4, 1), 2)), 7U);
  EXPECT_EQ(refusal(ask(caller(5, session + 1, 4, 1), 2)), kDropped);
  Caller other = caller(5, session, 4, 1);
  other.release = 2;
  EXPECT_EQ(refusal(ask(other, 2)), 8U);
  EXPECT_EQ(refusal(ask(caller(6, session, 4, 1), 2)), 1U);
  EXPECT_EQ(refusal(harness.run(kRegister, registration(5))), kDropped);
  EXPECT_EQ(harness.ledger().accounts().size(), 1U);
}

TEST(LedgerMachine, TheSessionUsedLongestAgoMakesRoom) {
  Harness harness;
  std::vector<uint64_t> sessions;
  for (uint64_t client = 1; client <= kClientSessions; ++client)
    sessions.push_back(static_cast<uint64_t>(harness.run(kRegister, registration(client)).numbers[0]));
  const auto ask = [&](Uint128 client, uint64_t session, uint32_t request) {
    return refusal(harness.run(kCreateAccounts, payload<Account>(caller(client, session, request, 1), {{}})));
  };
  EXPECT_EQ(ask(1, sessions[0], 1), 0U);  // used: the second is now the oldest
  EXPECT_EQ(refusal(harness.run(kRegister, registration(1000))), 0U);
  EXPECT_EQ(harness.machine().sessions().size(), kClientSessions);
  EXPECT_EQ(ask(1, sessions[0], 2), 0U);
  EXPECT_EQ(ask(2, sessions[1], 1), 1U);
  EXPECT_EQ(ask(3, sessions[2], 1), 0U);
}

class Memory final : public SnapshotWriter, public SnapshotReader {
 public:
  void write(Bytes bytes) override { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  bool read(MutableBytes into) override {
    if (into.size() > bytes_.size() - at_) return false;
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), into.size(), into.begin());
    at_ += into.size();
    return true;
  }
  std::vector<std::byte> bytes_;
  size_t at_ = 0;
};

// It reads, and says so in a command: neither what it is answered nor what a repeat is changes by it.
TEST(LedgerMachine, ASessionThatReadsIsInUse) {
  Harness harness;
  const auto touch = [&](Uint128 client, uint64_t session) {
    std::vector<std::byte> bytes(Caller::kBytes);
    caller(client, session, 9, 9).write(bytes.data());
    return harness.run(kTouch, Buffer::take(std::move(bytes)));
  };
  const auto session = static_cast<uint64_t>(harness.run(kRegister, registration(1)).numbers[0]);
  const Sequence before = harness.shard().last_applied();
  EXPECT_EQ(touch(1, session).error, Errc::unsupported) << "the log is of an older version";
  EXPECT_EQ(harness.shard().last_applied(), before);
  harness.shard().adopt({}, true);
  harness.settle();
  const Buffer asked = payload<Account>(caller(1, session, 1, 7), {{account(1)}});
  const Reply first = harness.run(kCreateAccounts, asked);
  for (uint64_t client = 2; client <= kClientSessions; ++client) harness.run(kRegister, registration(client));
  EXPECT_TRUE(touch(1, session).ok());
  EXPECT_EQ(refusal(touch(1, session + 1)), 1U);
  EXPECT_EQ(refusal(touch(99, session)), 1U);
  const Hash128 state = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().state_hash(), state);
  EXPECT_EQ(harness.run(kCreateAccounts, asked).numbers, first.numbers) << "a repeat says what the first answer said";
  harness.run(kRegister, registration(1000));
  EXPECT_NE(harness.machine().sessions().find(1), nullptr);
  EXPECT_EQ(harness.machine().sessions().find(2), nullptr);
  Memory saved;
  harness.machine().save(saved);
  LedgerMachine other;
  ASSERT_TRUE(other.restore(saved).ok());
  EXPECT_EQ(saved.at_, saved.bytes_.size());
  EXPECT_EQ(other.sessions().find(1)->touched, harness.machine().sessions().find(1)->touched);
  Memory again;
  other.save(again);
  EXPECT_TRUE(again.bytes_ == saved.bytes_);
}

// Settlements.

Transfer resolving(Uint128 id, Uint128 pending, uint16_t flag) {
  Transfer t{};
  t.id = id;
  t.pending_id = pending;
  t.flags = flag;
  t.amount = flag == transfer_flags::kPost ? kUint128Max : 0;
  return t;
}

TEST(LedgerMachine, SettlementsGoOnWhereThereIsNoRoomForNewState) {
  namespace f = transfer_flags;
  Harness harness;
  const auto send = [&](CommandType type, std::vector<Transfer> rows) {
    return harness.run(type, payload<Transfer>({}, {std::move(rows)}));
  };
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  ASSERT_TRUE(send(kCreateTransfers, {transfer(1, 5, f::kPending), transfer(2, 7, f::kPending),
                                      transfer(3, 9, f::kPending), transfer(4, 11, f::kPending)})
                  .ok());
  const Sequence before = harness.shard().last_applied();
  EXPECT_EQ(send(kSettleTransfers, {resolving(10, 1, f::kPost)}).error, Errc::unsupported)
      << "the log is of an older version";
  EXPECT_EQ(harness.shard().last_applied(), before);
  harness.shard().adopt({}, true);
  harness.settle();
  EXPECT_EQ(refusal(send(kSettleTransfers, {resolving(10, 1, f::kPost), transfer(5, 1)})), 5U) << "new money in it";
  EXPECT_EQ(refusal(send(kSettleTransfers, {})), 5U);

  Uint128 number = 0;
  const auto only_settlements = [&](Errc why) {
    EXPECT_TRUE(harness.run(kRegister, registration(static_cast<uint64_t>(number) + 5)).ok())
        << "to read and to settle";
    EXPECT_EQ(send(kCreateTransfers, {transfer(20, 1)}).error, why);
    EXPECT_EQ(send(kCreateTransfers, {transfer(20, 1, f::kPending)}).error, why);
    for (const uint16_t flag : {f::kPost, f::kVoid}) {
      ++number;
      const Reply settled = send(kSettleTransfers, {resolving(10 + number, number, flag)});
      ASSERT_TRUE(settled.ok()) << settled.message;
      EXPECT_EQ(results_of(settled)[0].status, static_cast<uint32_t>(TransferStatus::created));
    }
  };
  harness.shard().set_disk_full(true);
  only_settlements(Errc::no_space);
  harness.shard().set_disk_full(false);
  harness.shard().set_machine_memory_budget(1);
  only_settlements(Errc::overloaded);
  EXPECT_EQ(static_cast<uint64_t>(harness.ledger().find_account(1)->debits_pending), 0U);
  EXPECT_EQ(static_cast<uint64_t>(harness.ledger().find_account(1)->debits_posted), 5U + 9U);
  const Hash128 state = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().state_hash(), state);
}

// Of which nothing is pending any more, and whose reply is kept.
TEST(LedgerMachine, ARepeatedSettlementHasItsReplyWhereThereIsNoRoom) {
  namespace f = transfer_flags;
  Harness harness;
  harness.shard().adopt({}, true);
  harness.settle();
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  const Reply registered = harness.run(kRegister, registration(7));
  ASSERT_TRUE(registered.ok());
  Caller by = caller(7, static_cast<uint64_t>(registered.numbers[0]), 0, 0);
  const auto next = [&](CommandType type, std::vector<Transfer> rows) {
    by.checksum = ++by.request;
    return harness.run(type, payload<Transfer>(by, {std::move(rows)}));
  };
  const auto standing = [&] {
    std::byte bytes[Caller::kBytes];
    by.write(bytes);
    Reply reply;
    harness.machine().query({kQueryStanding, bytes, {}}, reply);
    return reply;
  };
  ASSERT_TRUE(next(kCreateTransfers, {transfer(1, 5, f::kPending), transfer(2, 7, f::kPending)}).ok());
  for (const bool disk : {true, false}) {
    if (disk) harness.shard().set_disk_full(true);
    if (!disk) harness.shard().set_machine_memory_budget(1);
    const Uint128 pending = disk ? 1 : 2;
    const Reply first = next(kSettleTransfers, {resolving(10 + pending, pending, f::kPost)});
    ASSERT_TRUE(first.ok()) << first.message;
    const Sequence before = harness.shard().last_applied();
    const Reply again =
        harness.run(kSettleTransfers, payload<Transfer>(by, {{resolving(10 + pending, pending, f::kPost)}}));
    ASSERT_TRUE(again.ok()) << again.message;
    for (const Reply& repeated : {again, standing()}) {
      EXPECT_EQ(repeated.numbers, first.numbers);
      EXPECT_EQ(as_text(repeated.payload.view()), as_text(first.payload.view()));
    }
    EXPECT_EQ(harness.shard().last_applied(), before);
    EXPECT_FALSE(next(kCreateTransfers, {transfer(30, 1)}).ok());
    EXPECT_EQ(standing().error, Errc::not_found) << "it has yet to be done";
    harness.shard().set_disk_full(false);
  }
  EXPECT_EQ(static_cast<uint64_t>(harness.ledger().find_account(1)->debits_posted), 12U);
  by.client = 8;
  EXPECT_EQ(refusal(standing()), static_cast<uint32_t>(LedgerRefusal::no_session));
}

TEST(LedgerMachine, AFullBatchIsLoggedAsItCame) {
  std::vector<Transfer> transfers;
  for (uint64_t i = 0; i < 8189; ++i) transfers.push_back(transfer(i + 1, 1));
  const Buffer one = payload<Transfer>({}, {transfers});
  EXPECT_EQ(one.size() - Caller::kBytes, kBodyBytesMax);
  EXPECT_LE(one.size() / transfers.size(), 176U);
  Harness harness;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  ASSERT_TRUE(harness.run(kCreateTransfers, one).ok());
  EXPECT_EQ(harness.ledger().transfers().size(), 8189U);
  EXPECT_EQ(static_cast<uint64_t>(harness.ledger().find_account(1)->debits_posted), 8189U);
  transfers.push_back(transfer(9000, 1));
  EXPECT_EQ(refusal(harness.run(kCreateTransfers, payload<Transfer>({}, {transfers}))), 5U);
}

TEST(LedgerMachine, WhatIsRestoredIsWhatWasSaved) {
  SeededRandom random(9);
  Harness harness;
  Uint128 next_id = 0;
  harness.run(kRegister, registration(5));
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  for (int i = 0; i < 300; ++i) {
    harness.clock().advance(static_cast<int64_t>(random.below(100'000'000)));
    ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
  }
  for (const char* code : {"USD", "JPY"})
    ASSERT_TRUE(harness.run(kPutAsset, encode(Asset{code[0] == 'U' ? 840U : 392U, 2, code})).ok());
  Memory saved;
  harness.machine().save(saved);
  LedgerMachine other;
  ASSERT_TRUE(other.restore(saved).ok());
  EXPECT_EQ(saved.at_, saved.bytes_.size());
  Memory again;
  other.save(again);
  EXPECT_TRUE(again.bytes_ == saved.bytes_);
  EXPECT_EQ(other.assets().all(), harness.machine().assets().all());
  EXPECT_EQ(other.ledger().next_expiry(), harness.ledger().next_expiry());
  for (size_t cut = 0; cut < saved.bytes_.size(); cut += 997) {
    Memory part;
    part.bytes_.assign(saved.bytes_.begin(), saved.bytes_.begin() + static_cast<ptrdiff_t>(cut));
    EXPECT_FALSE(other.restore(part).ok()) << cut;
  }
}

// Row files: the same answers, the same state, whatever is in files; over power cuts, snapshots, replay.

template <class Row>
Reply ask(const LedgerMachine& machine, fintech::Operation operation, const Row& row) {
  const Buffer asked = payload<Row>({}, std::vector<std::vector<Row>>(1, std::vector<Row>(1, row)));
  Query query;
  query.type = static_cast<uint16_t>(operation);
  query.payload = asked.view();
  Reply reply;
  machine.query(query, reply);
  return reply;
}

void expect_equal_answers(const LedgerMachine& a, const LedgerMachine& b, SeededRandom& random, Uint128 last_id) {
  const auto compare = [&](fintech::Operation operation, const auto& row) {
    const Reply first = ask(a, operation, row);
    const Reply second = ask(b, operation, row);
    ASSERT_TRUE(first.ok()) << first.message;
    ASSERT_TRUE(std::ranges::equal(first.payload.view(), second.payload.view()));
  };
  for (int i = 0; i < 10; ++i)
    compare(fintech::Operation::lookup_transfers, 1 + random.below(static_cast<uint64_t>(last_id) + 1) * Uint128{1});
  const uint64_t now = a.ledger().clock();
  AccountFilter filter{};
  filter.account_id = 1 + random.below(8);
  filter.limit = static_cast<uint32_t>(1 + random.below(50));
  filter.flags = static_cast<uint32_t>(1 + random.below(7));
  if (random.one_in(2)) filter.timestamp_min = 1 + random.below(now);
  if (random.one_in(2)) filter.timestamp_max = filter.timestamp_min + 1 + random.below(now);
  compare(fintech::Operation::get_account_transfers, filter);
  compare(fintech::Operation::get_account_balances, filter);
  QueryFilter scan{};
  scan.limit = filter.limit;
  scan.flags = filter.flags & 1;
  scan.timestamp_min = filter.timestamp_min;
  scan.timestamp_max = filter.timestamp_max;
  compare(fintech::Operation::query_transfers, scan);
}

TEST(LedgerMachine, RowsInFilesAnswerAsRowsInMemory) {
  constexpr uint32_t kRows = 16;
  constexpr sim::CrashMode kModes[] = {sim::CrashMode::lose_all, sim::CrashMode::keep_all, sim::CrashMode::random,
                                       sim::CrashMode::hostile};
  for (uint64_t seed = 1; seed <= scaled(12); ++seed) {
    SeededRandom random(seed);
    Harness files(seed, kRows, Harness::Rows::in_files);
    Harness memory(seed, kRows);
    Uint128 next_id = 0;
    const auto both = [&](CommandType type, const Buffer& command) {
      const Reply first = files.run(type, command);
      const Reply second = memory.run(type, command);
      ASSERT_TRUE(std::ranges::equal(first.payload.view(), second.payload.view()));
    };
    both(kCreateAccounts, accounts_payload());
    for (int round = 0; round < 300; ++round) {
      const auto passed = static_cast<int64_t>(random.below(300'000'000));
      files.clock().advance(passed);
      memory.clock().advance(passed);
      both(kCreateTransfers, draw_transfers(random, next_id));
      if (random.one_in(3)) files.write_files();
      if (random.one_in(12)) {
        ASSERT_EQ(files.shard().state_hash(), memory.shard().state_hash()) << "round " << round;
        expect_equal_answers(files.machine(), memory.machine(), random, next_id);
      }
      if (!random.one_in(25)) continue;
      const std::vector<uint32_t> named = files.machine().files()->named();
      Memory saved;
      files.machine().save(saved);
      files.write_files();
      ASSERT_EQ(files.machine().files()->durable(), named);
      files.disk().crash(kModes[random.below(std::size(kModes))]);
      LedgerMachine restored(0, kRows);
      files.open_files(restored);
      const Result<void> whole = restored.restore(saved);
      ASSERT_TRUE(whole) << whole.error().message;
      Memory again;
      restored.save(again);
      ASSERT_TRUE(again.bytes_ == saved.bytes_);
      expect_equal_answers(restored, memory.machine(), random, next_id);
      std::vector<std::string> problems;
      EXPECT_EQ(restored.files()->verify(problems), named[0] + named[1] + named[2]);
      EXPECT_TRUE(problems.empty());
      files.crash_and_recover();
      memory.crash_and_recover();
      ASSERT_TRUE(files.recovery()) << files.recovery().error().message;
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_GT(files.machine().files()->durable()[0], 10U);
    EXPECT_GT(files.machine().files()->durable()[2], 10U);
    EXPECT_EQ(files.shard().state_hash(), memory.shard().state_hash());
    EXPECT_FALSE(files.fatal().has_value());
    files.settle();
    EXPECT_EQ(files.machine().recount_differences(), 0U);
  }
}

// What cannot be read is no answer; and a command that needs it ends the process before anything of it is acknowledged.
TEST(LedgerMachine, RotInARowFileIsNeverAnAnswer) {
  Harness harness(1, 16, Harness::Rows::in_files);
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  std::vector<Transfer> transfers;
  for (uint64_t i = 1; i <= 40; ++i) transfers.push_back(transfer(i, 1));
  ASSERT_TRUE(harness.run(kCreateTransfers, payload<Transfer>({}, {transfers})).ok());
  harness.settle();
  harness.write_files();
  ASSERT_EQ(harness.machine().files()->named()[0], 2U);
  const std::string path = "rows/ledger-transfers-0000000000.rows";
  const auto flip = [&] {
    auto file = harness.disk().open(path, OpenMode::read_write);
    ASSERT_TRUE(file);
    const std::byte rot{0xA5};
    ASSERT_TRUE((*file)->write_at(4096 + 300, {&rot, 1}));
  };
  Memory saved;
  harness.machine().save(saved);
  flip();
  const Reply rotten = ask(harness.machine(), fintech::Operation::lookup_transfers, Uint128{3});
  EXPECT_EQ(rotten.error, Errc::corrupt);
  EXPECT_NE(rotten.message.find(path), std::string::npos);
  EXPECT_TRUE(ask(harness.machine(), fintech::Operation::lookup_transfers, Uint128{40}).ok());
  std::vector<std::string> problems;
  harness.machine().files()->verify(problems);
  EXPECT_EQ(problems.size(), 1U);
  EXPECT_FALSE(harness.fatal().has_value());
  const Sequence applied = harness.shard().last_applied();
  harness.submit(kCreateTransfers, payload<Transfer>({}, {{transfer(3, 1)}}));
  harness.settle();
  ASSERT_TRUE(harness.fatal().has_value());
  EXPECT_EQ(harness.fatal()->code, Errc::corrupt);
  EXPECT_EQ(harness.shard().last_applied(), applied);
  ASSERT_TRUE(harness.disk().unlink(path));
  LedgerMachine other(0, 16);
  harness.open_files(other);
  const Result<void> refused = other.restore(saved);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::refused);
  EXPECT_NE(refused.error().message.find(path + " is missing"), std::string::npos);
}

// A log entry of 8,189 plain transfers, its note included: what a transfer costs on disk beside its rows.
TEST(LedgerMachine, ATransferCostsAtMost176LoggedBytes) {
  Harness harness;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  const uint64_t before = harness.committed_bytes();
  uint64_t stored = 0;
  for (uint64_t batch = 0; batch < 4; ++batch) {
    std::vector<Transfer> transfers;
    for (uint64_t i = 0; i < 8189; ++i) {
      const uint64_t id = batch * 8189 + i + 1;
      // Every second one is pending, and the next one posts it.
      Transfer t = transfer(id, 5, i % 2 == 0 ? transfer_flags::kPending : transfer_flags::kPost);
      if (i % 2 == 1) t.pending_id = id - 1;
      transfers.push_back(t);
    }
    ASSERT_TRUE(harness.run(kCreateTransfers, payload<Transfer>({}, {transfers})).ok());
    stored += transfers.size();
  }
  ASSERT_EQ(harness.ledger().transfers().size(), stored);
  EXPECT_LE((harness.committed_bytes() - before) / stored, 176U);
}

// An asset is named once and for all; the same again changes nothing.
TEST(LedgerMachine, AssetsAreNamedOnce) {
  Harness harness;
  ASSERT_TRUE(harness.run(kPutAsset, encode(Asset{840, 2, "USD"})).ok());
  EXPECT_TRUE(harness.run(kPutAsset, encode(Asset{840, 2, "USD"})).ok());
  for (const Asset& other : {Asset{840, 3, "USD"}, Asset{840, 2, "USX"}, Asset{841, 2, "USD"}})
    EXPECT_EQ(harness.run(kPutAsset, encode(other)).error, Errc::exists) << other.code;
  for (const Asset& bad : {Asset{0, 2, "USD"}, Asset{1, 39, "X"}, Asset{1, 2, ""}, Asset{1, 2, "A B"}})
    EXPECT_EQ(harness.run(kPutAsset, encode(bad)).error, Errc::invalid_argument) << bad.code;
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok());
  EXPECT_EQ(harness.machine().assets().all(), (std::vector<Asset>{{840, 2, "USD"}}));
}

ScaledTransfer dollars(Uint128 id, Uint128 digits, uint8_t decimals) {
  ScaledTransfer scaled;
  scaled.transfer = transfer(id, digits);
  scaled.decimals = decimals;
  return scaled;
}

BalanceGuard at_least(Uint128 account, Uint128 digits, uint8_t decimals, bool debit_side = false) {
  BalanceGuard guard;
  guard.account_id = account;
  guard.debit_side = debit_side;
  guard.has_least = true;
  guard.least = digits;
  guard.least_decimals = decimals;
  return guard;
}

// A transfer, an append and a guard: both happen or neither, and a refusal leaves nothing, not even a used-up id.
TEST(LedgerMachine, ATransactionMovesMoneyAndAppendsOrDoesNeither) {
  Harness harness;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  ASSERT_TRUE(harness.run(kPutAsset, encode(Asset{1, 2, "USD"})).ok());
  ASSERT_TRUE(
      harness.run(streams::kCreateStream, streams::encode(streams::CreateStream{"s", 1, {}}), machine_ids::kStreams)
          .ok());
  const auto transact = [&](const BalanceGuard& guard, const std::vector<ScaledTransfer>& transfers) {
    streams::AppendEvents append;
    append.stream = "s";
    append.records.push_back({});
    append.records.back().value = as_bytes("paid");
    const Buffer guarded = encode(guard);
    const Buffer appended = streams::encode(append);
    const Buffer moved = encode(transfers);
    return harness.run(kTransact,
                       encode_transact({{kLedgerMachineId, kGuardBalance, kNoPartition, guarded.view()},
                                        {machine_ids::kStreams, streams::kAppendEvents, kNoPartition, appended.view()},
                                        {kLedgerMachineId, kTransferAll, kNoPartition, moved.view()}}),
                       machine_ids::kKernel);
  };
  const Reply done = transact(at_least(1, 0, 0, true), {dollars(1, 125, 1), dollars(2, 7, ScaledTransfer::kRaw)});
  ASSERT_TRUE(done.ok()) << done.message;
  EXPECT_TRUE(harness.ledger().find_account(2)->credits_posted == 1257);
  const Hash128 before = harness.shard().state_hash();

  const auto refused = [&](const BalanceGuard& guard, const std::vector<ScaledTransfer>& transfers,
                           std::string_view why) {
    const Reply reply = transact(guard, transfers);
    EXPECT_FALSE(reply.ok());
    EXPECT_NE(reply.message.find(why), std::string::npos) << reply.message;
    EXPECT_EQ(harness.shard().state_hash(), before);
  };
  refused(at_least(2, 1258, 2), {dollars(3, 1, 0)}, "the balance of account 2 is 12.57 USD, below the least");
  refused(at_least(1, 0, 0), {dollars(3, 1, 0)}, "the balance of account 1 is -12.57 USD, below the least");
  refused(at_least(99, 0, 0), {dollars(3, 1, 0)}, "there is no account 99");
  refused(at_least(2, 1257, 2), {dollars(3, 1, 0), dollars(2, 1, 0)}, "transfers[1]: exists_with_different_amount");
  refused(at_least(2, 1257, 2), {dollars(3, 1255, 3)}, "an amount of USD has at most 2 decimals");
  ScaledTransfer nobody = dollars(3, 1, 0);
  nobody.transfer.credit_account_id = 77;
  refused(at_least(2, 1257, 2), {nobody}, "transfers[0]: credit_account_not_found");
  ASSERT_TRUE(transact(at_least(2, 1257, 2), {dollars(3, 1, 0)}).ok());  // the id is not used up
  const Hash128 after = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok());
  EXPECT_EQ(harness.shard().state_hash(), after);
}

// Page by page, a statement says what was posted behind each transfer: what a second reading of all of them adds up to.
TEST(LedgerMachine, AStatementRunsBackFromTheBalance) {
  SeededRandom random(4);
  Harness harness;
  Uint128 next_id = 0;
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(harness.run(kCreateTransfers, draw_transfers(random, next_id)).ok());
  std::vector<StatementRow> rows;
  StatementQuery query{};
  query.account_id = 3;
  query.limit = 7;
  for (bool more = true; more;) {
    Reply reply;
    harness.machine().query({kQueryStatement, {reinterpret_cast<const std::byte*>(&query), sizeof query}, {}}, reply);
    ASSERT_TRUE(reply.ok());
    EXPECT_TRUE(row_at<Account>(reply, 0).id == 3);
    for (int64_t i = 0; i < reply.numbers[0]; ++i)
      rows.push_back(row_at<StatementRow>(reply, sizeof(Account) + static_cast<size_t>(i) * sizeof(StatementRow)));
    more = reply.numbers[1] == 1;
    ASSERT_FALSE(rows.empty());
    const StatementRow& last = rows.back();
    query.before = last.transfer.timestamp;
    query.debits_posted = last.debits_posted;
    query.credits_posted = last.credits_posted;
    if (!last.transfer.has(transfer_flags::kPending | transfer_flags::kVoid))
      (last.transfer.debit_account_id == 3 ? query.debits_posted : query.credits_posted) -= last.transfer.amount;
  }
  ASSERT_GT(rows.size(), 20U);
  Uint128 debits = 0;
  Uint128 credits = 0;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    if (!row->transfer.has(transfer_flags::kPending | transfer_flags::kVoid))
      (row->transfer.debit_account_id == 3 ? debits : credits) += row->transfer.amount;
    ASSERT_TRUE(row->debits_posted == debits && row->credits_posted == credits);
  }
  EXPECT_TRUE(harness.ledger().find_account(3)->debits_posted == debits);
}

// Counted in turns: a search through everything, while a command comes in every turn and is answered in the next ones.
TEST(LedgerMachine, ALongQueryLetsCommandsThrough) {
  constexpr uint32_t kRows = 1024;
  Harness harness(1, kRows, Harness::Rows::in_files);
  ASSERT_TRUE(harness.run(kCreateAccounts, accounts_payload()).ok());
  Uint128 next_id = 0;
  for (int i = 0; i < 16; ++i) {
    std::vector<Transfer> transfers;
    for (int n = 0; n < 4096; ++n) transfers.push_back(transfer(++next_id, 1));
    ASSERT_TRUE(harness.run(kCreateTransfers, payload<Transfer>({}, {transfers})).ok());
    harness.write_files();
  }
  harness.settle();
  SeededRandom random(3);
  harness.shy_disk().on_read = [&random](const std::string&, uint64_t) { return random.one_in(3); };
  const Uint128 stored = next_id;
  QueryFilter filter{};
  filter.limit = 8000;
  filter.code = 7;  // none has it
  const auto ask_everything = [&](RequestId id) {
    const bool pushed = harness.link().requests.try_push(
        ShardRequest{1, id,
                     QueryRequest{kLedgerMachineId,
                                  static_cast<uint16_t>(fintech::Operation::query_transfers),
                                  payload<QueryFilter>({}, {{filter}}),
                                  {}}});
    ASSERT_TRUE(pushed);
  };
  ask_everything(1'000'000);
  int answered = 0;
  int turns = 0;
  std::optional<Reply> found;
  while (!found) {
    ASSERT_LT(++turns, 100'000);
    harness.submit(kCreateTransfers, payload<Transfer>({}, {{transfer(++next_id, 1)}}));
    harness.clock().advance(RunningQueries::kDiskEveryNs);
    harness.shard().run_once();
    while (harness.committer().run_once()) continue;
    harness.shard().run_once();
    while (std::optional<ShardReply> reply = harness.any_reply()) {
      if (reply->request == 1'000'000)
        found = std::get<Reply>(reply->body);
      else
        ++answered;
    }
  }
  EXPECT_TRUE(found->ok()) << found->message;
  EXPECT_EQ(found->payload.size(), sizeof(Transfer));  // the trailer
  // Whatever it reads is not at hand two times of three, and it lets the command of the turn through each time.
  const auto rows_per_slice = Slice::kWork / (31 + Slice::kBlockCost) * 31;
  EXPECT_GE(turns, static_cast<int64_t>(stored) / rows_per_slice / 2);
  EXPECT_GE(answered, turns - 2);
  // Who waits behind it is not forgotten when the server stops.
  ask_everything(1'000'001);
  harness.shard().run_once();
  harness.shard().request_stop();
  harness.settle();
  std::optional<Errc> refused;
  while (std::optional<ShardReply> reply = harness.any_reply())
    if (reply->request == 1'000'001) refused = std::get<Reply>(reply->body).error;
  EXPECT_EQ(refused, Errc::closed);
}

}  // namespace
}  // namespace heptane::fintech::test
