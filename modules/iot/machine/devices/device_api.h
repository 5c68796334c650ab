// Commands and queries of the devices machine: the registry of things and which of them are connected. Not in transactions.
// Little-endian; texts: length u16 and bytes. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

constexpr MachineId kDevicesMachineId = machine_ids::kFirstModule + 3;

enum DevicesCommand : CommandType {
  kCreateThings =
      1,             // payload: count u16, things. Each is made or not: reply payload a CreateStatus for each, numbers:
                     // how many were made. One alone that is not made refuses: exists, overloaded, invalid_argument
  kUpdateThing = 2,  // payload UpdateThing; reply numbers: its version. Refused: not_found, stale, invalid_argument
  kDeleteThing = 3,  // payload: name. Refused: not_found
  kConnections = 4,  // payload: count u16, Connections; reply numbers: how many were of things that are known
  kStarted = 5,      // the server: whoever was connected before is not
};

enum DevicesQuery : uint16_t {
  kQueryThing = 1,   // payload: name. Reply payload: a ThingRow; numbers: 1, or 0 when there is none
  kQueryThings = 2,  // payload ThingsQuery; reply payload: the name that was looked at last, ThingRows; numbers: rows,
                     // 1 when there is more
  kQueryGroups =
      3,  // payload: groups behind this one (text), limit u16. Reply payload: GroupRows; numbers: rows, 1 when
          // there is more
};

enum class CreateStatus : uint8_t { created = 0, exists = 1, full = 2, invalid = 3 };
// For a person.
std::string_view create_text(CreateStatus status);

constexpr size_t kCreatesMax = 1'000;  // in one command
constexpr size_t kCreateBytesMax = size_t{512} << 10;
constexpr size_t kConnectionsMax = 256;  // in one command
constexpr size_t kRowsMax = 1'000;       // of one page
constexpr size_t kRowBytesMax = size_t{256} << 10;
constexpr size_t kVisitsMax =
    4'096;  // of one page, and so many bytes of things and steps of its query, whether they are wanted or not
constexpr size_t kVisitBytesMax = size_t{256} << 10;

// Logged configuration, decimal numbers.
constexpr std::string_view kMaxThings = "devices.max_things";
constexpr std::string_view kMaxAttributes = "devices.max_attributes";
constexpr std::string_view kMaxThingBytes = "devices.max_thing_bytes";

Buffer encode_things(const std::vector<Thing>& things);
std::optional<std::vector<Thing>> decode_things(Bytes payload);

struct UpdateThing {
  std::string name;
  uint64_t expected_version = 0;  // 0: any
  ThingChange change;
};
Buffer encode(const UpdateThing& update);
std::optional<UpdateThing> decode_update(Bytes payload);

// A connection of a thing began or ended. Its number grows within a run of the server: one that ended late says nothing about a
// later one.
struct Connection {
  std::string_view thing;
  uint64_t number = 0;
  bool connected = false;
};
void append_connection(ByteWriter& out, const Connection& connection);
std::optional<std::vector<Connection>> decode_connections(Bytes payload);

// Whether a thing is connected, as far as the machine was told: in commands of what came together, so a little behind.
struct ThingPresence {
  bool connected = false;
  LogTime since = 0;  // log time of its last beginning or end; 0: it never was
};

struct ThingRow {
  Thing thing;
  uint64_t version = 1;
  LogTime created = 0;
  LogTime updated = 0;
  ThingPresence presence{};
};
void append_row(ByteWriter& out, const ThingRow& row);
ThingRow read_row(ByteReader& in);

// All that are said must hold; empty: any.
struct ThingsQuery {
  std::string after;
  uint16_t limit = 100;
  std::string type;
  std::string attribute;             // has it
  std::optional<std::string> value;  // and it is this
  std::string tag;
  std::string group;
  std::optional<bool> connected;
  std::string query;  // a FleetQuery, besides
  bool wants(const Thing& thing, bool is_connected) const;
};
Buffer encode(const ThingsQuery& query);
std::optional<ThingsQuery> decode_things_query(Bytes payload);
struct ThingsPage {
  std::string last;
  std::vector<ThingRow> rows;
};
std::optional<ThingsPage> decode_things_page(Bytes payload);

struct GroupRow {
  std::string name;
  uint64_t things = 0;
};
Buffer encode_groups_query(std::string_view after, uint16_t limit);
std::optional<std::vector<GroupRow>> decode_groups(Bytes payload);

}  // namespace heptane::iot::devices
