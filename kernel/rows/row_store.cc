#include "kernel/rows/row_store.h"

#include <algorithm>
#include <bit>

namespace heptane::rows {

RowStore::RowStore(RowShape shape)
    : shape_(std::move(shape)),
      shift_(static_cast<uint32_t>(std::countr_zero(shape_.rows_per_file))),
      mask_(shape_.rows_per_file - 1) {
  HEPTANE_ASSERT(std::has_single_bit(shape_.rows_per_file) && shape_.rows_per_block() > 0, "rows that fit no file");
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
  blocks_.clear();
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

RowFile* RowStore::file_of(uint32_t chunk) const {
  OpenFile& open = files_[chunk % kOpenFiles];
  if (open.file != nullptr && open.number == chunk) return open.file.get();
  Result<std::unique_ptr<RowFile>> file = RowFile::open(*place_.disk, place_.directory, shape_, chunk, hashes_[chunk]);
  if (!file) {
    if (!damage_) damage_ = file.error();
    return nullptr;
  }
  open = {chunk, std::move(*file)};
  return open.file.get();
}

RowStore::CachedBlock& RowStore::slot_of(const Place& place) const {
  if (blocks_.empty()) blocks_.resize(kCachedBlocks);
  return blocks_[(place.file * 7 + place.block) % kCachedBlocks];
}

void RowStore::keep(CachedBlock& slot, const Place& place, const Result<void>& read) const {
  ++blocks_read_;
  if (!read && !damage_) damage_ = read.error();
  slot.file = read ? place.file : UINT32_MAX;
  slot.block = place.block;
  if (!read) slot.bytes.fill(std::byte{0});
}

const std::byte* RowStore::in_file(uint32_t number) const {
  const Place place = place_of(number);
  CachedBlock& slot = slot_of(place);
  if (slot.file != place.file || slot.block != place.block) {
    const RowFile* file = file_of(place.file);
    if (file == nullptr) {
      slot.file = UINT32_MAX;
      slot.bytes.fill(std::byte{0});
    } else {
      keep(slot, place, file->read_block(place.block, slot.bytes));
    }
  }
  const uint32_t row = (number & mask_) % shape_.rows_per_block();
  return slot.bytes.data() + RowShape::kBlockHeadBytes + size_t{row} * shape_.row_bytes;
}

bool RowStore::ready(uint32_t number) const {
  if (in_memory(number) != nullptr) return true;
  const Place place = place_of(number);
  CachedBlock& slot = slot_of(place);
  if (slot.file == place.file && slot.block == place.block) return true;
  const RowFile* file = file_of(place.file);
  if (file == nullptr) return true;  // row() finds the same
  slot.file = UINT32_MAX;
  const Result<bool> read = file->try_read_block(place.block, slot.bytes);
  if (read && !*read) return patience_.ends();
  patience_.answered();
  keep(slot, place, read ? Result<void>() : Result<void>(read.error()));
  return true;
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
