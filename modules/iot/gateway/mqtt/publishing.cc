// What a client publishes, and the acknowledgements both ways.

#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

// Topics of the server's own, where clients do not publish. A bridge says its state there, as brokers' bridges do.
bool is_servers(std::string_view topic) {
  if (!topic.starts_with('$')) return false;
  if (matches("$SYS/broker/connection/+/state", topic)) return false;
  return topic.starts_with("$SYS/") || topic.starts_with("$CONTROL/") || topic.starts_with("$share/") ||
         topic == "$SYS" || topic == "$CONTROL" || topic == "$share";
}

}  // namespace

bool MqttSession::may(auth::Verb verb, std::string_view topic) {
  auth::Authenticator* authenticator = broker_.options().authenticator;
  if (authenticator == nullptr) return true;
  return authenticator->in_force(identity_) &&
         authenticator->allows(identity_, context_->remote().host, "mqtt", topic, verb);
}

bool MqttSession::may_publish(std::string_view topic) { return !is_servers(topic) && may(auth::Verb::write, topic); }

void MqttSession::take_publish(const Frame& frame) {
  Publish packet;
  if (const Fault fault = decode_publish(frame, version_, packet)) return fail(fault);
  if (!packet.properties.subscription_ids.empty())
    return fail({Reason::protocol_error, "a client's PUBLISH has no subscription identifier"});
  std::string_view topic;
  const auto alias_max = static_cast<uint16_t>(broker_.options().topic_alias_maximum);
  if (const Fault fault = inbox_.resolve(packet, alias_max, topic)) return fail(fault);
  if (!within_limits(topic)) return fail({Reason::topic_name_invalid, "a topic has at most 1,024 bytes and 32 levels"});
  broker_.counters().received.add();
  const std::string properties = message_properties(packet.properties);
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
  const Broker::Publisher publisher{context_->id(), 0, identity_.principal, context_->monotonic_ns()};
  const bool taken = may_publish(message.topic) && (!packet.retain || broker_.publish_logged(message, publisher));
  if (!taken)
    broker_.counters().refused.add();
  else if (!packet.retain)
    broker_.publish_volatile(message, publisher);
}

Fault MqttSession::check_open() const {
  const size_t most = five() ? static_cast<size_t>(broker_.options().receive_maximum) : kOpenMax;
  if (inbox_.open() <= most) return {};
  return {Reason::receive_maximum_exceeded, "more messages without their acknowledgement than Receive Maximum"};
}

void MqttSession::publish_with_answer(const Publish& packet, const MessageView& message) {
  const uint64_t ticket = inbox_.expect(packet.id, packet.qos);
  const Inbox::Arrival arrival = packet.qos == 2 ? inbox_.receive(packet.id, packet) : Inbox::Arrival::fresh;
  if (arrival == Inbox::Arrival::too_often)
    return fail({Reason::protocol_error, "a message under an identifier that waits for PUBREL"});
  if (const Fault fault = check_open()) return fail(fault);
  const Broker::Publisher publisher{context_->id(), ticket, identity_.principal, context_->monotonic_ns()};
  if (arrival == Inbox::Arrival::again)
    inbox_.complete(ticket, Reason::success);
  else if (!may_publish(message.topic))
    inbox_.complete(ticket, Reason::not_authorised);
  else if (!broker_.publish_logged(message, publisher))
    inbox_.complete(ticket, Reason::quota_exceeded);
  write_acks();
}

// MQTT 3 has no acknowledgement that says no: the connection closes, and the client keeps the message.
void MqttSession::write_acks() {
  ByteWriter out;
  Inbox::Due due;
  while (inbox_.take_due(due)) {
    if (!five() && static_cast<uint8_t>(due.reason) >= 0x80) {
      if (out.size() > 0) write(out);
      return end(net::CloseReason::protocol_error, "a message could not be taken", true);
    }
    encode(due.type, Ack{due.id, due.reason, {}}, version_, out);
  }
  if (out.size() > 0) write(out);
}

void MqttSession::take_ack(const Frame& frame) {
  Ack packet;
  Fault fault = decode_ack(frame, version_, packet);
  if (fault) return fail(fault);
  if (frame.type == PacketType::pubrel) {
    const bool known = inbox_.release(packet.id);
    ByteWriter out;
    const Reason reason = known ? Reason::success : Reason::packet_id_not_found;
    encode(PacketType::pubcomp, Ack{packet.id, reason, {}}, version_, out);
    return write(out);
  }
  if (frame.type == PacketType::puback) fault = outbox_.on_puback(packet.id);
  if (frame.type == PacketType::pubrec) fault = outbox_.on_pubrec(packet.id, packet.reason);
  if (frame.type == PacketType::pubcomp) fault = outbox_.on_pubcomp(packet.id);
  if (fault) return fail(fault);
  walk();
}

void MqttSession::wait_for_room() {
  if (paused_) return;
  context_->pause_input(paused_ = true);
  broker_.wait_for_room(*this);
  pause_timer_ = context_->arm(kNoRoomNs);
}

}  // namespace heptane::iot::mqtt
