// The remote broker of a simulated bridge: listens where the bridge connects to, in MQTT 5 or 3.1.1, written from the specification and
// not with the gateway's codec. It has one client, the bridge, and its durable session: what it was sent at QoS 2 and not released,
// what it sends and has no answer for. It takes its time to read, to answer and to send, ends connections, refuses some, says 0x97
// and 0x99, echoes what it was sent, crashes with its session or without, and is away. What it is sent and tells goes to the
// BridgeWatch; what breaks the protocol fails the simulation. One owner.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/bridge_watch.h"
#include "sim/kafka_client.h"
#include "sim/mqtt_client.h"

namespace heptane::sim {

class SimRemoteBroker final : public SimClient {
 public:
  SimRemoteBroker(ClientWorld& world, BridgeWatch& watch, uint32_t publishers);
  // One turn.
  void serve();
  void finish() override;
  // It has sent all it has, and hears nothing for a while.
  bool finished() const override;
  bool rests() const { return idle_turns_ > kIdleTurns; }
  std::string state() const override;

 private:
  static constexpr uint32_t kIdleTurns = 60;
  // A message for the bridge.
  struct Item {
    SimMessage message{};
    uint8_t qos = 1;
    std::string via{};  // of an echo: the bridge's own mark
    MessageName name{};
    uint16_t id = 0;        // 0: not sent yet
    bool received = false;  // QoS 2: PUBREC came
  };
  struct Properties {
    uint32_t receive_maximum = 65'535;
    std::string via;  // values of heptane-via, each with a semicolon
    bool alias = false;
  };
  struct Answer {
    uint8_t first = 0;
    uint16_t id = 0;
    uint8_t reason = 0;
  };

  bool awake() override {
    serve();
    return false;  // it listens, and connects nowhere
  }
  void go_on() override {}
  bool on_answer(int16_t, ByteReader&) override { return false; }

  // Its life.
  void listen();
  void maybe_fault();
  void crash();
  void pass_hour();
  void lose_session();
  void drop(const char* why);
  void cut();
  void disconnect();

  // The connection.
  void read();
  bool take_frames_of(std::vector<std::byte>& input);
  void write();
  void send(uint8_t first, Bytes body);
  bool take(uint8_t first, Bytes body);
  bool take_connect(ByteReader& in);
  void accept_connect();
  bool take_subscribe(ByteReader& in);
  bool take_unsubscribe(ByteReader& in);
  static bool read_properties(ByteReader& in, Properties& properties);
  bool wrong(const std::string& what);

  // Out of the server.
  bool take_publish(uint8_t flags, ByteReader& in);
  uint8_t judge(const SimMessage& message);
  void take_message(SimMessage message, uint8_t qos, uint16_t id, std::string via);
  bool take_release(uint16_t id);
  void answer();

  // Into the server.
  void publish();
  void send_next();
  void send_item(const Item& item, bool again);
  bool take_answer(uint8_t first, ByteReader& in);
  bool is_subscribed(std::string_view filter) const { return filters_.contains(std::string(filter)); }
  uint16_t free_id();

  BridgeWatch& watch_;
  std::vector<uint32_t> sent_;  // of each of its publishers, numbers from 1 to here
  std::unique_ptr<net::Listener> listener_;
  int64_t down_until_ns_ = 0;
  bool had_hour_ = false;
  bool in_hour_ = false;
  std::unique_ptr<net::Stream> accepted_;  // not looked at yet
  std::unique_ptr<net::Stream> stream_;
  std::vector<std::byte> input_bytes_;
  std::vector<std::byte> output_;
  bool greeted_ = false;
  uint32_t window_ = 65'535;       // that the bridge takes
  std::set<uint16_t> unanswered_;  // of the bridge's, over this connection
  std::deque<Answer> answers_;     // that it takes its time for
  uint32_t idle_turns_ = 0;

  // The session.
  bool has_session_ = false;
  std::set<std::string> filters_;
  std::map<uint16_t, SimMessage> received_;  // at QoS 2, not released
  std::deque<Item> queue_;                   // those that were sent are first
  uint16_t last_id_ = 0;
};

// A publisher here whose messages the bridge carries out.
class SimBridgedPublisher final : public SimMqttSender {
 public:
  SimBridgedPublisher(ClientWorld& world, MqttWatch& mqtt, BridgeWatch& watch, uint32_t number, uint16_t port)
      : SimMqttSender(world, mqtt, "edge-" + std::to_string(number), port, BridgeWatch::qos_of(number)),
        bridge_(watch),
        number_(watch.add_publisher()) {}

 private:
  SimMessage message(uint32_t number) const override { return BridgeWatch::out_message({number_, number}); }
  bool may_send(uint32_t number) override { return bridge_.may_begin && number <= BridgeWatch::kNumbersMax; }
  void acknowledged(uint32_t number) override { bridge_.acknowledged({number_, number}); }

  BridgeWatch& bridge_;
  const uint32_t number_;
};

}  // namespace heptane::sim
