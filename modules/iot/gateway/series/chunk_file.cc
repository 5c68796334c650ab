#include "modules/iot/gateway/series/chunk_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/series/chunk.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot::series {

namespace {

constexpr std::string_view kFileMagic = "HPTSER01";
constexpr std::string_view kFooterMagic = "HPSF";
constexpr std::string_view kManifestMagic = "HPTSMF02";
constexpr size_t kFooterBytes = 24;
constexpr size_t kWriteBytes = size_t{1} << 20;
constexpr size_t kPlaceBytes = 32;
constexpr size_t kManifestBytesMax = size_t{64} << 20;
constexpr uint64_t kIndexBytesMax = uint64_t{4} << 30;

Error damaged(const std::string& path) {
  return {Errc::corrupt, path +
                             " is damaged: restore the directory from a backup, or delete it while the server is "
                             "stopped, which builds it again as far as the log reaches"};
}

Result<std::vector<std::byte>> read_part(File& file, uint64_t offset, uint64_t bytes) {
  std::vector<std::byte> part(bytes);
  const Result<size_t> got = file.read_at(offset, part);
  if (!got) return got.error();
  part.resize(*got);
  return part;
}

ChunkPlace read_place(ByteReader& in) {
  ChunkPlace place;
  place.offset = in.le<uint64_t>();
  place.bytes = in.le<uint32_t>();
  place.points = in.le<uint32_t>();
  place.first = in.le<int64_t>();
  place.last = in.le<int64_t>();
  return place;
}

bool read_field(ByteReader& in, StoredField& field, uint64_t chunks_end) {
  field.field = get_text(in);
  const uint8_t type = in.u8();
  const auto chunks = in.le<uint32_t>();
  if (type > static_cast<uint8_t>(FieldType::unsigned_integer) || !in.fits(chunks, kPlaceBytes)) return false;
  field.type = static_cast<FieldType>(type);
  field.chunks.clear();
  for (uint32_t i = 0; i < chunks; ++i) {
    const ChunkPlace place = read_place(in);
    if (place.offset > chunks_end || place.bytes > chunks_end - place.offset) return false;
    field.chunks.push_back(place);
  }
  return !in.failed();
}

bool read_index(Bytes index, uint64_t chunks_end, const std::function<void(const StoredField&)>& each) {
  ByteReader in(index);
  const auto series = in.le<uint64_t>();
  StoredField field;
  for (uint64_t i = 0; i < series && !in.failed(); ++i) {
    field.database = get_text(in);
    field.key = get_text(in);
    const auto fields = in.le<uint16_t>();
    for (uint16_t one = 0; one < fields; ++one) {
      if (!read_field(in, field, chunks_end)) return false;
      each(field);
    }
  }
  return in.complete();
}

bool read_body(ByteReader& in, Manifest& manifest) {
  if (as_text(in.take(kManifestMagic.size())) != kManifestMagic) return false;
  const Bytes id = in.take(manifest.log_id.size());
  if (id.size() != manifest.log_id.size()) return false;
  std::memcpy(manifest.log_id.data(), id.data(), id.size());
  manifest.offset = in.le<int64_t>();
  manifest.gap_from = in.le<int64_t>();
  manifest.gap_to = in.le<int64_t>();
  manifest.last_number = in.le<uint64_t>();
  const auto files = in.le<uint32_t>();
  for (uint32_t i = 0; i < files && !in.failed(); ++i) {
    Manifest::NamedFile file;
    file.number = in.le<uint64_t>();
    file.bytes = in.le<uint64_t>();
    manifest.files.push_back(file);
  }
  const auto removed = in.le<uint32_t>();
  for (uint32_t i = 0; i < removed && !in.failed(); ++i) manifest.removed.push_back(in.le<uint64_t>());
  const auto drops = in.le<uint32_t>();
  for (uint32_t i = 0; i < drops && !in.failed(); ++i) {
    const std::string_view database = get_text(in);
    manifest.drops[std::string(database)] = in.le<uint64_t>();
  }
  return in.complete();
}

}  // namespace

std::string chunk_file_name(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(digits.size() < 12 ? 12 - digits.size() : 0, '0') + digits + ".chunks";
}

Result<std::unique_ptr<ChunkFileWriter>> ChunkFileWriter::create(Disk& disk, const std::string& path) {
  const Result<bool> there = disk.exists(path);
  if (!there) return there.error();
  if (*there) HEPTANE_TRY(disk.unlink(path));
  auto file = disk.open(path, OpenMode::create);
  if (!file) return file.error();
  std::unique_ptr<ChunkFileWriter> writer(new ChunkFileWriter(std::move(*file)));
  HEPTANE_TRY(writer->append(as_bytes(kFileMagic)));
  return writer;
}

Result<void> ChunkFileWriter::append(Bytes bytes) {
  buffer_.append(bytes);
  return buffer_.size() >= kWriteBytes ? flush() : Result<void>();
}

Result<void> ChunkFileWriter::flush() {
  HEPTANE_TRY(file_->write_at(written_, buffer_.view()));
  written_ += buffer_.size();
  buffer_ = {};
  return {};
}

void ChunkFileWriter::end_series() {
  if (field_count_ == 0) return;
  index_.le<uint16_t>(field_count_);
  index_.append(fields_.view());
  fields_ = {};
  field_count_ = 0;
  ++series_;
}

Result<void> ChunkFileWriter::add(std::string_view database, std::string_view key, std::string_view field,
                                  const Column& column) {
  begin(database, key, field, column.type);
  if (const Result<size_t> done = add_chunks(column, true); !done) return done.error();
  end();
  return {};
}

void ChunkFileWriter::begin(std::string_view database, std::string_view key, std::string_view field, FieldType type) {
  std::string series(database);
  series.append("/").append(key);
  if (series != last_series_ || field_count_ == UINT16_MAX) {
    end_series();
    last_series_ = std::move(series);
    put_text(index_, database);
    put_text(index_, key);
  }
  field_ = field;
  type_ = type;
  places_.emplace_back();
}

// How many points of it are in chunks now.
Result<size_t> ChunkFileWriter::add_chunks(const Column& column, bool whole) {
  size_t from = 0;
  while (from < column.size()) {
    const size_t to = chunk_end(column, from);
    if (to == column.size() && !whole) break;
    const std::vector<std::byte> chunk = encode_chunk(column, from, to);
    places_.back().push_back({written_ + buffer_.size(), static_cast<uint32_t>(chunk.size()),
                              static_cast<uint32_t>(to - from), column.times[from], column.times[to - 1]});
    HEPTANE_TRY(append(chunk));
    from = to;
  }
  return from;
}

Result<void> ChunkFileWriter::add_piece(Column& column, bool whole) {
  const Result<size_t> done = add_chunks(column, whole);
  if (!done) return done.error();
  drop_front(column, *done);
  return {};
}

void ChunkFileWriter::end() {
  const std::vector<ChunkPlace>& places = places_.back();
  put_text(fields_, field_);
  fields_.u8(static_cast<uint8_t>(type_));
  fields_.le<uint32_t>(static_cast<uint32_t>(places.size()));
  for (const ChunkPlace& place : places) {
    fields_.le<uint64_t>(place.offset);
    fields_.le<uint32_t>(place.bytes);
    fields_.le<uint32_t>(place.points);
    fields_.le<int64_t>(place.first);
    fields_.le<int64_t>(place.last);
  }
  ++field_count_;
}

// The index is written from where it was made, and let go: it may be as large as what merges and loads have room for.
Result<uint64_t> ChunkFileWriter::finish() {
  end_series();
  ByteWriter count;
  count.le<uint64_t>(series_);
  const uint64_t offset = written_ + buffer_.size();
  const uint64_t index_bytes = count.size() + index_.size();
  const uint32_t crc = crc32c(index_.view(), crc32c(count.view()));
  HEPTANE_TRY(append(count.view()));
  HEPTANE_TRY(flush());
  HEPTANE_TRY(file_->write_at(written_, index_.view()));
  written_ += index_.size();
  index_ = {};
  ByteWriter footer;
  footer.le<uint64_t>(offset);
  footer.le<uint64_t>(index_bytes);
  footer.le<uint32_t>(crc);
  footer.append(kFooterMagic);
  HEPTANE_TRY(append(footer.view()));
  HEPTANE_TRY(flush());
  HEPTANE_TRY(file_->sync());
  return written_;
}

Result<std::shared_ptr<File>> OpenFiles::get(const std::string& path) {
  const auto found = std::find_if(open_.begin(), open_.end(), [&](const Open& one) { return one.path == path; });
  if (found != open_.end()) {
    open_.splice(open_.begin(), open_, found);
    return open_.front().file;
  }
  auto file = disk_.open(path, OpenMode::read);
  if (!file) return file.error();
  open_.push_front({path, std::move(*file)});
  if (open_.size() > kMost) open_.pop_back();
  return open_.front().file;
}

void OpenFiles::forget(const std::string& path) {
  std::erase_if(open_, [&](const Open& one) { return one.path == path; });
}

Result<std::unique_ptr<ChunkFile>> ChunkFile::open(OpenFiles& files, const std::string& path, uint64_t bytes,
                                                   const std::function<void(const StoredField&)>& each) {
  const auto file = files.get(path);
  if (!file) return file.error();
  if (bytes < kFileMagic.size() + kFooterBytes) return damaged(path);
  const auto magic = read_part(**file, 0, kFileMagic.size());
  if (!magic) return magic.error();
  if (as_text(*magic) != kFileMagic) return damaged(path);
  const auto footer = read_part(**file, bytes - kFooterBytes, kFooterBytes);
  if (!footer) return footer.error();
  ByteReader in(*footer);
  const auto offset = in.le<uint64_t>();
  const auto index_bytes = in.le<uint64_t>();
  const auto crc = in.le<uint32_t>();
  const bool right = !in.failed() && as_text(in.rest()) == kFooterMagic && offset <= bytes - kFooterBytes &&
                     index_bytes == bytes - kFooterBytes - offset && index_bytes <= kIndexBytesMax;
  if (!right) return damaged(path);
  const auto index = read_part(**file, offset, index_bytes);
  if (!index) return index.error();
  if (index->size() != index_bytes || crc32c(*index) != crc || !read_index(*index, offset, each)) return damaged(path);
  return std::unique_ptr<ChunkFile>(new ChunkFile(files, path));
}

Result<Column> ChunkFile::read(const ChunkPlace& place) const {
  const auto file = files_.get(path_);
  if (!file) return file.error();
  const auto bytes = read_part(**file, place.offset, place.bytes);
  if (!bytes) return bytes.error();
  auto column = decode_chunk(*bytes);
  if (!column || column->size() != place.points) return damaged(path_);
  return std::move(*column);
}

Result<Manifest> read_manifest(Disk& disk, const std::string& directory) {
  const std::string path = directory + "/MANIFEST";
  const Result<bool> there = disk.exists(path);
  if (!there) return there.error();
  if (!*there) return Error{Errc::not_found, "there is no manifest"};
  auto file = disk.open(path, OpenMode::read);
  if (!file) return file.error();
  const Result<uint64_t> size = (*file)->size();
  if (!size) return size.error();
  if (*size < kManifestMagic.size() + sizeof(uint32_t) || *size > kManifestBytesMax) return damaged(path);
  const auto bytes = read_part(**file, 0, *size);
  if (!bytes) return bytes.error();
  const Bytes body = Bytes(*bytes).first(bytes->size() - sizeof(uint32_t));
  ByteReader in(body);
  Manifest manifest;
  const bool right = crc32c(body) == load_le<uint32_t>(bytes->data() + body.size()) && read_body(in, manifest);
  if (!right) return damaged(path);
  return manifest;
}

Result<void> write_manifest(Disk& disk, const std::string& directory, const Manifest& manifest) {
  ByteWriter out;
  out.append(kManifestMagic);
  out.append(as_bytes(std::string_view(reinterpret_cast<const char*>(manifest.log_id.data()), manifest.log_id.size())));
  out.le<int64_t>(manifest.offset);
  out.le<int64_t>(manifest.gap_from);
  out.le<int64_t>(manifest.gap_to);
  out.le<uint64_t>(manifest.last_number);
  out.le<uint32_t>(static_cast<uint32_t>(manifest.files.size()));
  for (const Manifest::NamedFile& file : manifest.files) {
    out.le<uint64_t>(file.number);
    out.le<uint64_t>(file.bytes);
  }
  out.le<uint32_t>(static_cast<uint32_t>(manifest.removed.size()));
  for (const uint64_t number : manifest.removed) out.le<uint64_t>(number);
  out.le<uint32_t>(static_cast<uint32_t>(manifest.drops.size()));
  for (const auto& [database, number] : manifest.drops) {
    put_text(out, database);
    out.le<uint64_t>(number);
  }
  out.le<uint32_t>(crc32c(out.view()));
  const std::string temporary = directory + "/MANIFEST.new";
  const Result<bool> there = disk.exists(temporary);
  if (!there) return there.error();
  if (*there) HEPTANE_TRY(disk.unlink(temporary));
  auto file = disk.open(temporary, OpenMode::create);
  if (!file) return file.error();
  HEPTANE_TRY((*file)->write_at(0, out.view()));
  HEPTANE_TRY((*file)->sync());
  HEPTANE_TRY(disk.rename(temporary, directory + "/MANIFEST"));
  return disk.sync_directory(directory);
}

}  // namespace heptane::iot::series
