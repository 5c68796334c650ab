// What operators ask the broker machine, and have it do: durable sessions looked at and purged, retained messages purged. What is
// done is an event in the stream `audit`, of the same command. Little-endian; texts: length u16 and bytes. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "modules/iot/machine/api.h"
#include "modules/iot/machine/kept_sessions.h"

namespace heptane::iot {

// Not in transactions.
enum OperatorCommand : CommandType {
  kPurgeSession = 40,  // PurgeSession. Reply numbers: the session's, messages in its queue; payload: its will as in
                       // session_api.h. Refused: not_found
  kPurgeRetained =
      41,  // PurgeRetained: a slice. Reply numbers: messages removed, 1 when there is more; payload: the topic
           // that was looked at last
};

enum OperatorQuery : uint16_t {
  kQuerySessions = 40,  // sessions behind one u64, at most u16 of them. Reply: rows; numbers: how many, and the session
                        // behind which there is more; 0: there is not
  kQuerySessionsOf =
      41,                // numbers u64, at most kSessionRowsMax. Reply: rows of those that there are; numbers: how many
  kQuerySessionOf = 42,  // client identifier. Reply: a row, then its subscriptions; numbers: rows
};

constexpr size_t kSessionRowsMax = 1'000;

struct PurgeSession {
  bool with_will = true;
  std::string_view client;
};
Buffer encode(const PurgeSession& purge);
std::optional<PurgeSession> decode_purge_session(Bytes payload);

// What a filter matches, of the topics behind `after`.
using PurgeRetained = RetainedQuery;
constexpr size_t kPurgedMax = 256;

struct SessionRow {
  uint64_t number = 0;
  std::string_view client;
  std::string_view owner;
  bool connected = false;
  bool will = false;
  uint32_t expiry_s = 0;
  LogTime ended = 0;  // 0: it is connected
  uint32_t subscriptions = 0;
  uint64_t queued = 0;
  uint32_t queue_max = 0;
  uint64_t lost = 0;
};
void append_row(ByteWriter& out, const SessionRow& row);
SessionRow read_row(ByteReader& in);
Result<std::vector<SessionRow>> decode_rows(Bytes payload);

Buffer encode_sessions_query(uint64_t after, uint16_t max);
Buffer encode_sessions_of(const std::vector<uint64_t>& numbers);

struct SessionSubscription {
  std::string_view filter;
  KeptSubscription subscription;
};
void append_subscription(ByteWriter& out, std::string_view filter, const KeptSubscription& subscription);
struct SessionDetails {
  SessionRow row;
  std::vector<SessionSubscription> subscriptions;
};
Result<SessionDetails> decode_session_details(Bytes payload);

}  // namespace heptane::iot
