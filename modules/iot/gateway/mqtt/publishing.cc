// What a client publishes, and the acknowledgements both ways.

#include "modules/iot/domain/devices/method.h"
#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

constexpr size_t kAckBytes = 8;

}  // namespace

bool is_service(std::string_view topic) { return devices::is_service_topic(topic) || devices::is_method_topic(topic); }

bool Broker::reserves(std::string_view topic) const {
  return is_servers(topic) || is_service(topic) || sparkplug_.owns(topic);
}

// Not noted.
bool MqttSession::has_right(auth::Verb verb, std::string_view topic) const {
  if (is_claim()) return claim_may(verb, topic);
  if (broker_.options().authenticator == nullptr || own_) return true;
  if (is_own_thing(topic) || is_own_method(verb, topic)) return true;
  return rights_ && rights_->rights->may(verb, topic);
}

bool MqttSession::may(auth::Verb verb, std::string_view topic) {
  if (!in_force()) return false;
  if (has_right(verb, topic)) return true;
  if (auth::Rules* rules = broker_.options().rules)
    rules->note_denied(identity_, context_->remote().host, "mqtt", topic, verb);
  return false;
}

bool MqttSession::may_publish(std::string_view topic) {
  const bool reserved = broker_.reserves(topic) && !(own_ && topic.starts_with(kOwnClients));
  if (!reserved && may(auth::Verb::write, topic)) return true;
  tell_denied(ToldKind::denied_publish, topic, reserved);
  return false;
}

void MqttSession::tell_denied(ToldKind kind, std::string_view subject, bool reserved) {
  const std::string address = net::to_text(context_->remote());
  ToldEvent event;
  event.kind = kind;
  event.reason = reserved ? DeniedReason::reserved : DeniedReason::not_authorised;
  event.client = client_id_;
  event.user = identity_.name;
  event.address = address;
  event.subject = subject;
  broker_.telling().denied(event);
}

void MqttSession::take_publish(const Frame& frame) {
  Publish packet;
  if (const Fault fault = decode_publish(frame, version_, packet)) return fail(fault);
  if (!packet.properties.subscription_ids.empty())
    return fail({Reason::protocol_error, "a client's PUBLISH has no subscription identifier"});
  std::string_view topic;
  const auto alias_max = static_cast<uint16_t>(broker_.options().topic_alias_maximum);
  if (const Fault fault = inbox_.resolve(packet, alias_max, topic)) return fail(fault);
  if (!within_limits(topic))
    return fail({Reason::topic_name_invalid, "the topic is longer, or has more levels, than is taken"});
  if (!own_ && packet.properties.user.size() > static_cast<size_t>(broker_.options().max_user_properties))
    return fail({Reason::quota_exceeded, "more user properties than are taken"});
  broker_.counters().received.add();
  broker_.counters().payload_in.add(packet.payload.size());
  outbox_.numbers().came(frame.size);
  const std::string properties = five() ? message_properties(packet.properties) : std::string();
  MessageView message;
  message.qos = packet.qos;
  message.retain = packet.retain;
  message.expiry_s = packet.properties.message_expiry_s;
  message.topic = topic;
  message.client = client_id_;
  message.properties = properties;
  message.payload = packet.payload;
  if (packet.qos == 0)
    publish_once(packet, message);
  else
    publish_with_answer(packet, message);
  if (!closed_ && broker_.crowded()) wait_for_room();
}

// QoS 0: whatever becomes of it, nobody is told.
void MqttSession::publish_once(const Publish& packet, const MessageView& message) {
  if (over_quota_) return broker_.counters().refused.add();
  if (is_service(message.topic)) {
    if (use_service(message, 0) != Reason::success) broker_.counters().refused.add();
    return;
  }
  const Broker::Publisher publisher{context_->id(), 0, identity_.principal, heard_ns_};
  if (!may_publish(message.topic)) return broker_.counters().refused.add();
  if (packet.retain && !broker_.publish_logged(message, publisher)) return broker_.counters().refused.add();
  if (!packet.retain) broker_.publish_once(message, publisher);
  passed(message);
}

void MqttSession::passed(const MessageView& message) {
  if (!broker_.options().sparkplug) return;
  broker_.sparkplug().passed(message, identity_.principal, context_->utc_ns(), context_->monotonic_ns());
}

Fault MqttSession::check_open() const {
  const size_t most = five() ? static_cast<size_t>(broker_.options().receive_maximum) : kOpenMax;
  if (inbox_.open() <= most) return {};
  return {Reason::receive_maximum_exceeded, "more messages without their acknowledgement than Receive Maximum"};
}

void MqttSession::publish_with_answer(const Publish& packet, MessageView& message) {
  const uint64_t ticket = inbox_.expect(packet.id, packet.qos);
  const Inbox::Arrival arrival =
      packet.qos == 2 ? inbox_.receive(packet.id, message.topic, packet) : Inbox::Arrival::fresh;
  if (arrival == Inbox::Arrival::too_often)
    return fail({Reason::protocol_error, "a message under an identifier that waits for PUBREL"});
  if (const Fault fault = check_open()) return fail(fault);
  if (kept_ && packet.qos == 2) message.sender = Sender{kept_->session(), kept_->epoch(), packet.id};
  const Broker::Publisher publisher{context_->id(), ticket, identity_.principal, heard_ns_};
  if (arrival == Inbox::Arrival::again)
    inbox_.complete(ticket, Reason::success);
  else if (over_quota_)
    refuse_over_quota(ticket);
  else if (is_service(message.topic))
    refuse_service(ticket, use_service(message, ticket));
  else if (!may_publish(message.topic))
    inbox_.complete(ticket, Reason::not_authorised);
  else if (!broker_.publish_logged(message, publisher))
    inbox_.complete(ticket, Reason::quota_exceeded);
  else
    passed(message);
  write_acks();
}

void MqttSession::refuse_over_quota(uint64_t ticket) {
  broker_.counters().refused.add();
  inbox_.complete(ticket, Reason::quota_exceeded);
}

// MQTT 3 has no acknowledgement that says no: the connection closes, and the client keeps the message.
void MqttSession::write_acks() {
  ByteWriter out;
  out.reserve(kAckBytes);
  Inbox::Due due;
  size_t packets = 0;
  while (inbox_.take_due(due)) {
    if (static_cast<uint8_t>(due.reason) >= 0x80) note_refused(due.reason);
    if (!five() && static_cast<uint8_t>(due.reason) >= 0x80) {
      if (out.size() > 0) write(out, packets);
      return end(net::CloseReason::protocol_error, "a message could not be taken", true);
    }
    encode(due.type, Ack{due.id, due.reason, {}}, version_, out);
    ++packets;
  }
  if (out.size() > 0) write(out, packets);
}

void MqttSession::note_refused(Reason reason) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  const auto code = static_cast<uint8_t>(reason);
  std::string what = "a message was refused: 0x";
  what += kDigits[code >> 4];
  what += kDigits[code & 15];
  note_error(what);
}

void MqttSession::take_ack(const Frame& frame) {
  Ack packet;
  Fault fault = decode_ack(frame, version_, packet);
  if (fault) return fail(fault);
  if (frame.type == PacketType::pubrel) return take_pubrel(packet.id);
  const bool kept = kept_ && KeptOutbox::owns(packet.id);
  if (frame.type == PacketType::puback) fault = kept ? kept_->on_puback(packet.id) : outbox_.on_puback(packet.id);
  if (frame.type == PacketType::pubrec)
    fault = kept ? kept_->on_pubrec(packet.id, packet.reason) : outbox_.on_pubrec(packet.id, packet.reason);
  if (frame.type == PacketType::pubcomp) fault = kept ? kept_->on_pubcomp(packet.id) : outbox_.on_pubcomp(packet.id);
  if (fault) return fail(fault);
  pump();
  tell_walked(false);
  walk();
}

// In a durable session the identifier is free when the log says so.
void MqttSession::take_pubrel(PacketId id) {
  if (kept_ && inbox_.knows(id))
    return broker_.keeper().settle_now(context_->id(), {kept_->session(), kept_->epoch(), id, Settlement::released});
  const bool known = inbox_.release(id);
  write_ack(PacketType::pubcomp, id, known ? Reason::success : Reason::packet_id_not_found);
}

void MqttSession::wait_for_room() {
  if (paused_) return;
  broker_.wait_for_room(*this);
  stop_reading();
}

bool MqttSession::hold() {
  if (five()) return false;
  held_ = true;
  stop_reading();
  return true;
}

void MqttSession::stop_reading() {
  context_->pause_input(paused_ = true);
  if (pause_timer_ == 0) pause_timer_ = context_->arm(broker_.options().no_room_timeout_s * 1'000'000'000);
}

}  // namespace heptane::iot::mqtt
