// Where the synced records of each partition lie in the log, and what reads may see of a partition: its start, its end,
// whether it is gone. A stream is an index over the log. Runs of about 64 KiB; rebuilt by replay or read from beside a
// snapshot; places, not state. Everything here is synced: a deletion or a new start arrives when its command is durable.
// The shard thread's.
#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "kernel/shard/stream_store.h"

namespace heptane::streams {

class StreamIndex {
 public:
  static constexpr uint32_t kRunBytes = 64 << 10;
  static constexpr uint32_t kReadLimitBytes = 16 << 20;  // of one answer's extents
  static constexpr size_t kEpochsKept = 16;              // of a partition; of older ones the end is not known

  void add(const EntryRun& run, const log::BatchPlace& place);
  // The partition was deleted for ever.
  void drop(PartitionId partition);
  bool gone(PartitionId partition) const { return partition < partitions_.size() && partitions_[partition].gone; }
  // Records below `offset` are no longer offered, and runs that hold nothing else are forgotten. Never moves back.
  void set_log_start(PartitionId partition, Offset offset);
  // Runs in segments up to this one are forgotten: their records are found elsewhere now.
  void forget_segments(uint32_t upto);

  Offset log_start(PartitionId partition) const;
  Offset durable_end(PartitionId partition) const;
  // First offset that the index has a place for; the end when it has none.
  Offset first_indexed(PartitionId partition) const;
  uint64_t indexed_bytes(PartitionId partition) const;
  // Fills the extents that hold records from `offset` (first_indexed <= offset < durable_end) on.
  void locate(PartitionId partition, Offset offset, uint32_t max_bytes, std::vector<Extent>& extents) const;
  // First offset of the first run that holds a record with a timestamp >= time_ms; the end when none does.
  Offset offset_for_time(PartitionId partition, int64_t time_ms) const;
  // First offset of the oldest runs that must stay so that their bytes are at least `bytes`; first_indexed when all must.
  Offset offset_for_bytes(PartitionId partition, uint64_t bytes) const;
  // The largest epoch <= `epoch` that wrote, and the offset behind its last record; {-1, -1} when that is not known.
  std::pair<int64_t, Offset> epoch_end(PartitionId partition, Epoch epoch) const;
  // The oldest segment that still holds records of a partition; UINT32_MAX when none does.
  uint32_t oldest_segment() const;
  uint64_t memory_bytes() const { return runs_total_ * sizeof(Run) + partitions_.size() * sizeof(Partition); }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct Run {
    Offset first = 0;
    int64_t max_timestamp_ms = 0;  // of this run and all before it
    uint32_t segment = 0;
    uint32_t begin = 0;  // bytes in the segment file
    uint32_t end = 0;
    uint32_t batch = 0;  // the log batch's offset: a run never spans two
    uint32_t bytes = 0;  // of the partition's own entries
  };
  struct EpochStart {
    Epoch epoch = 0;
    Offset first = 0;
  };
  struct Partition {
    std::vector<Run> runs;
    EpochStart epoch;                                       // the newest that wrote; 0 = none
    std::unique_ptr<std::vector<EpochStart>> older_epochs;  // oldest first; most partitions have none
    Offset end = 0;
    Offset log_start = 0;
    int64_t max_timestamp_ms = INT64_MIN;
    uint64_t bytes = 0;  // of the runs
    bool gone = false;
  };
  Partition& at(PartitionId partition);
  void forget_runs(Partition& partition, std::vector<Run>::iterator upto);
  static void note_epoch(Partition& partition, EpochStart start);
  static std::vector<EpochStart> epochs_of(const Partition& partition);

  std::deque<Partition> partitions_;  // by PartitionId
  uint64_t runs_total_ = 0;
};

}  // namespace heptane::streams
