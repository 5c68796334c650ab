#include <algorithm>

#include "kernel/archive/archive_store.h"
#include "kernel/archive/archive_writer.h"
#include "kernel/base/crc32c.h"
#include "kernel/streams/record_batch.h"

namespace heptane::archive {

namespace {
constexpr uint32_t kReadLimitBytes = 16 << 20;
constexpr size_t kItemLimitBytes = kFrameBytes + log::kEntryHeaderBytes + 2 * log::kPayloadLimitBytes;
}  // namespace

Result<File*> ArchiveReader::open(const ArchiveSegment& segment) {
  if (!segment.damage.empty()) return Error{Errc::corrupt, segment.path + ": " + segment.damage};
  const auto found =
      std::find_if(open_.begin(), open_.end(), [&](const OpenFile& file) { return file.path == segment.path; });
  if (found != open_.end()) {
    std::rotate(open_.begin(), found, found + 1);
    return open_.front().file.get();
  }
  Result<std::unique_ptr<File>> file = disk_.open(segment.path, OpenMode::read);
  if (!file) return std::move(file.error());
  if (open_.size() == kOpenFilesMax) {
    disk_.leave(std::move(open_.back().file));
    open_.pop_back();
  }
  open_.insert(open_.begin(), OpenFile{segment.path, std::move(*file)});
  return open_.front().file.get();
}

void ArchiveReader::close_gone() {
  std::shared_ptr<const Catalog> catalog = store_.catalog();
  if (catalog == seen_) return;
  const auto gone = [&](const auto& item) {
    return std::none_of(catalog->begin(), catalog->end(), [&](const auto& there) { return there->path == item.path; });
  };
  const auto closing =
      std::stable_partition(open_.begin(), open_.end(), [&](const OpenFile& file) { return !gone(file); });
  for (auto file = closing; file != open_.end(); ++file) disk_.leave(std::move(file->file));
  open_.erase(closing, open_.end());
  std::erase_if(known_, gone);
  seen_ = std::move(catalog);
}

Result<void> ArchiveReader::read_exactly(const ArchiveSegment& segment, uint64_t at, MutableBytes into) {
  const Result<File*> file = open(segment);
  if (!file) return file.error();
  const Result<size_t> count = (*file)->read_at(at, into);
  if (!count) return count.error();
  if (*count != into.size()) return Error{Errc::corrupt, segment.path + " ends too early"};
  return {};
}

ArchiveReader::Known* ArchiveReader::known(const ArchiveSegment& segment, PartitionId partition) {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& item) {
    return item.partition == partition && item.path == segment.path;
  });
  if (found == known_.end()) return nullptr;
  std::rotate(known_.begin(), found, found + 1);
  return &known_.front();
}

void ArchiveReader::remember(Known fresh) {
  std::erase_if(known_,
                [&](const Known& item) { return item.partition == fresh.partition && item.path == fresh.path; });
  if (known_.size() == kKnownMax) known_.pop_back();
  known_.insert(known_.begin(), std::move(fresh));
  size_t runs = 0;
  for (Known& item : known_) {
    if (item.runs) runs += item.runs->size();
    if (runs > kKnownRunsMax && &item != &known_.front()) item.runs.reset();
  }
}

// Before anything is allocated by it.
Result<void> ArchiveReader::check_place(const ArchiveSegment& segment, const Row& row) {
  if (row.begin_at <= row.end_at && row.end_at <= segment.footer.rows_at) return {};
  return Error{Errc::corrupt, segment.path + ": a row of the index names a place outside the file"};
}

// Rows, runs and places, which the footer's CRC covers.
Result<void> ArchiveReader::verify_index(const ArchiveSegment& segment) {
  constexpr size_t kStepBytes = size_t{1} << 20;
  const uint64_t end = segment.footer.file_bytes - kBlockBytes;
  std::vector<std::byte> step(static_cast<size_t>(std::min<uint64_t>(kStepBytes, end - segment.footer.rows_at)));
  uint32_t crc = 0;
  for (uint64_t at = segment.footer.rows_at; at < end; at += kStepBytes) {
    const auto bytes = MutableBytes(step).first(static_cast<size_t>(std::min<uint64_t>(kStepBytes, end - at)));
    HEPTANE_TRY(read_exactly(segment, at, bytes));
    crc = crc32c(bytes, crc);
  }
  if (crc == segment.footer.index_crc) return {};
  return Error{Errc::corrupt, "offset " + std::to_string(segment.footer.rows_at) + ": the index's CRC is wrong"};
}

Result<std::optional<Row>> ArchiveReader::row(const ArchiveSegment& segment, PartitionId partition) {
  if (const Known* item = known(segment, partition)) return item->row;
  Result<std::optional<Row>> found = find_row(segment, partition);
  if (found) remember({segment.path, partition, *found, nullptr});
  return found;
}

Result<std::optional<Row>> ArchiveReader::find_row(const ArchiveSegment& segment, PartitionId partition) {
  uint32_t low = 0;
  uint32_t high = segment.footer.rows;
  // Rows are in order and mostly dense: the partition's number is a good first guess.
  uint32_t guess = std::min(partition, high == 0 ? 0 : high - 1);
  while (low < high) {
    std::byte bytes[kRowBytes];
    HEPTANE_TRY(read_exactly(segment, segment.footer.rows_at + uint64_t{guess} * kRowBytes, bytes));
    const Result<Row> found = decode_row(bytes);
    if (!found) return Error{found.error().code, segment.path + ": " + found.error().message};
    HEPTANE_TRY(check_place(segment, *found));
    if (found->partition == partition) return std::optional<Row>(*found);
    if (found->partition < partition)
      low = guess + 1;
    else
      high = guess;
    guess = low + (high - low) / 2;
  }
  return std::optional<Row>();
}

// Ends of a partition grow from one archive segment to the next, and one without a row came before the partition.
Result<size_t> ArchiveReader::find(const Catalog& catalog, PartitionId partition, Offset offset,
                                   std::optional<Row>& found) {
  std::vector<size_t> sound;
  for (size_t i = 0; i < catalog.size(); ++i)
    if (catalog[i]->damage.empty()) sound.push_back(i);
  size_t low = 0;
  for (size_t high = sound.size(); low < high;) {
    const size_t middle = low + (high - low) / 2;
    const Result<std::optional<Row>> at = row(*catalog[sound[middle]], partition);
    if (!at) return at.error();
    if (*at && (*at)->end > offset) {
      high = middle;
      found = **at;
    } else {
      low = middle + 1;
    }
  }
  if (sound.size() < catalog.size() && (!found || found->first > offset))
    return Error{Errc::corrupt, "an archive segment that may hold the offset is damaged"};
  return low == sound.size() ? catalog.size() : sound[low];
}

Result<std::shared_ptr<const std::vector<Run>>> ArchiveReader::runs(const ArchiveSegment& segment, const Row& row) {
  if (const Known* item = known(segment, row.partition); item != nullptr && item->runs) return item->runs;
  if (uint64_t{row.first_run} + row.runs > segment.footer.runs)
    return Error{Errc::corrupt, segment.path + ": a row counts more runs than there are"};
  std::vector<std::byte> bytes(size_t{row.runs} * kRunBytes);
  HEPTANE_TRY(read_exactly(segment, segment.footer.runs_at + uint64_t{row.first_run} * kRunBytes, bytes));
  const auto runs = std::make_shared<std::vector<Run>>(row.runs);
  for (uint32_t i = 0; i < row.runs; ++i) {
    Run& run = (*runs)[i];
    run = decode_run(bytes.data() + i * kRunBytes);
    if (run.at < row.begin_at || run.at >= row.end_at || (i > 0 && run.at <= (*runs)[i - 1].at))
      return Error{Errc::corrupt, segment.path + ": a run lies outside its partition"};
  }
  remember({segment.path, row.partition, row, runs});
  return std::shared_ptr<const std::vector<Run>>(runs);
}

Result<ArchiveReader::Cursor> ArchiveReader::cursor_at(const Catalog& catalog, PartitionId partition, Offset offset) {
  std::optional<Row> row;
  const Result<size_t> index = find(catalog, partition, offset, row);
  if (!index) return index.error();
  if (!row || row->runs == 0) return Error{Errc::not_found, "the archive does not hold that offset"};
  auto runs = this->runs(*catalog[*index], *row);
  if (!runs) return runs.error();
  auto run =
      std::upper_bound((*runs)->begin(), (*runs)->end(), offset, [](Offset o, const Run& r) { return o < r.first; });
  if (run != (*runs)->begin()) --run;
  const auto at = static_cast<size_t>(run - (*runs)->begin());
  return Cursor{*index, *row, std::move(*runs), at};
}

// About `limit` bytes, at least one run; moves on. A stream among many has little in each archive segment: it goes on in
// the next. What goes wrong there is told when it is asked for.
std::optional<ArchiveReader::Piece> ArchiveReader::next_piece(const Catalog& catalog, Cursor& cursor, uint64_t limit) {
  if (cursor.run == cursor.runs->size()) {
    if (cursor.segment + 1 == catalog.size()) return std::nullopt;
    const Result<std::optional<Row>> row = this->row(*catalog[cursor.segment + 1], cursor.row.partition);
    if (!row || !*row || (*row)->runs == 0 || (*row)->first != cursor.row.end) return std::nullopt;
    auto runs = this->runs(*catalog[cursor.segment + 1], **row);
    if (!runs) return std::nullopt;
    cursor = Cursor{cursor.segment + 1, **row, std::move(*runs), 0};
  }
  const std::vector<Run>& runs = *cursor.runs;
  const uint64_t begin = runs[cursor.run].at;
  const auto end = [&] { return cursor.run == runs.size() ? cursor.row.end_at : runs[cursor.run].at; };
  for (++cursor.run; cursor.run < runs.size() && end() - begin < limit;) ++cursor.run;
  return Piece{catalog[cursor.segment].get(), begin, end()};
}

// Tells the system of all of them, so that the disk is not asked for one after another.
std::vector<ArchiveReader::Piece> ArchiveReader::next_pieces(const Catalog& catalog, Cursor& cursor, uint64_t limit) {
  std::vector<Piece> pieces;
  for (uint64_t bytes = 0; bytes < limit;) {
    const std::optional<Piece> piece = next_piece(catalog, cursor, limit - bytes);
    if (!piece) break;
    if (const Result<File*> file = open(*piece->segment)) (*file)->expect(piece->begin, piece->end - piece->begin);
    bytes += piece->end - piece->begin;
    pieces.push_back(*piece);
  }
  return pieces;
}

Result<bool> ArchiveReader::read_piece(const Piece& piece, Found& found) {
  const std::string& path = piece.segment->path;
  std::vector<std::byte> memory(static_cast<size_t>(piece.end - piece.begin));
  HEPTANE_TRY(read_exactly(*piece.segment, piece.begin, memory));
  const Buffer buffer = Buffer::take(std::move(memory));
  for (size_t at = 0; at < buffer.size();) {
    const Result<Item> item = decode_item(buffer.view().subspan(at));
    if (!item) return Error{item.error().code, path + ": " + item.error().message};
    const Result<streams::RecordBatchInfo> batch = streams::decode_record_batch_header(item->entry.payload);
    if (!batch || item->entry.header.partition != found.partition)
      return Error{Errc::corrupt, path + ": an item of another partition"};
    const auto payload_at = static_cast<size_t>(item->entry.payload.data() - buffer.data());
    at += item->bytes;
    if (batch->base_offset + batch->record_count <= found.offset) continue;
    if (!found.batches.empty() && found.bytes + item->entry.payload.size() > found.max_bytes) return false;
    found.batches.push_back(buffer.slice(payload_at, item->entry.payload.size()));
    found.bytes += item->entry.payload.size();
  }
  return found.bytes < found.max_bytes;
}

Result<std::vector<Buffer>> ArchiveReader::read(PartitionId partition, Offset offset, uint32_t max_bytes) {
  const std::shared_ptr<const Catalog> catalog = store_.catalog();
  Result<Cursor> cursor = cursor_at(*catalog, partition, offset);
  if (!cursor) return cursor.error();
  uint64_t limit = std::clamp<uint32_t>(max_bytes, 1, kReadLimitBytes);
  // Records before `offset` count for nothing.
  if ((*cursor->runs)[cursor->run].first < offset) limit += kRunTargetBytes;
  const std::vector<Piece> pieces = next_pieces(*catalog, *cursor, limit);
  // Who catches up asks for what follows next: the disk brings it while this is on its way to the client.
  (void)next_pieces(*catalog, *cursor, limit);
  Found found{partition, offset, max_bytes, {}, 0};
  for (const Piece& piece : pieces) {
    const Result<bool> more = read_piece(piece, found);
    if (!more && found.batches.empty()) return more.error();
    if (!more || !*more) break;
  }
  if (found.batches.empty()) return Error{Errc::not_found, "the archive does not hold that offset"};
  return std::move(found.batches);
}

Result<std::optional<Offset>> ArchiveReader::offset_for_time(PartitionId partition, Offset from, int64_t time_ms) {
  const std::shared_ptr<const Catalog> catalog = store_.catalog();
  std::optional<Row> row;
  Result<size_t> index = find(*catalog, partition, from, row);
  if (!index) return index.error();
  for (size_t i = *index; i < catalog->size(); ++i) {
    const ArchiveSegment& segment = *(*catalog)[i];
    if (!segment.damage.empty()) continue;
    const Result<std::optional<Row>> here = this->row(segment, partition);
    if (!here) return here.error();
    if (!*here || (*here)->runs == 0 || (*here)->max_timestamp_ms < time_ms) continue;
    const auto known_runs = this->runs(segment, **here);
    if (!known_runs) return known_runs.error();
    const std::vector<Run>& runs = **known_runs;
    // A run's timestamp is the largest so far, also of records before `from`: those are passed over by the caller.
    for (size_t k = 0; k < runs.size(); ++k) {
      const Offset end = k + 1 < runs.size() ? runs[k + 1].first : (*here)->end;
      if (end > from && runs[k].max_timestamp_ms >= time_ms)
        return std::optional<Offset>(std::max(runs[k].first, from));
    }
  }
  return std::optional<Offset>();
}

Result<std::optional<Offset>> ArchiveReader::offset_for_bytes(PartitionId partition, uint64_t bytes) {
  const std::shared_ptr<const Catalog> catalog = store_.catalog();
  uint64_t kept = 0;
  for (size_t i = catalog->size(); i-- > 0;) {
    const ArchiveSegment& segment = *(*catalog)[i];
    if (!segment.damage.empty()) continue;
    const Result<std::optional<Row>> here = row(segment, partition);
    if (!here) return here.error();
    if (!*here) break;  // it came later
    const uint64_t here_bytes = (*here)->end_at - (*here)->begin_at;
    if (kept + here_bytes < bytes) {
      kept += here_bytes;
      continue;
    }
    const auto known_runs = this->runs(segment, **here);
    if (!known_runs) return known_runs.error();
    const std::vector<Run>& runs = **known_runs;
    for (size_t k = runs.size(); k-- > 0;)
      if (kept + (*here)->end_at - runs[k].at >= bytes) return std::optional<Offset>(runs[k].first);
  }
  return std::optional<Offset>();
}

Result<ArchiveReader::FoundCommand> ArchiveReader::command_at(const ArchiveSegment& segment, uint64_t at,
                                                              uint64_t end) {
  std::vector<std::byte> memory(static_cast<size_t>(std::min<uint64_t>(kItemLimitBytes, end - at)));
  HEPTANE_TRY(read_exactly(segment, at, memory));
  FoundCommand found;
  found.memory = Buffer::take(std::move(memory));
  Result<Item> item = decode_item(found.memory.view());
  if (!item) return Error{item.error().code, segment.path + ": " + item.error().message};
  found.item = *item;
  return found;
}

Result<ArchiveReader::FoundCommand> ArchiveReader::command(Sequence sequence) {
  const Error missing{Errc::not_found, "the command is not in the archive"};
  const std::shared_ptr<const Catalog> catalog = store_.catalog();
  const auto at = std::find_if(catalog->begin(), catalog->end(), [&](const auto& segment) {
    return segment->header.first_sequence <= sequence && sequence <= segment->header.last_sequence;
  });
  if (at == catalog->end()) return missing;
  const ArchiveSegment& segment = **at;
  // Record batches by their places.
  uint64_t low = 0;
  for (uint64_t high = segment.footer.places; low < high;) {
    const uint64_t middle = low + (high - low) / 2;
    std::byte bytes[kPlaceBytes];
    HEPTANE_TRY(read_exactly(segment, segment.footer.places_at + middle * kPlaceBytes, bytes));
    const Place place = decode_place(bytes);
    if (place.sequence == sequence) {
      if (place.at >= segment.footer.rows_at) return Error{Errc::corrupt, segment.path + ": a place outside the file"};
      return command_at(segment, place.at, segment.footer.rows_at);
    }
    if (place.sequence < sequence)
      low = middle + 1;
    else
      high = middle;
  }
  // Plain commands by their runs.
  const Result<std::optional<Row>> row = this->row(segment, kCommandsGroup);
  if (!row) return row.error();
  if (!*row || (*row)->runs == 0) return missing;
  const auto known_runs = this->runs(segment, **row);
  if (!known_runs) return known_runs.error();
  const std::vector<Run>& runs = **known_runs;
  auto run = std::upper_bound(runs.begin(), runs.end(), static_cast<Offset>(sequence),
                              [](Offset wanted, const Run& r) { return wanted < r.first; });
  if (run == runs.begin()) return missing;
  --run;
  const uint64_t end = run + 1 == runs.end() ? (*row)->end_at : (run + 1)->at;
  for (uint64_t item_at = run->at; item_at < end;) {
    Result<FoundCommand> found = command_at(segment, item_at, end);
    if (!found) return std::move(found.error());
    if (found->item.frame.sequence == sequence) return found;
    if (found->item.frame.sequence > sequence) return missing;
    item_at += found->item.bytes;
  }
  return missing;
}

}  // namespace heptane::archive
