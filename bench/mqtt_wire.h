// A lean MQTT 3.1.1 client for benches: many connections from one thread, epoll, packets encoded beforehand. A publisher sends
// whatever its window allows and waits for no single answer; a message is in flight until it has arrived everywhere and, at
// QoS 1, is acknowledged. What a broker loses ends the bench. One thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::bench {

struct MqttLogin {
  std::string client_id;
  std::string user;  // empty: none, and no password
  std::string password;
  bool durable = false;  // its session outlives the connection
};

constexpr uint16_t kMqttKeepAliveSeconds = 600;

ByteWriter encode_mqtt_connect(const MqttLogin& login);
int open_mqtt_socket(uint16_t port);  // of 127.0.0.1, TCP_NODELAY, blocking
// Returns when the broker has said yes; ends the bench when it says no.
int connect_mqtt(uint16_t port, const MqttLogin& login);
void subscribe_mqtt(int fd, const std::string& filter, uint8_t qos);
ByteWriter encode_mqtt_subscribe(const std::string& filter, uint8_t qos);
ByteWriter encode_mqtt_publish(const std::string& topic, uint8_t qos, uint16_t id, Bytes payload, bool retain = false);
// Sends `count` PUBLISH packets at QoS 1 and waits for all their acknowledgements.
void publish_burst_mqtt(int fd, const ByteWriter& burst, size_t count);
size_t mqtt_publish_id_at(Bytes packet);  // where a PUBLISH packet at QoS 1 has its identifier
// Bytes of the packet that `input` begins with; 0: it is not there as a whole.
size_t mqtt_packet_bytes(Bytes input);
void send_all(int fd, Bytes bytes);
std::vector<std::byte> receive_mqtt_packet(int fd);  // the only one that is on its way

struct MqttShape {
  enum class Spread : uint8_t { pairs, all, shared };  // a subscriber for each publisher; all get all; one group
  const char* name = "";
  size_t publishers = 1;
  size_t subscribers = 1;
  Spread spread = Spread::pairs;
  uint8_t qos = 0;
  size_t payload_bytes = 64;
  size_t in_flight = 1000;      // of each publisher
  bool bursts = false;          // the next messages only when all of these have arrived
  std::string said = "bench";   // publisher i publishes to said/i
  std::string heard = "bench";  // subscriber i, of pairs, hears heard/i
  std::string payload{};        // empty: the publisher's number and zeros; else of pairs alone
};

class MqttLoad {
 public:
  MqttLoad(uint16_t port, const MqttShape& shape);
  ~MqttLoad();
  MqttLoad(const MqttLoad&) = delete;
  MqttLoad& operator=(const MqttLoad&) = delete;

  void run(int64_t duration_ns);  // what is in flight at its end stays so
  void drain();                   // until nothing is in flight
  uint64_t completed() const;     // messages
  uint64_t delivered() const { return delivered_; }
  void measure_latency(bool on) { measuring_ = on; }
  // From PUBLISH sent to PUBACK read, in microseconds.
  std::vector<double>& latencies() { return latencies_; }

 private:
  struct Connection {
    int fd = -1;
    std::vector<std::byte> rest;  // of an unfinished packet
    std::vector<std::byte> acks;  // that the socket did not take
  };
  struct Publisher : Connection {
    std::vector<std::byte> ring;  // its packets, one behind the other; as many as its window has
    std::vector<int64_t> sent_ns;
    uint64_t sent = 0;
    uint64_t acknowledged = 0;
    uint64_t arrived = 0;
    uint64_t bytes_sent = 0;
    bool touched = false;
  };

  void add_publisher(uint16_t port, size_t index);
  void add_subscriber(uint16_t port, size_t index);
  void watch(int fd, size_t number) const;
  uint64_t completed_of(const Publisher& publisher) const;
  bool idle() const;
  void touch(Publisher& publisher);
  void turn(bool publishing);
  void top_up(Publisher& publisher);
  void flush(Publisher& publisher) const;
  template <class Take>
  void receive(Connection& connection, const Take& take);
  void take_answer(Publisher& publisher, Bytes packet);
  void take_message(Connection& subscriber, Bytes packet);
  static void send_acks(Connection& subscriber);

  const MqttShape shape_;
  const size_t copies_;  // of a message that arrive
  int epoll_ = -1;
  std::vector<Publisher> publishers_;
  std::vector<Connection> subscribers_;
  std::vector<Publisher*> touched_;
  std::unique_ptr<std::byte[]> buffer_;
  uint64_t delivered_ = 0;
  int64_t now_ns_ = 0;
  int64_t progress_ns_ = 0;
  bool measuring_ = false;
  std::vector<double> latencies_;
};

}  // namespace heptane::bench
