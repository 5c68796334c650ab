#include "modules/iot/machine/devices/registry.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "modules/iot/domain/devices/fleet_query.h"

namespace heptane::iot::devices {

namespace {

constexpr size_t kStoredLimitBytes = size_t{256} << 10;  // of a thing, beyond what any limit allows

std::string stored(const Thing& thing) {
  ByteWriter out;
  append_thing(out, thing);
  return std::string(as_text(out.view()));
}

}  // namespace

Thing Registry::thing_of(const Entry& entry) {
  ByteReader in(as_bytes(entry.bytes));
  Thing thing = read_thing(in);
  HEPTANE_ASSERT(in.complete(), "a thing is kept as it was written");
  return thing;
}

ThingRow Registry::row_of(const Entry& entry) const {
  return {.thing = thing_of(entry),
          .version = entry.version,
          .created = entry.created,
          .updated = entry.updated,
          .presence = {.connected = is_connected(entry), .since = entry.since}};
}

void Registry::set(Entry& entry, const std::string& name, const Thing& thing) {
  entry.bytes = stored(thing);
  bytes_ += bytes_of(name, entry);
  join(thing);
}

void Registry::join(const Thing& thing) {
  for (const std::string& group : thing.groups)
    if (++groups_[group] == 1) bytes_ += kGroupBytes + group.size();
}

void Registry::leave(const Thing& thing) {
  for (const std::string& group : thing.groups) {
    const auto found = groups_.find(group);
    if (--found->second > 0) continue;
    bytes_ -= kGroupBytes + group.size();
    groups_.erase(found);
  }
}

CreateStatus Registry::create(const Thing& thing, const ThingLimits& limits, LogTime now) {
  if (has(thing.name)) return CreateStatus::exists;
  if (!wrong_thing(thing, limits).empty()) return CreateStatus::invalid;
  if (things_.size() >= static_cast<size_t>(limits.things)) return CreateStatus::full;
  Entry& entry = things_[thing.name];
  entry.created = entry.updated = now;
  set(entry, thing.name, thing);
  return CreateStatus::created;
}

std::optional<LogTime> Registry::created(std::string_view name) const {
  const auto found = things_.find(name);
  return found == things_.end() ? std::nullopt : std::optional(found->second.created);
}

std::optional<ThingRow> Registry::find(std::string_view name) const {
  const auto found = things_.find(name);
  return found == things_.end() ? std::nullopt : std::optional(row_of(found->second));
}

uint64_t Registry::replace(const Thing& thing, LogTime now) {
  const auto found = things_.find(thing.name);
  HEPTANE_ASSERT(found != things_.end(), "the thing is there");
  Entry& entry = found->second;
  bytes_ -= bytes_of(found->first, entry);
  leave(thing_of(entry));
  set(entry, found->first, thing);
  entry.updated = now;
  return ++entry.version;
}

bool Registry::remove(std::string_view name) {
  const auto found = things_.find(name);
  if (found == things_.end()) return false;
  bytes_ -= bytes_of(found->first, found->second);
  leave(thing_of(found->second));
  things_.erase(found);
  return true;
}

bool Registry::connection(const Connection& connection, LogTime now) {
  const auto found = things_.find(connection.thing);
  if (found == things_.end()) return false;
  Entry& entry = found->second;
  const bool newer = entry.run != run_ || connection.number > entry.number;
  const bool ends = !newer && connection.number == entry.number && entry.connected && !connection.connected;
  if (!newer && !ends) return false;
  entry.run = run_;
  entry.number = connection.number;
  entry.connected = connection.connected;
  entry.since = now;
  return true;
}

void Registry::page(const ThingsQuery& query, Reply& reply) const {
  const size_t most = std::clamp<size_t>(query.limit, 1, kRowsMax);
  std::optional<FleetQuery> asked;
  if (!query.query.empty()) {
    Result<FleetQuery> parsed = FleetQuery::parse(query.query);
    if (!parsed) {
      reply.error = parsed.error().code;
      reply.message = parsed.error().message;
      return;
    }
    asked = std::move(*parsed);
  }
  ByteWriter rows;
  std::string_view last;
  int64_t count = 0;
  size_t visits = 0;
  size_t visited_bytes = 0;
  auto at = things_.upper_bound(query.after);
  for (; at != things_.end() && static_cast<size_t>(count) < most; ++at) {
    if (visits++ == kVisitsMax || visited_bytes >= kVisitBytesMax || rows.size() >= kRowBytesMax) break;
    visited_bytes += at->second.bytes.size();
    last = at->first;
    const ThingRow row = row_of(at->second);
    if (!query.wants(row.thing, row.presence.connected)) continue;
    if (asked && !asked->wants(row.thing, row.presence.connected, visited_bytes)) continue;
    append_row(rows, row);
    ++count;
  }
  ByteWriter out;
  append_text(out, last);
  out.append(rows.view());
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, at != things_.end() ? 1 : 0};
}

void Registry::groups(std::string_view after, size_t limit, Reply& reply) const {
  const size_t most = std::clamp<size_t>(limit, 1, kRowsMax);
  ByteWriter out;
  int64_t count = 0;
  auto at = groups_.upper_bound(after);
  for (; at != groups_.end() && static_cast<size_t>(count) < most; ++at, ++count) {
    append_text(out, at->first);
    out.le<uint64_t>(at->second);
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, at != groups_.end() ? 1 : 0};
}

void Registry::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(run_);
  writer.le<uint64_t>(things_.size());
  for (const auto& [name, entry] : things_) {
    writer.text(entry.bytes);
    writer.le<uint64_t>(entry.version);
    writer.le<LogTime>(entry.created);
    writer.le<LogTime>(entry.updated);
    writer.le<uint64_t>(entry.run);
    writer.le<uint64_t>(entry.number);
    writer.le<uint8_t>(entry.connected ? 1 : 0);
    writer.le<LogTime>(entry.since);
  }
}

Result<void> Registry::restore(SnapshotReader& reader) {
  *this = {};
  run_ = reader.le<uint64_t>();
  const auto count = reader.le<uint64_t>();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string bytes = reader.text(kStoredLimitBytes);
    ByteReader in(as_bytes(bytes));
    const Thing thing = read_thing(in);
    if (!in.complete() || has(thing.name)) reader.fail();
    if (reader.failed()) break;
    Entry& entry = things_[thing.name];
    entry.version = reader.le<uint64_t>();
    entry.created = reader.le<LogTime>();
    entry.updated = reader.le<LogTime>();
    entry.run = reader.le<uint64_t>();
    entry.number = reader.le<uint64_t>();
    entry.connected = reader.le<uint8_t>() != 0;
    entry.since = reader.le<LogTime>();
    set(entry, thing.name, thing);
  }
  if (reader.failed()) return Error{Errc::corrupt, "the registry of things is cut off"};
  return {};
}

}  // namespace heptane::iot::devices
