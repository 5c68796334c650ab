// Windows of numbered producers: the last five batches are answered again, older ones, gaps and other epochs refused.
#include "kernel/streams/producer_table.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace heptane::streams {
namespace {

class Memory final : public SnapshotWriter, public SnapshotReader {
 public:
  void write(Bytes bytes) override { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  bool read(MutableBytes into) override {
    if (into.size() > bytes_.size() - at_) return false;
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), into.size(), into.begin());
    at_ += into.size();
    return true;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  size_t at_ = 0;
};

RecordBatchInfo batch(int64_t producer, int32_t first, int32_t count = 1, int16_t epoch = 0) {
  RecordBatchInfo info;
  info.producer_id = producer;
  info.producer_epoch = epoch;
  info.base_sequence = first;
  info.record_count = count;
  info.last_offset_delta = count - 1;
  return info;
}

class Producers : public testing::Test {
 protected:
  AppendRefusal refusal(const RecordBatchInfo& info, PartitionId partition = 1) const {
    return table_.judge(partition, info).refusal;
  }
  // Judged good and not a repeat, then kept.
  void append(const RecordBatchInfo& info, PartitionId partition = 1) {
    const ProducerTable::Verdict verdict = table_.judge(partition, info);
    ASSERT_EQ(verdict.refusal, AppendRefusal::none) << info.base_sequence;
    ASSERT_FALSE(verdict.repeated) << info.base_sequence;
    table_.record(partition, info, end_, ++sequence_);
    end_ += info.record_count;
  }

  ProducerTable table_;
  int64_t id_ = table_.issue();
  Offset end_ = 0;
  Sequence sequence_ = 0;
};

TEST_F(Producers, TheLastFiveAreAnsweredAgainAndTheSixthIsNot) {
  for (int32_t i = 0; i < 6; ++i) append(batch(id_, 3 * i, 3));
  for (int32_t i = 1; i < 6; ++i) {
    const ProducerTable::Verdict again = table_.judge(1, batch(id_, 3 * i, 3));
    EXPECT_EQ(again.refusal, AppendRefusal::none) << i;
    EXPECT_TRUE(again.repeated) << i;
    EXPECT_EQ(again.first_base_offset, 3 * i);
  }
  EXPECT_EQ(refusal(batch(id_, 0, 3)), AppendRefusal::duplicate_sequence);
}

TEST_F(Producers, APartOfAKeptBatchIsNoRepeat) {
  append(batch(id_, 0, 4));
  EXPECT_EQ(refusal(batch(id_, 0, 3)), AppendRefusal::duplicate_sequence);
  EXPECT_EQ(refusal(batch(id_, 0, 5)), AppendRefusal::duplicate_sequence);
  EXPECT_EQ(refusal(batch(id_, 1, 3)), AppendRefusal::duplicate_sequence);
}

TEST_F(Producers, GapsAreRefusedAlsoAtTheBeginning) {
  EXPECT_EQ(refusal(batch(id_, 1)), AppendRefusal::out_of_order_sequence);
  append(batch(id_, 0));
  EXPECT_EQ(refusal(batch(id_, 2)), AppendRefusal::out_of_order_sequence);
  append(batch(id_, 1));
}

TEST_F(Producers, PartitionsAndProducersAreApart) {
  const int64_t other = table_.issue();
  EXPECT_NE(other, id_);
  append(batch(id_, 0), 1);
  append(batch(id_, 0), 2);
  append(batch(other, 0), 1);
  append(batch(id_, 1), 1);
  EXPECT_EQ(refusal(batch(id_, 1), 3), AppendRefusal::out_of_order_sequence);
  EXPECT_EQ(refusal(batch(other + 1, 0), 1), AppendRefusal::unknown_producer);
}

TEST_F(Producers, SequencesWrapAround) {
  constexpr int32_t kLast = 0x7FFFFFFF;
  append(batch(id_, 0));
  RecordBatchInfo high = batch(id_, kLast - 1, 2);
  table_.record(1, high, 100, ++sequence_);  // as if it had come that far
  EXPECT_TRUE(table_.judge(1, high).repeated);
  EXPECT_EQ(refusal(batch(id_, kLast, 1)), AppendRefusal::duplicate_sequence);
  EXPECT_EQ(refusal(batch(id_, 1)), AppendRefusal::out_of_order_sequence);
  append(batch(id_, 0, 5));
  // One that wraps inside.
  table_.record(1, batch(id_, kLast, 3), 200, ++sequence_);  // numbers 2^31 - 1, 0, 1
  append(batch(id_, 2));
}

TEST_F(Producers, AnEpochFencesTheOneBefore) {
  append(batch(id_, 0));
  append(batch(id_, 1));
  EXPECT_EQ(refusal(batch(id_, 0, 1, 1)), AppendRefusal::unknown_producer) << "not announced";
  EXPECT_EQ(table_.bump_epoch(id_, 0), 1);
  EXPECT_EQ(refusal(batch(id_, 2)), AppendRefusal::fenced_producer);
  EXPECT_EQ(refusal(batch(id_, 1)), AppendRefusal::fenced_producer) << "also what was once kept";
  EXPECT_EQ(refusal(batch(id_, 2, 1, 1)), AppendRefusal::out_of_order_sequence) << "an epoch begins at 0";
  append(batch(id_, 0, 1, 1));
  EXPECT_TRUE(table_.judge(1, batch(id_, 0, 1, 1)).repeated);
  append(batch(id_, 1, 1, 1));
  EXPECT_EQ(table_.bump_epoch(id_, 0), -1) << "of an epoch that is over";
  EXPECT_EQ(table_.bump_epoch(id_ + 1, 0), -1) << "of nobody";
  EXPECT_EQ(table_.bump_epoch(-1, 0), -1);
}

TEST_F(Producers, EpochsEnd) {
  for (int16_t epoch = 0; epoch < 0x7FFF; ++epoch) ASSERT_EQ(table_.bump_epoch(id_, epoch), epoch + 1);
  EXPECT_EQ(table_.bump_epoch(id_, 0x7FFF), -1);
  append(batch(id_, 0, 1, 0x7FFF));
}

TEST_F(Producers, TheLeastRecentlyUsedGoesFirst) {
  const auto limit = static_cast<int64_t>(ProducerTable::kWindowsLimit);
  std::vector<int64_t> ids{id_};
  while (static_cast<int64_t>(ids.size()) < limit + 1) ids.push_back(table_.issue());
  for (int64_t i = 0; i < limit; ++i) append(batch(ids[static_cast<size_t>(i)], 0));
  EXPECT_EQ(table_.windows(), ProducerTable::kWindowsLimit);
  append(batch(ids[0], 1));  // the oldest is used again, so the second is
  append(batch(ids.back(), 0));
  EXPECT_EQ(table_.windows(), ProducerTable::kWindowsLimit);
  EXPECT_TRUE(table_.judge(1, batch(ids[0], 0)).repeated);
  EXPECT_TRUE(table_.judge(1, batch(ids.back(), 0)).repeated);
  EXPECT_TRUE(table_.judge(1, batch(ids[2], 0)).repeated);
  EXPECT_EQ(refusal(batch(ids[1], 1)), AppendRefusal::out_of_order_sequence);
}

// What goes next is decided by the state alone: a table that was saved and read back evicts the same.
TEST_F(Producers, ASnapshotGoesOnAsTheTableDoes) {
  for (int i = 0; i < 50; ++i) {
    const int64_t id = i % 7 == 0 ? id_ : table_.issue();
    const int32_t first = id == id_ ? i / 7 : 0;
    append(batch(id, first), static_cast<PartitionId>(id == id_ ? 1 : 1 + i % 3));
  }
  ASSERT_EQ(table_.bump_epoch(id_, 0), 1);
  Memory saved;
  table_.save(saved);
  const std::vector<std::byte> before = saved.bytes();
  ProducerTable restored;
  ASSERT_TRUE(restored.restore(saved));
  Memory again;
  restored.save(again);
  EXPECT_EQ(again.bytes(), before);
  EXPECT_EQ(restored.windows(), table_.windows());
  EXPECT_EQ(restored.judge(1, batch(id_, 1)).refusal, AppendRefusal::fenced_producer);
  EXPECT_EQ(restored.issue(), table_.issue());
  restored.forget_partition(2);
  table_.forget_partition(2);
  Memory one;
  Memory other;
  restored.save(one);
  table_.save(other);
  EXPECT_EQ(one.bytes(), other.bytes());
}

TEST_F(Producers, AForgottenPartitionBeginsAnew) {
  append(batch(id_, 0), 1);
  append(batch(id_, 0), 2);
  table_.forget_partition(1);
  EXPECT_EQ(table_.windows(), 1u);
  append(batch(id_, 0), 1);
  append(batch(id_, 1), 2);
}

}  // namespace
}  // namespace heptane::streams
