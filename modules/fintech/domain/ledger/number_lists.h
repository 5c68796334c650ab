// Many growing lists of 32-bit numbers, one for each account. A list is one cache line with its newest numbers; when the
// line is full they go into a block of one sequence, linked backwards. So an append touches one line, now and then two,
// and allocates nothing by itself. Only what was appended last may be taken back.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernel/base/assert.h"
#include "kernel/base/prefetch.h"
#include "modules/fintech/domain/ledger/chunks.h"

namespace heptane::fintech {

class NumberLists {
 public:
  static constexpr uint32_t kPerBlock = 14;
  static constexpr uint32_t kNone = 0xFFFFFFFF;

 private:
  using Numbers = std::array<uint32_t, kPerBlock>;
  struct alignas(64) List {
    uint32_t full;  // the newest full block
    uint32_t size;
    Numbers newest;
  };
  struct Block {
    uint32_t previous;
    Numbers numbers;
  };

 public:
  uint32_t lists() const { return lists_.size(); }
  void add_list() { lists_.push_back({kNone, 0, {}}); }
  void pop_list() { lists_.pop_back(); }

  void append(uint32_t list, uint32_t number) {
    List& to = lists_[list];
    const uint32_t at = to.size % kPerBlock;
    if (at == 0 && to.size > 0) {
      blocks_.push_back({to.full, to.newest});
      to.full = blocks_.size() - 1;
    }
    to.newest[at] = number;
    ++to.size;
  }
  // The list's last number, which must be the newest of all lists but for those taken back already.
  void pop(uint32_t list) {
    List& from = lists_[list];
    if (--from.size % kPerBlock != 0 || from.size == 0) return;
    HEPTANE_ASSERT(from.full == blocks_.size() - 1, "lists are taken back in another order");
    from.newest = blocks_.back().numbers;
    from.full = blocks_.back().previous;
    blocks_.pop_back();
  }

  // One list as it is now, to be read from its end: what is appended later does not show, and what is in it stays.
  class View {
   public:
    View() = default;
    View(const NumberLists& lists, uint32_t list)
        : lists_(&lists), size_(lists.lists_[list].size), full_(lists.lists_[list].full) {
      newest_ = lists.lists_[list].newest;
    }
    uint32_t size() const { return size_; }
    // The newest numbers, up to kPerBlock of them.
    std::span<const uint32_t> newest() const { return {newest_.data(), size_ == 0 ? 0 : (size_ - 1) % kPerBlock + 1}; }
    // The block before those, and before each block; kNone: there is none.
    uint32_t full() const { return full_; }
    uint32_t before(uint32_t block) const { return lists_->blocks_[block].previous; }
    std::span<const uint32_t> block(uint32_t block) const { return lists_->blocks_[block].numbers; }

   private:
    const NumberLists* lists_ = nullptr;
    uint32_t size_ = 0;
    uint32_t full_ = kNone;
    Numbers newest_{};
  };

  // Brings in what append() will touch.
  void prefetch(uint32_t list) const { prefetch_line(&lists_[list]); }

  uint64_t memory_bytes() const { return lists_.memory_bytes() + blocks_.memory_bytes(); }

 private:
  Chunks<List> lists_;
  Chunks<Block> blocks_;
};

}  // namespace heptane::fintech
