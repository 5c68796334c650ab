// What is known of edge nodes by their births: the names behind aliases, the types that data leave out, which sequence number comes next
// (Eclipse Sparkplug 3.0.0 §6.4.6, §6.4.9). It is gone with the server, and so are the connections of the nodes, which then are born
// again. A node of which a message is missing, or whose births nobody saw, is to be asked for them, once in a while.
//
// Bounds: kNodesMax nodes, kDevicesMax devices and kNodeBytesMax of a node, kBytesMax in all; what finds no room is not known, and is not asked for. Pure:
// time is told. One thread's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/iot/domain/sparkplug/payload.h"
#include "modules/iot/domain/sparkplug/topic.h"

namespace heptane::iot::sparkplug {

class Nodes {
 public:
  static constexpr size_t kNodesMax = 10'000;
  static constexpr size_t kDevicesMax = 1'000;
  static constexpr size_t kNodeBytesMax = size_t{2} << 20;
  static constexpr size_t kBytesMax = size_t{64} << 20;

  struct Limits {
    size_t nodes = kNodesMax;
    size_t devices = kDevicesMax;
    size_t bytes = kBytesMax;
    size_t node_bytes = kNodeBytesMax;
  };
  // A node is asked for its births at most once in `rebirth_ns`; 0: never.
  explicit Nodes(int64_t rebirth_ns) : Nodes(rebirth_ns, Limits{}) {}
  Nodes(int64_t rebirth_ns, const Limits& limits) : rebirth_ns_(rebirth_ns), limits_(limits) {}

  struct Named {
    std::string_view name;
    uint32_t type = 0;
    const Metric* metric = nullptr;
  };
  // Views are good until the next message.
  struct Outcome {
    bool rebirth = false;        // the node is to be asked for its births
    bool gap = false;            // a message of it is missing
    size_t unnamed = 0;          // metrics by aliases that nobody knows
    std::vector<Named> metrics;  // of births and data, in their order
  };
  // A message that is none of a node's (a command) changes nothing; of one that is compressed nothing is said. `now_ns`: monotonic.
  Outcome take(const Topic& topic, const Payload& payload, int64_t now_ns);
  // Of a birth that cannot be read, or is beyond the bounds: what was known by the one before is not so any more, and the node is not
  // asked for what it would say again.
  void take_unread(const Topic& birth);

  size_t count() const { return nodes_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  using Types = std::map<std::string, uint32_t, std::less<>>;
  // The node itself, or one of its devices.
  struct Group {
    Types types;
    std::map<uint64_t, Types::const_iterator> aliases;
    size_t bytes = 0;
  };
  struct Node {
    bool born = false;
    bool crowded = false;           // its births found no room
    bool opaque = false;            // it compresses: its messages cannot be counted until its next birth
    uint8_t next = 0;               // sequence number
    std::optional<uint64_t> birth;  // bdSeq of its NBIRTH
    std::optional<int64_t> asked_ns;
    std::map<std::string, Group, std::less<>> groups;  // the node's own: empty name
  };

  Node* find_or_add(const Topic& topic);
  void bury(const Topic& topic, const Payload& payload, int64_t now_ns);
  void forget_all(Node& node);
  void be_opaque(Node& node, const Topic& topic);
  void be_born(Node& node, const Payload& payload);
  static bool count_sequence(Node& node, const Payload& payload);
  void learn(Node& node, const Topic& topic, const Payload& payload);
  bool learn_metric(Group& group, const Metric& metric);
  void forget(Node& node, std::string_view device);
  bool takes(size_t bytes);
  static void name_all(const Group* group, const Payload& payload, Outcome& outcome);

  const int64_t rebirth_ns_;
  const Limits limits_;
  std::map<std::string, Node, std::less<>> nodes_;  // by `GROUP/NODE`
  size_t bytes_ = 0;                                // of names and aliases
};

}  // namespace heptane::iot::sparkplug
