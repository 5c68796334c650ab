#include "modules/iot/domain/mqtt/packets.h"

namespace heptane::iot::mqtt {

namespace {

void write_packet(PacketType type, uint8_t flags, const ByteWriter& body, ByteWriter& out) {
  out.u8(static_cast<uint8_t>(static_cast<uint8_t>(type) << 4 | flags));
  write_variable(out, static_cast<uint32_t>(body.size()));
  out.append(body.view());
}

void write_optional_properties(ByteWriter& out, Version version, const Properties& properties) {
  if (version == Version::v5) write_properties(out, properties);
}

uint8_t flags_of(const Connect& packet) {
  uint8_t flags = packet.clean_start ? 2 : 0;
  if (packet.will) flags |= static_cast<uint8_t>(4 | packet.will->qos << 3 | (packet.will->retain ? 32 : 0));
  if (packet.password) flags |= 64;
  if (packet.user) flags |= 128;
  return flags;
}

bool bare(const Properties& properties) { return properties == Properties{}; }

// As short as the packet may be: success and no properties need no bytes.
void write_reason(ByteWriter& out, Version version, Reason reason, const Properties& properties) {
  if (version != Version::v5 || (reason == Reason::success && bare(properties))) return;
  out.u8(static_cast<uint8_t>(reason));
  if (!bare(properties)) write_properties(out, properties);
}

}  // namespace

void encode(const Connect& packet, ByteWriter& out) {
  ByteWriter body;
  write_text(body, packet.version == Version::v31 ? "MQIsdp" : "MQTT");
  body.u8(static_cast<uint8_t>(packet.version));
  body.u8(flags_of(packet));
  body.be<uint16_t>(packet.keep_alive_s);
  write_optional_properties(body, packet.version, packet.properties);
  write_text(body, packet.client_id);
  if (packet.will) {
    write_optional_properties(body, packet.version, packet.will->properties);
    write_text(body, packet.will->topic);
    write_text(body, packet.will->payload);
  }
  if (packet.user) write_text(body, *packet.user);
  if (packet.password) write_text(body, *packet.password);
  write_packet(PacketType::connect, 0, body, out);
}

void encode(const Connack& packet, Version version, ByteWriter& out) {
  ByteWriter body;
  body.u8(packet.session_present ? 1 : 0);
  body.u8(packet.code);
  write_optional_properties(body, version, packet.properties);
  write_packet(PacketType::connack, 0, body, out);
}

void encode(const Publish& packet, Version version, ByteWriter& out) {
  ByteWriter body;
  body.reserve(packet.topic.size() + packet.payload.size() + 16);
  write_text(body, packet.topic);
  if (packet.qos > 0) body.be<uint16_t>(packet.id);
  write_optional_properties(body, version, packet.properties);
  body.append(packet.payload);
  const int flags = (packet.dup ? 8 : 0) | packet.qos << 1 | (packet.retain ? 1 : 0);
  write_packet(PacketType::publish, static_cast<uint8_t>(flags), body, out);
}

void encode(PacketType type, const Ack& packet, Version version, ByteWriter& out) {
  const uint8_t flags = type == PacketType::pubrel ? 2 : 0;
  if (version != Version::v5 || (packet.reason == Reason::success && bare(packet.properties))) {
    out.u8(static_cast<uint8_t>(static_cast<uint8_t>(type) << 4 | flags));
    out.u8(sizeof packet.id);
    return out.be<uint16_t>(packet.id);
  }
  ByteWriter body;
  body.be<uint16_t>(packet.id);
  write_reason(body, version, packet.reason, packet.properties);
  write_packet(type, flags, body, out);
}

void encode(const Subscribe& packet, Version version, ByteWriter& out) {
  ByteWriter body;
  body.be<uint16_t>(packet.id);
  write_optional_properties(body, version, packet.properties);
  for (const Filter& filter : packet.filters) {
    write_text(body, filter.filter);
    const int options =
        filter.qos | (filter.no_local ? 4 : 0) | (filter.retain_as_published ? 8 : 0) | filter.retain_handling << 4;
    body.u8(static_cast<uint8_t>(options));
  }
  write_packet(PacketType::subscribe, 2, body, out);
}

void encode(const Unsubscribe& packet, Version version, ByteWriter& out) {
  ByteWriter body;
  body.be<uint16_t>(packet.id);
  write_optional_properties(body, version, packet.properties);
  for (const std::string_view filter : packet.filters) write_text(body, filter);
  write_packet(PacketType::unsubscribe, 2, body, out);
}

void encode(PacketType type, const FilterAck& packet, Version version, ByteWriter& out) {
  ByteWriter body;
  body.be<uint16_t>(packet.id);
  write_optional_properties(body, version, packet.properties);
  if (type == PacketType::suback || version == Version::v5)
    for (const uint8_t code : packet.codes) body.u8(code);
  write_packet(type, 0, body, out);
}

void encode(PacketType type, const Farewell& packet, Version version, ByteWriter& out) {
  ByteWriter body;
  write_reason(body, version, packet.reason, packet.properties);
  write_packet(type, 0, body, out);
}

void encode_empty(PacketType type, ByteWriter& out) { write_packet(type, 0, ByteWriter(), out); }

uint8_t return_code_of(Reason reason) {
  switch (reason) {
    case Reason::success: return 0;
    case Reason::unsupported_version: return 1;
    case Reason::invalid_client_id: return 2;
    case Reason::bad_user_or_password: return 4;
    case Reason::not_authorised: return 5;
    default: return 3;
  }
}

}  // namespace heptane::iot::mqtt
