// From the 128-bit id of a transfer to its 32-bit number, for very many: 11 to 14 bytes an entry at any size, and a wrong
// candidate about once in 2^46 / size searches, because looking at one may mean a read of the disk.
//
// Hashes of 46 bits: 14 choose one of 16,384 parts, 32 are kept in its table, an open addressing one in the order of the
// prints. A part that is three quarters full grows by a quarter, by itself: a few thousand entries move, never all. The hash
// is keyed, so that nobody can choose ids that collide; answers never depend on the key, and the order is never shown.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "kernel/base/assert.h"
#include "kernel/base/prefetch.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

class TransferIds {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  explicit TransferIds(uint64_t key = 0) : key_(key), parts_(kParts) {}

  // `is_it(number)` says whether the entry with this number has the id.
  template <class IsIt>
  uint32_t find(Uint128 id, IsIt is_it) const {
    const Place place = place_of(id);
    const Part& part = parts_[place.part];
    if (part.used == 0) return kNone;
    for (uint32_t at = part.home(place.print);; at = part.next(at)) {
      const Slot& slot = part.slots[at];
      if (slot.entry == 0) return kNone;
      if (slot.print == place.print && is_it(slot.entry - 1)) return slot.entry - 1;
    }
  }

  // The id must not be there; the number is below 2^32 - 1.
  void insert(Uint128 id, uint32_t number) {
    const Place place = place_of(id);
    Part& part = parts_[place.part];
    if ((part.used + 1) * 4 > part.size * 3) grow(part);
    part.place({place.print, number + 1});
    ++part.used;
  }

  // The entry must be there.
  void erase(Uint128 id, uint32_t number) {
    const Place place = place_of(id);
    Part& part = parts_[place.part];
    const bool found = part.used != 0 && part.erase(place.print, number + 1);
    HEPTANE_ASSERT(found, "an id is erased that is not there");
    --part.used;
  }

  // Brings the line into the cache that a search begins at.
  void prefetch(Uint128 id) const {
    const Place place = place_of(id);
    const Part& part = parts_[place.part];
    if (part.size != 0) prefetch_line(&part.slots[part.home(place.print)]);
  }

  void clear() {
    parts_.clear();
    parts_.resize(kParts);
    slots_ = 0;
  }
  uint64_t memory_bytes() const { return slots_ * sizeof(Slot) + kParts * sizeof(Part); }

 private:
  static constexpr uint32_t kPartBits = 14;
  static constexpr size_t kParts = size_t{1} << kPartBits;
  static constexpr size_t kLineBytes = 64;

  struct Slot {
    uint32_t print;
    uint32_t entry;  // number + 1; 0 = nothing
  };
  static constexpr uint32_t kSlotsOfLine = kLineBytes / sizeof(Slot);

  struct Free {
    void operator()(Slot* slots) const { std::free(slots); }
  };
  struct Part {
    std::unique_ptr<Slot[], Free> slots;
    uint32_t size = 0;
    uint32_t used = 0;

    uint32_t home(uint32_t print) const { return static_cast<uint32_t>(uint64_t{print} * size >> 32); }
    uint32_t next(uint32_t at) const { return at + 1 == size ? 0 : at + 1; }
    uint32_t distance(uint32_t from, uint32_t to) const { return to >= from ? to - from : to + size - from; }
    void place(Slot slot) {
      uint32_t at = home(slot.print);
      while (slots[at].entry != 0) at = next(at);
      slots[at] = slot;
    }
    bool erase(uint32_t print, uint32_t entry) {
      uint32_t hole = home(print);
      while (slots[hole].entry != 0 && slots[hole].entry != entry) hole = next(hole);
      if (slots[hole].entry == 0) return false;
      // Entries behind the hole move up unless that would put them before their home.
      for (uint32_t at = next(hole); slots[at].entry != 0; at = next(at)) {
        if (distance(home(slots[at].print), at) < distance(hole, at)) continue;
        slots[hole] = slots[at];
        hole = at;
      }
      slots[hole] = Slot{};
      return true;
    }
  };
  struct Place {
    uint32_t part;
    uint32_t print;
  };

  // Two rounds of multiplying and folding: who does not know the key cannot tell which ids meet.
  Place place_of(Uint128 id) const {
    const auto fold = [](uint64_t a, uint64_t b) {
      const Uint128 product = Uint128{a} * b;
      return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    };
    const uint64_t mixed = fold(static_cast<uint64_t>(id) ^ key_ ^ 0x9E3779B97F4A7C15ULL,
                                static_cast<uint64_t>(id >> 64) ^ ~key_ ^ 0xC2B2AE3D27D4EB4FULL);
    const uint64_t hash = fold(mixed ^ key_, 0xBF58476D1CE4E5B9ULL);
    return {static_cast<uint32_t>(hash >> 32 & (kParts - 1)), static_cast<uint32_t>(hash)};
  }

  void grow(Part& part) {
    const uint32_t wanted = part.size + part.size / 4 + 1;
    const uint32_t size = (wanted + kSlotsOfLine - 1) / kSlotsOfLine * kSlotsOfLine;
    Part larger;
    larger.slots.reset(static_cast<Slot*>(std::aligned_alloc(kLineBytes, size * sizeof(Slot))));
    if (larger.slots == nullptr) throw std::bad_alloc();  // deterministic: as every container does without memory
    std::fill_n(larger.slots.get(), size, Slot{});
    larger.size = size;
    larger.used = part.used;
    for (uint32_t at = 0; at < part.size; ++at)
      if (part.slots[at].entry != 0) larger.place(part.slots[at]);
    slots_ += size - part.size;
    part = std::move(larger);
  }

  uint64_t key_;
  std::vector<Part> parts_;
  uint64_t slots_ = 0;
};

}  // namespace heptane::fintech
