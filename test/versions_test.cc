// Logic versions: what a log has activated decides what apply() does, whatever program replays it.
#include <gtest/gtest.h>

#include "kernel/shard/memory_snapshot.h"
#include "kernel/shard/transact.h"
#include "test/shard_harness.h"

namespace heptane::test {
namespace {

Buffer append_at(Offset expected, size_t records, std::string_view stream = "s") {
  streams::AppendEvents append;
  append.stream = stream;
  append.expected_offset = expected;
  for (size_t i = 0; i < records; ++i) append.records.push_back({false, {}, as_bytes("value")});
  return streams::encode(append);
}

// Appends in one transaction: (expected offset, records) each.
Reply transact(ShardHarness& harness, const std::vector<std::pair<Offset, size_t>>& appends) {
  std::vector<Buffer> payloads;
  std::vector<Operation> operations;
  for (const auto& [expected, records] : appends) payloads.push_back(append_at(expected, records));
  for (const Buffer& payload : payloads)
    operations.push_back({machine_ids::kStreams, streams::kAppendEvents, kNoPartition, payload.view()});
  return harness.run(machine_ids::kKernel, kTransact, encode_transact(operations));
}

void create(ShardHarness& harness, const char* name) {
  ASSERT_TRUE(
      harness.run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{name, 1})).ok());
}

}  // namespace

TEST(Versions, AnExistingLogStaysAtItsVersionsUntilToldOtherwise) {
  ShardHarness harness;
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "1")).ok());
  harness.crash_and_recover();
  harness.shard().adopt({}, false);
  harness.settle();
  EXPECT_EQ(harness.shard().last_applied(), 1U);
  const std::vector<MachineVersion> versions = harness.shard().versions();
  ASSERT_EQ(versions.size(), 3U);
  EXPECT_EQ(versions[0].name, "streams");
  EXPECT_TRUE(versions[0].upgradable());
  EXPECT_EQ(versions[1].name, "toy_kv");
  EXPECT_TRUE(versions[1].upgradable());
  EXPECT_FALSE(versions[2].upgradable());
  harness.shard().adopt({}, true);
  harness.settle();
  EXPECT_EQ(harness.shard().last_applied(), 3U);
  for (const MachineVersion& version : harness.shard().versions()) EXPECT_FALSE(version.upgradable()) << version.name;
}

TEST(Versions, TheQueryOfVersionsReadsBack) {
  ShardHarness harness;
  harness.activate(kKvId, 2);
  ASSERT_TRUE(
      harness.link().requests.try_push(ShardRequest{1, 9, QueryRequest{machine_ids::kKernel, kVersions, {}, {}}}));
  harness.settle();
  const std::optional<ShardReply> answer = harness.reply();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->gate, harness.shard().last_applied());
  const Buffer payload = std::get<Reply>(answer->body).payload;
  const Result<std::vector<MachineVersion>> versions = decode_versions(payload.view());
  ASSERT_TRUE(versions.ok()) << versions.error().message;
  ASSERT_EQ(versions->size(), 3U);
  EXPECT_EQ((*versions)[1].active, 2U);
  EXPECT_EQ((*versions)[0].active, 1U);
  for (size_t cut = 0; cut < payload.size(); ++cut) EXPECT_FALSE(decode_versions(payload.view().first(cut)).ok());
}

// An older program: by replay and by a snapshot.
TEST(Versions, AVersionThatIsUnknownIsRefusedByName) {
  ShardHarness harness;
  harness.activate(kKvId, 2);
  ASSERT_TRUE(harness.run(kKvId, kKvPut, kv_payload("a", "1")).ok());
  MemorySnapshot memory;
  harness.shard().save(memory);
  harness.go_back_to_kv_version(1);
  harness.crash_and_recover();
  ASSERT_FALSE(harness.recovery().ok());
  EXPECT_EQ(harness.recovery().error().code, Errc::unsupported);
  const std::string message = harness.recovery().error().message;
  EXPECT_NE(message.find("command 0:1: logic version 2 of toy_kv is active, this program knows versions up to 1"),
            std::string::npos)
      << message;
  ShardHarness older;
  older.go_back_to_kv_version(1);
  older.crash_and_recover();
  const Result<void> restored = older.shard().restore(memory, 2, 0);
  ASSERT_FALSE(restored.ok());
  EXPECT_EQ(restored.error().code, Errc::unsupported);
  EXPECT_NE(restored.error().message.find("logic version 2 of toy_kv"), std::string::npos) << restored.error().message;
}

TEST(StreamsVersion2, AnExpectedOffsetSeesEarlierAppendsOfTheTransaction) {
  ShardHarness harness;
  create(harness, "s");
  harness.activate(machine_ids::kStreams, 2);
  ASSERT_TRUE(transact(harness, {{0, 2}, {2, 1}, {3, 0}}).ok()) << "the last one is a guard";
  EXPECT_EQ(harness.streams().next_offset(1), 3);
  const Reply stale = transact(harness, {{3, 1}, {3, 1}});
  EXPECT_EQ(stale.error, Errc::stale);
  EXPECT_NE(stale.message.find("operation 1: the stream goes on at offset 4"), std::string::npos) << stale.message;
  EXPECT_EQ(harness.streams().next_offset(1), 3) << "all or none";
  ASSERT_TRUE(harness.run(machine_ids::kStreams, streams::kAppendEvents, append_at(3, 1)).ok());
  EXPECT_EQ(harness.run(machine_ids::kStreams, streams::kAppendEvents, append_at(3, 1)).error, Errc::stale);
}

// A scope that was rolled back leaves no offsets behind either.
TEST(StreamsVersion2, ARefusedTransactionCountsNothing) {
  ShardHarness harness;
  create(harness, "s");
  harness.activate(machine_ids::kStreams, 2);
  EXPECT_FALSE(transact(harness, {{0, 5}, {0, 5}}).ok());
  EXPECT_TRUE(transact(harness, {{0, 1}, {1, 1}}).ok());
}

TEST(StreamsVersion2, Version1ComparesWithTheOffsetBeforeTheTransaction) {
  ShardHarness harness;
  create(harness, "s");
  ASSERT_TRUE(transact(harness, {{0, 2}, {0, 1}, {0, 0}}).ok());
  EXPECT_EQ(transact(harness, {{3, 1}, {4, 1}}).error, Errc::stale);
  // Both kinds in one log, replayed.
  harness.activate(machine_ids::kStreams, 2);
  ASSERT_TRUE(transact(harness, {{3, 1}, {4, 1}}).ok());
  const Hash128 hash = harness.shard().state_hash();
  harness.crash_and_recover();
  ASSERT_TRUE(harness.recovery().ok()) << harness.recovery().error().message;
  EXPECT_EQ(harness.shard().state_hash(), hash);
  EXPECT_EQ(harness.streams().next_offset(1), 5);
}

}  // namespace heptane::test
