// Shared by verify, dump and repair: the segments of a data directory and where reading them begins.
#pragma once

#include "kernel/log/batch_scanner.h"
#include "kernel/log/log_tool.h"

namespace heptane::log {

// Where a scan of `segments` can begin: the log's beginning, or what the first batch of a trimmed log says of itself.
Result<ScanPosition> scan_start(Disk& disk, const std::vector<SegmentFile>& segments);
// The first segment whose own header can be read names the log.
std::optional<LogId> log_id_of(const std::vector<SegmentFile>& segments);
// How many of the first segments are sound and follow each other; `why` says what is wrong with the next.
size_t sound_prefix(const std::vector<SegmentFile>& segments, const LogId& id, ShardId shard, Error& why);

}  // namespace heptane::log
