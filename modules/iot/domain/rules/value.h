// What an expression of a rule is worth: nothing (NULL), a truth, an exact number, a text, or a JSON array or object of the
// message or of a text in it. A value that holds JSON lives as long as the Message. Plain data; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "modules/iot/domain/devices/json_tree.h"
#include "modules/iot/domain/rules/decimal.h"

namespace heptane::iot::rules {

constexpr size_t kTextBytesMax = size_t{64} << 10;  // of a text that a rule makes

enum class ValueKind : uint8_t { null, truth, number, text, json };

struct Value {
  ValueKind kind = ValueKind::null;
  bool truth = false;
  Decimal number{};
  std::string text;
  const devices::JsonTree* json = nullptr;

  static Value of(bool truth) { return {ValueKind::truth, truth, {}, {}, nullptr}; }
  static Value of(Decimal number) { return {ValueKind::number, false, number, {}, nullptr}; }
  static Value of(std::string text) { return {ValueKind::text, false, {}, std::move(text), nullptr}; }
  // In its place, whatever it was.
  void become_null() {
    kind = ValueKind::null;
    text.clear();
  }
  void become(bool worth) {
    kind = ValueKind::truth;
    truth = worth;
    text.clear();
  }
  void become(const Decimal& worth) {
    kind = ValueKind::number;
    number = worth;
    text.clear();
  }
  void become(std::string_view worth) {
    kind = ValueKind::text;
    text.assign(worth);
  }
  bool is_null() const { return kind == ValueKind::null; }
  bool is(ValueKind wanted) const { return kind == wanted; }
};

// A number that a rule cannot hold: nullopt.
std::optional<Value> value_of(const devices::JsonTree& tree);

const char* kind_name(ValueKind kind);
// NULL is empty, a text itself, everything else its JSON.
std::string plain_text(const Value& value);
void append_plain_text(std::string& out, const Value& value);
void write_value(std::string& out, const Value& value);

}  // namespace heptane::iot::rules
