// What MQTT clients of the simulator promise each other: publishers number what they publish, subscribers with durable sessions
// and groups must get it. (What the log says of it: mqtt_log.h.)
//
// Rules: of every publisher a subscriber gets the numbers that its filter matches in order, none left out; at QoS 1 one may come
// again, at QoS 2 each is there once; what a publisher was told of is delivered in the end. A group's members get each
// number at least once together, at QoS 2 at most once; where groups are served by topic, what one publisher has for one topic comes
// in order: to the group at QoS 1, to each member at QoS 2. A client's will is seen once. Where acknowledged data was damaged on
// purpose, nothing is promised any more. One owner.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/mqtt_messages.h"

namespace heptane::sim {

struct MqttWatch {
  struct Publisher {
    uint8_t qos = 1;
    bool appended = false;      // over HTTP, once
    uint32_t acknowledged = 0;  // numbers from 1 to here
  };
  std::vector<Publisher> publishers;
  uint32_t subscribers = 0;  // with durable sessions, members of groups among them
  uint32_t subscribed = 0;   // of them, whose subscription was acknowledged
  bool all_subscribed() const { return subscribed == subscribers; }

  // $share/NAME/FILTER with durable members, and what they have together.
  struct Group {
    std::string name;
    std::string filter;
    std::set<MessageName> delivered{};
    std::set<MessageName> finished{};                               // at QoS 2
    std::vector<uint32_t> complete{};                               // of each publisher, up to here
    std::map<std::pair<uint32_t, std::string>, uint32_t> newest{};  // of each publisher and topic, by topic
    std::string shared() const { return "$share/" + name + "/" + filter; }
  };
  std::vector<Group> groups;
  bool by_topic = false;  // mqtt.shared
  // What was acknowledged to publishers is delivered.
  bool is_complete(Group& group) const;
  // A message that the group has not had: nothing of its publisher and topic is left out.
  bool is_next(Group& group, MessageName name, const std::string& topic);

  // Small queues (mqtt_losses.h): of all sessions, and what becomes of a message for a full one; 0: they are not small.
  int64_t queue_max = 0;
  std::string queue_full;
  // How many messages a publisher has open: where one is refused, those behind it would be in the log before it.
  size_t window = 8;
  struct Crammed {
    std::string name;
    std::string filter;
    std::map<uint64_t, std::string> got{};  // payloads by their numbers
    bool waits = true;                      // its queue is not empty
    std::string policy{};
  };
  std::vector<Crammed> crammed;

  // The server is down or about to be.
  bool server_stops = false;
  // Whether CONNACK said that there was a session, of a client's connections by their numbers.
  std::map<MessageName, bool> present;
  // The last connection of those who died at the end, whose wills must come: without a session only from the server that saw it.
  struct Death {
    uint32_t connection = 0;
    bool has_session = false;
  };
  std::map<uint32_t, Death> deaths;
  uint32_t starts = 0;
  void server_starts() {
    ++starts;
    std::erase_if(deaths, [](const auto& one) { return !one.second.has_session; });
  }
  // As the log has them (MqttLog), when everybody else has come to an end.
  bool log_is_known = false;
  bool log_is_lost = false;  // it was history before it was read: what is retained is not known
  std::set<MessageName> wills;
  std::map<std::string, std::string> retained;

  uint32_t next_of(uint32_t publisher, uint32_t above, std::string_view filter) const {
    return next_number(publisher, publishers[publisher].appended, above, filter);
  }

  // Counts, for the report.
  uint64_t acknowledged = 0;
  uint64_t delivered = 0;
  uint64_t again = 0;  // deliveries of what a subscriber had
  uint64_t resumed = 0;
  uint64_t shared = 0;   // messages of groups
  uint64_t ordered = 0;  // of those, in the order of their topics
  uint64_t taken_over = 0;
  uint64_t appended = 0;
  uint64_t wills_total = 0;
  uint64_t lost = 0;       // by sessions with small queues, all told
  uint64_t read_back = 0;  // records of streams, compared with the log
  uint64_t gaps = 0;       // the log was history before it was read: nothing is compared from there on
};

}  // namespace heptane::sim
