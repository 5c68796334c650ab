#include <algorithm>

#include "modules/iot/domain/mqtt/packets.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::mqtt {

namespace {

constexpr Fault kCutOff{Reason::malformed_packet, "the packet is cut off"};
constexpr Fault kTrailing{Reason::malformed_packet, "bytes behind the end of the packet"};
constexpr Fault kWrongFlags{Reason::malformed_packet, "reserved flags are set"};
constexpr Fault kNoText{Reason::malformed_packet, "a text is no UTF-8, or holds what MQTT forbids"};

bool is_one_of(Reason reason, std::initializer_list<Reason> reasons) {
  return std::find(reasons.begin(), reasons.end(), reason) != reasons.end();
}

using R = Reason;
bool ack_may_say(PacketType type, Reason reason) {
  if (type == PacketType::pubrel || type == PacketType::pubcomp)
    return is_one_of(reason, {R::success, R::packet_id_not_found});
  return is_one_of(
      reason, {R::success, R::no_matching_subscribers, R::unspecified, R::implementation_specific, R::not_authorised,
               R::topic_name_invalid, R::packet_id_in_use, R::quota_exceeded, R::payload_format_invalid});
}

// By either side.
bool disconnect_may_say(Reason reason) {
  const auto code = static_cast<uint8_t>(reason);
  return code == 0 || code == 4 || (code >= 0x80 && code <= 0x84) || code == 0x87 || code == 0x89 || code == 0x8B ||
         (code >= 0x8D && code <= 0x90) || (code >= 0x93 && code <= 0xA2);
}

Fault text_fault(const ByteReader& in) { return in.failed() ? kCutOff : kNoText; }

Fault read_optional_properties(ByteReader& in, Version version, Carrier carrier, Properties& properties) {
  return version == Version::v5 ? read_properties(in, carrier, properties) : Fault{};
}

// Name and level of the protocol.
Fault read_protocol(ByteReader& in, Connect& packet, ConnectStage& stage) {
  const std::string_view name = read_binary(in);
  const uint8_t level = in.u8();
  const bool old = name == "MQIsdp";
  if (in.failed() || (!old && name != "MQTT")) return {Reason::malformed_packet, "the client does not speak MQTT"};
  stage = ConnectStage::known;
  packet.version = static_cast<Version>(level);
  if (level == (old ? 3 : 4) || (!old && level == 5)) return {};
  // Levels that there are go with the other name: MQTT 3 has words for that (3.1.1 §3.1.2.2).
  if (level >= 3 && level <= 5) {
    packet.version = Version::v311;
    return {Reason::unsupported_version, "the protocol's name and its level do not belong together"};
  }
  stage = ConnectStage::wrong_version;
  return {Reason::unsupported_version, "MQTT 3.1, 3.1.1 and 5 are spoken here"};
}

struct ConnectFlags {
  uint8_t bits = 0;
  bool clean() const { return (bits & 2) != 0; }
  bool will() const { return (bits & 4) != 0; }
  uint8_t will_qos() const { return bits >> 3 & 3; }
  bool will_retain() const { return (bits & 32) != 0; }
  bool password() const { return (bits & 64) != 0; }
  bool user() const { return (bits & 128) != 0; }
};

Fault check_flags(ConnectFlags flags, Version version) {
  if (version != Version::v31 && (flags.bits & 1) != 0) return kWrongFlags;
  if (!flags.will() && (flags.will_qos() != 0 || flags.will_retain()))
    return {Reason::malformed_packet, "QoS or retain of a will that is not there"};
  if (flags.will_qos() == 3) return {Reason::malformed_packet, "there is no QoS 3"};
  if (version != Version::v5 && flags.password() && !flags.user())
    return {Reason::malformed_packet, "a password without a user name"};
  return {};
}

Fault read_will(ByteReader& in, ConnectFlags flags, Connect& packet) {
  Will& will = packet.will.emplace();
  will.qos = flags.will_qos();
  will.retain = flags.will_retain();
  if (const Fault fault = read_optional_properties(in, packet.version, Carrier::will, will.properties)) return fault;
  if (!read_text(in, will.topic)) return text_fault(in);
  if (!valid_topic(will.topic)) return {Reason::malformed_packet, "the will's topic is no topic"};
  will.payload = read_binary(in);
  return in.failed() ? kCutOff : Fault{};
}

Fault read_login(ByteReader& in, ConnectFlags flags, Connect& packet) {
  if (flags.user()) {
    std::string_view user;
    if (!read_text(in, user)) return text_fault(in);
    packet.user = user;
  }
  if (flags.password()) packet.password = read_binary(in);
  if (in.failed()) return kCutOff;
  return in.remaining() > 0 ? kTrailing : Fault{};
}

bool has_packet_id(uint8_t qos) { return qos > 0; }

Fault check_publish_flags(const Publish& packet) {
  if (packet.qos == 3) return {Reason::malformed_packet, "there is no QoS 3"};
  if (packet.dup && packet.qos == 0) return {Reason::malformed_packet, "QoS 0 is never sent again"};
  return {};
}

Fault check_topic(const Publish& packet) {
  if (packet.topic.empty())
    return packet.properties.topic_alias ? Fault{} : Fault{Reason::malformed_packet, "a PUBLISH without a topic"};
  return valid_topic(packet.topic) ? Fault{} : Fault{Reason::malformed_packet, "a topic with a wildcard"};
}

Fault read_filter(ByteReader& in, Version version, Filter& filter) {
  if (!read_text(in, filter.filter)) return text_fault(in);
  const uint8_t options = in.u8();
  if (in.failed()) return kCutOff;
  filter.qos = options & 3;
  const uint8_t known = version == Version::v5 ? 0x3F : 0x03;
  if (filter.qos == 3 || (options & ~known) != 0) return kWrongFlags;
  filter.no_local = (options & 4) != 0;
  filter.retain_as_published = (options & 8) != 0;
  filter.retain_handling = options >> 4 & 3;
  if (filter.retain_handling == 3) return kWrongFlags;
  if (!valid_filter(filter.filter)) return {Reason::malformed_packet, "a topic filter is none"};
  if (filter.no_local && is_shared(filter.filter))
    return {Reason::protocol_error, "a shared subscription cannot be without its own messages"};
  return {};
}

// The packet identifier, properties: how SUBSCRIBE, UNSUBSCRIBE and their answers begin.
Fault read_head(ByteReader& in, Version version, Carrier carrier, PacketId& id, Properties& properties) {
  id = in.be<uint16_t>();
  if (in.failed()) return kCutOff;
  if (id == 0) return {Reason::malformed_packet, "packet identifier 0"};
  return read_optional_properties(in, version, carrier, properties);
}

Fault decode_filter_ack(const Frame& frame, Version version, Carrier carrier, FilterAck& packet) {
  if (frame.flags != 0) return kWrongFlags;
  ByteReader in(frame.body);
  if (const Fault fault = read_head(in, version, carrier, packet.id, packet.properties)) return fault;
  for (const std::byte code : in.rest()) packet.codes.push_back(static_cast<uint8_t>(code));
  return {};
}

// An optional reason, and properties behind it: how MQTT 5 ends many packets.
Fault read_reason(ByteReader& in, Carrier carrier, Reason& reason, Properties& properties) {
  if (in.remaining() == 0) return {};
  reason = static_cast<Reason>(in.u8());
  if (in.remaining() == 0) return {};
  if (const Fault fault = read_properties(in, carrier, properties)) return fault;
  return in.remaining() > 0 ? kTrailing : Fault{};
}

}  // namespace

Fault read_frame(Bytes input, size_t limit_bytes, Frame& frame) {
  frame = {};
  frame.needed = 2;
  if (input.empty()) return {};
  const auto first = static_cast<uint8_t>(input[0]);
  frame.type = static_cast<PacketType>(first >> 4);
  frame.flags = first & 15;
  if (frame.type == PacketType::reserved) return {Reason::protocol_error, "packet type 0"};
  ByteReader in(input.subspan(1, std::min<size_t>(input.size() - 1, 4)));
  uint32_t length = 0;
  if (!read_variable(in, length)) {
    frame.needed = input.size() + 1;
    if (in.failed() && input.size() <= 4) return {};
    return {Reason::malformed_packet, "the remaining length is malformed"};
  }
  const size_t head = 1 + in.position();
  frame.needed = head + length;
  if (frame.needed > limit_bytes) return {Reason::packet_too_large, "a packet is longer than the limit"};
  if (input.size() < frame.needed) return {};
  frame.size = frame.needed;
  frame.body = input.subspan(head, length);
  return {};
}

Fault decode_connect(const Frame& frame, Connect& packet, ConnectStage& stage) {
  stage = ConnectStage::unknown;
  ByteReader in(frame.body);
  if (const Fault fault = read_protocol(in, packet, stage)) return fault;
  // MQTT 3.1 does not reserve them: DUP, QoS and RETAIN are not used.
  if (frame.flags != 0 && packet.version != Version::v31) return kWrongFlags;
  const ConnectFlags flags{in.u8()};
  packet.keep_alive_s = in.be<uint16_t>();
  if (in.failed()) return kCutOff;
  if (const Fault fault = check_flags(flags, packet.version)) return fault;
  packet.clean_start = flags.clean();
  const Fault fault = read_optional_properties(in, packet.version, Carrier::connect, packet.properties);
  if (fault) return fault;
  if (!read_text(in, packet.client_id))
    return in.failed() ? kCutOff : Fault{Reason::invalid_client_id, "the client identifier is no UTF-8 text"};
  if (flags.will())
    if (const Fault wrong = read_will(in, flags, packet)) return wrong;
  return read_login(in, flags, packet);
}

Fault decode_connack(const Frame& frame, Version version, Connack& packet) {
  if (frame.flags != 0) return kWrongFlags;
  ByteReader in(frame.body);
  const uint8_t flags = in.u8();
  packet.code = in.u8();
  if (in.failed()) return kCutOff;
  if (flags > 1) return kWrongFlags;
  packet.session_present = flags == 1;
  const Fault fault = read_optional_properties(in, version, Carrier::connack, packet.properties);
  if (fault) return fault;
  return in.remaining() > 0 ? kTrailing : Fault{};
}

Fault decode_publish(const Frame& frame, Version version, Publish& packet) {
  packet.retain = (frame.flags & 1) != 0;
  packet.qos = frame.flags >> 1 & 3;
  packet.dup = (frame.flags & 8) != 0;
  if (const Fault fault = check_publish_flags(packet)) return fault;
  ByteReader in(frame.body);
  if (!read_text(in, packet.topic)) return text_fault(in);
  if (has_packet_id(packet.qos)) packet.id = in.be<uint16_t>();
  if (in.failed()) return kCutOff;
  if (has_packet_id(packet.qos) && packet.id == 0) return {Reason::protocol_error, "packet identifier 0"};
  const Fault fault = read_optional_properties(in, version, Carrier::publish, packet.properties);
  if (fault) return fault;
  packet.payload = as_text(in.rest());
  return check_topic(packet);
}

Fault decode_ack(const Frame& frame, Version version, Ack& packet) {
  if (frame.flags != (frame.type == PacketType::pubrel ? 2 : 0)) return kWrongFlags;
  ByteReader in(frame.body);
  packet.id = in.be<uint16_t>();
  if (in.failed()) return kCutOff;
  if (packet.id == 0) return {Reason::protocol_error, "packet identifier 0"};
  if (version != Version::v5) return in.remaining() > 0 ? kTrailing : Fault{};
  const Fault fault = read_reason(in, Carrier::ack, packet.reason, packet.properties);
  if (fault) return fault;
  return ack_may_say(frame.type, packet.reason) ? Fault{} : Fault{Reason::protocol_error, "an unknown reason code"};
}

Fault decode_subscribe(const Frame& frame, Version version, Subscribe& packet) {
  if (frame.flags != 2) return kWrongFlags;
  ByteReader in(frame.body);
  if (const Fault fault = read_head(in, version, Carrier::subscribe, packet.id, packet.properties)) return fault;
  if (in.remaining() == 0) return {Reason::malformed_packet, "a SUBSCRIBE without a filter"};
  while (in.remaining() > 0) {
    Filter filter;
    if (const Fault fault = read_filter(in, version, filter)) return fault;
    packet.filters.push_back(filter);
  }
  return {};
}

Fault decode_unsubscribe(const Frame& frame, Version version, Unsubscribe& packet) {
  if (frame.flags != 2) return kWrongFlags;
  ByteReader in(frame.body);
  if (const Fault fault = read_head(in, version, Carrier::unsubscribe, packet.id, packet.properties)) return fault;
  if (in.remaining() == 0) return {Reason::malformed_packet, "an UNSUBSCRIBE without a filter"};
  while (in.remaining() > 0) {
    std::string_view filter;
    if (!read_text(in, filter)) return text_fault(in);
    if (!valid_filter(filter)) return {Reason::malformed_packet, "a topic filter is none"};
    packet.filters.push_back(filter);
  }
  return {};
}

Fault decode_suback(const Frame& frame, Version version, FilterAck& packet) {
  return decode_filter_ack(frame, version, Carrier::suback, packet);
}

Fault decode_unsuback(const Frame& frame, Version version, FilterAck& packet) {
  const Fault fault = decode_filter_ack(frame, version, Carrier::unsuback, packet);
  if (fault) return fault;
  return version != Version::v5 && !packet.codes.empty() ? kTrailing : Fault{};
}

Fault decode_disconnect(const Frame& frame, Version version, Farewell& packet) {
  if (frame.flags != 0) return {Reason::protocol_error, "reserved flags are set"};
  if (version != Version::v5) return frame.body.empty() ? Fault{} : kTrailing;
  ByteReader in(frame.body);
  const Fault fault = read_reason(in, Carrier::disconnect, packet.reason, packet.properties);
  if (fault) return fault;
  return disconnect_may_say(packet.reason) ? Fault{} : Fault{Reason::protocol_error, "an unknown reason code"};
}

Fault decode_auth(const Frame& frame, Version version, Farewell& packet) {
  if (frame.flags != 0 || version != Version::v5) return {Reason::protocol_error, "reserved flags are set"};
  ByteReader in(frame.body);
  const Fault fault = read_reason(in, Carrier::auth, packet.reason, packet.properties);
  if (fault) return fault;
  const bool known = is_one_of(packet.reason, {R::success, R::continue_authentication, R::re_authenticate});
  return known ? Fault{} : Fault{Reason::protocol_error, "an unknown reason code"};
}

Fault decode_empty(const Frame& frame) {
  if (frame.flags != 0) return kWrongFlags;
  return frame.body.empty() ? Fault{} : kTrailing;
}

}  // namespace heptane::iot::mqtt
