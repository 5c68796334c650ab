// From the 128-bit id of a transfer to its 32-bit number, for very many: 11 to 14 bytes an entry (up to 17 while all are less than 128 MiB), and a wrong
// candidate about once in 2^46 / size searches, because looking at one may mean a read of the disk.
//
// Hashes of 46 bits: 14 choose one of 16,384 parts, 32 are kept in its slots, an open addressing table in the order of the
// prints. All parts are of one size and lie one behind another in one sequence of slots in huge pages: a search costs one miss
// of the address translation at most, and what is asked for ahead does not wait for one. When the table is three quarters full
// it grows by a quarter (a half while it is small) in place: part by part, the last one first, each moves up to where it will be, a little with every
// insertion. The hash is keyed, so that nobody can choose ids that collide; answers never depend on the key, and the order is
// never shown.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernel/base/assert.h"
#include "kernel/base/huge_allocator.h"
#include "kernel/base/prefetch.h"
#include "kernel/base/zeroed_table.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech {

class TransferIds {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  explicit TransferIds(uint64_t key = 0) : key_(key) {}

  // Where an id is looked for: whoever looks more than once keeps it.
  struct Place {
    uint32_t part;
    uint32_t print;
  };
  Place place_of(Uint128 id) const { return place_of(id, key_); }

  // `is_it(number)` says whether the entry with this number has the id.
  template <class IsIt>
  uint32_t find(const Place& place, IsIt is_it) const {
    uint32_t found = kNone;
    walk(slots_, part_of(place.part), place.print, [&](const Slot& slot) {
      if (slot.entry != 0 && (slot.print != place.print || !is_it(slot.entry - 1))) return false;
      if (slot.entry != 0) found = slot.entry - 1;
      return true;
    });
    return found;
  }
  template <class IsIt>
  uint32_t find(Uint128 id, IsIt is_it) const {
    return find(place_of(id), is_it);
  }

  // The id must not be there; the number is below 2^32 - 1.
  void insert(Uint128 id, uint32_t number) { insert(place_of(id), number); }
  void insert(const Place& place, uint32_t number) {
    if (growing())
      move_on();
    else if ((entries_ + 1) * 4 > kParts * part_size_ * 3)
      begin_growth();
    while (!put(part_of(place.part), {place.print, number + 1})) grow_now();
    ++entries_;
  }

  // The entry must be there.
  void erase(Uint128 id, uint32_t number) {
    const Place place = place_of(id);
    const bool found = take(part_of(place.part), {place.print, number + 1});
    HEPTANE_ASSERT(found, "an id is erased that is not there");
    --entries_;
  }

  // Brings the line into the cache that a search begins at, and the next one where it mostly ends there.
  void prefetch(const Place& place) const {
    const Part part = part_of(place.part);
    if (part.size == 0) return;
    const uint64_t at = part.first + part.home(place.print);
    prefetch_line(&slots_[at]);
    if ((at & (kSlotsOfLine - 1)) >= kSlotsOfLine / 2) prefetch_line(&slots_[at] + kSlotsOfLine);
  }
  void prefetch(Uint128 id) const { prefetch(place_of(id)); }

  // Enters very many, in an order that keeps to one part after the other: alone, each costs a miss of the cache.
  class Bulk;

  void clear() {
    slots_ = Slots();
    part_size_ = next_size_ = unmoved_ = credit_ = 0;
    entries_ = 0;
  }
  // Of what is touched.
  uint64_t memory_bytes() const { return kParts * std::max(part_size_, next_size_) * sizeof(Slot); }

 private:
  static constexpr uint32_t kPartBits = 14;
  static constexpr uint64_t kParts = uint64_t{1} << kPartBits;
  static constexpr uint32_t kSlotsOfLine = 8;
  static constexpr uint32_t kSmallPart = 1024;  // slots; 128 MiB of all parts
  // Of the old size, for each insertion: all have moved before two thirds of the insertions until the next growth.
  static constexpr uint32_t kMovedAtOnce = 8;

  struct Slot {
    uint32_t print;
    uint32_t entry;  // number + 1; 0 = nothing
  };
  static_assert(kSlotsOfLine * sizeof(Slot) == 64);

  // Slots by their position; they never move when there come to be more. The first piece is small pages: few ledgers are
  // large, and a huge page is cleared whole. No snapshot has them (they are made again at a start), and a batch writes all over them: a
  // child that had them too would make it copy a page for each of its transfers.
  class Slots {
   public:
    Slot& operator[](uint64_t at) { return pieces_[at >> kPieceBits][at & (kPiece - 1)]; }
    const Slot& operator[](uint64_t at) const { return pieces_[at >> kPieceBits][at & (kPiece - 1)]; }
    void reach(uint64_t size) {
      while (pieces_.size() * kPiece < size) {
        Memory& memory = memory_.emplace_back(pieces_.empty() ? kPiece : 2 * kPiece);
        for (size_t first = 0; first < memory.size(); first += kPiece) pieces_.push_back(&memory[first]);
      }
    }

   private:
    using Memory = ZeroedTable<Slot, Fork::leaves_it_out>;
    static constexpr uint32_t kPieceBits = 18;
    static constexpr uint64_t kPiece = uint64_t{1} << kPieceBits;  // 2 MiB

    std::vector<Memory> memory_;
    std::vector<Slot*> pieces_;
  };

  struct Part {
    uint64_t first;
    uint32_t size;

    uint32_t home(uint32_t print) const { return static_cast<uint32_t>(uint64_t{print} * size >> 32); }
    uint32_t next(uint32_t at) const { return at + 1 == size ? 0 : at + 1; }
    uint32_t distance(uint32_t from, uint32_t to) const { return to >= from ? to - from : to + size - from; }
  };
  // Two rounds of multiplying and folding: who does not know the key cannot tell which ids meet.
  static Place place_of(Uint128 id, uint64_t key) {
    const auto fold = [](uint64_t a, uint64_t b) {
      const Uint128 product = Uint128{a} * b;
      return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    };
    const uint64_t mixed = fold(static_cast<uint64_t>(id) ^ key ^ 0x9E3779B97F4A7C15ULL,
                                static_cast<uint64_t>(id >> 64) ^ ~key ^ 0xC2B2AE3D27D4EB4FULL);
    const uint64_t hash = fold(mixed ^ key, 0xBF58476D1CE4E5B9ULL);
    return {static_cast<uint32_t>(hash >> 32 & (kParts - 1)), static_cast<uint32_t>(hash)};
  }
  Part part_of(uint32_t part) const {
    const uint32_t size = part < unmoved_ || !growing() ? part_size_ : next_size_;
    return {uint64_t{part} * size, size};
  }

  // The slots of a part from a print's home on, until `visit` says that it is over or all were visited. A line at a time:
  // parts and pieces are whole lines.
  template <class SlotsOf, class Visit>
  static void walk(SlotsOf& slots, const Part& part, uint32_t print, Visit visit) {
    if (part.size == 0) return;
    uint32_t at = part.home(print);
    for (uint32_t looked = 0; looked <= part.size; looked += kSlotsOfLine) {
      auto* slot = &slots[part.first + at];
      for (const uint32_t end = (at | (kSlotsOfLine - 1)) + 1; at < end; ++at, ++slot)
        if (visit(*slot)) return;
      if (at == part.size) at = 0;
    }
  }

  // False: the part is full.
  bool put(const Part& part, Slot slot) {
    bool is_in = false;
    walk(slots_, part, slot.print, [&](Slot& to) {
      if (to.entry != 0) return false;
      to = slot;
      return is_in = true;
    });
    return is_in;
  }
  bool take(const Part& part, Slot slot) {
    const auto slot_at = [&](uint32_t at) -> Slot& { return slots_[part.first + at]; };
    if (part.size == 0) return false;
    const uint32_t home = part.home(slot.print);
    uint32_t hole = home;
    while (slot_at(hole).entry != slot.entry) {
      if (slot_at(hole).entry == 0) return false;
      hole = part.next(hole);
      if (hole == home) return false;
    }
    // Entries behind the hole move up unless that would put them before their home.
    for (uint32_t at = part.next(hole); slot_at(at).entry != 0 && at != hole; at = part.next(at)) {
      if (part.distance(part.home(slot_at(at).print), at) < part.distance(hole, at)) continue;
      slot_at(hole) = slot_at(at);
      hole = at;
    }
    slot_at(hole) = Slot{};
    return true;
  }

  bool growing() const { return next_size_ != 0; }
  void begin_growth() {
    // Each growth moves all that there is: while that is little memory, fewer of them.
    const uint32_t wanted = part_size_ + part_size_ / (part_size_ < kSmallPart ? 2 : 4) + 1;
    next_size_ = (wanted + kSlotsOfLine - 1) / kSlotsOfLine * kSlotsOfLine;
    slots_.reach(kParts * next_size_);
    unmoved_ = kParts;
    credit_ = 0;
    if (part_size_ == 0) end_growth();
  }
  void end_growth() {
    part_size_ = next_size_;
    next_size_ = 0;
  }
  void move_on() {
    for (credit_ += kMovedAtOnce; growing() && credit_ >= part_size_; credit_ -= part_size_) move_part();
  }
  // A part is full before the others, as happens while they are small.
  void grow_now() {
    if (!growing()) begin_growth();
    while (growing()) move_part();
  }
  // The last one that has not moved. Where it will be, nothing lies but itself: those behind it have gone.
  void move_part() {
    const auto number = static_cast<uint32_t>(--unmoved_);
    const uint64_t from = uint64_t{number} * part_size_;
    const Part to{uint64_t{number} * next_size_, next_size_};
    if (moving_.size() < part_size_) moving_.resize(part_size_);
    size_t count = 0;
    for (uint64_t at = from; at < from + part_size_; at += kSlotsOfLine) {
      Slot* const line = &slots_[at];
      for (uint32_t i = 0; i < kSlotsOfLine; ++i) {
        moving_[count] = line[i];
        count += line[i].entry != 0 ? 1 : 0;
        line[i] = Slot{};
      }
    }
    for (size_t i = 0; i < count; ++i) (void)put(to, moving_[i]);  // it is larger
    if (unmoved_ == 0) end_growth();
  }

  uint64_t key_;
  Slots slots_;
  uint32_t part_size_ = 0;  // slots of a part; 0: there is none yet
  uint32_t next_size_ = 0;  // of those that have moved; 0: it does not grow
  uint64_t unmoved_ = 0;    // parts
  uint32_t credit_ = 0;     // slots to be moved
  uint64_t entries_ = 0;
  std::vector<Slot> moving_;
};

// Numbers follow each other; the ids must not be there. All are there when finish() has returned.
class TransferIds::Bulk {
 public:
  Bulk(TransferIds& ids, uint32_t first, uint32_t count) : ids_(ids), next_(first), begins_(kParts) {
    make_room(count);
    places_.reserve(std::min(count, kAtOnce));
  }

  void add(Uint128 id) {
    if (places_.size() == kAtOnce) finish();
    places_.push_back(ids_.place_of(id));
  }
  void finish() {
    sort_by_part();
    uint32_t begin = 0;
    for (uint32_t part = 0; part < kParts; begin = begins_[part++])
      for (uint32_t at = begin; at < begins_[part]; ++at)
        while (!ids_.put(ids_.part_of(part), sorted_[at])) ids_.grow_now();
    ids_.entries_ += places_.size();
    next_ += static_cast<uint32_t>(places_.size());
    places_.clear();
  }

 private:
  static constexpr uint32_t kAtOnce = 1 << 22;
  static constexpr uint64_t kFewInPart = 256;

  // At once where they are many: so much that hardly a part is full before the others.
  void make_room(uint32_t count) {
    const uint64_t mean = (count + kParts - 1) / kParts;
    if (ids_.part_size_ == 0 && mean >= kFewInPart) {
      const auto wanted = static_cast<uint32_t>((mean + mean / 16 + 48) * 4 / 3);
      ids_.next_size_ = (wanted + kSlotsOfLine - 1) / kSlotsOfLine * kSlotsOfLine;
      ids_.slots_.reach(kParts * ids_.next_size_);
      ids_.end_growth();
    }
    while (ids_.growing() || (ids_.entries_ + count) * 4 > kParts * ids_.part_size_ * 3) ids_.grow_now();
  }

  // Behind it begins_ says where each part's ends.
  void sort_by_part() {
    std::fill(begins_.begin(), begins_.end(), 0);
    for (const Place& place : places_) ++begins_[place.part];
    uint32_t begin = 0;
    for (uint32_t& count : begins_) begin += std::exchange(count, begin);
    sorted_.resize(places_.size());
    uint32_t number = next_;
    for (const Place& place : places_) sorted_[begins_[place.part]++] = {place.print, ++number};
  }

  TransferIds& ids_;
  uint32_t next_;  // number of the first of places_
  std::vector<Place, HugeAllocator<Place>> places_;
  std::vector<Slot, HugeAllocator<Slot>> sorted_;
  std::vector<uint32_t> begins_;
};

}  // namespace heptane::fintech
