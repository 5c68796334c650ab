// The machine by itself: many streams in little memory, and partitions that are added, also inside a scope.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>

#include "kernel/shard/command_run.h"
#include "kernel/streams/model_test_support.h"
#include "kernel/streams/streams_machine.h"

namespace heptane::streams {
namespace {

class StreamsMachineTest : public testing::Test {
 protected:
  StreamsMachineTest() {
    machines_.add(machine_);
    run_.set_streams(&machine_);
  }

  Reply run(CommandType type, Buffer payload) {
    Command command;
    command.sequence = ++sequence_;
    command.time = static_cast<LogTime>(sequence_) * 1'000'000;
    command.machine = machine_ids::kStreams;
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    run_.apply(machine_, command);
    return run_.reply();
  }
  Reply create(const std::string& name, uint32_t partitions = 1) {
    return run(kCreateStream, encode(CreateStream{name, partitions, {}}));
  }
  Reply grow(const std::string& name, uint32_t partitions) {
    return run(kGrowStream, encode(GrowStream{name, partitions}));
  }
  std::vector<StreamInfo> describe_all() {
    Reply reply;
    const Buffer payload = encode(DescribeQuery{true, {}});
    machine_.query({kDescribe, payload.view(), {}}, reply);
    return *decode_stream_infos(reply.payload.view());
  }
  std::vector<PartitionId> partitions_of(const std::string& name) {
    std::vector<PartitionId> ids;
    for (const StreamInfo& info : describe_all())
      if (info.name == name)
        for (const PartitionInfo& partition : info.partitions) ids.push_back(partition.id);
    return ids;
  }

  StreamsMachine machine_;
  MachineTable machines_;
  KernelState kernel_;
  CommandRun run_{machines_, kernel_};
  Sequence sequence_ = 0;
};

// In order, each once, whatever a page holds.
TEST_F(StreamsMachineTest, AllStreamsAreDescribedInPages) {
  constexpr size_t kStreams = 12'000;
  for (size_t i = 0; i < kStreams; ++i) ASSERT_TRUE(create("s" + std::to_string(i), i % 1000 == 0 ? 1000 : 1).ok());
  std::vector<std::string> names;
  size_t pages = 0;
  for (bool more = true; more; ++pages) {
    Reply reply;
    const Buffer query = encode(DescribeQuery{true, {}, names.empty() ? "" : names.back()});
    machine_.query({kDescribe, query.view(), {}}, reply);
    ASSERT_TRUE(reply.ok());
    EXPECT_LE(reply.payload.size(), (size_t{1} << 20) + 64 * 1024) << "a page and one stream";
    const auto page = decode_stream_infos(reply.payload.view());
    ASSERT_TRUE(page.ok()) << page.error().message;
    for (const StreamInfo& info : *page) names.push_back(info.name);
    more = reply.numbers[0] != 0;
  }
  EXPECT_GE(pages, 2U);
  EXPECT_EQ(names.size(), kStreams);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

std::string name_of(uint64_t number) { return "stream-" + std::to_string(number); }

// log.md: 256 bytes for a stream, beyond the places of what is in the log. A name of up to 15 bytes is part of it.
TEST_F(StreamsMachineTest, TenThousandStreamsTakeLittleMemory) {
  constexpr uint64_t kBytesPerStream = 256;
  const uint64_t streams = std::max<uint64_t>(1000, test::scaled(10'000));
  const size_t before = ::mallinfo2().uordblks;
  for (uint64_t i = 0; i < streams; ++i) {
    ASSERT_TRUE(create(name_of(i)).ok());
    // A record of each was synced, and is in the archive by now.
    const auto id = static_cast<PartitionId>(i + 1);
    machine_.add_durable({id, 0, 1, 128, 256, 1000, 1}, {1, 4096, 4096});
  }
  machine_.forget_segments(1);
  machine_.settle(sequence_);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const size_t taken = ::mallinfo2().uordblks - before;
  EXPECT_LE(taken / streams, kBytesPerStream);
#else
  (void)before;
#endif
  EXPECT_LE(machine_.memory_bytes() / streams, 2 * kBytesPerStream) << "what is accounted is near what is taken";
  EXPECT_EQ(machine_.stream_count(), streams);

  const std::vector<std::byte> bytes = test::saved(machine_);
  StreamsMachine other;
  test::MemoryReader reader(bytes);
  ASSERT_TRUE(other.restore(reader));
  EXPECT_EQ(test::saved(other), bytes);
  for (uint64_t i = 0; i < streams; ++i) ASSERT_TRUE(run(kDeleteStream, encode(DeleteStream{name_of(i)})).ok());
  machine_.settle(sequence_);
  EXPECT_EQ(machine_.stream_count(), 0U);
  EXPECT_TRUE(describe_all().empty());
}

TEST_F(StreamsMachineTest, PartitionsAreAddedBehindThoseThatAreThere) {
  ASSERT_TRUE(create("a", 2).ok());
  ASSERT_TRUE(create("b").ok());
  const Reply grown = grow("a", 4);
  ASSERT_TRUE(grown.ok());
  EXPECT_EQ(grown.numbers, (std::array<int64_t, 2>{2, 4}));
  EXPECT_EQ(partitions_of("a"), (std::vector<PartitionId>{1, 2, 4, 5}));
  EXPECT_EQ(partitions_of("b"), (std::vector<PartitionId>{3}));
  EXPECT_EQ(machine_.find_partition("a", 3), std::optional<PartitionId>(5));
  EXPECT_FALSE(machine_.find_partition("a", 4).has_value());

  for (const uint32_t count : {0U, 3U, 4U, kPartitionsLimit + 1}) {
    const Reply refused = grow("a", count);
    EXPECT_EQ(refused.error, Errc::invalid_argument) << count;
    EXPECT_EQ(refused.detail, 1U);
  }
  EXPECT_EQ(grow("none", 4).error, Errc::not_found);
  EXPECT_TRUE(grow("a", kPartitionsLimit).ok());
  ASSERT_TRUE(run(kDeleteStream, encode(DeleteStream{"a"})).ok());
  for (const PartitionId id : {1U, 2U, 4U, 5U}) EXPECT_FALSE(machine_.has_partition(id));
  EXPECT_TRUE(machine_.has_partition(3));

  const std::vector<std::byte> bytes = test::saved(machine_);
  StreamsMachine other;
  test::MemoryReader reader(bytes);
  ASSERT_TRUE(other.restore(reader));
  EXPECT_EQ(test::saved(other), bytes);
}

TEST_F(StreamsMachineTest, AGrowthThatIsRolledBackLeavesNothing) {
  ASSERT_TRUE(create("a", 2).ok());
  ASSERT_TRUE(create("b").ok());
  ASSERT_TRUE(grow("a", 3).ok());
  const std::vector<std::byte> before = test::saved(machine_);
  run_.begin(++sequence_, 1);
  machine_.open_scope();
  ASSERT_TRUE(grow("a", 7).ok());
  ASSERT_TRUE(create("c", 3).ok());
  machine_.open_scope();
  ASSERT_TRUE(grow("b", 2).ok());
  machine_.close_scope(ScopeOutcome::roll_back);
  machine_.close_scope(ScopeOutcome::roll_back);
  EXPECT_EQ(test::saved(machine_), before);
  EXPECT_EQ(partitions_of("a"), (std::vector<PartitionId>{1, 2, 4}));
}

}  // namespace
}  // namespace heptane::streams
