// Segment files: names, the header in their first block, how one comes into being, which ones a directory holds.
// A segment has its final name only when it is whole: allocated, header written, synced; then the rename and its
// directory's sync. Any thread; no state.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/log/batch.h"

namespace heptane::log {

constexpr uint64_t kSegmentBytesMin = 2 * kBlockBytes;
constexpr uint64_t kSegmentBytesMax = (uint64_t{1} << 32) - kBlockBytes;  // offsets are 32 bits

struct SegmentHeader {
  uint16_t version = kFormatVersion;
  uint32_t number = 0;
  uint64_t segment_bytes = 0;  // length of the file
  LogId log_id{};
  ShardId shard = 0;
};

void encode(const SegmentHeader& header, std::byte* block);  // all kBlockBytes of it
// Errc::corrupt, or Errc::unsupported (naming the version).
Result<SegmentHeader> decode_segment_header(Bytes block);

std::string segment_name(uint32_t number);  // 0000000001.seg
std::string segment_path(const std::string& directory, uint32_t number);

// Makes the file under a temporary name, whole and synced; returns that name's path and the open file.
struct NewSegment {
  std::string temporary_path;
  std::unique_ptr<File> file;
};
Result<NewSegment> prepare_segment(Disk& disk, const std::string& directory, const SegmentHeader& header,
                                   const char* suffix);
// prepare_segment, rename (replaces), sync of the directory.
Result<std::unique_ptr<File>> make_segment(Disk& disk, const std::string& directory, const SegmentHeader& header);

// A file with a segment's name, as found.
struct SegmentFile {
  uint32_t number = 0;
  std::string path;
  uint64_t file_bytes = 0;
  Result<SegmentHeader> header = SegmentHeader{};
};
// Errc::not_found when it is not there (any more).
Result<SegmentFile> open_segment(Disk& disk, const std::string& directory, uint32_t number);

struct SegmentListing {
  std::vector<SegmentFile> segments;   // by number
  std::vector<std::string> leftovers;  // paths of temporary files
};
// Errc::not_found passes through when the directory is missing. A segment that vanishes meanwhile is left out.
Result<SegmentListing> list_segments(Disk& disk, const std::string& directory);

// Refuses what no recovery can read over: a damaged or foreign header, a number that is not the name's, a hole.
Result<void> check_segment(const SegmentFile& segment, const LogId& log_id, ShardId shard);
Result<void> check_no_hole(const std::vector<SegmentFile>& segments);

bool is_zero(Bytes bytes);

}  // namespace heptane::log
