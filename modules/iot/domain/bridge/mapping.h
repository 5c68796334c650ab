// Which topics a bridge carries, and what they are called on the other side: a filter with a prefix on either side, as other
// brokers' bridges say it. A topic goes by the first mapping of its direction that it matches. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace heptane::iot::bridge {

enum class Direction : uint8_t { out, in };  // out: from here to the remote broker

struct Mapping {
  Direction direction = Direction::out;
  std::string filter;        // behind the prefixes
  std::string local_prefix;  // texts without wildcards, usually with a slash at their end
  std::string remote_prefix;
  uint8_t qos = 1;  // the highest
  friend bool operator==(const Mapping&, const Mapping&) = default;

  std::string local_filter() const { return local_prefix + filter; }
  std::string remote_filter() const { return remote_prefix + filter; }
};

// What is wrong with it; empty: nothing.
std::string wrong_mapping(const Mapping& mapping);

// What a topic is called on the other side, and the highest QoS that its mapping carries.
struct Mapped {
  std::string topic;
  uint8_t qos = 0;
};
// nullopt: no mapping of that direction has it, or what comes out is no topic within the limits, or none that the mapping's filter
// matches there: a filter that begins with a wildcard has no topic that begins with $ on either side (MQTT 5.0 §4.7.2).
std::optional<Mapped> mapped(const std::vector<Mapping>& mappings, Direction direction, std::string_view topic);

// An out mapping of one and an in mapping of the other that meet at the remote broker: what goes out would come back where the broker
// cannot be asked to leave that out. nullptr: there are none.
struct Meeting {
  const Mapping* out = nullptr;
  const Mapping* in = nullptr;
};
Meeting meeting_of(const std::vector<Mapping>& outward, const std::vector<Mapping>& inward);

// The user property that names the servers through which a message came, one each.
constexpr std::string_view kVia = "heptane-via";
constexpr std::string_view kClients = "$bridge/";  // what the clients of bridges here are called, and nobody else
constexpr size_t kViaMax = 8;

}  // namespace heptane::iot::bridge
