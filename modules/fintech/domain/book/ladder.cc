#include "modules/fintech/domain/book/ladder.h"

#include <algorithm>

namespace heptane::book {

namespace {

constexpr uint32_t kFull = TreeNode::kEntries;
constexpr uint32_t kLeast = kFull / 4;

// How many of the ascending keys are below `key`, without branches that nobody can foretell.
uint32_t count_below(const int64_t* keys, uint32_t count, int64_t key) {
  const int64_t* first = keys;
  while (count > 1) {
    const uint32_t half = count / 2;
    first += half & -static_cast<uint32_t>(first[half - 1] < key);
    count -= half;
  }
  return static_cast<uint32_t>(first - keys) + (count == 1 && *first < key);
}

// The child of an inner node under which `key` belongs.
uint32_t child_for(const TreeNode& node, int64_t key) {
  if (node.keys[node.count - 1] <= key) return node.count - 1;  // near the best
  uint32_t below = count_below(node.keys + 1, node.count - 1, key);
  if (below + 1 < node.count && node.keys[below + 1] == key) ++below;
  return below;
}

void make_gap(TreeNode& node, uint32_t at) {
  std::copy_backward(node.keys + at, node.keys + node.count, node.keys + node.count + 1);
  std::copy_backward(node.children + at, node.children + node.count, node.children + node.count + 1);
  ++node.count;
}

void close_gap(TreeNode& node, uint32_t at) {
  std::copy(node.keys + at + 1, node.keys + node.count, node.keys + at);
  std::copy(node.children + at + 1, node.children + node.count, node.children + at);
  --node.count;
}

void move_first(TreeNode& from, uint32_t count, TreeNode& to) {
  std::copy(from.keys, from.keys + count, to.keys + to.count);
  std::copy(from.children, from.children + count, to.children + to.count);
  to.count += count;
  std::copy(from.keys + count, from.keys + from.count, from.keys);
  std::copy(from.children + count, from.children + from.count, from.children);
  from.count -= count;
}

void move_last(TreeNode& from, uint32_t count, TreeNode& to) {
  std::copy_backward(to.keys, to.keys + to.count, to.keys + to.count + count);
  std::copy_backward(to.children, to.children + to.count, to.children + to.count + count);
  to.count += count;
  from.count -= count;
  std::copy(from.keys + from.count, from.keys + from.count + count, to.keys);
  std::copy(from.children + from.count, from.children + from.count + count, to.children);
}

}  // namespace

uint32_t Ladder::descend(int64_t key, Path& path) const {
  uint32_t number = root_;
  for (uint32_t depth = 0; depth < depth_; ++depth) {
    const TreeNode& node = (*nodes_)[number];
    const uint32_t at = child_for(node, key);
    path.node[depth] = number;
    path.at[depth] = at;
    number = node.children[at];
  }
  const TreeNode& leaf = (*nodes_)[number];
  path.node[depth_] = number;
  path.at[depth_] = count_below(leaf.keys, leaf.count, key);
  return depth_;
}

uint32_t Ladder::find(int64_t price) const {
  if (best_ == kNone) return kNone;
  if ((*levels_)[best_].price == price) return best_;
  Path path;
  const uint32_t depth = descend(key_of(price), path);
  const TreeNode& leaf = (*nodes_)[path.node[depth]];
  const uint32_t at = path.at[depth];
  return at < leaf.count && leaf.keys[at] == key_of(price) ? leaf.children[at] : kNone;
}

// The level with the greatest key.
uint32_t Ladder::last_under(uint32_t node, uint32_t depth) const {
  for (;; ++depth) {
    const TreeNode& here = (*nodes_)[node];
    const uint32_t last = here.children[here.count - 1];
    if (depth == depth_) return last;
    node = last;
  }
}

uint32_t Ladder::worse_than(int64_t price) const {
  if (best_ == kNone) return kNone;
  Path path;
  uint32_t depth = descend(key_of(price), path);
  const TreeNode& leaf = (*nodes_)[path.node[depth]];
  if (path.at[depth] > 0) return leaf.children[path.at[depth] - 1];
  // Everything in this leaf is as good or better: the last level of the subtree before it.
  while (depth-- > 0) {
    if (path.at[depth] == 0) continue;
    return last_under((*nodes_)[path.node[depth]].children[path.at[depth] - 1], depth + 1);
  }
  return kNone;
}

uint32_t Ladder::make(int64_t price) {
  Lately& known = lately(price);
  if (known.level != kNone && known.price == price) return known.level;
  const int64_t key = key_of(price);
  if (root_ == kNone) {
    root_ = nodes_->take();
    (*nodes_)[root_].count = 0;
    depth_ = 0;
  }
  Path path;
  const uint32_t depth = descend(key, path);
  const uint32_t at = path.at[depth];
  const TreeNode& leaf = (*nodes_)[path.node[depth]];
  known.price = price;
  if (at < leaf.count && leaf.keys[at] == key) return known.level = leaf.children[at];
  const uint32_t level = known.level = levels_->take();
  (*levels_)[level] = {price, 0, 0, kNone, kNone, 0};
  if (best_ == kNone || key > key_of((*levels_)[best_].price)) best_ = level;
  insert_at(path, depth, key, level);
  return level;
}

void Ladder::insert_at(Path& path, uint32_t depth, int64_t key, uint32_t child) {
  for (;;) {
    const uint32_t number = path.node[depth];
    TreeNode& node = (*nodes_)[number];
    uint32_t at = path.at[depth];
    if (node.count < kFull) {
      make_gap(node, at);
      node.keys[at] = key;
      node.children[at] = child;
      return;
    }
    const uint32_t right_number = nodes_->take();
    TreeNode& right = (*nodes_)[right_number];
    right.count = 0;
    move_last(node, kFull / 2, right);
    // Where both halves meet the key goes left: the right one's first key stays what its parent is told.
    TreeNode& half = at <= node.count ? node : right;
    if (at > node.count) at -= node.count;
    make_gap(half, at);
    half.keys[at] = key;
    half.children[at] = child;
    key = right.keys[0];
    child = right_number;
    if (depth == 0) break;
    --depth;
    ++path.at[depth];
  }
  const uint32_t top = nodes_->take();
  TreeNode& node = (*nodes_)[top];
  node.count = 2;
  node.keys[0] = INT64_MIN;
  node.keys[1] = key;
  node.children[0] = root_;
  node.children[1] = child;
  root_ = top;
  must(++depth_ < kDepthMax);
}

void Ladder::erase(uint32_t level) {
  const Level& gone = (*levels_)[level];
  Path path;
  const uint32_t depth = descend(key_of(gone.price), path);
  must((*nodes_)[path.node[depth]].children[path.at[depth]] == level);
  if (lately(gone.price).level == level) lately(gone.price).level = kNone;
  levels_->give_back(level);
  remove_at(path, depth);
  if (best_ == level) best_ = root_ == kNone ? kNone : last_under(root_, 0);
}

void Ladder::remove_at(Path& path, uint32_t depth) {
  close_gap((*nodes_)[path.node[depth]], path.at[depth]);
  while (depth > 0 && (*nodes_)[path.node[depth]].count < kLeast) {
    --depth;
    const uint32_t at = path.at[depth];
    level_out(path.node[depth], at > 0 ? at - 1 : 0);
  }
  TreeNode& root = (*nodes_)[root_];
  if (depth_ > 0 && root.count == 1) {
    const uint32_t child = root.children[0];
    nodes_->give_back(root_);
    root_ = child;
    --depth_;
  } else if (depth_ == 0 && root.count == 0) {
    nodes_->give_back(root_);
    root_ = kNone;
  }
}

// Two neighbours, of which one has too little: they become one, or share.
void Ladder::level_out(uint32_t parent, uint32_t left_at) {
  TreeNode& above = (*nodes_)[parent];
  TreeNode& left = (*nodes_)[above.children[left_at]];
  const uint32_t right_number = above.children[left_at + 1];
  TreeNode& right = (*nodes_)[right_number];
  right.keys[0] = std::max(right.keys[0], above.keys[left_at + 1]);  // an inner node's first key may be anything below
  const uint32_t together = left.count + right.count;
  if (together <= kFull * 3 / 4) {
    move_first(right, right.count, left);
    nodes_->give_back(right_number);
    close_gap(above, left_at + 1);
    return;
  }
  const uint32_t half = together / 2;
  if (left.count < half) {
    move_first(right, half - left.count, left);
  } else {
    move_last(left, left.count - half, right);
  }
  above.keys[left_at + 1] = right.keys[0];
}

bool Ladder::consistent() const {
  if (root_ == kNone) return best_ == kNone;
  int64_t last = INT64_MIN;
  if (!consistent(root_, 0, last) || best_ != last_under(root_, 0)) return false;
  for (const Lately& lately : lately_)
    if (lately.level != kNone && find(lately.price) != lately.level) return false;
  return true;
}

// Ascending; `last` is the key before.
bool Ladder::consistent(uint32_t node_number, uint32_t depth, int64_t& last) const {
  const TreeNode& node = (*nodes_)[node_number];
  if (node.count > kFull || (depth > 0 && node.count < kLeast) || (depth == 0 && depth_ > 0 && node.count < 2))
    return false;
  for (uint32_t i = 0; i < node.count; ++i) {
    const bool first = i == 0;
    if (!first && node.keys[i] <= last) return false;
    if (depth < depth_) {
      if (!consistent(node.children[i], depth + 1, last) || (!first && last < node.keys[i])) return false;
    } else if (key_of((*levels_)[node.children[i]].price) != node.keys[i]) {
      return false;
    } else {
      last = node.keys[i];
    }
  }
  return true;
}

}  // namespace heptane::book
