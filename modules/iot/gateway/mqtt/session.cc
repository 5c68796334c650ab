#include "modules/iot/gateway/mqtt/session.h"

#include <utility>

namespace heptane::iot::mqtt {

namespace {
constexpr size_t kShortestPacketBytes = 2;
}  // namespace

void MqttSession::on_open(net::SessionContext& context) {
  context_ = &context;
  heard_ns_ = context.monotonic_ns();
  context.need(kShortestPacketBytes);
  timer_ = context.arm(kConnectWithinNs);
}

// One packet a call.
size_t MqttSession::on_bytes(Bytes input, net::SessionContext& context) {
  if (closed_) return input.size();
  heard_ns_ = context.monotonic_ns();
  const auto most = static_cast<size_t>(broker_.options().maximum_packet_size);
  Frame frame;
  const Fault fault = read_frame(input, connected_ ? most : std::min(most, kStrangersBytesMax), frame);
  const bool stranger = !connected_ && frame.type != PacketType::connect;
  if (fault || stranger) {
    fail(fault ? fault : Fault{Reason::protocol_error, "the first packet is no CONNECT"});
    return input.size();
  }
  if (frame.size == 0) {
    context.need(frame.needed);
    return 0;
  }
  take(frame);
  return closed_ ? input.size() : frame.size;
}

void MqttSession::take(const Frame& frame) {
  constexpr Fault kServersOnly{Reason::protocol_error, "a packet that only a server sends"};
  switch (frame.type) {
    case PacketType::connect:
      return connected_ ? fail({Reason::protocol_error, "a second CONNECT"}) : take_connect(frame);
    case PacketType::publish: return take_publish(frame);
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubrel:
    case PacketType::pubcomp: return take_ack(frame);
    case PacketType::subscribe: return take_subscribe(frame);
    case PacketType::unsubscribe: return take_unsubscribe(frame);
    case PacketType::pingreq: {
      if (const Fault fault = decode_empty(frame)) return fail(fault);
      ByteWriter out;
      encode_empty(PacketType::pingresp, out);
      return write(out);
    }
    case PacketType::disconnect: return take_disconnect(frame);
    case PacketType::auth: return fail({Reason::protocol_error, "AUTH without an authentication method in CONNECT"});
    case PacketType::connack: return fail(kServersOnly);
    default: return fail(frame.flags != 0 ? Fault{Reason::malformed_packet, "reserved flags are set"} : kServersOnly);
  }
}

void MqttSession::on_reply(RequestId request, const Reply& reply, net::SessionContext&) {
  if (closed_ || request != asked_) return;
  asked_ = 0;
  take_retained(reply);
}

void MqttSession::on_writable(net::SessionContext&) {
  if (closed_ || !connected_) return;
  outbox_.pump();
  walk();
}

void MqttSession::on_timer(net::SessionTimerId timer, net::SessionContext&) {
  if (timer == flush_timer_) flush_timer_ = 0;  // what was written leaves at the end of this call
  if (closed_) return;
  if (timer == timer_) {
    timer_ = 0;
    if (!connected_) return end(net::CloseReason::deadline, "no CONNECT came in time", false);
    return check_keep_alive();
  }
  if (timer == pause_timer_) {
    pause_timer_ = 0;
    if (!paused_ || pending_) return;
    if (five()) write_reason(PacketType::disconnect, Reason::quota_exceeded);
    end(net::CloseReason::limit, "there was no room for its messages", true);
  }
}

void MqttSession::on_close(net::CloseReason reason) {
  closed_ = true;
  leave(reason != net::CloseReason::shutdown);
}

void MqttSession::deliver(const MessagePtr& message, const Delivery& delivery) {
  if (closed_) return;
  if (in_force()) {
    outbox_.push(message, delivery);
    return touched();
  }
  revoke();
  if (delivery.group) broker_.deliver_again(delivery.group, message);
}

bool MqttSession::in_force() const {
  const auth::Authenticator* authenticator = broker_.options().authenticator;
  return authenticator == nullptr || authenticator->in_force(identity_);
}

// Its user or token is gone or has other rights: it is told before it gets anything more. Its will was the old one's.
void MqttSession::revoke() {
  will_.reset();
  if (five()) write_reason(PacketType::disconnect, Reason::administrative_action);
  end(net::CloseReason::session_closed, "what proved who it is does not count any more", true);
}

void MqttSession::published(uint64_t ticket, Reason reason) {
  if (closed_) return;
  inbox_.complete(ticket, reason);
  write_acks();
  touched();
}

void MqttSession::taken_over() {
  if (five()) write_reason(PacketType::disconnect, Reason::session_taken_over);
  end(net::CloseReason::session_closed, "the client connected again", true);
}

void MqttSession::resume() {
  if (!paused_ || pending_ || closed_) return;
  if (pause_timer_ != 0) context_->cancel(std::exchange(pause_timer_, 0));
  context_->pause_input(paused_ = false);
  touched();
}

void MqttSession::write(const ByteWriter& out) { context_->write(Buffer::copy_of(out.view())); }

void MqttSession::write_reason(PacketType type, Reason reason) {
  ByteWriter out;
  encode(type, Farewell{reason, {}}, version_, out);
  write(out);
}

// What the peer broke: it is told why, where its version has words for it.
void MqttSession::fail(const Fault& fault) {
  broker_.counters().malformed.add();
  if (connected_ && five()) write_reason(PacketType::disconnect, fault.reason);
  end(net::CloseReason::protocol_error, fault.why, true);
}

void MqttSession::end(net::CloseReason reason, const char* why, bool with_will) {
  if (std::exchange(closed_, true)) return;
  leave(with_will);
  context_->close(reason, why);
}

// The session is over: nobody is subscribed here any more, what others can still have goes to them.
void MqttSession::leave(bool with_will) {
  if (!std::exchange(entered_, false)) return;
  for (const auto& [filter, subscription] : subscriptions_) broker_.unsubscribe(filter, *this);
  subscriptions_.clear();
  broker_.leave(client_id_, *this);
  if (!with_will) return;
  for (const auto& [group, message] : outbox_.take_shared()) broker_.deliver_again(group, message);
  if (!will_) return;
  MessageView message;
  message.qos = will_->qos;
  message.retain = will_->retain;
  message.expiry_s = will_->expiry_s;
  message.topic = will_->topic;
  message.client = client_id_;
  message.properties = will_->properties;
  message.payload = will_->payload;
  broker_.publish_will(message, {0, 0, identity_.principal, context_->monotonic_ns()});
}

void MqttSession::touched() {
  if (framed_ && flush_timer_ == 0 && !closed_) flush_timer_ = context_->arm(0);
}

}  // namespace heptane::iot::mqtt
