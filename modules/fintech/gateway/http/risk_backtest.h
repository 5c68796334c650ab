// Other rules over the orders that were judged once, as fintech.risk tells them: what they would have said of each. Windows begin empty and count what
// the other rules let through; nothing else is done again: an order stands here with the size, price and time that it had,
// whatever would have become of book and balances. Rules and lists that were in force then, told from the first order on, say the same again. One owner.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "modules/fintech/domain/risk_rules/rule_book.h"

namespace heptane::fintech::exchange_http {

class RiskBacktest {
 public:
  // Refused as the rules would be where they are put.
  static Result<RiskBacktest> make(risk_rules::RuleSetSpec spec, const risk_rules::Lists& lists);

  // A record of fintech.risk at its position; others than verdicts are passed over. A line of JSON where the verdict differs, else nothing.
  std::string take(std::string_view record, std::string_view position);

  uint64_t judged() const { return judged_; }
  uint64_t differ() const { return differ_; }
  // Of the other rules, by verdict.
  const std::array<uint64_t, 3>& verdicts() const { return verdicts_; }
  uint64_t unread() const { return unread_; }  // verdicts that do not read

 private:
  RiskBacktest() = default;
  // Numbers for names, in the order in which they came.
  uint32_t number_of(const std::string& name) {
    return numbers_.emplace(name, static_cast<uint32_t>(numbers_.size() + 1)).first->second;
  }

  risk_rules::RuleBook book_;
  std::map<std::string, uint32_t> numbers_;
  uint64_t judged_ = 0;
  uint64_t differ_ = 0;
  uint64_t unread_ = 0;
  std::array<uint64_t, 3> verdicts_{};
};

}  // namespace heptane::fintech::exchange_http
