// Where the bodies of transfers live, and the answers about what became of pending ones. Numbered in the order of their
// creation, which is that of their timestamps. Bodies are in memory for now: who uses the store gets copies and cannot
// tell.
#pragma once

#include <algorithm>

#include "kernel/base/prefetch.h"
#include "modules/fintech/domain/ledger/chunks.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

class TransferStore {
 public:
  uint32_t size() const { return bodies_.size(); }
  Transfer body(uint32_t number) const { return bodies_[number]; }
  Uint128 id(uint32_t number) const { return bodies_[number].id; }
  uint64_t timestamp(uint32_t number) const { return bodies_[number].timestamp; }
  uint64_t last_timestamp() const { return bodies_.empty() ? 0 : bodies_.back().timestamp; }

  uint32_t append(const Transfer& transfer, PendingStatus status) {
    bodies_.push_back(transfer);
    statuses_.push_back(status);
    return bodies_.size() - 1;
  }
  void pop() {
    bodies_.pop_back();
    statuses_.pop_back();
  }

  PendingStatus status(uint32_t number) const { return statuses_[number]; }
  void set_status(uint32_t number, PendingStatus status) { statuses_[number] = status; }

  // The first with a timestamp not below this one; size() when there is none.
  uint32_t lower_bound(uint64_t timestamp) const {
    uint32_t low = 0;
    for (uint32_t high = size(); low < high;) {
      const uint32_t middle = low + (high - low) / 2;
      if (bodies_[middle].timestamp < timestamp)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
  bool has_timestamp(uint64_t timestamp) const {
    const uint32_t at = lower_bound(timestamp);
    return at < size() && bodies_[at].timestamp == timestamp;
  }

  void prefetch(uint32_t number) const { prefetch_line(&bodies_[number]); }
  void clear() {
    bodies_.clear();
    statuses_.clear();
  }
  uint64_t memory_bytes() const { return bodies_.memory_bytes() + statuses_.memory_bytes(); }

 private:
  Chunks<Transfer> bodies_;
  Chunks<PendingStatus> statuses_;
};

}  // namespace heptane::fintech
