// The store's upkeep: small files become one, what a dropped database had is let go. A slice at a time, between others' jobs.
//
// Which files: kMergeFiles or more that lie next to each other, of which none is more than half of all of them, at most
// kMergeFilesMax and kMergeBytesMax together: so a point is written again as often as the logarithm of what there is. Those that lie next to each other,
// because where two have a time the later file's value holds.
//
// A merge is worth no more than what it saves: one whose inputs cannot be read, or whose file cannot be written, is given up, and the
// store goes on with what it has. Only what makes the manifest or the directory doubtful fails the store.

#include <algorithm>
#include <utility>

#include "modules/iot/gateway/series/series_store.h"

namespace heptane::iot::series {

namespace {

constexpr size_t kMergeFiles = 8;
constexpr size_t kMergeFilesMax = 64;
constexpr uint64_t kMergeBytesMax = uint64_t{1} << 30;
constexpr size_t kMergePoints = 64 << 10;  // of a slice
constexpr size_t kMergeLooks = 8'192;      // at fields, likewise
constexpr size_t kSwaps = 8'192;
constexpr size_t kSweptSeries = 2'048;
constexpr size_t kPauseDoublings = 5;

}  // namespace

bool SeriesStore::upkeep() {
  if (!failed_.empty()) return false;
  sweep();
  if (merge_wanted())
    if (const Result<void> begun = begin_merge(); !begun) pause_merges(begun.error());
  if (merge_) {
    const Result<bool> more = merge_some();
    if (!more) fail(more.error());
    if (more && !*more) merge_.reset();
  }
  count();
  return failed_.empty() && (merge_ || !dropped_.empty());
}

// Of databases that are gone.
void SeriesStore::sweep() {
  if (dropped_.empty()) return;
  Database& gone = dropped_.back();
  uint64_t bytes = 0;
  for (size_t i = 0; i < kSweptSeries && !gone.series.empty(); ++i) {
    bytes += bytes_of(gone.series.begin()->second);
    gone.series.erase(gone.series.begin());
  }
  if (gone.series.empty()) bytes = gone.bytes;
  bytes = std::min(bytes, gone.bytes);
  gone.bytes -= bytes;
  memory_bytes_ -= bytes;
  if (gone.series.empty()) dropped_.pop_back();
  count();
}

// What the manifest names has changed.
void SeriesStore::look_for_files() {
  const std::vector<Manifest::NamedFile>& files = manifest_.files;
  mergeable_.reset();
  if (merge_pause_ > 0) return;
  for (size_t from = 0; from + kMergeFiles <= files.size() && !mergeable_; ++from) {
    uint64_t bytes = 0;
    uint64_t largest = 0;
    const size_t most = std::min(files.size(), from + kMergeFilesMax);
    for (size_t to = from; to < most && bytes + files[to].bytes <= kMergeBytesMax; ++to) {
      if (unmergeable_.contains(files[to].number)) break;
      bytes += files[to].bytes;
      largest = std::max(largest, files[to].bytes);
      if (to + 1 - from >= kMergeFiles && 2 * largest <= bytes) mergeable_ = {from, to + 1};
    }
  }
}

// Errors are of the disk, or that it has too little room: the inputs go only when their successor is there.
Result<void> SeriesStore::begin_merge() {
  const auto range = mergeable_;
  auto merge = std::make_unique<Merge>();
  merge->inputs.assign(manifest_.files.begin() + static_cast<ptrdiff_t>(range->first),
                       manifest_.files.begin() + static_cast<ptrdiff_t>(range->second));
  uint64_t bytes = 0;
  for (const Manifest::NamedFile& input : merge->inputs) {
    merge->files.insert(chunk_files_.at(input.number).get());
    bytes += input.bytes;
  }
  HEPTANE_TRY(check_room(bytes));
  merge->number = next_number_++;
  auto writer = ChunkFileWriter::create(disk_, path_of(merge->number));
  if (!writer) return writer.error();
  merge->writer = std::move(*writer);
  merge_ = std::move(merge);
  return {};
}

// Below kFreeBytesMin the server would have to give up history, and then writes.
Result<void> SeriesStore::check_room(uint64_t bytes) {
  const Result<uint64_t> free_bytes = disk_.free_bytes(directory_);
  if (!free_bytes) return free_bytes.error();
  if (*free_bytes >= kFreeBytesMin + bytes) return {};
  return Error{Errc::no_space, "the disk has " + std::to_string(*free_bytes) + " bytes free, which is less than the " +
                                   std::to_string(kFreeBytesMin + bytes) + " that it takes"};
}

// A slice. True: there is more. An error is one that the store does not go on after; after others the merge is given up.
Result<bool> SeriesStore::merge_some() {
  if (merge_->file) {
    HEPTANE_TRY(swap_some());
    return merge_->next < merge_->fields.size() || !merge_->inputs.empty();
  }
  Result<bool> more = write_merged();
  if (more && !*more)
    if (const Result<void> sealed = seal_merged(); !sealed) more = sealed.error();
  if (!more) {
    abandon_merge(more.error());
    return false;
  }
  if (!*more) HEPTANE_TRY(name_merged());
  return true;
}

// True: there are more fields.
Result<bool> SeriesStore::write_merged() {
  HEPTANE_TRY(check_room(0));
  size_t points = 0;
  for (size_t looked_at = 0; points < kMergePoints && looked_at < kMergeLooks;) {
    Series* series = next_to_merge(looked_at);
    if (series == nullptr && looked_at >= kMergeLooks) return true;
    if (series == nullptr) return false;
    const Result<size_t> piece = merge_piece(*series);
    if (!piece) return piece.error();
    points += *piece;
  }
  return true;
}

// The series whose field is at the cursor, which goes on to the next one that has a chunk in the inputs. Nullptr: there is none, or
// enough was looked at.
SeriesStore::Series* SeriesStore::next_to_merge(size_t& looked_at) {
  FieldCursor& at = merge_->at;
  for (auto database = databases_.lower_bound(at.database); database != databases_.end(); ++database) {
    if (database->first != at.database) at = {database->first, {}, 0, 0};
    auto& measurements = database->second.measurements;
    for (auto one = measurements.lower_bound(at.measurement); one != measurements.end(); ++one) {
      if (one->first != at.measurement) at = {database->first, one->first, 0, 0};
      Series* found = next_in(one->second, looked_at);
      if (found != nullptr || looked_at >= kMergeLooks) return found;
    }
  }
  return nullptr;
}

SeriesStore::Series* SeriesStore::next_in(const Measurement& measurement, size_t& looked_at) {
  FieldCursor& at = merge_->at;
  const auto is_input = [&](const FileChunk& chunk) { return merge_->files.contains(chunk.file.get()); };
  for (; at.series < measurement.series.size(); ++at.series, at.field = 0) {
    Series* series = measurement.series[at.series];
    for (; at.field < series->fields.size() && looked_at < kMergeLooks; ++at.field, ++looked_at) {
      const std::vector<FileChunk>& chunks = series->fields[at.field].chunks;
      if (std::any_of(chunks.begin(), chunks.end(), is_input)) return series;
    }
    if (looked_at >= kMergeLooks) return nullptr;
  }
  return nullptr;
}

// The next piece of the field at hand; behind its last one the cursor goes on. How many points.
Result<size_t> SeriesStore::merge_piece(Series& series) {
  Merge& merge = *merge_;
  const FieldData& field = series.fields[merge.at.field];
  if (!merge.rest) {
    merge.rest = TimeRange{};
    merge.pending = {};
    merge.pending.type = field.type;
    merge.writer->begin(merge.at.database, series.key, field.name, field.type);
    merge.fields.push_back({&databases_.find(merge.at.database)->second, &series, merge.at.field});
  }
  Result<Piece> piece = stored_piece(field, *merge.rest, &merge.files);
  merge.unreadable = !piece.ok();
  if (!piece) return piece.error();
  const size_t points = 1 + piece->column.size();
  merge.pending = series::merge(std::move(merge.pending), piece->column);
  HEPTANE_TRY(merge.writer->add_piece(merge.pending, piece->last));
  merge.rest->from = piece->next_from;
  if (!piece->last) return points;
  merge.writer->end();
  merge.rest.reset();
  ++merge.at.field;
  return points;
}

Result<void> SeriesStore::seal_merged() {
  Merge& merge = *merge_;
  const Result<uint64_t> bytes = merge.writer->finish();
  if (!bytes) return bytes.error();
  auto opened = ChunkFile::open(files_, path_of(merge.number), *bytes, [](const StoredField&) {});
  if (!opened) return opened.error();
  merge.bytes = *bytes;
  merge.sealed = std::move(*opened);
  return {};
}

// The new file stands in a manifest where the inputs stood. They are deleted when nothing reads them any more; what dies before that
// finds files that no manifest names. A failed sync of the directory may have cost the name of a file that is being flushed, too.
Result<void> SeriesStore::name_merged() {
  Merge& merge = *merge_;
  HEPTANE_TRY(disk_.sync_directory(directory_));
  Content& content = contents_[merge.number];
  for (const Manifest::NamedFile& input : merge.inputs) {
    content.live.merge(contents_[input.number].live);
    contents_.erase(input.number);
  }
  Manifest next = next_manifest();
  const auto first = std::find_if(next.files.begin(), next.files.end(), [&](const Manifest::NamedFile& file) {
    return file.number == merge.inputs.front().number;
  });
  *first = {merge.number, merge.bytes};
  next.files.erase(first + 1, first + static_cast<ptrdiff_t>(merge.inputs.size()));
  next.last_number = std::max(next.last_number, merge.number);
  for (const Manifest::NamedFile& input : merge.inputs) next.removed.push_back(input.number);
  HEPTANE_TRY(write_manifest(disk_, directory_, next));
  std::erase_if(next.removed, [&](uint64_t number) {
    return std::any_of(merge.inputs.begin(), merge.inputs.end(),
                       [&](const Manifest::NamedFile& input) { return input.number == number; });
  });
  manifest_ = std::move(next);
  HEPTANE_TRY(remove_files());
  merge.file = std::move(merge.sealed);
  chunk_files_[merge.number] = merge.file;
  look_for_files();
  return {};
}

// Its chunks in the inputs lie next to each other, as the files do.
void SeriesStore::use_merged(const MergedField& merged, const std::vector<ChunkPlace>& places) {
  std::vector<FileChunk>& chunks = merged.series->fields[merged.field].chunks;
  const auto of_inputs = [&](const FileChunk& chunk) { return merge_->files.contains(chunk.file.get()); };
  const auto first = std::find_if(chunks.begin(), chunks.end(), of_inputs);
  const auto last = std::find_if_not(first, chunks.end(), of_inputs);
  std::vector<FileChunk> all(chunks.begin(), first);
  for (const ChunkPlace& place : places) all.push_back({merge_->file, place});
  all.insert(all.end(), last, chunks.end());
  for (auto chunk = first; chunk != last; ++chunk) points_ -= chunk->place.points;
  for (const ChunkPlace& place : places) points_ += place.points;
  charge(*merged.database, (all.size() - chunks.size()) * sizeof(FileChunk));
  chunks = std::move(all);
}

Result<void> SeriesStore::swap_some() {
  Merge& merge = *merge_;
  for (size_t i = 0; i < kSwaps && merge.next < merge.fields.size(); ++i, ++merge.next)
    use_merged(merge.fields[merge.next], merge.writer->places()[merge.next]);
  if (merge.next < merge.fields.size()) return {};
  for (const Manifest::NamedFile& input : std::exchange(merge.inputs, {})) {
    files_.forget(path_of(input.number));
    chunk_files_.erase(input.number);
    HEPTANE_TRY(disk_.unlink(path_of(input.number)));
  }
  ++merges_;
  merge_failures_ = 0;
  return {};
}

// A database is dropped: one that no manifest names is begun again later, the other is finished.
Result<void> SeriesStore::give_up_merge() {
  if (!merge_) return {};
  while (merge_->file && !merge_->inputs.empty()) HEPTANE_TRY(swap_some());
  if (merge_->file)
    merge_.reset();
  else
    forget_merge();
  return {};
}

// One that no manifest names. A file that cannot be deleted now is deleted by the next start.
void SeriesStore::forget_merge() {
  const std::string path = path_of(merge_->number);
  merge_.reset();
  files_.forget(path);
  (void)disk_.unlink(path);
}

// Files that could not be read stay as they are until the next start, for which they may have been mended.
void SeriesStore::abandon_merge(const Error& why) {
  if (!merge_->unreadable) {
    forget_merge();
    return pause_merges(why);
  }
  notice_ =
      std::to_string(merge_->inputs.size()) +
      " chunk files do not become one, because one cannot be read; what is in the others is shown: " + why.message;
  for (const Manifest::NamedFile& input : merge_->inputs) unmergeable_.insert(input.number);
  forget_merge();
  look_for_files();
}

// Until some more files were written: each time it fails again twice as many.
void SeriesStore::pause_merges(const Error& why) {
  if (merge_failures_ == 0)
    notice_ = "chunk files do not become one for now, which costs nothing but time: " + why.message;
  merge_pause_ = size_t{2} << std::min(merge_failures_++, kPauseDoublings);
  look_for_files();
}

// Whether what is merged, or was and is being given to its fields, has points of the database.
bool SeriesStore::merges(std::string_view database) const {
  const auto has = [&](uint64_t number) {
    const auto found = contents_.find(number);
    return found != contents_.end() && found->second.live.contains(database);
  };
  if (merge_->file) return has(merge_->number);
  return std::any_of(merge_->inputs.begin(), merge_->inputs.end(),
                     [&](const Manifest::NamedFile& input) { return has(input.number); });
}

}  // namespace heptane::iot::series
