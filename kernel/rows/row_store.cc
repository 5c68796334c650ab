#include "kernel/rows/row_store.h"

#include <algorithm>
#include <bit>

namespace heptane::rows {

RowStore::RowStore(RowShape shape)
    : shape_(std::move(shape)),
      shift_(static_cast<uint32_t>(std::countr_zero(shape_.rows_per_file))),
      mask_(shape_.rows_per_file - 1),
      alone_bytes_(shape_.row_bytes),
      replacement_(kBlockBytes) {
  HEPTANE_ASSERT(std::has_single_bit(shape_.rows_per_file) && shape_.rows_per_block() > 0, "rows that fit no file");
}

Result<void> RowStore::open(const RowPlace& place) {
  constexpr size_t kSlotBytes = kBlockBytes + sizeof(Tag);
  if (place.cached_blocks > SIZE_MAX / kSlotBytes) return Error{Errc::refused, "no memory has so many blocks"};
  Result<LazyMemory> cache = LazyMemory::map(place.cached_blocks * kSlotBytes);
  if (!cache) return cache.error();
  cache_ = std::move(*cache);
  blocks_used_ = 0;
  checks_.clear();
  checks_.set_most_bytes(place.check_bytes);
  place_ = place;
  files_ = std::vector<OpenFile>(place.open_files);
  return {};
}

// The first chunk of a small store is not to cost a huge page.
RowStore::Chunk RowStore::make_chunk() const {
  const size_t bytes = shape_.bytes_of_rows();
  if (chunks_.empty()) return Chunk(new std::byte[bytes]);
  return Chunk(HugeAllocator<std::byte>().allocate(bytes),
               [bytes](std::byte* chunk) { HugeAllocator<std::byte>().deallocate(chunk, bytes); });
}

void RowStore::add_chunk() {
  Chunk chunk;
  if (spare_.empty()) {
    chunk = make_chunk();
  } else {
    chunk = std::move(spare_.back());
    spare_.pop_back();
  }
  newest_ = chunk.get();
  chunks_.push_back(std::move(chunk));
  ++chunks_in_memory_;
}

void RowStore::pop() {
  --size_;
  HEPTANE_ASSERT((size_ >> shift_) >= handed_over_, "a row is taken back that was settled");
  if ((size_ & mask_) != 0) return;
  if (spare_.size() < kSpareChunks) spare_.push_back(std::move(chunks_.back()));
  chunks_.pop_back();
  --chunks_in_memory_;
  newest_ = chunks_.empty() ? nullptr : chunks_.back().get();
}

void RowStore::settle() {
  for (Written* written = written_.front(); written != nullptr; written = written_.front()) {
    leave(*written);
    written_.pop();
  }
  if (!place_.writable) return;
  for (; handed_over_ < full_chunks() && handed_over_ - hashes_.size() < kWaitingMax; ++handed_over_) {
    const bool pushed = to_write_.try_push({handed_over_, chunks_[handed_over_]});
    HEPTANE_ASSERT(pushed, "more chunks wait to be written than are counted");
  }
}

void RowStore::leave(const Written& written) {
  HEPTANE_ASSERT(written.number == hashes_.size(), "row files are written out of order");
  if (on_leave_) on_leave_(written.number << shift_, shape_.rows_per_file);
  hashes_.push_back(written.hash);
  Chunk chunk = std::move(chunks_[written.number]);
  chunks_[written.number] = nullptr;
  --chunks_in_memory_;
  if (newest_ == chunk.get()) newest_ = nullptr;
  if (spare_.size() < kSpareChunks) spare_.push_back(std::move(chunk));
}

Result<bool> RowStore::write_next() {
  Job* job = to_write_.front();
  if (job == nullptr) return false;
  const Bytes rows(job->chunk.get(), shape_.bytes_of_rows());
  const Written written{job->number, hash128(rows)};
  HEPTANE_TRY(write_row_file(*place_.disk, place_.directory, shape_, written.number, rows, written.hash));
  to_write_.pop();
  const bool pushed = written_.try_push(Written(written));
  HEPTANE_ASSERT(pushed, "more chunks were written than were handed over");
  durable_.store(written.number + 1, std::memory_order_release);
  return true;
}

Hash128 RowStore::hash_of(uint32_t chunk) const {
  return chunk < hashes_.size() ? hashes_[chunk] : hash128({chunks_[chunk].get(), shape_.bytes_of_rows()});
}

Bytes RowStore::tail() const {
  const size_t rows = size_ & mask_;
  return rows == 0 ? Bytes() : Bytes(newest_, rows * shape_.row_bytes);
}

void RowStore::clear() {
  HEPTANE_ASSERT(to_write_.empty(), "a store is cleared while its files are being written");
  while (written_.front() != nullptr) written_.pop();
  chunks_.clear();
  hashes_.clear();
  newest_ = nullptr;
  size_ = handed_over_ = 0;
  chunks_in_memory_ = 0;
  durable_.store(0, std::memory_order_release);
  for (OpenFile& open : files_) open.file.reset();
  cache_.clear();
  blocks_used_ = 0;
  checks_.clear();
  alone_ = UINT32_MAX;
  damage_.reset();
}

Result<void> RowStore::restore(const std::vector<Hash128>& hashes) {
  HEPTANE_ASSERT(size_ == 0, "a store is restored that holds rows");
  if (!hashes.empty() && place_.disk == nullptr)
    return Error{Errc::refused, "the snapshot names row files and there is no directory for them"};
  for (uint32_t number = 0; number < hashes.size(); ++number) {
    const auto file = RowFile::open(*place_.disk, place_.directory, shape_, number, hashes[number]);
    if (!file) return file.error();
  }
  hashes_ = hashes;
  chunks_.resize(hashes.size());
  handed_over_ = static_cast<uint32_t>(hashes.size());
  size_ = handed_over_ << shift_;
  durable_.store(handed_over_, std::memory_order_release);
  return {};
}

uint32_t RowStore::verify(std::vector<std::string>& problems) const {
  for (uint32_t number = 0; number < hashes_.size(); ++number) {
    const auto file = RowFile::open(*place_.disk, place_.directory, shape_, number, hashes_[number]);
    const Result<void> sound = file ? (*file)->verify() : Result<void>(file.error());
    if (!sound) problems.push_back(sound.error().message);
  }
  return static_cast<uint32_t>(hashes_.size());
}

// The file behind the one that is read is on its way meanwhile.
Result<bool> RowStore::scan(const Take& take) const {
  constexpr size_t kBlocksAtOnce = 64;
  std::vector<std::byte> blocks(kBlocksAtOnce * kBlockBytes);
  std::unique_ptr<RowFile> file;
  for (uint32_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    const uint32_t first = chunk << shift_;
    if (chunks_[chunk] != nullptr) {
      const size_t rows = std::min(size_ - first, shape_.rows_per_file);
      if (!take(first, {chunks_[chunk].get(), rows * shape_.row_bytes})) return false;
      continue;
    }
    Result<std::unique_ptr<RowFile>> opened = file == nullptr ? open_file(chunk) : std::move(file);
    if (!opened) return opened.error();
    if (chunk + 1 < hashes_.size()) {
      Result<std::unique_ptr<RowFile>> next = open_file(chunk + 1);
      if (!next) return next.error();
      file = std::move(*next);
      file->expect_all();
    }
    const Result<bool> taken = scan_file(**opened, first, blocks, take);
    if (!taken || !*taken) return taken;
  }
  return true;
}

Result<bool> RowStore::scan_file(const RowFile& file, uint32_t first, MutableBytes blocks, const Take& take) const {
  for (uint32_t block = 0; block < shape_.blocks();) {
    const auto count = std::min(shape_.blocks() - block, static_cast<uint32_t>(blocks.size() / kBlockBytes));
    HEPTANE_TRY(file.read_blocks(block, blocks.first(count * kBlockBytes)));
    for (uint32_t i = 0; i < count; ++i, ++block) {
      const uint32_t row = block * shape_.rows_per_block();
      const size_t rows = std::min(shape_.rows_per_block(), shape_.rows_per_file - row);
      const Bytes own = Bytes(blocks).subspan(i * kBlockBytes + RowShape::kBlockHeadBytes, rows * shape_.row_bytes);
      if (!take(first + row, own)) return false;
    }
  }
  return true;
}

RowFile* RowStore::file_of(uint32_t chunk) const {
  OpenFile& open = files_[chunk % files_.size()];
  if (open.file != nullptr && open.number == chunk) return open.file.get();
  Result<std::unique_ptr<RowFile>> file = open_file(chunk);
  if (!file) {
    if (!damage_) damage_ = file.error();
    return nullptr;
  }
  open = {chunk, std::move(*file)};
  return open.file.get();
}

// Where a block comes to, in place of the one that was there.
std::byte* RowStore::begin_read(size_t slot) const {
  if (tag(slot).file == 0) ++blocks_used_;
  tag(slot).file = 0;
  return block(slot);
}

void RowStore::keep(size_t slot, const Place& place, const Result<void>& read) const {
  ++blocks_read_;
  if (!read && !damage_) damage_ = read.error();
  if (read) {
    tag(slot) = {place.file + 1, place.block};
    return;
  }
  std::fill_n(block(slot), kBlockBytes, std::byte{0});
  --blocks_used_;
}

const std::byte* RowStore::in_file(uint32_t number) const {
  if (alone_ == number) return alone_bytes_.data();
  const Place place = place_of(number);
  const size_t slot = slot_of(place);
  if (!cached(slot, place)) {
    const RowFile* file = file_of(place.file);
    std::byte* into = begin_read(slot);
    if (file == nullptr) {
      std::fill_n(into, kBlockBytes, std::byte{0});
      --blocks_used_;
    } else {
      keep(slot, place, file->read_block(place.block, {into, kBlockBytes}));
    }
  }
  const uint32_t row = (number & mask_) % shape_.rows_per_block();
  return block(slot) + RowShape::kBlockHeadBytes + size_t{row} * shape_.row_bytes;
}

void RowStore::prefetch(uint32_t number) const {
  if (in_memory(number) != nullptr) return;
  checks_.prefetch(number);
  const size_t slot = slot_of(place_of(number));
  prefetch_line(&tag(slot));
  const uint32_t row = (number & mask_) % shape_.rows_per_block();
  const std::byte* at = block(slot) + RowShape::kBlockHeadBytes + size_t{row} * shape_.row_bytes;
  for (size_t line = 0; line < shape_.row_bytes; line += 64) prefetch_line(at + line);
}

bool RowStore::ready(uint32_t number) const {
  if (in_memory(number) != nullptr || alone_ == number) return true;
  const Place place = place_of(number);
  const size_t slot = slot_of(place);
  if (cached(slot, place)) return true;
  const RowFile* file = file_of(place.file);
  if (file == nullptr) return true;  // row() finds the same
  const Alone alone = read_alone(*file, place, number);
  if (alone == Alone::read) return true;
  if (alone == Alone::not_yet) return patience_.ends();
  // The one that is there stays until this one has come: some of it may.
  const Result<bool> read = file->try_read_block(place.block, replacement_);
  if (read && !*read) return patience_.ends();
  patience_.answered();
  std::memcpy(begin_read(slot), replacement_.data(), kBlockBytes);
  keep(slot, place, read ? Result<void>() : Result<void>(read.error()));
  if (read) learn(replacement_, place);
  return true;
}

// Of rows that lie beside each other the block is read.
RowStore::Alone RowStore::read_alone(const RowFile& file, const Place& place, uint32_t number) const {
  if (!checks_.knows(number) || std::exchange(last_read_, place) == place) return Alone::no;
  alone_ = UINT32_MAX;
  const Result<bool> read = file.try_read_row(place.block, (number & mask_) % shape_.rows_per_block(), alone_bytes_);
  if (!read) return Alone::no;  // the block says what is wrong
  if (!*read) {
    last_read_.file = UINT32_MAX;
    return Alone::not_yet;
  }
  ++rows_read_;
  patience_.answered();
  if (!checks_.agrees(number, alone_bytes_)) {
    checks_.forget(number);  // one of the two is damaged, and the block says whether it is the row
    return Alone::no;
  }
  alone_ = number;
  return Alone::read;
}

// Unless the block beside it was the last one: who goes through all rows does not come back.
void RowStore::learn(Bytes block, const Place& place) const {
  const Place last = std::exchange(last_read_, place);
  if (last.file == place.file && last.block + 1 >= place.block && place.block + 1 >= last.block) return;
  const uint32_t first = place.block * shape_.rows_per_block();
  const uint32_t count = std::min(shape_.rows_per_block(), shape_.rows_per_file - first);
  const Bytes rows = block.subspan(RowShape::kBlockHeadBytes, size_t{count} * shape_.row_bytes);
  for (uint32_t i = 0; i < count; ++i)
    checks_.learn((place.file << shift_) + first + i, rows.subspan(size_t{i} * shape_.row_bytes, shape_.row_bytes));
}

void RowStore::expect(std::span<const uint32_t> numbers) const {
  Place last{UINT32_MAX, 0};
  for (const uint32_t number : numbers) {
    if (in_memory(number) != nullptr) continue;
    const Place place = place_of(number);
    if (place.file == last.file && place.block == last.block) continue;
    last = place;
    if (const RowFile* file = file_of(place.file)) file->expect(place.block);
  }
}

}  // namespace heptane::rows
