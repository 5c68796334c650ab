// What expressions are worth for a message: every node at most once, choices and AND and OR only as far as they must.

#include <algorithm>
#include <array>

#include "modules/iot/domain/rules/functions.h"
#include "modules/iot/domain/rules/sql.h"

namespace heptane::iot::rules {

namespace {

Error wrong(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

constexpr size_t kFewArguments = 3;

// A part's worth is where it stands already (literals, fields, columns), or in a place of the caller's.
class Evaluation {
 public:
  Evaluation(const Nodes& nodes, const Message& message, const Row& row)
      : nodes_(nodes), message_(message), row_(row) {}

  Result<void> run(size_t place, Value& into) {
    const Value* const value = of(place, into);
    if (value == nullptr) return std::move(*error_);
    if (value != &into) into = *value;
    return {};
  }

 private:
  // Null: it has none, and error_ says why. What had to be worked out is in `into`.
  const Value* of(size_t place, Value& into) {
    const Node& node = nodes_[place];
    const Value* value = worth(node, into);
    if (value != nullptr && !has_room(*value)) value = fail("the rule makes more than 1 MiB of texts of one message");
    if (value == nullptr && !error_->message.starts_with("at "))
      error_->message = "at " + std::to_string(node.at + 1) + ": " + error_->message;
    return value;
  }

  const Value* fail(std::string why) {
    error_ = wrong(std::move(why));
    return nullptr;
  }

  template <class Worth>
  static const Value* put(Value& into, const Worth& worth) {
    into.become(worth);
    return &into;
  }
  static const Value* put(Value& into, Value&& value) {
    into = std::move(value);
    return &into;
  }
  static const Value* put_null(Value& into) {
    into.become_null();
    return &into;
  }

  // What it costs to evaluate is what it copies: parts are few.
  bool has_room(const Value& value) const {
    message_.made_bytes += value.text.size();
    return message_.made_bytes <= kMadeBytesMax;
  }

  const Value* worth(const Node& node, Value& into) {
    switch (node.kind) {
      case NodeKind::literal: return &node.literal;
      case NodeKind::field: return field(node, into);
      case NodeKind::column: return &row_[node.column].second;
      case NodeKind::call: return call(node, into);
      case NodeKind::negate: return negate(node, into);
      case NodeKind::binary: return binary(node, into);
      case NodeKind::logic_not: return opposite(node, into);
      case NodeKind::logic_and: return logic(node, false, into);
      case NodeKind::logic_or: return logic(node, true, into);
      case NodeKind::is_null: return is_null(node, into);
      case NodeKind::in: return in(node, into);
      case NodeKind::choice: return choice(node, into);
      case NodeKind::aggregate: break;  // a column by now
    }
    return put_null(into);
  }

  const Value* field(const Node& node, Value& into) {
    if (message_.json == nullptr) return fail("the message is no JSON, and has no field " + node.path.front().name);
    const devices::JsonTree* at = message_.json;
    std::span<const Node::Step> path = node.path;
    if (!message_.members.empty() && node.member != kNoPlace) {
      const Value& member = message_.members[node.member];
      path = path.subspan(1);
      if (!member.is(ValueKind::json)) return path.empty() ? &member : put_null(into);
      at = member.json;
    }
    for (const Node::Step& step : path) {
      at = step_into(*at, step);
      if (at == nullptr) return put_null(into);
    }
    std::optional<Value> value = value_of(*at);
    if (!value)
      return fail("the number in " + node.path.back().name + " has more than 36 digits, or 18 behind the point");
    return put(into, std::move(*value));
  }

  static const devices::JsonTree* step_into(const devices::JsonTree& tree, const Node::Step& step) {
    if (step.name.empty()) return step.index < tree.items.size() ? &tree.items[step.index] : nullptr;
    const auto found = tree.members.find(step.name);
    return found == tree.members.end() ? nullptr : &found->second;
  }

  const Value* call(const Node& node, Value& into) {
    std::array<Value, kFewArguments> few;
    std::vector<Value> many(node.args.size() > few.size() ? node.args.size() : 0);
    const std::span<Value> arguments = many.empty() ? std::span(few).first(node.args.size()) : std::span(many);
    for (size_t i = 0; i < arguments.size(); ++i) {
      const Value* const argument = of(node.args[i], arguments[i]);
      if (argument == nullptr) return nullptr;
      if (argument->is_null() && !node.function->takes_null) return put_null(into);
      if (argument != &arguments[i]) arguments[i] = *argument;
    }
    Result<Value> value = node.function->apply(arguments, message_);
    if (value) return put(into, std::move(*value));
    error_ = std::move(value.error());
    return nullptr;
  }

  const Value* negate(const Node& node, Value& into) {
    const Value* const value = of(node.args[0], into);
    if (value == nullptr || value->is_null()) return value;
    if (!value->is(ValueKind::number)) return fail(std::string(kind_name(value->kind)) + " has no opposite");
    return put(into, Decimal{-value->number.digits, value->number.places});
  }

  // What is there without being worked out; null: it is not.
  const Value* there(size_t place) const {
    const Node& node = nodes_[place];
    if (node.kind == NodeKind::literal) return &node.literal;
    return node.kind == NodeKind::column ? &row_[node.column].second : nullptr;
  }

  const Value* binary(const Node& node, Value& into) {
    Value made;
    const Value* const one = there(node.args[0]);
    const Value* const left = one != nullptr ? one : of(node.args[0], into);
    if (left == nullptr) return nullptr;
    const Value* const other = there(node.args[1]);
    const Value* const right = other != nullptr ? other : of(node.args[1], made);
    if (right == nullptr) return nullptr;
    return binary(node, *left, *right, into);
  }

  const Value* binary(const Node& node, const Value& left, const Value& right, Value& into) {
    if (left.is_null() || right.is_null()) return put_null(into);
    switch (node.operation[0]) {
      case '|': return joined(left, right, into);
      case '+':
      case '-':
      case '*':
      case '/':
      case '%': return reckoned(left, right, node.operation[0], into);
      default: break;
    }
    const auto order = compared(left, right, node.operation);
    return order ? put(into, holds(*order, node.operation)) : nullptr;
  }

  const Value* joined(const Value& left, const Value& right, Value& into) {
    std::string text = plain_text(left);
    append_plain_text(text, right);
    if (text.size() > kTextBytesMax) return fail("the text is longer than 64 KiB");
    return put(into, Value::of(std::move(text)));
  }

  const Value* reckoned(const Value& left, const Value& right, char operation, Value& into) {
    if (!left.is(ValueKind::number) || !right.is(ValueKind::number))
      return fail(std::string(kind_name(left.kind)) + " " + operation + " " + kind_name(right.kind) +
                  ": only numbers are reckoned with (number() reads a text)");
    if ((operation == '/' || operation == '%') && right.number.is_zero()) return fail("a division by 0");
    const auto result = operation == '+'   ? rules::add(left.number, right.number)
                        : operation == '-' ? rules::subtract(left.number, right.number)
                        : operation == '*' ? rules::multiply(left.number, right.number)
                        : operation == '/' ? rules::divide(left.number, right.number)
                                           : rules::remainder(left.number, right.number);
    if (!result) return fail("the result has more than 36 digits, or 18 behind the point: round() what goes in");
    return put(into, *result);
  }

  // nullopt: they cannot be.
  std::optional<int> compared(const Value& left, const Value& right, const std::string& operation) {
    const bool ordered = operation[0] == '<' || operation[0] == '>';
    if (left.kind != right.kind || left.is(ValueKind::json) ||
        (left.is(ValueKind::truth) && ordered && operation != "<>")) {
      fail(std::string(kind_name(left.kind)) + " cannot be compared with " + kind_name(right.kind) + " by " +
           operation);
      return std::nullopt;
    }
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
  const Value* truth(size_t place, Value& into) {
    const Value* const value = of(place, into);
    if (value != nullptr && !value->is_null() && !value->is(ValueKind::truth))
      return fail(std::string(kind_name(value->kind)) + " is no condition");
    return value;
  }

  const Value* opposite(const Node& node, Value& into) {
    const Value* const value = truth(node.args[0], into);
    if (value == nullptr || value->is_null()) return value;
    return put(into, !value->truth);
  }

  // Of three values: one that `decides` makes the other of no account, NULL too.
  const Value* logic(const Node& node, bool decides, Value& into) {
    const Value* const left = truth(node.args[0], into);
    if (left == nullptr || (left->is(ValueKind::truth) && left->truth == decides)) return left;
    Value made;
    const Value* const right = truth(node.args[1], made);
    if (right == nullptr) return nullptr;
    const bool decided = right->is(ValueKind::truth) && right->truth == decides;
    return left->is_null() && !decided ? left : put(into, Value(*right));
  }

  const Value* is_null(const Node& node, Value& into) {
    const Value* const value = of(node.args[0], into);
    return value == nullptr ? nullptr : put(into, value->is_null() != node.negated);
  }

  const Value* in(const Node& node, Value& into) {
    Value made;
    const Value* const value = of(node.args[0], made);
    if (value == nullptr) return nullptr;
    bool any_null = value->is_null();
    for (size_t i = 1; i < node.args.size() && !value->is_null(); ++i) {
      Value listed;
      const Value* const one = of(node.args[i], listed);
      if (one == nullptr) return nullptr;
      any_null = any_null || one->is_null();
      if (one->is_null()) continue;
      const auto order = compared(*value, *one, "=");
      if (!order) return nullptr;
      if (*order == 0) return put(into, !node.negated);
    }
    return any_null ? put_null(into) : put(into, node.negated);
  }

  // Of a condition, or (CASE x WHEN y) of a value that is compared. nullopt: something is wrong.
  std::optional<bool> is_chosen(size_t place, const Value* subject) {
    Value made;
    const Value* const one = subject != nullptr ? of(place, made) : truth(place, made);
    if (one == nullptr) return std::nullopt;
    if (subject == nullptr) return one->is(ValueKind::truth) && one->truth;
    if (subject->is_null() || one->is_null()) return false;
    const auto order = compared(*subject, *one, "=");
    return order ? std::optional(*order == 0) : std::nullopt;
  }

  const Value* choice(const Node& node, Value& into) {
    Value made;
    const Value* const subject = node.has_subject ? of(node.args[0], made) : nullptr;
    if (node.has_subject && subject == nullptr) return nullptr;
    size_t at = node.has_subject ? 1 : 0;
    for (; at + 1 < node.args.size(); at += 2) {
      const auto chosen = is_chosen(node.args[at], subject);
      if (!chosen) return nullptr;
      if (*chosen) return of(node.args[at + 1], into);
    }
    return at < node.args.size() ? of(node.args[at], into) : put_null(into);
  }

  const Nodes& nodes_;
  const Message& message_;
  const Row& row_;
  std::optional<Error> error_{};
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
  Value wanted;
  HEPTANE_TRY(condition.evaluate(message, row, wanted));
  if (wanted.is_null()) return wrong("the condition is NULL: a field that it names is missing");
  if (!wanted.is(ValueKind::truth)) return wrong(std::string(kind_name(wanted.kind)) + " is no condition");
  return wanted.truth;
}

}  // namespace

Result<void> Expression::evaluate(const Message& message, const Row& row, Value& into) const {
  return Evaluation(nodes_, message, row).run(root_, into);
}

Result<Value> Expression::evaluate(const Message& message, const Row& row) const {
  Value value;
  HEPTANE_TRY(evaluate(message, row, value));
  return value;
}

Result<bool> Select::takes(const Message& message) const {
  if (!condition_) return true;
  return is_so(*condition_, message, {});
}

// Names of the row before are most often the same.
Result<void> Select::make_columns(const Message& message, const Row& row, Row& columns) const {
  columns.resize(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (columns[i].first != columns_[i]) columns[i].first = columns_[i];
    HEPTANE_TRY(outputs_[i].evaluate(message, row, columns[i].second));
  }
  return {};
}

Result<std::optional<Row>> Select::finish(const Row& worked_out) const {
  const Message none{};
  if (windowing_->having) {
    const Result<bool> wanted = is_so(*windowing_->having, none, worked_out);
    if (!wanted) return wanted.error();
    if (!*wanted) return std::optional<Row>();
  }
  Row row;
  HEPTANE_TRY(make_columns(none, worked_out, row));
  return std::optional(std::move(row));
}

Result<bool> Select::run(const Message& message, Row& row) const {
  const Result<bool> wanted = takes(message);
  if (!wanted || !*wanted) return wanted;
  HEPTANE_TRY(make_columns(message, {}, row));
  if (!all_) return true;
  if (message.json == nullptr || !message.json->is_object())
    return wrong("the message is no JSON object: * is its members");
  take_payload(*message.json, columns_, row);
  return true;
}

Result<std::optional<Row>> Select::run(const Message& message) const {
  Row row;
  const Result<bool> wanted = run(message, row);
  if (!wanted) return wanted.error();
  return *wanted ? std::optional(std::move(row)) : std::nullopt;
}

}  // namespace heptane::iot::rules
