// The shard with two unlike machines: refusals leave no trace, crashes lose only what was not synced, replay is identical.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "kernel/shard/transact.h"
#include "test/shard_harness.h"

namespace heptane::test {
namespace {

uint64_t scaled(uint64_t full) {
  const char* scale = std::getenv("HEPTANE_TEST_SCALE");
  return std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(full) * (scale == nullptr ? 1.0 : std::atof(scale))));
}

struct Drawn {
  MachineId machine;
  CommandType type;
  Buffer payload;
};

std::string key_of(SeededRandom& random) { return "k" + std::to_string(random.below(40)); }

Drawn draw_kv(SeededRandom& random) {
  if (random.one_in(8)) return {kKvId, kKvPut, kv_payload(key_of(random), std::string(1001, 'x'))};  // refused
  const auto type = static_cast<CommandType>(1 + random.below(3));
  return {kKvId, type, kv_payload(key_of(random), "v" + std::to_string(random.below(3)))};
}

Drawn draw_ledger(SeededRandom& random) {
  const auto account = [&] { return static_cast<uint32_t>(random.below(20)); };
  const auto type = std::array{kLedgerDeposit, kLedgerTransfer, kLedgerTransfer,
                               kLedgerHold,    kLedgerNoted,    kLedgerExpect}[random.below(6)];
  const LedgerOperation operation{account(), account(), static_cast<int64_t>(random.below(100)),
                                  static_cast<int64_t>(random.below(1'000'000))};
  const std::string note = random.one_in(4) ? std::string(1001, 'n') : "note";
  return {kLedgerId, type, ledger_payload(operation, type == kLedgerNoted ? note : "")};
}

Drawn draw_single(SeededRandom& random) { return random.one_in(2) ? draw_kv(random) : draw_ledger(random); }

// One to six operations; in half of them the operation at a drawn index is one that always refuses.
Drawn draw_transact(SeededRandom& random) {
  std::vector<Drawn> parts;
  const uint64_t count = 1 + random.below(6);
  for (uint64_t i = 0; i < count; ++i) parts.push_back(draw_single(random));
  if (random.one_in(2)) {
    const uint64_t refused_at = random.below(count);
    parts[refused_at] = random.one_in(2)
                            ? Drawn{kKvId, kKvPut, kv_payload("k1", std::string(1001, 'x'))}
                            : Drawn{kLedgerId, kLedgerTransfer, ledger_payload({0, 1, int64_t{1} << 39, 0})};
  }
  std::vector<Operation> operations;
  for (const Drawn& part : parts) operations.push_back({part.machine, part.type, kNoPartition, part.payload.view()});
  return {machine_ids::kKernel, kTransact, encode_transact(operations)};
}

Drawn draw(SeededRandom& random) { return random.one_in(3) ? draw_transact(random) : draw_single(random); }

// Runs random commands, and crashes between them; the second run sees only what the first one kept, and never crashes. Equal
// hashes: a refusal leaves no trace, at whatever index of whatever scope it came, neither in the state nor in the log.
class RefusedLeaveNoTrace {
 public:
  explicit RefusedLeaveNoTrace(uint64_t seed) : random_(seed), all_(seed), kept_(seed) {}

  void run(uint64_t commands) {
    for (uint64_t i = 0; i < commands && !testing::Test::HasFatalFailure(); ++i) {
      if (random_.one_in(400)) crash();
      one_command();
    }
    compare();
  }
  uint64_t refused() const { return refused_; }
  uint64_t crashes() const { return crashes_; }

 private:
  void crash() {
    ++crashes_;
    all_.crash_and_recover();
    ASSERT_TRUE(all_.recovery().ok()) << all_.recovery().error().message;
    compare();
  }
  void one_command() {
    const Drawn drawn = draw(random_);
    for (ShardHarness* harness : {&all_, &kept_}) {
      harness->clock().advance(1000);
      harness->settle();  // timers fire at the same moments in both
    }
    const Reply reply = all_.run(drawn.machine, drawn.type, drawn.payload);
    if (!reply.ok()) return (void)++refused_;
    const Reply again = kept_.run(drawn.machine, drawn.type, drawn.payload);
    ASSERT_TRUE(again.ok()) << again.message;
    ASSERT_EQ(again.sequence, reply.sequence);
    ASSERT_EQ(again.numbers, reply.numbers);
  }
  void compare() {
    ASSERT_EQ(all_.shard().state_hash(), kept_.shard().state_hash());
    ASSERT_EQ(all_.shard().last_applied(), kept_.shard().last_applied());
  }

  SeededRandom random_;
  ShardHarness all_;
  ShardHarness kept_;
  uint64_t refused_ = 0;
  uint64_t crashes_ = 0;
};

TEST(Shard, RefusedCommandsLeaveNoTrace) {
  constexpr uint64_t kCommandsEach = 2000;  // a crash replays all of them
  const uint64_t runs = std::max<uint64_t>(10, scaled(1'000'000) / kCommandsEach);
  uint64_t refused = 0, crashes = 0;
  for (uint64_t seed = 1; seed <= runs; ++seed) {
    RefusedLeaveNoTrace run(seed);
    run.run(kCommandsEach);
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
    refused += run.refused();
    crashes += run.crashes();
  }
  EXPECT_GT(refused, runs * kCommandsEach / 20);
  EXPECT_GT(crashes, 2 * runs);
}

// What a log holds, given to another shard command by command; timers fire there by themselves.
void run_what_was_recovered(ShardHarness& recovered, ShardHarness& fresh) {
  const auto give = [&](const log::EntryView& entry, Sequence sequence, LogTime time) {
    fresh.clock().advance(time - fresh.clock().utc_ns());
    if (entry.header.machine == machine_ids::kKernel && entry.header.type == kFireTimer) {
      fresh.settle();
    } else {
      const Reply reply = fresh.run(entry.header.machine, entry.header.type, Buffer::copy_of(as_text(entry.payload)));
      ASSERT_TRUE(reply.ok()) << reply.message;
      ASSERT_EQ(reply.sequence, sequence);
    }
    ASSERT_GE(fresh.shard().last_applied(), sequence);
  };
  const Sequence known = fresh.shard().last_applied();
  const Result<void> read = recovered.log().read(
      known + 1, recovered.shard().last_applied(), [&](const log::BatchView& batch, const log::BatchPlace&) {
        return batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
          const LogTime time = batch.header().base_time + entry.header.detail;
          if (entry.header.is_command() && sequence > known && !testing::Test::HasFatalFailure())
            give(entry, sequence, time);
          return {};
        });
      });
  ASSERT_TRUE(read.ok()) << read.error().message;
}

// Commands in bursts, batches held back, crashes in between: what was answered survives, and the recovered state is that
// of a run that saw exactly the recovered commands.
class CrashingShard {
 public:
  explicit CrashingShard(uint64_t seed) : random_(seed), shard_(seed), fresh_(seed) {}

  void round() {
    shard_.clock().advance(static_cast<int64_t>(1 + random_.below(200'000)));
    if (random_.one_in(2)) shard_.log().hold();
    burst();
    take_answers();
    if (random_.one_in(2)) shard_.log().release();
    if (random_.one_in(3)) crash();
  }
  uint64_t lost() const { return lost_; }

 private:
  void burst() {
    for (uint64_t i = 0; i < 1 + random_.below(20); ++i) {
      const Drawn drawn = draw(random_);
      shard_.submit(drawn.machine, drawn.type, drawn.payload, i);
      if (random_.one_in(3)) shard_.settle();
    }
    shard_.settle();
  }
  void take_answers() {
    while (const std::optional<ShardReply> reply = shard_.reply()) {
      const Reply& answer = std::get<Reply>(reply->body);
      if (answer.ok()) answered_ = std::max(answered_, answer.sequence);
      EXPECT_LE(reply->gate, shard_.committer().watermark());
    }
  }
  void crash() {
    const Sequence watermark = shard_.committer().watermark();
    const Sequence applied = shard_.shard().last_applied();
    shard_.crash_and_recover();
    ASSERT_TRUE(shard_.recovery().ok()) << shard_.recovery().error().message;
    ASSERT_GE(shard_.shard().last_applied(), answered_);
    ASSERT_GE(shard_.shard().last_applied(), watermark);
    lost_ += applied - shard_.shard().last_applied();
    run_what_was_recovered(shard_, fresh_);
    ASSERT_EQ(fresh_.shard().last_applied(), shard_.shard().last_applied());
    ASSERT_EQ(fresh_.shard().state_hash(), shard_.shard().state_hash());
  }

  SeededRandom random_;
  ShardHarness shard_;
  ShardHarness fresh_;
  Sequence answered_ = 0;
  uint64_t lost_ = 0;
};

TEST(Shard, CrashesLoseOnlyWhatWasNotAnswered) {
  constexpr uint64_t kRoundsEach = 200;
  const uint64_t runs = std::max<uint64_t>(2, scaled(3000) / kRoundsEach);
  uint64_t lost = 0;
  for (uint64_t seed = 1; seed <= runs; ++seed) {
    CrashingShard run(seed);
    for (uint64_t round = 0; round < kRoundsEach && !HasFatalFailure(); ++round) run.round();
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
    lost += run.lost();
  }
  EXPECT_GT(lost, 100 * runs);
}

TEST(Shard, WhoWaitsForAPartitionHearsThatItIsGone) {
  ShardHarness shard;
  const auto partition = static_cast<PartitionId>(
      shard.run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{"a", 1}))
          .numbers[0]);
  const auto wait = [&](uint64_t subscription) {
    ASSERT_TRUE(shard.link().requests.try_push(ShardRequest{1, 0, SubscribeRequest{subscription, partition, 0}}));
    shard.settle();
  };
  wait(9);
  EXPECT_FALSE(shard.reply().has_value());
  shard.submit(machine_ids::kStreams, streams::kDeleteStream, streams::encode(streams::DeleteStream{"a"}), 8);
  shard.settle();
  const std::optional<ShardReply> told = shard.reply();
  ASSERT_TRUE(told && std::holds_alternative<Advanced>(told->body));
  EXPECT_EQ(std::get<Advanced>(told->body).subscription, 9u);
  EXPECT_EQ(std::get<Advanced>(told->body).durable_end, 0);
}

TEST(Shard, RepliesWaitForTheSync) {
  ShardHarness harness;
  harness.settle();
  harness.log().hold();
  harness.submit(kKvId, kKvPut, kv_payload("a", "1"), 1);
  harness.settle();
  EXPECT_FALSE(harness.reply().has_value());
  // A refusal and a query were computed from what is not synced yet: they wait as well.
  harness.submit(kKvId, kKvExpect, kv_payload("a", "2"), 2);
  harness.link().requests.try_push(ShardRequest{1, 3, QueryRequest{kKvId, 0, Buffer::copy_of("a"), {}}});
  harness.settle();
  EXPECT_FALSE(harness.reply().has_value());
  harness.log().release();
  harness.settle();
  const std::optional<ShardReply> put = harness.reply();
  ASSERT_TRUE(put.has_value());
  EXPECT_TRUE(std::get<Reply>(put->body).ok());
  const std::optional<ShardReply> refusal = harness.reply();
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(std::get<Reply>(refusal->body).error, Errc::stale);
  const std::optional<ShardReply> answer = harness.reply();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(as_text(std::get<Reply>(answer->body).payload.view()), "1");
  // By gates of their own: on another link nothing stands before them.
  EXPECT_GT(put->gate, 0u);
  EXPECT_GE(refusal->gate, put->gate);
  EXPECT_GE(answer->gate, put->gate);
}

// The sync may end in the middle of a turn. Who hears of it and asks in that turn finds its record.
TEST(Shard, WhoHeardOfTheSyncFindsTheRecordInTheSameTurn) {
  ShardHarness harness;
  ShardLink other(16);
  harness.shard().attach(other);
  const auto partition = static_cast<PartitionId>(
      harness.run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{"a", 1}))
          .numbers[0]);
  streams::AppendEvents append;
  append.stream = "a";
  append.records.push_back({false, {}, as_bytes("value")});
  harness.log().hold();
  harness.submit(machine_ids::kStreams, streams::kAppendEvents, streams::encode(append), 1);
  harness.settle();
  ASSERT_TRUE(harness.log().append_in_flight());
  bool synced = false;
  for (ShardLink* link : {&harness.link(), &other}) {
    link->wake_io = [&] {
      if (!std::exchange(synced, true)) harness.log().release();
    };
    ASSERT_TRUE(link->requests.try_push(ShardRequest{1, 2, ReadRequest{partition, 0, 1000, {}}}));
  }
  harness.shard().run_once();
  ASSERT_TRUE(synced);
  std::vector<Offset> ends;
  for (ShardLink* link : {&harness.link(), &other}) {
    ASSERT_NE(link->open.front(), nullptr);
    ends.push_back(std::get<ReadReply>(link->open.front()->body).durable_end);
  }
  std::sort(ends.begin(), ends.end());
  EXPECT_EQ(ends, (std::vector<Offset>{0, 1})) << "the second link was served behind the sync";
}

// Each client asks again when it is answered, the first at once and the others a little later: one sync serves all.
TEST(Shard, ClientsThatAskAgainTogetherShareASync) {
  constexpr RequestId kClients = 8;
  ShardHarness harness;
  harness.settle();
  const auto ask = [&](RequestId client) {
    harness.submit(kKvId, kKvPut, kv_payload("key" + std::to_string(client), "value"), client);
  };
  const auto rounds = [&](uint32_t count) {
    const uint64_t before = harness.committer().batches_total();
    for (uint32_t round = 0; round < count; ++round) {
      while (harness.committer().run_once()) {
      }
      harness.shard().run_once();
      std::vector<RequestId> answered;
      while (std::optional<ShardReply> reply = harness.reply()) answered.push_back(reply->request);
      EXPECT_EQ(answered.size(), kClients) << "round " << round;
      for (const RequestId client : answered) {
        ask(client);
        (void)harness.shard().run_once();
        EXPECT_EQ(harness.shard().run_once(), client != answered.back()) << "held open until the last one is there";
      }
    }
    return harness.committer().batches_total() - before;
  };
  for (RequestId client = 1; client <= kClients; ++client) ask(client);
  (void)harness.shard().run_once();
  EXPECT_EQ(rounds(20), 20u);
  // Half of them stay away: nobody waits for them for ever, and the rest is expected alone from then on.
  while (harness.committer().run_once()) {
  }
  harness.shard().run_once();
  while (harness.reply()) {
  }
  for (RequestId client = 1; client <= kClients / 2; ++client) ask(client);
  uint32_t turns = 0;
  while (harness.shard().run_once()) ++turns;
  EXPECT_GT(turns, 4u);
  EXPECT_LT(turns, 64u);
  EXPECT_TRUE(harness.committer().run_once());
}

// While a batch is being synced a small one goes on growing, one that is worth a write waits behind it, and only one: the
// commit goes on to it without a turn of the shard.
TEST(Shard, ABatchWorthAWriteWaitsBehindTheOneBeingSynced) {
  ShardOptions options;
  options.batch_ready_bytes = 3000;
  ShardHarness harness(1, options);
  harness.settle();
  const auto put = [&](RequestId request, size_t bytes) {
    harness.submit(kKvId, kKvPut, kv_payload("key", std::string(bytes, 'v')), request);
    (void)harness.shard().run_once();
    return harness.committer().outstanding();
  };
  harness.log().hold();
  EXPECT_EQ(put(1, 10), 1u);
  ASSERT_TRUE(harness.committer().run_once());
  EXPECT_EQ(put(2, 900), 1u) << "too small to be written alone";
  EXPECT_EQ(put(3, 900), 2u);
  EXPECT_EQ(put(4, 900), 2u);
  EXPECT_EQ(put(5, 900), 2u) << "one waits already";
  EXPECT_FALSE(harness.committer().run_once()) << "one at a time";
  EXPECT_FALSE(harness.reply().has_value());
  harness.log().release();
  EXPECT_TRUE(harness.committer().run_once());
  for (const RequestId request : {1, 2, 3}) {
    const std::optional<ShardReply> reply = harness.reply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->request, request);
  }
  EXPECT_FALSE(harness.reply().has_value());
  harness.settle();
  for (const RequestId request : {4, 5}) {
    const std::optional<ShardReply> reply = harness.reply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->request, request);
  }
}

TEST(Shard, AFailedSyncAcknowledgesNothingEver) {
  ShardHarness harness;
  harness.settle();
  harness.log().fail_next(Error{Errc::io, "the device is gone"});
  harness.submit(kKvId, kKvPut, kv_payload("a", "1"), 1);
  harness.settle();
  ASSERT_TRUE(harness.fatal().has_value());
  EXPECT_FALSE(harness.reply().has_value());
  harness.submit(kKvId, kKvPut, kv_payload("b", "1"), 2);
  harness.settle();
  EXPECT_FALSE(harness.reply().has_value());
}

TEST(Shard, TimersFireOnceAndSurviveACrash) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerDeposit, ledger_payload({0, 1, 100, 0})).ok());
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerHold, ledger_payload({1, 0, 60, 1'000'000})).ok());
  EXPECT_EQ(harness.ledger().balance(1), 40);
  harness.crash_and_recover();
  EXPECT_EQ(harness.ledger().balance(1), 40);
  harness.clock().advance(2'000'000);
  harness.settle();
  EXPECT_EQ(harness.ledger().balance(1), 100);
  harness.clock().advance(2'000'000);
  harness.settle();
  harness.crash_and_recover();
  EXPECT_EQ(harness.ledger().balance(1), 100);
  EXPECT_EQ(harness.ledger().total(), 100);
}

Submission idempotent(std::string_view value, uint64_t hash) {
  Submission submission = streams::make_command(kKvId, kKvPut, kv_payload("a", value));
  submission.idempotency = IdempotencyKey{{std::byte{9}}, hash};
  return submission;
}

// A refused command opened a batch behind a slow sync; the next one kept in it comes seconds later, and its time is logged.
TEST(Shard, TimesAreRightBehindASlowSync) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerDeposit, ledger_payload({0, 1, 100, 0})).ok());
  harness.log().hold();
  harness.submit(kKvId, kKvPut, kv_payload("a", "1"), 1);
  harness.settle();
  harness.submit(kKvId, kKvExpect, kv_payload("a", "2"), 2);
  harness.settle();
  harness.clock().advance(10'000'000'000);
  // The first that is kept: its timer, and so its effects, depend on its time.
  harness.submit(kLedgerId, kLedgerHold, ledger_payload({1, 0, 60, 1'000'000'000'000}), 3);
  harness.settle();
  harness.log().release();
  harness.settle();
  const LogTime time = harness.shard().last_time();
  const Hash128 hash = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().last_time(), time);
  EXPECT_EQ(harness.shard().state_hash(), hash);
}

// As the shard tells commands apart (ApplyGuard).
uint64_t digest_of(MachineId machine, CommandType type, Bytes payload) {
  DigestAccumulator digest;
  digest.add((uint64_t{machine} << 32) | type, (uint64_t{crc32c(payload)} << 32) | payload.size());
  return digest.value().low;
}

TEST(Shard, ATimerThatEndedTheServerIsPutOffAndTheOthersFire) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerDeposit, ledger_payload({0, 1, 100, 0})).ok());
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerHold, ledger_payload({1, 0, 60, 1'000'000})).ok());
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerHold, ledger_payload({1, 0, 10, 1'500'000})).ok());
  harness.crash_and_recover();
  ByteWriter first;
  first.le<uint64_t>(1);
  const uint64_t digest = digest_of(machine_ids::kKernel, kFireTimer, first.view());
  std::atomic<uint64_t> word{0};
  std::vector<uint64_t> forgiven;
  harness.shard().set_guard({&word, {digest}, [&](uint64_t each) { forgiven.push_back(each); }});
  EXPECT_EQ(harness.shard().denied_commands(), 1U);
  harness.clock().advance(2'000'000);
  EXPECT_FALSE(harness.shard().run_once() && harness.shard().run_once()) << "it is refused again and again";
  harness.settle();
  EXPECT_EQ(harness.ledger().balance(1), 40) << "the second one gave its 10 back, the first one was not applied";
  EXPECT_EQ(harness.shard().kernel().timers.size(), 1U);
  EXPECT_EQ(forgiven, std::vector<uint64_t>{digest});
  EXPECT_EQ(harness.shard().denied_commands(), 0U);
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().kernel().timers.size(), 1U);
  EXPECT_EQ(harness.ledger().balance(1), 40);
  harness.clock().advance(3'500'000'000'000);
  harness.settle();
  EXPECT_EQ(harness.ledger().balance(1), 40);
  harness.clock().advance(200'000'000'000);
  harness.settle();
  EXPECT_EQ(harness.ledger().balance(1), 100) << "an hour later it fired";
  EXPECT_TRUE(harness.shard().kernel().timers.empty());
}

TEST(Shard, WhatATimerDoesNamesTheCommandThatArmedIt) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerDeposit, ledger_payload({0, 1, 100, 0})).ok());
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerHold, ledger_payload({1, 0, 60, 1'000'000})).ok());
  harness.clock().advance(2'000'000);
  harness.settle();
  std::vector<std::pair<Sequence, Sequence>> caused;
  const auto each_entry = [&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
    log::for_each_extension(entry.extensions, [&](log::ExtensionType type, Bytes bytes) {
      if (type == log::ExtensionType::cause) caused.emplace_back(sequence, load_le<uint64_t>(bytes.data() + 8));
    });
    return {};
  };
  ASSERT_TRUE(harness.log().recover(
      {}, [&](const log::BatchView& batch, const log::BatchPlace&) { return batch.for_each_entry(each_entry); }));
  EXPECT_EQ(caused, (std::vector<std::pair<Sequence, Sequence>>{{3, 2}}));
}

// Whole milliseconds longer than any budget: the clock of the machine is not asked to be exact.
TEST(Shard, AnApplyLongerThanItsBudgetIsCountedForItsModule) {
  class RealClock final : public Clock {
   public:
    int64_t monotonic_ns() override {
      return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
    }
    int64_t utc_ns() override { return monotonic_ns(); }
  };
  RealClock clock;
  ApplyWatch watch;
  const auto take = [&](int64_t ns, size_t place, int64_t budget_ns) {
    watch.begin();
    for (const int64_t end_ns = clock.monotonic_ns() + ns; clock.monotonic_ns() < end_ns;) {
    }
    if (watch.maybe_long()) watch.count_long(place, budget_ns);
  };
  take(5'000'000, 1, 1'000'000);
  EXPECT_EQ(watch.count(1), 0U) << "it is not on yet";
  watch.start(clock);
  take(5'000'000, 1, 1'000'000);
  take(5'000'000, 2, int64_t{3600} * 1'000'000'000);
  take(5'000'000, 1000, 1'000'000);
  EXPECT_EQ(watch.count(1), 1U);
  EXPECT_EQ(watch.count(2), 0U) << "an hour is its budget";
  EXPECT_EQ(watch.count(ApplyWatch::kPlaces - 1), 1U);
}

TEST(Shard, ALongConfigurationSurvivesASnapshot) {
  KernelState state;
  state.config["rules"] = std::string(100'000, 'r');
  class Memory final : public SnapshotWriter, public SnapshotReader {
   public:
    void write(Bytes bytes) override { bytes_.append(as_text(bytes)); }
    bool read(MutableBytes into) override {
      if (into.size() > bytes_.size()) return false;
      std::copy_n(as_bytes(bytes_).begin(), into.size(), into.begin());
      bytes_.erase(0, into.size());
      return true;
    }
    std::string bytes_;
  } memory;
  state.save(memory);
  KernelState restored;
  const Result<void> result = restored.restore(memory);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(restored.config, state.config);
}

TEST(Shard, ARepeatReturnsTheFirstResult) {
  ShardHarness harness;
  const Reply first = harness.run(idempotent("1", 1));
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("b", "2")).ok());
  for (int restart = 0; restart < 2; ++restart) {
    const Reply again = harness.run(idempotent("1", 1));
    EXPECT_TRUE(again.ok() && again.repeated);
    EXPECT_EQ(again.sequence, first.sequence);
    EXPECT_EQ(again.numbers, first.numbers);
    EXPECT_EQ(harness.run(idempotent("2", 2)).error, Errc::invalid_argument);
    harness.crash_and_recover();
  }
  harness.clock().advance(IdempotencyTable::kKeptNs + 1);
  // Forgotten after its time: the id may be used again once another command of this principal came by.
  Submission other = idempotent("3", 3);
  other.idempotency->id[1] = std::byte{1};
  ASSERT_TRUE(harness.run(std::move(other)).ok());
  const Reply anew = harness.run(idempotent("2", 2));
  EXPECT_TRUE(anew.ok()) << anew.message;
  EXPECT_FALSE(anew.repeated);
}

TEST(Shard, FirstResultsAreBoundedByCountAndTheOldestGoesFirst) {
  IdempotencyTable table;
  const auto key = [](uint64_t number) {
    IdempotencyKey made;
    store_le(made.id.data(), number);
    return made;
  };
  constexpr uint64_t kLimit = IdempotencyTable::kPerPrincipalLimit;
  for (uint64_t i = 0; i <= kLimit; ++i) table.record(1, kKvId, key(i), Reply{});
  table.record(2, kKvId, key(0), Reply{});
  EXPECT_EQ(table.size(), kLimit + 1);
  EXPECT_EQ(table.find(1, kKvId, key(0)), nullptr);
  EXPECT_NE(table.find(1, kKvId, key(1)), nullptr);
  EXPECT_NE(table.find(2, kKvId, key(0)), nullptr);
}

TEST(Shard, AdmissionRefusesWhatDoesNotRelieve) {
  ShardHarness harness;
  ASSERT_TRUE(harness
                  .run(streams::make_command(machine_ids::kStreams, streams::kCreateStream,
                                             streams::encode(streams::CreateStream{"s", 1})))
                  .ok());
  harness.shard().set_disk_full(true);
  EXPECT_EQ(harness.run(kKvId, kKvPut, kv_payload("a", "1")).error, Errc::no_space);
  const Buffer put = kv_payload("a", "1");
  EXPECT_EQ(
      harness.run(machine_ids::kKernel, kTransact, encode_transact({{kKvId, kKvPut, kNoPartition, put.view()}})).error,
      Errc::no_space);
  EXPECT_TRUE(harness
                  .run(streams::make_command(machine_ids::kStreams, streams::kDeleteStream,
                                             streams::encode(streams::DeleteStream{"s"})))
                  .ok());
  harness.shard().set_disk_full(false);
  EXPECT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "1")).ok());
  EXPECT_EQ(harness.run(0xFFFE, 1, Buffer{}).error, Errc::not_found);
}

TEST(Shard, NothingOvertakesWhatWasRefusedForNow) {
  ShardHarness harness;
  const auto put = [](uint32_t chain) {
    Submission submission = streams::make_command(kKvId, kKvPut, kv_payload("a", "1"));
    submission.chain = chain;
    return submission;
  };
  harness.shard().set_disk_full(true);
  EXPECT_EQ(harness.run(put(7)).error, Errc::no_space);
  harness.shard().set_disk_full(false);
  EXPECT_EQ(harness.run(put(7)).error, Errc::overloaded) << "sent before its sender knew";
  EXPECT_TRUE(harness.run(put(0)).ok()) << "of the same session, and stands alone";
  EXPECT_EQ(harness.run(put(7)).error, Errc::overloaded);
  EXPECT_TRUE(harness.run(put(8)).ok());
  EXPECT_TRUE(harness.run(put(8)).ok());
}

TEST(Shard, ActivationChangesApplyFromItsPlaceOn) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "1")).ok());
  ByteWriter activate;
  activate.le<uint16_t>(kKvId);
  activate.le<uint32_t>(2);
  ASSERT_TRUE(harness.run(machine_ids::kKernel, kActivate, Buffer::take(activate.release())).ok());
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "2")).ok());
  const Hash128 hash = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().state_hash(), hash);
  ByteWriter unknown;
  unknown.le<uint16_t>(kKvId);
  unknown.le<uint32_t>(3);
  EXPECT_EQ(harness.run(machine_ids::kKernel, kActivate, Buffer::take(unknown.release())).error,
            Errc::invalid_argument);
}

TEST(Shard, ConfigurationIsLoggedWhereItDiffers) {
  ShardHarness harness;
  harness.shard().adopt({{"toy.limit", "5"}, {"toy.name", "x"}}, true);
  harness.settle();
  // Two keys and the newest logic versions of KV and streams.
  EXPECT_EQ(harness.shard().last_applied(), 4U);
  EXPECT_EQ(harness.shard().kernel().version_of(kKvId), 2U);
  EXPECT_EQ(harness.shard().kernel().version_of(machine_ids::kStreams), 2U);
  harness.crash_and_recover();
  harness.shard().adopt({{"toy.limit", "5"}}, false);
  harness.settle();
  EXPECT_EQ(harness.shard().last_applied(), 5U);  // the key that went
  EXPECT_EQ(harness.shard().kernel().config.size(), 1U);
}

TEST(Shard, ReplayThatComputesSomethingElseHaltsAndNamesIt) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kLedgerId, kLedgerDeposit, ledger_payload({0, 1, 100, 0})).ok());
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "1")).ok());
  harness.plant_divergence();
  harness.crash_and_recover();
  ASSERT_FALSE(harness.recovery().ok());
  const std::string message = harness.recovery().error().message;
  EXPECT_NE(message.find("event 0:2/1 has another value"), std::string::npos) << message;
  EXPECT_NE(message.find("--accept-divergence 2"), std::string::npos) << message;
  harness.accept_divergence(2);
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok());
  // A jump: no position of what was is given to anything that comes.
  EXPECT_EQ(harness.shard().last_applied(), 2 + log::kJumpSequences);
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("b", "2")).ok());
  EXPECT_EQ(harness.shard().last_applied(), 3 + log::kJumpSequences);
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().last_applied(), 3 + 2 * log::kJumpSequences) << "it was accepted again, by another program";
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
}

// What a machine could not read is not the command's fault, and nothing it made by guessing reaches the log.
TEST(Shard, AMachineThatCannotGoOnHaltsItsShard) {
  ShardHarness harness;
  std::atomic<uint64_t> word{0};
  harness.shard().set_guard({&word, {}});
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "1")).ok());
  const Sequence durable = harness.committer().watermark();
  uint64_t at_work = 0;
  harness.kv().on_crash([&] {
    at_work = word.load();
    harness.shard().halt();
  });
  harness.submit(streams::make_command(kKvId, kKvPut, kv_payload("b", "1")), 1);
  harness.submit(streams::make_command(kKvId, kKvCrash, kv_payload("c", "")), 2);
  harness.submit(streams::make_command(kKvId, kKvPut, kv_payload("d", "1")), 3);
  for (int turn = 0; turn < 10; ++turn) {
    harness.shard().run_once();
    harness.committer().run_once();
  }
  EXPECT_NE(at_work, 0u);
  EXPECT_EQ(word.load(), 0u) << "it would be denied at the next start";
  EXPECT_EQ(harness.committer().watermark(), durable);
  EXPECT_FALSE(harness.reply().has_value());
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().last_applied(), durable);
}

// One batch of many commands, replayed to each of them, is the state of a shard that stopped there.
TEST(Shard, ReplayEndsBehindAnyCommand) {
  constexpr int kCommands = 300;
  ShardHarness slowly;
  ShardHarness at_once;
  SeededRandom random(11);
  std::map<Sequence, Hash128> hashes;
  for (int i = 0; i < kCommands; ++i) {
    const Drawn drawn = draw(random);
    slowly.run(drawn.machine, drawn.type, drawn.payload);
    hashes[slowly.shard().last_applied()] = slowly.shard().state_hash();
    at_once.submit(drawn.machine, drawn.type, drawn.payload, 7);
  }
  at_once.settle();
  ASSERT_EQ(at_once.shard().last_applied(), slowly.shard().last_applied());
  for (const std::pair<const Sequence, Hash128>& found : hashes) {
    const Sequence sequence = found.first;
    SeededRandom other_random(1);
    log::MemoryLog unused(other_random);
    Committer committer(unused, [](const Error&) {});
    sim::SimClock clock;
    Shard past({}, clock, committer);
    streams::StreamsMachine streams;
    KvMachine kv;
    CounterLedger ledger;
    for (StateMachine* machine : std::initializer_list<StateMachine*>{&streams, &kv, &ledger})
      past.add_machine(*machine);
    past.set_streams(streams);
    bool cut = false;
    const auto replayed = at_once.log().recover({}, [&](const log::BatchView& batch, const log::BatchPlace& place) {
      if (cut || batch.header().first_sequence > sequence) return Result<void>();
      cut = batch.header().last_sequence() > sequence;
      return past.replay(batch, place, sequence);
    });
    ASSERT_TRUE(replayed.ok()) << replayed.error().message;
    ASSERT_EQ(past.last_applied(), sequence);
    EXPECT_EQ(past.state_hash(), found.second) << sequence;
  }
}

TEST(Shard, SnapshotRestoresTheSameState) {
  ShardHarness harness;
  SeededRandom random(5);
  for (int i = 0; i < 2000; ++i) {
    const Drawn drawn = draw(random);
    harness.clock().advance(1000);
    harness.run(drawn.machine, drawn.type, drawn.payload);
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
  } memory;
  harness.shard().save(memory);
  sim::SimClock clock;
  SeededRandom other_random(1);
  log::MemoryLog log(other_random);
  Committer committer(log, [](const Error&) {});
  Shard restored({}, clock, committer);
  streams::StreamsMachine streams;
  KvMachine kv;
  CounterLedger ledger;
  for (StateMachine* machine : std::initializer_list<StateMachine*>{&streams, &kv, &ledger})
    restored.add_machine(*machine);
  restored.set_streams(streams);
  const Result<void> result = restored.restore(memory, harness.shard().last_applied(), harness.shard().last_time());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(restored.state_hash(), harness.shard().state_hash());
}

}  // namespace
}  // namespace heptane::test
