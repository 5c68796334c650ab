// Who connected and who is gone, in the stream `iot.presence` (a view, kernel/shard/views.h): told by the gateway in commands of up
// to kPresenceMax, which change no state. Little-endian; texts: length u16 and bytes. Any thread.
//
// Command: count u16, then for each: kind u8, UTC in milliseconds i64, client, user, address, why, version u8 (of CONNECT), keep
// alive u16 in seconds, durable u8.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "modules/iot/machine/api.h"

namespace heptane::iot {

// Not in transactions. Reply numbers: records. Refused: exists (a client's stream of the name).
constexpr CommandType kPresence = 42;

constexpr size_t kPresenceMax = 256;        // in one command
constexpr size_t kPresenceTextBytes = 256;  // of user, address and why

// Key = client identifier, value = a JSON object (README).
constexpr ViewId kPresenceView{kBrokerMachineId, 3};
constexpr std::string_view kPresenceStream = "iot.presence";
constexpr int64_t kPresenceRetentionMs = 7 * 24 * int64_t{3'600'000};
constexpr int64_t kPresenceRetentionBytes = int64_t{256} << 20;

enum class PresenceKind : uint8_t {
  connected = 1,
  disconnected = 2,
  started = 3,  // the server: whoever was connected before is not
};

struct PresenceEntry {
  PresenceKind kind = PresenceKind::connected;
  int64_t utc_ms = 0;
  std::string_view client;
  std::string_view user;
  std::string_view address;
  std::string_view why;
  uint8_t version = 0;
  uint16_t keep_alive_s = 0;
  bool durable = false;
};
void append_entry(ByteWriter& out, const PresenceEntry& entry);
// nullopt: malformed, or more than kPresenceMax.
std::optional<std::vector<PresenceEntry>> decode_presence(Bytes payload);

// The machine's renderer of the view.
void render_presence(const Command& command, RecordWriter& out);

}  // namespace heptane::iot
