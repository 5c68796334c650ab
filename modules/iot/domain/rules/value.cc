#include "modules/iot/domain/rules/value.h"

namespace heptane::iot::rules {

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
    case ValueKind::number: out += to_text(value.number); return;
    case ValueKind::text: devices::write_json_text(out, value.text); return;
    case ValueKind::json: devices::write_json(out, *value.json); return;
  }
}

std::string plain_text(const Value& value) {
  if (value.is(ValueKind::text)) return value.text;
  std::string out;
  if (!value.is_null()) write_value(out, value);
  return out;
}

}  // namespace heptane::iot::rules
