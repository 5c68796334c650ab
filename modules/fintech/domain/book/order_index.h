// From order ids to the numbers of their records: open addressing, two thirds full at most, nothing left behind by what goes.
#pragma once

#include <cstdint>

#include "modules/fintech/domain/book/pool.h"

namespace heptane::book {

// Finalizer of SplitMix64: every bit of the id moves every bit of the result.
inline uint64_t mixed(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
  bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
  return bits ^ (bits >> 31);
}

class OrderIndex {
 public:
  struct Place {
    uint32_t hash;
    uint32_t record_plus_one;  // 0: empty
  };
  static constexpr uint32_t places_bits(uint64_t orders) {
    uint32_t bits = 4;
    while ((uint64_t{2} << bits) < 3 * orders) ++bits;
    return bits;
  }

  void open(Place* places, uint32_t bits, uint64_t key) {
    places_ = places, bits_ = bits, key_ = key;
    clear();
  }
  void clear() { std::memset(static_cast<void*>(places_), 0, (size_t{1} << bits_) * sizeof(Place)); }

  // kNone: not there. `records[number].id` says whose a record is.
  template <class Records>
  uint32_t find(uint64_t id, const Records& records) const {
    const uint32_t hash = hash_of(id);
    for (uint32_t at = home(hash);; at = next(at)) {
      const Place place = places_[at];
      if (place.record_plus_one == 0) return kNone;
      if (place.hash == hash && records[place.record_plus_one - 1].id == id) return place.record_plus_one - 1;
    }
  }
  // One that is not there.
  void insert(uint64_t id, uint32_t record) {
    const uint32_t hash = hash_of(id);
    uint32_t at = home(hash);
    while (places_[at].record_plus_one != 0) at = next(at);
    places_[at] = {hash, record + 1};
  }
  // One that is there: those behind it that were pushed on move up.
  void erase(uint64_t id, uint32_t record) {
    uint32_t gap = home(hash_of(id));
    for (; places_[gap].record_plus_one != record + 1; gap = next(gap)) must(places_[gap].record_plus_one != 0);
    for (uint32_t at = next(gap); places_[at].record_plus_one != 0; at = next(at)) {
      if (distance(home(places_[at].hash), at) < distance(gap, at)) continue;
      places_[gap] = places_[at];
      gap = at;
    }
    places_[gap] = {0, 0};
  }

 private:
  uint32_t hash_of(uint64_t id) const { return static_cast<uint32_t>(mixed(id ^ key_) >> 32); }
  uint32_t home(uint32_t hash) const { return hash >> (32 - bits_); }
  uint32_t next(uint32_t at) const { return (at + 1) & ((1u << bits_) - 1); }
  uint32_t distance(uint32_t from, uint32_t to) const { return (to - from) & ((1u << bits_) - 1); }

  Place* places_ = nullptr;
  uint32_t bits_ = 4;
  uint64_t key_ = 0;
};

}  // namespace heptane::book
