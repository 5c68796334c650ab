// Which blobs there are and how many refer to each: what makes a blob acknowledged, and what keeps its file. A blob is named
// while it is kept for its own sake (kPutBlob) or a machine refers to it through the port; then its file stays.
//
// Invariant: every named blob's file was whole and synced before the command that names it. The shard thread's.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "kernel/blobs/api.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"

namespace heptane::blobs {

class BlobsMachine final : public StateMachine {
 public:
  MachineId id() const override { return machine_ids::kBlobs; }
  std::string_view name() const override { return "blobs"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { scopes_.push_back(undo_.size()); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override;
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool relieves(CommandType type) const override { return type == kDropBlob; }
  bool fresh() const override { return entries_.empty(); }
  void make_fresh() override { entries_.clear(); }

  // The port of other machines (Effects::port). False: there is no such blob, or it has as many references as there can
  // be; the caller refuses.
  bool reference(const BlobDigest& digest);
  // Once for every reference().
  void release(const BlobDigest& digest);

  // Not state: what stopped being named since the last call, from watch_unnamed() on. May be named again by now.
  void watch_unnamed() { watching_ = true; }
  std::vector<BlobDigest> take_unnamed() { return std::exchange(unnamed_, {}); }
  bool names(const BlobDigest& digest) const { return entries_.contains(digest); }
  std::vector<BlobInfo> all() const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint64_t bytes = 0;
    uint32_t machines = 0;  // references by machines
    bool kept = false;
    LogTime created = 0;
  };

  void put(const Command& command, Effects& effects);
  void drop(const Command& command, Effects& effects);
  void query_find(const Query& query, Reply& reply) const;
  void query_list(const Query& query, Reply& reply) const;
  static BlobInfo info(const BlobDigest& digest, const Entry& entry);
  void set(const BlobDigest& digest, const Entry& entry);  // one that nobody refers to goes; undone by a scope

  std::map<BlobDigest, Entry> entries_;
  std::vector<std::pair<BlobDigest, Entry>> undo_;  // what was before; nobody referring: there was none
  std::vector<size_t> scopes_;                      // undo_ sizes at their opening
  bool watching_ = false;
  std::vector<BlobDigest> unnamed_;
};

}  // namespace heptane::blobs
