// What a position of the log says: the command, who sent it, and the records it made. Reads the files of a data directory,
// of a running server too: segments are only appended to. One segment is read through, 64 MiB as a rule.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "kernel/shard/command_words.h"
#include "kernel/shard/views.h"

namespace heptane::archive {

constexpr size_t kExplainedRecords = 1000;

struct ExplainedRecord {
  PartitionId partition = kNoPartition;
  Offset offset = 0;
  std::string text;  // key and value, cut to 512 bytes, printable
  std::string key;   // as they are
  std::string value;
};

struct Explanation {
  std::string position;
  std::string time;                                        // UTC, nanoseconds
  std::string what;                                        // `create a stream`, `ledger: create transfers`
  std::vector<std::pair<std::string, std::string>> facts;  // name and value
  std::vector<ExplainedRecord> records;                    // at most kExplainedRecords
  uint64_t records_left_out = 0;
};

// Errc::not_found: no command has that position, or it is gone with its retention; Errc::corrupt.
// `renderers` of this program's modules: records of views are rendered. `commands`: what its machines say of theirs.
Result<Explanation> explain(Disk& disk, const std::string& data_directory, ShardId shard, Sequence sequence,
                            const ViewRenderers& renderers, const CommandTable& commands = {});

}  // namespace heptane::archive
