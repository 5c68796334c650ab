#include "modules/iot/domain/rules/value.h"

namespace heptane::iot::rules {

std::optional<Value> value_of(const devices::JsonTree& tree) {
  switch (tree.kind) {
    case devices::TreeKind::null: return Value{};
    case devices::TreeKind::no: return Value::of(false);
    case devices::TreeKind::yes: return Value::of(true);
    case devices::TreeKind::text: return Value::of(tree.text);
    case devices::TreeKind::number: {
      const auto number = parse_decimal(tree.text);
      return number ? std::optional(Value::of(*number)) : std::nullopt;
    }
    case devices::TreeKind::array:
    case devices::TreeKind::object: break;
  }
  Value value;
  value.kind = ValueKind::json;
  value.json = &tree;
  return value;
}

const char* kind_name(ValueKind kind) {
  switch (kind) {
    case ValueKind::null: return "NULL";
    case ValueKind::truth: return "a truth";
    case ValueKind::number: return "a number";
    case ValueKind::text: return "a text";
    case ValueKind::json: return "an array or object";
  }
  return "";
}

void write_value(std::string& out, const Value& value) {
  switch (value.kind) {
    case ValueKind::null: out += "null"; return;
    case ValueKind::truth: out += value.truth ? "true" : "false"; return;
    case ValueKind::number: append_text(out, value.number); return;
    case ValueKind::text: devices::write_json_text(out, value.text); return;
    case ValueKind::json: devices::write_json(out, *value.json); return;
  }
}

void append_plain_text(std::string& out, const Value& value) {
  if (value.is(ValueKind::text))
    out += value.text;
  else if (!value.is_null())
    write_value(out, value);
}

std::string plain_text(const Value& value) {
  std::string out;
  append_plain_text(out, value);
  return out;
}

}  // namespace heptane::iot::rules
