#include "modules/iot/machine/told.h"

#include "kernel/streams/streams_machine.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/json_object.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot {

namespace {

static_assert(kToldSubjectBytes == kTopicLimitBytes);

constexpr size_t kEventBytes = 23;  // without texts

ToldEvent read_event(ByteReader& in) {
  ToldEvent event;
  const uint8_t kind = in.u8();
  const uint8_t reason = in.u8();
  if (kind < static_cast<uint8_t>(ToldKind::denied_publish) ||
      kind > static_cast<uint8_t>(ToldKind::bridge_filter_refused))
    in.fail();
  if (reason > static_cast<uint8_t>(DeniedReason::reserved)) in.fail();
  event.kind = static_cast<ToldKind>(kind);
  event.reason = static_cast<DeniedReason>(reason);
  event.qos = in.u8();
  event.others = in.le<uint32_t>();
  event.utc_ms = in.le<int64_t>();
  event.client = get_text(in, kClientLimitBytes);
  event.user = get_text(in, kToldTextBytes);
  event.address = get_text(in, kToldTextBytes);
  event.subject = get_text(in, kToldSubjectBytes);
  return event;
}

// What they are called stays for ever.
std::string_view name_of(DeniedReason reason) {
  return reason == DeniedReason::reserved ? "reserved_topic" : "not_authorised";
}
std::string_view action_of(ToldKind kind) {
  if (kind == ToldKind::denied_will) return "will";
  return kind == ToldKind::denied_publish ? "publish" : "subscribe";
}

std::string_view bridge_event_of(ToldKind kind) {
  switch (kind) {
    case ToldKind::bridge_connected: return "bridge_connected";
    case ToldKind::bridge_disconnected: return "bridge_disconnected";
    case ToldKind::bridge_session_lost: return "bridge_session_lost";
    case ToldKind::bridge_dead_letter: return "bridge_dead_letter";
    case ToldKind::bridge_refused: return "bridge_refused";
    case ToldKind::bridge_filter_refused: return "bridge_filter_refused";
    default: return {};
  }
}

void render_bridge(const ToldEvent& event, RecordWriter& out) {
  JsonObject object(bridge_event_of(event.kind));
  object.number("at_ms", event.utc_ms);
  object.text("client", event.client);
  object.text("address", event.address);
  if (!event.subject.empty())
    object.text(event.kind == ToldKind::bridge_filter_refused ? "filter" : "topic", event.subject);
  if (!event.user.empty()) object.text("reason", event.user);
  if (event.others > 0) object.number("others", event.others);
  out.add({as_bytes(event.client), true, as_bytes(object.end())});
}

void render(const ToldEvent& event, RecordWriter& out) {
  if (!out.wants()) return out.skip();
  if (event.kind >= ToldKind::bridge_connected) return render_bridge(event, out);
  const bool denied = event.kind != ToldKind::subscribed;
  const bool filter = !denied || event.kind == ToldKind::denied_subscribe;
  JsonObject object(denied ? "denied" : "subscribed");
  object.number("at_ms", event.utc_ms);
  object.text("client", event.client);
  object.text("user", event.user);
  object.text("address", event.address);
  if (denied) object.text("action", action_of(event.kind));
  object.text(filter ? "filter" : "topic", event.subject);
  if (denied)
    object.text("reason", name_of(event.reason));
  else
    object.number("qos", event.qos);
  if (event.others > 0) object.number("others", event.others);
  out.add({as_bytes(event.client), true, as_bytes(object.end())});
}

}  // namespace

void append_told(ByteWriter& out, const ToldEvent& event) {
  out.u8(static_cast<uint8_t>(event.kind));
  out.u8(static_cast<uint8_t>(event.reason));
  out.u8(event.qos);
  out.le<uint32_t>(event.others);
  out.le<int64_t>(event.utc_ms);
  put_text(out, event.client);
  put_text(out, event.user);
  put_text(out, event.address);
  put_text(out, event.subject);
}

std::optional<std::vector<ToldEvent>> decode_told(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kToldMax || !in.fits(count, kEventBytes)) return std::nullopt;
  std::vector<ToldEvent> events;
  events.reserve(count);
  for (uint16_t i = 0; i < count && !in.failed(); ++i) events.push_back(read_event(in));
  if (!in.complete()) return std::nullopt;
  return events;
}

void BrokerMachine::apply_tell(const Command& command, Effects& effects) {
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "what is told is in no transaction");
  const auto told = decode_told(command.payload);
  if (!told) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of events");
  if (version_ < kLogicReturns) return effects.unchanged(0, 0);  // a server before this one does not know the command
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const streams::StreamConfig config{kEventsRetentionMs, kEventsRetentionBytes};
  const auto partition = streams.ensure_view(kEventsStream, kEventsView, command.sequence, config);
  if (!partition)
    return effects.refuse(Errc::exists, 0, "the stream iot.events was made by a client and has records: delete it");
  effects.emit_view(*partition, static_cast<uint32_t>(told->size()));
  effects.reply(static_cast<int64_t>(told->size()));
}

void render_told(const Command& command, RecordWriter& out) {
  const auto events = decode_told(command.payload);
  if (!events) return;
  for (const ToldEvent& event : *events) {
    if (out.full()) return;
    render(event, out);
  }
}

}  // namespace heptane::iot
