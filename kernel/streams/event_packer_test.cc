// Packed events against a list of them: what a batch of the log holds is what was emitted, in order of each partition,
// with its causes, and takes no more room than was announced.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "kernel/base/random.h"
#include "kernel/streams/event_packer.h"
#include "kernel/streams/model_test_support.h"

namespace heptane::streams {
namespace {

constexpr int64_t kMs = 1'000'000;

struct ModelEvent {
  std::string key;
  bool has_key = false;
  std::string value;
  int64_t timestamp_ms = 0;
  uint32_t command_delta = 0;
  Ordinal ordinal = 0;
};

class EventPackerTest : public testing::Test {
 protected:
  void begin_batch() {
    time_ += static_cast<int64_t>(random_.below(5'000)) * kMs;
    writer_.begin(0, 3, sequence_, time_);
    read_ = 0;
    commands_ = 0;
  }

  void command() {
    time_ += static_cast<int64_t>(random_.below(3)) * kMs / 2;
    const uint64_t events = random_.below(random_.one_in(10) ? 60 : 4);
    for (Ordinal ordinal = 1; ordinal <= events; ++ordinal) emit(commands_, ordinal);
    ++commands_;
    ++sequence_;
  }

  void emit(uint32_t command_delta, Ordinal ordinal) {
    const auto partition = static_cast<PartitionId>(1 + random_.below(random_.one_in(5) ? 200 : 3));
    ModelEvent event{std::string(random_.below(20), 'k'),
                     random_.one_in(2),
                     std::string(random_.below(random_.one_in(50) ? 5000 : 60), 'v'),
                     time_ / kMs,
                     command_delta,
                     ordinal};
    if (!event.has_key) event.key.clear();
    const Offset offset = next_[partition]++;
    packer_.pack({partition, as_bytes(event.key), event.has_key, as_bytes(event.value)}, offset, time_, command_delta,
                 ordinal);
    expected_[partition].push_back(std::move(event));
  }

  // Seals what was written since the last look, as the commit does, and compares.
  void look() {
    for (; read_ < writer_.pending().unsealed_records.size(); ++read_) {
      const uint32_t at = writer_.pending().unsealed_records[read_];
      std::byte* entry_at = writer_.pending().memory + at;
      ASSERT_TRUE(log::seal_records(entry_at, writer_.body_bytes() + log::kBatchHeaderBytes - at));
      const Result<log::EntryView> entry =
          log::decode_entry(Bytes(entry_at, writer_.body_bytes() + log::kBatchHeaderBytes - at));
      ASSERT_TRUE(entry) << entry.error().message;
      ASSERT_EQ(entry->header.kind, log::EntryKind::records);
      check_run(writer_.runs()[read_], at, *entry);
      check_records(*entry);
    }
  }

  void check_run(const EntryRun& run, uint32_t at, const log::EntryView& entry) {
    const PartitionId partition = entry.header.partition;
    ASSERT_EQ(run.partition, partition);
    ASSERT_EQ(run.begin, at);
    ASSERT_EQ(run.finish, at + entry.header.stored_bytes());
    ASSERT_EQ(run.first, seen_[partition]);
    ASSERT_EQ(run.end, seen_[partition] + entry.header.detail);
    ASSERT_EQ(run.epoch, 3U);
    int64_t newest = INT64_MIN;
    for (uint32_t i = 0; i < entry.header.detail; ++i) newest = std::max(newest, expected_[partition][i].timestamp_ms);
    ASSERT_EQ(run.max_timestamp_ms, newest);
  }

  void check_records(const log::EntryView& entry) {
    const PartitionId partition = entry.header.partition;
    std::deque<ModelEvent>& expected = expected_[partition];
    Bytes cause_bytes;
    ASSERT_TRUE(log::for_each_extension(entry.extensions, [&](log::ExtensionType type, Bytes bytes) {
      if (type == log::ExtensionType::causes) cause_bytes = bytes;
    }));
    ByteReader causes(cause_bytes);
    const Result<void> walked = for_each_record(entry.payload, [&](const RecordView& record) {
      ASSERT_FALSE(expected.empty());
      const ModelEvent event = std::move(expected.front());
      expected.pop_front();
      ASSERT_EQ(record.offset, seen_[partition]++);
      ASSERT_EQ(record.timestamp_ms, event.timestamp_ms);
      ASSERT_EQ(record.has_key, event.has_key);
      ASSERT_EQ(as_text(record.key), event.key);
      ASSERT_EQ(as_text(record.value), event.value);
      ASSERT_EQ(causes.varint(), event.command_delta);
      ASSERT_EQ(causes.varint(), event.ordinal);
      ++records_;
    });
    ASSERT_TRUE(walked) << walked.error().message;
    ASSERT_FALSE(causes.failed());
  }

  SeededRandom random_{13};
  EventPacker packer_;
  BatchWriter writer_{std::make_shared<BatchMemoryPool>()};
  std::map<PartitionId, std::deque<ModelEvent>> expected_;  // packed, not yet seen in the batch
  std::map<PartitionId, Offset> next_;
  std::map<PartitionId, Offset> seen_;
  LogTime time_ = 1'000'000 * kMs;
  Sequence sequence_ = 1;
  uint32_t commands_ = 0;
  size_t read_ = 0;
  uint64_t records_ = 0;
};

TEST_F(EventPackerTest, ABatchHoldsWhatWasEmitted) {
  const uint64_t wanted = test::scaled(100'000);
  while (records_ < wanted && !HasFatalFailure()) {
    begin_batch();
    for (uint64_t left = random_.below(300); left > 0 && packer_.packed_bytes() < (1 << 20); --left) {
      command();
      if (!random_.one_in(20)) continue;
      // A producer's batch for one partition comes between: what was packed for it goes first.
      const auto partition = static_cast<PartitionId>(1 + random_.below(4));
      const size_t before = writer_.body_bytes();
      const uint64_t announced = packer_.packed_bytes();
      packer_.flush(partition, writer_);
      ASSERT_LE(writer_.body_bytes() - before, announced - packer_.packed_bytes());
      look();
      ASSERT_TRUE(expected_[partition].empty());
    }
    const size_t before = writer_.body_bytes();
    const uint64_t announced = packer_.packed_bytes();
    packer_.flush_all(writer_);
    ASSERT_LE(writer_.body_bytes() - before, announced);
    ASSERT_EQ(packer_.packed_bytes(), 0U);
    look();
    for (const auto& [partition, left] : expected_) ASSERT_TRUE(left.empty()) << partition;
  }
}

TEST_F(EventPackerTest, NothingPackedWritesNothing) {
  begin_batch();
  packer_.flush(1, writer_);
  packer_.flush_all(writer_);
  EXPECT_TRUE(writer_.empty());
  EXPECT_EQ(packer_.packed_bytes(), 0U);
}

}  // namespace
}  // namespace heptane::streams
