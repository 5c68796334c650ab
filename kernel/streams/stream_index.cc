#include "kernel/streams/stream_index.h"

#include <algorithm>

#include "kernel/shard/snapshot_io.h"

namespace heptane::streams {

void StreamIndex::add(const EntryRun& run, const log::BatchPlace& place) {
  if (run.partition >= partitions_.size()) partitions_.resize(run.partition + 1);
  Partition& partition = partitions_[run.partition];
  const uint32_t begin = place.offset + run.begin;
  const uint32_t end = place.offset + run.finish;
  partition.end = run.end;
  if (!partition.runs.empty()) {
    Run& last = partition.runs.back();
    if (last.segment == place.segment && last.batch == place.offset && end - last.begin <= kRunBytes) {
      last.end = end;
      return;
    }
  }
  partition.runs.push_back({run.first, place.segment, begin, end, place.offset});
  ++runs_total_;
}

void StreamIndex::drop(PartitionId partition) {
  if (partition >= partitions_.size()) return;
  runs_total_ -= partitions_[partition].runs.size();
  partitions_[partition] = Partition{};
}

Offset StreamIndex::durable_end(PartitionId partition) const {
  return partition < partitions_.size() ? partitions_[partition].end : 0;
}

void StreamIndex::locate(PartitionId partition, Offset offset, uint32_t max_bytes, std::vector<Extent>& extents) const {
  const std::vector<Run>& runs = partitions_[partition].runs;
  auto at = std::upper_bound(runs.begin(), runs.end(), offset, [](Offset o, const Run& run) { return o < run.first; });
  if (at != runs.begin()) --at;
  uint64_t bytes = 0;
  for (; at != runs.end(); ++at) {
    // The first run is taken whole, and one more than asked for, since records before `offset` count for nothing.
    if (extents.size() > 1 && bytes >= std::min(max_bytes, kReadLimitBytes)) break;
    if (!extents.empty()) bytes += at->end - at->begin;
    extents.push_back({at->segment, at->begin, at->end});
  }
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
    writer.le<uint64_t>(partition.runs.size());
    for (const Run& run : partition.runs) {
      writer.le<int64_t>(run.first);
      for (const uint32_t number : {run.segment, run.begin, run.end, run.batch}) writer.le<uint32_t>(number);
    }
  }
}

Result<void> StreamIndex::restore(SnapshotReader& reader) {
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    Partition& partition = partitions_.emplace_back();
    partition.end = reader.le<int64_t>();
    for (auto runs = reader.le<uint64_t>(); runs > 0 && !reader.failed(); --runs) {
      Run run;
      run.first = reader.le<int64_t>();
      for (uint32_t* number : {&run.segment, &run.begin, &run.end, &run.batch}) *number = reader.le<uint32_t>();
      partition.runs.push_back(run);
      ++runs_total_;
    }
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's stream index does not read back"};
  return {};
}

}  // namespace heptane::streams
