// How far groups of consumers have read: (group, topic, partition) -> offset, metadata, leader epoch, time of the commit.
// A commit replaces the one before; 7 days of log time after its last commit an offset is forgotten, by a timer that is
// armed while there are any. Bounded: api.h. The shard thread's.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/data/machine/consumer_offsets/api.h"

namespace heptane::data::offsets {

class ConsumerOffsets final : public StateMachine {
 public:
  MachineId id() const override { return kMachineId; }
  std::string_view name() const override { return "consumer_offsets"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { scopes_.push_back(undo_.size()); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override;
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool relieves(CommandType type) const override { return type == kDeleteGroup || type == kExpire; }

  size_t size() const { return by_age_.size(); }

 private:
  using Key = std::pair<std::string, uint32_t>;  // topic and partition
  struct Entry {
    std::array<std::byte, 16> uuid{};
    Offset offset = 0;
    int32_t leader_epoch = -1;
    LogTime committed = 0;
    uint64_t age = 0;  // counts commits: the order in which entries are forgotten
    std::string metadata;
  };
  using Group = std::map<Key, Entry>;
  struct Place {
    const std::string* group;
    const Key* key;
  };

  void commit(const Command& command, Effects& effects);
  void delete_group(const Command& command, Effects& effects);
  void expire(const Command& command, Effects& effects);
  const char* check(const Commit& commit) const;
  bool has_room_for(const Commit& commit) const;
  void arm(LogTime due, Effects& effects);

  void put(const std::string& group, const Key& key, Entry entry);
  void erase(const std::string& group, const Key& key);
  void undoable(std::function<void()> undo);
  void put_undoable(const std::string& group, const Key& key, Entry entry);
  void erase_undoable(const std::string& group, const Key& key);

  void query_fetch(const Query& query, Reply& reply) const;
  void query_groups(const Query& query, Reply& reply) const;
  void query_size(const Query& query, Reply& reply) const;

  std::map<std::string, Group, std::less<>> groups_;
  std::map<uint64_t, Place> by_age_;  // every entry, the oldest commit first
  uint64_t next_age_ = 1;
  uint64_t text_bytes_ = 0;
  TimerId timer_ = 0;  // 0 = not armed
  std::vector<std::function<void()>> undo_;
  std::vector<size_t> scopes_;  // undo_ sizes at their opening
};

}  // namespace heptane::data::offsets
