#include "kernel/rows/run_file.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/base/crc32c.h"

namespace heptane::rows {

namespace {

constexpr std::string_view kMagic = "HPRR";
constexpr uint16_t kVersion = 0;
constexpr size_t kNameBytes = 32;
constexpr size_t kCommonsMost = 16;
constexpr const char* kTemporary = "/next.tmp";

// Of the head, FORMAT.md.
constexpr size_t kAtVersion = 4;
constexpr size_t kAtFields = 6;
constexpr size_t kAtCrc = 8;
constexpr size_t kAtRows = 12;
constexpr size_t kAtNumber = 16;
constexpr size_t kAtHash = 24;
constexpr size_t kAtName = 40;
constexpr size_t kAtCounts = 72;
constexpr size_t kCountBytes = 8;

// Of the head of merged runs: up to kAtLevel, and name and hash, the same.
constexpr std::string_view kMergedMagic = "HPRM";
constexpr size_t kAtLevel = 20;
constexpr size_t kAtBlocks = 72;
constexpr size_t kAtMergedCounts = 80;
constexpr uint32_t kMergedHeadBlocksMost = 8192;

uint32_t blocks_of(size_t entries) {
  return static_cast<uint32_t>((entries + RunShape::kPerBlock - 1) / RunShape::kPerBlock);
}

void put_name(std::byte* head, const RunShape& shape) {
  const Bytes name = as_bytes(shape.name);
  std::copy_n(name.begin(), std::min(name.size(), kNameBytes), head + kAtName);
}

// By key, rows in their order: a digit after the other.
void sort_by_key(std::vector<RunEntry>& entries) {
  std::vector<RunEntry> other(entries.size());
  for (int shift = 0; shift < 32; shift += 8) {
    std::array<uint32_t, 257> begins{};
    for (const RunEntry& entry : entries) ++begins[(entry.key >> shift & 0xFF) + 1];
    if (std::find(begins.begin(), begins.end(), entries.size()) != begins.end()) continue;  // all have the same
    for (size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];
    for (const RunEntry& entry : entries) other[begins[entry.key >> shift & 0xFF]++] = entry;
    entries.swap(other);
  }
}

// Takes the common ones out of a sorted run.
std::vector<uint32_t> take_commons(std::vector<RunEntry>& run, uint32_t rows_most) {
  std::vector<uint32_t> commons;
  size_t kept = 0;
  for (size_t begin = 0, end = 0; begin < run.size(); begin = end) {
    while (end < run.size() && run[end].key == run[begin].key) ++end;
    if (end - begin > rows_most) {
      commons.push_back(run[begin].key);
      continue;
    }
    for (size_t i = begin; i < end; ++i) run[kept++] = run[i];
  }
  run.resize(kept);
  HEPTANE_ASSERT(commons.size() <= kCommonsMost, "more common keys than rows can have");
  return commons;
}

}  // namespace

uint32_t run_block_crc(Bytes block, uint32_t key) { return crc32c(block.subspan(sizeof(uint32_t)), key); }

std::string run_file_path(const std::string& directory, const RunShape& shape, RunPlace place) {
  char digits[40];
  if (place.level == 0)
    std::snprintf(digits, sizeof digits, "-%010u", place.number);
  else
    std::snprintf(digits, sizeof digits, "-merged%u-%010u", place.level, place.number);
  return directory + "/" + shape.name + digits + ".runs";
}

Hash128 hash_of_parts(std::span<const Hash128> parts) {
  std::vector<std::byte> bytes(parts.size() * 16);
  for (size_t i = 0; i < parts.size(); ++i) {
    store_le<uint64_t>(bytes.data() + i * 16, parts[i].low);
    store_le<uint64_t>(bytes.data() + i * 16 + 8, parts[i].high);
  }
  return hash128(bytes);
}

std::vector<std::byte> make_run_file(const RunShape& shape, uint32_t number, const Hash128& rows_hash,
                                     std::vector<std::vector<RunEntry>> runs) {
  HEPTANE_ASSERT(runs.size() == shape.fields && shape.fields <= kRunFieldsMost, "runs of another shape");
  std::vector<std::byte> file(kBlockBytes);
  std::copy_n(as_bytes(kMagic).begin(), kMagic.size(), file.begin());
  store_le<uint16_t>(file.data() + kAtVersion, kVersion);
  store_le<uint16_t>(file.data() + kAtFields, static_cast<uint16_t>(shape.fields));
  store_le<uint32_t>(file.data() + kAtRows, shape.rows_per_file);
  store_le<uint32_t>(file.data() + kAtNumber, number);
  store_le<uint64_t>(file.data() + kAtHash, rows_hash.low);
  store_le<uint64_t>(file.data() + kAtHash + 8, rows_hash.high);
  put_name(file.data(), shape);
  size_t at = kAtCounts + kCountBytes * shape.fields;
  const auto put = [&](uint32_t value) {
    HEPTANE_ASSERT(at + sizeof value <= kBlockBytes, "rows that fit no head");
    store_le<uint32_t>(file.data() + at, value);
    at += sizeof value;
  };
  uint32_t block = 0;
  for (uint32_t field = 0; field < shape.fields; ++field) {
    std::vector<RunEntry>& run = runs[field];
    sort_by_key(run);
    const std::vector<uint32_t> commons = take_commons(run, shape.rows_most());
    std::byte* counts = file.data() + kAtCounts + kCountBytes * field;
    store_le<uint32_t>(counts, static_cast<uint32_t>(run.size()));
    store_le<uint32_t>(counts + 4, static_cast<uint32_t>(commons.size()));
    for (const uint32_t common : commons) put(common);
    for (size_t entry = 0; entry < run.size(); ++entry) {
      if (entry % RunShape::kPerBlock == 0) {
        put(run[entry].key);
        file.resize(file.size() + kBlockBytes);
        store_le<uint32_t>(file.data() + file.size() - kBlockBytes + 4, block++);
      }
      std::byte* to = file.data() + file.size() - kBlockBytes + RowShape::kBlockHeadBytes +
                      entry % RunShape::kPerBlock * RunShape::kEntryBytes;
      store_le<uint32_t>(to, run[entry].key);
      store_le<uint32_t>(to + 4, run[entry].row);
    }
  }
  const uint32_t key = crc32c(Bytes(file).first(kBlockBytes));
  store_le<uint32_t>(file.data() + kAtCrc, key);
  for (size_t begin = kBlockBytes; begin < file.size(); begin += kBlockBytes)
    store_le<uint32_t>(file.data() + begin, run_block_crc(Bytes(file).subspan(begin, kBlockBytes), key));
  return file;
}

Result<void> write_run_file(Disk& disk, const std::string& directory, const RunShape& shape, uint32_t number,
                            Bytes file) {
  const std::string temporary = directory + kTemporary;
  const Result<bool> leftover = disk.exists(temporary);
  if (!leftover) return leftover.error();
  if (*leftover) HEPTANE_TRY(disk.unlink(temporary));
  Result<std::unique_ptr<File>> written = disk.open(temporary, OpenMode::create);
  if (!written) return written.error();
  HEPTANE_TRY((*written)->write_at(0, file));
  HEPTANE_TRY((*written)->sync());
  written->reset();
  HEPTANE_TRY(disk.rename(temporary, run_file_path(directory, shape, {0, number})));
  return disk.sync_directory(directory);
}

std::unique_ptr<RunHead> RunHead::read(Bytes block, const RunShape& shape, uint32_t number, const Hash128& rows_hash) {
  if (block.size() != kBlockBytes || shape.fields > kRunFieldsMost) return nullptr;
  std::vector<std::byte> zeroed(block.begin(), block.end());
  store_le<uint32_t>(zeroed.data() + kAtCrc, 0);
  auto head = std::make_unique<RunHead>();
  head->key_ = load_le<uint32_t>(block.data() + kAtCrc);
  head->rows_ = shape.rows_per_file;
  std::array<std::byte, kNameBytes> name{};
  std::copy_n(as_bytes(shape.name).begin(), std::min(shape.name.size(), kNameBytes), name.begin());
  const bool ours = head->key_ == crc32c(zeroed) && std::ranges::equal(block.first(kMagic.size()), as_bytes(kMagic)) &&
                    load_le<uint16_t>(block.data() + kAtVersion) == kVersion &&
                    load_le<uint16_t>(block.data() + kAtFields) == shape.fields &&
                    load_le<uint32_t>(block.data() + kAtRows) == shape.rows_per_file &&
                    load_le<uint32_t>(block.data() + kAtNumber) == number &&
                    load_le<uint64_t>(block.data() + kAtHash) == rows_hash.low &&
                    load_le<uint64_t>(block.data() + kAtHash + 8) == rows_hash.high &&
                    std::ranges::equal(block.subspan(kAtName, kNameBytes), name);
  return ours && head->read_fields(block.subspan(kAtCounts), shape, kCommonsMost) ? std::move(head) : nullptr;
}

// `counts`: of each field, then their keys.
bool RunHead::read_fields(Bytes counts, const RunShape& shape, size_t commons_most) {
  ByteReader rest(counts.subspan(kCountBytes * shape.fields));
  for (uint32_t number = 0; number < shape.fields; ++number) {
    Field field;
    field.entries = load_le<uint32_t>(counts.data() + kCountBytes * number);
    const auto commons = load_le<uint32_t>(counts.data() + kCountBytes * number + 4);
    const uint32_t blocks = blocks_of(field.entries);
    if (field.entries > rows_ || commons > commons_most) return false;
    if (!rest.fits(uint64_t{commons} + blocks, sizeof(uint32_t))) return false;
    field.first_block = blocks_;
    blocks_ += blocks;
    for (uint32_t i = 0; i < commons; ++i) field.commons.push_back(rest.le<uint32_t>());
    for (uint32_t i = 0; i < blocks; ++i) field.first_keys.push_back(rest.le<uint32_t>());
    fields_.push_back(std::move(field));
  }
  return true;
}

std::optional<RunHead::Blocks> RunHead::find(uint32_t field, uint32_t key) const {
  const Field& in = fields_[field];
  if (std::ranges::binary_search(in.commons, key)) return std::nullopt;
  const auto lower = std::ranges::lower_bound(in.first_keys, key);
  const auto upper = std::upper_bound(lower, in.first_keys.end(), key);
  // They may begin in the block before the first that begins with the key.
  const auto first = lower == in.first_keys.begin() ? lower : lower - 1;
  if (upper == in.first_keys.begin()) return Blocks{in.first_block, in.first_block};  // the key lies before all
  return Blocks{in.first_block + static_cast<uint32_t>(first - in.first_keys.begin()),
                in.first_block + static_cast<uint32_t>(upper - in.first_keys.begin())};
}

bool RunHead::sound(uint32_t block, Bytes bytes) const {
  return bytes.size() == kBlockBytes && load_le<uint32_t>(bytes.data() + 4) == block &&
         load_le<uint32_t>(bytes.data()) == run_block_crc(bytes, key_);
}

bool RunHead::collect(uint32_t block, Bytes bytes, uint32_t key, std::vector<uint32_t>& rows) const {
  if (!sound(block, bytes)) return false;
  const auto field = std::find_if(fields_.rbegin(), fields_.rend(),
                                  [&](const Field& in) { return in.entries > 0 && in.first_block <= block; });
  if (field == fields_.rend()) return false;
  const uint32_t before = (block - field->first_block) * RunShape::kPerBlock;
  if (before >= field->entries) return false;
  const uint32_t count = std::min(RunShape::kPerBlock, field->entries - before);
  for (uint32_t i = 0; i < count; ++i) {
    const std::byte* entry = bytes.data() + RowShape::kBlockHeadBytes + i * RunShape::kEntryBytes;
    if (load_le<uint32_t>(entry) != key) continue;
    const auto row = load_le<uint32_t>(entry + 4);
    if (row >= rows_) return false;
    rows.push_back(row);
  }
  return true;
}

// Merged.

std::vector<std::byte> merged_identity(const RunShape& shape, RunPlace place, const Hash128& hash) {
  std::vector<std::byte> head(kAtBlocks);
  std::copy_n(as_bytes(kMergedMagic).begin(), kMergedMagic.size(), head.begin());
  store_le<uint16_t>(head.data() + kAtVersion, kVersion);
  store_le<uint16_t>(head.data() + kAtFields, static_cast<uint16_t>(shape.fields));
  store_le<uint32_t>(head.data() + kAtRows, shape.rows_per_file);
  store_le<uint32_t>(head.data() + kAtNumber, place.number);
  store_le<uint32_t>(head.data() + kAtLevel, place.level);
  store_le<uint64_t>(head.data() + kAtHash, hash.low);
  store_le<uint64_t>(head.data() + kAtHash + 8, hash.high);
  put_name(head.data(), shape);
  return head;
}

uint32_t merged_head_blocks(const RunShape& shape, uint64_t keys) {
  const uint64_t bytes = kAtMergedCounts + kCountBytes * shape.fields + keys * sizeof(uint32_t);
  return static_cast<uint32_t>((bytes + kBlockBytes - 1) / kBlockBytes);
}

std::vector<std::byte> make_merged_head(const RunShape& shape, RunPlace place, const Hash128& hash, uint32_t blocks,
                                        const std::vector<RunHead::Field>& fields) {
  std::vector<std::byte> head = merged_identity(shape, place, hash);
  head.resize(size_t{blocks} * kBlockBytes);
  store_le<uint32_t>(head.data() + kAtBlocks, blocks);
  std::byte* counts = head.data() + kAtMergedCounts;
  size_t at = kAtMergedCounts + kCountBytes * shape.fields;
  const auto put = [&](const std::vector<uint32_t>& keys) {
    HEPTANE_ASSERT(at + keys.size() * sizeof(uint32_t) <= head.size(), "keys that fit no head");
    for (const uint32_t key : keys) store_le<uint32_t>(head.data() + std::exchange(at, at + sizeof key), key);
  };
  for (const RunHead::Field& field : fields) {
    store_le<uint32_t>(counts, field.entries);
    store_le<uint32_t>(counts + 4, static_cast<uint32_t>(field.commons.size()));
    counts += kCountBytes;
    put(field.commons);
    put(field.first_keys);
  }
  store_le<uint32_t>(head.data() + kAtCrc, crc32c(head));
  return head;
}

uint32_t RunHead::merged_blocks(Bytes block) {
  if (block.size() != kBlockBytes || !std::ranges::equal(block.first(kMergedMagic.size()), as_bytes(kMergedMagic)))
    return 0;
  const auto blocks = load_le<uint32_t>(block.data() + kAtBlocks);
  return blocks <= kMergedHeadBlocksMost ? blocks : 0;
}

std::unique_ptr<RunHead> RunHead::read_merged(Bytes bytes, const RunShape& shape, RunPlace place, const Hash128& hash) {
  if (bytes.size() < kBlockBytes || shape.fields > kRunFieldsMost) return nullptr;
  if (bytes.size() != uint64_t{merged_blocks(bytes.first(kBlockBytes))} * kBlockBytes) return nullptr;
  std::vector<std::byte> zeroed(bytes.begin(), bytes.end());
  store_le<uint32_t>(zeroed.data() + kAtCrc, 0);
  const std::vector<std::byte> wanted = merged_identity(shape, place, hash);
  if (load_le<uint32_t>(bytes.data() + kAtCrc) != crc32c(zeroed) ||
      !std::ranges::equal(Bytes(zeroed).first(wanted.size()), wanted))
    return nullptr;
  auto head = std::make_unique<RunHead>();
  head->key_ = crc32c(wanted);
  head->head_blocks_ = static_cast<uint32_t>(bytes.size() / kBlockBytes);
  head->rows_ = uint64_t{shape.rows_per_file} * place.files();
  return head->read_fields(bytes.subspan(kAtMergedCounts), shape, bytes.size()) ? std::move(head) : nullptr;
}

}  // namespace heptane::rows
