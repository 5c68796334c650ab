#include "modules/iot/domain/devices/shadow.h"

#include "modules/iot/domain/devices/json_object.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::devices {

namespace {

constexpr std::string_view kService = "$aws";
constexpr std::string_view kThings = "$aws/things/";

struct FaultRow {
  ShadowFault fault;
  uint16_t code;
  std::string_view text;
};
constexpr FaultRow kFaults[] = {
    {ShadowFault::none, 200, ""},
    {ShadowFault::invalid_json, 400, "Invalid JSON"},
    {ShadowFault::no_state, 400, "Missing required node: state"},
    {ShadowFault::state_no_object, 400, "State node must be an object"},
    {ShadowFault::desired_no_object, 400, "Desired node must be an object"},
    {ShadowFault::reported_no_object, 400, "Reported node must be an object"},
    {ShadowFault::invalid_version, 400, "Invalid version"},
    {ShadowFault::invalid_client_token, 400, "Invalid clientToken"},
    {ShadowFault::too_deep, 400, "JSON contains too many levels of nesting; maximum is 6"},
    {ShadowFault::invalid_node, 400, "State contains an invalid node"},
    {ShadowFault::forbidden, 403, "Forbidden"},
    {ShadowFault::no_thing, 404, "Thing not found"},
    {ShadowFault::no_shadow, 404, "No shadow exists with name: "},
    {ShadowFault::conflict, 409, "Version conflict"},
    {ShadowFault::too_large, 413, "The payload exceeds the maximum size allowed"},
    {ShadowFault::encoding, 415, "Unsupported documented encoding; supported encoding is UTF-8"},
    {ShadowFault::too_many, 429, "Too many requests"},
    {ShadowFault::too_many_shadows, 400, "Too many shadows of this thing"},
    {ShadowFault::too_many_leaves, 413, "The state has too many values, items of arrays included; maximum is 1024"},
};

const FaultRow& row_of(ShadowFault fault) {
  for (const FaultRow& row : kFaults)
    if (row.fault == fault) return row;
  return kFaults[0];
}

std::string_view word_of(ShadowOperation operation) {
  switch (operation) {
    case ShadowOperation::get: return "get";
    case ShadowOperation::update: return "update";
    case ShadowOperation::remove: return "delete";
  }
  return "";
}

std::optional<ShadowOperation> operation_of(std::string_view word) {
  for (const auto operation : {ShadowOperation::get, ShadowOperation::update, ShadowOperation::remove})
    if (word == word_of(operation)) return operation;
  return std::nullopt;
}

std::string topic_of(const ShadowRequest& request, std::string_view answer) {
  std::string topic(kThings);
  topic += request.thing;
  topic += "/shadow/";
  if (!request.name.empty()) topic += "name/" + request.name + "/";
  topic += word_of(request.operation);
  topic += '/';
  topic += answer;
  return topic;
}

using Document = JsonObject;

std::string json_of(const JsonTree& tree) {
  std::string out;
  write_json(out, tree);
  return out;
}
std::string metadata_of(const JsonTree& tree) {
  std::string out;
  write_metadata(out, tree);
  return out;
}

using Write = std::string (*)(const JsonTree&);
// The sections that are there, each written so.
std::string sections(const std::optional<JsonTree>& desired, const std::optional<JsonTree>& reported, Write write,
                     const std::optional<JsonTree>& delta = std::nullopt) {
  Document out;
  if (desired) out.raw("desired", write(*desired));
  if (reported) out.raw("reported", write(*reported));
  if (delta) out.raw("delta", write(*delta));
  return out.end();
}

std::optional<JsonTree> delta_of(const Shadow& shadow) {
  if (!shadow.desired) return std::nullopt;
  return difference(*shadow.desired, shadow.reported ? *shadow.reported : JsonTree::object());
}

// The whole as `documents` shows it.
std::string state_of(const Shadow& shadow) {
  return Document()
      .raw("state", sections(shadow.desired, shadow.reported, json_of))
      .raw("metadata", sections(shadow.desired, shadow.reported, metadata_of))
      .number("version", shadow.version)
      .end();
}

size_t bytes_of(const Shadow& shadow) {
  return (shadow.desired ? json_of(*shadow.desired).size() : 0) +
         (shadow.reported ? json_of(*shadow.reported).size() : 0);
}

size_t leaves_of(const Shadow& shadow) {
  return (shadow.desired ? leaves_of(*shadow.desired) : 0) + (shadow.reported ? leaves_of(*shadow.reported) : 0);
}

void merge_section(std::optional<JsonTree>& into, const std::optional<JsonTree>& patch, int64_t now_s) {
  if (!patch) return;
  if (patch->kind == TreeKind::null) {
    into.reset();
    return;
  }
  if (!into) into = JsonTree::object();
  merge(*into, *patch, now_s);
  if (into->members.empty()) into.reset();
}

// What the request set, with the time at which it did.
std::optional<JsonTree> stamped(const std::optional<JsonTree>& patch, int64_t now_s) {
  if (!patch || patch->kind == TreeKind::null) return patch;
  struct Stamp {
    static void all(JsonTree& tree, int64_t time_s) {
      tree.time_s = time_s;
      for (auto& [name, member] : tree.members) all(member, time_s);
    }
  };
  JsonTree tree = *patch;
  Stamp::all(tree, now_s);
  return tree;
}

std::string accepted_update(const ShadowRequest& request, const Shadow& shadow, int64_t now_s) {
  const auto desired = stamped(request.desired, now_s);
  const auto reported = stamped(request.reported, now_s);
  return Document()
      .raw("state", sections(desired, reported, json_of))
      .raw("metadata", sections(desired, reported, metadata_of))
      .number("version", shadow.version)
      .number("timestamp", static_cast<uint64_t>(now_s))
      .end(request.client_token);
}

std::string delta_document(const ShadowRequest& request, const Shadow& shadow, const JsonTree& delta, int64_t now_s) {
  return Document()
      .number("version", shadow.version)
      .number("timestamp", static_cast<uint64_t>(now_s))
      .raw("state", json_of(delta))
      .raw("metadata", metadata_of(delta))
      .end(request.client_token);
}

ShadowOutcome update(const ShadowRequest& request, const Shadow& shadow, int64_t now_s) {
  if (request.version && *request.version != shadow.version) return reject(request, ShadowFault::conflict, now_s);
  ShadowOutcome outcome;
  Shadow& now = outcome.shadow = shadow;
  now.deleted = false;
  ++now.version;
  now.time_s = now_s;
  merge_section(now.desired, request.desired, now_s);
  merge_section(now.reported, request.reported, now_s);
  if (bytes_of(now) > kShadowBytesMax) return reject(request, ShadowFault::too_large, now_s);
  if (leaves_of(now) > kShadowLeavesMax) return reject(request, ShadowFault::too_many_leaves, now_s);
  outcome.changed = true;
  if (const auto delta = delta_of(now))
    outcome.answers.push_back({topic_of(request, "delta"), delta_document(request, now, *delta, now_s)});
  Document documents;
  if (!shadow.deleted) documents.raw("previous", state_of(shadow));
  documents.raw("current", state_of(now)).number("timestamp", static_cast<uint64_t>(now_s));
  outcome.answers.push_back({topic_of(request, "documents"), documents.end(request.client_token)});
  outcome.answers.push_back({topic_of(request, "accepted"), accepted_update(request, now, now_s)});
  return outcome;
}

ShadowOutcome remove(const ShadowRequest& request, const Shadow& shadow, int64_t now_s) {
  if (request.version && *request.version != shadow.version) return reject(request, ShadowFault::conflict, now_s);
  ShadowOutcome outcome;
  outcome.changed = true;
  outcome.shadow.version = shadow.version;
  outcome.shadow.time_s = now_s;
  Document out;
  out.number("version", shadow.version).number("timestamp", static_cast<uint64_t>(now_s));
  outcome.answers.push_back({topic_of(request, "accepted"), out.end(request.client_token)});
  return outcome;
}

void append_section(ByteWriter& out, const std::optional<JsonTree>& section, Times times) {
  out.u8(section ? 1 : 0);
  if (section) append_tree(out, *section, times);
}

std::optional<JsonTree> read_section(ByteReader& in, Times times) {
  if (in.u8() == 0) return std::nullopt;
  return read_tree(in, times);
}

// A section of a request: an object or null, within its bounds.
std::optional<JsonTree> read_patch(ByteReader& in) {
  std::optional<JsonTree> section = read_section(in, Times::none);
  if (section && !section->is_object() && section->kind != TreeKind::null) in.fail();
  if (section && (depth_of(*section) > kShadowDepthMax || leaves_of(*section) > kShadowLeavesMax)) in.fail();
  return section;
}

}  // namespace

uint16_t code_of(ShadowFault fault) { return row_of(fault).code; }

bool is_service_topic(std::string_view topic) {
  return topic.starts_with(kService) && (topic.size() == kService.size() || topic[kService.size()] == '/');
}

bool is_of_thing(std::string_view topic, std::string_view thing) {
  if (!valid_name(thing) || !topic.starts_with(kThings)) return false;
  topic.remove_prefix(kThings.size());
  return topic.size() > thing.size() && topic.starts_with(thing) && topic[thing.size()] == '/';
}

std::optional<ShadowTopic> parse_shadow_topic(std::string_view topic) {
  if (!topic.starts_with(kThings)) return std::nullopt;
  Levels levels(topic.substr(kThings.size()));
  ShadowTopic parsed;
  parsed.thing = levels.next().value_or("");
  if (!valid_name(parsed.thing) || levels.next().value_or("") != "shadow") return std::nullopt;
  std::string_view word = levels.next().value_or("");
  if (word == "name") {
    parsed.name = levels.next().value_or("");
    if (!valid_name(parsed.name) || parsed.name.size() > kShadowNameBytesMax) return std::nullopt;
    word = levels.next().value_or("");
  }
  const auto operation = operation_of(word);
  if (!operation || !levels.done()) return std::nullopt;
  parsed.operation = *operation;
  return parsed;
}

void append_request(ByteWriter& out, const ShadowRequest& request) {
  out.u8(static_cast<uint8_t>(request.operation));
  out.u8(static_cast<uint8_t>(request.fault));
  append_text(out, request.thing);
  append_text(out, request.name);
  append_text(out, request.client_token);
  out.u8(request.version ? 1 : 0);
  out.le<uint64_t>(request.version.value_or(0));
  append_section(out, request.desired, Times::none);
  append_section(out, request.reported, Times::none);
}

ShadowRequest read_request(ByteReader& in) {
  ShadowRequest request;
  const uint8_t operation = in.u8();
  const uint8_t fault = in.u8();
  if (operation > static_cast<uint8_t>(ShadowOperation::remove) || fault > static_cast<uint8_t>(kLastFault)) in.fail();
  request.operation = static_cast<ShadowOperation>(operation);
  request.fault = static_cast<ShadowFault>(fault);
  request.thing = read_text(in, kNameLimitBytes);
  request.name = read_text(in, kShadowNameBytesMax);
  request.client_token = read_text(in, kClientTokenBytesMax);
  const bool has_version = in.u8() != 0;
  const auto version = in.le<uint64_t>();
  if (has_version) request.version = version;
  request.desired = read_patch(in);
  request.reported = read_patch(in);
  if (!valid_name(request.thing) || (!request.name.empty() && !valid_name(request.name))) in.fail();
  return request;
}

void append_shadow(ByteWriter& out, const Shadow& shadow) {
  out.le<uint64_t>(shadow.version);
  out.u8(shadow.deleted ? 1 : 0);
  out.le<int64_t>(shadow.time_s);
  append_section(out, shadow.desired, Times::kept);
  append_section(out, shadow.reported, Times::kept);
}

Shadow read_shadow(ByteReader& in) {
  Shadow shadow;
  shadow.version = in.le<uint64_t>();
  shadow.deleted = in.u8() != 0;
  shadow.time_s = in.le<int64_t>();
  shadow.desired = read_section(in, Times::kept);
  shadow.reported = read_section(in, Times::kept);
  return shadow;
}

std::string document_of(const Shadow& shadow, int64_t now_s, std::string_view client_token) {
  return Document()
      .raw("state", sections(shadow.desired, shadow.reported, json_of, delta_of(shadow)))
      .raw("metadata", sections(shadow.desired, shadow.reported, metadata_of))
      .number("version", shadow.version)
      .number("timestamp", static_cast<uint64_t>(now_s))
      .end(client_token);
}

ShadowOutcome reject(const ShadowRequest& request, ShadowFault fault, int64_t now_s) {
  const FaultRow& row = row_of(fault);
  std::string text(row.text);
  if (fault == ShadowFault::no_shadow) {
    text += "'" + request.thing;
    if (!request.name.empty()) text += "~" + request.name;
    text += "'";
  }
  ShadowOutcome outcome;
  outcome.code = row.code;
  Document out;
  out.number("code", row.code).text("message", text).number("timestamp", static_cast<uint64_t>(now_s));
  outcome.answers.push_back({topic_of(request, "rejected"), out.end(request.client_token)});
  outcome.fault = std::move(text);
  return outcome;
}

ShadowOutcome answer_request(const ShadowRequest& request, const Shadow& shadow, int64_t now_s) {
  if (request.fault != ShadowFault::none) return reject(request, request.fault, now_s);
  if (request.operation == ShadowOperation::update) return update(request, shadow, now_s);
  if (shadow.deleted) return reject(request, ShadowFault::no_shadow, now_s);
  if (request.operation == ShadowOperation::remove) return remove(request, shadow, now_s);
  ShadowOutcome outcome;
  outcome.shadow = shadow;
  outcome.answers.push_back({topic_of(request, "accepted"), document_of(shadow, now_s, request.client_token)});
  return outcome;
}

}  // namespace heptane::iot::devices
