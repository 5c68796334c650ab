// Commands and queries of the broker machine. One command carries the publishes of one turn of an I/O thread. Its payload is
// their bytes once: what is retained and the records of `iot.messages` come out of it. Little-endian; any thread.
//
// Message: flags u8 (QoS in bits 0 and 1, retain bit 2, expires bit 3, sender bit 4), expiry u32 in seconds, length of topic u16, of
// client u16, of properties u32, of payload u32, then those, then the sender: session u64, epoch u64, packet identifier u16.
// Properties: as MQTT 5 writes them, without their length; those of the message alone (payload format, content type, response
// topic, correlation data, user properties).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/views.h"

namespace heptane::iot {

constexpr MachineId kBrokerMachineId = machine_ids::kFirstModule + 2;

enum BrokerCommand : CommandType {
  kPublishFirst =
      1,  // as kPublish, of logs from before there were durable sessions: reaches none; one number in the reply
  kExpireRetained = 2,  // the machine's own timer; payload: the topic
  kPublish = 3,         // payload: count u16, messages. Reply payload: a PublishStatus for each, then the partition of
  // iot.messages u32, then a DeclaredPlace for each that is elsewhere (stream_api.h); reply numbers: messages that became
  // records, the offset of the first one in iot.messages. Refused: invalid_argument, exists (a client's stream of the name), overloaded (too much in a transaction)

  // Durable sessions (session_api.h); not in transactions.
  kOpenSession = 4,
  kCloseSession = 5,
  kSubscribe = 6,
  kUnsubscribe = 7,
  kSettle = 8,
  kBoot = 9,  // the server started: what was connected is not. Payload: restart grace u32 in seconds. Reply: the run
  // One whose time has come: session u64, epoch u64, and a byte 1 where it is dropped instead (logic 6). Reply payload: wills;
  // numbers: WillEnd, when it is due or 0.
  kPublishWill = 10,

  kEndConnections =
      11,  // a slice of those that the last run left open. Payload: sessions behind this one, u64. Reply numbers: the
  // last of the slice, 1 when there are more

  // The machine's own timers.
  kExpireSession = 12,   // payload: the session u64
  kContinueFanOut = 13,  // a message that matches more sessions than one command reaches

  // Groups with durable members (shared_groups.h).
  kAssignShared = 20,
  kEndGroup = 21,  // the machine's own timer; payload: the group u64

  kWalked = 22,  // session_api.h
  // Streams over topic filters (stream_api.h); not in transactions.
  kDeclareStream = 30,
  kDropStream = 31,
  kPublishRecords = 32,  // publish_records.h
};

enum BrokerQuery : uint16_t {
  kQueryRetained = 1,  // payload RetainedQuery; reply payload RetainedPage; numbers: messages, 1 when there is more
  kQuerySession = 2,   // payload: client identifier. Reply numbers: the session's, 0 when there is none
  kQueryQueue = 3,     // payload QueueQuery; reply payload QueuePage
  kQueryWills =
      4,  // payload: sessions behind this one, u64. Reply payload: DueWills; numbers: the last session, 1 when there is more
  kQueryCounts = 5,  // reply numbers: sessions, references
  // Payload: session u64, epoch u64. Reply payload: WillFacts; empty: there is none. Numbers: 1 when kPublishWill can drop it.
  kQueryWill = 6,

  kQueryGroup = 20,  // shared_groups.h

  kQueryDeclared = 30,  // stream_api.h
};

enum class PublishStatus : uint8_t {
  kept = 0,
  retained_full = 1,  // no room for another retained message: nothing became of it
  again = 2,          // a message at QoS 2 that is known and not released: nothing became of it this time
  stale = 3,          // of a connection that is not the session's any more: nothing became of it
  queue_full = 4,     // a durable session that refuses is full: nothing became of it
  queued = 5,         // kept, and in the queue of a durable session
  fleeting = 6,       // at QoS 0, and no stream wants it (any more): no record, for whoever is connected
};
constexpr bool became_a_record(PublishStatus status) {
  return status == PublishStatus::kept || status == PublishStatus::queued;
}

constexpr size_t kPublishesMax = 256;  // in one command
constexpr size_t kPublishBytesTarget = size_t{256} << 10;
constexpr size_t kClientLimitBytes = 1024;
constexpr size_t kRetainedMax = 1'000'000;
constexpr size_t kRetainedBytesMax = size_t{256} << 20;
// Of one page of retained messages.
constexpr size_t kPageMessages = 256;
constexpr size_t kPageVisits = 4096;
constexpr size_t kPageBytes = size_t{512} << 10;
// Of durable sessions.
constexpr size_t kSessionsMax = 1'000'000;
constexpr size_t kSubscriptionsOfSession = 1'000;
constexpr uint64_t kReferencesMax = 10'000'000;        // of all
constexpr uint32_t kQueueLimit = 100'000;              // of one, whatever it asks for
constexpr uint64_t kCapturedMax = kReferencesMax / 2;  // of all that capture (bridges'): others have theirs
constexpr uint32_t kCaptureLimit = kCapturedMax;       // of one of those
constexpr uint64_t kNumbersMax = 49'150;  // delivery numbers from the oldest unacknowledged one to the newest
constexpr size_t kReachedMax = 4'096;     // sessions by one command
constexpr size_t kSettledMax = 4'096;

using PacketNumber = uint16_t;  // a packet identifier of MQTT

// Whose message it is, where a durable session sent it at QoS 2: it is taken once until it is released.
struct Sender {
  uint64_t session = 0;
  uint64_t epoch = 0;
  PacketNumber id = 0;
};

struct MessageView {
  uint8_t qos = 0;
  bool retain = false;
  std::optional<uint32_t> expiry_s;
  std::string_view topic;
  std::string_view client;
  std::string_view properties;
  std::string_view payload;
  std::optional<Sender> sender{};
  // Whose it is: a user's or a device's name; empty: the server's own, or it is not known. No part of its bytes.
  std::string_view source{};
};

// Whether two messages under one packet identifier are the same.
uint64_t content_of(std::string_view topic, std::string_view payload);

void append_message(ByteWriter& out, const MessageView& message);
// Sets the reader failed when it is none.
MessageView read_message(ByteReader& in);

// The messages of a kPublish; nullopt: malformed, or more than kPublishesMax.
std::optional<std::vector<MessageView>> decode_publishes(Bytes payload);

struct RetainedQuery {
  std::string_view filter;
  std::string_view after;  // topics behind this one; empty: all
};
Buffer encode(const RetainedQuery& query);
Result<RetainedQuery> decode_retained_query(Bytes payload);

// In order of their topics, with their sources.
struct RetainedPage {
  struct Item {
    LogTime stored = 0;
    MessageView message;
  };
  std::string_view last;  // topic that was looked at last
  std::vector<Item> items;
};
Result<RetainedPage> decode_retained_page(Bytes payload);

// The stream of every message that is logged: key = topic, value = payload, headers for the rest.
constexpr ViewId kMessagesView{kBrokerMachineId, 1};
constexpr uint16_t kFirstDeclaredView = 16;  // partitions of declared streams have numbers from here on
constexpr std::string_view kMessagesStream = "iot.messages";
constexpr int64_t kMessagesRetentionMs = 24 * 3'600'000;
constexpr int64_t kMessagesRetentionBytes = int64_t{4} << 30;

// The machine's renderer, of this and of `iot.events` (events.h).
void render_views(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::iot
