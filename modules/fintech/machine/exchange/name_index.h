// From a name and whose it is to the number of its row, which the caller keeps and compares. The hash is keyed, so that nobody can
// choose names that collide; answers never depend on the key, and no order is ever shown. One owner.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "modules/fintech/domain/ledger/id_index.h"

namespace heptane::fintech::exchange {

class NameIndex {
 public:
  static constexpr uint32_t kNone = IdIndex::kNone;

  explicit NameIndex(uint64_t key = 0) : index_(key) {}

  // `is_it(number)` says whether the row has that owner and name.
  template <class IsIt>
  uint32_t find(uint64_t owner, std::string_view name, IsIt is_it) const {
    return index_.find(hash(owner, name), is_it);
  }
  // Brings into the cache where find() will look.
  void prefetch(uint64_t owner, std::string_view name) const { index_.prefetch(hash(owner, name)); }
  // One that is not there; the number is below 2^32 - 2.
  void insert(uint64_t owner, std::string_view name, uint32_t number) { index_.insert(hash(owner, name), number); }
  // One that is there.
  void erase(uint64_t owner, std::string_view name, uint32_t number) { index_.erase(hash(owner, name), number); }

 private:
  // Eight bytes at a time, each multiplied with the key and folded; the index does the rest.
  Uint128 hash(uint64_t owner, std::string_view name) const {
    const uint64_t key = index_.key() | 1;
    const auto fold = [](uint64_t a, uint64_t b) {
      const Uint128 product = Uint128{a} * b;
      return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    };
    uint64_t sum = fold(owner ^ 0x9E3779B97F4A7C15ULL, key ^ 0xD6E8FEB86659FD93ULL) + name.size();
    for (; !name.empty(); name.remove_prefix(std::min<size_t>(8, name.size()))) {
      uint64_t word = 0;
      std::memcpy(&word, name.data(), std::min<size_t>(8, name.size()));
      sum = fold(sum ^ word, key ^ 0xA0761D6478BD642FULL) + word;
    }
    return Uint128{owner} << 64 | sum;
  }

  IdIndex index_;
};

}  // namespace heptane::fintech::exchange
