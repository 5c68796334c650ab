// Rules compiled once into a flat program for a stack of whole numbers, and what it says of an order.
//
// Every rule is judged, the worst verdict wins, and of those the first; behind a deny nothing is. A rule whose condition holds
// answers its `then`; one that spends more than its fuel, or reckons beyond 127 bits, its `on_error`; one that reads a window
// without room for the order, review. An instruction costs 1 fuel, a list 8, a window 8 and 1 for each event that is over.
// Pure; any thread.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "modules/fintech/domain/ledger/types.h"
#include "modules/fintech/domain/risk_rules/spec.h"
#include "modules/fintech/domain/risk_rules/windows.h"

namespace heptane::fintech::risk_rules {

__extension__ typedef __int128 Int128;  // NOLINT(modernize-use-using)

constexpr size_t kKeyParts = 5;
constexpr size_t kTextFields = 7;

// What rules know of an order. The texts outlive it.
struct Facts {
  std::array<std::string_view, kTextFields> texts;  // by Field
  std::array<uint32_t, kKeyParts> ids{};            // by KeyPart; of `none` 0
  Int128 quantity = 0;
  Int128 price = 0;
  Int128 notional = 0;
  Uint128 more_quantity = 0;  // than was open
  Uint128 more_notional = 0;
  LogTime time = 0;

  std::string_view text(Field field) const { return texts[static_cast<size_t>(field)]; }
  Int128 number(Field field) const;
  uint64_t key(const WindowSpec& window) const;
  Uint128 adds(const WindowSpec& window) const;
};

using Lists = std::map<std::string, List>;

enum class Cause : uint8_t { none, holds, fuel, overflow, full };

struct Outcome {
  Verdict verdict = Verdict::allow;
  uint32_t rule = 0;  // of RuleSetSpec::rules; where the verdict is not allow
  Cause cause = Cause::none;
  // The last test that was made: `label` is `value`, its limit is `limit`; or a text is, or is in, another one.
  uint32_t test = 0;  // instruction and 1; 0: none was made
  Int128 value = 0;
  Int128 limit = 0;
};

class Program {
 public:
  Program() = default;
  // Names the path in the JSON of what is wrong: `rules[2].when.all[0]: ...`. The lists outlive the program, and stay as they are.
  static Result<Program> compile(const RuleSetSpec& spec, const Lists& lists);

  bool empty() const { return rules_.empty(); }
  // Windows as in the specification.
  Outcome judge(const Facts& facts, std::span<const Window> windows, const Room& room) const;
  // Why: `rule fast: orders_10s is 21, its limit is 20`.
  std::string why(const Outcome& outcome, const Facts& facts) const;
  // The same for who sent the order: without numbers where the rule reads a window in which others are counted, too.
  std::string why_for_client(const Outcome& outcome, const Facts& facts) const;
  const std::string& rule_name(uint32_t rule) const { return rules_[rule].name; }
  bool uses(const List& list) const;
  uint64_t memory_bytes() const;

 private:
  friend class Compiler;
  struct Run;

  enum class Op : uint8_t {
    number,
    field,
    window,
    add,
    subtract,
    multiply,
    less,
    at_most,
    equal,
    unequal,
    at_least,
    more,
    negate,
    is,
    in,
    skip_if_false,  // to Instruction::at, the value stays
    skip_if_true,
    drop,
  };
  struct Instruction {
    Op op = Op::number;
    Field field = Field::account;
    uint32_t at = 0;  // window, list, text, or instruction
    int64_t number = 0;
  };
  struct Rule {
    std::string name;
    uint32_t first = 0;  // instruction
    uint32_t behind = 0;
    Verdict then = Verdict::deny;
    Verdict on_error = Verdict::review;
    uint32_t fuel = 0;
    bool of_all = false;  // it reads a window of neither an account nor a firm nor a session
  };

  std::vector<Instruction> code_;
  std::vector<Rule> rules_;
  std::vector<std::string> texts_;
  std::vector<const List*> lists_;
};

std::string number_text(Int128 number);

}  // namespace heptane::fintech::risk_rules
