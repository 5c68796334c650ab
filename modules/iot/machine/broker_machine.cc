#include "modules/iot/machine/broker_machine.h"

#include <algorithm>
#include <optional>

#include "kernel/streams/streams_machine.h"

namespace heptane::iot {

namespace {

constexpr uint8_t kForm = 1;
constexpr size_t kNoteMarginBytes = 64;

// What the rendering must know and the command does not say: which messages became nothing.
std::vector<std::byte> note_of(const std::vector<PublishStatus>& statuses) {
  std::vector<std::byte> note{std::byte{0}};
  if (std::all_of(statuses.begin(), statuses.end(), [](PublishStatus s) { return s == PublishStatus::kept; }))
    return note;
  note[0] = std::byte{kForm};
  for (const PublishStatus status : statuses) note.push_back(static_cast<std::byte>(status));
  return note;
}

}  // namespace

void BrokerMachine::apply(const Command& command, Effects& effects) {
  switch (command.type) {
    case kPublish: return apply_publish(command, effects);
    case kExpireRetained: return apply_expire(command, effects);
    default: return effects.refuse(Errc::unsupported, 0, "the broker has no such command");
  }
}

void BrokerMachine::apply_publish(const Command& command, Effects& effects) {
  const auto messages = decode_publishes(command.payload);
  if (!messages) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of messages");
  if (!effects.room_for(messages->size(), messages->size() + kNoteMarginBytes))
    return effects.refuse(Errc::overloaded, 0, "one transaction makes at most 65,536 records");
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const streams::StreamConfig config{kMessagesRetentionMs, kMessagesRetentionBytes};
  const auto partition = streams.ensure_view(kMessagesStream, kMessagesView, command.sequence, config);
  if (!partition)
    return effects.refuse(Errc::exists, 0, "the stream iot.messages was made by a client and has records: delete it");
  std::vector<PublishStatus> statuses;
  statuses.reserve(messages->size());
  uint32_t records = 0;
  for (const MessageView& message : *messages) {
    statuses.push_back(publish(message, command.time, effects));
    if (statuses.back() == PublishStatus::kept) ++records;
  }
  effects.emit_view(*partition, records);
  effects.log_result(note_of(statuses));
  effects.reply(Bytes(reinterpret_cast<const std::byte*>(statuses.data()), statuses.size()), records);
}

PublishStatus BrokerMachine::publish(const MessageView& message, LogTime now, Effects& effects) {
  if (!message.retain) return PublishStatus::kept;
  if (message.payload.empty()) {
    forget(message.topic, effects);
    return PublishStatus::kept;
  }
  RetainedMessage kept;
  kept.qos = message.qos;
  kept.expires = message.expiry_s.has_value();
  kept.expiry_s = message.expiry_s.value_or(0);
  kept.stored = now;
  kept.client = message.client;
  kept.properties = message.properties;
  kept.payload = message.payload;
  if (!retained_.room_for(message.topic, kept)) return PublishStatus::retained_full;
  forget(message.topic, effects);
  if (kept.expires) kept.timer = effects.arm(kept.expires_at(), kExpireRetained, as_bytes(message.topic));
  undoable(message.topic);
  retained_.put(message.topic, std::move(kept));
  return PublishStatus::kept;
}

void BrokerMachine::forget(std::string_view topic, Effects& effects) {
  const RetainedMessage* there = retained_.find(topic);
  if (there == nullptr) return;
  if (there->timer != 0) effects.cancel(there->timer);
  undoable(topic);
  retained_.remove(topic);
}

void BrokerMachine::apply_expire(const Command& command, Effects& effects) {
  const std::string_view topic = as_text(command.payload);
  const RetainedMessage* there = retained_.find(topic);
  if (there != nullptr && there->expires && there->expires_at() <= command.time) forget(topic, effects);
  effects.reply(0);
}

void BrokerMachine::query(const Query& query, Reply& reply) const {
  if (query.type != kQueryRetained) {
    reply.error = Errc::unsupported;
    reply.message = "the broker has no such query";
    return;
  }
  const Result<RetainedQuery> wanted = decode_retained_query(query.payload);
  if (wanted) return retained_.page(*wanted, reply);
  reply.error = wanted.error().code;
  reply.message = wanted.error().message;
}

// Brings the topic back to what stands there now.
void BrokerMachine::undoable(std::string_view topic) {
  if (scopes_.empty()) return;
  const RetainedMessage* there = retained_.find(topic);
  std::optional<RetainedMessage> before;
  if (there != nullptr) before = *there;
  undo_.push_back([this, topic = std::string(topic), before = std::move(before)] {
    if (before)
      retained_.put(topic, *before);
    else
      retained_.remove(topic);
  });
}

void BrokerMachine::close_scope(ScopeOutcome outcome) {
  const size_t begin = scopes_.back();
  scopes_.pop_back();
  if (outcome == ScopeOutcome::roll_back)
    for (; undo_.size() > begin; undo_.pop_back()) undo_.back()();
  if (scopes_.empty()) undo_.clear();
}

void BrokerMachine::save(SnapshotWriter& writer) const { retained_.save(writer); }

Result<void> BrokerMachine::restore(SnapshotReader& reader) { return retained_.restore(reader); }

}  // namespace heptane::iot
