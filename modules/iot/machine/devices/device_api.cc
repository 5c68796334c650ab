#include "modules/iot/machine/devices/device_api.h"

#include "modules/iot/domain/devices/fleet_query.h"

namespace heptane::iot::devices {

namespace {

constexpr size_t kThingBytesMin = 10;  // of an encoded one
constexpr size_t kConnectionBytesMin = 11;

}  // namespace

std::string_view create_text(CreateStatus status) {
  switch (status) {
    case CreateStatus::created: return "created";
    case CreateStatus::exists: return "a thing of that name is there";
    case CreateStatus::full: return "there are as many things as devices.max_things allows";
    case CreateStatus::invalid: return "the thing is beyond devices.max_attributes or devices.max_thing_bytes";
  }
  return "";
}

Buffer encode_things(const std::vector<Thing>& things) {
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(things.size()));
  for (const Thing& thing : things) append_thing(out, thing);
  return Buffer::take(out.release());
}

std::optional<std::vector<Thing>> decode_things(Bytes payload) {
  if (payload.size() > kCreateBytesMax) return std::nullopt;
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kCreatesMax || !in.fits(count, kThingBytesMin)) return std::nullopt;
  std::vector<Thing> things;
  things.reserve(count);
  for (uint16_t i = 0; i < count && !in.failed(); ++i) things.push_back(read_thing(in));
  if (!in.complete()) return std::nullopt;
  return things;
}

Buffer encode(const UpdateThing& update) {
  ByteWriter out;
  append_text(out, update.name);
  out.le<uint64_t>(update.expected_version);
  append_change(out, update.change);
  return Buffer::take(out.release());
}

std::optional<UpdateThing> decode_update(Bytes payload) {
  ByteReader in(payload);
  UpdateThing update;
  update.name = read_text(in, kNameLimitBytes);
  update.expected_version = in.le<uint64_t>();
  update.change = read_change(in);
  if (!in.complete()) return std::nullopt;
  return update;
}

void append_connection(ByteWriter& out, const Connection& connection) {
  append_text(out, connection.thing);
  out.le<uint64_t>(connection.number);
  out.u8(connection.connected ? 1 : 0);
}

std::optional<std::vector<Connection>> decode_connections(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kConnectionsMax || !in.fits(count, kConnectionBytesMin)) return std::nullopt;
  std::vector<Connection> connections;
  connections.reserve(count);
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    Connection connection;
    connection.thing = read_text(in, kNameLimitBytes);
    connection.number = in.le<uint64_t>();
    connection.connected = in.u8() != 0;
    connections.push_back(connection);
  }
  if (!in.complete()) return std::nullopt;
  return connections;
}

void append_row(ByteWriter& out, const ThingRow& row) {
  append_thing(out, row.thing);
  out.le<uint64_t>(row.version);
  out.le<LogTime>(row.created);
  out.le<LogTime>(row.updated);
  out.u8(row.presence.connected ? 1 : 0);
  out.le<LogTime>(row.presence.since);
}

ThingRow read_row(ByteReader& in) {
  ThingRow row;
  row.thing = read_thing(in);
  row.version = in.le<uint64_t>();
  row.created = in.le<LogTime>();
  row.updated = in.le<LogTime>();
  row.presence.connected = in.u8() != 0;
  row.presence.since = in.le<LogTime>();
  return row;
}

bool ThingsQuery::wants(const Thing& thing, bool is_connected) const {
  if (connected && *connected != is_connected) return false;
  if (!type.empty() && thing.type != type) return false;
  if (!tag.empty() && thing.tags.find(tag) == thing.tags.end()) return false;
  if (!group.empty() && thing.groups.find(group) == thing.groups.end()) return false;
  if (attribute.empty()) return true;
  const auto found = thing.attributes.find(attribute);
  return found != thing.attributes.end() && (!value || found->second == *value);
}

Buffer encode(const ThingsQuery& query) {
  ByteWriter out;
  append_text(out, query.after);
  out.le<uint16_t>(query.limit);
  append_text(out, query.type);
  append_text(out, query.attribute);
  out.u8(query.value ? 1 : 0);
  append_text(out, query.value.value_or(""));
  append_text(out, query.tag);
  append_text(out, query.group);
  out.u8(query.connected ? (*query.connected ? 2 : 1) : 0);
  append_text(out, query.query);
  return Buffer::take(out.release());
}

std::optional<ThingsQuery> decode_things_query(Bytes payload) {
  ByteReader in(payload);
  ThingsQuery query;
  query.after = read_text(in, kNameLimitBytes);
  query.limit = in.le<uint16_t>();
  query.type = read_text(in, kNameLimitBytes);
  query.attribute = read_text(in, kNameLimitBytes);
  const bool has_value = in.u8() != 0;
  const std::string_view value = read_text(in, kValueLimitBytes);
  if (has_value) query.value = value;
  query.tag = read_text(in, kNameLimitBytes);
  query.group = read_text(in, kNameLimitBytes);
  const uint8_t connected = in.u8();
  if (connected != 0) query.connected = connected == 2;
  query.query = read_text(in, kQueryBytesMax);
  if (!in.complete() || connected > 2) return std::nullopt;
  return query;
}

std::optional<ThingsPage> decode_things_page(Bytes payload) {
  ByteReader in(payload);
  ThingsPage page;
  page.last = read_text(in, kNameLimitBytes);
  while (in.remaining() > 0 && !in.failed()) page.rows.push_back(read_row(in));
  if (in.failed()) return std::nullopt;
  return page;
}

Buffer encode_groups_query(std::string_view after, uint16_t limit) {
  ByteWriter out;
  append_text(out, after);
  out.le<uint16_t>(limit);
  return Buffer::take(out.release());
}

std::optional<std::vector<GroupRow>> decode_groups(Bytes payload) {
  ByteReader in(payload);
  std::vector<GroupRow> rows;
  while (in.remaining() > 0 && !in.failed()) {
    GroupRow row;
    row.name = read_text(in, kNameLimitBytes);
    row.things = in.le<uint64_t>();
    rows.push_back(std::move(row));
  }
  if (in.failed()) return std::nullopt;
  return rows;
}

}  // namespace heptane::iot::devices
