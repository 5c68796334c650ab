#include "modules/fintech/gateway/http/risk_json.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "kernel/net/http/json.h"

namespace heptane::fintech::exchange_http {

namespace {

using http::JsonFields;
using http::JsonType;
using http::JsonValue;
using risk_rules::Field;
using risk_rules::Node;
using risk_rules::NodeKind;
using risk_rules::RuleSpec;
using risk_rules::WindowSpec;

constexpr size_t kShownBytes = 64;

Error wrong_rule(const std::string& path, const std::string& what) {
  return {Errc::invalid_argument, path + ": " + what, 0};
}

std::optional<Field> field_of(const JsonValue& value) {
  if (value.type() != JsonType::text) return std::nullopt;
  for (uint8_t number = 0; number < risk_rules::kFields; ++number)
    if (risk_rules::field_name(static_cast<Field>(number)) == value.text()) return static_cast<Field>(number);
  return std::nullopt;
}

std::string no_field(const JsonValue& value) {
  return std::string(value.raw().substr(0, kShownBytes)) +
         " is no field: account, firm, instrument, side, type, action, session, quantity, price, notional";
}

std::optional<NodeKind> kind_of(std::string_view name) {
  for (auto number = static_cast<uint8_t>(NodeKind::field); number < risk_rules::kNodeKinds; ++number)
    if (risk_rules::kind_name(static_cast<NodeKind>(number)) == name) return static_cast<NodeKind>(number);
  return std::nullopt;
}

// A condition or a number, and what it is made of: the document's depth is bounded.
class NodeReader {
 public:
  explicit NodeReader(std::vector<Node>& nodes) : nodes_(nodes) {}

  Result<void> read(const JsonValue& value, const std::string& path) {
    if (nodes_.size() >= risk_rules::kNodesMax)
      return wrong_rule(path, "the conditions have more than " + std::to_string(risk_rules::kNodesMax) + " parts");
    if (value.type() == JsonType::integer) return read_number(value, path);
    const bool one = value.type() == JsonType::object && value.size() == 1;
    if (!one) return wrong_rule(path, "is a whole number, or an object of one member such as {\">\": [...]}");
    const JsonValue member = *value.first();
    const std::string below = path + "." + std::string(member.name().substr(0, kShownBytes));
    const std::optional<NodeKind> kind = kind_of(member.name());
    if (!kind) return wrong_rule(below, "is not known: field, window, + - *, < <= = != >= >, all, any, not, is, in");
    if (*kind == NodeKind::is || *kind == NodeKind::in) return read_test(*kind, member, below);
    if (*kind == NodeKind::field || *kind == NodeKind::window) return read_named(*kind, member, below);
    return read_parts(*kind, member, below);
  }

 private:
  Node& add(NodeKind kind) {
    nodes_.emplace_back().kind = kind;
    return nodes_.back();
  }
  Result<void> read_number(const JsonValue& value, const std::string& path) {
    const std::optional<int64_t> number = value.integer();
    if (!number) return wrong_rule(path, "does not fit into 64 bits");
    add(NodeKind::number).number = *number;
    return {};
  }
  Result<void> read_named(NodeKind kind, const JsonValue& member, const std::string& path) {
    if (member.type() != JsonType::text) return wrong_rule(path, "is a name");
    if (kind == NodeKind::window) {
      add(kind).text = member.text();
      return {};
    }
    const std::optional<Field> field = field_of(member);
    if (!field) return wrong_rule(path, no_field(member));
    add(kind).field = *field;
    return {};
  }
  Result<void> read_test(NodeKind kind, const JsonValue& member, const std::string& path) {
    const bool pair = member.type() == JsonType::array && member.size() == 2;
    const std::optional<JsonValue> second = pair ? member.first()->next() : std::nullopt;
    if (!second || second->type() != JsonType::text)
      return wrong_rule(path, kind == NodeKind::is ? "is a field and a text" : "is a field and the name of a list");
    const std::optional<Field> field = field_of(*member.first());
    if (!field) return wrong_rule(path + "[0]", no_field(*member.first()));
    Node& node = add(kind);
    node.field = *field;
    node.text = second->text();
    return {};
  }
  Result<void> read_parts(NodeKind kind, const JsonValue& member, const std::string& path) {
    const size_t at = nodes_.size();
    add(kind);
    if (kind == NodeKind::negate) {
      nodes_[at].children = 1;
      return read(member, path);
    }
    if (member.type() != JsonType::array) return wrong_rule(path, "is a list");
    nodes_[at].children = member.size();
    size_t number = 0;
    for (auto part = member.first(); part; part = part->next(), ++number)
      HEPTANE_TRY(read(*part, path + "[" + std::to_string(number) + "]"));
    return {};
  }

  std::vector<Node>& nodes_;
};

template <class E>
E named(JsonFields& fields, std::string_view name, std::string_view otherwise, std::initializer_list<E> all,
        std::string_view (*name_of)(E)) {
  const std::string_view text = fields.text_or(name, otherwise);
  std::string known;
  for (const E one : all) {
    if (name_of(one) == text) return one;
    known += (known.empty() ? "" : ", ") + std::string(name_of(one));
  }
  fields.fail(fields.path_of(name) + " is one of " + known);
  return *all.begin();
}

void read_key(JsonFields& fields, WindowSpec& window) {
  using risk_rules::KeyPart;
  const auto of = [&](const std::optional<JsonValue>& value) {
    const std::string_view text = value && value->type() == JsonType::text ? value->text() : std::string_view();
    for (const KeyPart part : {KeyPart::account, KeyPart::firm, KeyPart::instrument, KeyPart::session})
      if (risk_rules::key_name(part) == text) return part;
    fields.fail(fields.path_of("key") + " is one or two of account, firm, instrument, session");
    return KeyPart::none;
  };
  const std::optional<JsonValue> list = fields.array("key");
  if (!list || list->size() == 0 || list->size() > 2) {
    (void)of(std::nullopt);
    return;
  }
  window.first = of(list->first());
  if (list->size() == 2) window.second = of(list->first()->next());
}

Result<WindowSpec> read_window(const JsonValue& value) {
  using risk_rules::Adds;
  JsonFields fields(value, "windows." + std::string(value.name().substr(0, kShownBytes)));
  WindowSpec window;
  window.name = value.name();
  read_key(fields, window);
  window.seconds = static_cast<uint32_t>(fields.integer("seconds", 1, risk_rules::kSecondsMax));
  window.adds =
      named<Adds>(fields, "adds", "orders", {Adds::orders, Adds::quantity, Adds::notional}, risk_rules::adds_name);
  window.exact = static_cast<uint32_t>(fields.integer_or("exact", risk_rules::kExactDefault, 1, risk_rules::kExactMax));
  window.keys = static_cast<uint32_t>(fields.integer_or("keys", risk_rules::kKeysDefault, 1, risk_rules::kKeysMax));
  HEPTANE_TRY(fields.finish());
  return window;
}

void read_review(JsonFields& fields, const std::string& path, std::vector<risk_rules::ReviewSpec>& out, uint32_t rule) {
  using risk_rules::Verdict;
  const std::optional<JsonValue> value = fields.value("review");
  if (!value) return;
  JsonFields inner(*value, path + ".review");
  const auto seconds = static_cast<uint32_t>(inner.integer("seconds", 1, risk_rules::kSecondsMax));
  const auto otherwise =
      named<Verdict>(inner, "otherwise", "deny", {Verdict::allow, Verdict::deny}, risk_rules::verdict_name);
  if (const Result<void> read = inner.finish(); !read) fields.fail(read.error().message);
  out.push_back({rule, seconds, otherwise == Verdict::allow});
}

Result<RuleSpec> read_rule(const JsonValue& value, const std::string& path, uint32_t number,
                           std::vector<risk_rules::ReviewSpec>& reviews) {
  using risk_rules::Verdict;
  JsonFields fields(value, path);
  RuleSpec rule;
  rule.name = fields.text("name");
  rule.then = named<Verdict>(fields, "then", "", {Verdict::review, Verdict::deny}, risk_rules::verdict_name);
  rule.on_error = named<Verdict>(fields, "on_error", "review", {Verdict::allow, Verdict::review, Verdict::deny},
                                 risk_rules::verdict_name);
  rule.fuel = static_cast<uint32_t>(fields.integer_or("fuel", risk_rules::kFuelDefault, 1, risk_rules::kFuelMax));
  read_review(fields, path, reviews, number);
  if (!reviews.empty() && reviews.back().rule == number && rule.then != Verdict::review &&
      rule.on_error != Verdict::review)
    fields.fail(fields.path_of("review") + ": the rule never says review");
  const std::optional<JsonValue> when = fields.value("when");
  if (!when) fields.fail(fields.path_of("when") + " is missing");
  HEPTANE_TRY(fields.finish());
  HEPTANE_TRY(NodeReader(rule.when).read(*when, path + ".when"));
  return rule;
}

Result<void> read_windows(const JsonValue& windows, std::vector<WindowSpec>& out) {
  if (windows.type() != JsonType::object) return wrong_rule("windows", "is an object of windows by their names");
  if (windows.size() > risk_rules::kWindowsMax)
    return wrong_rule("windows", "there are more than " + std::to_string(risk_rules::kWindowsMax));
  for (auto one = windows.first(); one; one = one->next()) {
    Result<WindowSpec> window = read_window(*one);
    if (!window) return window.error();
    out.push_back(std::move(*window));
  }
  return {};
}

Result<void> read_rules(const JsonValue& rules, risk_rules::RuleSetSpec& spec) {
  std::vector<RuleSpec>& out = spec.rules;
  if (rules.size() > risk_rules::kRulesMax)
    return wrong_rule("rules", "there are more than " + std::to_string(risk_rules::kRulesMax));
  for (auto one = rules.first(); one; one = one->next()) {
    Result<RuleSpec> rule =
        read_rule(*one, "rules[" + std::to_string(out.size()) + "]", static_cast<uint32_t>(out.size()), spec.reviews);
    if (!rule) return rule.error();
    out.push_back(std::move(*rule));
  }
  return {};
}

// Texts or integers, of one kind.
bool read_item(const JsonValue& item, risk_rules::List& list) {
  if (item.type() == JsonType::text && !list.numbers) {
    list.texts.emplace_back(item.text());
    return true;
  }
  const std::optional<int64_t> number = item.type() == JsonType::integer ? item.integer() : std::nullopt;
  if (!number || !list.texts.empty()) return false;
  list.numbers = true;
  list.values.push_back(*number);
  return true;
}

template <class T>
void put_in_order(std::vector<T>& items) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
}

}  // namespace

Result<risk_rules::RuleSetSpec> rules_of_json(std::string body) {
  const auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  const std::optional<JsonValue> windows = fields.value("windows");
  const std::optional<JsonValue> rules = fields.array("rules");
  if (!rules) fields.fail("rules is missing");
  HEPTANE_TRY(fields.finish());
  risk_rules::RuleSetSpec spec;
  if (windows) HEPTANE_TRY(read_windows(*windows, spec.windows));
  HEPTANE_TRY(read_rules(*rules, spec));
  return spec;
}

Result<risk_rules::List> list_of_json(std::string body, std::string name) {
  const auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  const std::optional<JsonValue> items = fields.array("items");
  if (!items) fields.fail("items is missing");
  risk_rules::List list;
  list.name = std::move(name);
  for (auto item = items ? items->first() : std::nullopt; item; item = item->next())
    if (!read_item(*item, list)) {
      fields.fail("items are texts, or whole numbers of 64 bits: all of one kind");
      break;
    }
  HEPTANE_TRY(fields.finish());
  put_in_order(list.texts);
  put_in_order(list.values);
  return list;
}

}  // namespace heptane::fintech::exchange_http
