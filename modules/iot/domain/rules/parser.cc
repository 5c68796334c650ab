#include "modules/iot/domain/rules/parser.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "modules/iot/domain/rules/functions.h"

namespace heptane::iot::rules {

namespace {

constexpr std::array<std::string_view, 17> kReserved = {"SELECT", "AS",  "FROM", "STREAM", "WHERE", "AND",
                                                        "OR",     "NOT", "CASE", "WHEN",   "THEN",  "ELSE",
                                                        "END",    "IS",  "NULL", "IN",     "TRUE"};
constexpr std::array<std::string_view, 8> kComparisons = {"=", "<>", "!=", "<", "<=", ">", ">=", "=="};
constexpr std::array<std::string_view, 3> kSums = {"+", "-", "||"};
constexpr std::array<std::string_view, 3> kProducts = {"*", "/", "%"};
constexpr size_t kListMax = 64;

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

struct NamedAggregate {
  std::string_view name;
  AggregateKind kind;
};
constexpr NamedAggregate kAggregates[] = {{"count", AggregateKind::count}, {"sum", AggregateKind::sum},
                                          {"avg", AggregateKind::mean},    {"mean", AggregateKind::mean},
                                          {"min", AggregateKind::least},   {"max", AggregateKind::most},
                                          {"first", AggregateKind::first}, {"last", AggregateKind::last}};

}  // namespace

std::optional<AggregateKind> find_aggregate(std::string_view name) {
  for (const NamedAggregate& one : kAggregates)
    if (one.name == name) return one.kind;
  return std::nullopt;
}

bool is_reserved(const Word& word) {
  return word.is_keyword("FALSE") ||
         std::any_of(kReserved.begin(), kReserved.end(), [&](std::string_view one) { return word.is_keyword(one); });
}

std::string Parser::passed_since(size_t position) const {
  std::string text;
  for (size_t i = position; i < next_; ++i)
    text += std::to_string(static_cast<int>(words_[i].kind)) + ' ' + std::string(words_[i].text) + '\n';
  return text;
}

bool Parser::pass_keyword(std::string_view keyword) {
  if (!word().is_keyword(keyword)) return false;
  ++next_;
  return true;
}

bool Parser::pass_sign(std::string_view sign) {
  if (!word().is_sign(sign)) return false;
  ++next_;
  return true;
}

Result<void> Parser::expect_sign(std::string_view sign) {
  if (pass_sign(sign)) return {};
  return wrong_at(word(), "here stands a " + std::string(sign));
}

Result<void> Parser::expect_keyword(std::string_view keyword) {
  if (pass_keyword(keyword)) return {};
  return wrong_at(word(), "here stands " + std::string(keyword));
}

Result<Nodes> Parser::expression(const std::vector<std::string>& columns, bool aggregates) {
  nodes_.clear();
  depth_ = 0;
  aggregates_ = aggregates;
  columns_ = &columns;
  const Parsed root = any_of();
  if (!root) return root.error();
  return std::move(nodes_);
}

Parser::Parsed Parser::add(Node node, const Word& word) {
  if (nodes_.size() == kNodesMax) return wrong_at(word, "an expression has at most 512 parts");
  node.at = word.at;
  nodes_.push_back(std::move(node));
  return nodes_.size() - 1;
}

Parser::Parsed Parser::logic_chain(std::string_view keyword, NodeKind kind, Parsed (Parser::*part)()) {
  Parsed left = (this->*part)();
  while (left && word().is_keyword(keyword)) {
    const Word at = take();
    const Parsed right = (this->*part)();
    if (!right) return right;
    left = add({.kind = kind, .args = {*left, *right}}, at);
  }
  return left;
}

Parser::Parsed Parser::any_of() {
  if (++depth_ > kNestingMax) return wrong_at(word(), "nested deeper than 32");
  Parsed parsed = logic_chain("OR", NodeKind::logic_or, &Parser::all_of);
  --depth_;
  return parsed;
}

Parser::Parsed Parser::all_of() { return logic_chain("AND", NodeKind::logic_and, &Parser::negation); }

Parser::Parsed Parser::negation() {
  if (!word().is_keyword("NOT")) return comparison();
  if (++depth_ > kNestingMax) return wrong_at(word(), "nested deeper than 32");
  const Word at = take();
  const Parsed what = negation();
  --depth_;
  return what ? add({.kind = NodeKind::logic_not, .args = {*what}}, at) : what;
}

Parser::Parsed Parser::comparison() {
  const Parsed left = sum();
  if (!left) return left;
  const Word at = word();
  if (pass_keyword("IS")) {
    const bool negated = pass_keyword("NOT");
    const Result<void> null = expect_keyword("NULL");
    if (!null) return null.error();
    return add({.kind = NodeKind::is_null, .args = {*left}, .negated = negated}, at);
  }
  const bool negated = pass_keyword("NOT");
  if (pass_keyword("IN")) return in_list(*left, negated);
  if (negated) return wrong_at(word(), "here stands IN");
  const bool compares =
      at.kind == WordKind::sign && std::find(kComparisons.begin(), kComparisons.end(), at.text) != kComparisons.end();
  if (!compares) return left;
  take();
  const Parsed right = sum();
  return right ? add({.kind = NodeKind::binary, .args = {*left, *right}, .operation = at.text}, at) : right;
}

Parser::Parsed Parser::in_list(size_t value, bool negated) {
  const Word at = word();
  HEPTANE_TRY(expect_sign("("));
  Result<std::vector<size_t>> items = arguments();
  if (!items) return items.error();
  if (items->empty()) return wrong_at(at, "IN names at least one value");
  items->insert(items->begin(), value);
  return add({.kind = NodeKind::in, .args = std::move(*items), .negated = negated}, at);
}

Parser::Parsed Parser::binary_chain(std::span<const std::string_view> signs, Parsed (Parser::*part)()) {
  Parsed left = (this->*part)();
  while (left && word().kind == WordKind::sign && std::find(signs.begin(), signs.end(), word().text) != signs.end()) {
    const Word at = take();
    const Parsed right = (this->*part)();
    if (!right) return right;
    left = add({.kind = NodeKind::binary, .args = {*left, *right}, .operation = at.text}, at);
  }
  return left;
}

Parser::Parsed Parser::sum() { return binary_chain(kSums, &Parser::product); }
Parser::Parsed Parser::product() { return binary_chain(kProducts, &Parser::signed_one); }

Parser::Parsed Parser::signed_one() {
  if (!word().is_sign("-")) return primary();
  if (++depth_ > kNestingMax) return wrong_at(word(), "nested deeper than 32");
  const Word at = take();
  const Parsed what = signed_one();
  --depth_;
  return what ? add({.kind = NodeKind::negate, .args = {*what}}, at) : what;
}

Parser::Parsed Parser::primary() {
  const Word at = take();
  if (at.is_sign("(")) {
    Parsed inner = any_of();
    if (!inner) return inner;
    HEPTANE_TRY(expect_sign(")"));
    return inner;
  }
  if (at.is_keyword("CASE")) return choice();
  if (at.kind == WordKind::number || at.kind == WordKind::text || at.is_keyword("TRUE") || at.is_keyword("FALSE") ||
      at.is_keyword("NULL"))
    return literal(at);
  const bool names =
      (at.kind == WordKind::quoted_name && !at.text.empty()) || (at.kind == WordKind::name && !is_reserved(at));
  if (!names) return wrong_at(at, "here stands a value: a field, a number, a 'text' or a function");
  if (at.kind == WordKind::name && pass_sign("(")) return call(at);
  return field(at);
}

Parser::Parsed Parser::literal(const Word& at) {
  Node node;
  if (at.kind == WordKind::text) node.literal = Value::of(at.text);
  if (at.is_keyword("TRUE") || at.is_keyword("FALSE")) node.literal = Value::of(at.is_keyword("TRUE"));
  if (at.kind == WordKind::number) {
    const auto number = parse_decimal(at.text);
    if (!number) return wrong_at(at, "a number has at most 36 digits, 18 of them behind the point");
    node.literal = Value::of(*number);
  }
  return add(std::move(node), at);
}

// Conditions and values in turn, then the value of ELSE where there is one.
Parser::Parsed Parser::choice() {
  const Word at = word();
  Node node;
  node.kind = NodeKind::choice;
  const auto part = [&]() -> Result<void> {
    const Parsed one = any_of();
    if (!one) return one.error();
    node.args.push_back(*one);
    return {};
  };
  node.has_subject = !word().is_keyword("WHEN");
  if (node.has_subject) HEPTANE_TRY(part());
  HEPTANE_TRY(expect_keyword("WHEN"));
  do {
    HEPTANE_TRY(part());
    HEPTANE_TRY(expect_keyword("THEN"));
    HEPTANE_TRY(part());
  } while (pass_keyword("WHEN"));
  if (pass_keyword("ELSE")) HEPTANE_TRY(part());
  HEPTANE_TRY(expect_keyword("END"));
  return add(std::move(node), at);
}

// Up to the closing parenthesis, which is passed.
Result<std::vector<size_t>> Parser::arguments() {
  std::vector<size_t> parts;
  if (pass_sign(")")) return parts;
  do {
    if (parts.size() == kListMax) return wrong_at(word(), "a list has at most 64 values");
    const Parsed one = any_of();
    if (!one) return one.error();
    parts.push_back(*one);
  } while (pass_sign(","));
  HEPTANE_TRY(expect_sign(")"));
  return parts;
}

Parser::Parsed Parser::call(const Word& name) {
  if (find_aggregate(lower(name.text))) return aggregate(name);
  Node node;
  node.kind = NodeKind::call;
  node.function = find_function(lower(name.text));
  if (node.function == nullptr) return wrong_at(name, "there is no such function");
  Result<std::vector<size_t>> given = arguments();
  if (!given) return given.error();
  const Function& function = *node.function;
  if (given->size() < function.least || given->size() > function.most)
    return wrong_at(name, "it takes " + std::to_string(function.least) +
                              (function.most > function.least ? " to " + std::to_string(function.most) : "") +
                              " arguments, not " + std::to_string(given->size()));
  node.args = std::move(*given);
  return add(std::move(node), name);
}

Parser::Parsed Parser::aggregate(const Word& name) {
  if (!aggregates_) return wrong_at(name, "this is of a window: it stands in SELECT and HAVING, and in no other one");
  Node node;
  node.kind = NodeKind::aggregate;
  node.operation = lower(name.text);
  if (node.operation == "count" && pass_sign("*")) {
    HEPTANE_TRY(expect_sign(")"));
    return add(std::move(node), name);
  }
  aggregates_ = false;
  Result<std::vector<size_t>> given = arguments();
  aggregates_ = true;
  if (!given) return given.error();
  if (given->size() != 1) return wrong_at(name, "it takes 1 argument, not " + std::to_string(given->size()));
  node.args = std::move(*given);
  return add(std::move(node), name);
}

Parser::Parsed Parser::field(const Word& name) {
  const bool goes_on = word().is_sign(".") || word().is_sign("[");
  const auto column = std::find(columns_->begin(), columns_->end(), name.text);
  if (!goes_on && column != columns_->end())
    return add({.kind = NodeKind::column, .args = {}, .column = static_cast<size_t>(column - columns_->begin())}, name);
  Node node;
  node.kind = NodeKind::field;
  node.path.push_back({name.text});
  HEPTANE_TRY(path(node.path));
  return add(std::move(node), name);
}

Result<void> Parser::path(std::vector<Node::Step>& steps) {
  while (word().is_sign(".") || word().is_sign("[")) {
    if (steps.size() == kNestingMax) return wrong_at(word(), "nested deeper than 32");
    const bool member = take().is_sign(".");
    const Word step = take();
    if (member) {
      if ((step.kind != WordKind::name && step.kind != WordKind::quoted_name) || step.text.empty())
        return wrong_at(step, "here stands the name of a member");
      steps.push_back({step.text});
      continue;
    }
    Node::Step item;
    const auto [end, error] = std::from_chars(step.text.data(), step.text.data() + step.text.size(), item.index);
    if (step.kind != WordKind::number || error != std::errc() || end != step.text.data() + step.text.size())
      return wrong_at(step, "here stands the number of an item, from 0");
    steps.push_back(item);
    HEPTANE_TRY(expect_sign("]"));
  }
  return {};
}

}  // namespace heptane::iot::rules
