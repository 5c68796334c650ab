#include "sim/mqtt_listener.h"

namespace heptane::sim {

std::string SimMqttListener::state() const {
  return SimMqttReceiver::state() + " (" + std::to_string(got_.size()) + " of " + std::to_string(expected_.size()) +
         " heard)";
}

bool SimMqttListener::on_message(const Arrived& message) {
  if (message.qos != 1 || message.retain) return false;
  std::string text = heard(message.topic, message.payload);
  if (known_.insert(text).second)
    got_.push_back(std::move(text));
  else
    ++watch_.again;
  return true;
}

void SimMqttListener::go_on() {
  SimMqttReceiver::go_on();
  for (; compared_ < std::min(got_.size(), expected_.size()); ++compared_) {
    if (got_[compared_] == expected_[compared_]) continue;
    (void)wrong(got_[compared_] + " where the log has " + expected_[compared_]);
    return;
  }
}

}  // namespace heptane::sim
