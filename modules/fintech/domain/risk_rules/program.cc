#include "modules/fintech/domain/risk_rules/program.h"

#include <algorithm>

#include "modules/fintech/domain/ledger/amount.h"

namespace heptane::fintech::risk_rules {

namespace {

constexpr uint32_t kListFuel = 7;    // beside the instruction's
constexpr uint32_t kWindowFuel = 7;  // and 1 for each event that is over

template <class E, size_t kCount>
std::string_view name_in(const std::string_view (&names)[kCount], E value) {
  return names[std::min(static_cast<size_t>(value), kCount - 1)];
}

bool in_list(const List& list, const Facts& facts, Field field) {
  if (!list.numbers) return std::binary_search(list.texts.begin(), list.texts.end(), facts.text(field));
  const Int128 number = facts.number(field);
  return std::binary_search(list.values.begin(), list.values.end(), number, [](Int128 a, Int128 b) { return a < b; });
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  static constexpr std::string_view kNames[] = {"allow", "review", "deny"};
  return name_in(kNames, verdict);
}

std::string_view field_name(Field field) {
  static constexpr std::string_view kNames[kFields] = {"account", "firm",    "instrument", "side",  "type",
                                                       "action",  "session", "quantity",   "price", "notional"};
  return name_in(kNames, field);
}

std::string_view kind_name(NodeKind kind) {
  static constexpr std::string_view kNames[kNodeKinds] = {
      "number", "field", "window", "+", "-", "*", "<", "<=", "=", "!=", ">=", ">", "all", "any", "not", "is", "in"};
  return name_in(kNames, kind);
}

std::string_view key_name(KeyPart part) {
  static constexpr std::string_view kNames[kKeyParts] = {"none", "account", "firm", "instrument", "session"};
  return name_in(kNames, part);
}

std::string_view adds_name(Adds adds) {
  static constexpr std::string_view kNames[] = {"orders", "quantity", "notional"};
  return name_in(kNames, adds);
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

std::string number_text(Int128 number) {
  if (number >= 0) return fintech::number_text(static_cast<Uint128>(number));
  return "-" + fintech::number_text(-static_cast<Uint128>(number));
}

Int128 Facts::number(Field field) const {
  if (field == Field::quantity) return quantity;
  return field == Field::price ? price : notional;
}

uint64_t Facts::key(const WindowSpec& window) const {
  return uint64_t{ids[static_cast<size_t>(window.first)]} << 32 | ids[static_cast<size_t>(window.second)];
}

Uint128 Facts::adds(const WindowSpec& window) const {
  if (window.adds == Adds::orders) return 1;
  return window.adds == Adds::quantity ? more_quantity : more_notional;
}

// One rule over one order.
struct Program::Run {
  const Program& program;
  const Facts& facts;
  std::span<const Window> windows;
  const Room& room;
  uint32_t fuel;
  Outcome outcome{};
  std::array<Int128, kNestingMax + 2> stack{};
  size_t size = 0;

  void push(Int128 value) { stack[size++] = value; }
  Int128 pop() { return stack[--size]; }
  Int128& top() { return stack[size - 1]; }
  // False: there is not so much.
  bool spend(uint32_t more) {
    if (fuel < more) outcome.cause = Cause::fuel;
    fuel -= std::min(fuel, more);
    return outcome.cause == Cause::none;
  }

  // Whether it holds; where `outcome.cause` is set it could not be judged.
  bool holds(const Rule& rule) {
    for (uint32_t at = rule.first; at < rule.behind;) {
      if (!spend(1)) return false;
      at = step(program.code_[at], at);
      if (outcome.cause != Cause::none) return false;
    }
    return pop() != 0;
  }
  uint32_t step(const Instruction& i, uint32_t at) {
    switch (i.op) {
      case Op::number: push(i.number); break;
      case Op::field: push(facts.number(i.field)); break;
      case Op::window: read(windows[i.at]); break;
      case Op::add:
      case Op::subtract:
      case Op::multiply: reckon(i.op); break;
      case Op::negate: top() = top() == 0; break;
      case Op::is: tested(at, facts.text(i.field) == program.texts_[i.at]); break;
      case Op::in:
        if (spend(kListFuel)) tested(at, in_list(*program.lists_[i.at], facts, i.field));
        break;
      case Op::skip_if_false: return top() == 0 ? i.at : at + 1;
      case Op::skip_if_true: return top() != 0 ? i.at : at + 1;
      case Op::drop: (void)pop(); break;
      default: compare(i.op, at); break;
    }
    return at + 1;
  }
  void tested(uint32_t at, bool holds) {
    outcome.test = at + 1;
    push(holds ? 1 : 0);
  }
  void read(const Window& window) {
    if (!spend(kWindowFuel)) return;
    const Window::Reading reading = window.read(facts.key(window.spec()), facts.time, room);
    if (!spend(reading.looked)) return;
    if (reading.full) outcome.cause = Cause::full;
    push(static_cast<Int128>(reading.sum + std::min(facts.adds(window.spec()), kAmountMax)));
  }
  void reckon(Op op) {
    const Int128 b = pop();
    const Int128 a = pop();
    Int128 made = 0;
    const bool beyond = op == Op::add        ? __builtin_add_overflow(a, b, &made)
                        : op == Op::subtract ? __builtin_sub_overflow(a, b, &made)
                                             : __builtin_mul_overflow(a, b, &made);
    if (beyond) outcome.cause = Cause::overflow;
    push(made);
  }
  void compare(Op op, uint32_t at) {
    const Int128 b = pop();
    const Int128 a = pop();
    outcome.value = a;
    outcome.limit = b;
    tested(at, op == Op::less       ? a < b
               : op == Op::at_most  ? a <= b
               : op == Op::equal    ? a == b
               : op == Op::unequal  ? a != b
               : op == Op::at_least ? a >= b
                                    : a > b);
  }
};

Outcome Program::judge(const Facts& facts, std::span<const Window> windows, const Room& room) const {
  Outcome worst;
  for (uint32_t number = 0; number < rules_.size() && worst.verdict != Verdict::deny; ++number) {
    const Rule& rule = rules_[number];
    Run run{*this, facts, windows, room, rule.fuel};
    const bool holds = run.holds(rule);
    Outcome& of = run.outcome;
    of.rule = number;
    if (of.cause == Cause::full)
      of.verdict = Verdict::review;
    else if (of.cause != Cause::none)
      of.verdict = rule.on_error;
    else if (holds)
      of.verdict = rule.then, of.cause = Cause::holds;
    if (of.verdict > worst.verdict) worst = of;
  }
  return worst;
}

std::string Program::why(const Outcome& outcome, const Facts& facts) const {
  const Rule& rule = rules_[outcome.rule];
  std::string text = "rule " + rule.name + ": ";
  if (outcome.cause == Cause::fuel) return text + "it takes more than its fuel, " + std::to_string(rule.fuel);
  if (outcome.cause == Cause::overflow) return text + "it reckons beyond 127 bits";
  if (outcome.cause == Cause::full) return text + "there is no room left to count the order in a window";
  if (outcome.test == 0) return text + "it always holds";
  const Instruction& test = code_[outcome.test - 1];
  if (test.op != Op::is && test.op != Op::in)
    return text + texts_[test.at] + " is " + number_text(outcome.value) + ", its limit is " +
           number_text(outcome.limit);
  const std::string value =
      is_text(test.field) ? std::string(facts.text(test.field)) : number_text(facts.number(test.field));
  text += std::string(field_name(test.field)) + " is " + (value.empty() ? "empty" : value);
  return test.op == Op::is ? text : text + ", the rule looks for it in the list " + lists_[test.at]->name;
}

std::string Program::why_for_client(const Outcome& outcome, const Facts& facts) const {
  const Rule& rule = rules_[outcome.rule];
  return rule.of_all ? "rule " + rule.name : why(outcome, facts);
}

bool Program::uses(const List& list) const { return std::find(lists_.begin(), lists_.end(), &list) != lists_.end(); }

uint64_t Program::memory_bytes() const {
  uint64_t bytes = code_.capacity() * sizeof(Instruction) + rules_.capacity() * sizeof(Rule);
  for (const std::string& text : texts_) bytes += sizeof text + text.capacity();
  return bytes;
}

}  // namespace heptane::fintech::risk_rules
