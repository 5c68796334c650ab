// Segments made ready ahead of the commit, so that rolling to the next one is a matter of taking it. The helper makes and
// zeroes them; the commit takes the next or, finding none it can use at once, makes one itself, renamed over whatever the
// helper had under that number. So the commit never waits for the helper, and no write of the helper can reach a file
// that the commit uses: while it zeroes a file, that file cannot be taken, only replaced.
//
// Threads: take() on the commit's, maintain() on the helper's; the mutex is held for bookkeeping, one rename or
// one open, never during a write or a sync.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>

#include "kernel/log/segment.h"

namespace heptane::log {

struct SegmentPoolOptions {
  std::string directory;
  LogId log_id{};
  ShardId shard = 0;
  uint64_t segment_bytes = 0;
  size_t prepared_segments = 2;
  bool zero_ahead = true;
};

struct TakenSegment {
  uint32_t number = 0;
  uint64_t segment_bytes = 0;
  std::unique_ptr<File> file;
};

class SegmentPool {
 public:
  static constexpr size_t kZeroStepBytes = size_t{1} << 20;

  SegmentPool(Disk& disk, SegmentPoolOptions options, uint32_t next_number);

  // The next segment, able to hold a batch of `padded_bytes`.
  Result<TakenSegment> take(uint64_t padded_bytes);

  // One step: makes one segment, or zeroes 1 MiB of one if `quiet`. True: there is more to do at once.
  Result<bool> maintain(bool quiet);
  bool wants_maintenance() const;

  uint64_t prepared_bytes() const { return prepared_bytes_.load(std::memory_order_relaxed); }
  uint64_t made_inline_total() const { return made_inline_total_.load(std::memory_order_relaxed); }

 private:
  struct Prepared {
    uint32_t number = 0;
    uint64_t segment_bytes = 0;
    uint64_t zeroed_upto = 0;
    bool busy = false;  // the helper writes to it: it must not be taken
    bool zeroed = false;
  };

  Result<TakenSegment> make_inline(uint32_t number, uint64_t segment_bytes);
  Result<bool> make_one();
  Result<bool> zero_step();
  Result<void> open_for_zeroing(uint32_t number);
  Result<void> write_zeros(uint64_t begin, uint64_t end, bool last);
  Prepared* find(uint32_t number);
  void recount();

  Disk& disk_;
  const SegmentPoolOptions options_;
  mutable std::mutex mutex_;
  std::deque<Prepared> prepared_;  // consecutive numbers, the next to take first
  uint32_t next_to_take_;
  bool making_inline_ = false;
  std::atomic<uint64_t> prepared_bytes_{0};
  std::atomic<uint64_t> made_inline_total_{0};
  // Helper only.
  std::unique_ptr<File> zeroing_;
  uint32_t zeroing_number_ = 0;
  std::unique_ptr<std::byte, void (*)(std::byte*)> zeros_;
};

}  // namespace heptane::log
