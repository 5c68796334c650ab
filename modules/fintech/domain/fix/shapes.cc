#include "modules/fintech/domain/fix/shapes.h"

#include <cstring>

#include "modules/fintech/domain/fix/values.h"

namespace heptane::fix {

namespace {

constexpr size_t kFirst = 3;  // behind MsgType(35)

// False: it cannot be remembered. Data can end anywhere, so its end is not looked for.
bool learn_field(std::string_view bytes, size_t begin, const FieldView& field, KnownField& known) {
  known.name_size = static_cast<uint32_t>(field.at - begin);
  known.rule = &field_rule(slot_of(field.tag));
  if (known.name_size > sizeof known.name || known.rule->type == FieldType::data) return false;
  known.name = 0;
  std::memcpy(&known.name, bytes.data() + begin, known.name_size);
  known.mask = ~uint64_t{0} >> (sizeof known.name - known.name_size) * 8;
  known.tag = field.tag;
  return true;
}

[[gnu::flatten]] bool has_right_values(Message& message, const Shape& shape) {
  const auto fields = message.fields();
  for (size_t i = 0; i < shape.fields.size(); ++i) {
    const FieldRule& rule = *shape.fields[i].rule;
    FieldView& field = fields[i + kFirst];
    if (rule.is_any && field.size != 0) continue;
    if (!has_right_value(rule, message.value(field), field.number)) return false;
  }
  for (const auto& [at, entries] : shape.entries)
    if (message.integer(fields[at + kFirst]) != static_cast<int64_t>(entries)) return false;
  return true;
}

}  // namespace

void Shapes::learn(const Message& message) {
  const auto fields = message.fields();
  if (fields.size() > kShapeFieldsMax) return;
  Shape& shape = shapes_[place_of(message.type(), fields.size())];
  shape.type.clear();
  shape.fields.clear();
  shape.entries.clear();
  for (size_t i = kFirst; i + 1 < fields.size(); ++i) {
    const size_t begin = fields[i - 1].at + fields[i - 1].size + 1;
    KnownField known;
    if (!learn_field(message.bytes(), begin, fields[i], known)) return shape.fields.clear();
    if (known.rule->type == FieldType::count)
      shape.entries.emplace_back(i - kFirst, number_of(message.value(fields[i])).value_or(0));
    shape.fields.push_back(known);
  }
  shape.type = message.type();
}

std::optional<Fault> Reader::validate() {
  const Shape* shape = message_.shape();
  if (shape != nullptr && has_right_values(message_, *shape)) return std::nullopt;
  const auto fault = fix::validate(message_, rules_);
  if (!fault && shape == nullptr) shapes_.learn(message_);
  return fault;
}

}  // namespace heptane::fix
