#include "kernel/log/log_tool_scan.h"

#include "kernel/log/segment_reader.h"

namespace heptane::log {

Result<ScanPosition> scan_start(Disk& disk, const std::vector<SegmentFile>& segments) {
  ScanPosition start;
  start.segment = segments.front().number;
  start.offset = kBlockBytes;
  if (start.segment == 1) return start;
  Result<BatchHeader> first = first_batch_header(disk, segments.front());
  if (!first) return std::move(first.error());
  const bool jump = (first->flags & kJumpFlag) != 0;
  start.next_sequence = jump ? first->durable_upto + 1 : first->first_sequence;
  start.chain = first->previous_chain;
  start.epoch = first->epoch;
  return start;
}

std::optional<LogId> log_id_of(const std::vector<SegmentFile>& segments) {
  for (const SegmentFile& segment : segments)
    if (segment.header) return segment.header->log_id;
  return std::nullopt;
}

size_t sound_prefix(const std::vector<SegmentFile>& segments, const LogId& id, ShardId shard, Error& why) {
  for (size_t i = 0; i < segments.size(); ++i) {
    Result<void> sound = check_segment(segments[i], id, shard);
    if (sound && i > 0) sound = check_no_hole({segments[i - 1], segments[i]});
    if (sound) continue;
    why = std::move(sound.error());
    return i;
  }
  return segments.size();
}

}  // namespace heptane::log
