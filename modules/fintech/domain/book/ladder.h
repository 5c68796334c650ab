// The price levels of one side in their order: a B+ tree over prices, because they may be anywhere in 64 bits: its memory follows
// the number of levels, not their distance. The best price is the last entry of the last leaf, so that levels come and go near the touch without moving others. A small table of
// prices that were looked for lately spares most descents where orders crowd at few prices.
//
// Invariants: every level has an order (whoever takes the last one erases it); nodes but the root are at least a quarter full,
// so nodes_for() nodes are always enough.
#pragma once

#include <cstdint>

#include "modules/fintech/domain/book/pool.h"

namespace heptane::book {

struct alignas(16) Level {
  int64_t price;
  uint64_t total;    // what its orders have left
  uint64_t visible;  // what of it is shown
  uint32_t head;     // the order whose turn it is
  uint32_t tail;
  uint32_t orders;
};

struct alignas(64) TreeNode {
  static constexpr uint32_t kEntries = 64;
  uint32_t count;
  uint32_t children[kEntries];  // nodes, or levels in a leaf
  // Ascending. In an inner node a key is at or below all keys of its child; the first one counts as below everything.
  int64_t keys[kEntries];
};

class Ladder {
 public:
  // Of `levels` levels in `ladders` ladders together.
  static constexpr uint64_t nodes_for(uint64_t levels, uint64_t ladders) {
    constexpr uint64_t least = TreeNode::kEntries / 4;
    return levels / (least - 1) + ladders * (kDepthMax + 1);
  }

  // `high_first`: the highest price is the best.
  void open(Pool<Level>* levels, Pool<TreeNode>* nodes, bool high_first) {
    levels_ = levels, nodes_ = nodes, high_first_ = high_first;
    clear();
  }
  void clear() {
    root_ = best_ = kNone, depth_ = 0;
    for (Lately& lately : lately_) lately.level = kNone;
  }

  uint32_t best() const { return best_; }
  // kNone: no level has this price.
  uint32_t find(int64_t price) const;
  // The first level worse than the price.
  uint32_t worse_than(int64_t price) const;
  // The level with this price, made without orders when there is none.
  uint32_t make(int64_t price);
  // One without orders.
  void erase(uint32_t level);
  // `price` is at least as good as `limit`.
  bool reaches(int64_t price, int64_t limit) const { return high_first_ ? price >= limit : price <= limit; }
  bool consistent() const;

 private:
  static constexpr uint32_t kDepthMax = 8;  // 16 to the 8th levels
  struct Path {
    uint32_t node[kDepthMax];
    uint32_t at[kDepthMax];  // the child that was taken; in the leaf the first key not below the one looked for
  };

  static constexpr uint32_t kLately = 512;
  struct Lately {
    int64_t price;
    uint32_t level;  // kNone: none
  };

  Lately& lately(int64_t price) { return lately_[static_cast<uint64_t>(price) % kLately]; }
  // So that the best has the greatest.
  int64_t key_of(int64_t price) const { return high_first_ ? price : ~price; }
  uint32_t descend(int64_t key, Path& path) const;  // the depth of the leaf
  uint32_t last_under(uint32_t node, uint32_t depth) const;
  void insert_at(Path& path, uint32_t depth, int64_t key, uint32_t child);
  void remove_at(Path& path, uint32_t depth);
  void level_out(uint32_t parent, uint32_t left_at);
  bool consistent(uint32_t node, uint32_t depth, int64_t& last) const;

  Pool<Level>* levels_ = nullptr;
  Pool<TreeNode>* nodes_ = nullptr;
  uint32_t root_ = kNone;
  uint32_t best_ = kNone;
  uint32_t depth_ = 0;  // of the leaves; 0: the root is one
  bool high_first_ = false;
  Lately lately_[kLately];
};

}  // namespace heptane::book
