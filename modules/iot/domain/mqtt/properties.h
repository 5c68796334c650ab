// MQTT 5.0 properties (§2.2.2): identifier, value; which packet may carry which. Views point into the packet. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::iot::mqtt {

// §2.4, as far as this server says or takes them.
enum class Reason : uint8_t {
  success = 0x00,
  granted_qos1 = 0x01,
  granted_qos2 = 0x02,
  disconnect_with_will = 0x04,
  no_matching_subscribers = 0x10,
  no_subscription_existed = 0x11,
  continue_authentication = 0x18,
  re_authenticate = 0x19,
  unspecified = 0x80,
  malformed_packet = 0x81,
  protocol_error = 0x82,
  implementation_specific = 0x83,
  unsupported_version = 0x84,
  invalid_client_id = 0x85,
  bad_user_or_password = 0x86,
  not_authorised = 0x87,
  server_unavailable = 0x88,
  server_busy = 0x89,
  server_shutting_down = 0x8B,
  bad_authentication_method = 0x8C,
  keep_alive_timeout = 0x8D,
  session_taken_over = 0x8E,
  topic_filter_invalid = 0x8F,
  topic_name_invalid = 0x90,
  packet_id_in_use = 0x91,
  packet_id_not_found = 0x92,
  receive_maximum_exceeded = 0x93,
  topic_alias_invalid = 0x94,
  packet_too_large = 0x95,
  message_rate_too_high = 0x96,
  quota_exceeded = 0x97,
  administrative_action = 0x98,
  payload_format_invalid = 0x99,
};

// Why a packet cannot be taken. `silent`: nothing is answered, the connection closes (before a version is agreed on, and in
// MQTT 3).
struct Fault {
  Reason reason = Reason::success;
  const char* why = "";
  explicit operator bool() const { return reason != Reason::success; }
};

// Who carries properties; the will's stand in CONNECT.
enum class Carrier : uint16_t {
  connect = 1 << 0,
  connack = 1 << 1,
  publish = 1 << 2,
  will = 1 << 3,
  ack = 1 << 4,  // PUBACK, PUBREC, PUBREL, PUBCOMP
  subscribe = 1 << 5,
  suback = 1 << 6,
  unsubscribe = 1 << 7,
  unsuback = 1 << 8,
  disconnect = 1 << 9,
  auth = 1 << 10,
};

constexpr size_t kUserPropertiesLimit = 64;
constexpr size_t kSubscriptionIdsLimit = 1000;
constexpr uint32_t kVariableIntegerMax = 268'435'455;

struct UserProperty {
  std::string_view key;
  std::string_view value;
  bool operator==(const UserProperty&) const = default;
};

struct Properties {
  std::optional<uint8_t> payload_format;             // 0x01
  std::optional<uint32_t> message_expiry_s;          // 0x02
  std::optional<std::string_view> content_type;      // 0x03
  std::optional<std::string_view> response_topic;    // 0x08
  std::optional<std::string_view> correlation_data;  // 0x09, any bytes
  std::vector<uint32_t> subscription_ids;            // 0x0B
  std::optional<uint32_t> session_expiry_s;          // 0x11
  std::optional<std::string_view> assigned_client_id;
  std::optional<uint16_t> server_keep_alive_s;
  std::optional<std::string_view> authentication_method;  // 0x15
  std::optional<std::string_view> authentication_data;    // 0x16, any bytes
  std::optional<uint8_t> request_problem_information;     // 0x17
  std::optional<uint32_t> will_delay_s;                   // 0x18
  std::optional<uint8_t> request_response_information;    // 0x19
  std::optional<std::string_view> response_information;   // 0x1A
  std::optional<std::string_view> server_reference;       // 0x1C
  std::optional<std::string_view> reason_string;          // 0x1F
  std::optional<uint16_t> receive_maximum;                // 0x21
  std::optional<uint16_t> topic_alias_maximum;            // 0x22
  std::optional<uint16_t> topic_alias;                    // 0x23
  std::optional<uint8_t> maximum_qos;                     // 0x24
  std::optional<uint8_t> retain_available;                // 0x25
  std::vector<UserProperty> user;                         // 0x26
  std::optional<uint32_t> maximum_packet_size;            // 0x27
  std::optional<uint8_t> wildcard_available;              // 0x28
  std::optional<uint8_t> subscription_ids_available;      // 0x29
  std::optional<uint8_t> shared_available;                // 0x2A

  bool operator==(const Properties&) const = default;
};

// Reads the length and the properties behind it.
Fault read_properties(ByteReader& in, Carrier carrier, Properties& properties);
// Length and properties; in the order of the identifiers, but for CONNACK's three limits, which come first: 0x22, 0x27, 0x21.
void write_properties(ByteWriter& out, const Properties& properties);

// Variable byte integers (§1.5.5). False: longer than four bytes, longer than it must be, or cut off (the reader has failed).
bool read_variable(ByteReader& in, uint32_t& value);
void write_variable(ByteWriter& out, uint32_t value);
size_t variable_size(uint32_t value);
// Two bytes of length; the text is checked. False: cut off (the reader has failed) or no text.
bool read_text(ByteReader& in, std::string_view& text);
std::string_view read_binary(ByteReader& in);
void write_text(ByteWriter& out, std::string_view text);  // cut at 65,535 bytes: callers have limits below it

}  // namespace heptane::iot::mqtt
