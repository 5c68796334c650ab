#include "kernel/log/segment.h"

#include <algorithm>
#include <cstdio>

#include "kernel/base/crc32c.h"
#include "kernel/log/layout.h"

namespace heptane::log {

namespace {

constexpr std::string_view kSegmentSuffix = ".seg";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr size_t kNumberDigits = 10;

uint32_t segment_header_crc(const std::byte* block) {
  static constexpr std::byte kZeros[4] = {};
  uint32_t crc = crc32c({block, layout::kSegmentCrc});
  crc = crc32c(kZeros, crc);
  return crc32c({block + layout::kSegmentCrc + 4, kBlockBytes - layout::kSegmentCrc - 4}, crc);
}

std::optional<uint32_t> number_of(std::string_view name) {
  if (name.size() != kNumberDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) return std::nullopt;
  uint64_t number = 0;
  for (const char digit : name.substr(0, kNumberDigits)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(digit - '0');
  }
  if (number == 0 || number > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(number);
}

}  // namespace

void encode(const SegmentHeader& header, std::byte* block) {
  std::memset(block, 0, kBlockBytes);
  std::memcpy(block + layout::kSegmentMagic, layout::kSegmentMagicBytes, sizeof layout::kSegmentMagicBytes);
  store_le<uint16_t>(block + layout::kSegmentVersion, header.version);
  store_le<uint32_t>(block + layout::kSegmentNumber, header.number);
  store_le<uint64_t>(block + layout::kSegmentBytes, header.segment_bytes);
  std::memcpy(block + layout::kSegmentLogId, header.log_id.data(), header.log_id.size());
  store_le<uint16_t>(block + layout::kSegmentShard, header.shard);
  store_le<uint32_t>(block + layout::kSegmentCrc, segment_header_crc(block));
}

Result<SegmentHeader> decode_segment_header(Bytes block) {
  const std::byte* at = block.data();
  if (block.size() < kBlockBytes ||
      std::memcmp(at + layout::kSegmentMagic, layout::kSegmentMagicBytes, sizeof layout::kSegmentMagicBytes) != 0)
    return Error{Errc::corrupt, "it does not begin with a segment header"};
  if (load_le<uint32_t>(at + layout::kSegmentCrc) != segment_header_crc(at))
    return Error{Errc::corrupt, "its segment header fails its CRC"};
  SegmentHeader header;
  header.version = load_le<uint16_t>(at + layout::kSegmentVersion);
  if (header.version != kFormatVersion)
    return Error{Errc::unsupported, "it has log format version " + std::to_string(header.version) +
                                        "; this build reads version " + std::to_string(kFormatVersion) +
                                        ": use a build that knows it"};
  header.number = load_le<uint32_t>(at + layout::kSegmentNumber);
  header.segment_bytes = load_le<uint64_t>(at + layout::kSegmentBytes);
  std::memcpy(header.log_id.data(), at + layout::kSegmentLogId, header.log_id.size());
  header.shard = load_le<uint16_t>(at + layout::kSegmentShard);
  const bool zeros = load_le<uint16_t>(at + layout::kSegmentFlags) == 0 && is_zero(block.subspan(layout::kSegmentZero));
  if (!zeros || header.number == 0 || header.segment_bytes < kSegmentBytesMin ||
      header.segment_bytes > kSegmentBytesMax || header.segment_bytes % kBlockBytes != 0)
    return Error{Errc::corrupt, "its segment header holds impossible values"};
  return header;
}

std::string segment_name(uint32_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%010u.seg", number);
  return name;
}

std::string segment_path(const std::string& directory, uint32_t number) {
  return directory + "/" + segment_name(number);
}

Result<NewSegment> prepare_segment(Disk& disk, const std::string& directory, const SegmentHeader& header,
                                   const char* suffix) {
  NewSegment made;
  made.temporary_path = segment_path(directory, header.number) + suffix + std::string(kTemporarySuffix);
  Result<bool> there = disk.exists(made.temporary_path);
  if (!there) return std::move(there.error());
  if (*there) HEPTANE_TRY(disk.unlink(made.temporary_path));
  Result<std::unique_ptr<File>> file = disk.open(made.temporary_path, OpenMode::create);
  if (!file) return std::move(file.error());
  made.file = std::move(*file);
  std::vector<std::byte> block(kBlockBytes);
  encode(header, block.data());
  HEPTANE_TRY(made.file->allocate(header.segment_bytes));
  HEPTANE_TRY(made.file->write_at(0, block));
  HEPTANE_TRY(made.file->sync());
  return made;
}

Result<std::unique_ptr<File>> make_segment(Disk& disk, const std::string& directory, const SegmentHeader& header) {
  Result<NewSegment> made = prepare_segment(disk, directory, header, "");
  if (!made) return std::move(made.error());
  HEPTANE_TRY(disk.rename(made->temporary_path, segment_path(directory, header.number)));
  HEPTANE_TRY(disk.sync_directory(directory));
  return std::move(made->file);
}

Result<SegmentFile> open_segment(Disk& disk, const std::string& directory, uint32_t number) {
  SegmentFile segment;
  segment.number = number;
  segment.path = segment_path(directory, number);
  Result<std::unique_ptr<File>> file = disk.open(segment.path, OpenMode::read);
  if (!file) return std::move(file.error());
  Result<uint64_t> size = (*file)->size();
  if (!size) return std::move(size.error());
  segment.file_bytes = *size;
  std::vector<std::byte> block(kBlockBytes);
  Result<size_t> read = (*file)->read_at(0, block);
  if (!read) return std::move(read.error());
  segment.header = decode_segment_header(Bytes(block).first(*read));
  return segment;
}

Result<SegmentListing> list_segments(Disk& disk, const std::string& directory) {
  Result<std::vector<std::string>> names = disk.list(directory);
  if (!names) return std::move(names.error());
  SegmentListing listing;
  for (const std::string& name : *names) {
    if (name.ends_with(kTemporarySuffix)) listing.leftovers.push_back(directory + "/" + name);
    const std::optional<uint32_t> number = number_of(name);
    if (!number) continue;
    Result<SegmentFile> segment = open_segment(disk, directory, *number);
    if (segment)
      listing.segments.push_back(std::move(*segment));
    else if (segment.error().code != Errc::not_found)
      return std::move(segment.error());
  }
  std::sort(listing.segments.begin(), listing.segments.end(),
            [](const SegmentFile& a, const SegmentFile& b) { return a.number < b.number; });
  return listing;
}

Result<void> check_segment(const SegmentFile& segment, const LogId& log_id, ShardId shard) {
  if (!segment.header) return Error{segment.header.error().code, segment.path + ": " + segment.header.error().message};
  const SegmentHeader& header = *segment.header;
  if (header.log_id != log_id)
    return Error{Errc::corrupt, segment.path + " belongs to another log: its id is " + log_id_text(header.log_id) +
                                    ", this log's is " + log_id_text(log_id)};
  if (header.shard != shard)
    return Error{Errc::corrupt, segment.path + " belongs to shard " + std::to_string(header.shard)};
  if (header.number != segment.number)
    return Error{Errc::corrupt, segment.path + " was made as segment " + std::to_string(header.number) +
                                    ": the file was renamed or swapped"};
  return {};
}

Result<void> check_no_hole(const std::vector<SegmentFile>& segments) {
  for (size_t i = 1; i < segments.size(); ++i)
    if (segments[i].number != segments[i - 1].number + 1)
      return Error{Errc::corrupt, "segment " + segment_name(segments[i - 1].number + 1) +
                                      " is missing: the directory holds " + segment_name(segments[i - 1].number) +
                                      " and " + segment_name(segments[i].number)};
  return {};
}

bool is_zero(Bytes bytes) {
  // Whole words first: this looks at every unused block of a log when it starts.
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 64; at += 64, left -= 64) {
    uint64_t words[8];
    std::memcpy(words, at, sizeof words);
    if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) != 0) return false;
  }
  for (; left > 0; ++at, --left)
    if (*at != std::byte{0}) return false;
  return true;
}

}  // namespace heptane::log
