// What is known of texts, by their 128-bit hashes: a key's slot takes 16 bytes and its value, at a load of a half to a quarter. Two
// texts of one hash count as one, which nobody meets by chance; who makes two on purpose gets one entry for two.
//
// Where a key stands depends on a seed that nobody outside knows, so that keys cannot be chosen to lie together; what the table holds
// and its sorted order do not depend on it. A large table is made of kParts small ones, so that no addition moves more than one of
// them, and it can be freed one by one. One owner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/hash128.h"

namespace heptane::iot::series {

struct NoValue {};

// Where a hash stands: both halves of a product of what only the seed's owner can choose.
inline uint64_t spread(const Hash128& key, uint64_t seed) {
  __extension__ using Product = unsigned __int128;
  const Product product =
      Product{key.low ^ seed ^ 0xA0761D6478BD642FULL} * (key.high ^ (seed << 32 | seed >> 32) ^ 0xE7037ED1A0B428DBULL);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <class Value>
class KeyTable {
 public:
  using Entry = std::pair<Hash128, Value>;

  explicit KeyTable(uint64_t seed = 0) : seed_(seed), parts_(1) {}

  size_t size() const { return size_; }
  size_t bytes() const { return slots_ * sizeof(Slot) + parts_.size() * sizeof(Part); }
  const Value* find(const Hash128& key) const {
    const Part& part = part_of(key);
    if (part.used == 0) return nullptr;
    const Slot& slot = part.slots[place(part, key)];
    return slot.key == Hash128{} ? nullptr : &slot.value;
  }
  bool has(const Hash128& key) const { return find(key) != nullptr; }
  // The value that the key has, and whether it is new.
  std::pair<Value*, bool> add(const Hash128& key, Value value = {}) {
    if (size_ == kOnePart && parts_.size() == 1) split();
    Part& part = part_of(key);
    if (2 * (part.used + 1) > part.slots.size()) grow(part);
    Slot& slot = part.slots[place(part, key)];
    if (slot.key != Hash128{}) return {&slot.value, false};
    slot = {key, value};
    ++part.used;
    ++size_;
    return {&slot.value, true};
  }
  void remove(const Hash128& key) {
    Part& part = part_of(key);
    if (part.used == 0) return;
    size_t at = place(part, key);
    if (part.slots[at].key == Hash128{}) return;
    const size_t mask = part.slots.size() - 1;
    // What stands behind it because its own place was taken moves up.
    for (size_t next = (at + 1) & mask; part.slots[next].key != Hash128{}; next = (next + 1) & mask) {
      const size_t home = mixed(part.slots[next].key) & mask;
      if (((next - home) & mask) < ((next - at) & mask)) continue;
      part.slots[at] = part.slots[next];
      at = next;
    }
    part.slots[at] = {};
    --part.used;
    --size_;
  }
  // Lets a block go of a table that nobody asks any more. False: there is none left.
  bool shed() {
    if (parts_.empty()) return false;
    parts_.pop_back();
    return true;
  }
  std::vector<Entry> sorted() const {
    std::vector<Entry> all;
    all.reserve(size_);
    for (const Part& part : parts_)
      for (const Slot& slot : part.slots)
        if (slot.key != Hash128{}) all.emplace_back(slot.key, slot.value);
    // total order: no two keys are equal
    std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) {
      return a.first.high != b.first.high ? a.first.high < b.first.high : a.first.low < b.first.low;
    });
    return all;
  }

 private:
  static constexpr size_t kFirstSlots = 16;
  static constexpr size_t kOnePart = 4'096;
  static constexpr size_t kPartBits = 8;
  static constexpr size_t kParts = size_t{1} << kPartBits;

  struct Slot {
    Hash128 key;  // zero: free
    [[no_unique_address]] Value value{};
  };
  struct Part {
    std::vector<Slot> slots;  // a power of two
    size_t used = 0;
  };

  uint64_t mixed(const Hash128& key) const { return spread(key, seed_); }
  const Part& part_of(const Hash128& key) const {
    return parts_[parts_.size() == 1 ? 0 : mixed(key) >> (64 - kPartBits)];
  }
  Part& part_of(const Hash128& key) { return parts_[parts_.size() == 1 ? 0 : mixed(key) >> (64 - kPartBits)]; }
  size_t place(const Part& part, const Hash128& key) const {
    const size_t mask = part.slots.size() - 1;
    size_t at = mixed(key) & mask;
    while (part.slots[at].key != Hash128{} && part.slots[at].key != key) at = (at + 1) & mask;
    return at;
  }
  void grow(Part& part) {
    std::vector<Slot> old(std::max(kFirstSlots, 2 * part.slots.size()));
    slots_ += old.size() - part.slots.size();
    old.swap(part.slots);
    for (const Slot& slot : old)
      if (slot.key != Hash128{}) part.slots[place(part, slot.key)] = slot;
  }
  void split() {
    std::vector<Part> one(kParts);
    one.swap(parts_);
    size_ = slots_ = 0;
    for (const Slot& slot : one.front().slots)
      if (slot.key != Hash128{}) add(slot.key, slot.value);
  }

  uint64_t seed_;
  std::vector<Part> parts_;  // one, or kParts
  size_t size_ = 0;
  size_t slots_ = 0;
};

using KeySet = KeyTable<NoValue>;

// Never zero, which is no key.
inline Hash128 key_hash(std::string_view key) {
  const Hash128 hash = hash128(as_bytes(key));
  return hash == Hash128{} ? Hash128{1, 0} : hash;
}

// Of a field of a measurement, of which the hash is given.
inline Hash128 field_hash(const Hash128& measurement, std::string_view name) {
  Hash128 hash = key_hash(name);
  hash.low = hash.low * 31 + measurement.low;
  hash.high = hash.high * 31 ^ measurement.high;
  return hash == Hash128{} ? Hash128{1, 0} : hash;
}

}  // namespace heptane::iot::series
