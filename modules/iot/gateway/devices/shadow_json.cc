#include "modules/iot/gateway/devices/shadow_json.h"

#include "kernel/net/http/json.h"
#include "modules/iot/gateway/devices/tree_json.h"

namespace heptane::iot::devices {

namespace {

using http::JsonDocument;
using http::JsonType;
using http::JsonValue;

// What the reader of JSON says of a value that is deeper than it goes.
constexpr std::string_view kTooDeep = "nested deeper";

ShadowRequest request_to(const ShadowTopic& topic) {
  ShadowRequest request;
  request.operation = topic.operation;
  request.thing = topic.thing;
  request.name = topic.name;
  return request;
}

ShadowFault read_token(const JsonValue& root, ShadowRequest& request) {
  const auto token = root.find("clientToken");
  if (!token || token->type() == JsonType::null) return ShadowFault::none;
  if (token->type() != JsonType::text || token->text().size() > kClientTokenBytesMax)
    return ShadowFault::invalid_client_token;
  request.client_token = token->text();
  return ShadowFault::none;
}

ShadowFault read_version(const JsonValue& root, ShadowRequest& request) {
  const auto version = root.find("version");
  if (!version || version->type() == JsonType::null) return ShadowFault::none;
  const auto number = version->integer();
  if (!number || *number < 0) return ShadowFault::invalid_version;
  request.version = static_cast<uint64_t>(*number);
  return ShadowFault::none;
}

ShadowFault read_section(const JsonValue& value, ShadowFault no_object, std::optional<JsonTree>& into) {
  if (value.type() != JsonType::object && value.type() != JsonType::null) return no_object;
  into = tree_of(value);
  if (depth_of(*into) > kShadowDepthMax) return ShadowFault::too_deep;
  return leaves_of(*into) > kShadowLeavesMax ? ShadowFault::too_many_leaves : ShadowFault::none;
}

ShadowFault read_state(const JsonValue& root, ShadowRequest& request) {
  const auto state = root.find("state");
  if (!state) return ShadowFault::no_state;
  if (state->type() != JsonType::object) return ShadowFault::state_no_object;
  for (auto section = state->first(); section; section = section->next()) {
    ShadowFault fault = ShadowFault::invalid_node;
    if (section->name() == "desired")
      fault = read_section(*section, ShadowFault::desired_no_object, request.desired);
    else if (section->name() == "reported")
      fault = read_section(*section, ShadowFault::reported_no_object, request.reported);
    if (fault != ShadowFault::none) return fault;
  }
  return ShadowFault::none;
}

ShadowFault read(std::string_view payload, ShadowRequest& request) {
  if (payload.size() > kShadowBytesMax) return ShadowFault::too_large;
  if (!http::valid_utf8(payload)) return ShadowFault::encoding;
  const bool may_be_empty = request.operation != ShadowOperation::update;
  if (payload.empty() && may_be_empty) return ShadowFault::none;
  const auto document = JsonDocument::parse(std::string(payload));
  if (!document) {
    const bool deep = document.error().message.find(kTooDeep) != std::string::npos;
    return deep ? ShadowFault::too_deep : ShadowFault::invalid_json;
  }
  const JsonValue root = (*document)->root();
  if (root.type() != JsonType::object) return ShadowFault::invalid_json;
  ShadowFault fault = read_token(root, request);
  if (fault == ShadowFault::none && request.operation != ShadowOperation::get) fault = read_version(root, request);
  if (fault == ShadowFault::none && request.operation == ShadowOperation::update) fault = read_state(root, request);
  return fault;
}

}  // namespace

ShadowRequest refused_shadow_request(const ShadowTopic& topic, std::string_view payload, ShadowFault fault) {
  ShadowRequest request = request_to(topic);
  request.fault = fault;
  if (payload.size() > kShadowBytesMax || !http::valid_utf8(payload)) return request;
  const auto document = JsonDocument::parse(std::string(payload));
  if (document && (*document)->root().type() == JsonType::object) (void)read_token((*document)->root(), request);
  return request;
}

ShadowRequest read_shadow_request(const ShadowTopic& topic, std::string_view payload) {
  ShadowRequest request = request_to(topic);
  request.fault = read(payload, request);
  if (request.fault == ShadowFault::none) return request;
  request.version.reset();
  request.desired.reset();
  request.reported.reset();
  return request;
}

}  // namespace heptane::iot::devices
