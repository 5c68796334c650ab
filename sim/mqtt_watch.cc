#include "sim/mqtt_watch.h"

namespace heptane::sim {

bool MqttWatch::is_complete(Group& group) const {
  group.complete.resize(publishers.size());
  for (uint32_t i = 0; i < publishers.size(); ++i) {
    uint32_t& upto = group.complete[i];
    for (uint32_t next = next_of(i, upto, group.filter); next <= publishers[i].acknowledged;
         next = next_of(i, upto, group.filter)) {
      if (!group.delivered.contains({i, next})) return false;
      upto = next;
    }
  }
  return true;
}

bool MqttWatch::is_next(Group& group, MessageName name, const std::string& topic) {
  uint32_t& newest = group.newest[{name.from, topic}];
  if (name.number != next_of(name.from, newest, topic)) return false;
  newest = name.number;
  ++ordered;
  return true;
}

}  // namespace heptane::sim
