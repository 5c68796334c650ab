// The window of five batches against a model that remembers every batch there ever was.
#include <gtest/gtest.h>

#include <map>

#include "kernel/base/random.h"
#include "kernel/streams/model_test_support.h"
#include "kernel/streams/producer_table.h"

namespace heptane::streams {
namespace {

constexpr int64_t kCircle = int64_t{1} << 31;
constexpr int64_t kHalfCircle = int64_t{1} << 30;

// Sequence numbers that never wrap: what the wire carries is their remainder.
struct ModelBatch {
  int64_t first = 0;
  int64_t count = 0;
  Offset base_offset = 0;
};
struct ModelWindow {
  int16_t epoch = 0;
  std::vector<ModelBatch> batches;  // all of this epoch
  int64_t next() const { return batches.back().first + batches.back().count; }
};

class Model {
 public:
  int64_t issued = 1000;  // the next id
  std::map<int64_t, int16_t> epochs;
  std::map<std::pair<PartitionId, int64_t>, ModelWindow> windows;

  ProducerTable::Verdict judge(PartitionId partition, const RecordBatchInfo& batch) const {
    if (batch.producer_id >= issued) return {AppendRefusal::unknown_producer, false, 0};
    const int16_t epoch = epochs.contains(batch.producer_id) ? epochs.at(batch.producer_id) : int16_t{0};
    if (batch.producer_epoch < epoch) return {AppendRefusal::fenced_producer, false, 0};
    if (batch.producer_epoch > epoch) return {AppendRefusal::unknown_producer, false, 0};
    const auto window = windows.find({partition, batch.producer_id});
    if (window == windows.end() || window->second.epoch != batch.producer_epoch)
      return {batch.base_sequence == 0 ? AppendRefusal::none : AppendRefusal::out_of_order_sequence, false, 0};
    const std::vector<ModelBatch>& all = window->second.batches;
    for (size_t back = 1; back <= std::min<size_t>(5, all.size()); ++back) {
      const ModelBatch& kept = all[all.size() - back];
      if (kept.first % kCircle == batch.base_sequence && kept.count == batch.record_count)
        return {AppendRefusal::none, true, kept.base_offset};
    }
    const int64_t ahead =
        ((batch.base_sequence - window->second.next()) % kCircle + kCircle + kHalfCircle) % kCircle - kHalfCircle;
    if (ahead == 0) return {};
    return {ahead < 0 ? AppendRefusal::duplicate_sequence : AppendRefusal::out_of_order_sequence, false, 0};
  }

  void record(PartitionId partition, const RecordBatchInfo& batch, Offset base_offset) {
    ModelWindow& window = windows[{partition, batch.producer_id}];
    if (window.epoch != batch.producer_epoch) window = {};
    window.epoch = batch.producer_epoch;
    const int64_t first = window.batches.empty() ? 0 : window.next();
    window.batches.push_back({first, batch.record_count, base_offset});
  }
};

class ProducerTableTest : public testing::Test {
 protected:
  PartitionId any_partition() { return static_cast<PartitionId>(1 + random_.below(4)); }
  int64_t any_producer() { return 1000 + static_cast<int64_t>(random_.below(12)); }

  RecordBatchInfo draw(PartitionId partition) {
    RecordBatchInfo batch;
    batch.producer_id = any_producer();
    const bool known = model_.epochs.contains(batch.producer_id);
    batch.producer_epoch = known ? model_.epochs.at(batch.producer_id) : int16_t{0};
    if (random_.one_in(20)) batch.producer_epoch = static_cast<int16_t>(batch.producer_epoch + random_.below(3) - 1);
    // Batches of every size that an int32 can count, so that sequences come round in a few hundred steps.
    batch.record_count = random_.one_in(4) ? static_cast<int32_t>(1 + random_.below(kHalfCircle - 1))
                                           : static_cast<int32_t>(1 + random_.below(3));
    const auto window = model_.windows.find({partition, batch.producer_id});
    if (window == model_.windows.end() || window->second.epoch != batch.producer_epoch) {
      batch.base_sequence = random_.one_in(8) ? static_cast<int32_t>(random_.below(5)) : 0;
      return batch;
    }
    const std::vector<ModelBatch>& all = window->second.batches;
    if (random_.one_in(3)) {  // again, one of the last eight
      const ModelBatch& old = all[all.size() - 1 - random_.below(std::min<size_t>(8, all.size()))];
      batch.base_sequence = static_cast<int32_t>(old.first % kCircle);
      if (!random_.one_in(8)) batch.record_count = static_cast<int32_t>(old.count);
      return batch;
    }
    const int64_t skew = random_.one_in(10) ? static_cast<int64_t>(random_.below(kCircle)) : 0;
    batch.base_sequence = static_cast<int32_t>((window->second.next() + skew) % kCircle);
    return batch;
  }

  void append() {
    const PartitionId partition = any_partition();
    const RecordBatchInfo batch = draw(partition);
    const ProducerTable::Verdict expected = model_.judge(partition, batch);
    const ProducerTable::Verdict found = table_.judge(partition, batch);
    ASSERT_EQ(found.refusal, expected.refusal) << batch.base_sequence;
    ASSERT_EQ(found.repeated, expected.repeated);
    if (expected.repeated) {
      ASSERT_EQ(found.first_base_offset, expected.first_base_offset);
    }
    ++verdicts_[expected.repeated ? 100 : static_cast<int>(expected.refusal)];
    if (expected.refusal != AppendRefusal::none || expected.repeated) return;
    table_.record(partition, batch, next_offset_, ++sequence_);
    model_.record(partition, batch, next_offset_);
    next_offset_ += batch.record_count;
  }

  void bump() {
    const int64_t producer = any_producer();
    const int16_t current = model_.epochs.contains(producer) ? model_.epochs[producer] : int16_t{0};
    const auto asked = static_cast<int16_t>(current + (random_.one_in(3) ? static_cast<int16_t>(random_.below(3)) : 0));
    const bool good = producer < model_.issued && asked == current;
    ASSERT_EQ(table_.bump_epoch(producer, asked), good ? current + 1 : -1);
    if (good) model_.epochs[producer] = static_cast<int16_t>(current + 1);
  }

  void forget() {
    const PartitionId partition = any_partition();
    table_.forget_partition(partition);
    std::erase_if(model_.windows, [&](const auto& window) { return window.first.first == partition; });
  }

  void save_and_restore() {
    const std::vector<std::byte> bytes = test::saved(table_);
    ProducerTable other;
    (void)other.issue();  // what it held before is gone afterwards
    test::MemoryReader reader(bytes);
    ASSERT_TRUE(other.restore(reader));
    ASSERT_TRUE(reader.complete());
    ASSERT_EQ(test::saved(other), bytes);
    table_ = std::move(other);
  }

  SeededRandom random_{7};
  ProducerTable table_;
  Model model_;
  Offset next_offset_ = 0;
  Sequence sequence_ = 0;
  std::map<int, uint64_t> verdicts_;
};

TEST_F(ProducerTableTest, JudgesAsOneThatRemembersEverything) {
  for (uint64_t left = test::scaled(100'000); left > 0 && !HasFatalFailure(); --left) {
    if (model_.issued < 1010 && random_.one_in(50)) {
      ASSERT_EQ(table_.issue(), model_.issued++);
    }
    if (random_.one_in(400)) bump();
    if (random_.one_in(1000)) forget();
    if (random_.one_in(1000)) save_and_restore();
    append();
    ASSERT_EQ(table_.windows(), model_.windows.size());
  }
  if (std::getenv("HEPTANE_TEST_SCALE") != nullptr) return;
  // Every answer was met, else the run has shown little.
  for (const int verdict : {0, 2, 3, 4, 5, 100}) EXPECT_GT(verdicts_[verdict], 100U) << verdict;
}

RecordBatchInfo first_batch(int64_t producer) {
  RecordBatchInfo batch;
  batch.producer_id = producer;
  batch.producer_epoch = 0;
  batch.base_sequence = 0;
  batch.record_count = 1;
  return batch;
}

TEST(ProducerTableLimit, TheWindowUsedLeastRecentlyGoesFirst) {
  ProducerTable table;
  const int64_t producer = table.issue();
  Sequence sequence = 0;
  for (PartitionId partition = 1; partition <= ProducerTable::kWindowsLimit; ++partition)
    table.record(partition, first_batch(producer), 5, ++sequence);
  RecordBatchInfo second = first_batch(producer);
  second.base_sequence = 1;
  table.record(1, second, 6, ++sequence);  // used again: partition 2 is the oldest now
  table.record(ProducerTable::kWindowsLimit + 1, first_batch(producer), 5, ++sequence);
  EXPECT_EQ(table.windows(), ProducerTable::kWindowsLimit);
  EXPECT_TRUE(table.judge(1, first_batch(producer)).repeated);
  EXPECT_FALSE(table.judge(2, first_batch(producer)).repeated);
  EXPECT_EQ(table.judge(2, second).refusal, AppendRefusal::out_of_order_sequence);
  EXPECT_TRUE(table.judge(3, first_batch(producer)).repeated);
}

TEST(ProducerTableLimit, EpochsEndBeforeTheyWouldTurnNegative) {
  ProducerTable table;
  const int64_t producer = table.issue();
  for (int16_t epoch = 0; epoch < 0x7FFF; ++epoch)
    ASSERT_EQ(table.bump_epoch(producer, epoch), static_cast<int16_t>(epoch + 1));
  EXPECT_EQ(table.bump_epoch(producer, 0x7FFF), -1);
  EXPECT_EQ(table.bump_epoch(producer + 1, 0), -1) << "never issued";
}

TEST(ProducerTableLimit, ASnapshotThatIsCutShortIsRefused) {
  ProducerTable table;
  const int64_t producer = table.issue();
  (void)table.bump_epoch(table.issue(), 0);
  table.record(1, first_batch(producer), 5, 1);
  const std::vector<std::byte> bytes = test::saved(table);
  for (size_t length = 0; length < bytes.size(); ++length) {
    ProducerTable other;
    test::MemoryReader reader(Bytes(bytes).first(length));
    EXPECT_FALSE(other.restore(reader)) << length;
  }
}

}  // namespace
}  // namespace heptane::streams
