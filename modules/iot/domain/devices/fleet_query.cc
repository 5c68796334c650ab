#include "modules/iot/domain/devices/fleet_query.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace heptane::iot::devices {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

struct Number {
  bool negative = false;
  std::string_view whole;     // without zeros before it
  std::string_view fraction;  // without zeros behind it
  bool is_zero() const { return whole.empty() && fraction.empty(); }
};

Number parts_of(std::string_view text) {
  Number number;
  number.negative = text.starts_with('-');
  if (number.negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  number.whole = text.substr(0, point);
  if (point != std::string_view::npos) number.fraction = text.substr(point + 1);
  while (number.whole.starts_with('0')) number.whole.remove_prefix(1);
  while (number.fraction.ends_with('0')) number.fraction.remove_suffix(1);
  return number;
}

int sign_of(int order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

int compare_sizes(const Number& one, const Number& other) {
  if (one.whole.size() != other.whole.size()) return one.whole.size() < other.whole.size() ? -1 : 1;
  if (const int order = sign_of(one.whole.compare(other.whole)); order != 0) return order;
  return sign_of(one.fraction.compare(other.fraction));
}

// `*` any rest or none, `?` one byte. The last star alone is gone back to: its rest grows by one.
bool matches_pattern(std::string_view pattern, std::string_view text) {
  size_t at = 0;
  size_t in = 0;
  std::optional<size_t> star;
  size_t rest = 0;
  while (in < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      rest = in;
    } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == text[in])) {
      ++at;
      ++in;
    } else if (star) {
      at = *star + 1;
      in = ++rest;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

}  // namespace

bool is_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction = point == std::string_view::npos ? std::string_view("0") : text.substr(point + 1);
  if (whole.empty() || fraction.empty() || whole.size() + fraction.size() > kNumberDigitsMax) return false;
  return std::all_of(whole.begin(), whole.end(), is_digit) && std::all_of(fraction.begin(), fraction.end(), is_digit);
}

int compare_numbers(std::string_view one, std::string_view other) {
  const Number left = parts_of(one);
  const Number right = parts_of(other);
  const bool left_negative = left.negative && !left.is_zero();
  const bool right_negative = right.negative && !right.is_zero();
  if (left_negative != right_negative) return left_negative ? -1 : 1;
  return left_negative ? compare_sizes(right, left) : compare_sizes(left, right);
}

// Recursive descent; every error says where.
class FleetQueryParser {
 public:
  explicit FleetQueryParser(std::string_view text) : text_(text) {}

  Result<FleetQuery> run() {
    if (text_.size() > kQueryBytesMax) return fail("a query has at most 1,024 bytes");
    const uint32_t root = any_of(0);
    skip_spaces();
    if (!error_ && at_ < text_.size()) wrong("there is something behind the end");
    if (error_) return std::move(*error_);
    query_.root_ = root;
    return std::move(query_);
  }

 private:
  using Node = FleetQuery::Node;
  using Kind = FleetQuery::Kind;
  using Field = FleetQuery::Field;

  static Error fail(std::string why) { return {Errc::invalid_argument, "query: " + std::move(why), 0}; }
  void wrong(const std::string& why) {
    if (!error_) error_ = fail(why + " (at byte " + std::to_string(at_ + 1) + ")");
  }
  uint32_t add(Node node) {
    query_.nodes_.push_back(std::move(node));
    return static_cast<uint32_t>(query_.nodes_.size() - 1);
  }
  void skip_spaces() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool at_end() {
    skip_spaces();
    return at_ == text_.size() || text_[at_] == ')';
  }
  // The word stands alone.
  bool sees_word(std::string_view word) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(word)) return false;
    const size_t behind = at_ + word.size();
    return behind == text_.size() || is_space(text_[behind]) || text_[behind] == '(' || text_[behind] == ')';
  }
  bool take_word(std::string_view word) {
    if (!sees_word(word)) return false;
    at_ += word.size();
    return true;
  }
  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  uint32_t joined(Kind kind, std::vector<uint32_t> parts) {
    if (parts.size() == 1) return parts.front();
    Node node;
    node.kind = kind;
    node.parts = std::move(parts);
    return add(std::move(node));
  }

  uint32_t any_of(size_t depth) {
    std::vector<uint32_t> parts{all_of(depth)};
    while (!error_ && take_word("OR")) parts.push_back(all_of(depth));
    return joined(Kind::any, std::move(parts));
  }

  uint32_t all_of(size_t depth) {
    std::vector<uint32_t> parts{one_of(depth)};
    while (!error_ && !at_end() && !sees_word("OR")) {
      (void)take_word("AND");
      parts.push_back(one_of(depth));
    }
    return joined(Kind::all, std::move(parts));
  }

  uint32_t one_of(size_t depth) {
    if (depth >= kQueryDepthMax) return wrong("it is nested more than 16 deep"), 0;
    if (take_word("NOT")) {
      Node node;
      node.kind = Kind::none;
      node.parts = {one_of(depth + 1)};
      return add(std::move(node));
    }
    if (!take('(')) return term();
    const uint32_t inner = any_of(depth + 1);
    if (!error_ && !take(')')) wrong("a parenthesis is not closed");
    return inner;
  }

  std::string word(std::string_view ends) {
    const size_t from = at_;
    while (at_ < text_.size() && !is_space(text_[at_]) && ends.find(text_[at_]) == std::string_view::npos) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }

  bool take_field(Node& node) {
    const size_t from = at_;
    const std::string name = word(":()\"");
    constexpr std::pair<std::string_view, Field> kFields[] = {{"thingName", Field::name},
                                                              {"thingTypeName", Field::type},
                                                              {"thingGroupNames", Field::groups},
                                                              {"tags", Field::tags},
                                                              {"connectivity.connected", Field::connected}};
    constexpr std::string_view kAttributes = "attributes.";
    if (name.starts_with(kAttributes) && valid_name(name.substr(kAttributes.size()))) {
      node.field = Field::attribute;
      node.attribute = name.substr(kAttributes.size());
      return true;
    }
    for (const auto& [known, field] : kFields) {
      if (name != known) continue;
      node.field = field;
      return true;
    }
    at_ = from;
    wrong(
        "there is no such field: thingName, thingTypeName, thingGroupNames, tags, attributes.NAME, "
        "connectivity.connected");
    return false;
  }

  uint32_t term() {
    skip_spaces();
    if (++terms_ > kQueryTermsMax) return wrong("it has more than 64 terms"), 0;
    Node node;
    if (at_ == text_.size()) return wrong("a term is missing"), 0;
    if (!take_field(node)) return 0;
    if (!take(':')) return wrong("a term is FIELD:VALUE"), 0;
    skip_spaces();
    take_value(node);
    const bool flag = node.kind == Kind::is && (node.value == "true" || node.value == "false");
    if (!error_ && node.field == Field::connected && !flag) wrong("connectivity.connected is true or false");
    return add(std::move(node));
  }

  void take_value(Node& node) {
    if (take('[')) return take_range(node);
    if (take('"')) return take_quoted(node);
    const bool greater = take('>');
    const bool compares = greater || take('<');
    const bool equal = compares && take('=');
    skip_spaces();
    node.value = word(")");
    if (compares) {
      node.kind = greater ? (equal ? Kind::greater_equal : Kind::greater) : (equal ? Kind::less_equal : Kind::less);
      if (!is_number(node.value)) wrong("a number of at most 36 digits is missing");
      return;
    }
    node.kind = Kind::is;
    if (node.value.empty()) wrong("a value is missing");
  }

  void take_range(Node& node) {
    node.kind = Kind::between;
    skip_spaces();
    node.value = word("]");
    const bool to = take_word("TO");
    skip_spaces();
    node.upper = word("]");
    if (!to || !take(']') || !is_number(node.value) || !is_number(node.upper)) wrong("a range is [N TO M]");
  }

  void take_quoted(Node& node) {
    node.kind = Kind::is;
    node.quoted = true;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      node.value += text_[at_++];
    }
    if (at_ == text_.size()) return wrong("a quote is not closed");
    ++at_;
  }

  const std::string_view text_;
  size_t at_ = 0;
  size_t terms_ = 0;
  FleetQuery query_;
  std::optional<Error> error_;
};

Result<FleetQuery> FleetQuery::parse(std::string_view text) { return FleetQueryParser(text).run(); }

bool FleetQuery::wants(uint32_t node, const Thing& thing, bool connected, size_t& steps) const {
  const Node& of = nodes_[node];
  const auto holds = [&](uint32_t part) { return wants(part, thing, connected, steps); };
  if (of.kind == Kind::all) return std::all_of(of.parts.begin(), of.parts.end(), holds);
  if (of.kind == Kind::any) return std::any_of(of.parts.begin(), of.parts.end(), holds);
  if (of.kind == Kind::none) return !holds(of.parts.front());
  return term_wants(of, thing, connected, steps);
}

bool FleetQuery::term_wants(const Node& term, const Thing& thing, bool connected, size_t& steps) {
  const auto wants = [&](const std::string& value) { return value_wants(term, value, steps); };
  switch (term.field) {
    case Field::name: return wants(thing.name);
    case Field::type: return !thing.type.empty() && wants(thing.type);
    case Field::groups: return std::any_of(thing.groups.begin(), thing.groups.end(), wants);
    case Field::tags: return std::any_of(thing.tags.begin(), thing.tags.end(), wants);
    case Field::connected: return connected == (term.value == "true");
    case Field::attribute: break;
  }
  const auto found = thing.attributes.find(term.attribute);
  return found != thing.attributes.end() && wants(found->second);
}

bool FleetQuery::value_wants(const Node& term, std::string_view value, size_t& steps) {
  const size_t star = term.kind == Kind::is && !term.quoted ? term.value.find('*') : std::string::npos;
  const bool goes_back = star != std::string::npos && star + 1 < term.value.size();
  steps += goes_back ? term.value.size() * value.size() : value.size();
  if (term.kind == Kind::is) return term.quoted ? value == term.value : matches_pattern(term.value, value);
  if (!is_number(value)) return false;
  const int order = compare_numbers(value, term.value);
  switch (term.kind) {
    case Kind::greater: return order > 0;
    case Kind::greater_equal: return order >= 0;
    case Kind::less: return order < 0;
    case Kind::less_equal: return order <= 0;
    default: return order >= 0 && compare_numbers(value, term.upper) <= 0;
  }
}

}  // namespace heptane::iot::devices
