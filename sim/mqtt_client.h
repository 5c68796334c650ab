// MQTT clients of the simulator: real packets over SimNet, written from the specification and not with the gateway's codec.
// Those with durable sessions keep them over every reconnect, as a client with persistence does: what is not acknowledged is sent
// again with DUP, in order, PUBREL instead of what was received. Now and then one connects while the server still has its
// connection before. What they learn goes to the MqttWatch. One owner.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/kafka_client.h"
#include "sim/mqtt_watch.h"

namespace heptane::sim {

struct SimWill {
  SimMessage message;
  uint8_t qos = 1;
  uint32_t delay_s = 0;
};

class SimMqttClient : public SimClient {
 public:
  SimMqttClient(ClientWorld& world, MqttWatch& watch, std::string name, uint16_t port)
      : SimClient(world), watch_(watch), name_(std::move(name)), port_(port) {}
  std::string state() const override { return name_; }

 protected:
  using Will = SimWill;
  // What CONNECT says; by itself 3.1.1 with Clean Session 0.
  struct Greeting {
    bool five = false;
    bool clean = false;
    uint32_t expiry_s = 0;  // of MQTT 5
    std::optional<Will> will{};
  };
  virtual Greeting greeting() { return {}; }
  // One packet, whose first byte and body these are. False: it should not have come.
  virtual bool on_packet(uint8_t first, Bytes body) = 0;
  // CONNACK said whether the session goes on.
  virtual void on_session(bool present) = 0;
  // Its session is there as long as the simulation.
  virtual bool keeps_session() const { return true; }
  void send(uint8_t first, Bytes body);
  void send_id(uint8_t first, uint16_t id);
  bool ready() const { return ready_; }
  bool five() const { return five_; }
  bool promised() const { return !world_.checker.lost_tail_allowed(); }
  void connect_again();

  MqttWatch& watch_;
  const std::string name_;

 private:
  uint16_t port() const override { return port_; }
  void on_connected() override;
  bool on_answer(int16_t, ByteReader&) override { return false; }
  bool take_frames() override;
  bool take(uint8_t first, Bytes body);

  const uint16_t port_;
  bool ready_ = false;  // CONNACK came
  bool five_ = false;
  bool had_one_ = false;  // a session was begun
};

// Publishes messages 1, 2, ... at one QoS, each until it is acknowledged.
class SimMqttSender : public SimMqttClient {
 public:
  bool finished() const override { return open_.empty() || !promised(); }

 protected:
  SimMqttSender(ClientWorld& world, MqttWatch& watch, const std::string& name, uint16_t port, uint8_t qos)
      : SimMqttClient(world, watch, name, port), qos_(qos) {}
  // The same when it is sent again.
  virtual SimMessage message(uint32_t number) const = 0;
  // It may be sent now.
  virtual bool may_send(uint32_t number) = 0;
  virtual void acknowledged(uint32_t number) = 0;
  virtual bool goes_on() const { return !finishing_; }

  const uint8_t qos_;

 private:
  struct Open {
    uint32_t number = 0;
    bool received = false;  // QoS 2: PUBREC came
  };
  void go_on() override;
  bool awake() override;
  void on_session(bool present) override;
  bool on_packet(uint8_t first, Bytes body) override;
  void send_open(const Open& open, bool again);
  void acknowledge();

  uint32_t next_ = 1;
  std::deque<Open> open_;
};

// To the topics that follow from the numbers.
class SimMqttPublisher final : public SimMqttSender {
 public:
  SimMqttPublisher(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port);

 private:
  SimMessage message(uint32_t number) const override { return message_of({number_, number}, false); }
  bool may_send(uint32_t number) override;
  void acknowledged(uint32_t number) override;

  const uint32_t number_;
};

// Subscribed to one filter: acknowledges what comes, in its time and in its order.
class SimMqttReceiver : public SimMqttClient {
 public:
  struct Wish {
    std::string filter;
    uint8_t qos = 2;
    bool awaited = true;  // publishers wait for its first SUBACK
  };
  SimMqttReceiver(ClientWorld& world, MqttWatch& watch, const std::string& name, uint16_t port, Wish wish);

 protected:
  struct Arrived {
    std::string_view topic;
    std::string_view payload;
    int qos = 0;
    bool retain = false;
    bool again = false;  // DUP
    uint16_t id = 0;     // of the packet; 0: at QoS 0
  };
  // A message, at QoS 2 once. False: it should not have come.
  virtual bool on_message(const Arrived& message) = 0;
  virtual bool ready_to_subscribe() const { return true; }
  virtual uint32_t away_one_in() const { return 200; }
  void go_on() override;
  void on_session(bool present) override;
  bool awake() override;
  bool subscribed() const { return subscribed_; }
  bool wrong(const std::string& what);

  const Wish wish_;

 private:
  bool on_packet(uint8_t first, Bytes body) override;
  bool on_publish(uint8_t flags, Bytes body);
  bool on_suback(ByteReader& in);
  void subscribe();

  bool asked_ = false;  // over this connection
  bool subscribed_ = false;
  bool counted_ = false;
  std::set<uint16_t> received_;                       // QoS 2, not released
  std::deque<std::pair<uint8_t, uint16_t>> answers_;  // that it takes its time for
};

// Gets every number that its filter matches, in order.
class SimMqttSubscriber final : public SimMqttReceiver {
 public:
  SimMqttSubscriber(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port, std::string filter);
  bool finished() const override;

 private:
  bool on_message(const Arrived& message) override;

  std::vector<uint32_t> got_;  // of each publisher, the newest
};

}  // namespace heptane::sim
