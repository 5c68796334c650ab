// What memory knows of rows that lie in files: a CRC32C of each row that was read in a block that was whole. Such a row can be
// read again alone, 128 bytes in place of 4 KiB, and is as little believed unchecked as a block is. Learnt when rows are read;
// no state, a start begins without. Four bytes for each row of the thousands around one that was looked up, as far as there is room:
// then those that were learnt long ago are forgotten. One thread.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/crc32c.h"
#include "kernel/base/prefetch.h"

namespace heptane::rows {

class RowChecks {
 public:
  void set_most_bytes(uint64_t bytes) { most_ = std::max<uint64_t>(bytes / (kRowsOfGroup * sizeof(uint32_t)), 1); }
  bool knows(uint32_t number) const { return of(number) != 0; }
  bool agrees(uint32_t number, Bytes row) const { return of(number) == check_of(row); }
  void learn(uint32_t number, Bytes row) {
    const uint32_t group = number / kRowsOfGroup;
    if (groups_.size() <= group) groups_.resize(group + 1);
    if (groups_[group] == nullptr) groups_[group] = made_ < most_ ? make() : take_back();
    groups_[group][number % kRowsOfGroup] = check_of(row);
  }
  // Of one that is known.
  void forget(uint32_t number) { groups_[number / kRowsOfGroup][number % kRowsOfGroup] = 0; }
  // Brings what is known of the row into the cache.
  void prefetch(uint32_t number) const {
    const uint32_t group = number / kRowsOfGroup;
    if (group < groups_.size() && groups_[group] != nullptr) prefetch_line(&groups_[group][number % kRowsOfGroup]);
  }
  void clear() {
    std::vector<Group>().swap(groups_);
    made_ = 0;
    next_taken_ = 0;
  }
  uint64_t memory_bytes() const {
    return made_ * kRowsOfGroup * sizeof(uint32_t) + groups_.capacity() * sizeof(groups_[0]);
  }

 private:
  static constexpr uint32_t kRowsOfGroup = 1024;
  using Group = std::unique_ptr<uint32_t[]>;

  Group make() {
    ++made_;
    return std::make_unique<uint32_t[]>(kRowsOfGroup);
  }
  // From one end to the other, and again. There is one: as many are made as may be.
  Group take_back() {
    Group taken;
    for (; taken == nullptr; ++next_taken_) {
      next_taken_ %= groups_.size();
      taken = std::move(groups_[next_taken_]);
    }
    std::fill_n(taken.get(), kRowsOfGroup, 0U);
    return taken;
  }
  // 0 says that nothing is known.
  static uint32_t check_of(Bytes row) {
    const uint32_t crc = crc32c(row);
    return crc == 0 ? 1 : crc;
  }
  uint32_t of(uint32_t number) const {
    const uint32_t group = number / kRowsOfGroup;
    return group < groups_.size() && groups_[group] != nullptr ? groups_[group][number % kRowsOfGroup] : 0;
  }

  std::vector<Group> groups_;
  uint64_t made_ = 0;
  uint64_t most_ = UINT64_MAX;
  size_t next_taken_ = 0;
};

}  // namespace heptane::rows
