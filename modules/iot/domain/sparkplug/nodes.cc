#include "modules/iot/domain/sparkplug/nodes.h"

#include <algorithm>
#include <utility>

namespace heptane::iot::sparkplug {

namespace {

constexpr size_t kOwnBytes = 96;  // of a node of a map

std::string key_of(const Topic& topic) { return std::string(topic.group) + '/' + std::string(topic.node); }

// Which birth a death belongs to (§6.4.20).
std::optional<uint64_t> birth_of(const Payload& payload) {
  const auto found = std::find_if(payload.metrics.begin(), payload.metrics.end(),
                                  [](const Metric& metric) { return metric.name == "bdSeq"; });
  if (found == payload.metrics.end()) return std::nullopt;
  if (const auto* bits = std::get_if<uint64_t>(&found->value)) return *bits;
  if (const auto* bits = std::get_if<uint32_t>(&found->value)) return *bits;
  return std::nullopt;
}

// What says how the server and the node go on, and is nothing that was measured.
bool is_control(std::string_view name) {
  return name == "bdSeq" || name.starts_with("Node Control/") || name.starts_with("Device Control/");
}

}  // namespace

Nodes::Outcome Nodes::take(const Topic& topic, const Payload& payload, int64_t now_ns) {
  Outcome outcome;
  if (is_command(topic.type)) return outcome;
  if (topic.type == MessageType::ndeath) {
    bury(topic, payload, now_ns);
    return outcome;
  }
  Node* node = find_or_add(topic);
  if (node == nullptr) {
    name_all(nullptr, payload, outcome);
    return outcome;
  }
  if (payload.compressed) {
    be_opaque(*node, topic);
    return outcome;
  }
  if (topic.type == MessageType::nbirth)
    be_born(*node, payload);
  else
    outcome.gap = count_sequence(*node, payload);
  if (is_birth(topic.type)) learn(*node, topic, payload);
  if (topic.type == MessageType::ddeath) {
    forget(*node, topic.device);
  } else {
    const auto group = node->groups.find(topic.device);
    const bool known = group != node->groups.end();
    name_all(known ? &group->second : nullptr, payload, outcome);
    outcome.gap = outcome.gap || (outcome.unnamed > 0 && !node->crowded);
  }
  outcome.gap = outcome.gap && !node->opaque;
  const bool may_ask = rebirth_ns_ > 0 && (!node->asked_ns || now_ns - *node->asked_ns >= rebirth_ns_);
  outcome.rebirth = outcome.gap && may_ask;
  if (outcome.rebirth) node->asked_ns = now_ns;
  return outcome;
}

Nodes::Node* Nodes::find_or_add(const Topic& topic) {
  const std::string key = key_of(topic);
  const auto found = nodes_.find(key);
  if (found != nodes_.end()) return &found->second;
  return nodes_.size() < limits_.nodes ? &nodes_[key] : nullptr;
}

void Nodes::take_unread(const Topic& birth) {
  if (Node* node = find_or_add(birth)) be_opaque(*node, birth);
}

// Its messages say nothing that is known, until its next birth.
void Nodes::be_opaque(Node& node, const Topic& topic) {
  if (topic.type == MessageType::nbirth) {
    forget_all(node);
    node.born = true;
    node.birth.reset();
  }
  if (is_birth(topic.type)) forget(node, topic.device);
  node.opaque = true;
}

// A death that comes behind the next birth is the one before's. Who was just asked is remembered: dying asks for no more births.
void Nodes::bury(const Topic& topic, const Payload& payload, int64_t now_ns) {
  const auto found = nodes_.find(key_of(topic));
  if (found == nodes_.end()) return;
  const auto birth = birth_of(payload);
  if (birth && found->second.birth && *birth != *found->second.birth) return;
  forget_all(found->second);
  const std::optional<int64_t> asked_ns = found->second.asked_ns;
  found->second = Node{};
  found->second.asked_ns = asked_ns;
  if (!asked_ns || now_ns - *asked_ns >= rebirth_ns_) nodes_.erase(found);
}

void Nodes::forget_all(Node& node) {
  for (const auto& [device, group] : node.groups) bytes_ -= group.bytes;
  node.groups.clear();
}

void Nodes::be_born(Node& node, const Payload& payload) {
  forget_all(node);
  node.born = true;
  node.crowded = false;
  node.opaque = false;
  node.birth = birth_of(payload);
  node.next = static_cast<uint8_t>(payload.seq.value_or(0) + 1);
}

// True: one is missing. Behind it they are counted from here on.
bool Nodes::count_sequence(Node& node, const Payload& payload) {
  const bool gap = !node.born || !payload.seq || *payload.seq != node.next;
  node.next = static_cast<uint8_t>(payload.seq.value_or(node.next) + 1);
  return gap;
}

void Nodes::learn(Node& node, const Topic& topic, const Payload& payload) {
  forget(node, topic.device);
  node.crowded = node.crowded || node.groups.size() > limits_.devices || !takes(topic.device.size());
  if (node.crowded) return;
  size_t others = 0;
  for (const auto& [device, known] : node.groups) others += known.bytes;
  Group& group = node.groups[std::string(topic.device)];
  group.bytes = topic.device.size() + kOwnBytes;
  for (const Metric& metric : payload.metrics)
    if (others + group.bytes >= limits_.node_bytes || !learn_metric(group, metric)) node.crowded = true;
}

// False: there is no room.
bool Nodes::learn_metric(Group& group, const Metric& metric) {
  if (metric.name.empty()) return true;
  if (!takes(metric.name.size())) return false;
  const size_t before = group.types.size();
  const auto at = group.types.insert_or_assign(std::string(metric.name), metric.type).first;
  if (group.types.size() == before)
    bytes_ -= metric.name.size() + kOwnBytes;
  else
    group.bytes += metric.name.size() + kOwnBytes;
  if (!metric.alias || group.aliases.contains(*metric.alias)) return true;
  if (!takes(0)) return false;
  group.aliases.emplace(*metric.alias, at);
  group.bytes += kOwnBytes;
  return true;
}

void Nodes::forget(Node& node, std::string_view device) {
  const auto found = node.groups.find(device);
  if (found == node.groups.end()) return;
  bytes_ -= found->second.bytes;
  node.groups.erase(found);
}

// Takes the room.
bool Nodes::takes(size_t bytes) {
  if (bytes_ + bytes + kOwnBytes > limits_.bytes) return false;
  bytes_ += bytes + kOwnBytes;
  return true;
}

void Nodes::name_all(const Group* group, const Payload& payload, Outcome& outcome) {
  for (const Metric& metric : payload.metrics) {
    Named named{metric.name, metric.type, &metric};
    if (group != nullptr && named.name.empty() && metric.alias) {
      const auto found = group->aliases.find(*metric.alias);
      if (found != group->aliases.end()) named.name = found->second->first;
    }
    if (named.name.empty()) {
      ++outcome.unnamed;
      continue;
    }
    const bool asks = named.type == 0 && group != nullptr;
    const auto typed = asks ? group->types.find(named.name) : Types::const_iterator();
    if (asks && typed != group->types.end()) named.type = typed->second;
    if (!is_control(named.name)) outcome.metrics.push_back(named);
  }
}

}  // namespace heptane::iot::sparkplug
