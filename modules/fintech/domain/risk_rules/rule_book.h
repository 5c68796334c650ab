// The rules in force with their lists, and what they have counted. What is asked of it and refused has changed nothing.
//
// The version grows with every change of rules or lists, and says of a verdict what it was reached by. A window that a new set declares as
// the one before did goes on with what it counted, others begin empty. Windows count orders that were entered. One owner.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "modules/fintech/domain/risk_rules/program.h"

namespace heptane::fintech::risk_rules {

class RuleBook {
 public:
  // The key of its indexes: nothing that anybody can see depends on it.
  explicit RuleBook(uint64_t index_key = 0) : index_key_(index_key) {}
  RuleBook(RuleBook&&) = default;
  RuleBook& operator=(RuleBook&&) = default;

  // Whether orders are judged.
  bool on() const { return spec_.has_value(); }
  uint64_t version() const { return version_; }  // 0: nothing was ever put
  const std::optional<RuleSetSpec>& spec() const { return spec_; }
  const Lists& lists() const { return lists_; }
  const std::vector<Window>& windows() const { return windows_; }

  // None: no order is judged.
  Result<void> put(std::optional<RuleSetSpec> spec);
  // Ascending, each item once. Of one that rules name, the kind stays.
  Result<void> put_list(List list);
  Result<void> remove_list(const std::string& name);

  Outcome judge(const Facts& facts) const { return program_.judge(facts, windows_, room_); }
  std::string why(const Outcome& outcome, const Facts& facts) const { return program_.why(outcome, facts); }
  std::string why_for_client(const Outcome& outcome, const Facts& facts) const {
    return program_.why_for_client(outcome, facts);
  }
  const std::string& rule_name(const Outcome& outcome) const { return program_.rule_name(outcome.rule); }
  // How its order is held for the review; null: it is not.
  const ReviewSpec* review_of(const Outcome& outcome) const;
  // An order was entered.
  void count(const Facts& facts);
  // Windows of earlier sets are freed piece by piece, with the commands that come.
  bool frees() const { return !left_.empty(); }
  void free_some() {
    if (!left_.back().free_some()) left_.pop_back();
  }

  uint64_t memory_bytes() const;
  // Into a fresh one, lists and rules first.
  void restore_version(uint64_t version) { version_ = version; }
  void restore_left_out(size_t window, const Window::LeftOut& left_out) { windows_[window].restore_left_out(left_out); }
  // As Window::restore().
  bool restore_key(size_t window, const Window::Saved& saved) { return windows_[window].restore(saved, room_); }

 private:
  size_t items() const;
  void count_still();

  uint64_t index_key_;
  uint64_t version_ = 0;
  std::optional<RuleSetSpec> spec_;
  Lists lists_;
  Program program_;
  std::vector<Window> windows_;  // as in spec_
  std::vector<Window> left_;     // of earlier sets: no state
  Room room_;
  uint64_t still_bytes_ = 0;  // of the rules and lists
};

Result<void> check_list(const List& list);

}  // namespace heptane::fintech::risk_rules
