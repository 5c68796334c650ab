#include "modules/iot/machine/rules/command_words.h"

#include <algorithm>
#include <array>

#include "modules/fintech/domain/ledger/amount.h"
#include "modules/iot/machine/rules/rule_api.h"

namespace heptane::iot::rules {

namespace {

constexpr size_t kMovesTold = 8;  // of a run

// By the records that it comes from.
std::string told_move(const RuleInput& input) {
  return "offset " + std::to_string(input.offset) + " moves " + fintech::number_text(input.transfer->amount) +
         " from " + fintech::number_text(input.transfer->debit) + " to " + fintech::number_text(input.transfer->credit);
}

std::string told_commit(Bytes payload) {
  const std::optional<RuleCommit> commit = decode_commit(payload);
  if (!commit) return "";
  const auto faults =
      std::ranges::count_if(commit->inputs, [](const RuleInput& input) { return !input.fault.empty(); });
  std::string text = "rule " + std::string(commit->rule) + " version " + std::to_string(commit->version) +
                     ": offsets from " + std::to_string(commit->from) + " to before " + std::to_string(commit->upto) +
                     " of partition " + std::to_string(commit->index) + ", " + std::to_string(commit->inputs.size()) +
                     " with effects";
  if (faults > 0) text += ", " + std::to_string(faults) + " of them dead letters";
  size_t told = 0;
  for (const RuleInput& input : commit->inputs)
    if (input.transfer && ++told <= kMovesTold) text += "; " + told_move(input);
  if (told > kMovesTold) text += "; and " + std::to_string(told - kMovesTold) + " more";
  return text;
}

constexpr auto kWords = std::to_array<CommandWords>({
    {kRulesMachineId, kPutRule, "make or change a rule", nullptr},
    {kRulesMachineId, kDropRule, "delete a rule", nullptr},
    {kRulesMachineId, kPauseRule, "a rule pauses", nullptr},
    {kRulesMachineId, kResumeRule, "a rule goes on", nullptr},
    {kRulesMachineId, kRuleCommit, "a run of a rule: its effects and its position", told_commit},
});

}  // namespace

std::span<const CommandWords> rules_words() { return kWords; }

}  // namespace heptane::iot::rules
