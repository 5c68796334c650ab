// The outbox of rules (outbox_api.h): how far it was sent, and letters of what was given up.

#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/json_object.h"
#include "modules/iot/machine/rules/outbox_api.h"
#include "modules/iot/machine/rules/rules_machine.h"

namespace heptane::iot::rules {

namespace {

// Texts of a letter, escaped, and the rest of its object.
constexpr uint64_t kLetterBytesMax = (kIdempotencyKeyMax + kLetterUrlMax + kFaultBytesMax) * 6 + 256;

// One for each that was given up, before them one for what was gone: whether any of that was the rule's nobody knows any more.
class Letters {
 public:
  explicit Letters(const std::string& rule) : topic_(std::string(kRulesTopics) + rule + "/dead_letter") {}

  void add_gap(Offset first, Offset behind) {
    JsonObject object("dead_letter");
    object.text("why", "the records " + std::to_string(first) + " to " + std::to_string(behind - 1) +
                           " were gone by retention before those of the rule were sent");
    add(object, first);
  }
  void add(const OutboxLetter& letter) {
    JsonObject object("dead_letter");
    object.text("why", letter.why);
    object.text("idempotency_key", letter.key);
    object.text("url", letter.url);
    add(object, letter.offset);
  }
  Buffer take() { return Buffer::take(out_.release()); }

 private:
  void add(JsonObject& object, Offset offset) {
    object.text("stream", kOutboxStream);
    object.number("offset", offset);
    MessageView message;
    message.qos = 1;
    message.topic = topic_;
    message.payload = object.end();
    append_message(out_, message);
  }

  const std::string topic_;
  ByteWriter out_;
};

// Why it is not where the rule's outbox is; empty: it is.
std::string wrong_place(const RuleRow& row, const OutboxCommit& commit, Offset log_start) {
  const Offset next = *row.outbox;
  const bool over_gap = commit.from > next && commit.from <= log_start;
  if (commit.from == next || over_gap) return {};
  return "the rule's outbox is at offset " + std::to_string(next);
}

}  // namespace

std::optional<PartitionId> RulesMachine::outbox_view(const Command& command, Effects& effects) {
  return effects.port<streams::StreamsMachine>(machine_ids::kStreams)
      .ensure_view(kOutboxStream, kOutboxView, command.sequence, {kOutboxRetentionMs, kOutboxRetentionBytes});
}

void RulesMachine::apply_outbox(const Command& command, Effects& effects) {
  const auto commit = decode_outbox_commit(command.payload);
  if (!commit) return effects.refuse(Errc::invalid_argument, 0, "the command says nothing of an outbox");
  const auto found = rules_.find(commit->rule);
  if (found == rules_.end() || !found->second.outbox)
    return effects.refuse(Errc::not_found, 0, "there is no such rule, or it posts nothing");
  RuleRow& row = found->second;
  if (row.created != commit->created) return effects.refuse(Errc::stale, 0, "it is another rule of the name");
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const auto outbox = streams.find_partition(kOutboxStream, 0);
  if (!outbox) return effects.refuse(Errc::stale, 0, "there is no outbox any more");
  if (std::string wrong = wrong_place(row, *commit, streams.log_start(*outbox)); !wrong.empty())
    return effects.refuse(Errc::stale, 0, std::move(wrong));
  if (commit->upto > effects.next_offset(*outbox) || commit->posted > commit->upto - commit->from)
    return effects.refuse(Errc::invalid_argument, 0, "the outbox does not hold so much");
  auto& broker = effects.port<BrokerMachine>(kBrokerMachineId);
  const bool gap = commit->from > *row.outbox;
  const uint64_t letters = commit->letters.size() + (gap ? 1 : 0);
  if (letters > 0 && (!broker.has_room_to_announce() || !effects.room_for(letters, letters * kLetterBytesMax)))
    return effects.refuse(Errc::overloaded, 0, "too many messages are on their way to durable sessions");
  const auto partition =
      streams.ensure_view(kRulesStream, kRulesView, command.sequence, {kRulesRetentionMs, kRulesRetentionBytes});
  if (!partition) return effects.refuse(Errc::exists, 0, kRulesTaken);
  Letters told(row.definition.name);
  if (gap) told.add_gap(*row.outbox, commit->from);
  for (const OutboxLetter& letter : commit->letters) told.add(letter);
  row.outbox = commit->upto;
  row.counters.posted += commit->posted;
  row.counters.dead_letters += letters;
  dead_letters_.fetch_add(letters, std::memory_order_relaxed);
  CommitReply reply{*partition, {}, told.take()};
  const Offset first = effects.next_offset(*partition);
  if (letters > 0) {
    effects.log_result(reply.messages.view());
    effects.emit_view(*partition, static_cast<uint32_t>(letters));
    reply.statuses = broker.announce(reply.messages.view(), {*partition, first}, command, effects);
  }
  effects.reply(encode(reply).view(), first, commit->upto);
}

}  // namespace heptane::iot::rules
