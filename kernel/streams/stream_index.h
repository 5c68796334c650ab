// Where the synced records of each partition lie in the log: a stream is an index over the log. Runs of about 64 KiB;
// rebuilt by replay or read from beside a snapshot; places, not state. The shard thread's.
#pragma once

#include <vector>

#include "kernel/shard/stream_store.h"

namespace heptane::streams {

class StreamIndex {
 public:
  static constexpr uint32_t kRunBytes = 64 << 10;
  static constexpr uint32_t kReadLimitBytes = 16 << 20;  // of one answer's extents

  void add(const EntryRun& run, const log::BatchPlace& place);
  void drop(PartitionId partition);
  Offset durable_end(PartitionId partition) const;
  // Fills the extents that hold records from `offset` (log_start <= offset < durable_end) on.
  void locate(PartitionId partition, Offset offset, uint32_t max_bytes, std::vector<Extent>& extents) const;
  // The oldest segment that still holds records of a partition; UINT32_MAX when none does.
  uint32_t oldest_segment() const;
  uint64_t memory_bytes() const { return runs_total_ * sizeof(Run); }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct Run {
    Offset first = 0;
    uint32_t segment = 0;
    uint32_t begin = 0;  // bytes in the segment file
    uint32_t end = 0;
    uint32_t batch = 0;  // the log batch's offset: a run never spans two
  };
  struct Partition {
    std::vector<Run> runs;
    Offset end = 0;
  };
  std::vector<Partition> partitions_;  // by PartitionId
  uint64_t runs_total_ = 0;
};

}  // namespace heptane::streams
