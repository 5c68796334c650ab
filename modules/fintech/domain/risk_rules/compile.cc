// What is declared is judged, and made into instructions.
#include <algorithm>
#include <set>

#include "modules/fintech/domain/risk_rules/program.h"

namespace heptane::fintech::risk_rules {

namespace {

Error wrong(const std::string& path, const std::string& what) {
  return {Errc::invalid_argument, path + ": " + what, 0};
}

bool reckons(NodeKind kind) { return kind >= NodeKind::add && kind <= NodeKind::multiply; }
bool compares(NodeKind kind) { return kind >= NodeKind::less && kind <= NodeKind::more; }
bool makes_number(NodeKind kind) { return kind <= NodeKind::multiply; }

std::string between(uint64_t least, uint64_t most) {
  return "is " + std::to_string(least) + " to " + std::to_string(most);
}

constexpr const char* kNameRule = "a name is 1 to 32 of A-Z a-z 0-9 . _ -";

Result<void> judge_window(const WindowSpec& window, std::set<std::string>& names) {
  const std::string path = "windows." + window.name.substr(0, kNameMax);
  if (!valid_name(window.name)) return wrong(path, kNameRule);
  if (!names.insert(window.name).second) return wrong(path, "there is one of this name");
  if (window.first == KeyPart::none) return wrong(path + ".key", "is one or two of account, firm, instrument, session");
  if (window.first == window.second) return wrong(path + ".key", "names the same twice");
  if (window.seconds < 1 || window.seconds > kSecondsMax) return wrong(path + ".seconds", between(1, kSecondsMax));
  if (window.exact < 1 || window.exact > kExactMax) return wrong(path + ".exact", between(1, kExactMax));
  if (window.keys < 1 || window.keys > kKeysMax) return wrong(path + ".keys", between(1, kKeysMax));
  return {};
}

Result<void> judge_windows(const std::vector<WindowSpec>& windows) {
  if (windows.size() > kWindowsMax) return wrong("windows", "there are more than " + std::to_string(kWindowsMax));
  std::set<std::string> names;
  uint64_t keys = 0;
  for (const WindowSpec& window : windows) {
    HEPTANE_TRY(judge_window(window, names));
    keys += window.keys;
  }
  if (keys > kAllKeysMax)
    return wrong("windows",
                 "their keys together are " + std::to_string(keys) + ", at most " + std::to_string(kAllKeysMax));
  return {};
}

Result<void> judge_rules(const std::vector<RuleSpec>& rules) {
  if (rules.size() > kRulesMax) return wrong("rules", "there are more than " + std::to_string(kRulesMax));
  std::set<std::string> names;
  uint64_t fuel = 0;
  for (size_t n = 0; n < rules.size(); ++n) {
    const std::string path = "rules[" + std::to_string(n) + "]";
    if (!valid_name(rules[n].name)) return wrong(path + ".name", kNameRule);
    if (!names.insert(rules[n].name).second) return wrong(path + ".name", "there is a rule of this name");
    if (rules[n].then == Verdict::allow) return wrong(path + ".then", "is review or deny");
    if (rules[n].fuel < 1 || rules[n].fuel > kFuelMax) return wrong(path + ".fuel", between(1, kFuelMax));
    fuel += rules[n].fuel;
  }
  if (fuel > kAllFuelMax)
    return wrong("rules",
                 "their fuel together is " + std::to_string(fuel) + ", at most " + std::to_string(kAllFuelMax));
  return {};
}

}  // namespace

// One pass over the nodes of a rule: children before their parent, conditions of which one decides skip the rest.
class Compiler {
 public:
  Compiler(const RuleSetSpec& spec, const Lists& lists) : spec_(spec), lists_(lists) {}

  Result<Program> compile() {
    HEPTANE_TRY(judge_windows(spec_.windows));
    HEPTANE_TRY(judge_rules(spec_.rules));
    size_t nodes = 0;
    for (const RuleSpec& rule : spec_.rules) nodes += rule.when.size();
    if (nodes > kNodesMax)
      return wrong("rules",
                   "their conditions have " + std::to_string(nodes) + " parts, at most " + std::to_string(kNodesMax));
    for (size_t n = 0; n < spec_.rules.size(); ++n) HEPTANE_TRY(add_rule(spec_.rules[n], n));
    return std::move(made_);
  }

 private:
  using Op = Program::Op;

  Result<void> add_rule(const RuleSpec& rule, size_t number) {
    nodes_ = &rule.when;
    next_ = 0;
    const std::string path = "rules[" + std::to_string(number) + "].when";
    const auto first = static_cast<uint32_t>(made_.code_.size());
    HEPTANE_TRY(add(path, false, 0));
    if (next_ != rule.when.size()) return wrong(path, "more follows behind the condition");
    const auto behind = static_cast<uint32_t>(made_.code_.size());
    made_.rules_.push_back({rule.name, first, behind, rule.then, rule.on_error, rule.fuel, reads_all(first, behind)});
    return {};
  }

  // A window in which every firm's orders are counted.
  bool reads_all(uint32_t first, uint32_t behind) const {
    const auto of_nobody = [](KeyPart part) { return part == KeyPart::none || part == KeyPart::instrument; };
    return std::any_of(made_.code_.begin() + first, made_.code_.begin() + behind, [&](const auto& instruction) {
      if (instruction.op != Op::window) return false;
      const WindowSpec& window = spec_.windows[instruction.at];
      return of_nobody(window.first) && of_nobody(window.second);
    });
  }

  Result<void> add(const std::string& path, bool number, uint32_t depth) {
    if (depth >= kNestingMax) return wrong(path, "is nested deeper than " + std::to_string(kNestingMax));
    if (next_ >= nodes_->size()) return wrong(path, "is missing");
    const Node& node = (*nodes_)[next_++];
    if (makes_number(node.kind) != number)
      return wrong(path, std::string(kind_name(node.kind)) + (number ? " is a condition where a number is needed"
                                                                     : " is a number where a condition is needed"));
    if (reckons(node.kind) || compares(node.kind)) return add_pair(node, path, depth);
    if (node.kind == NodeKind::all || node.kind == NodeKind::any) return add_many(node, path, depth);
    if (node.kind == NodeKind::negate) return add_negated(node, path, depth);
    if (node.children != 0) return wrong(path, std::string(kind_name(node.kind)) + " has no parts");
    return add_leaf(node, path);
  }

  Result<void> add_pair(const Node& node, const std::string& path, uint32_t depth) {
    const std::string below = path + "." + std::string(kind_name(node.kind));
    if (node.children != 2) return wrong(below, "is two numbers");
    const uint32_t label = text_of(label_of(next_));
    HEPTANE_TRY(add(below + "[0]", true, depth + 1));
    HEPTANE_TRY(add(below + "[1]", true, depth + 1));
    const auto op =
        static_cast<uint8_t>(node.kind) - static_cast<uint8_t>(NodeKind::add) + static_cast<uint8_t>(Op::add);
    emit({static_cast<Op>(op), Field::account, label, 0});
    return {};
  }

  Result<void> add_many(const Node& node, const std::string& path, uint32_t depth) {
    const std::string below = path + "." + std::string(kind_name(node.kind));
    if (node.children == 0) return wrong(below, "is at least one condition");
    std::vector<size_t> skips;
    for (uint32_t n = 0; n < node.children; ++n) {
      HEPTANE_TRY(add(below + "[" + std::to_string(n) + "]", false, depth + 1));
      if (n + 1 == node.children) break;
      skips.push_back(made_.code_.size());
      emit({node.kind == NodeKind::all ? Op::skip_if_false : Op::skip_if_true, Field::account, 0, 0});
      emit({Op::drop, Field::account, 0, 0});
    }
    for (const size_t skip : skips) made_.code_[skip].at = static_cast<uint32_t>(made_.code_.size());
    return {};
  }

  Result<void> add_negated(const Node& node, const std::string& path, uint32_t depth) {
    if (node.children != 1) return wrong(path + ".not", "is one condition");
    HEPTANE_TRY(add(path + ".not", false, depth + 1));
    emit({Op::negate, Field::account, 0, 0});
    return {};
  }

  Result<void> add_leaf(const Node& node, const std::string& path) {
    switch (node.kind) {
      case NodeKind::number: emit({Op::number, Field::account, 0, node.number}); return {};
      case NodeKind::field:
        if (is_text(node.field))
          return wrong(path + ".field", std::string(field_name(node.field)) + " is a text: use is or in");
        emit({Op::field, node.field, 0, 0});
        return {};
      case NodeKind::window: return add_window(node, path);
      case NodeKind::is: return add_is(node, path);
      default: return add_in(node, path);
    }
  }

  Result<void> add_window(const Node& node, const std::string& path) {
    const auto found = std::find_if(spec_.windows.begin(), spec_.windows.end(),
                                    [&](const WindowSpec& window) { return window.name == node.text; });
    if (found == spec_.windows.end())
      return wrong(path + ".window", "there is no window " + node.text.substr(0, kTextMax));
    emit({Op::window, Field::account, static_cast<uint32_t>(found - spec_.windows.begin()), 0});
    return {};
  }

  Result<void> add_is(const Node& node, const std::string& path) {
    if (!is_text(node.field))
      return wrong(path + ".is", std::string(field_name(node.field)) + " is a number: compare it with =");
    if (node.text.size() > kTextMax)
      return wrong(path + ".is", "the text has more than " + std::to_string(kTextMax) + " bytes");
    emit({Op::is, node.field, text_of(node.text), 0});
    return {};
  }

  Result<void> add_in(const Node& node, const std::string& path) {
    const auto found = lists_.find(node.text);
    if (found == lists_.end())
      return wrong(path + ".in", "there is no list " + node.text.substr(0, kTextMax) + ": put it first");
    if (found->second.numbers == is_text(node.field))
      return wrong(path + ".in", "the list " + node.text + " is one of " +
                                     (found->second.numbers ? "numbers, " : "texts, ") +
                                     std::string(field_name(node.field)) + " is not");
    made_.lists_.push_back(&found->second);
    emit({Op::in, node.field, static_cast<uint32_t>(made_.lists_.size() - 1), 0});
    return {};
  }

  std::string label_of(size_t at) const {
    if (at >= nodes_->size()) return {};
    const Node& node = (*nodes_)[at];
    if (node.kind == NodeKind::window) return node.text.substr(0, kNameMax);
    return node.kind == NodeKind::field ? std::string(field_name(node.field)) : "what is reckoned";
  }
  uint32_t text_of(std::string text) {
    made_.texts_.push_back(std::move(text));
    return static_cast<uint32_t>(made_.texts_.size() - 1);
  }
  void emit(Program::Instruction instruction) { made_.code_.push_back(instruction); }

  const RuleSetSpec& spec_;
  const Lists& lists_;
  Program made_;
  const std::vector<Node>* nodes_ = nullptr;
  size_t next_ = 0;
};

Result<Program> Program::compile(const RuleSetSpec& spec, const Lists& lists) {
  return Compiler(spec, lists).compile();
}

}  // namespace heptane::fintech::risk_rules
