// MQTT control packets (3.1, 3.1.1 §2 and §3, 5.0 §2 and §3): bytes to values and back, all fifteen of them, for both sides.
// A packet is framed first (read_frame), so that its length is judged before anything is kept; decoding allocates nothing
// but lists, whose lengths are bounded by the packet's. Views point into the packet. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "modules/iot/domain/mqtt/properties.h"

namespace heptane::iot::mqtt {

enum class PacketType : uint8_t {
  reserved = 0,
  connect = 1,
  connack = 2,
  publish = 3,
  puback = 4,
  pubrec = 5,
  pubrel = 6,
  pubcomp = 7,
  subscribe = 8,
  suback = 9,
  unsubscribe = 10,
  unsuback = 11,
  pingreq = 12,
  pingresp = 13,
  disconnect = 14,
  auth = 15,
};

// By the number in CONNECT.
enum class Version : uint8_t { v31 = 3, v311 = 4, v5 = 5 };

using PacketId = uint16_t;  // 0: none

// The fixed header and what lies behind it.
struct Frame {
  PacketType type = PacketType::reserved;
  uint8_t flags = 0;
  Bytes body;
  size_t size = 0;  // of the whole packet; 0: it is not all there, `needed` bytes are
  size_t needed = 0;
};
// Fault: no packet begins like this, or it is longer than `limit_bytes` (packet_too_large).
Fault read_frame(Bytes input, size_t limit_bytes, Frame& frame);

struct Will {
  std::string_view topic;
  std::string_view payload;
  uint8_t qos = 0;
  bool retain = false;
  Properties properties;
  bool operator==(const Will&) const = default;
};

struct Connect {
  Version version = Version::v5;
  bool clean_start = true;
  uint16_t keep_alive_s = 0;
  std::string_view client_id;
  std::optional<Will> will;
  std::optional<std::string_view> user;
  std::optional<std::string_view> password;
  Properties properties;
  bool operator==(const Connect&) const = default;
};

// What there was before CONNECT could be taken, for the answer.
enum class ConnectStage : uint8_t {
  unknown,        // not MQTT as far as anybody can tell: closed without a word
  wrong_version,  // this protocol, another level
  known,          // `version` holds
};

struct Connack {
  bool session_present = false;
  uint8_t code = 0;  // a Reason, in MQTT 3 its own
  Properties properties;
  bool operator==(const Connack&) const = default;
};

struct Publish {
  bool dup = false;
  uint8_t qos = 0;
  bool retain = false;
  std::string_view topic;
  PacketId id = 0;
  Properties properties;
  std::string_view payload;
  bool operator==(const Publish&) const = default;
};

// PUBACK, PUBREC, PUBREL, PUBCOMP.
struct Ack {
  PacketId id = 0;
  Reason reason = Reason::success;
  Properties properties;
  bool operator==(const Ack&) const = default;
};

struct Filter {
  std::string_view filter;
  uint8_t qos = 0;
  bool no_local = false;
  bool retain_as_published = false;
  uint8_t retain_handling = 0;
  bool operator==(const Filter&) const = default;
};

struct Subscribe {
  PacketId id = 0;
  Properties properties;
  std::vector<Filter> filters;
  bool operator==(const Subscribe&) const = default;
};

struct Unsubscribe {
  PacketId id = 0;
  Properties properties;
  std::vector<std::string_view> filters;
  bool operator==(const Unsubscribe&) const = default;
};

// SUBACK and UNSUBACK (which has no codes in MQTT 3).
struct FilterAck {
  PacketId id = 0;
  Properties properties;
  std::vector<uint8_t> codes;
  bool operator==(const FilterAck&) const = default;
};

// DISCONNECT and AUTH.
struct Farewell {
  Reason reason = Reason::success;
  Properties properties;
  bool operator==(const Farewell&) const = default;
};

// Decoders take the frame's flags and body.
Fault decode_connect(const Frame& frame, Connect& packet, ConnectStage& stage);
Fault decode_connack(const Frame& frame, Version version, Connack& packet);
Fault decode_publish(const Frame& frame, Version version, Publish& packet);
Fault decode_ack(const Frame& frame, Version version, Ack& packet);
Fault decode_subscribe(const Frame& frame, Version version, Subscribe& packet);
Fault decode_unsubscribe(const Frame& frame, Version version, Unsubscribe& packet);
Fault decode_suback(const Frame& frame, Version version, FilterAck& packet);
Fault decode_unsuback(const Frame& frame, Version version, FilterAck& packet);
Fault decode_disconnect(const Frame& frame, Version version, Farewell& packet);
Fault decode_auth(const Frame& frame, Version version, Farewell& packet);
// PINGREQ, PINGRESP.
Fault decode_empty(const Frame& frame);

// Encoders append to `out`. Properties are written in MQTT 5 alone.
void encode(const Connect& packet, ByteWriter& out);
void encode(const Connack& packet, Version version, ByteWriter& out);
void encode(const Publish& packet, Version version, ByteWriter& out);
void encode(PacketType type, const Ack& packet, Version version, ByteWriter& out);
void encode(const Subscribe& packet, Version version, ByteWriter& out);
void encode(const Unsubscribe& packet, Version version, ByteWriter& out);
void encode(PacketType type, const FilterAck& packet, Version version, ByteWriter& out);
void encode(PacketType type, const Farewell& packet, Version version, ByteWriter& out);
void encode_empty(PacketType type, ByteWriter& out);

// What CONNACK says in MQTT 3 (3.1.1 table 3.1).
uint8_t return_code_of(Reason reason);

}  // namespace heptane::iot::mqtt
