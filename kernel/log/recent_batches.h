// The newest batches that were written past the page cache, for those who read at the end of the log: what everybody wants
// next stays in memory once, in the very memory it was written from. Forgotten oldest first, and all of it when the log
// falls idle: then nobody is in a hurry.
//
// Invariant: every batch in here is synced. Threads: add and clear on the commit's, read anywhere.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "kernel/log/batch.h"

namespace heptane::log {

class RecentBatches {
 public:
  explicit RecentBatches(size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // `memory`: the batch with its padding, unchanged for as long as `owner` is held.
  void add(const BatchPlace& place, Bytes memory, std::shared_ptr<const void> owner);
  void clear();
  // False: these bytes are not all in one batch of these; `into` is untouched.
  bool read(uint32_t segment, uint64_t offset, MutableBytes into) const;

 private:
  // Each may hold a whole batch's memory, however little of it is used.
  static constexpr size_t kBatchesMax = 16;
  struct Recent {
    BatchPlace place;
    Bytes memory;
    std::shared_ptr<const void> owner;
  };

  const size_t limit_bytes_;
  mutable std::mutex mutex_;
  std::deque<Recent> batches_;  // in order of the log
  size_t bytes_ = 0;
};

}  // namespace heptane::log
