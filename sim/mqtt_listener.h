// A durable session that hears everything below a filter at QoS 1, and what it must have heard by then: each message at least once,
// in the order of the log. One owner.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sim/mqtt_client.h"

namespace heptane::sim {

class SimMqttListener final : public SimMqttReceiver {
 public:
  // `expected`: texts of heard(), each once, in their order; it grows. Outlives this.
  SimMqttListener(ClientWorld& world, MqttWatch& watch, const std::string& name, uint16_t port,
                  const std::string& filter, const std::vector<std::string>& expected)
      : SimMqttReceiver(world, watch, name, port, {filter, 1, true}), expected_(expected) {}
  bool finished() const override { return !promised() || (subscribed() && compared_ >= expected_.size()); }
  std::string state() const override;
  static std::string heard(std::string_view topic, std::string_view payload) {
    return std::string(topic) + ' ' + std::string(payload);
  }

 private:
  bool on_message(const Arrived& message) override;
  void go_on() override;

  const std::vector<std::string>& expected_;
  std::vector<std::string> got_;  // in the order in which they came first
  std::set<std::string> known_;
  size_t compared_ = 0;
};

}  // namespace heptane::sim
