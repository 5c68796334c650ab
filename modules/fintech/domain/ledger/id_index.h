// From a 128-bit id to a 32-bit number: open addressing over fingerprints of the ids. The ids themselves are the owner's:
// it is asked whether a candidate is the one. 8 bytes a slot, at most three quarters full. What is in the table depends on
// nothing but the ids; the order of its slots is never shown.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

class IdIndex {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  IdIndex() { clear(); }

  // `is_it(number)` says whether the entry with this number has the id.
  template <class IsIt>
  uint32_t find(Uint128 id, IsIt is_it) const {
    const uint32_t print = fingerprint(id);
    for (uint32_t at = home(print);; at = next(at)) {
      const Slot& slot = slots_[at];
      if (slot.number == kNone) return kNone;
      if (slot.print == print && is_it(slot.number)) return slot.number;
    }
  }

  // The id must not be there.
  void insert(Uint128 id, uint32_t number) {
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    place({fingerprint(id), number});
    ++size_;
  }

  // The entry must be there.
  void erase(Uint128 id, uint32_t number) {
    uint32_t hole = home(fingerprint(id));
    while (slots_[hole].number != number) {
      HEPTANE_ASSERT(slots_[hole].number != kNone, "an id is erased that is not there");
      hole = next(hole);
    }
    // Entries behind the hole move up unless that would put them before their home.
    for (uint32_t at = next(hole); slots_[at].number != kNone; at = next(at)) {
      const uint32_t wish = home(slots_[at].print);
      if (((at - wish) & mask_) < ((at - hole) & mask_)) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = Slot{};
    --size_;
  }

  // A number that the id may have, by its fingerprint alone: a hint. kNone: it is not there.
  uint32_t likely(Uint128 id) const {
    const uint32_t print = fingerprint(id);
    for (uint32_t at = home(print);; at = next(at))
      if (slots_[at].number == kNone || slots_[at].print == print) return slots_[at].number;
  }

  // Brings the line into the cache that a search begins at.
  void prefetch(Uint128 id) const { __builtin_prefetch(&slots_[home(fingerprint(id))]); }

  void clear() {
    slots_.assign(kSlotsMin, Slot{});
    size_ = 0;
    set_size();
  }
  uint64_t memory_bytes() const { return slots_.size() * sizeof(Slot); }

 private:
  static constexpr size_t kSlotsMin = 1024;
  struct Slot {
    uint32_t print = 0;
    uint32_t number = kNone;
  };

  static uint32_t fingerprint(Uint128 id) {
    uint64_t mixed = static_cast<uint64_t>(id) * 0x9E3779B97F4A7C15ULL;
    mixed ^= mixed >> 32;
    mixed += static_cast<uint64_t>(id >> 64) * 0xC2B2AE3D27D4EB4FULL;
    mixed ^= mixed >> 29;
    mixed *= 0xBF58476D1CE4E5B9ULL;
    return static_cast<uint32_t>(mixed >> 32);
  }
  uint32_t home(uint32_t print) const { return print >> shift_; }
  uint32_t next(uint32_t at) const { return (at + 1) & mask_; }
  void set_size() {
    mask_ = static_cast<uint32_t>(slots_.size() - 1);
    shift_ = static_cast<uint32_t>(__builtin_clz(mask_));
  }
  void place(Slot slot) {
    uint32_t at = home(slot.print);
    while (slots_[at].number != kNone) at = next(at);
    slots_[at] = slot;
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    set_size();
    for (const Slot& slot : old)
      if (slot.number != kNone) place(slot);
  }

  std::vector<Slot> slots_;
  uint64_t size_ = 0;
  uint32_t mask_ = 0;
  uint32_t shift_ = 0;
};

}  // namespace heptane::fintech
