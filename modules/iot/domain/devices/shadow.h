// Shadows: what a device reported and what it is wanted to be, with the semantics of AWS IoT's classic and named shadows (AWS IoT
// Core developer guide, "Device Shadow service documents", "Device Shadow error messages"). A request is judged, makes a new state
// and the answers to it. Pure and deterministic; any thread.
//
// Invariants: a request that is rejected changes nothing; a version is never used again while the shadow, or its grave, is kept;
// `delta` comes before `accepted` of the same version, so that a client that waits for the one has heard the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/iot/domain/devices/json_tree.h"
#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

constexpr size_t kShadowBytesMax = 8 << 10;  // of a request, and of a state without its metadata
constexpr size_t kShadowLeavesMax = 1'024;   // of a section, and of a state: each is a timestamp of an answer
constexpr uint32_t kShadowDepthMax = 6;      // levels of a section, the section itself among them
constexpr size_t kClientTokenBytesMax = 64;
constexpr size_t kShadowNameBytesMax = 64;
constexpr size_t kShadowsOfThing = 20;        // with those that are deleted and not forgotten
constexpr size_t kShadowsInFlight = 10;       // requests of a thing without their answers
constexpr int64_t kGraveSeconds = 48 * 3600;  // so long the version of a deleted shadow goes on

enum class ShadowOperation : uint8_t { get = 0, update = 1, remove = 2 };

// The numbers are the log's; codes and texts are AWS IoT's, but for bounds that it has not.
enum class ShadowFault : uint8_t {
  none = 0,
  invalid_json = 1,
  no_state = 2,
  state_no_object = 3,
  desired_no_object = 4,
  reported_no_object = 5,
  invalid_version = 6,
  invalid_client_token = 7,
  too_deep = 8,
  invalid_node = 9,
  forbidden = 10,
  no_thing = 11,
  no_shadow = 12,
  conflict = 13,
  too_large = 14,
  encoding = 15,
  too_many = 16,
  too_many_shadows = 17,
  too_many_leaves = 18,
};
constexpr ShadowFault kLastFault = ShadowFault::too_many_leaves;
uint16_t code_of(ShadowFault fault);  // of none: 200

// `$aws/things/THING/shadow[/name/NAME]/OPERATION`
struct ShadowTopic {
  std::string_view thing;
  std::string_view name;  // empty: the classic one
  ShadowOperation operation = ShadowOperation::get;
};
// A topic to publish requests to; nullopt: it is none.
std::optional<ShadowTopic> parse_shadow_topic(std::string_view topic);
// Topics of AWS IoT's services: `$aws` and what lies below. Nobody publishes messages there.
bool is_service_topic(std::string_view topic);
// Where a device says what it is and hears it: below `$aws/things/THING/`.
bool is_of_thing(std::string_view topic, std::string_view thing);

struct ShadowRequest {
  ShadowOperation operation = ShadowOperation::get;
  ShadowFault fault = ShadowFault::none;  // found by who read it
  std::string thing;
  std::string name;
  std::string client_token;         // empty: none
  std::optional<uint64_t> version;  // only if it is this
  std::optional<JsonTree> desired;  // null: the section goes
  std::optional<JsonTree> reported;
};
void append_request(ByteWriter& out, const ShadowRequest& request);
ShadowRequest read_request(ByteReader& in);

struct Shadow {
  uint64_t version = 0;  // 0: there never was one
  bool deleted = true;
  int64_t time_s = 0;  // of its last change
  std::optional<JsonTree> desired;
  std::optional<JsonTree> reported;
};
void append_shadow(ByteWriter& out, const Shadow& shadow);
Shadow read_shadow(ByteReader& in);

struct ShadowAnswer {
  std::string topic;
  std::string payload;
};
struct ShadowOutcome {
  uint16_t code = 200;
  std::string fault{};   // of a rejection: for a person
  bool changed = false;  // to `shadow`
  Shadow shadow;
  std::vector<ShadowAnswer> answers;  // in their order; the last one is accepted or rejected
};
// `shadow`: as it is; absent: there never was one. `now_s`: seconds since 1970.
ShadowOutcome answer_request(const ShadowRequest& request, const Shadow& shadow, int64_t now_s);
// The request is rejected for this reason.
ShadowOutcome reject(const ShadowRequest& request, ShadowFault fault, int64_t now_s);

// The whole document, as `get` gives it.
std::string document_of(const Shadow& shadow, int64_t now_s, std::string_view client_token);

}  // namespace heptane::iot::devices
