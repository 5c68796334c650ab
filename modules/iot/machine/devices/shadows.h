// The shadows of all things, by thing and name, with the graves of those that were deleted: their versions go on for two days. Kept
// as bytes and read when they are asked for. State of the devices machine; the shard thread's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/iot/domain/devices/shadow.h"

namespace heptane::iot::devices {

class Shadows {
 public:
  // As it is; of one that never was, a fresh one.
  Shadow find(std::string_view thing, std::string_view name) const;
  bool has(std::string_view thing, std::string_view name) const;
  size_t count(std::string_view thing) const;                    // with graves
  std::vector<std::string> names(std::string_view thing) const;  // that are there; the classic one's is empty
  // `timer`: of its grave; 0: it has none. Returns the timer that it had.
  TimerId put(std::string_view thing, std::string_view name, const Shadow& shadow, TimerId timer);
  void forget(std::string_view thing, std::string_view name);
  // All of the thing; returns the timers of their graves.
  std::vector<TimerId> forget_all(std::string_view thing);

  bool empty() const { return shadows_.empty(); }
  size_t size() const { return shadows_.size(); }
  size_t bytes() const { return bytes_; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct Entry {
    std::string bytes;
    TimerId timer = 0;
  };
  // Thing, `/`, which no name has, and the shadow's name.
  using Map = std::map<std::string, Entry, std::less<>>;
  static constexpr size_t kEntryBytes = 144;

  static std::string key_of(std::string_view thing, std::string_view name);
  void erase(Map::iterator at);

  Map shadows_;
  size_t bytes_ = 0;
};

}  // namespace heptane::iot::devices
