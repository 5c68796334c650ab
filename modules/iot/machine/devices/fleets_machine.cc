#include "modules/iot/machine/devices/fleets_machine.h"

#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"
#include "modules/iot/machine/devices/devices_machine.h"

namespace heptane::iot::devices {

namespace {

constexpr size_t kFleetBytes = 320;  // the map's node and what texts take beside their bytes
constexpr size_t kStoredBytesMax = 8 << 10;

void audit(const Command& command, std::string_view action, const Fleet& on, Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on.name, on.query, effects);
}

size_t bytes_of(const Fleet& fleet) {
  return kFleetBytes + 2 * fleet.name.size() + fleet.description.size() + fleet.query.size();
}

void append_fleet(ByteWriter& out, const Fleet& fleet) {
  append_text(out, fleet.name);
  append_text(out, fleet.description);
  append_text(out, fleet.query);
  out.le<LogTime>(fleet.created);
}

Fleet read_fleet(ByteReader& in) {
  Fleet fleet;
  fleet.name = read_text(in, kNameLimitBytes);
  fleet.description = read_text(in, kFleetDescriptionBytesMax);
  fleet.query = read_text(in, kQueryBytesMax);
  fleet.created = in.le<LogTime>();
  return fleet;
}

}  // namespace

Buffer encode(const Fleet& fleet) {
  ByteWriter out;
  append_fleet(out, fleet);
  return Buffer::take(out.release());
}

std::optional<Fleet> decode_fleet(Bytes payload) {
  ByteReader in(payload);
  Fleet fleet = read_fleet(in);
  if (!in.complete()) return std::nullopt;
  return fleet;
}

std::optional<std::vector<Fleet>> decode_fleets(Bytes payload) {
  ByteReader in(payload);
  std::vector<Fleet> fleets;
  while (in.remaining() > 0 && !in.failed()) fleets.push_back(read_fleet(in));
  if (!in.complete()) return std::nullopt;
  return fleets;
}

Buffer encode_fleets_query(std::string_view after, bool alone) {
  ByteWriter out;
  append_text(out, after);
  out.u8(alone ? 1 : 0);
  return Buffer::take(out.release());
}

const Fleet* FleetsMachine::find(std::string_view name) const {
  const auto found = fleets_.find(name);
  return found == fleets_.end() ? nullptr : &found->second;
}

void FleetsMachine::put(Fleet fleet) {
  bytes_ += bytes_of(fleet);
  std::string name = fleet.name;
  fleets_.emplace(std::move(name), std::move(fleet));
}

void FleetsMachine::apply(const Command& command, Effects& effects) {
  if (scopes_ > 0) return effects.refuse(Errc::unsupported, 0, "what is done to fleets is a command of its own");
  if (command.type == kCreateFleet) return apply_create(command, effects);
  if (command.type == kDropFleet) return apply_drop(command, effects);
  effects.refuse(Errc::unsupported, 0, "the machine of fleets has no such command");
}

void FleetsMachine::apply_create(const Command& command, Effects& effects) {
  auto fleet = decode_fleet(command.payload);
  if (!fleet) return effects.refuse(Errc::invalid_argument, 0, "the command is no fleet");
  if (!valid_name(fleet->name))
    return effects.refuse(Errc::invalid_argument, 0, "a fleet's name is 1 to 128 of a-z A-Z 0-9 : _ -");
  if (const auto query = FleetQuery::parse(fleet->query); !query)
    return effects.refuse(Errc::invalid_argument, 0, query.error().message);
  const Registry& registry = effects.port<DevicesMachine>(kDevicesMachineId).registry();
  if (find(fleet->name) != nullptr) return effects.refuse(Errc::exists, 0, "there is a fleet " + fleet->name);
  if (registry.has_group(fleet->name)) return effects.refuse(Errc::exists, 0, "there is a group " + fleet->name);
  if (fleets_.size() >= kFleetsMax) return effects.refuse(Errc::overloaded, 0, "there are 256 fleets already");
  fleet->created = command.time;
  audit(command, "fleets.create", *fleet, effects);
  put(std::move(*fleet));
  effects.reply(0);
}

void FleetsMachine::apply_drop(const Command& command, Effects& effects) {
  const auto found = fleets_.find(as_text(command.payload));
  if (found == fleets_.end()) return effects.refuse(Errc::not_found, 0, "there is no such fleet");
  audit(command, "fleets.drop", found->second, effects);
  bytes_ -= bytes_of(found->second);
  fleets_.erase(found);
  effects.reply(0);
}

void FleetsMachine::query(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  const std::string_view after = read_text(in, kNameLimitBytes);
  const bool alone = in.u8() != 0;
  if (query.type != kQueryFleets || !in.complete()) {
    reply.error = query.type == kQueryFleets ? Errc::invalid_argument : Errc::unsupported;
    reply.message = "the machine of fleets has no such query";
    return;
  }
  ByteWriter out;
  int64_t count = 0;
  auto at = alone ? fleets_.find(after) : fleets_.upper_bound(after);
  const size_t most = alone ? 1 : kFleetsOfPage;
  for (; at != fleets_.end() && static_cast<size_t>(count) < most; ++at, ++count) append_fleet(out, at->second);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, !alone && at != fleets_.end() ? 1 : 0};
}

void FleetsMachine::save(SnapshotWriter& writer) const {
  writer.le<uint32_t>(static_cast<uint32_t>(fleets_.size()));
  for (const auto& [name, fleet] : fleets_) writer.blob(encode(fleet).view());
}

Result<void> FleetsMachine::restore(SnapshotReader& reader) {
  make_fresh();
  const auto count = reader.le<uint32_t>();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i) {
    auto fleet = decode_fleet(as_bytes(reader.text(kStoredBytesMax)));
    if (!fleet || find(fleet->name) != nullptr || !FleetQuery::parse(fleet->query)) reader.fail();
    if (!reader.failed()) put(std::move(*fleet));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the fleets are cut off", 0};
  return {};
}

void FleetsMachine::make_fresh() {
  fleets_.clear();
  bytes_ = 0;
}

}  // namespace heptane::iot::devices
