// What of a book may be shown, price by price: without firms, orders' numbers, hidden quantity, calls' own orders and stops. And how two
// states of it differ: from one state and all changes since comes the other.
//
// Invariant: prices of a side differ and stand from the best to the worst. The sequence grows whenever what is shown may have changed:
// equal sequences of one book, equal levels. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "modules/fintech/domain/book/book.h"

namespace heptane::fintech::exchange {

struct DepthLevel {
  int64_t price = 0;
  uint64_t quantity = 0;  // shown
  uint32_t orders = 0;
  friend bool operator==(const DepthLevel&, const DepthLevel&) = default;
};

struct Depth {
  uint64_t sequence = 0;
  std::vector<DepthLevel> bids;
  std::vector<DepthLevel> asks;
};

enum class LevelAction : uint8_t { added, changed, removed };

struct LevelChange {
  LevelAction action = LevelAction::added;
  book::Side side = book::Side::buy;
  DepthLevel level;  // as it is now; of one that was removed its price
  friend bool operator==(const LevelChange&, const LevelChange&) = default;
};

// What makes the one of the other: buys first, each side from the best price on. A view of the best n levels loses a level that others
// have pushed out of it, and has it again when they are gone.
std::vector<LevelChange> difference(const Depth& from, const Depth& to);
// Makes the changes. False: they are of another state, and `depth` is of no use any more.
bool apply_changes(const std::vector<LevelChange>& changes, Depth& depth);

}  // namespace heptane::fintech::exchange
