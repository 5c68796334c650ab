// What operators ask of the broker machine and have it do (operator_api.h).

#include <algorithm>

#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/operator_api.h"

namespace heptane::iot {

namespace {

constexpr size_t kSessionPageBytes = size_t{256} << 10;
constexpr size_t kSessionVisits = 4'096;

void audit(const Command& command, std::string_view action, std::string_view on, std::string_view detail,
           Effects& effects) {
  auto* trail = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(trail != nullptr, "the machine of users keeps the audit trail");
  trail->audit_done(command, action, on, detail, effects);
}

}  // namespace

void BrokerMachine::apply_operator(const Command& command, Effects& effects) {
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "an operator's command is in no transaction");
  if (command.type == kPurgeSession) return apply_purge_session(command, effects);
  if (command.type == kPresence) return apply_presence(command, effects);
  apply_purge_retained(command, effects);
}

// It ends as if its time were over: its will is published, what was queued for it is not its any more.
void BrokerMachine::apply_purge_session(const Command& command, Effects& effects) {
  const auto purge = decode_purge_session(command.payload);
  if (!purge) return effects.refuse(Errc::invalid_argument, 0, "the command names no client");
  KeptSession* session = sessions_.find(purge->client);
  if (session == nullptr) return effects.refuse(Errc::not_found, 0, "this client has no durable session");
  const uint64_t number = session->number;
  const size_t queued = session->queue.waiting();
  WillOut will;
  if (session->will && purge->with_will) publish_will(*session, command, effects, will);
  end_session(*session, command.time, effects, Loss::session_discarded);
  audit(command, "mqtt.purge_session", purge->client, "messages in its queue: " + std::to_string(queued), effects);
  ByteWriter out;
  will.write(out);
  effects.reply(out.view(), static_cast<int64_t>(number), static_cast<int64_t>(queued));
}

void BrokerMachine::apply_purge_retained(const Command& command, Effects& effects) {
  const Result<PurgeRetained> purge = decode_retained_query(command.payload);
  if (!purge) return effects.refuse(Errc::invalid_argument, 0, "the command is no filter and topic");
  const RetainedMessages::Found found = retained_.find_all(*purge, kPurgedMax);
  if (found.topics.empty() && !found.more) return effects.unchanged(0, 0);
  for (const std::string& topic : found.topics) forget(topic, effects);
  if (!found.topics.empty())
    audit(command, "mqtt.purge_retained", purge->filter, "messages: " + std::to_string(found.topics.size()), effects);
  effects.reply(as_bytes(found.last), static_cast<int64_t>(found.topics.size()), found.more ? 1 : 0);
}

// Queries.

SessionRow BrokerMachine::row_of(const KeptSession& session) const {
  SessionRow row;
  row.number = session.number;
  row.client = session.client;
  row.owner = session.owner;
  row.connected = is_connected(session);
  row.will = session.will.has_value();
  row.expiry_s = session.expiry_s;
  row.ended = row.connected ? 0 : ended(session);
  row.subscriptions = static_cast<uint32_t>(session.subscriptions.size());
  row.queued = session.queue.waiting();
  row.queue_max = session.queue_max;
  row.lost = session.lost;
  return row;
}

bool BrokerMachine::query_operator(const Query& query, Reply& reply) const {
  switch (query.type) {
    case kQuerySessions: query_sessions(query, reply); return true;
    case kQuerySessionsOf: query_sessions_of(query, reply); return true;
    case kQuerySessionOf: query_session_of(query, reply); return true;
    default: return false;
  }
}

void BrokerMachine::query_sessions(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  const auto after = in.le<uint64_t>();
  const size_t most = std::min<size_t>(in.le<uint16_t>(), kSessionRowsMax);
  ByteWriter out;
  int64_t count = 0;
  uint64_t last = 0;
  size_t visits = 0;
  auto at = sessions_.all().upper_bound(after);
  for (; at != sessions_.all().end() && static_cast<size_t>(count) < most; ++at) {
    if (visits++ == kSessionVisits || out.size() >= kSessionPageBytes) break;
    last = at->first;
    if (at->second.group) continue;  // nobody's
    append_row(out, row_of(at->second));
    ++count;
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, at != sessions_.all().end() ? static_cast<int64_t>(last) : 0};
}

void BrokerMachine::query_sessions_of(const Query& query, Reply& reply) const {
  ByteReader in(query.payload);
  ByteWriter out;
  int64_t count = 0;
  for (size_t i = 0; i < kSessionRowsMax && in.remaining() >= sizeof(uint64_t); ++i) {
    const KeptSession* session = sessions_.find(in.le<uint64_t>());
    if (session == nullptr) continue;
    append_row(out, row_of(*session));
    ++count;
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {count, 0};
}

void BrokerMachine::query_session_of(const Query& query, Reply& reply) const {
  const KeptSession* session = sessions_.find(as_text(query.payload));
  if (session == nullptr) return;
  ByteWriter out;
  append_row(out, row_of(*session));
  for (const auto& [filter, subscription] : session->subscriptions) append_subscription(out, filter, subscription);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {1, 0};
}

}  // namespace heptane::iot
