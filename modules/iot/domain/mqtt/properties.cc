#include "modules/iot/domain/mqtt/properties.h"

#include <algorithm>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::mqtt {

namespace {

constexpr uint16_t bits(std::initializer_list<Carrier> carriers) {
  uint16_t all = 0;
  for (const Carrier carrier : carriers) all = static_cast<uint16_t>(all | static_cast<uint16_t>(carrier));
  return all;
}

using C = Carrier;
constexpr uint16_t kMessage = bits({C::publish, C::will});
constexpr uint16_t kAnswers = bits({C::connack, C::ack, C::suback, C::unsuback, C::disconnect, C::auth});
constexpr uint16_t kEverywhere =
    static_cast<uint16_t>(kAnswers | kMessage | bits({C::connect, C::subscribe, C::unsubscribe}));
constexpr uint16_t kLogin = bits({C::connect, C::connack, C::auth});
constexpr uint16_t kLimits = bits({C::connect, C::connack});
constexpr uint16_t kConnack = bits({C::connack});

// Values that are not what their type may hold.
constexpr const char* kTwice = "a property stands twice";

// Takes one value of the property's type out of the packet and puts it into its place, or writes it from there.
class Reading {
 public:
  Reading(ByteReader& in, bool checks) : in_(in), checks_(checks) {}
  Fault fault() const { return fault_; }

  void flag(std::optional<uint8_t>& into) {
    number(into);
    if (into && *into > 1) fail(Reason::protocol_error, "a property may be 0 or 1");
  }
  template <class T>
  void number(std::optional<T>& into) {
    once(into.has_value());
    if constexpr (sizeof(T) == 1)
      into = in_.u8();
    else
      into = in_.be<T>();
  }
  template <class T>
  void positive(std::optional<T>& into) {
    number(into);
    if (!in_.failed() && *into == 0) fail(Reason::protocol_error, "a property may not be 0");
  }
  void text(std::optional<std::string_view>& into) {
    once(into.has_value());
    std::string_view value;
    if (!read_text(in_, value)) fail(Reason::malformed_packet, "a property is no UTF-8 text");
    into = value;
  }
  void binary(std::optional<std::string_view>& into) {
    once(into.has_value());
    into = read_binary(in_);
  }
  void subscription_id(std::vector<uint32_t>& into, bool several) {
    if (!several) once(!into.empty());
    uint32_t value = 0;
    if (!read_variable(in_, value)) return fail(Reason::malformed_packet, "a subscription identifier is malformed");
    if (value == 0) return fail(Reason::protocol_error, "a subscription identifier may not be 0");
    if (into.size() >= kSubscriptionIdsLimit) return fail(Reason::protocol_error, "too many subscription identifiers");
    into.push_back(value);
  }
  void user(std::vector<UserProperty>& into) {
    UserProperty property;
    if (!read_text(in_, property.key) || !read_text(in_, property.value))
      return fail(Reason::malformed_packet, "a user property is no UTF-8 text");
    if (into.size() >= kUserPropertiesLimit) return fail(Reason::quota_exceeded, "more than 64 user properties");
    into.push_back(property);
  }
  void fail(Reason reason, const char* why) {
    if (!fault_ && (checks_ || reason == Reason::malformed_packet)) fault_ = {reason, why};
  }

 private:
  void once(bool there) {
    if (there) fail(Reason::protocol_error, kTwice);
  }
  ByteReader& in_;
  const bool checks_;
  Fault fault_;
};

// Who may carry the property; 0: there is none of this number.
uint16_t carriers_of(uint32_t id) {
  switch (id) {
    case 0x01:
    case 0x02:
    case 0x03:
    case 0x08:
    case 0x09: return kMessage;
    case 0x0B: return bits({C::publish, C::subscribe});
    case 0x11: return bits({C::connect, C::connack, C::disconnect});
    case 0x12:
    case 0x13:
    case 0x1A: return kConnack;
    case 0x15:
    case 0x16: return kLogin;
    case 0x17:
    case 0x19: return bits({C::connect});
    case 0x18: return bits({C::will});
    case 0x1C: return bits({C::connack, C::disconnect});
    case 0x1F: return kAnswers;
    case 0x21:
    case 0x22:
    case 0x27: return kLimits;
    case 0x23: return bits({C::publish});
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2A: return kConnack;
    case 0x26: return kEverywhere;
    default: return 0;
  }
}

void read_value(uint32_t id, Carrier carrier, Reading& in, Properties& p) {
  switch (id) {
    case 0x01: return in.flag(p.payload_format);
    case 0x02: return in.number(p.message_expiry_s);
    case 0x03: return in.text(p.content_type);
    case 0x08: return in.text(p.response_topic);
    case 0x09: return in.binary(p.correlation_data);
    case 0x0B: return in.subscription_id(p.subscription_ids, carrier == Carrier::publish);
    case 0x11: return in.number(p.session_expiry_s);
    case 0x12: return in.text(p.assigned_client_id);
    case 0x13: return in.number(p.server_keep_alive_s);
    case 0x15: return in.text(p.authentication_method);
    case 0x16: return in.binary(p.authentication_data);
    case 0x17: return in.flag(p.request_problem_information);
    case 0x18: return in.number(p.will_delay_s);
    case 0x19: return in.flag(p.request_response_information);
    case 0x1A: return in.text(p.response_information);
    case 0x1C: return in.text(p.server_reference);
    case 0x1F: return in.text(p.reason_string);
    case 0x21: return in.positive(p.receive_maximum);
    case 0x22: return in.number(p.topic_alias_maximum);
    case 0x23: return in.number(p.topic_alias);
    case 0x24: return in.flag(p.maximum_qos);
    case 0x25: return in.flag(p.retain_available);
    case 0x26: return in.user(p.user);
    case 0x27: return in.positive(p.maximum_packet_size);
    case 0x28: return in.flag(p.wildcard_available);
    case 0x29: return in.flag(p.subscription_ids_available);
    case 0x2A: return in.flag(p.shared_available);
    default: return;
  }
}

// As other brokers answer.
Reason misplaced_in(Carrier carrier) {
  const bool filters = carrier == Carrier::subscribe || carrier == Carrier::unsubscribe;
  return filters ? Reason::malformed_packet : Reason::protocol_error;
}

// What no single value can say.
Fault check_message(const Properties& properties, Carrier carrier) {
  if (properties.response_topic && !valid_topic(*properties.response_topic))
    return {Reason::protocol_error, "the response topic is no topic"};
  if (carrier == Carrier::connect && properties.authentication_data && !properties.authentication_method)
    return {Reason::protocol_error, "authentication data without a method"};
  return {};
}

class Writing {
 public:
  explicit Writing(ByteWriter& out) : out_(out) {}
  template <class T>
  void number(uint8_t id, const std::optional<T>& value) {
    if (!value) return;
    out_.u8(id);
    out_.be<T>(*value);
  }
  void text(uint8_t id, const std::optional<std::string_view>& value) {
    if (!value) return;
    out_.u8(id);
    write_text(out_, *value);
  }

 private:
  ByteWriter& out_;
};

void write_values(ByteWriter& out, const Properties& p) {
  Writing to(out);
  to.number(0x22, p.topic_alias_maximum);
  to.number(0x27, p.maximum_packet_size);
  to.number(0x21, p.receive_maximum);
  to.number(0x01, p.payload_format);
  to.number(0x02, p.message_expiry_s);
  to.text(0x03, p.content_type);
  to.text(0x08, p.response_topic);
  to.text(0x09, p.correlation_data);
  for (const uint32_t id : p.subscription_ids) {
    out.u8(0x0B);
    write_variable(out, id);
  }
  to.number(0x11, p.session_expiry_s);
  to.text(0x12, p.assigned_client_id);
  to.number(0x13, p.server_keep_alive_s);
  to.text(0x15, p.authentication_method);
  to.text(0x16, p.authentication_data);
  to.number(0x17, p.request_problem_information);
  to.number(0x18, p.will_delay_s);
  to.number(0x19, p.request_response_information);
  to.text(0x1A, p.response_information);
  to.text(0x1C, p.server_reference);
  to.text(0x1F, p.reason_string);
  to.number(0x23, p.topic_alias);
  to.number(0x24, p.maximum_qos);
  to.number(0x25, p.retain_available);
  for (const UserProperty& property : p.user) {
    out.u8(0x26);
    write_text(out, property.key);
    write_text(out, property.value);
  }
  to.number(0x28, p.wildcard_available);
  to.number(0x29, p.subscription_ids_available);
  to.number(0x2A, p.shared_available);
}

}  // namespace

Fault read_properties(ByteReader& in, Carrier carrier, Properties& properties) {
  uint32_t length = 0;
  if (!read_variable(in, length)) return {Reason::malformed_packet, "the length of the properties is malformed"};
  ByteReader values(in.take(length));
  if (in.failed()) return {Reason::malformed_packet, "the properties are cut off"};
  Fault misplaced;
  while (values.remaining() > 0) {
    uint32_t id = 0;
    if (!read_variable(values, id) || carriers_of(id) == 0) return {Reason::malformed_packet, "an unknown property"};
    const bool allowed = (carriers_of(id) & static_cast<uint16_t>(carrier)) != 0;
    // One that may not stand here is read over: that it is cut off is the graver fault.
    Properties ignored;
    Reading reading(values, allowed);
    read_value(id, carrier, reading, allowed ? properties : ignored);
    if (values.failed()) return {Reason::malformed_packet, "a property is cut off"};
    if (reading.fault()) return reading.fault();
    if (!allowed && !misplaced) misplaced = {misplaced_in(carrier), "a property that this packet does not have"};
  }
  return misplaced ? misplaced : check_message(properties, carrier);
}

void write_properties(ByteWriter& out, const Properties& properties) {
  ByteWriter values;
  write_values(values, properties);
  write_variable(out, static_cast<uint32_t>(values.size()));
  out.append(values.view());
}

bool read_variable(ByteReader& in, uint32_t& value) {
  value = 0;
  for (uint32_t shift = 0; shift < 28; shift += 7) {
    const uint8_t byte = in.u8();
    if (in.failed()) return false;
    value |= static_cast<uint32_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return byte != 0 || shift == 0;
  }
  return false;
}

void write_variable(ByteWriter& out, uint32_t value) {
  for (; value > 0x7F; value >>= 7) out.u8(static_cast<uint8_t>(value | 0x80));
  out.u8(static_cast<uint8_t>(value));
}

size_t variable_size(uint32_t value) { return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4; }

bool read_text(ByteReader& in, std::string_view& text) {
  text = read_binary(in);
  return !in.failed() && valid_text(text);
}

std::string_view read_binary(ByteReader& in) {
  const auto length = in.be<uint16_t>();
  return as_text(in.take(length));
}

void write_text(ByteWriter& out, std::string_view text) {
  constexpr size_t kLongest = 65'535;
  text = text.substr(0, std::min(text.size(), kLongest));
  out.be<uint16_t>(static_cast<uint16_t>(text.size()));
  out.append(text);
}

}  // namespace heptane::iot::mqtt
