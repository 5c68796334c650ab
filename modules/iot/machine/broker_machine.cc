#include "modules/iot/machine/broker_machine.h"

#include <algorithm>
#include <optional>

#include "kernel/base/assert.h"
#include "kernel/shard/command_run.h"
#include "kernel/shard/users_port.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/publish_records.h"
#include "modules/iot/machine/record_notes.h"

namespace heptane::iot {

namespace {

// Stands in a snapshot's count of retained messages when sessions follow them.
constexpr uint64_t kSessionsFollow = uint64_t{1} << 63;
// Likewise of declared streams, behind them.
constexpr uint64_t kStreamsFollow = uint64_t{1} << 61;
// Likewise of clients that were seen, behind those.
constexpr uint64_t kSeenFollow = uint64_t{1} << 58;
// Of retained messages it says whose they are.
constexpr uint64_t kWithSources = uint64_t{1} << 56;
constexpr uint64_t kMarks = kSessionsFollow | kStreamsFollow | kSeenFollow | kWithSources;

// What one command publishes always has room in its entry: a gateway that sends it again would have to break its order.
static_assert(kPublishesMax * kDeclaredMax <= kEventsLimit);

size_t records_at_most(size_t messages, const std::vector<Targets>& targets) {
  size_t records = messages;
  for (const Targets& one : targets) records += one.empty() ? 0 : one.size() - 1;
  return records;
}

}  // namespace

void BrokerMachine::begin_command(const Command& command, const Effects& effects) {
  reached_ = 0;
  fan_outs_max_ = kFanOutsMax;
  looked_at_ = 0;
  counts_looks_ = command.type == kPublishRecords;
  replaced_bytes_ = 0;
  version_ = effects.version();
  sequence_ = command.sequence;
  time_ = command.time;
  events_.begin(version_ >= kLogicTells);
}

void BrokerMachine::apply(const Command& command, Effects& effects) {
  begin_command(command, effects);
  dispatch(command, effects);
  if (!effects.refused()) tell(command, effects);
  count_sessions();
}

// A stream of that name with somebody else's records stays theirs: then nothing is told.
void BrokerMachine::tell(const Command& command, Effects& effects) {
  const uint32_t records = events_.records();
  if (records == 0) return;
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const streams::StreamConfig config{kEventsRetentionMs, kEventsRetentionBytes};
  const auto partition = streams.ensure_view(kEventsStream, kEventsView, command.sequence, config);
  if (!partition) return;
  effects.emit_view(*partition, records);
  effects.log_result(events_.finish());
}

// Beside what the command makes itself. Where a transaction leaves none, what would tell goes on in a command of the machine's own.
void BrokerMachine::leave_room(const Effects& effects, size_t records, size_t bytes) {
  const bool room = effects.room_for(records + kReachedMax, bytes + EventNote::kBytesMax + EventNote::kMarginBytes);
  events_.limit(room ? EventNote::kBytesMax : 0);
}

void BrokerMachine::count_sessions() {
  sessions_count_.store(sessions_.size(), std::memory_order_relaxed);
  references_count_.store(sessions_.references(), std::memory_order_relaxed);
  lost_count_.store(sessions_.lost(), std::memory_order_relaxed);
  retained_count_.store(retained_.size(), std::memory_order_relaxed);
  retained_bytes_.store(retained_.bytes(), std::memory_order_relaxed);
}

void BrokerMachine::dispatch(const Command& command, Effects& effects) {
  switch (command.type) {
    case kPublishFirst:
    case kPublish: return apply_publish(command, effects);
    case kPurgeSession:
    case kPurgeRetained:
    case kPresence: return apply_operator(command, effects);
    case kExpireRetained: return apply_expire(command, effects);
    case kDeclareStream:
    case kDropStream: return apply_streams(command, effects);
    case kPublishRecords: return apply_publish_records(command, effects);
    case kTell: return apply_tell(command, effects);
    case kSeen: return apply_seen(command, effects);
    default: return apply_session(command, effects);
  }
}

std::optional<PartitionId> BrokerMachine::messages_partition(const Command& command, Effects& effects) {
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const streams::StreamConfig config{kMessagesRetentionMs, kMessagesRetentionBytes};
  return streams.ensure_view(kMessagesStream, kMessagesView, command.sequence, config);
}

void BrokerMachine::apply_publish(const Command& command, Effects& effects) {
  auto messages = decode_publishes(command.payload);
  if (!messages) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of messages");
  const std::string source = source_of(*messages, command, effects);
  for (MessageView& message : *messages) message.source = source;
  const Result<int64_t> kept = publish_all(*messages, command, effects);
  if (!kept) effects.refuse(kept.error().code, 0, kept.error().message);
}

// Asked for where something of it is retained. (Older logs did not keep it.)
std::string BrokerMachine::source_of(const std::vector<MessageView>& messages, const Command& command,
                                     Effects& effects) const {
  if (version_ < kLogicSources || command.principal.id == Principal{}.id) return {};
  if (std::none_of(messages.begin(), messages.end(), [](const MessageView& one) { return one.retain; })) return {};
  const auto* users = dynamic_cast<UsersPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(users != nullptr, "the machine of users knows whose a principal is");
  return users->holder_of(command.principal);
}

// How many became records. Errors: what the command is refused with.
Result<int64_t> BrokerMachine::publish_all(const std::vector<MessageView>& messages, const Command& command,
                                           Effects& effects) {
  const std::vector<Targets> targets = targets_of(messages);
  if (!effects.room_for(records_at_most(messages.size(), targets), note_bytes_max(messages.size(), targets)))
    return Error{Errc::overloaded, "one transaction makes at most 65,536 records"};
  const auto partition = messages_partition(command, effects);
  if (!partition) return Error{Errc::exists, "the stream iot.messages was made by a client and has records: delete it"};
  leave_room(effects, records_at_most(messages.size(), targets), note_bytes_max(messages.size(), targets));
  const Offset first = effects.next_offset(*partition);
  const bool reaches_sessions = command.type != kPublishFirst;
  static const Targets kInMessages;
  std::vector<PublishStatus> statuses;
  statuses.reserve(messages.size());
  RecordCounts counts(effects);
  ByteWriter elsewhere;
  int64_t kept = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    const MessageView& message = messages[i];
    const Targets& to = targets.empty() ? kInMessages : targets[i];
    if (to.empty() && fades(message)) {
      statuses.push_back(PublishStatus::fleeting);
      continue;
    }
    const PartitionId home = home_of(to, *partition, effects);
    const RecordPlace place{home, counts.next_offset(home)};
    statuses.push_back(reaches_sessions ? take(message, place, command.time, effects)
                                        : publish(message, command.time, effects));
    const bool too_much = looked_at_ > kLookedAtMax || replaced_bytes_ > kReplacedBytesMax;
    if (command.type == kPublishRecords && too_much)
      return Error{Errc::too_large, "the messages reach too many sessions or retained messages: send fewer"};
    if (!became_a_record(statuses.back())) continue;
    ++kept;
    if (to.empty()) counts.add(home);
    for (const Target& target : to) counts.add(target.partition);
    if (!to.empty()) append_place(elsewhere, {static_cast<uint16_t>(i), place.partition, place.offset});
  }
  counts.emit();
  effects.log_result(note_of(statuses, targets));
  ByteWriter answer;
  answer.append(Bytes(reinterpret_cast<const std::byte*>(statuses.data()), statuses.size()));
  if (reaches_sessions) {
    answer.le<PartitionId>(*partition);
    answer.append(elsewhere.view());
  }
  effects.reply(answer.view(), kept, reaches_sessions ? first : 0);
  return kept;
}

// It was sent for a stream that is dropped or changed since: there is no record to make of it. (Older logs made one.)
bool BrokerMachine::fades(const MessageView& message) const {
  return version_ >= kLogicWalks && message.qos == 0 && !message.retain;
}

// Where the record is that queues refer to. (Older logs took that of the first stream.)
PartitionId BrokerMachine::home_of(const Targets& targets, PartitionId messages, const Effects& effects) const {
  if (targets.empty()) return messages;
  const bool chosen = targets.size() > 1 && version_ >= kLogicCaptures;
  return chosen ? iot::home_of(targets, effects) : targets.front().partition;
}

// Of each message; empty where no stream is declared, cut off where they are more than a command may make.
std::vector<Targets> BrokerMachine::targets_of(const std::vector<MessageView>& messages) const {
  std::vector<Targets> targets;
  if (declared_.empty()) return targets;
  targets.reserve(messages.size());
  size_t all = 0;
  for (const MessageView& message : messages) {
    targets.push_back(declared_.match(message));
    all += targets.back().size();
    if (all > kEventsLimit) break;
  }
  return targets;
}

// Nothing became of it, or it became all that it is to be: retained, in queues, known until it is released.
PublishStatus BrokerMachine::take(const MessageView& message, const RecordPlace& place, LogTime now, Effects& effects) {
  PublishStatus status = judge(message);
  if (status == PublishStatus::kept) status = publish(message, now, effects);
  if (status != PublishStatus::kept) return status;
  if (message.sender) remember(message);
  return fan_out(message, place, now, effects) ? PublishStatus::queued : PublishStatus::kept;
}

// A session may have it in its queue.
bool BrokerMachine::reaches_queues(uint8_t qos) const {
  return !sessions_.empty() && (qos > 0 || sessions_.any_captures());
}

PublishStatus BrokerMachine::judge(const MessageView& message) {
  if (message.sender) {
    const KeptSession* session = sessions_.find(message.sender->session);
    if (session == nullptr || session->epoch != message.sender->epoch) return PublishStatus::stale;
    if (knows(*message.sender, message)) return PublishStatus::again;
  }
  if (!reaches_queues(message.qos)) return PublishStatus::kept;
  if (fan_outs_.size() >= fan_outs_max_) return PublishStatus::queue_full;
  if (counts_looks_ && is_matched()) count_looks(message);
  return sessions_.is_refused(matched(message)) ? PublishStatus::queue_full : PublishStatus::kept;
}

// Up to what is too much.
void BrokerMachine::count_looks(const MessageView& message) {
  for (KeptMatching matching(sessions_, matched(message), 0); matching.current() && looked_at_ <= kLookedAtMax;
       matching.next())
    ++looked_at_;
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
  kept.set_texts(message.client, message.properties, message.payload, message.source);
  const size_t overhead =
      version_ >= kLogicCaptures ? RetainedMessages::kOverheadBytes : RetainedMessages::kEarlierOverheadBytes;
  if (!retained_.room_for(message.topic, kept, overhead)) return PublishStatus::retained_full;
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
  switch (query.type) {
    case kQueryRetained: {
      const Result<RetainedQuery> wanted = decode_retained_query(query.payload);
      if (wanted) return retained_.page(*wanted, reply);
      reply.error = wanted.error().code;
      reply.message = wanted.error().message;
      return;
    }
    case kQuerySession: {
      const KeptSession* session = sessions_.find(as_text(query.payload));
      reply.numbers = {session == nullptr ? 0 : static_cast<int64_t>(session->number), 0};
      return;
    }
    case kQueryQueue: return query_queue(query, reply);
    case kQueryWills: return query_wills(query, reply);
    case kQueryWill: return query_will(query, reply);
    case kQueryGroup: return query_group(query, reply);
    case kQueryGroups: return query_groups(query, reply);
    case kQueryCounts:
      reply.numbers = {static_cast<int64_t>(sessions_.size()), static_cast<int64_t>(sessions_.references())};
      return;
    case kQuerySeen: return query_seen(query, reply);
    case kQueryDeclared: reply.payload = declared_.list(); return;
    default:
      if (query_operator(query, reply)) return;
      reply.error = Errc::unsupported;
      reply.message = "the broker has no such query";
  }
}

bool BrokerMachine::relieves(CommandType type) const {
  switch (type) {
    case kExpireRetained:
    case kCloseSession:
    case kUnsubscribe:
    case kSettle:
    case kBoot:
    case kExpireSession:
    case kContinueFanOut:
    case kPurgeSession:
    case kPurgeRetained:
    case kEndConnections:
    case kAssignShared:
    case kEndGroup:
    case kWalked:
    case kDropStream: return true;
    default: return false;
  }
}

// Brings the topic back to what stands there now.
void BrokerMachine::undoable(std::string_view topic) {
  if (scopes_.empty()) return;
  const RetainedMessage* there = retained_.find(topic);
  std::optional<RetainedMessage> before;
  if (there != nullptr) before = *there;
  if (there != nullptr) replaced_bytes_ += there->payload().size();
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
  if (!scopes_.empty()) return;
  undo_.clear();
  trim_touched();
}

// Where there never was a session, and no stream is declared, the bytes are those from before there could be any.
void BrokerMachine::save(SnapshotWriter& writer) const {
  const bool follow = knows_sessions();
  const bool streams = !declared_.empty();
  const bool seen = !seen_.empty();
  const bool sources = retained_.know_sources();
  retained_.save(writer, (follow ? kSessionsFollow : 0) | (streams ? kStreamsFollow : 0) | (seen ? kSeenFollow : 0) |
                             (sources ? kWithSources : 0));
  if (follow) save_sessions(writer);
  if (streams) declared_.save(writer);
  if (seen) seen_.save(writer);
}

Result<void> BrokerMachine::restore(SnapshotReader& reader) {
  make_fresh();
  const auto count = reader.le<uint64_t>();
  if (Result<void> retained = retained_.restore(reader, count & ~kMarks, (count & kWithSources) != 0); !retained)
    return retained;
  Result<void> done = (count & kSessionsFollow) != 0 ? restore_sessions(reader) : Result<void>{};
  if (done && (count & kStreamsFollow) != 0) done = declared_.restore(reader);
  if (done && (count & kSeenFollow) != 0) done = seen_.restore(reader);
  count_sessions();
  return done;
}

void BrokerMachine::make_fresh() {
  retained_ = {};
  sessions_ = {};
  declared_ = {};
  seen_ = {};
  fan_outs_.clear();
  run_ = 0;
  booted_ = 0;
  grace_s_ = 0;
}

}  // namespace heptane::iot
