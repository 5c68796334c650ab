// A set of texts by their 128-bit hashes: 16 bytes each at a load of a half to a quarter, whatever their length. Two texts of one hash
// count as one, which nobody meets by chance; who makes two on purpose gets one series for two in the count of them. Its order is that of the hashes. One owner.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

#include "kernel/base/hash128.h"

namespace heptane::iot::series {

class KeySet {
 public:
  size_t size() const { return size_; }
  size_t bytes() const { return slots_.capacity() * sizeof(Hash128); }
  bool has(const Hash128& key) const { return size_ > 0 && slots_[find(key)] != Hash128{}; }
  // False: it was there.
  bool add(const Hash128& key) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Hash128& slot = slots_[find(key)];
    if (slot != Hash128{}) return false;
    slot = key;
    ++size_;
    return true;
  }
  std::vector<Hash128> sorted() const {
    std::vector<Hash128> all;
    all.reserve(size_);
    std::copy_if(slots_.begin(), slots_.end(), std::back_inserter(all),
                 [](const Hash128& slot) { return slot != Hash128{}; });
    // total order: no two are equal
    std::sort(all.begin(), all.end(),
              [](const Hash128& a, const Hash128& b) { return a.high != b.high ? a.high < b.high : a.low < b.low; });
    return all;
  }

 private:
  static constexpr size_t kFirstSlots = 16;

  size_t find(const Hash128& key) const {
    size_t at = key.low & (slots_.size() - 1);
    while (slots_[at] != Hash128{} && slots_[at] != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void grow() {
    std::vector<Hash128> old(std::max(kFirstSlots, 2 * slots_.size()));
    old.swap(slots_);
    for (const Hash128& key : old)
      if (key != Hash128{}) slots_[find(key)] = key;
  }

  std::vector<Hash128> slots_;  // a power of two; zero: free
  size_t size_ = 0;
};

// Never zero, which is no key.
inline Hash128 key_hash(std::string_view key) {
  const Hash128 hash = hash128(as_bytes(key));
  return hash == Hash128{} ? Hash128{1, 0} : hash;
}

}  // namespace heptane::iot::series
