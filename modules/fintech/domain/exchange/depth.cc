#include "modules/fintech/domain/exchange/depth.h"

#include <algorithm>

namespace heptane::fintech::exchange {

namespace {

bool better(book::Side side, int64_t a, int64_t b) { return side == book::Side::buy ? a > b : a < b; }

// Both are walked once.
void compare(book::Side side, const std::vector<DepthLevel>& from, const std::vector<DepthLevel>& to,
             std::vector<LevelChange>& changes) {
  auto old = from.begin();
  auto now = to.begin();
  while (old != from.end() || now != to.end()) {
    if (now == to.end() || (old != from.end() && better(side, old->price, now->price))) {
      changes.push_back({LevelAction::removed, side, {old->price, 0, 0}});
      ++old;
    } else if (old == from.end() || better(side, now->price, old->price)) {
      changes.push_back({LevelAction::added, side, *now});
      ++now;
    } else {
      if (*old != *now) changes.push_back({LevelAction::changed, side, *now});
      ++old;
      ++now;
    }
  }
}

}  // namespace

std::vector<LevelChange> difference(const Depth& from, const Depth& to) {
  std::vector<LevelChange> changes;
  compare(book::Side::buy, from.bids, to.bids, changes);
  compare(book::Side::sell, from.asks, to.asks, changes);
  return changes;
}

bool apply_changes(const std::vector<LevelChange>& changes, Depth& depth) {
  for (const LevelChange& change : changes) {
    std::vector<DepthLevel>& side = change.side == book::Side::buy ? depth.bids : depth.asks;
    const auto at = std::find_if(side.begin(), side.end(), [&](const DepthLevel& level) {
      return !better(change.side, level.price, change.level.price);
    });
    const bool there = at != side.end() && at->price == change.level.price;
    if (there == (change.action == LevelAction::added)) return false;
    if (change.action == LevelAction::added)
      side.insert(at, change.level);
    else if (change.action == LevelAction::changed)
      *at = change.level;
    else
      side.erase(at);
  }
  return true;
}

}  // namespace heptane::fintech::exchange
