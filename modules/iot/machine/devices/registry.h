// The things that are known, in the order of their names, with their static groups. State of the devices machine; the shard
// thread's.
//
// Invariants: a group is there as long as a thing is in it; a connection's end counts only against the connection that is the
// thing's newest (by run of the server and number), so that what is told late never undoes what came later; save() is canonical.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/iot/machine/devices/device_api.h"

namespace heptane::iot::devices {

class Registry {
 public:
  CreateStatus create(const Thing& thing, const ThingLimits& limits, LogTime now);
  // Its row; nullopt: it is not there.
  std::optional<ThingRow> find(std::string_view name) const;
  // When it was registered; nullopt: it is not there.
  std::optional<LogTime> created(std::string_view name) const;
  bool has(std::string_view name) const { return things_.find(name) != things_.end(); }
  // A thing is in it.
  bool has_group(std::string_view group) const { return groups_.contains(group); }
  // The thing becomes this, which is another state of it. Returns its version.
  uint64_t replace(const Thing& thing, LogTime now);
  bool remove(std::string_view name);

  // A run of the server began.
  void start() { ++run_; }
  // False: there is no such thing, or this is nothing new.
  bool connection(const Connection& connection, LogTime now);

  size_t size() const { return things_.size(); }
  bool fresh() const { return things_.empty() && run_ == 0; }
  size_t bytes() const { return bytes_; }  // with the groups

  // Fill replies.
  void page(const ThingsQuery& query, Reply& reply) const;
  void groups(std::string_view after, size_t limit, Reply& reply) const;

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct Entry {
    std::string bytes;  // of the thing: it is read when it is asked for
    uint64_t version = 1;
    LogTime created = 0;
    LogTime updated = 0;
    // Of its newest connection.
    uint64_t run = 0;  // 0: there never was one
    uint64_t number = 0;
    bool connected = false;
    LogTime since = 0;
  };
  using Things = std::map<std::string, Entry, std::less<>>;
  static constexpr size_t kEntryBytes = 224;  // of the map's node and what strings take beside their bytes
  static constexpr size_t kGroupBytes = 112;  // likewise

  static Thing thing_of(const Entry& entry);
  static size_t bytes_of(const std::string& name, const Entry& entry) {
    return kEntryBytes + name.size() + entry.bytes.size();
  }
  ThingRow row_of(const Entry& entry) const;
  bool is_connected(const Entry& entry) const { return entry.connected && entry.run == run_; }
  void set(Entry& entry, const std::string& name, const Thing& thing);
  void join(const Thing& thing);
  void leave(const Thing& thing);

  Things things_;
  std::map<std::string, uint64_t, std::less<>> groups_;  // how many things are in it
  uint64_t run_ = 0;
  size_t bytes_ = 0;
};

}  // namespace heptane::iot::devices
