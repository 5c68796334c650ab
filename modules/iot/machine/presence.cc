#include "modules/iot/machine/presence.h"

#include "kernel/streams/streams_machine.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/json_object.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot {

namespace {

constexpr size_t kEntryBytes = 20;  // without texts

PresenceEntry read_entry(ByteReader& in) {
  PresenceEntry entry;
  const uint8_t kind = in.u8();
  if (kind < static_cast<uint8_t>(PresenceKind::connected) || kind > static_cast<uint8_t>(PresenceKind::started))
    in.fail();
  entry.kind = static_cast<PresenceKind>(kind);
  entry.utc_ms = in.le<int64_t>();
  entry.client = get_text(in, kClientLimitBytes);
  entry.user = get_text(in, kPresenceTextBytes);
  entry.address = get_text(in, kPresenceTextBytes);
  entry.why = get_text(in, kPresenceTextBytes);
  entry.version = in.u8();
  entry.keep_alive_s = in.le<uint16_t>();
  entry.durable = in.u8() != 0;
  return entry;
}

std::string_view version_name(uint8_t version) {
  if (version == 5) return "5.0";
  return version == 4 ? "3.1.1" : "3.1";
}

void render(const PresenceEntry& entry, RecordWriter& out) {
  if (!out.wants()) return out.skip();
  if (entry.kind == PresenceKind::started) {
    JsonObject object("started");
    object.number("at_ms", entry.utc_ms);
    return out.add({{}, false, as_bytes(object.end())});
  }
  const bool connected = entry.kind == PresenceKind::connected;
  JsonObject object(connected ? "connected" : "disconnected");
  object.number("at_ms", entry.utc_ms);
  object.text("client", entry.client);
  object.text("user", entry.user);
  object.text("address", entry.address);
  if (connected) {
    object.text("version", version_name(entry.version));
    object.number("keep_alive_s", entry.keep_alive_s);
    object.boolean("durable", entry.durable);
  } else {
    object.text("reason", entry.why);
  }
  out.add({as_bytes(entry.client), true, as_bytes(object.end())});
}

}  // namespace

void append_entry(ByteWriter& out, const PresenceEntry& entry) {
  out.u8(static_cast<uint8_t>(entry.kind));
  out.le<int64_t>(entry.utc_ms);
  put_text(out, entry.client);
  put_text(out, entry.user);
  put_text(out, entry.address);
  put_text(out, entry.why);
  out.u8(entry.version);
  out.le<uint16_t>(entry.keep_alive_s);
  out.u8(entry.durable ? 1 : 0);
}

std::optional<std::vector<PresenceEntry>> decode_presence(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kPresenceMax || !in.fits(count, kEntryBytes)) return std::nullopt;
  std::vector<PresenceEntry> entries;
  entries.reserve(count);
  for (uint16_t i = 0; i < count && !in.failed(); ++i) entries.push_back(read_entry(in));
  if (!in.complete()) return std::nullopt;
  return entries;
}

void BrokerMachine::apply_presence(const Command& command, Effects& effects) {
  const auto entries = decode_presence(command.payload);
  if (!entries) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of connections");
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const streams::StreamConfig config{kPresenceRetentionMs, kPresenceRetentionBytes};
  const auto partition = streams.ensure_view(kPresenceStream, kPresenceView, command.sequence, config);
  if (!partition)
    return effects.refuse(Errc::exists, 0, "the stream iot.presence was made by a client and has records: delete it");
  effects.emit_view(*partition, static_cast<uint32_t>(entries->size()));
  effects.reply(static_cast<int64_t>(entries->size()));
}

void render_presence(const Command& command, RecordWriter& out) {
  if (command.type != kPresence) return;
  const auto entries = decode_presence(command.payload);
  if (!entries) return;
  for (const PresenceEntry& entry : *entries) {
    if (out.full()) return;
    render(entry, out);
  }
}

}  // namespace heptane::iot
