// Numbers above 0 in their order: appended at the end, erased anywhere, walked from any number on. Each costs a search among pieces
// and one in a piece of at most 256; a quarter of that is what two neighbours may have together before they become one, and a piece
// gives back what it does not need, so that what is left of very many takes some 100 bytes a number at most. One owner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "kernel/base/assert.h"

namespace heptane::fintech::exchange {

class AscendingNumbers {
 public:
  // Above all that are there.
  void append(uint64_t number) {
    if (pieces_.empty() || pieces_.back().size() == kPerPiece) pieces_.emplace_back();
    pieces_.back().push_back(number);
    ++size_;
  }
  // One that is there.
  void erase(uint64_t number) {
    const auto piece = piece_of(number);
    HEPTANE_ASSERT(piece != pieces_.end(), "a number is erased that is not there");
    const auto at = std::lower_bound(piece->begin(), piece->end(), number);
    HEPTANE_ASSERT(*at == number, "a number is erased that is not there");
    piece->erase(at);
    --size_;
    join(piece);
  }
  // The first one above it; 0: none.
  uint64_t after(uint64_t number) const {
    const auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), number,
                                        [](uint64_t wanted, const auto& one) { return wanted < one.back(); });
    return piece == pieces_.end() ? 0 : *std::upper_bound(piece->begin(), piece->end(), number);
  }
  uint64_t size() const { return size_; }
  uint64_t memory_bytes() const {
    uint64_t bytes = pieces_.capacity() * sizeof(std::vector<uint64_t>);
    for (const auto& piece : pieces_) bytes += piece.capacity() * sizeof(uint64_t);
    return bytes;
  }
  bool empty() const { return size_ == 0; }

 private:
  static constexpr size_t kPerPiece = 256;
  static constexpr size_t kJoined = kPerPiece / 4;
  using Pieces = std::vector<std::vector<uint64_t>>;

  // Where it is, if it is there: the first one that reaches so far.
  Pieces::iterator piece_of(uint64_t number) {
    return std::lower_bound(pieces_.begin(), pieces_.end(), number,
                            [](const auto& piece, uint64_t wanted) { return piece.back() < wanted; });
  }
  void join(Pieces::iterator piece) {
    if (piece->empty()) {
      pieces_.erase(piece);
      return;
    }
    if (piece != pieces_.begin() && fit(*std::prev(piece), *piece)) --piece;
    if (const auto next = std::next(piece); next != pieces_.end() && fit(*piece, *next)) {
      piece->insert(piece->end(), next->begin(), next->end());
      pieces_.erase(next);
    }
    if (piece->capacity() > kJoined && piece->size() <= piece->capacity() / 4) piece->shrink_to_fit();
  }
  static bool fit(const std::vector<uint64_t>& one, const std::vector<uint64_t>& other) {
    return one.size() + other.size() <= kJoined;
  }

  Pieces pieces_;  // none of them is empty
  uint64_t size_ = 0;
};

}  // namespace heptane::fintech::exchange
