// What expressions are worth for a message: every node at most once, choices and AND and OR only as far as they must.

#include <algorithm>

#include "modules/iot/domain/rules/functions.h"
#include "modules/iot/domain/rules/sql.h"

namespace heptane::iot::rules {

namespace {

Error wrong(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

class Evaluation {
 public:
  Evaluation(const Nodes& nodes, const Message& message, const Row& row)
      : nodes_(nodes), message_(message), row_(row) {}

  Result<Value> of(size_t place) const {
    const Node& node = nodes_[place];
    Result<Value> value = worth(node);
    if (value && !has_room(*value)) value = wrong("the rule makes more than 1 MiB of texts of one message");
    if (!value && !value.error().message.starts_with("at "))
      value.error().message = "at " + std::to_string(node.at + 1) + ": " + value.error().message;
    return value;
  }

 private:
  // What it costs to evaluate is what it copies: parts are few.
  bool has_room(const Value& value) const {
    message_.made_bytes += value.text.size();
    return message_.made_bytes <= kMadeBytesMax;
  }

  Result<Value> worth(const Node& node) const {
    switch (node.kind) {
      case NodeKind::literal: return node.literal;
      case NodeKind::field: return field(node);
      case NodeKind::column: return row_[node.column].second;
      case NodeKind::call: return call(node);
      case NodeKind::negate: return negate(node);
      case NodeKind::binary: return binary(node);
      case NodeKind::logic_not: return opposite(node);
      case NodeKind::logic_and: return logic(node, false);
      case NodeKind::logic_or: return logic(node, true);
      case NodeKind::is_null: return is_null(node);
      case NodeKind::in: return in(node);
      case NodeKind::choice: return choice(node);
      case NodeKind::aggregate: break;  // a column by now
    }
    return Value{};
  }

  Result<Value> field(const Node& node) const {
    const devices::JsonTree* at = message_.json;
    if (at == nullptr) return wrong("the message is no JSON, and has no field " + node.path.front().name);
    for (const Node::Step& step : node.path) {
      at = step_into(*at, step);
      if (at == nullptr) return Value{};
    }
    std::optional<Value> value = value_of(*at);
    if (!value)
      return wrong("the number in " + node.path.back().name + " has more than 36 digits, or 18 behind the point");
    return std::move(*value);
  }

  static const devices::JsonTree* step_into(const devices::JsonTree& tree, const Node::Step& step) {
    if (step.name.empty()) return step.index < tree.items.size() ? &tree.items[step.index] : nullptr;
    const auto found = tree.members.find(step.name);
    return found == tree.members.end() ? nullptr : &found->second;
  }

  Result<Value> call(const Node& node) const {
    std::vector<Value> arguments;
    arguments.reserve(node.args.size());
    for (const size_t place : node.args) {
      Result<Value> argument = of(place);
      if (!argument) return argument;
      if (argument->is_null() && !node.function->takes_null) return Value{};
      arguments.push_back(std::move(*argument));
    }
    return node.function->apply(arguments, message_);
  }

  Result<Value> negate(const Node& node) const {
    const Result<Value> value = of(node.args[0]);
    if (!value || value->is_null()) return value;
    if (!value->is(ValueKind::number)) return wrong(std::string(kind_name(value->kind)) + " has no opposite");
    return Value::of(Decimal{-value->number.digits, value->number.places});
  }

  // What is there without being worked out; null: it is not.
  const Value* there(size_t place) const {
    const Node& node = nodes_[place];
    if (node.kind == NodeKind::literal) return &node.literal;
    return node.kind == NodeKind::column ? &row_[node.column].second : nullptr;
  }

  Result<Value> binary(const Node& node) const {
    Result<Value> made[2] = {Value{}, Value{}};
    const Value* sides[2] = {there(node.args[0]), there(node.args[1])};
    for (size_t i = 0; i < 2; ++i) {
      if (sides[i] != nullptr) continue;
      made[i] = of(node.args[i]);
      if (!made[i]) return std::move(made[i]);
      sides[i] = &*made[i];
    }
    return binary(node, sides[0], sides[1]);
  }

  static Result<Value> binary(const Node& node, const Value* left, const Value* right) {
    if (left->is_null() || right->is_null()) return Value{};
    switch (node.operation[0]) {
      case '|': return joined(*left, *right);
      case '+':
      case '-':
      case '*':
      case '/':
      case '%': return reckoned(*left, *right, node.operation[0]);
      default: break;
    }
    const Result<int> order = compared(*left, *right, node.operation);
    if (!order) return order.error();
    return Value::of(holds(*order, node.operation));
  }

  static Result<Value> joined(const Value& left, const Value& right) {
    std::string text = plain_text(left) + plain_text(right);
    if (text.size() > kTextBytesMax) return wrong("the text is longer than 64 KiB");
    return Value::of(std::move(text));
  }

  static Result<Value> reckoned(const Value& left, const Value& right, char operation) {
    if (!left.is(ValueKind::number) || !right.is(ValueKind::number))
      return wrong(std::string(kind_name(left.kind)) + " " + operation + " " + kind_name(right.kind) +
                   ": only numbers are reckoned with (number() reads a text)");
    if ((operation == '/' || operation == '%') && right.number.is_zero()) return wrong("a division by 0");
    const auto result = operation == '+'   ? rules::add(left.number, right.number)
                        : operation == '-' ? rules::subtract(left.number, right.number)
                        : operation == '*' ? rules::multiply(left.number, right.number)
                        : operation == '/' ? rules::divide(left.number, right.number)
                                           : rules::remainder(left.number, right.number);
    if (!result) return wrong("the result has more than 36 digits, or 18 behind the point: round() what goes in");
    return Value::of(*result);
  }

  static Result<int> compared(const Value& left, const Value& right, const std::string& operation) {
    const bool ordered = operation[0] == '<' || operation[0] == '>';
    if (left.kind != right.kind || left.is(ValueKind::json) ||
        (left.is(ValueKind::truth) && ordered && operation != "<>"))
      return wrong(std::string(kind_name(left.kind)) + " cannot be compared with " + kind_name(right.kind) + " by " +
                   operation);
    if (left.is(ValueKind::number)) return rules::compare(left.number, right.number);
    if (left.is(ValueKind::truth)) return left.truth == right.truth ? 0 : 1;
    return left.text.compare(right.text);
  }

  static bool holds(int order, std::string_view operation) {
    const bool longer = operation.size() == 2;
    switch (operation[0]) {
      case '=': return order == 0;
      case '!': return order != 0;
      case '<': return longer ? operation[1] == '>' ? order != 0 : order <= 0 : order < 0;
      default: return longer ? order >= 0 : order > 0;
    }
  }

  // A truth or NULL.
  Result<Value> truth(size_t place) const {
    Result<Value> value = of(place);
    if (value && !value->is_null() && !value->is(ValueKind::truth))
      return wrong(std::string(kind_name(value->kind)) + " is no condition");
    return value;
  }

  Result<Value> opposite(const Node& node) const {
    Result<Value> value = truth(node.args[0]);
    if (!value || value->is_null()) return value;
    return Value::of(!value->truth);
  }

  // Of three values: one that `decides` makes the other of no account, NULL too.
  Result<Value> logic(const Node& node, bool decides) const {
    const Result<Value> left = truth(node.args[0]);
    if (!left || (left->is(ValueKind::truth) && left->truth == decides)) return left;
    Result<Value> right = truth(node.args[1]);
    if (!right || (right->is(ValueKind::truth) && right->truth == decides)) return right;
    return left->is_null() ? left : right;
  }

  Result<Value> is_null(const Node& node) const {
    const Result<Value> value = of(node.args[0]);
    if (!value) return value;
    return Value::of(value->is_null() != node.negated);
  }

  Result<Value> in(const Node& node) const {
    const Result<Value> value = of(node.args[0]);
    if (!value || value->is_null()) return value;
    bool any_null = false;
    for (size_t i = 1; i < node.args.size(); ++i) {
      const Result<Value> one = of(node.args[i]);
      if (!one) return one;
      any_null = any_null || one->is_null();
      if (one->is_null()) continue;
      const Result<int> order = compared(*value, *one, "=");
      if (!order) return order.error();
      if (*order == 0) return Value::of(!node.negated);
    }
    return any_null ? Value{} : Value::of(node.negated);
  }

  // Of a condition, or (CASE x WHEN y) of a value that is compared.
  Result<bool> is_chosen(size_t place, const std::optional<Value>& subject) const {
    const Result<Value> one = subject ? of(place) : truth(place);
    if (!one) return one.error();
    if (!subject) return one->is(ValueKind::truth) && one->truth;
    if (subject->is_null() || one->is_null()) return false;
    const Result<int> order = compared(*subject, *one, "=");
    if (!order) return order.error();
    return *order == 0;
  }

  Result<Value> choice(const Node& node) const {
    std::optional<Value> subject;
    if (node.has_subject) {
      Result<Value> value = of(node.args[0]);
      if (!value) return value;
      subject = std::move(*value);
    }
    size_t at = subject ? 1 : 0;
    for (; at + 1 < node.args.size(); at += 2) {
      const Result<bool> chosen = is_chosen(node.args[at], subject);
      if (!chosen) return chosen.error();
      if (*chosen) return of(node.args[at + 1]);
    }
    return at < node.args.size() ? of(node.args[at]) : Result<Value>(Value{});
  }

  const Nodes& nodes_;
  const Message& message_;
  const Row& row_;
};

// Members behind the columns, which hide those of the same name.
void take_payload(const devices::JsonTree& tree, const std::vector<std::string>& columns, Row& row) {
  for (const auto& [name, member] : tree.members) {
    if (std::find(columns.begin(), columns.end(), name) != columns.end()) continue;
    Value value;
    value.kind = ValueKind::json;
    value.json = &member;
    row.emplace_back(name, std::move(value));
  }
}

// A condition that is NULL is an error: a field is missing, and nobody said what that means.
Result<bool> is_so(const Expression& condition, const Message& message, const Row& row) {
  const Result<Value> wanted = condition.evaluate(message, row);
  if (!wanted) return wanted.error();
  if (wanted->is_null()) return wrong("the condition is NULL: a field that it names is missing");
  if (!wanted->is(ValueKind::truth)) return wrong(std::string(kind_name(wanted->kind)) + " is no condition");
  return wanted->truth;
}

}  // namespace

Result<Value> Expression::evaluate(const Message& message, const Row& row) const {
  return Evaluation(nodes_, message, row).of(root_);
}

Result<bool> Select::takes(const Message& message) const {
  if (!condition_) return true;
  return is_so(*condition_, message, {});
}

Result<Row> Select::columns_of(const Message& message, const Row& row) const {
  Row columns;
  columns.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Result<Value> value = outputs_[i].evaluate(message, row);
    if (!value) return value.error();
    columns.emplace_back(columns_[i], std::move(*value));
  }
  return columns;
}

Result<std::optional<Row>> Select::finish(const Row& worked_out) const {
  const Message none{};
  if (windowing_->having) {
    const Result<bool> wanted = is_so(*windowing_->having, none, worked_out);
    if (!wanted) return wanted.error();
    if (!*wanted) return std::optional<Row>();
  }
  Result<Row> row = columns_of(none, worked_out);
  if (!row) return row.error();
  return std::optional(std::move(*row));
}

Result<std::optional<Row>> Select::run(const Message& message) const {
  const Result<bool> wanted = takes(message);
  if (!wanted) return wanted.error();
  if (!*wanted) return std::optional<Row>();
  Result<Row> row = columns_of(message, {});
  if (!row) return row.error();
  if (!all_) return std::optional(std::move(*row));
  if (message.json == nullptr || !message.json->is_object())
    return wrong("the message is no JSON object: * is its members");
  take_payload(*message.json, columns_, *row);
  return std::optional(std::move(*row));
}

}  // namespace heptane::iot::rules
