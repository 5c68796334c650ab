#include "kernel/server/history_reader.h"

#include <algorithm>

#include "kernel/log/log_tool_scan.h"
#include "kernel/streams/record_batch.h"
#include "kernel/streams/view_batches.h"

namespace heptane::server {

namespace {

constexpr size_t kWindowBytes = 256 << 10;

Result<Offset> end_of(Bytes batch) {
  const Result<streams::RecordBatchInfo> info = streams::decode_record_batch_header(batch);
  if (!info) return info.error();
  return info->base_offset + info->record_count;
}

// Of records that the kernel packed: `first` and what the extension adds for each.
std::vector<Sequence> positions_of(const log::EntryView& entry, Sequence first, uint32_t records) {
  std::vector<Sequence> positions;
  (void)log::for_each_extension(entry.extensions, [&](log::ExtensionType type, Bytes bytes) {
    if (type != log::ExtensionType::causes) return;
    ByteReader reader(bytes);
    for (uint32_t i = 0; i < records && !reader.failed(); ++i) {
      positions.push_back(first + reader.varint());
      (void)reader.varint();
    }
  });
  if (positions.size() != records) positions.assign(records, first);
  return positions;
}

// `sequence`: of the command; of packed records, what their causes count from.
Result<void> take_records(const log::EntryView& entry, Sequence sequence, bool archived,
                          streams::HistoryVisitor& visitor) {
  const Result<Offset> end = end_of(entry.payload);
  if (!end) return end.error();
  if (!visitor.wants(entry.header.partition, *end)) return {};
  streams::HistoryBatch batch{entry.header.partition, entry.payload, sequence, {}, archived};
  if (entry.header.kind == log::EntryKind::records) {
    const Result<streams::RecordBatchInfo> info = streams::decode_record_batch_header(entry.payload);
    batch.positions = positions_of(entry, sequence, static_cast<uint32_t>(info->record_count));
  }
  return visitor.take(batch);
}

}  // namespace

LogHistoryReader::LogHistoryReader(Disk& disk, const log::SegmentLog& log, const archive::ArchiveStore& archive,
                                   const ViewRenderers& renderers, HistoryPlaces places)
    : disk_(disk),
      log_(log),
      archive_(archive),
      archive_reader_(disk, archive),
      renderers_(renderers),
      places_(std::move(places)) {}

Result<Sequence> LogHistoryReader::read(Sequence from, uint64_t bytes_most, streams::HistoryVisitor& visitor) {
  const Sequence durable = log_.durable();
  if (from > durable) return from - 1;
  const Sequence log_first = log_.first_sequence_of(log_.oldest_segment());
  if (from < log_first) return read_archive(from, log_first, visitor);
  Result<Sequence> upto = read_log(from, durable, bytes_most, visitor);
  // Its segment became an archive segment meanwhile: the next read finds it there.
  if (!upto && upto.error().code == Errc::not_found) {
    scanner_.reset();
    return from - 1;
  }
  return upto;
}

// At the beginning of the segment that holds `from`, or where the last scanner stood: there are new segments.
Result<void> LogHistoryReader::place_scanner(Sequence from) {
  Result<log::SegmentListing> listing = log::list_segments(disk_, places_.log_directory);
  if (!listing) return std::move(listing.error());
  std::vector<log::SegmentFile>& segments = listing->segments;
  const bool goes_on = scanner_ != nullptr && next_ <= from;
  const uint32_t number =
      goes_on ? scanner_->position().segment : std::max(log_.oldest_segment(), log_.last_segment_below(from) + 1);
  std::erase_if(segments, [number](const log::SegmentFile& segment) { return segment.number < number; });
  if (segments.empty() || segments.front().number != number) return Error{Errc::not_found, "the segment is gone"};
  log::ScanPosition start;
  if (goes_on) {
    start = scanner_->position();
  } else {
    const Result<log::ScanPosition> found = log::scan_start(disk_, segments);
    if (!found) return found.error();
    start = *found;
  }
  next_ = start.next_sequence;
  scanner_ = std::make_unique<log::BatchScanner>(disk_, places_.log_id, places_.shard, std::move(segments), start,
                                                 kWindowBytes);
  return {};
}

Result<Sequence> LogHistoryReader::read_log(Sequence from, Sequence durable, uint64_t bytes_most,
                                            streams::HistoryVisitor& visitor) {
  if (scanner_ == nullptr || next_ > from) {
    scanner_.reset();
    HEPTANE_TRY(place_scanner(from));
  } else {
    scanner_->look_again();
  }
  uint64_t bytes = 0;
  Sequence upto = from - 1;
  bool placed_again = false;
  while (upto < durable && bytes < bytes_most) {
    Result<std::optional<log::BatchScanner::Scanned>> batch = scanner_->next();
    if (!batch) return std::move(batch.error());
    if (!*batch && !placed_again) {
      placed_again = true;
      HEPTANE_TRY(place_scanner(upto + 1));
      continue;
    }
    if (!*batch)
      return Error{Errc::corrupt, scanner_->path() + " offset " + std::to_string(scanner_->position().offset) + ": " +
                                      scanner_->why_ended()};
    placed_again = false;
    next_ = scanner_->position().next_sequence;
    const log::BatchHeader& header = (*batch)->view.header();
    if (header.last_sequence() < from) continue;
    // A seal that jumps leaves a gap with nothing in it.
    if (!header.is_seal()) HEPTANE_TRY(take_batch((*batch)->view, visitor));
    upto = std::max(upto, header.last_sequence());
    bytes += (*batch)->place.bytes;
  }
  return upto;
}

// A batch that was taken in part is taken whole: the visitor knows its offsets.
Result<void> LogHistoryReader::take_batch(const log::BatchView& batch, streams::HistoryVisitor& visitor) {
  const Sequence first = batch.header().first_sequence;
  return batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
    if (entry.header.is_command()) HEPTANE_TRY(take_views(entry, visitor));
    if (!entry.header.is_record_batch()) return {};
    return take_records(entry, entry.header.kind == log::EntryKind::records ? first : sequence, false, visitor);
  });
}

Result<void> LogHistoryReader::take_views(const log::EntryView& entry, streams::HistoryVisitor& visitor) {
  const Result<std::optional<log::EntryViews>> views = log::views_of(entry.extensions);
  if (!views) return views.error();
  if (!*views) return {};
  for (const log::ViewRun& run : (*views)->runs) {
    if (!visitor.wants(run.partition, run.end())) continue;
    streams::ViewBatches rendered(renderers_, {});
    const Result<bool> all = rendered.add(entry, **views, run, run.first);
    if (!all) {
      visitor.damaged(all.error().message);
      continue;
    }
    for (const Buffer& batch : rendered.take())
      HEPTANE_TRY(visitor.take({run.partition, batch.view(), (*views)->sequence, {}, false}));
  }
  return {};
}

// The archive segment that holds `from`, or the next one behind it.
Result<Sequence> LogHistoryReader::read_archive(Sequence from, Sequence log_first, streams::HistoryVisitor& visitor) {
  const std::shared_ptr<const archive::Catalog> catalog = archive_.catalog();
  const auto found = std::find_if(catalog->begin(), catalog->end(),
                                  [from](const auto& segment) { return segment->header.last_sequence >= from; });
  if (found == catalog->end()) return log_first - 1;
  const archive::ArchiveSegment& segment = **found;
  const Sequence upto = std::max(segment.header.last_sequence, from);
  if (!segment.damage.empty()) {
    visitor.damaged(segment.path + ": " + segment.damage);
    return upto;
  }
  const Result<void> read =
      archive_reader_.verify(segment, [&](PartitionId partition, const archive::Item& item, Bytes) -> Result<void> {
        if (partition == archive::kCommandsGroup) return {};
        return take_records(item.entry, item.frame.sequence, true, visitor);
      });
  archive_reader_.close_gone();
  // Written again meanwhile: the catalog knows the one in its place.
  if (!read && read.error().code == Errc::not_found) return from - 1;
  if (!read && read.error().code == Errc::corrupt) {
    visitor.damaged(segment.path + ": " + read.error().message);
    return upto;
  }
  if (!read) return read.error();
  return upto;
}

}  // namespace heptane::server
