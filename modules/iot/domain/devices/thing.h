// A thing of the registry: what an operator says of one device. Bounded, checked before it is kept, and written as the bytes that
// commands, snapshots and answers share. Pure; any thread.
//
// Bytes, little-endian; texts: length u16 and bytes; lists: count u16 and items, in the order of their names, none twice. Thing:
// name, type, attributes (name and value each), tags, groups.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"

namespace heptane::iot::devices {

constexpr size_t kNameLimitBytes = 128;    // of a thing, a type, an attribute, a tag, a group
constexpr size_t kValueLimitBytes = 1024;  // of an attribute
constexpr size_t kTagsMax = 50;            // of a thing
constexpr size_t kGroupsMax = 50;          // of a thing

// What the configuration allows (logged: apply() judges by it).
struct ThingLimits {
  int64_t things = 1'000'000;
  int64_t attributes = 50;        // of a thing
  int64_t thing_bytes = 8 << 10;  // of a thing, all its texts
};
constexpr int64_t kThingsCeiling = 10'000'000;
constexpr int64_t kAttributesCeiling = 1'000;
constexpr int64_t kThingBytesCeiling = 64 << 10;

struct Thing {
  std::string name;
  std::string type;  // empty: none
  std::map<std::string, std::string, std::less<>> attributes;
  std::set<std::string, std::less<>> tags;
  std::set<std::string, std::less<>> groups;
  bool operator==(const Thing&) const = default;
};

// Members that are absent stay as they are. An attribute without a value goes.
struct ThingChange {
  std::optional<std::string> type;
  std::map<std::string, std::optional<std::string>, std::less<>> attributes;
  std::optional<std::set<std::string, std::less<>>> tags;
  std::optional<std::set<std::string, std::less<>>> groups;
};
Thing changed(const Thing& thing, const ThingChange& change);

// 1 to 128 of a-z A-Z 0-9 : _ - (as AWS IoT names things).
bool valid_name(std::string_view name);

// What is wrong with it, for a person; empty: nothing.
std::string wrong_thing(const Thing& thing, const ThingLimits& limits);

void append_thing(ByteWriter& out, const Thing& thing);
// Sets the reader failed when it is none. Not judged by limits, but by these ceilings.
Thing read_thing(ByteReader& in);
void append_change(ByteWriter& out, const ThingChange& change);
ThingChange read_change(ByteReader& in);

void append_text(ByteWriter& out, std::string_view text);
std::string_view read_text(ByteReader& in, size_t most);

}  // namespace heptane::iot::devices
