#include "modules/iot/domain/devices/thing.h"

#include <algorithm>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::devices {

namespace {

using Names = std::set<std::string, std::less<>>;

bool is_value(std::string_view text) {
  return text.size() <= kValueLimitBytes && (text.empty() || valid_text(text)) &&
         std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

size_t bytes_of(const Thing& thing) {
  size_t bytes = thing.name.size() + thing.type.size();
  for (const auto& [name, value] : thing.attributes) bytes += name.size() + value.size();
  for (const std::string& tag : thing.tags) bytes += tag.size();
  for (const std::string& group : thing.groups) bytes += group.size();
  return bytes;
}

std::string wrong_names(const Names& names, size_t most, const char* what) {
  if (names.size() > most) return "a thing has at most " + std::to_string(most) + " " + what + "s";
  for (const std::string& name : names)
    if (!valid_name(name)) return std::string("a ") + what + " is 1 to 128 of a-z A-Z 0-9 : _ -";
  return {};
}

void append_names(ByteWriter& out, const Names& names) {
  out.le<uint16_t>(static_cast<uint16_t>(names.size()));
  for (const std::string& name : names) append_text(out, name);
}

// Names come in order.
Names read_names(ByteReader& in, size_t most) {
  const auto count = in.le<uint16_t>();
  if (count > most) in.fail();
  Names names;
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    if (!names.empty() && name <= *names.rbegin()) in.fail();
    names.emplace_hint(names.end(), name);
  }
  return names;
}

std::optional<Names> read_optional_names(ByteReader& in, size_t most) {
  if (in.u8() == 0) return std::nullopt;
  return read_names(in, most);
}

void append_optional_names(ByteWriter& out, const std::optional<Names>& names) {
  out.u8(names ? 1 : 0);
  if (names) append_names(out, *names);
}

}  // namespace

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameLimitBytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '_' ||
           c == '-';
  });
}

std::string wrong_thing(const Thing& thing, const ThingLimits& limits) {
  if (!valid_name(thing.name)) return "a thing's name is 1 to 128 of a-z A-Z 0-9 : _ -";
  if (!thing.type.empty() && !valid_name(thing.type)) return "a thing's type is 1 to 128 of a-z A-Z 0-9 : _ -";
  if (thing.attributes.size() > static_cast<size_t>(limits.attributes))
    return "a thing has at most " + std::to_string(limits.attributes) + " attributes (devices.max_attributes)";
  for (const auto& [name, value] : thing.attributes) {
    if (!valid_name(name)) return "an attribute's name is 1 to 128 of a-z A-Z 0-9 : _ -";
    if (!is_value(value))
      return "the attribute " + name + " is no text of at most 1,024 bytes without control characters";
  }
  if (std::string wrong = wrong_names(thing.tags, kTagsMax, "tag"); !wrong.empty()) return wrong;
  if (std::string wrong = wrong_names(thing.groups, kGroupsMax, "group"); !wrong.empty()) return wrong;
  if (bytes_of(thing) > static_cast<size_t>(limits.thing_bytes))
    return "a thing has at most " + std::to_string(limits.thing_bytes) + " bytes (devices.max_thing_bytes)";
  return {};
}

Thing changed(const Thing& thing, const ThingChange& change) {
  Thing now = thing;
  if (change.type) now.type = *change.type;
  for (const auto& [name, value] : change.attributes) {
    if (value)
      now.attributes.insert_or_assign(name, *value);
    else
      now.attributes.erase(name);
  }
  if (change.tags) now.tags = *change.tags;
  if (change.groups) now.groups = *change.groups;
  return now;
}

void append_text(ByteWriter& out, std::string_view text) {
  out.le<uint16_t>(static_cast<uint16_t>(text.size()));
  out.append(text);
}

std::string_view read_text(ByteReader& in, size_t most) {
  const std::string_view text = as_text(in.take(in.le<uint16_t>()));
  if (text.size() > most) in.fail();
  return text;
}

void append_thing(ByteWriter& out, const Thing& thing) {
  append_text(out, thing.name);
  append_text(out, thing.type);
  out.le<uint16_t>(static_cast<uint16_t>(thing.attributes.size()));
  for (const auto& [name, value] : thing.attributes) {
    append_text(out, name);
    append_text(out, value);
  }
  append_names(out, thing.tags);
  append_names(out, thing.groups);
}

Thing read_thing(ByteReader& in) {
  Thing thing;
  thing.name = read_text(in, kNameLimitBytes);
  thing.type = read_text(in, kNameLimitBytes);
  const auto count = in.le<uint16_t>();
  if (count > kAttributesCeiling) in.fail();
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    if (!thing.attributes.empty() && name <= thing.attributes.rbegin()->first) in.fail();
    thing.attributes.emplace_hint(thing.attributes.end(), name, read_text(in, kValueLimitBytes));
  }
  thing.tags = read_names(in, kTagsMax);
  thing.groups = read_names(in, kGroupsMax);
  return thing;
}

void append_change(ByteWriter& out, const ThingChange& change) {
  out.u8(change.type ? 1 : 0);
  append_text(out, change.type.value_or(""));
  out.le<uint16_t>(static_cast<uint16_t>(change.attributes.size()));
  for (const auto& [name, value] : change.attributes) {
    append_text(out, name);
    out.u8(value ? 1 : 0);
    append_text(out, value.value_or(""));
  }
  append_optional_names(out, change.tags);
  append_optional_names(out, change.groups);
}

ThingChange read_change(ByteReader& in) {
  ThingChange change;
  const bool has_type = in.u8() != 0;
  const std::string_view type = read_text(in, kNameLimitBytes);
  if (has_type) change.type = type;
  const auto count = in.le<uint16_t>();
  if (count > 2 * kAttributesCeiling) in.fail();
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view name = read_text(in, kNameLimitBytes);
    const bool has_value = in.u8() != 0;
    const std::string_view value = read_text(in, kValueLimitBytes);
    change.attributes[std::string(name)] = has_value ? std::optional(std::string(value)) : std::nullopt;
  }
  change.tags = read_optional_names(in, kTagsMax);
  change.groups = read_optional_names(in, kGroupsMax);
  return change;
}

}  // namespace heptane::iot::devices
