#include "kernel/archive/command_of_record.h"

#include <optional>
#include <vector>

#include "kernel/log/segment.h"
#include "kernel/log/views.h"
#include "kernel/streams/record_batch.h"

namespace heptane::archive {

namespace {

Error no_such_record() { return {Errc::corrupt, "the log does not hold that record where its index says", 0}; }

Result<std::vector<std::byte>> read(File& file, uint64_t offset, size_t bytes) {
  std::vector<std::byte> memory(bytes);
  const Result<size_t> got = file.read_at(offset, memory);
  if (!got) return got.error();
  memory.resize(*got);
  return memory;
}

// A batch begins on a block and its header says where it lies: the one around a byte is the nearest such header at or before it.
Result<log::BatchHeader> header_before(File& file, const log::SegmentHeader& segment, uint32_t byte) {
  uint64_t block = byte / log::kBlockBytes * log::kBlockBytes;
  const uint64_t first = block > log::kBatchLimitBytes ? block - log::kBatchLimitBytes : 0;
  for (; block > first; block -= log::kBlockBytes) {
    const Result<std::vector<std::byte>> bytes = read(file, block, log::kBatchHeaderBytes);
    if (!bytes) return bytes.error();
    if (bytes->size() < log::kBatchHeaderBytes) continue;
    Result<log::BatchHeader> header = log::decode_batch_header(*bytes);
    if (header && header->log_id == segment.log_id && header->shard == segment.shard &&
        header->segment == segment.number && header->offset == block)
      return header;
  }
  return no_such_record();
}

// Which of the batch's commands made the record that is the `index`th of an entry of records.
std::optional<uint64_t> delta_of(const log::EntryView& entry, uint64_t index) {
  std::optional<uint64_t> delta;
  (void)log::for_each_extension(entry.extensions, [&](log::ExtensionType type, Bytes bytes) {
    if (type != log::ExtensionType::causes) return;
    ByteReader reader(bytes);
    for (uint64_t i = 0; i <= index && !reader.failed(); ++i) {
      const uint64_t command = reader.varint();
      (void)reader.varint();
      if (i == index && !reader.failed()) delta = command;
    }
  });
  return delta;
}

// The sequence, when the entry holds the record. `at` is the entry's own where it is a command.
Result<std::optional<Sequence>> maker_in(const log::EntryView& entry, Sequence at, Sequence first,
                                         const RecordPlace& place) {
  if (entry.header.is_record_batch()) {
    if (entry.header.partition != place.partition) return std::optional<Sequence>();
    const Result<streams::RecordBatchInfo> batch = streams::decode_record_batch_header(entry.payload);
    if (!batch) return batch.error();
    if (place.offset < batch->base_offset || place.offset >= batch->base_offset + batch->record_count)
      return std::optional<Sequence>();
    if (entry.header.is_command()) return std::optional(at);
    const auto delta = delta_of(entry, static_cast<uint64_t>(place.offset - batch->base_offset));
    return delta ? std::optional(first + *delta) : std::nullopt;
  }
  const Result<std::optional<log::EntryViews>> views = log::views_of(entry.extensions);
  if (!views) return views.error();
  if (*views)
    for (const log::ViewRun& run : (*views)->runs)
      if (run.partition == place.partition && run.first <= place.offset && place.offset < run.end())
        return std::optional((*views)->sequence);
  return std::optional<Sequence>();
}

}  // namespace

Result<Sequence> command_of_record(Disk& disk, const std::string& data_directory, ShardId shard,
                                   const RecordPlace& place) {
  const std::string home = data_directory + "/shard-" + std::to_string(shard) + "/log";
  const Result<log::SegmentFile> segment = log::open_segment(disk, home, place.segment);
  if (!segment) return segment.error();
  if (!segment->header) return segment->header.error();
  const Result<std::unique_ptr<File>> file = disk.open(segment->path, OpenMode::read);
  if (!file) return file.error();
  const Result<log::BatchHeader> header = header_before(**file, *segment->header, place.byte);
  if (!header) return header.error();
  const Result<std::vector<std::byte>> bytes =
      read(**file, header->offset, log::kBatchHeaderBytes + header->body_bytes);
  if (!bytes) return bytes.error();
  const Result<log::BatchView> batch = log::BatchView::decode(*bytes);
  if (!batch) return batch.error();
  std::optional<Sequence> found;
  HEPTANE_TRY(batch->for_each_entry([&](const log::EntryView& entry, Sequence at) -> Result<void> {
    if (found) return {};
    const Result<std::optional<Sequence>> maker = maker_in(entry, at, header->first_sequence, place);
    if (!maker) return maker.error();
    found = *maker;
    return {};
  }));
  if (!found) return no_such_record();
  return *found;
}

}  // namespace heptane::archive
