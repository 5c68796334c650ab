// What one command of a rule does: its transfers, appends and messages, and what is told of them. Made for the command and gone
// with it; the shard thread's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/shard/effects.h"
#include "modules/iot/machine/devices/shadow_changes.h"
#include "modules/iot/machine/rules/rule_api.h"

namespace heptane::streams {
class StreamsMachine;
}

namespace heptane::iot {
class JsonObject;
}

namespace heptane::iot::rules {

class RuleEffects {
 public:
  RuleEffects(const RuleRow& row, const RuleCommit& commit, const Command& command, Effects& effects);

  // The most that the commit's records may be, for Effects::room_for.
  uint64_t records_max() const;
  uint64_t bytes_max() const;
  // The caller has opened a scope, and takes it back with an error: nothing of the run was to be. Of a rule that enters orders there
  // is no error and no scope: it has looked for room, and whether they are taken now (takes_orders).
  Result<void> run();
  bool takes_orders();

  // What it changes in shadows, for the end of the command; null: nothing.
  const devices::ShadowChanges* shadows() const { return shadows_ && shadows_->answers() > 0 ? &*shadows_ : nullptr; }
  // What it posts: records of the outbox, one behind the other (append_message).
  Bytes outbox() const { return outbox_.view(); }
  // What is told: messages one behind the other; and what the log is to say of them, which may be these.
  Buffer take_messages();
  Bytes told(const Buffer& messages) const { return version_ < kLogicOnce ? messages.view() : told_.view(); }
  uint32_t messages() const { return messages_count_; }
  const RuleCounters& counted() const { return counted_; }

 private:
  // Why an input is not done, of which nothing stays then. Not an error: that ends the run.
  struct Refusal {
    std::string why;
    fintech::Uint128 transfer = 0;  // that was refused; 0: none was
    bool keeps_scope = false;       // nothing is to be taken back
  };
  // What of an input was taken, and is told when all of it was.
  struct Taken {
    fintech::Uint128 transfer = 0;
    bool repeated = false;
    std::optional<devices::ShadowRequest> shadow{};
    devices::ShadowOutcome outcome{};
    std::optional<PartitionId> appended_to{};
  };

  bool is_of_before() const;  // logic 1
  Result<void> act(const RuleInput& input);
  // Logic 5: all that an input does within a scope of its own, or none of it and a dead letter.
  Result<void> act_whole(const RuleInput& input);
  Result<void> act_with_order(const RuleInput& input);
  Result<std::optional<Refusal>> take(const RuleInput& input, Taken& taken);
  Result<std::optional<Refusal>> take_transfer(const RuleInput& input, Taken& taken);
  Result<std::optional<Refusal>> take_shadow(const RuleInput& input, Taken& taken);
  Result<void> do_taken(const RuleInput& input, const Taken& taken);
  // What may not be refused any more: posts, and what is published.
  void send(const RuleInput& input);

  fintech::Transfer transfer_of(const RuleInput& input) const;
  // Of the logics before:
  Result<void> act_step_by_step(const RuleInput& input);
  // Whether it is there now and was not before.
  Result<bool> transfer(const RuleInput& input);
  // Whether it was entered; what is refused is a dead letter.
  bool enter_order(const RuleInput& input);
  std::string client_id() const;
  // Whether it was accepted; what is not is a dead letter.
  Result<bool> update_shadow(const RuleInput& input);
  void append(const RuleInput& input);
  // Where it appends; why it cannot.
  Result<PartitionId> target_of(const RuleInput& input) const;
  // Whether it was taken; else likewise.
  bool add_line(const RuleInput& input);
  void post(const RuleInput& input);
  void show_input(JsonObject& object, const RuleInput& input) const;
  void publish(const RuleInput& input);
  void tell(std::string_view topic, std::string_view payload);
  void tell_transfer(const RuleInput& input, fintech::Uint128 id, bool repeated);
  // Entered, or (of another entry) a repeat.
  void tell_order(const RuleInput& input, const fintech::exchange::PortOrder& order,
                  const std::optional<fintech::exchange::PortOrderEntered>& entered);
  void dead_letter(const RuleInput& input, std::string_view why, fintech::Uint128 id);

  uint64_t bytes_max_of_before() const;
  uint64_t orders() const;

  const RuleRow& row_;
  const RuleCommit& commit_;
  const Command& command_;
  Effects& effects_;
  const uint32_t version_;  // of the logic
  const streams::StreamsMachine& streams_;
  std::optional<devices::ShadowChanges> shadows_;  // of a rule that updates them
  uint32_t target_partitions_ = 0;                 // of the stream that is appended to
  std::string lines_;                              // of the series that it writes, taken
  ByteWriter messages_;
  ByteWriter told_;  // logic 4
  uint32_t messages_count_ = 0;
  ByteWriter outbox_;
  RuleCounters counted_{};
};

}  // namespace heptane::iot::rules
