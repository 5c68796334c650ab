// What the gateway tells in the stream `iot.events` beside what the machine tells itself (events.h): what a client was denied, and
// what was subscribed to by one whose session ends with its connection, what became of a bridge. In commands of up to kToldMax, which change no state.
// Little-endian; texts: length u16 and bytes. Any thread.
//
// Command: count u16, then for each: kind u8, reason u8, QoS u8, others u32, UTC in milliseconds i64, client, user, address, topic
// or filter.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "modules/iot/machine/api.h"

namespace heptane::iot {

// Not in transactions. Reply numbers: records. Refused: exists (a client's stream of the name). Nothing is told, and nothing is left
// in the log, before the logic that tells events is active.
constexpr CommandType kTell = 50;

constexpr size_t kToldMax = 256;             // in one command
constexpr size_t kToldTextBytes = 256;       // of user and address
constexpr size_t kToldSubjectBytes = 1'024;  // of a topic or filter

enum class ToldKind : uint8_t {
  denied_publish = 1,
  denied_subscribe = 2,
  denied_will = 3,
  subscribed = 4,
  // Of a bridge, whose client is `$bridge/NAME`.
  bridge_connected = 5,
  bridge_disconnected = 6,
  bridge_session_lost = 7,     // the remote does not know its session any more
  bridge_dead_letter = 8,      // the topic here
  bridge_refused = 9,          // the remote's topic: its message is not for here
  bridge_filter_refused = 10,  // by the remote
};
enum class DeniedReason : uint8_t {
  none = 0,
  not_authorised = 1,  // no role says so
  reserved = 2,        // the server's own topics
};

struct ToldEvent {
  ToldKind kind = ToldKind::denied_publish;
  DeniedReason reason = DeniedReason::none;
  uint8_t qos = 0;      // of a subscription
  uint32_t others = 0;  // of the client since the last one, of the same kind, which are not told
  int64_t utc_ms = 0;
  std::string_view client;
  std::string_view user;     // of a bridge: why
  std::string_view address;  // of a bridge: the remote's
  std::string_view subject;  // a topic; a filter
};
void append_told(ByteWriter& out, const ToldEvent& event);
// nullopt: malformed, or more than kToldMax.
std::optional<std::vector<ToldEvent>> decode_told(Bytes payload);

// The machine's renderer of the view, for such commands.
void render_told(const Command& command, RecordWriter& out);

}  // namespace heptane::iot
