// Functions that look into JSON: of the message, or of a text in it.
#include <memory>

#include "modules/iot/domain/rules/function_parts.h"

namespace heptane::iot::rules {

namespace {

// A tree takes so many times the bytes of its text, and counts so.
constexpr size_t kTreeCost = 16;

Result<Value> value_in(const devices::JsonTree* tree) {
  if (tree == nullptr) return Value{};
  std::optional<Value> value = value_of(*tree);
  if (!value) return wrong_argument("the number there has more than 36 digits, or 18 behind the point");
  return std::move(*value);
}

// A member by its name, an item by its number, from 0; NULL: there is none.
Result<Value> get(Arguments arguments, const Message&) {
  if (!arguments[0].is(ValueKind::json))
    return wrong_argument(std::string("argument 1 is ") + kind_name(arguments[0].kind) + ", not an array or object");
  const devices::JsonTree& tree = *arguments[0].json;
  if (arguments[1].is(ValueKind::text)) {
    const auto found = tree.members.find(arguments[1].text);
    return value_in(found == tree.members.end() ? nullptr : &found->second);
  }
  const auto number = count_at(arguments, 1, 0, kTextBytesMax);
  if (!number) return number.error();
  return value_in(*number < tree.items.size() ? &tree.items[*number] : nullptr);
}

Result<Value> json_decode(Arguments arguments, const Message& message) {
  const auto text = text_at(arguments, 0);
  if (!text) return text.error();
  message.made_bytes += text->size() * kTreeCost;
  if (message.made_bytes > kMadeBytesMax) return wrong_argument("the rule decodes too much of one message");
  // The reader takes arrays and objects: any one value is the item of one.
  auto tree = message.read_json == nullptr ? std::nullopt : message.read_json("[" + std::string(*text) + "]");
  if (!tree || tree->items.size() != 1) return wrong_argument("the text is no JSON");
  message.decoded.push_back(std::make_unique<devices::JsonTree>(std::move(tree->items.front())));
  return value_in(message.decoded.back().get());
}

Result<Value> json_encode(Arguments arguments, const Message&) {
  std::string out;
  write_value(out, arguments[0]);
  return made_text(std::move(out));
}

constexpr Function kFunctions[] = {
    {"get", 2, 2, false, get},
    {"json_decode", 1, 1, false, json_decode, true},
    {"json_encode", 1, 1, true, json_encode},
};

}  // namespace

std::span<const Function> json_functions() { return kFunctions; }

}  // namespace heptane::iot::rules
