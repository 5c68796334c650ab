// The index against a model that keeps every entry: what lies where, from where on, by offset, time, bytes and epoch.
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "kernel/base/random.h"
#include "kernel/streams/model_test_support.h"
#include "kernel/streams/stream_index.h"

namespace heptane::streams {
namespace {

struct ModelEntry {
  Offset first = 0;
  Offset end = 0;
  uint32_t segment = 0;
  uint32_t begin = 0;  // in the file
  uint32_t finish = 0;
  int64_t max_timestamp_ms = 0;  // of it and all before it
  Epoch epoch = 0;
};
struct ModelPartition {
  std::vector<ModelEntry> entries;  // all there ever were
  std::vector<std::pair<Epoch, Offset>> epochs;
  Offset log_start = 0;
  bool gone = false;
  Offset end() const { return entries.empty() ? 0 : entries.back().end; }
};

class StreamIndexTest : public testing::Test {
 protected:
  static constexpr PartitionId kPartitions = 6;

  PartitionId any() { return static_cast<PartitionId>(1 + random_.below(kPartitions)); }

  // One batch of the log: entries of several partitions, interleaved.
  void add_batch() {
    if (random_.one_in(200)) ++epoch_;
    if (random_.one_in(40) || batch_at_ > (8U << 20)) {
      ++segment_;
      batch_at_ = 4096;
    }
    uint32_t at = 128;
    std::vector<EntryRun> runs;
    for (uint64_t left = 1 + random_.below(12); left > 0; --left) {
      const PartitionId partition = any();
      const auto bytes = static_cast<uint32_t>(8 * (5 + random_.below(random_.one_in(20) ? 20'000 : 500)));
      add_entry(partition, at, bytes);
      at += bytes;
      if (random_.one_in(3)) at += static_cast<uint32_t>(8 * random_.below(2000));  // a command between them
    }
    batch_at_ = (batch_at_ + at + 4095) / 4096 * 4096;
  }

  void add_entry(PartitionId partition, uint32_t at, uint32_t bytes) {
    ModelPartition& model = model_[partition];
    const Offset first = next_[partition];
    const Offset end = first + 1 + static_cast<Offset>(random_.below(30));
    const int64_t timestamp = 1000 + static_cast<int64_t>(random_.below(100'000));
    index_.add({partition, first, end, at, at + bytes, timestamp, epoch_}, {segment_, batch_at_, 1 << 20});
    if (model.gone) return;
    next_[partition] = end;
    const int64_t so_far =
        model.entries.empty() ? timestamp : std::max(timestamp, model.entries.back().max_timestamp_ms);
    model.entries.push_back({first, end, segment_, batch_at_ + at, batch_at_ + at + bytes, so_far, epoch_});
    if (model.epochs.empty() || model.epochs.back().first < epoch_) model.epochs.emplace_back(epoch_, first);
  }

  void move_start() {
    const PartitionId partition = any();
    ModelPartition& model = model_[partition];
    if (model.gone) return;
    Offset start = model.log_start + static_cast<Offset>(random_.below(40)) - 5;
    if (random_.one_in(30)) start = model.end();
    start = std::min(start, model.end());
    index_.set_log_start(partition, start);
    model.log_start = std::max(model.log_start, start);
  }

  void drop() {
    const PartitionId partition = any();
    index_.drop(partition);
    model_[partition] = {};
    model_[partition].gone = true;
  }

  // A partition that is gone is never used again; here a new index takes its place, so that a long run has some.
  void renew() {
    index_ = StreamIndex{};
    model_.clear();
    next_.clear();
    forgotten_ = segment_++;
    batch_at_ = 4096;
  }

  const ModelEntry* first_with(PartitionId partition, const std::function<bool(const ModelEntry&)>& is) {
    for (const ModelEntry& entry : model_[partition].entries)
      if (is(entry)) return &entry;
    return nullptr;
  }

  void check(PartitionId partition) {
    const ModelPartition& model = model_[partition];
    ASSERT_EQ(index_.gone(partition), model.gone);
    if (model.gone) return;
    ASSERT_EQ(index_.log_start(partition), model.log_start);
    ASSERT_EQ(index_.durable_end(partition), model.end());
    check_indexed(partition);
    check_locate(partition);
    check_time(partition);
    check_bytes(partition);
    check_epochs(partition);
  }

  // Everything that lives and was not forgotten is indexed.
  void check_indexed(PartitionId partition) {
    const ModelEntry* live = first_with(partition, [&](const ModelEntry& entry) {
      return entry.segment > forgotten_ && entry.end > model_[partition].log_start;
    });
    const Offset indexed = index_.first_indexed(partition);
    ASSERT_LE(indexed, live == nullptr ? model_[partition].end() : live->first);
    if (indexed == model_[partition].end()) return;
    const ModelEntry* there = first_with(partition, [&](const ModelEntry& entry) { return entry.first == indexed; });
    ASSERT_NE(there, nullptr) << "an index begins where an entry begins";
    ASSERT_GT(there->segment, forgotten_);
  }

  void check_locate(PartitionId partition) {
    const Offset from = std::max(index_.first_indexed(partition), index_.log_start(partition));
    const Offset end = index_.durable_end(partition);
    if (from >= end) return;
    const Offset offset = from + static_cast<Offset>(random_.below(static_cast<uint64_t>(end - from)));
    const auto max_bytes = static_cast<uint32_t>(random_.below(random_.one_in(2) ? 200 : 300'000));
    std::vector<Extent> extents;
    index_.locate(partition, offset, max_bytes, extents);
    ASSERT_FALSE(extents.empty());
    // From the entry that holds the offset on, entries are covered one after another until there are enough.
    size_t extent = 0;
    bool any = false;
    bool covered = true;
    for (const ModelEntry& entry : model_[partition].entries) {
      if (entry.end <= offset) continue;
      while (extent < extents.size() &&
             (extents[extent].segment < entry.segment ||
              (extents[extent].segment == entry.segment && extents[extent].end <= entry.begin)))
        ++extent;
      covered = extent < extents.size() && extents[extent].segment == entry.segment &&
                extents[extent].begin <= entry.begin && entry.finish <= extents[extent].end;
      if (!covered) break;
      any = true;
    }
    ASSERT_TRUE(any) << "the entry that holds the offset is missing";
    // What is read counts, with what lies between the entries; the first run may hold nothing that was asked for.
    uint64_t read = 0;
    for (size_t i = 0; i < extents.size(); ++i) {
      ASSERT_LT(extents[i].begin, extents[i].end);
      if (i > 0) read += extents[i].end - extents[i].begin;
      if (i > 0 && extents[i].segment == extents[i - 1].segment) {
        ASSERT_GE(extents[i].begin, extents[i - 1].end);
      }
    }
    if (!covered) {
      ASSERT_GE(read, max_bytes);
    }
  }

  // The answer is at or before the first record that is late enough, and within 64 KiB of entries of it.
  void check_time(PartitionId partition) {
    const auto time = static_cast<int64_t>(random_.below(110'000));
    const Offset answer = index_.offset_for_time(partition, time);
    const Offset indexed = index_.first_indexed(partition);
    const ModelEntry* wanted = first_with(
        partition, [&](const ModelEntry& entry) { return entry.first >= indexed && entry.max_timestamp_ms >= time; });
    if (wanted == nullptr) {
      ASSERT_EQ(answer, index_.durable_end(partition));
      return;
    }
    ASSERT_LE(answer, std::max(wanted->first, index_.log_start(partition)));
    const ModelEntry* from = first_with(partition, [&](const ModelEntry& entry) { return entry.end > answer; });
    if (from->first >= wanted->first) return;
    ASSERT_EQ(from->segment, wanted->segment);
    ASSERT_LE(wanted->finish - from->begin, StreamIndex::kRunBytes);
  }

  uint64_t bytes_from(PartitionId partition, Offset offset) {
    uint64_t bytes = 0;
    for (const ModelEntry& entry : model_[partition].entries)
      if (entry.first >= offset) bytes += entry.finish - entry.begin;
    return bytes;
  }

  void check_bytes(PartitionId partition) {
    const Offset indexed = index_.first_indexed(partition);
    const uint64_t all = bytes_from(partition, indexed);
    ASSERT_EQ(index_.indexed_bytes(partition), all);
    const uint64_t bytes = 1 + random_.below(400'000);
    const Offset answer = index_.offset_for_bytes(partition, bytes);
    ASSERT_GE(answer, indexed);
    ASSERT_GE(bytes_from(partition, answer), std::min(bytes, all));
    // One run fewer would not be enough: the last entry from which on there are enough lies in the answer's run.
    const ModelEntry* at = nullptr;
    const ModelEntry* last = nullptr;
    const std::vector<ModelEntry>& entries = model_[partition].entries;
    uint64_t sum = 0;
    for (size_t i = entries.size(); i-- > 0 && entries[i].first >= answer;) {
      sum += entries[i].finish - entries[i].begin;
      if (last == nullptr && sum >= bytes) last = &entries[i];
      at = &entries[i];
    }
    if (last == nullptr || last == at) return;
    ASSERT_EQ(last->segment, at->segment);
    ASSERT_LE(last->finish - at->begin, StreamIndex::kRunBytes);
  }

  void check_epochs(PartitionId partition) {
    const auto& all = model_[partition].epochs;
    const auto asked = static_cast<Epoch>(random_.below(epoch_ + 2));
    std::pair<int64_t, Offset> expected{-1, -1};
    const size_t oldest = all.size() > StreamIndex::kEpochsKept ? all.size() - StreamIndex::kEpochsKept : 0;
    for (size_t i = oldest; i < all.size(); ++i)
      if (all[i].first <= asked)
        expected = {all[i].first, i + 1 < all.size() ? all[i + 1].second : index_.durable_end(partition)};
    ASSERT_EQ(index_.epoch_end(partition, asked), expected);
  }

  void check_oldest_segment() {
    uint32_t oldest = UINT32_MAX;
    for (PartitionId partition = 1; partition <= kPartitions; ++partition)
      if (const ModelEntry* first = first_with(
              partition, [&](const ModelEntry& entry) { return entry.first == index_.first_indexed(partition); }))
        oldest = std::min(oldest, first->segment);
    ASSERT_EQ(index_.oldest_segment(), oldest);
  }

  void save_and_restore() {
    const std::vector<std::byte> bytes = test::saved(index_);
    StreamIndex other;
    test::MemoryReader reader(bytes);
    ASSERT_TRUE(other.restore(reader));
    ASSERT_TRUE(reader.complete());
    ASSERT_EQ(test::saved(other), bytes);
    ASSERT_EQ(other.memory_bytes(), index_.memory_bytes());
    index_ = std::move(other);
  }

  SeededRandom random_{11};
  StreamIndex index_;
  std::map<PartitionId, ModelPartition> model_;
  std::map<PartitionId, Offset> next_;
  Epoch epoch_ = 1;
  uint32_t segment_ = 1;
  uint32_t batch_at_ = 4096;
  uint32_t forgotten_ = 0;
};

TEST_F(StreamIndexTest, FindsWhatAModelFinds) {
  for (uint64_t left = test::scaled(30'000); left > 0 && !HasFatalFailure(); --left) {
    add_batch();
    if (random_.one_in(2)) move_start();
    if (random_.one_in(2000)) drop();
    if (random_.one_in(60)) {
      forgotten_ =
          std::max(forgotten_, segment_ - std::min<uint32_t>(segment_, static_cast<uint32_t>(random_.below(6))));
      index_.forget_segments(forgotten_);
      // The segment being written is never the archive's.
      if (forgotten_ == segment_) {
        ++segment_;
        batch_at_ = 4096;
      }
    }
    if (random_.one_in(500)) save_and_restore();
    if (random_.one_in(600)) renew();
    for (int i = 0; i < 4 && !HasFatalFailure(); ++i) check(any());
    if (random_.one_in(20)) check_oldest_segment();
  }
}

TEST(StreamIndexSnapshot, OneThatIsCutShortIsRefused) {
  StreamIndex index;
  index.add({1, 0, 3, 128, 256, 1000, 1}, {1, 4096, 4096});
  index.add({2, 0, 3, 256, 512, 1000, 1}, {1, 4096, 4096});
  const std::vector<std::byte> bytes = test::saved(index);
  for (size_t length = 0; length < bytes.size(); ++length) {
    StreamIndex other;
    test::MemoryReader reader(Bytes(bytes).first(length));
    EXPECT_FALSE(other.restore(reader)) << length;
  }
}

}  // namespace
}  // namespace heptane::streams
