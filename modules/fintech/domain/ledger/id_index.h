// From a 128-bit id to a 32-bit number: open addressing over fingerprints of the ids. The ids themselves are the owner's:
// it is asked whether a candidate is the one. 8 bytes a slot, at most three quarters full.
//
// It grows without a pause: from half full on a table twice as large is made ready, a page at a time (the system has to
// clear it); then every insertion moves a few entries over, and until all have moved, both are looked at. The fingerprint is keyed, so that nobody can choose ids that collide; answers never depend
// on the key, and the order of slots is never shown.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/base/prefetch.h"
#include "kernel/base/zeroed_table.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

class IdIndex {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  explicit IdIndex(uint64_t key = 0) : key_(key) { clear(); }

  // `is_it(number)` says whether the entry with this number has the id.
  template <class IsIt>
  uint32_t find(Uint128 id, IsIt is_it) const {
    const uint32_t print = fingerprint(id);
    const uint32_t number = find_in(now_, print, is_it);
    return number != kNone || !growing() ? number : find_in(before_, print, is_it);
  }

  // The id must not be there; the number is below 2^32 - 2.
  void insert(Uint128 id, uint32_t number) {
    if (growing())
      move_on();
    else if ((size_ + 1) * 4 > now_.slots.size() * 3)
      begin_growth();
    else if ((size_ + 1) * 2 > now_.slots.size())
      prepare_growth();
    now_.place({fingerprint(id), number + 1});
    ++size_;
  }

  // The entry must be there.
  void erase(Uint128 id, uint32_t number) {
    const uint32_t print = fingerprint(id);
    const bool found_now = now_.erase(print, number + 1);
    const bool found_before = growing() && before_.bury(print, number + 1);
    HEPTANE_ASSERT(found_now || found_before, "an id is erased that is not there");
    --size_;
  }

  // A number that the id may have, by its fingerprint alone: a hint. kNone: it is not there.
  uint32_t likely(Uint128 id) const {
    return find(id, [](uint32_t) { return true; });
  }

  // Brings the lines into the cache that a search begins at.
  void prefetch(Uint128 id) const {
    const uint32_t print = fingerprint(id);
    prefetch_line(&now_.slots[now_.home(print)]);
    if (growing()) prefetch_line(&before_.slots[before_.home(print)]);
  }

  void clear() {
    now_ = Table(kSlotsMin);
    before_ = Table();
    next_ = Table();
    moved_ = prepared_ = size_ = 0;
  }
  uint64_t key() const { return key_; }
  uint64_t memory_bytes() const {
    return (now_.slots.size() + before_.slots.size() + next_.slots.size()) * sizeof(Slot);
  }

 private:
  static constexpr size_t kSlotsMin = 1024;
  // Four slots an insertion: all have moved before a third of the insertions until the next growth.
  static constexpr size_t kMovedAtOnce = 4;
  // Twice the slots within the insertions from half to three quarters full, and some to spare.
  static constexpr size_t kPreparedAtOnce = 12;
  static constexpr size_t kSlotsOfPage = 512;
  static constexpr uint32_t kBuried = 0xFFFFFFFF;  // of Slot::entry: erased, and the search goes on behind it

  struct Slot {
    uint32_t print;
    uint32_t entry;  // number + 1; 0 = nothing
  };

  struct Table {
    Table() = default;
    explicit Table(size_t size)
        : slots(size),
          mask(static_cast<uint32_t>(size - 1)),
          shift(static_cast<uint32_t>(__builtin_clz(static_cast<uint32_t>(size - 1)))) {}

    uint32_t home(uint32_t print) const { return print >> shift; }
    uint32_t next(uint32_t at) const { return (at + 1) & mask; }
    void place(Slot slot) {
      uint32_t at = home(slot.print);
      while (slots[at].entry != 0) at = next(at);
      slots[at] = slot;
    }
    // Where the entry is; where it would be when it is not there.
    uint32_t place_of(uint32_t print, uint32_t entry) const {
      uint32_t at = home(print);
      while (slots[at].entry != 0 && slots[at].entry != entry) at = next(at);
      return at;
    }
    bool erase(uint32_t print, uint32_t entry) {
      uint32_t hole = place_of(print, entry);
      if (slots[hole].entry == 0) return false;
      // Entries behind the hole move up unless that would put them before their home.
      for (uint32_t at = next(hole); slots[at].entry != 0; at = next(at)) {
        const uint32_t wish = home(slots[at].print);
        if (((at - wish) & mask) < ((at - hole) & mask)) continue;
        slots[hole] = slots[at];
        hole = at;
      }
      slots[hole] = Slot{};
      return true;
    }
    bool bury(uint32_t print, uint32_t entry) {
      const uint32_t at = place_of(print, entry);
      if (slots[at].entry == 0) return false;
      slots[at].entry = kBuried;
      return true;
    }

    ZeroedTable<Slot> slots;
    uint32_t mask = 0;
    uint32_t shift = 0;
  };

  template <class IsIt>
  static uint32_t find_in(const Table& table, uint32_t print, IsIt is_it) {
    for (uint32_t at = table.home(print);; at = table.next(at)) {
      const Slot& slot = table.slots[at];
      if (slot.entry == 0) return kNone;
      if (slot.print == print && slot.entry != kBuried && is_it(slot.entry - 1)) return slot.entry - 1;
    }
  }

  // Two rounds of multiplying and folding: who does not know the key cannot tell which ids meet.
  uint32_t fingerprint(Uint128 id) const {
    const auto fold = [](uint64_t a, uint64_t b) {
      const Uint128 product = Uint128{a} * b;
      return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    };
    const uint64_t mixed = fold(static_cast<uint64_t>(id) ^ key_ ^ 0x9E3779B97F4A7C15ULL,
                                static_cast<uint64_t>(id >> 64) ^ ~key_ ^ 0xC2B2AE3D27D4EB4FULL);
    return static_cast<uint32_t>(fold(mixed ^ key_, 0xBF58476D1CE4E5B9ULL) >> 32);
  }

  bool growing() const { return before_.slots.size() != 0; }
  void prepare_growth() {
    if (next_.slots.size() == 0) next_ = Table(now_.slots.size() * 2);
    const size_t until = std::min(prepared_ + kPreparedAtOnce, next_.slots.size());
    for (; prepared_ < until; ++prepared_)
      if (prepared_ % kSlotsOfPage == 0) const_cast<volatile Slot&>(next_.slots[prepared_]).entry = 0;
  }
  void begin_growth() {
    if (next_.slots.size() == 0) prepare_growth();
    before_ = std::exchange(now_, std::exchange(next_, Table()));
    prepared_ = 0;
    moved_ = 0;
    move_on();
  }
  // What has moved stays where it was, too, until all have: searches and erasures look at both.
  void move_on() {
    for (size_t i = 0; i < kMovedAtOnce; ++i, ++moved_) {
      if (moved_ == before_.slots.size()) {
        before_ = Table();
        return;
      }
      const Slot slot = before_.slots[moved_];
      if (slot.entry != 0 && slot.entry != kBuried) now_.place(slot);
    }
  }

  uint64_t key_;
  Table now_;
  Table before_;         // what is moved from; empty: it does not grow
  Table next_;           // what will be moved to; empty: it is not time
  size_t moved_ = 0;     // slots of before_
  size_t prepared_ = 0;  // slots of next_
  uint64_t size_ = 0;
};

}  // namespace heptane::fintech
