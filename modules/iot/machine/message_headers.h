// The headers of a message's record in the streams of messages. What a header is called, and how it is written, stays for ever. The
// broker's own end with mqtt.client, which every record has: what stands behind it is the publisher's, whatever it is called.
// One for many messages: what it gives points into the message that it was made of, and into itself, until the next. One thread's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/shard/views.h"
#include "modules/iot/domain/mqtt/properties.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot {

class MessageHeaders {
 public:
  void of(const MessageView& message) {
    const bool says_more = !message.properties.empty();
    headers_.clear();
    qos_ = static_cast<char>('0' + message.qos);
    text("mqtt.qos", {&qos_, 1});
    if (message.retain) text("mqtt.retain", "1");
    if (message.expiry_s) text("mqtt.message_expiry", expiry_ = std::to_string(*message.expiry_s));
    if (says_more) read_properties(message);
    text("mqtt.client", message.client);
    if (!says_more) return;
    for (const mqtt::UserProperty& property : properties_.user) text(property.key, property.value);
  }
  std::span<const ViewHeader> all() const { return headers_; }

 private:
  void text(std::string_view key, std::string_view value) { headers_.push_back({key, as_bytes(value)}); }
  void optional(std::string_view key, const std::optional<std::string_view>& value) {
    if (value) text(key, *value);
  }
  void read_properties(const MessageView& message) {
    properties_ = {};
    bytes_.clear();
    mqtt::write_variable(bytes_, static_cast<uint32_t>(message.properties.size()));
    bytes_.append(message.properties);
    ByteReader in(bytes_.view());
    // They were checked before they were logged; what cannot be read is left out.
    (void)mqtt::read_properties(in, mqtt::Carrier::publish, properties_);
    if (properties_.payload_format == 1) text("mqtt.payload_format", "1");
    optional("mqtt.content_type", properties_.content_type);
    optional("mqtt.response_topic", properties_.response_topic);
    optional("mqtt.correlation_data", properties_.correlation_data);
  }

  std::vector<ViewHeader> headers_;
  mqtt::Properties properties_;
  ByteWriter bytes_;
  std::string expiry_;
  char qos_ = '0';
};

}  // namespace heptane::iot
