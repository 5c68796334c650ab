#include "kernel/rows/row_file.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "kernel/base/crc32c.h"

namespace heptane::rows {

namespace {

constexpr std::string_view kMagic = "HPRW";
constexpr uint16_t kVersion = 0;
constexpr size_t kNameBytes = 32;
constexpr size_t kWriteBytes = size_t{1} << 20;
constexpr const char* kTemporary = "/next.tmp";

// Of the header, FORMAT.md.
constexpr size_t kAtVersion = 4;
constexpr size_t kAtCrc = 8;
constexpr size_t kAtRowBytes = 12;
constexpr size_t kAtRows = 16;
constexpr size_t kAtNumber = 20;
constexpr size_t kAtHash = 24;
constexpr size_t kAtName = 40;

using Block = std::vector<std::byte>;

Block make_header(const RowShape& shape, uint32_t number, const Hash128& hash) {
  Block block(kBlockBytes);
  std::copy_n(as_bytes(kMagic).begin(), kMagic.size(), block.begin());
  store_le<uint16_t>(block.data() + kAtVersion, kVersion);
  store_le<uint32_t>(block.data() + kAtRowBytes, shape.row_bytes);
  store_le<uint32_t>(block.data() + kAtRows, shape.rows_per_file);
  store_le<uint32_t>(block.data() + kAtNumber, number);
  store_le<uint64_t>(block.data() + kAtHash, hash.low);
  store_le<uint64_t>(block.data() + kAtHash + 8, hash.high);
  const Bytes name = as_bytes(shape.name);
  std::copy_n(name.begin(), std::min(name.size(), kNameBytes), block.begin() + kAtName);
  store_le<uint32_t>(block.data() + kAtCrc, crc32c(block));
  return block;
}

uint32_t block_crc(Bytes block, uint32_t key) { return crc32c(block.subspan(sizeof(uint32_t)), key); }

// Rows of block `number` into `block`, which is zeros.
void fill_block(const RowShape& shape, uint32_t number, Bytes rows, uint32_t key, MutableBytes block) {
  const size_t per_block = size_t{shape.rows_per_block()} * shape.row_bytes;
  const Bytes own = rows.subspan(number * per_block, std::min(per_block, rows.size() - number * per_block));
  store_le<uint32_t>(block.data() + sizeof(uint32_t), number);
  std::copy(own.begin(), own.end(), block.begin() + RowShape::kBlockHeadBytes);
  store_le<uint32_t>(block.data(), block_crc(block, key));
}

Error way_out(const std::string& path, const std::string& what) {
  return {Errc::refused, path + " " + what +
                             ", and the snapshot needs it: put the file back from a backup of this data directory; if "
                             "the log still reaches back to its first command, moving shard-0/snapshots away has all "
                             "of it made again"};
}

}  // namespace

std::string row_file_path(const std::string& directory, const RowShape& shape, uint32_t number) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "-%010u", number);
  return directory + "/" + shape.name + digits + std::string(kSuffix);
}

Result<void> write_row_file(Disk& disk, const std::string& directory, const RowShape& shape, uint32_t number,
                            Bytes rows, const Hash128& hash) {
  const std::string temporary = directory + kTemporary;
  const Result<bool> leftover = disk.exists(temporary);
  if (!leftover) return leftover.error();
  if (*leftover) HEPTANE_TRY(disk.unlink(temporary));
  Result<std::unique_ptr<File>> file = disk.open(temporary, OpenMode::create);
  if (!file) return file.error();
  const Block header = make_header(shape, number, hash);
  const auto key = load_le<uint32_t>(header.data() + kAtCrc);
  HEPTANE_TRY((*file)->write_at(0, header));
  std::vector<std::byte> step(kWriteBytes);
  for (uint32_t block = 0; block < shape.blocks();) {
    const uint32_t begin = block;
    std::fill(step.begin(), step.end(), std::byte{0});
    size_t filled = 0;
    for (; filled < step.size() && block < shape.blocks(); ++block, filled += kBlockBytes)
      fill_block(shape, block, rows, key, MutableBytes(step).subspan(filled, kBlockBytes));
    HEPTANE_TRY((*file)->write_at((uint64_t{begin} + 1) * kBlockBytes, Bytes(step).first(filled)));
  }
  HEPTANE_TRY((*file)->sync());
  file->reset();
  HEPTANE_TRY(disk.rename(temporary, row_file_path(directory, shape, number)));
  return disk.sync_directory(directory);
}

Result<std::unique_ptr<RowFile>> RowFile::open(Disk& disk, const std::string& directory, const RowShape& shape,
                                               uint32_t number, const Hash128& hash) {
  std::string path = row_file_path(directory, shape, number);
  Result<std::unique_ptr<File>> file = disk.open(path, OpenMode::read);
  if (!file && file.error().code == Errc::not_found) return way_out(path, "is missing");
  if (!file) return file.error();
  const Result<uint64_t> bytes = (*file)->size();
  if (!bytes) return bytes.error();
  Block found(kBlockBytes);
  const Result<size_t> count = (*file)->read_at(0, found);
  if (!count) return count.error();
  const Block wanted = make_header(shape, number, hash);
  if (*bytes != shape.file_bytes() || found != wanted) return way_out(path, "is damaged or another one");
  const auto key = load_le<uint32_t>(wanted.data() + kAtCrc);
  return std::unique_ptr<RowFile>(new RowFile(std::move(*file), std::move(path), shape, key, hash));
}

Result<void> RowFile::read_block(uint32_t block, MutableBytes into) const {
  const Result<size_t> count = file_->read_at((uint64_t{block} + 1) * kBlockBytes, into.first(kBlockBytes));
  if (!count) return Error{count.error().code, path_ + ": " + count.error().message};
  return check(block, into, *count);
}

Result<bool> RowFile::try_read_block(uint32_t block, MutableBytes into) const {
  const Result<std::optional<size_t>> count =
      file_->try_read_at((uint64_t{block} + 1) * kBlockBytes, into.first(kBlockBytes));
  if (!count) return Error{count.error().code, path_ + ": " + count.error().message};
  if (!count->has_value()) return false;
  HEPTANE_TRY(check(block, into, **count));
  return true;
}

Result<bool> RowFile::try_read_row(uint32_t block, uint32_t row, MutableBytes into) const {
  const uint64_t offset =
      (uint64_t{block} + 1) * kBlockBytes + RowShape::kBlockHeadBytes + uint64_t{row} * shape_.row_bytes;
  const Result<std::optional<size_t>> count = file_->try_read_at(offset, into.first(shape_.row_bytes));
  if (!count) return Error{count.error().code, path_ + ": " + count.error().message};
  return count->has_value() && **count == shape_.row_bytes;
}

Result<void> RowFile::read_blocks(uint32_t first, MutableBytes into) const {
  const Result<size_t> count = file_->read_at((uint64_t{first} + 1) * kBlockBytes, into);
  if (!count) return Error{count.error().code, path_ + ": " + count.error().message};
  for (size_t at = 0; at < into.size(); at += kBlockBytes, ++first)
    HEPTANE_TRY(check(first, into.subspan(at, kBlockBytes), std::min(kBlockBytes, *count - std::min(*count, at))));
  return {};
}

Result<void> RowFile::check(uint32_t block, Bytes bytes, size_t count) const {
  if (count == kBlockBytes && load_le<uint32_t>(bytes.data() + sizeof(uint32_t)) == block &&
      load_le<uint32_t>(bytes.data()) == block_crc(bytes.first(kBlockBytes), key_))
    return {};
  return Error{Errc::corrupt, path_ + ": block " + std::to_string(block) +
                                  " is damaged: put the file back from a backup of this data directory"};
}

Result<void> RowFile::verify() const {
  const size_t per_block = size_t{shape_.rows_per_block()} * shape_.row_bytes;
  StreamingHash128 hash;
  Block block(kBlockBytes);
  for (uint32_t number = 0; number < shape_.blocks(); ++number) {
    HEPTANE_TRY(read_block(number, block));
    const size_t left = shape_.bytes_of_rows() - number * per_block;
    hash.add(Bytes(block).subspan(RowShape::kBlockHeadBytes, std::min(per_block, left)));
  }
  if (hash.value() == hash_) return {};
  return Error{Errc::corrupt, path_ + " does not hold the rows that its header says: put the file back from a backup"};
}

}  // namespace heptane::rows
