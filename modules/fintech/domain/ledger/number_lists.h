// Many growing lists of 32-bit numbers, one for each account: blocks of a cache line from one sequence, linked backwards, so
// that an append touches two lines and allocates nothing by itself. Only what was appended last may be taken back.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/chunks.h"

namespace heptane::fintech {

class NumberLists {
 public:
  uint32_t lists() const { return heads_.size(); }
  void add_list() { heads_.push_back({}); }
  void pop_list() { heads_.pop_back(); }

  void append(uint32_t list, uint32_t number) {
    Head& head = heads_[list];
    if (head.size % kPerBlock == 0) {
      blocks_.push_back({head.last, {}});
      head.last = blocks_.size() - 1;
    }
    blocks_[head.last].numbers[head.size++ % kPerBlock] = number;
  }
  // The list's last number, which must be the newest of all lists but for those taken back already.
  void pop(uint32_t list) {
    Head& head = heads_[list];
    if (--head.size % kPerBlock != 0) return;
    HEPTANE_ASSERT(head.last == blocks_.size() - 1, "lists are taken back in another order");
    head.last = blocks_[head.last].previous;
    blocks_.pop_back();
  }

  // A view of one list for random access; found block by block, from the end.
  class View {
   public:
    View(const NumberLists& lists, uint32_t list) : lists_(lists), size_(lists.heads_[list].size) {
      blocks_.resize((size_ + kPerBlock - 1) / kPerBlock);
      uint32_t block = lists.heads_[list].last;
      for (size_t i = blocks_.size(); i > 0; --i, block = lists.blocks_[block].previous) blocks_[i - 1] = block;
    }
    uint32_t size() const { return size_; }
    uint32_t operator[](uint32_t i) const { return lists_.blocks_[blocks_[i / kPerBlock]].numbers[i % kPerBlock]; }

   private:
    const NumberLists& lists_;
    uint32_t size_;
    std::vector<uint32_t> blocks_;
  };

  // Brings in what append() will touch, in two steps.
  void prefetch_head(uint32_t list) const { __builtin_prefetch(&heads_[list]); }
  void prefetch_block(uint32_t list) const {
    const uint32_t last = heads_[list].last;
    if (last != kNone) __builtin_prefetch(&blocks_[last], 1);
  }

  uint64_t memory_bytes() const { return heads_.memory_bytes() + blocks_.memory_bytes(); }

 private:
  static constexpr uint32_t kPerBlock = 15;
  static constexpr uint32_t kNone = 0xFFFFFFFF;
  struct Head {
    uint32_t last = kNone;
    uint32_t size = 0;
  };
  struct alignas(64) Block {
    uint32_t previous;
    std::array<uint32_t, kPerBlock> numbers;
  };

  Chunks<Head, 65536> heads_;
  Chunks<Block, 8192> blocks_;
};

}  // namespace heptane::fintech
