// MQTT clients of the simulator that do not get every number: members of shared groups, readers of what is retained, who waits
// for wills, and clients that die and leave one. One owner.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "sim/mqtt_client.h"

namespace heptane::sim {

// Of a group. One with a durable session takes QoS 2 and finishes what it began; one without takes QoS 1 and leaves the
// rest to others.
class SimMqttMember final : public SimMqttReceiver {
 public:
  SimMqttMember(ClientWorld& world, MqttWatch& watch, size_t group, uint32_t number, uint16_t port, bool durable);
  bool finished() const override;
  std::string state() const override;

 private:
  Greeting greeting() override;
  bool keeps_session() const override { return durable_; }
  void on_session(bool present) override;
  bool on_message(const Arrived& message) override;
  bool is_in_order(MessageName name, const Arrived& message);
  uint32_t away_one_in() const override { return durable_ ? 200 : 60; }
  MqttWatch::Group& group() const { return watch_.groups[group_]; }

  const size_t group_;
  const bool durable_;
  std::map<std::pair<uint32_t, std::string>, uint32_t> newest_;  // at QoS 2, of each publisher and topic
};

// Subscribed to all that is retained, after a while: with a durable session, which gets what was there before although it goes
// away in the middle; or as a newcomer when everybody else has come to an end, who finds what the log leads to and nothing else.
class SimMqttKeeper final : public SimMqttReceiver {
 public:
  SimMqttKeeper(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port, bool newcomer);
  bool finished() const override;
  std::string state() const override;

 private:
  Greeting greeting() override;
  bool keeps_session() const override { return !newcomer_; }
  bool awake() override;
  bool ready_to_subscribe() const override;
  uint32_t away_one_in() const override { return 40; }
  bool on_message(const Arrived& message) override;

  const bool newcomer_;
  const uint32_t subscribes_at_;                       // messages acknowledged
  std::set<std::pair<std::string, std::string>> had_;  // topic and payload
};

// Gets every will that the log has.
class SimMqttHeir final : public SimMqttReceiver {
 public:
  SimMqttHeir(ClientWorld& world, MqttWatch& watch, uint16_t port)
      : SimMqttReceiver(world, watch, "mqtt-heir", port, {"will/#", 2, true}) {}
  bool finished() const override;

 private:
  bool on_message(const Arrived& message) override;

  std::set<MessageName> had_;
};

// MQTT 5, with a will in every connection and a session that expires in seconds, or none. It dies, says good-bye, stays away
// for longer than its session lives, comes back before. At the end it dies once more.
class SimMqttMortal final : public SimMqttReceiver {
 public:
  SimMqttMortal(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port, uint32_t expiry_s);
  bool finished() const override { return dead_ || !promised(); }

 private:
  Greeting greeting() override;
  bool keeps_session() const override { return false; }
  bool awake() override;
  void on_session(bool present) override;
  bool on_message(const Arrived& message) override;
  void stay_away();

  const uint32_t number_;
  const uint32_t expiry_s_;
  uint32_t connection_ = 0;
  int64_t away_until_ns_ = 0;
  bool dead_ = false;
  bool fresh_ = false;         // the server that has its connection will be there to see it die
  uint32_t met_ = 0;           // that server, by its number
  bool leaving_ = false;       // DISCONNECT is on its way
  std::vector<uint32_t> got_;  // of each publisher, in this session
};

}  // namespace heptane::sim
