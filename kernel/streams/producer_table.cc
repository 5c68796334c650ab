#include "kernel/streams/producer_table.h"

#include <algorithm>

namespace heptane::streams {

namespace {

// Sequence numbers wrap from 2^31 - 1 to 0.
int32_t sequence_after(int32_t sequence, int64_t steps) {
  return static_cast<int32_t>((int64_t{sequence} + steps) & 0x7FFFFFFF);
}

}  // namespace

ProducerTable::Verdict ProducerTable::judge(PartitionId partition, const RecordBatchInfo& batch) const {
  const auto refuse = [](AppendRefusal refusal) { return Verdict{refusal, false, 0}; };
  if (batch.producer_id >= next_producer_id_) return refuse(AppendRefusal::unknown_producer);
  const auto issued = epochs_.find(batch.producer_id);
  const int16_t epoch = issued == epochs_.end() ? int16_t{0} : issued->second;
  if (batch.producer_epoch < epoch) return refuse(AppendRefusal::fenced_producer);
  if (batch.producer_epoch > epoch) return refuse(AppendRefusal::unknown_producer);

  const auto found = windows_.find({partition, batch.producer_id});
  if (found == windows_.end() || found->second.epoch != batch.producer_epoch) {
    // The first batch of this producer here. An earlier one may have been refused or be under way: no gap is let in.
    return batch.base_sequence == 0 ? Verdict{} : refuse(AppendRefusal::out_of_order_sequence);
  }
  const Window& window = found->second;
  const int32_t last_sequence = sequence_after(batch.base_sequence, batch.record_count - 1);
  for (size_t i = 0; i < window.count; ++i)
    if (window.batches[i].first_sequence == batch.base_sequence && window.batches[i].last_sequence == last_sequence)
      return {AppendRefusal::none, true, window.batches[i].base_offset};
  const int32_t newest = window.batches[window.count - 1].last_sequence;
  if (batch.base_sequence == sequence_after(newest, 1)) return {};
  // Half of the circle behind the newest is the past.
  const auto behind = static_cast<uint32_t>(newest - batch.base_sequence) & 0x7FFFFFFFU;
  return refuse(behind < 0x40000000U ? AppendRefusal::duplicate_sequence : AppendRefusal::out_of_order_sequence);
}

void ProducerTable::record(PartitionId partition, const RecordBatchInfo& batch, Offset base_offset, Sequence sequence) {
  const Key key{partition, batch.producer_id};
  const auto [found, is_new] = windows_.try_emplace(key);
  Window& window = found->second;
  if (!is_new) by_use_.erase(window.last_used);
  if (is_new || window.epoch != batch.producer_epoch) {
    window.epoch = batch.producer_epoch;
    window.count = 0;
  }
  if (window.count == kBatchesKept) {
    std::move(window.batches.begin() + 1, window.batches.end(), window.batches.begin());
    --window.count;
  }
  window.batches[window.count++] = {batch.base_sequence, sequence_after(batch.base_sequence, batch.record_count - 1),
                                    base_offset};
  window.last_used = sequence;
  by_use_[sequence] = key;
  if (windows_.size() > kWindowsLimit) evict_oldest();
}

void ProducerTable::evict_oldest() {
  const auto oldest = by_use_.begin();
  windows_.erase(oldest->second);
  by_use_.erase(oldest);
}

int64_t ProducerTable::issue() { return next_producer_id_++; }

int16_t ProducerTable::bump_epoch(int64_t producer_id, int16_t epoch) {
  if (producer_id < 0 || producer_id >= next_producer_id_ || epoch < 0 || epoch == 0x7FFF) return -1;
  const auto issued = epochs_.find(producer_id);
  const int16_t current = issued == epochs_.end() ? int16_t{0} : issued->second;
  if (epoch != current) return -1;
  if (issued == epochs_.end() && epochs_.size() >= kProducersLimit) return -1;
  epochs_[producer_id] = static_cast<int16_t>(current + 1);
  return static_cast<int16_t>(current + 1);
}

void ProducerTable::forget_partition(PartitionId partition) {
  auto at = windows_.lower_bound({partition, INT64_MIN});
  while (at != windows_.end() && at->first.first == partition) {
    by_use_.erase(at->second.last_used);
    at = windows_.erase(at);
  }
}

void ProducerTable::save(SnapshotWriter& writer) const {
  writer.le<int64_t>(next_producer_id_);
  writer.le<uint64_t>(epochs_.size());
  for (const auto& [producer, epoch] : epochs_) {
    writer.le<int64_t>(producer);
    writer.le<int16_t>(epoch);
  }
  writer.le<uint64_t>(windows_.size());
  for (const auto& [key, window] : windows_) {
    writer.le<uint32_t>(key.first);
    writer.le<int64_t>(key.second);
    writer.le<int16_t>(window.epoch);
    writer.le<uint64_t>(window.last_used);
    writer.le<uint8_t>(window.count);
    for (size_t i = 0; i < window.count; ++i) {
      writer.le<int32_t>(window.batches[i].first_sequence);
      writer.le<int32_t>(window.batches[i].last_sequence);
      writer.le<int64_t>(window.batches[i].base_offset);
    }
  }
}

Result<void> ProducerTable::restore(SnapshotReader& reader) {
  epochs_.clear();
  windows_.clear();
  by_use_.clear();
  next_producer_id_ = reader.le<int64_t>();
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const auto producer = reader.le<int64_t>();
    epochs_[producer] = reader.le<int16_t>();
  }
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const auto partition = reader.le<uint32_t>();
    const auto producer = reader.le<int64_t>();
    Window window;
    window.epoch = reader.le<int16_t>();
    window.last_used = reader.le<uint64_t>();
    window.count = reader.le<uint8_t>();
    if (window.count > kBatchesKept) reader.fail();
    for (size_t i = 0; i < window.count && !reader.failed(); ++i) {
      window.batches[i].first_sequence = reader.le<int32_t>();
      window.batches[i].last_sequence = reader.le<int32_t>();
      window.batches[i].base_offset = reader.le<int64_t>();
    }
    by_use_[window.last_used] = {partition, producer};
    windows_[{partition, producer}] = window;
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's producers do not read back"};
  return {};
}

}  // namespace heptane::streams
