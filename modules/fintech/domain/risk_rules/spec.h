// Rules over orders as they are declared: windows, and conditions as trees, node before its children. What is said is judged by
// compile() (program.h). Numbers are whole: prices and quantities in the instrument's smallest steps, notionals in the quote asset's
// smallest units. Plain data; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace heptane::fintech::risk_rules {

constexpr size_t kRulesMax = 128;
constexpr size_t kWindowsMax = 32;
constexpr size_t kNodesMax = 4'096;  // of all rules
constexpr uint32_t kNestingMax = 12;
constexpr size_t kNameMax = 32;        // of rules, windows, lists: A-Z a-z 0-9 . _ -
constexpr size_t kTextMax = 80;        // that a field is compared with
constexpr uint32_t kFuelMax = 10'000;  // of a rule
constexpr uint32_t kFuelDefault = 1'000;
constexpr uint32_t kAllFuelMax = 50'000;  // of all rules of an order
constexpr uint32_t kSecondsMax = 31 * 86'400;
constexpr uint32_t kExactMax = 1'024;  // events of a key
constexpr uint32_t kExactDefault = 256;
constexpr uint32_t kKeysMax = 1u << 20;  // of a window
constexpr uint32_t kKeysDefault = 65'536;
constexpr uint32_t kAllKeysMax = 1u << 21;  // of all windows

enum class Verdict : uint8_t { allow, review, deny };  // the worse, the later
std::string_view verdict_name(Verdict verdict);

// Of an order; what a replace makes of one is an order with another action.
enum class Field : uint8_t {
  // Texts.
  account,  // FIRM/ACCOUNT
  firm,
  instrument,
  side,     // buy, sell
  type,     // limit, market, stop, stop_limit
  action,   // new, replace
  session,  // FIX session; empty: over HTTP
  // Numbers.
  quantity,  // of a replace what would be open
  price,     // limit, or protection price
  notional,  // of the quantity at that price
};
constexpr uint8_t kFields = 10;
std::string_view field_name(Field field);
constexpr bool is_text(Field field) { return field <= Field::session; }

enum class NodeKind : uint8_t {
  // Numbers.
  number,  // Node::number
  field,   // Node::field
  window,  // Node::text: with the order at hand
  add,
  subtract,
  multiply,
  // Conditions over two numbers.
  less,
  at_most,
  equal,
  unequal,
  at_least,
  more,
  // Conditions over conditions.
  all,
  any,
  negate,
  // Conditions over a field.
  is,  // Node::field is Node::text
  in,  // Node::field is in the list Node::text
};
constexpr uint8_t kNodeKinds = 17;
// As the language writes it: `<=`.
std::string_view kind_name(NodeKind kind);

struct Node {
  NodeKind kind = NodeKind::number;
  Field field = Field::account;
  int64_t number = 0;
  std::string text;
  uint32_t children = 0;  // that follow, each with its own
};

enum class KeyPart : uint8_t { none, account, firm, instrument, session };
std::string_view key_name(KeyPart part);
enum class Adds : uint8_t { orders, quantity, notional };  // one of each order, or what it adds to what was open
std::string_view adds_name(Adds adds);

// How much came in the last `seconds` of log time, apart for each key.
struct WindowSpec {
  std::string name;
  KeyPart first = KeyPart::account;
  KeyPart second = KeyPart::none;
  Adds adds = Adds::orders;
  uint32_t seconds = 1;
  uint32_t exact = kExactDefault;  // events of a key that are kept as they came
  uint32_t keys = kKeysDefault;    // at most; beyond: review
  friend bool operator==(const WindowSpec&, const WindowSpec&) = default;
};

struct RuleSpec {
  std::string name;
  std::vector<Node> when;              // a condition
  Verdict then = Verdict::deny;        // where it holds: review or deny
  Verdict on_error = Verdict::review;  // where it cannot be judged: fuel, numbers beyond 127 bits
  uint32_t fuel = kFuelDefault;
};

// Of a rule by whose review a new order is held; of one without it is refused.
struct ReviewSpec {
  uint32_t rule = 0;     // of RuleSetSpec::rules
  uint32_t seconds = 0;  // until it is decided
  bool allows = false;   // by then, where nobody has
};

struct RuleSetSpec {
  std::vector<WindowSpec> windows;
  std::vector<RuleSpec> rules;
  std::vector<ReviewSpec> reviews;  // by rule, ascending
};

// A list that rules name: texts or numbers, ascending, each once.
struct List {
  std::string name;
  bool numbers = false;
  std::vector<std::string> texts;
  std::vector<int64_t> values;
  size_t size() const { return numbers ? values.size() : texts.size(); }
};
constexpr size_t kListsMax = 64;
constexpr size_t kListItemsMax = 10'000;      // of a list
constexpr size_t kAllListItemsMax = 131'072;  // of all lists
bool valid_name(std::string_view name);

}  // namespace heptane::fintech::risk_rules
