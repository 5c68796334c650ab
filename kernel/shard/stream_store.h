// What the shard needs of the streams machine, which lives above it: offsets for events while commands are applied, the
// record batches they are packed into when a batch closes, and the index that turns synced places into reads.
// The shard thread's.
#pragma once

#include <cstdint>
#include <functional>

#include "kernel/shard/effects.h"
#include "kernel/shard/messages.h"
#include "kernel/shard/views.h"

namespace heptane {

class BatchWriter;

// Consecutive records of one partition inside one log entry.
struct EntryRun {
  PartitionId partition = kNoPartition;
  Offset first = 0;
  Offset end = 0;      // one past the last
  uint32_t begin = 0;  // byte range of the entry, from the batch header
  uint32_t finish = 0;
  int64_t max_timestamp_ms = 0;
  Epoch epoch = 0;  // of the batch it was written in
};

// The run of a view's records, without the bytes' range.
inline EntryRun place_of_view(const log::ViewRun& run, LogTime time, Epoch epoch) {
  constexpr int64_t kNsPerMs = 1'000'000;
  return {run.partition, run.first, run.end(), 0, 0, time / kNsPerMs, epoch};
}

// What an event must know of its partition.
struct PartitionHead {
  Offset next_offset = 0;
  ViewId view{};  // whose view it is, if any
};

class StreamStore {
 public:
  virtual ~StreamStore() = default;
  // nullptr: it is not there. The running command's; only keeping a command moves next_offset on.
  virtual PartitionHead* head(PartitionId partition) = 0;
  const PartitionHead* head(PartitionId partition) const { return const_cast<StreamStore*>(this)->head(partition); }
  bool has_partition(PartitionId partition) const { return head(partition) != nullptr; }

  // Packs an event of a kept command; its offset is next_offset(partition), which moves on.
  virtual void pack(const Event& event, LogTime time, uint32_t command_delta, Ordinal ordinal) = 0;
  // Bytes the packed events will take in the batch, at most.
  virtual uint64_t packed_bytes() const = 0;
  // Writes the packed events of one partition (before a record batch of its own) or of all (when the batch closes).
  virtual void flush(PartitionId partition, BatchWriter& out) = 0;
  virtual void flush_all(BatchWriter& out) = 0;

  // A kept record batch command: writes base offset (the reply's) and leader epoch into the batch's bytes.
  virtual EntryRun place_batch(PartitionId partition, Offset base_offset, std::byte* batch, Epoch epoch) = 0;
  // The run of a logged record batch.
  virtual EntryRun read_run(PartitionId partition, Bytes batch, uint32_t begin, uint32_t finish) const = 0;

  // The records of a batch that the kernel packed, in order: offset and value.
  virtual void for_each_packed(Bytes batch, const std::function<void(Offset, Bytes)>& each) const = 0;

  // The index: `run` is synced and lies in the batch at `place`. Runs of a partition come in offset order.
  virtual void add_durable(const EntryRun& run, const log::BatchPlace& place) = 0;
  // Everything up to `upto` is synced: reads may see its deletions and new log starts. True: partitions are gone.
  virtual bool settle(Sequence upto) = 0;
  virtual ReadReply locate(const ReadRequest& request) const = 0;
  // The index beside a snapshot: places, not state, so no part of the state hash.
  virtual void save_index(SnapshotWriter& writer) const = 0;
  virtual Result<void> restore_index(SnapshotReader& reader) = 0;
  // One past the last synced offset; 0 for an unknown partition.
  virtual Offset durable_end(PartitionId partition) const = 0;
};

}  // namespace heptane
