// A JSON value as a tree whose leaves know when they were set: what a shadow's sections are made of. Objects are merged member by
// member, everything else is a leaf and is replaced whole. Written as bytes of its own, so that what a command says does not depend
// on who reads JSON. Pure; any thread.
//
// Bytes: kind u8; of a leaf in a section its time (varint, seconds since 1970; with Times::kept alone); then of a number or text its
// length (varint) and bytes, of an array or object a count (varint) and items, of an object each behind its name. Members are in the
// order of their names, none twice.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::iot::devices {

// The numbers are the log's.
enum class TreeKind : uint8_t { null = 0, no = 1, yes = 2, number = 3, text = 4, array = 5, object = 6 };

struct JsonTree {
  using Members = std::map<std::string, JsonTree, std::less<>>;

  TreeKind kind = TreeKind::null;
  int64_t time_s = 0;           // of a leaf of a section
  std::string text;             // a number as it was written; a text without escapes
  std::vector<JsonTree> items;  // of an array
  Members members;              // of an object

  static JsonTree object() {
    JsonTree tree;
    tree.kind = TreeKind::object;
    return tree;
  }
  bool is_object() const { return kind == TreeKind::object; }
};

constexpr uint32_t kTreeDepthMax = 32;  // of any; a shadow's sections have less

// How many levels of objects and arrays: of a scalar 0.
uint32_t depth_of(const JsonTree& tree);

// Values that hold no others: each is a timestamp in the metadata, items of arrays as well. An empty object or array is one.
size_t leaves_of(const JsonTree& tree);

// Numbers are compared as numbers: 1, 1.0 and 10e-1 are the same. Times do not count.
bool same_value(const JsonTree& one, const JsonTree& other);

// RFC 7396: null takes a member away, an object is merged, everything else replaces. Leaves that are set get the time.
void merge(JsonTree& into, const JsonTree& patch, int64_t time_s);

// What of `wanted` is not so in `is`: members that are absent there or another value, objects member by member. Members that only
// `is` has do not count. Nullopt: nothing.
std::optional<JsonTree> difference(const JsonTree& wanted, const JsonTree& is);

enum class Times : bool { none, kept };
void append_tree(ByteWriter& out, const JsonTree& tree, Times times);
// Sets the reader failed when it is none, or deeper than kTreeDepthMax.
JsonTree read_tree(ByteReader& in, Times times);

void write_json(std::string& out, const JsonTree& tree);
// No longer than it can be written: what a client wrote with escapes does not grow.
void write_json_text(std::string& out, std::string_view text);
// In place of every leaf {"timestamp":N}; of an array, of each of its items. Null where the request had null.
void write_metadata(std::string& out, const JsonTree& tree);

}  // namespace heptane::iot::devices
