#include "modules/iot/machine/devices/devices_machine.h"

#include <charconv>

#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"

namespace heptane::iot::devices {

namespace {

void audit(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
           Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on, detail, effects);
}

// As it was logged; what was never logged is the default.
int64_t configured(const Effects& effects, std::string_view key, int64_t otherwise) {
  const std::string_view text = effects.config(key);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : otherwise;
}

ThingLimits limits_of(const Effects& effects) {
  const ThingLimits defaults;
  return {.things = configured(effects, kMaxThings, defaults.things),
          .attributes = configured(effects, kMaxAttributes, defaults.attributes),
          .thing_bytes = configured(effects, kMaxThingBytes, defaults.thing_bytes)};
}

Errc code_of(CreateStatus status) {
  if (status == CreateStatus::exists) return Errc::exists;
  return status == CreateStatus::full ? Errc::overloaded : Errc::invalid_argument;
}

}  // namespace

void DevicesMachine::apply(const Command& command, Effects& effects) {
  if (scopes_ > 0) return effects.refuse(Errc::unsupported, 0, "what is done to devices is a command of its own");
  switch (command.type) {
    case kCreateThings: apply_create(command, effects); break;
    case kUpdateThing: apply_update(command, effects); break;
    case kDeleteThing: apply_delete(command, effects); break;
    case kConnections: apply_connections(command, effects); break;
    case kShadowRequest: apply_shadow(command, effects); break;
    case kForgetShadow: apply_forget_shadow(command, effects); break;
    case kStarted:
      registry_.start();
      effects.reply(0);
      break;
    default: effects.refuse(Errc::unsupported, 0, "the machine of devices has no such command");
  }
  count();
}

void DevicesMachine::apply_create(const Command& command, Effects& effects) {
  const auto things = decode_things(command.payload);
  if (!things) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of things");
  const ThingLimits limits = limits_of(effects);
  std::vector<std::byte> statuses;
  int64_t made = 0;
  const Thing* first = nullptr;
  for (const Thing& thing : *things) {
    const CreateStatus status = registry_.create(thing, limits, command.time);
    statuses.push_back(static_cast<std::byte>(status));
    if (status != CreateStatus::created) continue;
    ++made;
    if (first == nullptr) first = &thing;
  }
  if (made > 0) {
    audit(command, "devices.create", first->name, made == 1 ? "" : "things: " + std::to_string(made), effects);
    return effects.reply(statuses, made);
  }
  const auto status = static_cast<CreateStatus>(statuses.front());
  if (statuses.size() > 1) {
    effects.reply(statuses, 0);
    return;
  }
  std::string why = status == CreateStatus::invalid ? wrong_thing(things->front(), limits) : std::string();
  if (why.empty()) why = create_text(status);
  effects.refuse(code_of(status), 0, std::move(why));
}

void DevicesMachine::apply_update(const Command& command, Effects& effects) {
  const auto update = decode_update(command.payload);
  if (!update) return effects.refuse(Errc::invalid_argument, 0, "the command is no change of a thing");
  const auto row = registry_.find(update->name);
  if (!row) return effects.refuse(Errc::not_found, 0, "there is no thing " + update->name);
  if (update->expected_version != 0 && update->expected_version != row->version)
    return effects.refuse(Errc::stale, 0, "the thing's version is " + std::to_string(row->version));
  const Thing now = changed(row->thing, update->change);
  if (std::string wrong = wrong_thing(now, limits_of(effects)); !wrong.empty())
    return effects.refuse(Errc::invalid_argument, 0, std::move(wrong));
  if (now == row->thing) return effects.unchanged(static_cast<int64_t>(row->version));
  const uint64_t version = registry_.replace(now, command.time);
  audit(command, "devices.update", update->name, "version " + std::to_string(version), effects);
  effects.reply(static_cast<int64_t>(version));
}

void DevicesMachine::apply_delete(const Command& command, Effects& effects) {
  const std::string_view name = as_text(command.payload);
  if (!registry_.remove(name)) return effects.refuse(Errc::not_found, 0, "there is no such thing");
  for (const TimerId timer : shadows_.forget_all(name)) effects.cancel(timer);
  for (ThingWatch* watch : watches_) {
    effects.enlist(watch->watch_id());
    watch->thing_gone(name, command, effects);
  }
  audit(command, "devices.delete", name, "", effects);
  effects.reply(0);
}

Result<void> DevicesMachine::provision(const Thing& thing, const Command& command, const Effects& effects) {
  const ThingLimits limits = limits_of(effects);
  const auto row = registry_.find(thing.name);
  if (!row) {
    const CreateStatus status = registry_.create(thing, limits, command.time);
    std::string why = status == CreateStatus::invalid ? wrong_thing(thing, limits) : std::string(create_text(status));
    if (status != CreateStatus::created) return Error{code_of(status), std::move(why), 0};
    count();
    return {};
  }
  Thing now = row->thing;
  if (!thing.type.empty()) now.type = thing.type;
  for (const auto& [name, value] : thing.attributes) now.attributes.insert_or_assign(name, value);
  now.tags.insert(thing.tags.begin(), thing.tags.end());
  now.groups.insert(thing.groups.begin(), thing.groups.end());
  if (std::string wrong = wrong_thing(now, limits); !wrong.empty())
    return Error{Errc::invalid_argument, std::move(wrong), 0};
  if (now != row->thing) registry_.replace(now, command.time);
  return {};
}

void DevicesMachine::apply_connections(const Command& command, Effects& effects) {
  const auto connections = decode_connections(command.payload);
  if (!connections) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of connections");
  int64_t known = 0;
  for (const Connection& connection : *connections)
    if (registry_.connection(connection, command.time)) ++known;
  if (known == 0) return effects.unchanged(0);
  effects.reply(known);
}

void DevicesMachine::query(const Query& query, Reply& reply) const {
  const auto refuse = [&](Errc code, const char* why) {
    reply.error = code;
    reply.message = why;
  };
  if (query.type == kQueryThing) {
    const auto row = registry_.find(as_text(query.payload));
    if (!row) return;
    ByteWriter out;
    append_row(out, *row);
    reply.payload = Buffer::take(out.release());
    reply.numbers = {1, 0};
    return;
  }
  if (query.type == kQueryThings) {
    const auto wanted = decode_things_query(query.payload);
    return wanted ? registry_.page(*wanted, reply) : refuse(Errc::invalid_argument, "the query is no filter of things");
  }
  if (query.type == kQueryGroups) {
    ByteReader in(query.payload);
    const std::string_view after = read_text(in, kNameLimitBytes);
    return registry_.groups(after, in.le<uint16_t>(), reply);
  }
  if (query.type == kQueryShadow) return query_shadow(query, reply);
  if (query.type == kQueryShadowNames) return query_shadow_names(query, reply);
  refuse(Errc::unsupported, "the machine of devices has no such query");
}

void DevicesMachine::save(SnapshotWriter& writer) const {
  registry_.save(writer);
  shadows_.save(writer);
}

Result<void> DevicesMachine::restore(SnapshotReader& reader) {
  Result<void> done = registry_.restore(reader);
  if (done) done = shadows_.restore(reader);
  count();
  return done;
}

void DevicesMachine::make_fresh() {
  registry_ = {};
  shadows_ = {};
  count();
}

}  // namespace heptane::iot::devices
