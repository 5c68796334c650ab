// The power cut itself: which pending changes reached the platter. Every decision is a function of the seed and of the
// place (file, sector, directory), so one seed gives one outcome whatever order the code asks in.
#include <algorithm>
#include <unordered_map>

#include "tools/powercut/platter.h"

namespace powercut {
namespace {

constexpr uint64_t kSectorBytes = 512;

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15 + b + 0x7f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// What a file's or directory's pending part does as a whole. Extremes are as frequent as mixtures: most faults show
// when one file is complete and another one absent.
enum class Style { kNone, kAll, kHalf, kMost, kFew };

Style style_of(uint64_t dice) {
  constexpr Style styles[] = {Style::kNone, Style::kAll, Style::kHalf, Style::kMost, Style::kFew};
  return styles[dice % 5];
}

bool survives(Style style, uint64_t dice) {
  uint64_t percent = dice % 100;
  if (style == Style::kNone) return false;
  if (style == Style::kAll) return true;
  return percent < (style == Style::kHalf ? 50U : style == Style::kMost ? 90U : 10U);
}

// How many of `count` things, oldest first, survive.
uint64_t prefix(Style style, uint64_t dice, uint64_t count) {
  if (style == Style::kNone) return 0;
  if (style == Style::kAll) return count;
  return dice % (count + 1);
}

bool changes_size(const Platter::Change& change, uint64_t size) {
  if (change.op == Op::kTruncate || change.op == Op::kZero) return true;
  return change.offset + change.bytes > size;
}

template <class Each>
void each_sector(const Platter::Change& change, Each each) {
  uint64_t end = change.offset + change.bytes;
  for (uint64_t at = change.offset; at < end;) {
    uint64_t sector = at / kSectorBytes;
    uint64_t next = std::min(end, (sector + 1) * kSectorBytes);
    each(sector, at, next - at);
    at = next;
  }
}

const std::byte* data_at(const Platter::Change& change, uint64_t offset) {
  return change.data == nullptr ? nullptr : change.data + (offset - change.offset);
}

// Any sector holds one of the versions that it had while its writes were pending: the first v of them, v by seed.
class ReorderedContent {
 public:
  ReorderedContent(Platter::Node* node, uint64_t seed) : node_(node), seed_(mix(seed, node->serial)) {}

  void cut() {
    Style sizes = style_of(mix(seed_, 1));
    sectors_style_ = style_of(mix(seed_, 2));
    uint64_t size = node_->durable.size(), size_changes = 0;
    for (const auto& change : node_->pending) {
      size_changes += changes_size(change, size);
      track(change, &size);
      if (change.op == Op::kWrite) each_sector(change, [&](uint64_t sector, uint64_t, uint64_t) { ++writes_[sector]; });
    }
    uint64_t kept = prefix(sizes, mix(seed_, 3), size_changes);
    size = node_->durable.size();
    for (const auto& change : node_->pending) {
      bool resizes = changes_size(change, size);
      track(change, &size);
      if (change.op == Op::kWrite) put(change);
      if (!resizes) continue;
      if (kept == 0) final_size_known_ = true;
      if (final_size_known_ && change.op == Op::kWrite) continue;  // overwrites below the size may still survive
      if (final_size_known_) break;  // what follows a truncate that was lost lies in blocks that nothing names
      --kept;
      resize(change);
    }
    node_->durable.truncate(node_->durable.size());
  }

 private:
  static void track(const Platter::Change& change, uint64_t* size) {
    if (change.op == Op::kTruncate) *size = change.offset;
    if (change.op == Op::kWrite || change.op == Op::kAllocate) *size = std::max(*size, change.offset + change.bytes);
  }

  void resize(const Platter::Change& change) {
    if (change.op == Op::kWrite) {
      node_->durable.grow(change.offset + change.bytes);
    } else {
      apply_change(node_->durable, change);
    }
  }

  void put(const Platter::Change& change) {
    each_sector(change, [&](uint64_t sector, uint64_t at, uint64_t bytes) {
      uint64_t dice = mix(seed_, sector + 16);
      uint64_t count = writes_[sector];
      uint64_t versions = survives(sectors_style_, dice) ? count - (dice >> 8) % count : 0;
      if ((dice >> 40) % 2 == 0 && versions > 0) versions = count;
      if (seen_[sector]++ < versions) node_->durable.put(at, bytes, data_at(change, at));
    });
  }

  Platter::Node* node_;
  uint64_t seed_;
  Style sectors_style_ = Style::kNone;
  bool final_size_known_ = false;
  std::unordered_map<uint64_t, uint64_t> writes_, seen_;
};

// Everything in order up to one write, of which only some sectors arrived: a first part, a last part, or any.
void tear(Platter::Node* node, uint64_t seed) {
  seed = mix(seed, node->serial);
  if (node->pending.empty()) return;
  uint64_t torn = mix(seed, 1) % (node->pending.size() + 1);
  for (uint64_t i = 0; i < torn; ++i) apply_change(node->durable, node->pending[i]);
  if (torn == node->pending.size()) return;
  const Platter::Change& change = node->pending[torn];
  if (change.op != Op::kWrite) return;
  uint64_t sectors = (change.offset + change.bytes - 1) / kSectorBytes - change.offset / kSectorBytes + 1;
  uint64_t edge = mix(seed, 2) % (sectors + 1), shape = mix(seed, 3) % 3, index = 0;
  if (mix(seed, 4) % 4 != 0) node->durable.grow(change.offset + change.bytes);
  each_sector(change, [&](uint64_t sector, uint64_t at, uint64_t bytes) {
    bool kept = shape == 0 ? index < edge : shape == 1 ? index >= edge : mix(seed, sector + 16) % 2 == 0;
    if (kept) node->durable.put(at, bytes, data_at(change, at));
    ++index;
  });
}

}  // namespace

void Platter::cut_entries(const Cut& cut) {
  if (cut.mode == Mode::kLose) return pending_entries_.clear();
  if (cut.mode != Mode::kKeep && cut.any_entries) {
    for (const EntryChange& change : pending_entries_) {
      if (mix(cut.seed, change.position) % 2 == 0) commit(change);
    }
    return pending_entries_.clear();
  }
  std::unordered_map<const Node*, std::vector<uint64_t>> changes;
  for (const EntryChange& change : pending_entries_) {
    for (const auto& set : change.sets) changes[set.directory].push_back(change.position);
  }
  std::unordered_map<const Node*, uint64_t> limits;
  for (const auto& [directory, positions] : changes) {
    uint64_t seed = mix(cut.seed ^ 0x6e616d6573, directory->serial);
    Style style = cut.mode == Mode::kKeep ? Style::kAll : style_of(mix(seed, 1));
    uint64_t kept = prefix(style, mix(seed, 2), positions.size());
    limits[directory] = kept == 0 ? 0 : positions[kept - 1] + 1;
  }
  sync_entries(std::move(limits));
  pending_entries_.clear();
}

void Platter::cut_content(Node* node, const Cut& cut) {
  if (cut.mode == Mode::kKeep) {
    for (const Change& change : node->pending) apply_change(node->durable, change);
  } else if (cut.mode == Mode::kReorder && !node->pending.empty()) {
    ReorderedContent(node, cut.seed).cut();
  } else if (cut.mode == Mode::kTear) {
    tear(node, cut.seed);
  }
  node->pending.clear();
}

void Platter::cut(const Cut& cut) {
  cut_entries(cut);
  for (Node& node : nodes_) cut_content(&node, cut);
}

}  // namespace powercut
