#include <array>
#include <string>

#include "modules/iot/domain/mqtt/properties.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot {

namespace {

// The headers of one record. What a header is called, and how it is written, stays for ever. The broker's own end with
// mqtt.client, which every record has: what stands behind it is the publisher's, whatever it is called.
class Headers {
 public:
  void of(const MessageView& message) {
    headers_.clear();
    properties_ = {};
    qos_ = static_cast<char>('0' + message.qos);
    text("mqtt.qos", {&qos_, 1});
    if (message.retain) text("mqtt.retain", "1");
    if (message.expiry_s) text("mqtt.message_expiry", expiry_ = std::to_string(*message.expiry_s));
    read_properties(message);
    if (properties_.payload_format == 1) text("mqtt.payload_format", "1");
    optional("mqtt.content_type", properties_.content_type);
    optional("mqtt.response_topic", properties_.response_topic);
    optional("mqtt.correlation_data", properties_.correlation_data);
    text("mqtt.client", message.client);
    for (const mqtt::UserProperty& property : properties_.user) text(property.key, property.value);
  }
  std::span<const ViewHeader> all() const { return headers_; }

 private:
  void text(std::string_view key, std::string_view value) { headers_.push_back({key, as_bytes(value)}); }
  void optional(std::string_view key, const std::optional<std::string_view>& value) {
    if (value) text(key, *value);
  }
  void read_properties(const MessageView& message) {
    bytes_.clear();
    mqtt::write_variable(bytes_, static_cast<uint32_t>(message.properties.size()));
    bytes_.append(message.properties);
    ByteReader in(bytes_.view());
    // They were checked before they were logged; what cannot be read is left out.
    (void)mqtt::read_properties(in, mqtt::Carrier::publish, properties_);
  }

  std::vector<ViewHeader> headers_;
  mqtt::Properties properties_;
  ByteWriter bytes_;
  std::string expiry_;
  char qos_ = '0';
};

bool became_a_record(Bytes note, size_t index) {
  if (note.empty() || note[0] == std::byte{0}) return true;
  return index + 1 < note.size() && note[index + 1] == static_cast<std::byte>(PublishStatus::kept);
}

}  // namespace

void render_messages(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  if (number != kMessagesView.number) return;
  Headers headers;
  size_t next = 0;
  for (const Command& command : commands_for(logged.command, kBrokerMachineId)) {
    if (command.type != kPublish || next == logged.results.size()) continue;
    const Bytes note = logged.results[next++];
    const auto messages = decode_publishes(command.payload);
    if (!messages) continue;
    for (size_t i = 0; i < messages->size() && !out.full(); ++i) {
      if (!became_a_record(note, i)) continue;
      if (!out.wants()) {
        out.skip();
        continue;
      }
      const MessageView& message = (*messages)[i];
      headers.of(message);
      out.add({as_bytes(message.topic), true, as_bytes(message.payload), headers.all()});
    }
  }
}

}  // namespace heptane::iot
