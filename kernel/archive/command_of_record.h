// Which command made a record: its batch is read at the place that the index names, no segment is searched. Reads the files of
// a data directory, of a running server too; at most one batch (8 MiB). Any thread; blocks.
#pragma once

#include <string>

#include "kernel/base/disk.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"

namespace heptane::archive {

// A synced record, and a byte of the log batch that holds it (streams::kLocate says which).
struct RecordPlace {
  PartitionId partition = kNoPartition;
  Offset offset = 0;
  uint32_t segment = 0;
  uint32_t byte = 0;  // in the segment's file, at or behind the batch's header
};

// The sequence of the command. Errc::not_found: the segment went meanwhile; Errc::corrupt: what is there holds no such record.
Result<Sequence> command_of_record(Disk& disk, const std::string& data_directory, ShardId shard,
                                   const RecordPlace& place);

}  // namespace heptane::archive
