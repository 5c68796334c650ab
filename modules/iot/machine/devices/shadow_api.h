// Shadows as commands of the devices machine: one request each. What is answered is in the stream `iot.shadows`, a view that is
// rendered from what the command noted, and reaches subscribers as messages at QoS 1. Little-endian. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/shard/views.h"
#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/devices/device_api.h"

namespace heptane::iot::devices {

// Payload: a ShadowRequest. Reply payload: ShadowReply; numbers: its code, the offset of the first record. Refused: overloaded,
// exists (a client's stream of the name).
constexpr CommandType kShadowRequest = 10;
// The machine's own timer: a grave's time is over. Payload: thing, name, version u64.
constexpr CommandType kForgetShadow = 11;

// Payload: thing, name (texts), seconds since 1970 i64 (the answer's timestamp). Reply payload: the document as `get` would give it, or the rejection; numbers: its code.
constexpr uint16_t kQueryShadow = 10;
// Payload: thing. Reply payload: names (texts) of its named shadows that are there; numbers: how many, 1 when it has a classic one. Refused:
// not_found (the thing).
constexpr uint16_t kQueryShadowNames = 11;

// Key = topic, value = payload.
constexpr ViewId kShadowsView{kDevicesMachineId, 1};
constexpr std::string_view kShadowsStream = "iot.shadows";
constexpr const char* kShadowsTaken = "the stream iot.shadows was made by a client and has records: delete it";
constexpr int64_t kShadowsRetentionMs = 7 * 24 * int64_t{3'600'000};
constexpr int64_t kShadowsRetentionBytes = int64_t{1} << 30;

Buffer encode(const ShadowRequest& request);
std::optional<ShadowRequest> decode_shadow_request(Bytes payload);
Buffer encode_shadow_query(std::string_view thing, std::string_view name, int64_t now_s);

// What the command made: for who delivers it.
struct ShadowReply {
  PartitionId partition = kNoPartition;
  std::vector<PublishStatus> statuses;  // of each message
  Buffer messages;                      // one behind the other (append_message)
  std::string_view last;                // the payload of the last one: accepted or rejected
};
Buffer encode(const ShadowReply& reply);
std::optional<ShadowReply> decode_shadow_reply(const Buffer& payload);

// The machine's renderer.
void render_shadows(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::iot::devices
