// Fleets: groups of things by a query (fleet_query.h), named so that jobs can aim at them. A fleet is its query and no list: who is in it
// is looked up when it is asked, page by page of the registry, so that a change of a thing costs nothing. The shard thread's.
//
// Invariants: a query that is kept can be read; it stays as it is until the fleet is dropped; what an operator does is in the audit trail
// by the same command. Its commands are in no transaction.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/domain/devices/fleet_query.h"

namespace heptane::iot::devices {

constexpr MachineId kFleetsMachineId = machine_ids::kFirstModule + 10;

enum FleetsCommand : CommandType {
  kCreateFleet = 1,  // payload: a Fleet. Refused: invalid_argument, exists (a fleet or a group of the name), overloaded
  kDropFleet = 2,    // payload: its name. Refused: not_found
};

enum FleetsQuery : uint16_t {
  kQueryFleets =
      1,  // payload: fleets behind this one (text), alone u8. Reply payload: Fleets; numbers: how many, 1 where
          // there is more. Alone: the one of the name
};

constexpr size_t kFleetsMax = 256;
constexpr size_t kFleetsOfPage = 100;
constexpr size_t kFleetDescriptionBytesMax = 1'024;

struct Fleet {
  std::string name;
  std::string description;
  std::string query;
  LogTime created = 0;  // of a row
};
Buffer encode(const Fleet& fleet);
std::optional<Fleet> decode_fleet(Bytes payload);
std::optional<std::vector<Fleet>> decode_fleets(Bytes payload);
Buffer encode_fleets_query(std::string_view after, bool alone);

class FleetsMachine final : public StateMachine {
 public:
  MachineId id() const override { return kFleetsMachineId; }
  std::string_view name() const override { return "fleets"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { ++scopes_; }
  void close_scope(ScopeOutcome) override { --scopes_; }
  uint64_t memory_bytes() const override { return bytes_; }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return fleets_.empty(); }
  void make_fresh() override;
  bool relieves(CommandType type) const override { return type == kDropFleet; }

  // Null: there is none.
  const Fleet* find(std::string_view name) const;

 private:
  void apply_create(const Command& command, Effects& effects);
  void apply_drop(const Command& command, Effects& effects);
  void put(Fleet fleet);

  std::map<std::string, Fleet, std::less<>> fleets_;
  size_t bytes_ = 0;
  size_t scopes_ = 0;
};

}  // namespace heptane::iot::devices
