// Commands and queries of the broker machine. One command carries the publishes of one turn of an I/O thread. Its payload is
// their bytes once: what is retained and the records of `iot.messages` come out of it. Little-endian; any thread.
//
// Message: flags u8 (QoS in bits 0 and 1, retain bit 2, expires bit 3), expiry u32 in seconds, length of topic u16, of client u16, of
// properties u32, of payload u32, then those. Properties: as MQTT 5 writes them, without their length; those of the message
// alone (payload format, content type, response topic, correlation data, user properties).
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
  kPublish = 1,  // payload: count u16, messages. Reply payload: a PublishStatus for each; reply number: records made.
  // Refused: invalid_argument, exists (a client's stream of the name), overloaded (too much in a transaction)
  kExpireRetained = 2,  // the machine's own timer; payload: the topic
};

enum BrokerQuery : uint16_t {
  kQueryRetained = 1,  // payload RetainedQuery; reply payload RetainedPage; numbers: messages, 1 when there is more
};

enum class PublishStatus : uint8_t {
  kept = 0,
  retained_full = 1,  // no room for another retained message: nothing became of it
};

constexpr size_t kPublishesMax = 256;  // in one command
constexpr size_t kPublishBytesTarget = size_t{256} << 10;
constexpr size_t kClientLimitBytes = 1024;
constexpr size_t kRetainedMax = 1'000'000;
constexpr size_t kRetainedBytesMax = size_t{256} << 20;
// Of one page of retained messages.
constexpr size_t kPageMessages = 256;
constexpr size_t kPageVisits = 4096;
constexpr size_t kPageBytes = size_t{512} << 10;

struct MessageView {
  uint8_t qos = 0;
  bool retain = false;
  std::optional<uint32_t> expiry_s;
  std::string_view topic;
  std::string_view client;
  std::string_view properties;
  std::string_view payload;
};

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

// In order of their topics.
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
constexpr std::string_view kMessagesStream = "iot.messages";
constexpr int64_t kMessagesRetentionMs = 24 * 3'600'000;
constexpr int64_t kMessagesRetentionBytes = int64_t{4} << 30;

// The machine's renderer.
void render_messages(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::iot
