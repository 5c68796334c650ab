#include "kernel/streams/stream_index.h"

#include <algorithm>

#include "kernel/shard/snapshot_io.h"

namespace heptane::streams {

StreamIndex::Partition& StreamIndex::at(PartitionId partition) {
  if (partition >= partitions_.size()) partitions_.resize(partition + 1);
  return partitions_[partition];
}

void StreamIndex::note_epoch(Partition& partition, EpochStart start) {
  if (partition.epoch.epoch != 0) {
    if (!partition.older_epochs) partition.older_epochs = std::make_unique<std::vector<EpochStart>>();
    std::vector<EpochStart>& older = *partition.older_epochs;
    if (older.size() == kEpochsKept - 1) older.erase(older.begin());
    older.push_back(partition.epoch);
  }
  partition.epoch = start;
}

std::vector<StreamIndex::EpochStart> StreamIndex::epochs_of(const Partition& partition) {
  std::vector<EpochStart> epochs;
  if (partition.older_epochs) epochs = *partition.older_epochs;
  if (partition.epoch.epoch != 0) epochs.push_back(partition.epoch);
  return epochs;
}

void StreamIndex::add(const EntryRun& run, const log::BatchPlace& place) {
  Partition& partition = at(run.partition);
  if (partition.gone) return;
  const uint32_t begin = place.offset + run.begin;
  const uint32_t end = place.offset + run.finish;
  partition.end = run.end;
  partition.max_timestamp_ms = std::max(partition.max_timestamp_ms, run.max_timestamp_ms);
  partition.bytes += end - begin;
  if (partition.epoch.epoch < run.epoch) note_epoch(partition, {run.epoch, run.first});
  if (!partition.runs.empty()) {
    Run& last = partition.runs.back();
    if (last.segment == place.segment && last.batch == place.offset && end - last.begin <= kRunBytes) {
      last.end = end;
      last.bytes += end - begin;
      last.max_timestamp_ms = partition.max_timestamp_ms;
      return;
    }
  }
  partition.runs.push_back(
      {run.first, partition.max_timestamp_ms, place.segment, begin, end, place.offset, end - begin});
  ++runs_total_;
}

void StreamIndex::drop(PartitionId partition) {
  Partition& dropped = at(partition);
  runs_total_ -= dropped.runs.size();
  dropped = Partition{};
  dropped.gone = true;
}

void StreamIndex::forget_runs(Partition& partition, std::vector<Run>::iterator upto) {
  for (auto run = partition.runs.begin(); run != upto; ++run) partition.bytes -= run->bytes;
  runs_total_ -= static_cast<uint64_t>(upto - partition.runs.begin());
  partition.runs.erase(partition.runs.begin(), upto);
  if (partition.runs.empty()) partition.runs.shrink_to_fit();
}

void StreamIndex::set_log_start(PartitionId partition, Offset offset) {
  Partition& moved = at(partition);
  if (moved.gone || offset <= moved.log_start) return;
  moved.log_start = offset;
  auto keep = std::upper_bound(moved.runs.begin(), moved.runs.end(), offset,
                               [](Offset wanted, const Run& run) { return wanted < run.first; });
  // The run before it may hold the start itself, unless everything goes.
  if (keep != moved.runs.begin() && offset < moved.end) --keep;
  forget_runs(moved, keep);
}

void StreamIndex::forget_segments(uint32_t upto) {
  for (Partition& partition : partitions_) {
    const auto keep = std::find_if(partition.runs.begin(), partition.runs.end(),
                                   [upto](const Run& run) { return run.segment > upto; });
    if (keep != partition.runs.begin()) forget_runs(partition, keep);
  }
}

Offset StreamIndex::log_start(PartitionId partition) const {
  return partition < partitions_.size() ? partitions_[partition].log_start : 0;
}

Offset StreamIndex::durable_end(PartitionId partition) const {
  return partition < partitions_.size() ? partitions_[partition].end : 0;
}

Offset StreamIndex::first_indexed(PartitionId partition) const {
  if (partition >= partitions_.size()) return 0;
  const Partition& found = partitions_[partition];
  return found.runs.empty() ? found.end : found.runs.front().first;
}

uint64_t StreamIndex::indexed_bytes(PartitionId partition) const {
  return partition < partitions_.size() ? partitions_[partition].bytes : 0;
}

void StreamIndex::locate(PartitionId partition, Offset offset, uint32_t max_bytes, std::vector<Extent>& extents) const {
  const std::vector<Run>& runs = partitions_[partition].runs;
  auto run = std::upper_bound(runs.begin(), runs.end(), offset, [](Offset o, const Run& r) { return o < r.first; });
  if (run != runs.begin()) --run;
  uint64_t bytes = 0;
  for (; run != runs.end(); ++run) {
    // The first run is taken whole, and one more than asked for, since records before `offset` count for nothing.
    if (extents.size() > 1 && bytes >= std::min(max_bytes, kReadLimitBytes)) break;
    if (!extents.empty()) bytes += run->end - run->begin;
    extents.push_back({run->segment, run->begin, run->end});
  }
}

Offset StreamIndex::offset_for_time(PartitionId partition, int64_t time_ms) const {
  if (partition >= partitions_.size()) return 0;
  const Partition& found = partitions_[partition];
  const auto run = std::lower_bound(found.runs.begin(), found.runs.end(), time_ms,
                                    [](const Run& r, int64_t time) { return r.max_timestamp_ms < time; });
  return run == found.runs.end() ? found.end : std::max(run->first, found.log_start);
}

Offset StreamIndex::offset_for_bytes(PartitionId partition, uint64_t bytes) const {
  if (partition >= partitions_.size()) return 0;
  const Partition& found = partitions_[partition];
  uint64_t kept = 0;
  for (auto run = found.runs.rbegin(); run != found.runs.rend(); ++run) {
    kept += run->bytes;
    if (kept >= bytes) return run->first;
  }
  return first_indexed(partition);
}

std::pair<int64_t, Offset> StreamIndex::epoch_end(PartitionId partition, Epoch epoch) const {
  constexpr std::pair<int64_t, Offset> kUnknown{-1, -1};
  if (partition >= partitions_.size()) return kUnknown;
  const Partition& found = partitions_[partition];
  const std::vector<EpochStart> epochs = epochs_of(found);
  auto next = std::upper_bound(epochs.begin(), epochs.end(), epoch,
                               [](Epoch wanted, const EpochStart& start) { return wanted < start.epoch; });
  if (next == epochs.begin()) return kUnknown;
  const Offset end = next == epochs.end() ? found.end : next->first;
  return {static_cast<int64_t>(std::prev(next)->epoch), end};
}

uint32_t StreamIndex::oldest_segment() const {
  uint32_t oldest = UINT32_MAX;
  for (const Partition& partition : partitions_)
    if (!partition.runs.empty()) oldest = std::min(oldest, partition.runs.front().segment);
  return oldest;
}

void StreamIndex::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(partitions_.size());
  for (const Partition& partition : partitions_) {
    writer.le<int64_t>(partition.end);
    writer.le<int64_t>(partition.log_start);
    writer.le<int64_t>(partition.max_timestamp_ms);
    writer.le<uint8_t>(partition.gone ? 1 : 0);
    const std::vector<EpochStart> epochs = epochs_of(partition);
    writer.le<uint32_t>(static_cast<uint32_t>(epochs.size()));
    for (const EpochStart& start : epochs) {
      writer.le<uint32_t>(start.epoch);
      writer.le<int64_t>(start.first);
    }
    writer.le<uint64_t>(partition.runs.size());
    for (const Run& run : partition.runs) {
      writer.le<int64_t>(run.first);
      writer.le<int64_t>(run.max_timestamp_ms);
      for (const uint32_t number : {run.segment, run.begin, run.end, run.batch, run.bytes}) writer.le<uint32_t>(number);
    }
  }
}

Result<void> StreamIndex::restore(SnapshotReader& reader) {
  partitions_.clear();
  runs_total_ = 0;
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    Partition& partition = partitions_.emplace_back();
    partition.end = reader.le<int64_t>();
    partition.log_start = reader.le<int64_t>();
    partition.max_timestamp_ms = reader.le<int64_t>();
    partition.gone = reader.le<uint8_t>() != 0;
    for (auto epochs = reader.le<uint32_t>(); epochs > 0 && !reader.failed(); --epochs) {
      EpochStart start;
      start.epoch = reader.le<uint32_t>();
      start.first = reader.le<int64_t>();
      note_epoch(partition, start);
    }
    for (auto runs = reader.le<uint64_t>(); runs > 0 && !reader.failed(); --runs) {
      Run run;
      run.first = reader.le<int64_t>();
      run.max_timestamp_ms = reader.le<int64_t>();
      for (uint32_t* number : {&run.segment, &run.begin, &run.end, &run.batch, &run.bytes})
        *number = reader.le<uint32_t>();
      partition.bytes += run.bytes;
      partition.runs.push_back(run);
      ++runs_total_;
    }
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's stream index does not read back"};
  return {};
}

}  // namespace heptane::streams
