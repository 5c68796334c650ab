#include "tools/powercut/platter.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace powercut {
namespace {

const std::byte* map_segment(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* start = mmap(nullptr, kSegmentBytes, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return start == MAP_FAILED ? nullptr : static_cast<const std::byte*>(start);
}

}  // namespace

void apply_change(Extents& content, const Platter::Change& change) {
  if (change.op == Op::kTruncate) return content.truncate(change.offset);
  if (change.op == Op::kAllocate) return content.grow(change.offset + change.bytes);
  if (change.op == Op::kWrite) {
    content.put(change.offset, change.bytes, change.data);
    content.grow(change.offset + change.bytes);
  } else if (change.offset < content.size()) {  // kZero
    content.put(change.offset, std::min(change.bytes, content.size() - change.offset), nullptr);
  }
}

bool Platter::EntryChange::makes_name_of(const Node* node) const {
  return std::any_of(sets.begin(), sets.end(), [&](const Set& set) { return set.node == node; });
}

bool Platter::replay(const std::string& state_path, uint64_t upto, std::string* error) {
  Journal journal;
  if (!journal.attach(state_path.c_str())) {
    *error = "no prepared state at " + state_path;
    return false;
  }
  fsync_persists_name_ = journal.control()->fsync_persists_name != 0;
  root_ = new_node(journal.control()->root_inode);
  root_->mode = S_IFDIR | 0755;
  uint64_t end = std::min(upto, journal.end());
  for (uint64_t position = 0; position < end;) {
    uint64_t segment = position / kSegmentBytes;
    if (segments_.size() <= segment) {
      char path[kPathBytesMax + 32];
      segment_path(path, sizeof path, state_path.c_str(), segment);
      segments_.emplace_back(map_segment(path), segment);
    }
    const std::byte* at = segments_[segment].first;
    uint64_t room = kSegmentBytes - position % kSegmentBytes;
    if (room < sizeof(Record)) {
      position += room;
      continue;
    }
    Record record;
    if (at != nullptr) memcpy(&record, at + position % kSegmentBytes, sizeof record);
    if (at == nullptr || record.magic != kRecordMagic || record.position != position || record.length > room ||
        record.length < sizeof record) {
      *error = "the journal is damaged at position " + std::to_string(position);
      return false;
    }
    if (position + record.length > end) break;
    apply_record(record, at + position % kSegmentBytes + sizeof record);
    position += record.length;
    ++counts_.records;
  }
  return true;
}

Platter::Node* Platter::new_node(uint64_t inode) {
  nodes_.emplace_back();
  nodes_.back().serial = nodes_.size();
  return by_inode_[inode] = &nodes_.back();
}

Platter::Node* Platter::node_of(uint64_t inode) {
  auto it = by_inode_.find(inode);
  if (it != by_inode_.end()) return it->second;
  ++counts_.strays;  // a file that came to be without a wrapper's knowledge: it has no name here
  Node* node = new_node(inode);
  node->mode = S_IFREG | 0600;
  return node;
}

void Platter::apply_record(const Record& record, const std::byte* tail) {
  std::string name(reinterpret_cast<const char*>(tail), record.name_bytes);
  std::string second(reinterpret_cast<const char*>(tail) + record.name_bytes, record.second_bytes);
  const std::byte* payload = tail + record.name_bytes + record.second_bytes;
  if (watcher_) watcher_(record, name, second);
  switch (record.op) {
    case Op::kPad: return;
    case Op::kWrite:
    case Op::kTruncate:
    case Op::kAllocate:
    case Op::kZero: {
      const std::byte* data = record.op == Op::kWrite && (record.flags & kAllZero) == 0 ? payload : nullptr;
      node_of(record.inode)->pending.push_back({record.position, record.op, record.a, record.b, data, false});
      return;
    }
    case Op::kSync: return sync_node(node_of(record.inode), record.a);
    case Op::kSyncRange: return sync_range(node_of(record.inode), record.a, record.b, record.c);
    case Op::kSyncFailed:
      for (Change& change : node_of(record.inode)->pending) change.dead |= change.position < record.a;
      return;
    case Op::kSyncAll:
      for (Node& node : nodes_) sync_node(&node, record.a);
      return;
    default: return apply_entry_record(record, name, second);
  }
}

void Platter::apply_entry_record(const Record& record, const std::string& name, const std::string& second) {
  EntryChange change{record.position, {}};
  auto set = [&](uint64_t directory, const std::string& entry, Node* node) {
    change.sets.push_back({node_of(directory), entry, node});
  };
  if (record.op == Op::kCreate || record.op == Op::kAttributes) {
    Node* node = record.op == Op::kCreate ? new_node(record.inode) : node_of(record.inode);
    node->mode = record.mode;
    node->owner = static_cast<uint32_t>(record.b >> 32);
    node->group = static_cast<uint32_t>(record.b);
    node->link_target = S_ISLNK(record.mode) && record.op == Op::kCreate ? second : node->link_target;
    if (record.op == Op::kCreate && !name.empty()) set(record.a, name, node);
  } else if (record.op == Op::kLink) {
    set(record.a, name, node_of(record.inode));
  } else if (record.op == Op::kUnlink) {
    set(record.a, name, nullptr);
  } else if (record.op == Op::kRename || record.op == Op::kExchange) {
    set(record.a, name, record.op == Op::kExchange ? node_of(record.c) : nullptr);
    set(record.b, second, node_of(record.inode));
  }
  if (!change.sets.empty()) pending_entries_.push_back(std::move(change));
}

void Platter::sync_node(Node* node, uint64_t upto) {
  std::vector<Change> left;
  for (Change& change : node->pending) {
    if (change.position < upto && !change.dead) {
      apply_change(node->durable, change);
    } else {
      left.push_back(change);
    }
  }
  node->pending = std::move(left);
  std::unordered_map<const Node*, uint64_t> limits;
  if (S_ISDIR(node->mode)) limits[node] = upto;
  if (fsync_persists_name_) {
    for (const EntryChange& change : pending_entries_) {
      if (change.position >= upto || !change.makes_name_of(node)) continue;
      for (const auto& set : change.sets) limits[set.directory] = std::max(limits[set.directory], change.position + 1);
    }
  }
  if (!limits.empty()) sync_entries(std::move(limits));
}

// An O_DSYNC write or msync: sizes and everything older than the last change of size, then only the range's own writes.
void Platter::sync_range(Node* node, uint64_t upto, uint64_t offset, uint64_t bytes) {
  uint64_t barrier = 0;
  for (const Change& change : node->pending) {
    if (change.position < upto && !change.dead && change.op != Op::kWrite) barrier = change.position + 1;
  }
  std::vector<Change> left;
  for (Change& change : node->pending) {
    bool inside = change.offset >= offset && change.offset + change.bytes <= offset + bytes;
    if (change.position < upto && !change.dead && (change.position < barrier || inside)) {
      apply_change(node->durable, change);
    } else {
      left.push_back(change);
    }
  }
  node->pending = std::move(left);
}

void Platter::commit(const EntryChange& change) {
  for (const auto& set : change.sets) {
    if (set.node == nullptr) {
      set.directory->entries.erase(set.name);
    } else {
      set.directory->entries[set.name] = set.node;
    }
  }
}

// Commits, for each directory, its changes before the limit; a change of two directories takes along what is older in
// the other one. One pass from the newest back is enough, for limits only ever reach further back.
void Platter::sync_entries(std::unordered_map<const Node*, uint64_t> limits) {
  std::vector<bool> chosen(pending_entries_.size());
  for (size_t i = pending_entries_.size(); i-- > 0;) {
    const EntryChange& change = pending_entries_[i];
    for (const auto& set : change.sets) {
      auto it = limits.find(set.directory);
      if (it != limits.end() && change.position < it->second) chosen[i] = true;
    }
    if (!chosen[i]) continue;
    for (const auto& set : change.sets) limits[set.directory] = std::max(limits[set.directory], change.position + 1);
  }
  std::vector<EntryChange> left;
  for (size_t i = 0; i < pending_entries_.size(); ++i) {
    if (chosen[i]) {
      commit(pending_entries_[i]);
    } else {
      left.push_back(std::move(pending_entries_[i]));
    }
  }
  pending_entries_ = std::move(left);
}

Platter::Counts Platter::counts() const {
  Counts counts = counts_;
  counts.pending_entries = pending_entries_.size();
  for (const Node& node : nodes_) counts.pending_changes += node.pending.size();
  return counts;
}

}  // namespace powercut
