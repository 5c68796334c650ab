#include <algorithm>
#include <string>
#include <vector>

#include "modules/iot/domain/mqtt/properties.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/events.h"
#include "modules/iot/machine/operator_api.h"
#include "modules/iot/machine/presence.h"
#include "modules/iot/machine/publish_records.h"
#include "modules/iot/machine/record_notes.h"
#include "modules/iot/machine/told.h"

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

// One way for all messages: their records in order, as far as they are asked for.
void add_record(const MessageView& message, Headers& headers, RecordWriter& out) {
  if (!out.wants()) return out.skip();
  headers.of(message);
  out.add({as_bytes(message.topic), true, as_bytes(message.payload), headers.all()});
}

bool may_publish_a_will(CommandType type) {
  return type == kOpenSession || type == kCloseSession || type == kPublishWill || type == kPurgeSession;
}

// A will stands in the result alone: its command only says that it is due. Such commands are in no transaction.
void render_will(const std::vector<Bytes>& results, uint16_t number, Headers& headers, RecordWriter& out) {
  if (results.empty() || out.full()) return;
  const auto note = read_note_of_will(results.front());
  if (note && std::find(note->views.begin(), note->views.end(), number) != note->views.end())
    add_record(note->message, headers, out);
}

std::vector<MessageView> messages_of(const Command& command) {
  return decode_publishes(command.payload).value_or(std::vector<MessageView>());
}
std::vector<MessageView> messages_of_records(const Command& command) {
  auto records = decode_publish_records(command.payload);
  return records ? std::move(records->messages) : std::vector<MessageView>();
}

void render_messages(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  Headers headers;
  size_t next = 0;
  std::vector<Bytes> notes;
  for (const Bytes note : logged.results)
    if (!is_note_of_events(note)) notes.push_back(note);
  for (const Command& command : commands_for(logged.command, kBrokerMachineId)) {
    if (may_publish_a_will(command.type)) return render_will(notes, number, headers, out);
    const bool records = command.type == kPublishRecords;
    const bool publishes = records || command.type == kPublish || command.type == kPublishFirst;
    if (!publishes || next == notes.size()) continue;
    const PublishNote note(notes[next++]);
    const std::vector<MessageView> messages = records ? messages_of_records(command) : messages_of(command);
    for (size_t i = 0; i < messages.size() && !out.full(); ++i) {
      if (note.has(i, number)) add_record(messages[i], headers, out);
    }
  }
}

}  // namespace

void render_views(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  if (number == kMessagesView.number || number >= kFirstDeclaredView) render_messages(logged, number, out);
  if (number == kEventsView.number && logged.command.type == kTell) return render_told(logged.command, out);
  if (number == kEventsView.number) render_events(logged, out);
  if (number == kPresenceView.number) render_presence(logged.command, out);
}

}  // namespace heptane::iot
