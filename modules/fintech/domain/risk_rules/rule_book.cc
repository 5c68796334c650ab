#include "modules/fintech/domain/risk_rules/rule_book.h"

#include <algorithm>
#include <utility>

namespace heptane::fintech::risk_rules {

namespace {

Error wrong_list(std::string what) { return {Errc::invalid_argument, std::move(what), 0}; }

template <class T>
bool ascends(const std::vector<T>& items) {
  return std::adjacent_find(items.begin(), items.end(), [](const T& a, const T& b) { return !(a < b); }) == items.end();
}

}  // namespace

Result<void> check_list(const List& list) {
  if (!valid_name(list.name)) return wrong_list("the name of a list is 1 to 32 of A-Z a-z 0-9 . _ -");
  if (list.size() > kListItemsMax)
    return wrong_list("items: there are " + std::to_string(list.size()) + ", a list has at most " +
                      std::to_string(kListItemsMax));
  if (!ascends(list.texts) || !ascends(list.values) || (list.numbers ? !list.texts.empty() : !list.values.empty()))
    return wrong_list("items: they are texts or numbers, each once, in their order");
  const auto found = std::find_if(list.texts.begin(), list.texts.end(),
                                  [](const std::string& text) { return text.size() > kTextMax; });
  if (found != list.texts.end())
    return wrong_list("items: a text has more than " + std::to_string(kTextMax) + " bytes");
  return {};
}

Result<void> RuleBook::put(std::optional<RuleSetSpec> spec) {
  Program program;
  if (spec) {
    Result<Program> made = Program::compile(*spec, lists_);
    if (!made) return made.error();
    program = std::move(*made);
  }
  std::vector<Window> windows;
  const std::vector<WindowSpec> declared = spec ? spec->windows : std::vector<WindowSpec>();
  for (const WindowSpec& window : declared) {
    const auto same =
        std::find_if(windows_.begin(), windows_.end(), [&](const Window& known) { return known.spec() == window; });
    if (same == windows_.end()) {
      windows.emplace_back(window, index_key_);
    } else {
      windows.push_back(std::move(*same));
      windows_.erase(same);
    }
  }
  for (Window& left : windows_) {
    left.leave(room_);
    left_.push_back(std::move(left));
  }
  windows_ = std::move(windows);
  program_ = std::move(program);
  spec_ = std::move(spec);
  ++version_;
  count_still();
  return {};
}

size_t RuleBook::items() const {
  size_t all = 0;
  for (const auto& [name, list] : lists_) all += list.size();
  return all;
}

Result<void> RuleBook::put_list(List list) {
  HEPTANE_TRY(check_list(list));
  const auto known = lists_.find(list.name);
  const size_t had = known == lists_.end() ? 0 : known->second.size();
  if (known == lists_.end() && lists_.size() >= kListsMax)
    return Error{Errc::overloaded, "there are " + std::to_string(kListsMax) + " lists", 0};
  if (items() - had + list.size() > kAllListItemsMax)
    return Error{Errc::overloaded, "all lists together have at most " + std::to_string(kAllListItemsMax) + " items", 0};
  if (known != lists_.end() && known->second.numbers != list.numbers && program_.uses(known->second))
    return Error{Errc::refused,
                 "rules name the list " + list.name + ": it stays one of " + (list.numbers ? "texts" : "numbers"), 0};
  std::string name = list.name;
  lists_[std::move(name)] = std::move(list);
  ++version_;
  count_still();
  return {};
}

Result<void> RuleBook::remove_list(const std::string& name) {
  const auto known = lists_.find(name);
  if (known == lists_.end()) return Error{Errc::not_found, "there is no list " + name, 0};
  if (program_.uses(known->second)) return Error{Errc::refused, "rules name the list " + name, 0};
  lists_.erase(known);
  ++version_;
  count_still();
  return {};
}

const ReviewSpec* RuleBook::review_of(const Outcome& outcome) const {
  const auto found = std::find_if(spec_->reviews.begin(), spec_->reviews.end(),
                                  [&](const ReviewSpec& review) { return review.rule == outcome.rule; });
  return found == spec_->reviews.end() ? nullptr : &*found;
}

void RuleBook::count(const Facts& facts) {
  for (Window& window : windows_) window.add(facts.key(window.spec()), facts.adds(window.spec()), facts.time, room_);
}

// Asked for with every command: what windows hold is counted as it comes, the rest where it changes.
uint64_t RuleBook::memory_bytes() const {
  uint64_t bytes = still_bytes_;
  for (const Window& window : windows_) bytes += window.memory_bytes();
  return bytes;
}

void RuleBook::count_still() {
  still_bytes_ = program_.memory_bytes();
  for (const auto& [name, list] : lists_) {
    still_bytes_ += sizeof list + list.values.capacity() * sizeof(int64_t);
    for (const std::string& text : list.texts) still_bytes_ += sizeof text + text.capacity();
  }
}

}  // namespace heptane::fintech::risk_rules
