// CONNECT, DISCONNECT and the keep-alive.

#include <algorithm>

#include "kernel/net/peer.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

// The raw part behind write_properties' length.
std::string without_length(const ByteWriter& out) {
  ByteReader in(out.view());
  uint32_t length = 0;
  (void)read_variable(in, length);
  return std::string(as_text(in.rest()));
}

}  // namespace

std::string message_properties(const Properties& properties) {
  Properties own;
  own.payload_format = properties.payload_format;
  own.content_type = properties.content_type;
  own.response_topic = properties.response_topic;
  own.correlation_data = properties.correlation_data;
  own.user = properties.user;
  if (own == Properties{}) return {};
  ByteWriter out;
  write_properties(out, own);
  return without_length(out);
}

void MqttSession::take_connect(const Frame& frame) {
  Connect packet;
  ConnectStage stage{};
  Fault fault = decode_connect(frame, packet, stage);
  if (!fault) fault = check_connect(packet);
  if (fault) return refuse_connect(stage, packet.version, fault);
  begin(packet);
}

// MQTT 3 has words for some refusals alone; what is malformed is closed without any.
void MqttSession::refuse_connect(ConnectStage stage, Version version, const Fault& fault) {
  broker_.counters().malformed.add();
  Connack answer;
  version_ = version;
  if (stage == ConnectStage::wrong_version) version_ = Version::v5;  // 5.0 §3.1.2.2 lets a server answer in its form
  const bool words = five() || (fault.reason != Reason::malformed_packet && fault.reason != Reason::protocol_error);
  if (stage != ConnectStage::unknown && words) {
    answer.code = five() ? static_cast<uint8_t>(fault.reason) : return_code_of(fault.reason);
    ByteWriter out;
    encode(answer, version_, out);
    write(out);
  }
  end(net::CloseReason::protocol_error, fault.why, false);
}

Fault MqttSession::check_connect(const Connect& packet) {
  version_ = packet.version;
  if (packet.properties.authentication_method)
    return {Reason::bad_authentication_method, "enhanced authentication is not offered"};
  if (packet.client_id.size() > kClientIdBytesMax)
    return {Reason::invalid_client_id, "a client identifier has at most 1,024 bytes"};
  const bool assigns = packet.version == Version::v5 || (packet.version == Version::v311 && packet.clean_start);
  if (packet.client_id.empty() && !assigns)
    return {Reason::invalid_client_id, "a client without an identifier asks for a session to be kept"};
  if (const Fault fault = authenticate(packet)) return fault;
  return packet.will ? check_will(*packet.will) : Fault{};
}

// By certificate, or by user and password, where a token is a password too.
Fault MqttSession::authenticate(const Connect& packet) {
  auth::Authenticator* authenticator = broker_.options().authenticator;
  if (authenticator == nullptr) return {};
  constexpr Fault kRefused{Reason::bad_user_or_password, "authentication failed"};
  const auth::Peer peer = net::peer_of(*context_, "mqtt");
  if (!packet.user) {
    const auto identity = authenticator->by_certificate(peer);
    if (!identity) return {Reason::not_authorised, "a client must say who it is"};
    identity_ = *identity;
    return {};
  }
  const std::vector<std::string_view> mechanisms = authenticator->mechanisms(peer);
  if (std::find(mechanisms.begin(), mechanisms.end(), "PLAIN") == mechanisms.end())
    return {Reason::not_authorised, "passwords are not taken without TLS"};
  std::string message(1, '\0');
  message += *packet.user;
  message += '\0';
  message += packet.password.value_or("");
  const auth::SaslStep step = authenticator->begin("PLAIN", peer)->step(as_bytes(message));
  if (step.outcome != auth::SaslStep::Outcome::done) return kRefused;
  identity_ = step.identity;
  return {};
}

Fault MqttSession::check_will(const Will& will) {
  if (!within_limits(will.topic)) return {Reason::topic_name_invalid, "the will's topic is too long"};
  if (!may_publish(will.topic)) return {Reason::not_authorised, "the will's topic is not this client's to publish to"};
  OwnWill& own = will_.emplace();
  own.topic = will.topic;
  own.payload = will.payload;
  own.properties = message_properties(will.properties);
  own.expiry_s = will.properties.message_expiry_s;
  own.qos = will.qos;
  own.retain = will.retain;
  return {};
}

void MqttSession::begin(const Connect& packet) {
  const bool assigned = packet.client_id.empty();
  client_id_ = assigned ? broker_.make_client_id(context_->id()) : std::string(packet.client_id);
  if (broker_.enter(client_id_, *this) == Broker::Entry::refused)
    return refuse_connect(ConnectStage::known, version_,
                          {Reason::not_authorised, "somebody else has this client identifier"});
  entered_ = true;
  connected_ = true;
  kept_asked_ = packet.properties.session_expiry_s.value_or(0) > 0;
  Outbox::Limits limits;
  limits.version = version_;
  limits.window = packet.properties.receive_maximum.value_or(
      five() ? UINT16_MAX : static_cast<uint16_t>(broker_.options().max_inflight));
  limits.window = std::min<size_t>(limits.window, UINT16_MAX - 1);
  limits.queue_max = static_cast<size_t>(broker_.options().queue_max);
  limits.packet_bytes_max = packet.properties.maximum_packet_size.value_or(UINT32_MAX);
  limits.alias_max = packet.properties.topic_alias_maximum.value_or(0);
  constexpr uint16_t kAliasesMax = 64;  // each is a topic that is remembered
  limits.alias_max = std::min(limits.alias_max, kAliasesMax);
  outbox_.begin(limits, broker_.counters(), *context_);
  write_connack(packet, assigned);
}

// Limits, and else what differs from what the client asked for.
void MqttSession::write_connack(const Connect& packet, bool assigned) {
  const MqttOptions& options = broker_.options();
  Connack answer;
  Properties& say = answer.properties;
  say.topic_alias_maximum = static_cast<uint16_t>(options.topic_alias_maximum);
  say.maximum_packet_size = static_cast<uint32_t>(options.maximum_packet_size);
  say.receive_maximum = static_cast<uint16_t>(options.receive_maximum);
  if (assigned) say.assigned_client_id = client_id_;
  if (kept_asked_) say.session_expiry_s = 0;  // it ends with the connection
  int64_t keep_alive_s = packet.keep_alive_s;
  const int64_t longest_s = options.max_keep_alive_s;
  if (five() && longest_s > 0 && (keep_alive_s == 0 || keep_alive_s > longest_s)) {
    keep_alive_s = longest_s;
    say.server_keep_alive_s = static_cast<uint16_t>(longest_s);
  }
  keep_alive_ns_ = keep_alive_s * kNsPerSecond * 3 / 2;  // §3.1.2.10
  ByteWriter out;
  encode(answer, version_, out);
  if (out.size() > packet.properties.maximum_packet_size.value_or(UINT32_MAX))
    return end(net::CloseReason::protocol_error, "the client takes no packet as large as CONNACK", false);
  write(out);
  start_keep_alive();
}

void MqttSession::take_disconnect(const Frame& frame) {
  Farewell packet;
  if (const Fault fault = decode_disconnect(frame, version_, packet)) return fail(fault);
  if (packet.properties.session_expiry_s.value_or(0) > 0 && !kept_asked_)
    return fail({Reason::protocol_error, "a session that was not to be kept cannot be kept now"});
  if (packet.reason == Reason::success) will_.reset();
  end(net::CloseReason::session_closed, "the client said good-bye", true);
}

void MqttSession::start_keep_alive() {
  if (timer_ != 0) context_->cancel(std::exchange(timer_, 0));
  if (keep_alive_ns_ > 0) timer_ = context_->arm(keep_alive_ns_);
}

// A connection that is not read is not blamed for silence.
void MqttSession::check_keep_alive() {
  const int64_t now = context_->monotonic_ns();
  if (paused_) heard_ns_ = now;
  const int64_t left = heard_ns_ + keep_alive_ns_ - now;
  if (left > 0) {
    timer_ = context_->arm(left);
    return;
  }
  broker_.counters().keep_alive.add();
  if (five()) write_reason(PacketType::disconnect, Reason::keep_alive_timeout);
  end(net::CloseReason::deadline, "nothing came for one and a half times the keep-alive", true);
}

}  // namespace heptane::iot::mqtt
