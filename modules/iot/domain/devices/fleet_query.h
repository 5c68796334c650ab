// Which things: the subset of AWS IoT's fleet indexing query syntax that reads what a thing says of itself. Compiled once, asked of each
// thing. Pure and deterministic; any thread.
//
//   query: terms with AND (or nothing between them), OR, NOT and parentheses; AND binds closer than OR, NOT closest
//   term:  FIELD:VALUE, FIELD:>N, FIELD:>=N, FIELD:<N, FIELD:<=N, FIELD:[N TO M]
//   FIELD: thingName, thingTypeName, thingGroupNames, tags, attributes.NAME, connectivity.connected (true, false)
//   VALUE: a word or "a text", compared as bytes; in a word `*` is any rest or none, `?` one byte; `*` alone: the field is there
//
// Numbers are decimals of at most kNumberDigitsMax digits, compared exactly; what is no number is no term's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

constexpr size_t kQueryBytesMax = 1'024;
constexpr size_t kQueryTermsMax = 64;
constexpr size_t kQueryDepthMax = 16;
constexpr size_t kNumberDigitsMax = 36;

class FleetQuery {
 public:
  // Errc::invalid_argument; the message names the place.
  static Result<FleetQuery> parse(std::string_view text);

  bool wants(const Thing& thing, bool connected) const {
    size_t steps = 0;
    return wants(thing, connected, steps);
  }
  // Adds the bytes that it may have compared at most, a pattern's against a value's.
  bool wants(const Thing& thing, bool connected, size_t& steps) const { return wants(root_, thing, connected, steps); }

 private:
  friend class FleetQueryParser;
  enum class Kind : uint8_t { all, any, none, is, greater, greater_equal, less, less_equal, between };
  enum class Field : uint8_t { name, type, groups, tags, attribute, connected };
  // Of all, any: `parts`; of none: the first of them. Else a term.
  struct Node {
    Kind kind = Kind::all;
    Field field = Field::name;
    bool quoted = false;
    std::string attribute;
    std::string value;  // or the lower bound
    std::string upper;
    std::vector<uint32_t> parts;
  };
  bool wants(uint32_t node, const Thing& thing, bool connected, size_t& steps) const;
  static bool term_wants(const Node& term, const Thing& thing, bool connected, size_t& steps);
  static bool value_wants(const Node& term, std::string_view value, size_t& steps);

  std::vector<Node> nodes_;
  uint32_t root_ = 0;
};

// Exactly, as numbers: -1, 0, 1. Both are numbers (is_number).
int compare_numbers(std::string_view one, std::string_view other);
// [-]DIGITS[.DIGITS], at most kNumberDigitsMax digits.
bool is_number(std::string_view text);

}  // namespace heptane::iot::devices
