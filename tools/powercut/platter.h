// What would be found on the disk: replays the journal into durable content plus what is still pending per file and per
// directory, then decides, from a seed, which of the pending part reached the platter before the power went.
// Rules: a write is durable by a sync of its file called after it; an entry by a sync of its directory called after it
// (both directories of a rename go together, and no entry overtakes an older one of the same directory); a size change
// never overtakes an older one of the same file; data comes and goes by 512-byte sectors, in any order between sectors.
// One thread; reads the journal, never writes it, so a live process or many seeds can be looked at.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/powercut/extents.h"
#include "tools/powercut/journal.h"

namespace powercut {

enum class Mode { kLose, kKeep, kReorder, kTear };

struct Cut {
  Mode mode = Mode::kReorder;
  uint64_t seed = 1;
  bool any_entries = false;  // entries of a directory survive in any order, not as a prefix
};

class Platter {
 public:
  struct Change {  // a pending change of a file's content
    uint64_t position;
    Op op;
    uint64_t offset, bytes;
    const std::byte* data;
    bool dead;  // its sync failed: no later sync writes it
  };
  struct Node {
    uint64_t serial;  // order of creation: the same in every replay, unlike pointers
    uint32_t mode = 0, owner = 0, group = 0;
    std::string link_target;
    Extents durable;
    std::vector<Change> pending;
    std::map<std::string, Node*> entries;  // of a directory, durable
  };
  struct EntryChange {  // a pending change of one or two entries
    uint64_t position;
    struct Set {
      Node* directory;
      std::string name;
      Node* node;  // null: the entry goes
    };
    std::vector<Set> sets;
    bool makes_name_of(const Node* node) const;
  };
  struct Counts {
    uint64_t records = 0, strays = 0, pending_changes = 0, pending_entries = 0;
  };

  // Shows every record as it is replayed. Optional.
  using Watcher = std::function<void(const Record&, const std::string& name, const std::string& second)>;
  void on_record(Watcher watcher) { watcher_ = std::move(watcher); }

  // Replays STATE/journal.* up to the position (exclusive). False with a message on failure.
  bool replay(const std::string& state_path, uint64_t upto, std::string* error);
  // Lets the power go: afterwards nothing is pending.
  void cut(const Cut& cut);

  const Node* root() const { return root_; }
  Counts counts() const;

 private:
  void apply_record(const Record& record, const std::byte* tail);
  void apply_entry_record(const Record& record, const std::string& name, const std::string& second);
  Node* node_of(uint64_t inode);
  Node* new_node(uint64_t inode);
  void sync_node(Node* node, uint64_t upto);
  void sync_range(Node* node, uint64_t upto, uint64_t offset, uint64_t bytes);
  void sync_entries(std::unordered_map<const Node*, uint64_t> limits);
  void commit(const EntryChange& change);
  void cut_entries(const Cut& cut);
  void cut_content(Node* node, const Cut& cut);

  Watcher watcher_;
  Counts counts_;
  Node* root_ = nullptr;
  bool fsync_persists_name_ = false;
  std::deque<Node> nodes_;
  std::unordered_map<uint64_t, Node*> by_inode_;
  std::vector<EntryChange> pending_entries_;
  std::vector<std::pair<const std::byte*, uint64_t>> segments_;
};

// What the kernel would have made of the content at once.
void apply_change(Extents& content, const Platter::Change& change);

}  // namespace powercut
