// Packs events of machines per partition into record batches, one batch an entry, with the cause of every record beside it
// (command delta, ordinal). The shard thread's; reused from batch to batch.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "kernel/shard/batch_writer.h"
#include "kernel/streams/record_batch.h"

namespace heptane::streams {

class EventPacker {
 public:
  void pack(const Event& event, Offset offset, LogTime time, uint32_t command_delta, Ordinal ordinal);
  uint64_t packed_bytes() const { return packed_bytes_; }
  void flush(PartitionId partition, BatchWriter& out);
  void flush_all(BatchWriter& out);

 private:
  struct Pack {
    PartitionId partition = kNoPartition;
    RecordBatchBuilder records;
    ByteWriter causes;
    Offset base_offset = 0;
    int64_t max_timestamp_ms = 0;
    uint64_t counted_bytes = 0;  // what packed_bytes_ holds of it
  };
  Pack& pack_of(PartitionId partition, Offset offset, int64_t timestamp_ms);
  void write(Pack& pack, BatchWriter& out);

  std::vector<std::unique_ptr<Pack>> active_;  // in order of first use
  std::vector<std::unique_ptr<Pack>> spare_;
  std::map<PartitionId, Pack*> by_partition_;
  uint64_t packed_bytes_ = 0;
};

}  // namespace heptane::streams
