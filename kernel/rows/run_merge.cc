#include "kernel/rows/run_merge.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "kernel/base/crc32c.h"

namespace heptane::rows {

namespace {

constexpr const char* kTemporary = "/merge.tmp";  // others are written meanwhile

uint64_t keys_most(const RunShape& shape, const std::vector<RunMerge::Part>& parts) {
  uint64_t keys = 0;
  for (uint32_t field = 0; field < shape.fields; ++field) {
    uint64_t entries = 0;
    for (const RunMerge::Part& part : parts) {
      entries += part.head->field(field).entries;
      keys += part.head->field(field).commons.size();
    }
    keys += entries / RunShape::kPerBlock + 1 + entries / shape.rows_most();
  }
  return keys;
}

}  // namespace

RunMerge::RunMerge(Disk& disk, std::string directory, const RunShape& shape, RunPlace place, const Hash128& hash,
                   std::vector<Part> parts)
    : disk_(disk),
      directory_(std::move(directory)),
      shape_(shape),
      place_(place),
      hash_(hash),
      parts_(std::move(parts)),
      key_(crc32c(merged_identity(shape, place, hash))) {
  HEPTANE_ASSERT(parts_.size() == RunPlace::kMerged && place.level > 0, "so many files are merged into one");
}

RunMerge::~RunMerge() {
  if (out_ == nullptr) return;
  out_.reset();
  remove_leftover(disk_, directory_);
}

void RunMerge::remove_leftover(Disk& disk, const std::string& directory) {
  (void)disk.unlink(directory + kTemporary).ok();  // there is none, or the next one has to
}

Result<bool> RunMerge::step() {
  if (out_ == nullptr) HEPTANE_TRY(begin());
  for (passed_ = 0; written_.size() < kWriteBytes && passed_ < kEntriesAStep;) {
    const bool over = std::ranges::all_of(cursors_, [](const Cursor& cursor) { return cursor.left == 0; });
    if (!over) {
      HEPTANE_TRY(take_key());
      continue;
    }
    if (fields_.size() == shape_.fields) {
      HEPTANE_TRY(finish());
      return false;
    }
    HEPTANE_TRY(begin_field());
  }
  HEPTANE_TRY(flush());
  return true;
}

Result<void> RunMerge::begin() {
  const std::string temporary = directory_ + kTemporary;
  const Result<bool> leftover = disk_.exists(temporary);
  if (!leftover) return leftover.error();
  if (*leftover) HEPTANE_TRY(disk_.unlink(temporary));
  Result<std::unique_ptr<File>> file = disk_.open(temporary, OpenMode::create);
  if (!file) return file.error();
  out_ = std::move(*file);
  head_blocks_ = merged_head_blocks(shape_, keys_most(shape_, parts_));
  written_to_ = synced_to_ = uint64_t{head_blocks_} * kBlockBytes;
  return {};
}

Result<void> RunMerge::begin_field() {
  const auto number = static_cast<uint32_t>(fields_.size());
  fields_.emplace_back();
  fields_.back().first_block = block_;
  commons_.clear();
  cursors_.assign(parts_.size(), {});
  for (size_t part = 0; part < parts_.size(); ++part) {
    const RunHead::Field& field = parts_[part].head->field(number);
    commons_.insert(commons_.end(), field.commons.begin(), field.commons.end());
    cursors_[part].left = field.entries;
    cursors_[part].next_block = field.first_block;
    HEPTANE_TRY(fill(part));
  }
  std::ranges::sort(commons_);  // total order: equal keys are one key
  commons_.erase(std::unique(commons_.begin(), commons_.end()), commons_.end());
  fields_.back().commons = commons_;
  return {};
}

// The next blocks of a part's field, when the ones before are used up.
Result<void> RunMerge::fill(size_t part) {
  Cursor& cursor = cursors_[part];
  if (cursor.left == 0) return {};
  const RunHead& head = *parts_[part].head;
  const size_t count = std::min<size_t>(kReadBlocks, (cursor.left + RunShape::kPerBlock - 1) / RunShape::kPerBlock);
  cursor.blocks.resize(count * kBlockBytes);
  cursor.at = 0;
  const Result<size_t> read = parts_[part].file->read_at(head.offset_of(cursor.next_block), cursor.blocks);
  bool sound = read && *read == cursor.blocks.size();  // what cannot be read can be made again
  for (size_t i = 0; i < count && sound; ++i)
    sound = head.sound(cursor.next_block + static_cast<uint32_t>(i),
                       Bytes(cursor.blocks).subspan(i * kBlockBytes, kBlockBytes));
  if (!sound) {
    damaged_part_ = part;
    return Error{Errc::corrupt, "runs to be merged are damaged"};
  }
  cursor.next_block += static_cast<uint32_t>(count);
  return {};
}

RunEntry RunMerge::front(size_t part) const {
  const Cursor& cursor = cursors_[part];
  const std::byte* entry = cursor.blocks.data() + size_t{cursor.at / RunShape::kPerBlock} * kBlockBytes +
                           RowShape::kBlockHeadBytes + cursor.at % RunShape::kPerBlock * RunShape::kEntryBytes;
  return {load_le<uint32_t>(entry), load_le<uint32_t>(entry + 4)};
}

Result<void> RunMerge::advance(size_t part) {
  Cursor& cursor = cursors_[part];
  ++passed_;
  --cursor.left;
  if (++cursor.at == cursor.blocks.size() / kBlockBytes * RunShape::kPerBlock) return fill(part);
  return {};
}

// All entries of the smallest key that is left: parts are in the order of their rows, and so are rows in each.
Result<void> RunMerge::take_key() {
  uint32_t key = UINT32_MAX;
  for (size_t part = 0; part < parts_.size(); ++part)
    if (cursors_[part].left > 0) key = std::min(key, front(part).key);
  const uint32_t rows_of_part = shape_.rows_per_file * place_.part(0).files();
  const uint32_t most = shape_.rows_most();
  same_key_.clear();
  for (size_t part = 0; part < parts_.size(); ++part)
    while (cursors_[part].left > 0 && front(part).key == key) {
      // One more than there may be says that the key is common.
      if (same_key_.size() <= most)
        same_key_.push_back({key, static_cast<uint32_t>(part) * rows_of_part + front(part).row});
      HEPTANE_TRY(advance(part));
    }
  if (std::ranges::binary_search(commons_, key)) return {};
  if (same_key_.size() > most) {
    std::vector<uint32_t>& commons = fields_.back().commons;
    commons.insert(std::ranges::lower_bound(commons, key), key);
    return {};
  }
  for (const RunEntry& entry : same_key_) append(entry);
  return {};
}

void RunMerge::append(RunEntry entry) {
  RunHead::Field& field = fields_.back();
  const uint32_t at = field.entries++ % RunShape::kPerBlock;
  if (at == 0) {
    field.first_keys.push_back(entry.key);
    written_.resize(written_.size() + kBlockBytes);
    store_le<uint32_t>(written_.data() + written_.size() - kBlockBytes + 4, block_++);
  }
  std::byte* to =
      written_.data() + written_.size() - kBlockBytes + RowShape::kBlockHeadBytes + at * RunShape::kEntryBytes;
  store_le<uint32_t>(to, entry.key);
  store_le<uint32_t>(to + 4, entry.row);
}

// Whole blocks; the one that entries still come to stays.
Result<void> RunMerge::flush() {
  const bool open = !fields_.empty() && fields_.back().entries % RunShape::kPerBlock != 0;
  const size_t whole = written_.size() - (open ? kBlockBytes : 0);
  for (size_t begin = 0; begin < whole; begin += kBlockBytes)
    store_le<uint32_t>(written_.data() + begin, run_block_crc(Bytes(written_).subspan(begin, kBlockBytes), key_));
  HEPTANE_TRY(out_->write_at(written_to_, Bytes(written_).first(whole)));
  written_to_ += whole;
  written_.erase(written_.begin(), written_.begin() + static_cast<ptrdiff_t>(whole));
  if (written_to_ - synced_to_ < kSyncBytes) return {};
  synced_to_ = written_to_;
  return out_->sync();
}

Result<void> RunMerge::finish() {
  for (size_t begin = 0; begin < written_.size(); begin += kBlockBytes)
    store_le<uint32_t>(written_.data() + begin, run_block_crc(Bytes(written_).subspan(begin, kBlockBytes), key_));
  if (!written_.empty()) HEPTANE_TRY(out_->write_at(written_to_, written_));
  const std::vector<std::byte> head = make_merged_head(shape_, place_, hash_, head_blocks_, fields_);
  HEPTANE_TRY(out_->write_at(0, head));
  HEPTANE_TRY(out_->sync());
  out_.reset();
  HEPTANE_TRY(disk_.rename(directory_ + kTemporary, run_file_path(directory_, shape_, place_)));
  HEPTANE_TRY(disk_.sync_directory(directory_));
  head_ = RunHead::read_merged(head, shape_, place_, hash_);
  HEPTANE_ASSERT(head_ != nullptr, "a head that was just made reads back");
  return {};
}

}  // namespace heptane::rows
