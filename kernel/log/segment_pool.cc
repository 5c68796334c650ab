#include "kernel/log/segment_pool.h"

#include <algorithm>
#include <cstdlib>

namespace heptane::log {

namespace {

void free_bytes(std::byte* bytes) { std::free(bytes); }

uint64_t rounded_to_block(uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

}  // namespace

SegmentPool::SegmentPool(Disk& disk, SegmentPoolOptions options, uint32_t next_number)
    : disk_(disk), options_(std::move(options)), next_to_take_(next_number), zeros_(nullptr, &free_bytes) {}

Result<TakenSegment> SegmentPool::take(uint64_t padded_bytes) {
  Prepared next;
  bool usable = false;
  {
    const std::lock_guard lock(mutex_);
    const uint32_t number = next_to_take_++;
    if (!prepared_.empty() && prepared_.front().number == number) {
      next = prepared_.front();
      prepared_.pop_front();
      recount();
      usable = !next.busy && next.segment_bytes - kBlockBytes >= padded_bytes;
    }
    next.number = number;
    making_inline_ = !usable;
  }
  const uint64_t needed = rounded_to_block(kBlockBytes + padded_bytes);
  if (!usable) return make_inline(next.number, std::max(options_.segment_bytes, needed));
  Result<std::unique_ptr<File>> file = disk_.open(segment_path(options_.directory, next.number), OpenMode::read_write);
  if (!file) return std::move(file.error());
  return TakenSegment{next.number, next.segment_bytes, std::move(*file)};
}

Result<TakenSegment> SegmentPool::make_inline(uint32_t number, uint64_t segment_bytes) {
  made_inline_total_.fetch_add(1, std::memory_order_relaxed);
  const SegmentHeader header{kFormatVersion, number, segment_bytes, options_.log_id, options_.shard};
  Result<std::unique_ptr<File>> file = make_segment(disk_, options_.directory, header);
  {
    const std::lock_guard lock(mutex_);
    making_inline_ = false;
  }
  if (!file) return std::move(file.error());
  return TakenSegment{number, segment_bytes, std::move(*file)};
}

bool SegmentPool::wants_maintenance() const {
  const std::lock_guard lock(mutex_);
  if (prepared_.size() < options_.prepared_segments) return true;
  return std::any_of(prepared_.begin(), prepared_.end(), [](const Prepared& segment) { return !segment.zeroed; });
}

Result<bool> SegmentPool::maintain(bool quiet) {
  bool make = false;
  {
    const std::lock_guard lock(mutex_);
    make = prepared_.size() < options_.prepared_segments;
  }
  if (make) return make_one();
  if (!options_.zero_ahead || !quiet) return false;
  return zero_step();
}

Result<bool> SegmentPool::make_one() {
  uint32_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    if (making_inline_) return false;
    number = prepared_.empty() ? next_to_take_ : prepared_.back().number + 1;
  }
  const SegmentHeader header{kFormatVersion, number, options_.segment_bytes, options_.log_id, options_.shard};
  Result<NewSegment> made = prepare_segment(disk_, options_.directory, header, ".ahead");
  if (!made) return std::move(made.error());
  // Made by the commit meanwhile: its file must not be replaced. Or it makes the one before: that name must be durable
  // before a later one is, else a power cut leaves a hole. Once ours is renamed the commit may still replace it.
  std::unique_lock lock(mutex_);
  if (number < next_to_take_ || making_inline_) {
    lock.unlock();
    HEPTANE_TRY(disk_.unlink(made->temporary_path));
    return true;
  }
  HEPTANE_TRY(disk_.rename(made->temporary_path, segment_path(options_.directory, number)));
  lock.unlock();
  HEPTANE_TRY(disk_.sync_directory(options_.directory));
  lock.lock();
  if (number >= next_to_take_) {
    prepared_.push_back({.number = number,
                         .segment_bytes = options_.segment_bytes,
                         .zeroed_upto = kBlockBytes,
                         .busy = false,
                         .zeroed = !options_.zero_ahead});
    recount();
  }
  return true;
}

Result<bool> SegmentPool::zero_step() {
  Prepared target;
  {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::find_if(prepared_.begin(), prepared_.end(), [](const Prepared& segment) { return !segment.zeroed; });
    if (found == prepared_.end()) return false;
    // Opened while it is certainly not the commit's: later, the name might lead to a file that the commit put there.
    HEPTANE_TRY(open_for_zeroing(found->number));
    found->busy = true;
    target = *found;
  }
  const uint64_t end = std::min(target.zeroed_upto + kZeroStepBytes, target.segment_bytes);
  const bool last = end == target.segment_bytes;
  const Result<void> written = write_zeros(target.zeroed_upto, end, last);
  const std::lock_guard lock(mutex_);
  if (Prepared* still_there = find(target.number)) {
    still_there->busy = false;
    still_there->zeroed_upto = end;
    still_there->zeroed = last;
  }
  if (!written) return written.error();
  return true;
}

Result<void> SegmentPool::open_for_zeroing(uint32_t number) {
  if (zeroing_ && zeroing_number_ == number) return {};
  Result<std::unique_ptr<File>> file =
      disk_.open(segment_path(options_.directory, number), OpenMode::read_write, OpenHint::direct);
  if (!file) return std::move(file.error());
  zeroing_ = std::move(*file);
  zeroing_number_ = number;
  return {};
}

Result<void> SegmentPool::write_zeros(uint64_t begin, uint64_t end, bool last) {
  if (!zeros_) {
    zeros_.reset(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, kZeroStepBytes)));
    HEPTANE_ASSERT(zeros_ != nullptr, "out of memory");
    std::memset(zeros_.get(), 0, kZeroStepBytes);
  }
  HEPTANE_TRY(zeroing_->write_at(begin, {zeros_.get(), static_cast<size_t>(end - begin)}));
  if (!last) return {};
  // The extents are written now; with that synced, a commit's sync has no metadata to write.
  const Result<void> synced = zeroing_->sync();
  zeroing_.reset();
  return synced;
}

SegmentPool::Prepared* SegmentPool::find(uint32_t number) {
  for (Prepared& segment : prepared_)
    if (segment.number == number) return &segment;
  return nullptr;
}

void SegmentPool::recount() {
  uint64_t bytes = 0;
  for (const Prepared& segment : prepared_) bytes += segment.segment_bytes - kBlockBytes;
  prepared_bytes_.store(bytes, std::memory_order_relaxed);
}

}  // namespace heptane::log
