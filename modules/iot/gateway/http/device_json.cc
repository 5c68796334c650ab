#include "modules/iot/gateway/http/device_json.h"

namespace heptane::iot::devices {

namespace {

using http::JsonDocument;
using http::JsonFields;
using http::JsonType;
using Names = std::set<std::string, std::less<>>;

constexpr int64_t kNsPerMs = 1'000'000;
constexpr ThingLimits kCeilings{kThingsCeiling, kAttributesCeiling, kThingBytesCeiling};

std::optional<Names> names_of(JsonFields& fields, std::string_view name) {
  const auto list = fields.array(name);
  if (!list) return std::nullopt;
  Names names;
  for (auto one = list->first(); one; one = one->next()) {
    if (one->type() != JsonType::text) {
      fields.fail(fields.path_of(name) + " must be texts");
      return std::nullopt;
    }
    names.emplace(one->text());
  }
  return names;
}

// Values are texts; null takes one away, where that is allowed.
std::map<std::string, std::optional<std::string>, std::less<>> attributes_of(JsonFields& fields, bool may_remove) {
  std::map<std::string, std::optional<std::string>, std::less<>> attributes;
  const auto object = fields.value("attributes");
  if (!object) return attributes;
  if (object->type() != JsonType::object) {
    fields.fail(fields.path_of("attributes") + " must be an object of texts");
    return attributes;
  }
  for (auto one = object->first(); one; one = one->next()) {
    const bool removes = may_remove && one->type() == JsonType::null;
    if (!removes && one->type() != JsonType::text)
      fields.fail(fields.path_of("attributes") + " has a value that is no text: " + std::string(one->name()));
    attributes[std::string(one->name())] = removes ? std::nullopt : std::optional(std::string(one->text()));
  }
  return attributes;
}

// What a command cannot say is told here; of attributes that go, the names count.
Result<void> check_change(const UpdateThing& update) {
  Thing thing{.name = update.name, .type = update.change.type.value_or(""), .attributes = {}, .tags = {}, .groups = {}};
  for (const auto& [name, value] : update.change.attributes) thing.attributes[name] = value.value_or("");
  thing.tags = update.change.tags.value_or(Names());
  thing.groups = update.change.groups.value_or(Names());
  std::string wrong = wrong_thing(thing, kCeilings);
  if (!wrong.empty()) return Error{Errc::invalid_argument, std::move(wrong)};
  return {};
}

void write_names(http::JsonWriter& out, std::string_view name, const Names& names) {
  out.key(name).begin_array();
  for (const std::string& one : names) out.text(one);
  out.end_array();
}

}  // namespace

Result<Thing> thing_of_json(std::string text) {
  auto document = JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  Thing thing;
  thing.name = fields.text("name");
  thing.type = fields.text_or("type", "");
  for (auto& [name, value] : attributes_of(fields, false)) thing.attributes[name] = value.value_or("");
  thing.tags = names_of(fields, "tags").value_or(Names());
  thing.groups = names_of(fields, "groups").value_or(Names());
  HEPTANE_TRY(fields.finish());
  std::string wrong = wrong_thing(thing, kCeilings);
  if (!wrong.empty()) return Error{Errc::invalid_argument, std::move(wrong)};
  return thing;
}

Result<UpdateThing> update_of_json(std::string text, std::string_view name) {
  auto document = JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  UpdateThing update;
  update.name = name;
  update.expected_version = static_cast<uint64_t>(fields.integer_or("version", 0, 0, INT64_MAX));
  if (const auto type = fields.value("type")) {
    if (type->type() != JsonType::text) fields.fail("type must be a text");
    update.change.type = type->text();
  }
  update.change.attributes = attributes_of(fields, true);
  update.change.tags = names_of(fields, "tags");
  update.change.groups = names_of(fields, "groups");
  HEPTANE_TRY(fields.finish());
  HEPTANE_TRY(check_change(update));
  return update;
}

void write_row(http::JsonWriter& out, const ThingRow& row) {
  out.begin_object().key("name").text(row.thing.name);
  if (!row.thing.type.empty()) out.key("type").text(row.thing.type);
  out.key("attributes").begin_object();
  for (const auto& [name, value] : row.thing.attributes) out.key(name).text(value);
  out.end_object();
  write_names(out, "tags", row.thing.tags);
  write_names(out, "groups", row.thing.groups);
  out.key("version").unsigned_number(row.version);
  out.key("created_ms").number(row.created / kNsPerMs).key("updated_ms").number(row.updated / kNsPerMs);
  out.key("connected").boolean(row.presence.connected);
  if (row.presence.since != 0) {
    const std::string_view name = row.presence.connected ? "connected_ms" : "last_seen_ms";
    out.key(name).number(row.presence.since / kNsPerMs);
  }
  out.end_object();
}

}  // namespace heptane::iot::devices
