#include <algorithm>
#include <string>
#include <vector>

#include "modules/iot/domain/mqtt/properties.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/events.h"
#include "modules/iot/machine/message_headers.h"
#include "modules/iot/machine/operator_api.h"
#include "modules/iot/machine/presence.h"
#include "modules/iot/machine/publish_records.h"
#include "modules/iot/machine/record_notes.h"
#include "modules/iot/machine/told.h"

namespace heptane::iot {

namespace {

// One way for all messages: their records in order, as far as they are asked for.
void add_record(const MessageView& message, MessageHeaders& headers, RecordWriter& out) {
  if (!out.wants()) return out.skip();
  headers.of(message);
  out.add({as_bytes(message.topic), true, as_bytes(message.payload), headers.all()});
}

bool may_publish_a_will(CommandType type) {
  return type == kOpenSession || type == kCloseSession || type == kPublishWill || type == kPurgeSession;
}

// A will stands in the result alone: its command only says that it is due. Such commands are in no transaction.
void render_will(const std::vector<Bytes>& results, uint16_t number, MessageHeaders& headers, RecordWriter& out) {
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
  MessageHeaders headers;
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
