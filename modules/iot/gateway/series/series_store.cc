#include "modules/iot/gateway/series/series_store.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <set>
#include <utility>

#include "kernel/log/quarantine.h"

namespace heptane::iot::series {

namespace {

constexpr size_t kNumberBytes = 16;   // of a point in the head: its time and its bits
constexpr size_t kTextBytes = 40;     // beside its bytes
constexpr size_t kRecordBytes = 64;   // beside key and value
constexpr size_t kFewFields = 16;     // of a series: looked through one by one
constexpr size_t kPieceChunks = 16;   // that begin within a piece
constexpr size_t kSeriesBytes = 512;  // beside its texts, which are there three times
constexpr size_t kFieldBytes = 250;
constexpr size_t kLoadFields = 8'192;  // of a slice
constexpr size_t kFlushPoints = 256 << 10;
constexpr size_t kFlushColumns = 2'048;  // of a slice

bool overlaps(const ChunkPlace& place, const TimeRange& range) {
  return place.last >= range.from && place.first <= range.to;
}

// Of a settled column.
Column slice(const Column& column, const TimeRange& range) {
  const auto begin = std::lower_bound(column.times.begin(), column.times.end(), range.from);
  const auto end = std::upper_bound(begin, column.times.end(), range.to);
  Column part;
  part.type = column.type;
  for (auto i = static_cast<size_t>(begin - column.times.begin()); i < static_cast<size_t>(end - column.times.begin());
       ++i)
    part.add_from(column, i);
  return part;
}

}  // namespace

// What one database has.
class SeriesStore::Source final : public PointSource {
 public:
  explicit Source(const Database& database) : database_(database) {}

  std::vector<const SeriesEntry*> series(const std::string& measurement) const override {
    const auto found = database_.measurements.find(measurement);
    if (found == database_.measurements.end()) return {};
    std::vector<const SeriesEntry*> all(found->second.series.begin(), found->second.series.end());
    std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->key < b->key; });
    return all;
  }

  std::vector<FieldInfo> fields(const std::string& measurement) const override {
    const auto found = database_.measurements.find(measurement);
    std::vector<FieldInfo> all;
    if (found == database_.measurements.end()) return all;
    for (const auto& [written, type] : found->second.fields)
      all.push_back({unescape(written, Token::key), written, type});
    std::sort(all.begin(), all.end(), [](const FieldInfo& a, const FieldInfo& b) { return a.name < b.name; });
    return all;
  }

  Result<Piece> points(const SeriesEntry& entry, const std::string& field, TimeRange range) const override {
    const auto& series = static_cast<const Series&>(entry);
    const auto at = series.find(field);
    if (!at) return Piece{};
    const FieldData* found = &series.fields[*at];
    Result<Piece> stored = stored_piece(*found, range, nullptr);
    if (!stored) return stored;
    Piece piece = std::move(*stored);
    const TimeRange part{range.from, piece.last ? range.to : piece.next_from - 1};
    settle(found->frozen);
    settle(found->head);
    piece.column = merge(std::move(piece.column), slice(found->frozen, part));
    piece.column = merge(std::move(piece.column), slice(found->head, part));
    return piece;
  }

 private:
  const Database& database_;
};

// Where the chunk that begins first ends, and before too many others begin: what overlaps it is read with it.
int64_t SeriesStore::end_of_piece(const FieldData& field, const TimeRange& range, OnlyFiles only) {
  const ChunkPlace* first = nullptr;
  std::vector<int64_t> begins;
  for (const FileChunk& chunk : field.chunks) {
    if (!overlaps(chunk.place, range) || (only != nullptr && !only->contains(chunk.file.get()))) continue;
    if (first == nullptr || chunk.place.first < first->first) first = &chunk.place;
    if (chunk.place.first > range.from) begins.push_back(chunk.place.first);
  }
  if (first == nullptr) return range.to;
  const int64_t end = std::min(first->last, range.to);
  if (begins.size() < kPieceChunks) return end;
  const auto beyond = begins.begin() + static_cast<ptrdiff_t>(kPieceChunks) - 1;
  std::nth_element(begins.begin(), beyond, begins.end());
  return std::min(end, *beyond - 1);
}

Result<Piece> SeriesStore::stored_piece(const FieldData& field, const TimeRange& range, OnlyFiles only) {
  Piece piece;
  const TimeRange part{range.from, end_of_piece(field, range, only)};
  piece.last = part.to == range.to;
  piece.next_from = piece.last ? range.to : part.to + 1;
  piece.column.type = field.type;
  for (const FileChunk& chunk : field.chunks) {
    if (!overlaps(chunk.place, part) || (only != nullptr && !only->contains(chunk.file.get()))) continue;
    const auto column = chunk.file->read(chunk.place);
    if (!column) return column.error();
    piece.column = merge(std::move(piece.column), slice(*column, part));
  }
  return piece;
}

void SeriesStore::charge(Database& database, uint64_t bytes) {
  database.bytes += bytes;
  memory_bytes_ += bytes;
}

void SeriesStore::fail(const Error& error) {
  failed_ = error.message;
  flush_.reset();
  merge_.reset();
}

void SeriesStore::count() {
  points_count_.store(points_, std::memory_order_relaxed);
  files_count_.store(manifest_.files.size(), std::memory_order_relaxed);
  gap_records_.store(static_cast<uint64_t>(manifest_.gap_to - manifest_.gap_from), std::memory_order_relaxed);
  head_bytes_shown_.store(head_bytes_, std::memory_order_relaxed);
  memory_bytes_shown_.store(memory_bytes_, std::memory_order_relaxed);
  merges_count_.store(merges_, std::memory_order_relaxed);
}

// What of charge() is a series'.
uint64_t SeriesStore::bytes_of(const Series& series) {
  uint64_t bytes = kSeriesBytes + 3 * series.key.size();
  for (const FieldData& field : series.fields)
    bytes += kFieldBytes + field.name.size() + field.chunks.size() * sizeof(FileChunk);
  return bytes;
}

bool SeriesStore::load(Offset log_end) {
  const Result<bool> more = load_next(log_end);
  if (!more) fail(more.error());
  count();
  return more && *more;
}

Result<bool> SeriesStore::load_next(Offset log_end) {
  if (!loading_) {
    HEPTANE_TRY(log::make_durable_directory(disk_, directory_));
    const Result<bool> there = load_manifest();
    if (!there) return there.error();
    has_manifest_ = *there;
    loading_ = 0;
    return true;
  }
  if (being_loaded_.file) {
    load_some();
    return true;
  }
  if (*loading_ == manifest_.files.size()) {
    HEPTANE_TRY(finish_load(log_end));
    return false;
  }
  HEPTANE_TRY(load_file(manifest_.files[(*loading_)++]));
  return true;
}

// The manifest can be used: all that it names is there, and the log reaches as far. What it does not name goes now, and not before the
// manifest is sure to stay: whoever wrote it may have died before its directory was synced.
Result<void> SeriesStore::finish_load(Offset log_end) {
  if (manifest_.offset > log_end) return beyond_log(manifest_.offset, log_end);
  HEPTANE_TRY(disk_.sync_directory(directory_));
  HEPTANE_TRY(remove_strays());
  if (!has_manifest_) HEPTANE_TRY(write_manifest(disk_, directory_, manifest_));
  applied_.store(manifest_.offset, std::memory_order_release);
  look_for_files();
  return {};
}

// False: there is none.
Result<bool> SeriesStore::load_manifest() {
  auto manifest = read_manifest(disk_, directory_);
  if (!manifest && manifest.error().code != Errc::not_found) return manifest.error();
  if (!manifest) {
    manifest_.log_id = log_id_;
    return false;
  }
  if (manifest->log_id != log_id_)
    return Error{Errc::corrupt, directory_ +
                                    " was made from another log: restore the one that belongs to this, or delete it "
                                    "while the server is stopped, which builds it again as far as the log reaches"};
  manifest_ = std::move(*manifest);
  next_number_ = manifest_.last_number + 1;
  return true;
}

Result<void> SeriesStore::load_file(const Manifest::NamedFile& named) {
  std::vector<Found> found;
  auto file = ChunkFile::open(files_, path_of(named.number), named.bytes, [&](const StoredField& one) {
    found.push_back({std::string(one.database), std::string(one.key), std::string(one.field), one.type, one.chunks});
  });
  if (!file) return file.error();
  const std::shared_ptr<const ChunkFile> shared = std::move(*file);
  chunk_files_[named.number] = shared;
  being_loaded_ = {shared, named.number, std::move(found), 0};
  return {};
}

// A slice of what the file has.
void SeriesStore::load_some() {
  LoadedFile& file = being_loaded_;
  const size_t until = std::min(file.found.size(), file.next + kLoadFields);
  for (; file.next < until; ++file.next) {
    const Found& one = file.found[file.next];
    install({one.database, one.key, one.field, one.type, one.chunks}, file.number, file.file);
  }
  if (file.next < file.found.size()) return;
  if (contents_[file.number].live.empty()) dead_files_ = true;
  file = {};
}

// A manifest is there before the first file. One that is lost would be missed by whole files; what was cut off is nobody's.
Result<void> SeriesStore::check_unnamed(uint64_t number) {
  const Error lost{Errc::corrupt, directory_ +
                                      " has chunk files and no MANIFEST: restore it from a backup, or delete the "
                                      "directory while the server is stopped, which builds it again as far as the log "
                                      "reaches"};
  if (number != 1) return lost;
  const std::string path = path_of(number);
  const auto file = files_.get(path);
  if (!file) return file.error();
  const Result<uint64_t> bytes = (*file)->size();
  if (!bytes) return bytes.error();
  const auto opened = ChunkFile::open(files_, path, *bytes, [](const StoredField&) {});
  files_.forget(path);
  if (opened) return lost;
  return opened.error().code == Errc::corrupt ? Result<void>() : opened.error();
}

// What the manifest does not name was never believed, or is not needed any more.
Result<void> SeriesStore::remove_strays() {
  const auto names = disk_.list(directory_);
  if (!names) return names.error();
  std::set<uint64_t> named;
  for (const Manifest::NamedFile& file : manifest_.files) named.insert(file.number);
  for (const std::string& name : *names) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || name != chunk_file_name(number)) continue;
    if (!has_manifest_) HEPTANE_TRY(check_unnamed(number));
    if (!named.contains(number)) HEPTANE_TRY(disk_.unlink(directory_ + "/" + name));
  }
  return {};
}

void SeriesStore::install(const StoredField& stored, uint64_t number, const std::shared_ptr<const ChunkFile>& file) {
  const auto dropped = manifest_.drops.find(stored.database);
  if (dropped != manifest_.drops.end() && number <= dropped->second) {
    contents_[number].dropped.emplace(stored.database);
    return;
  }
  contents_[number].live.emplace(stored.database);
  Database& database = databases_[std::string(stored.database)];
  FieldData& field = find_field(database, find_series(database, stored.key), stored.field, stored.type, 0);
  if (field.type != stored.type) return;
  for (const ChunkPlace& place : stored.chunks) {
    field.chunks.push_back({file, place});
    points_ += place.points;
  }
  charge(database, stored.chunks.size() * sizeof(FileChunk));
}

SeriesStore::Series& SeriesStore::find_series(Database& database, std::string_view key) {
  const auto found = database.series.find(key);
  if (found != database.series.end()) return found->second;
  Series& series = database.series[std::string(key)];
  series.key = key;
  series.parts = parts_of(key);
  charge(database, kSeriesBytes + 3 * key.size());
  database.measurements[series.parts.measurement].series.push_back(&series);
  return series;
}

SeriesStore::Series& SeriesStore::next_series(Database& database, std::string_view key) {
  const bool expected = last_series_ != nullptr && last_series_->next != nullptr && last_series_->next->key == key;
  Series* series = expected ? last_series_->next : &find_series(database, key);
  if (last_series_ != nullptr) last_series_->next = series;
  last_series_ = series;
  return *series;
}

std::optional<size_t> SeriesStore::Series::find(std::string_view name) const {
  if (!places.empty()) {
    const auto found = places.find(name);
    return found == places.end() ? std::nullopt : std::optional<size_t>(found->second);
  }
  for (size_t i = 0; i < fields.size(); ++i)
    if (fields[i].name == name) return i;
  return std::nullopt;
}

SeriesStore::FieldData& SeriesStore::Series::add(std::string_view name, FieldType type) {
  FieldData& field = fields.emplace_back();
  field.name = name;
  field.type = field.head.type = field.frozen.type = type;
  if (fields.size() <= kFewFields) return field;
  for (size_t i = places.size(); i < fields.size(); ++i) places.emplace(fields[i].name, i);
  return field;
}

// `hint`: where it probably is: lines of one kind have their fields in one order.
SeriesStore::FieldData& SeriesStore::find_field(Database& database, Series& series, std::string_view name,
                                                FieldType type, size_t hint) {
  if (hint < series.fields.size() && series.fields[hint].name == name) return series.fields[hint];
  if (const auto at = series.find(name)) return series.fields[*at];
  FieldData& field = series.add(name, type);
  charge(database, kFieldBytes + name.size());
  database.measurements[series.parts.measurement].fields.emplace(name, type);
  return field;
}

void SeriesStore::take(Offset offset, std::string_view database, std::string_view lines) {
  if (!failed_.empty() || offset < applied()) return;
  log_bytes_ += kRecordBytes + database.size() + lines.size();
  if (lines.empty()) {
    drop(database);
  } else {
    auto found = databases_.find(database);
    if (found == databases_.end()) found = databases_.emplace(std::string(database), Database{}).first;
    LineReader reader(lines, Reading::points);
    last_series_ = nullptr;
    while (reader.next(line_))
      if (reader.refused().empty() && line_.time) take_line(found->first, found->second, line_);
  }
  applied_.store(offset + 1, std::memory_order_release);
  count();
}

void SeriesStore::skip_to(Offset offset) {
  if (offset <= applied()) return;
  if (manifest_.gap_from == manifest_.gap_to) manifest_.gap_from = applied();
  manifest_.gap_to = offset;
  applied_.store(offset, std::memory_order_release);
  count();
}

Error SeriesStore::beyond_log(Offset shown, Offset end) const {
  return {Errc::corrupt, directory_ + " shows iot.lines up to " + std::to_string(shown) + ", which ends at " +
                             std::to_string(end) +
                             ": it is of another or a later log; restore the one that belongs to this log, or delete "
                             "it while the server is stopped"};
}

void SeriesStore::refuse_log(Offset end) { fail(beyond_log(applied(), end)); }

void SeriesStore::take_line(const std::string& name, Database& database, const Line& line) {
  Series& series = next_series(database, line.head);
  for (size_t i = 0; i < line.fields.size(); ++i) {
    const Field& given = line.fields[i];
    FieldData& field = find_field(database, series, given.name, given.value.type, i);
    if (field.type != given.value.type) continue;
    const auto at = static_cast<size_t>(&field - series.fields.data());
    if (!std::exchange(field.dirty, true)) dirty_.push_back({&name, &series, at});
    if (given.value.type == FieldType::text) {
      field.head.add(*line.time, unescape(given.value.text, Token::string));
      head_bytes_ += kTextBytes + given.value.text.size();
    } else {
      field.head.add(*line.time, given.value.type == FieldType::real ? std::bit_cast<uint64_t>(given.value.real)
                                                                     : static_cast<uint64_t>(given.value.integer));
      head_bytes_ += kNumberBytes;
    }
    ++points_;
  }
}

// What is being written would point into it, so that is finished first, and what is merged given up where it has points of it. A file
// goes when nothing in it is live, at the next flush.
void SeriesStore::drop(std::string_view database) {
  while (flush()) {
  }
  if (merge_ && merges(database))
    if (const Result<void> ended = give_up_merge(); !ended) fail(ended.error());
  const auto found = databases_.find(database);
  if (!failed_.empty() || found == databases_.end()) return;
  std::erase_if(dirty_, [&](const Dirty& one) { return one.database == &found->first; });
  bool stored = false;
  for (auto& [number, content] : contents_) {
    if (content.live.erase(found->first) == 0) continue;
    content.dropped.insert(found->first);
    stored = true;
    if (content.live.empty()) dead_files_ = true;
  }
  if (stored) manifest_.drops[found->first] = manifest_.last_number;
  dropped_.push_back(std::move(found->second));
  databases_.erase(found);
  ++generation_;
}

void SeriesStore::begin_flush() {
  if (flush_ || !failed_.empty() || !has_unwritten()) return;
  flush_ = std::make_unique<Flush>();
  flush_->number = next_number_++;
  flush_->offset = applied();
  flush_->columns.swap(dirty_);
  for (const Dirty& one : flush_->columns) {
    FieldData& field = one.series->fields[one.field];
    field.dirty = false;
    std::swap(field.frozen, field.head);
  }
  head_bytes_ = 0;
  log_bytes_ = 0;
}

bool SeriesStore::flush() {
  if (!flush_) return false;
  const Result<bool> more = flush_some();
  if (!more) fail(more.error());
  count();
  return more && *more;
}

Result<bool> SeriesStore::flush_some() {
  Flush& flush = *flush_;
  if (!flush.writer && !flush.columns.empty()) {
    auto writer = ChunkFileWriter::create(disk_, path_of(flush.number));
    if (!writer) return writer.error();
    flush.writer = std::move(*writer);
  }
  size_t points = 0;
  const size_t until = std::min(flush.columns.size(), flush.next + kFlushColumns);
  for (; flush.next < until && points < kFlushPoints; ++flush.next) {
    const Dirty& one = flush.columns[flush.next];
    FieldData& field = one.series->fields[one.field];
    settle(field.frozen);
    points += field.frozen.size();
    HEPTANE_TRY(flush.writer->add(*one.database, one.series->key, field.name, field.frozen));
  }
  if (flush.next < flush.columns.size()) return true;
  HEPTANE_TRY(finish_flush());
  flush_.reset();
  return false;
}

// Files without anything live are left out, and drops that no file needs.
Manifest SeriesStore::next_manifest() const {
  Manifest next = manifest_;
  next.removed.clear();
  for (const auto& [number, content] : contents_)
    if (content.live.empty()) next.removed.push_back(number);
  const auto gone = [&](uint64_t number) {
    return std::binary_search(next.removed.begin(), next.removed.end(), number);
  };
  std::erase_if(next.files, [&](const Manifest::NamedFile& file) { return gone(file.number); });
  std::erase_if(next.drops, [&](const auto& drop) {
    return std::none_of(contents_.begin(), contents_.end(), [&](const auto& content) {
      return content.first <= drop.second && !gone(content.first) && content.second.dropped.contains(drop.first);
    });
  });
  return next;
}

Result<void> SeriesStore::remove_files() {
  for (const uint64_t number : manifest_.removed) {
    files_.forget(path_of(number));
    contents_.erase(number);
    chunk_files_.erase(number);
    HEPTANE_TRY(disk_.unlink(path_of(number)));
  }
  dead_files_ = false;
  return {};
}

// The file, then the manifest that names it; only then does what was in memory go.
Result<void> SeriesStore::finish_flush() {
  Flush& flush = *flush_;
  Manifest next = next_manifest();
  next.offset = flush.offset;
  std::shared_ptr<const ChunkFile> file;
  if (flush.writer) {
    const Result<uint64_t> bytes = flush.writer->finish();
    if (!bytes) return bytes.error();
    HEPTANE_TRY(disk_.sync_directory(directory_));
    next.files.push_back({flush.number, *bytes});
    next.last_number = std::max(next.last_number, flush.number);
    auto opened = ChunkFile::open(files_, path_of(flush.number), *bytes, [](const StoredField&) {});
    if (!opened) return opened.error();
    file = std::move(*opened);
  }
  HEPTANE_TRY(write_manifest(disk_, directory_, next));
  manifest_ = std::move(next);
  if (file) chunk_files_[flush.number] = file;
  if (file && merge_pause_ > 0) --merge_pause_;
  for (size_t i = 0; i < flush.columns.size(); ++i) {
    const Dirty& one = flush.columns[i];
    FieldData& field = one.series->fields[one.field];
    const std::vector<ChunkPlace>& places = flush.writer->places()[i];
    for (const ChunkPlace& place : places) field.chunks.push_back({file, place});
    charge(databases_.find(*one.database)->second, places.size() * sizeof(FileChunk));
    contents_[flush.number].live.insert(*one.database);
    field.frozen = {};
    field.frozen.type = field.type;
  }
  HEPTANE_TRY(remove_files());
  look_for_files();
  return {};
}

std::unique_ptr<PointSource> SeriesStore::source(const std::string& database) const {
  const auto found = databases_.find(database);
  if (found == databases_.end()) return nullptr;
  return std::make_unique<Source>(found->second);
}

std::vector<std::string> SeriesStore::measurements(const std::string& database) const {
  std::vector<std::string> names;
  const auto found = databases_.find(database);
  if (found == databases_.end()) return names;
  for (const auto& [name, measurement] : found->second.measurements) names.push_back(name);
  return names;
}

}  // namespace heptane::iot::series
