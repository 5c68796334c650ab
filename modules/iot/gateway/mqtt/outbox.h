// What goes to one client: PUBLISH packets with their identifiers, the window of those it has not acknowledged, and the queue
// of those that wait for it (MQTT 5.0 §4.3, §4.4, §4.9). QoS 0 goes out at once or is dropped, counted; QoS 1 and 2 wait, up to
// `queue_max` messages. Those and the unacknowledged ones hold kHeldBytesMax together, because a client of MQTT 5 may leave 65,535
// without an answer; what comes then is dropped, counted. One connection's; the I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

class Outbox {
 public:
  static constexpr size_t kHeldBytesMax = size_t{16} << 20;

  struct Limits {
    Version version = Version::v311;
    size_t window = 100;
    size_t queue_max = 1000;
    uint32_t packet_bytes_max = kVariableIntegerMax;
    uint16_t alias_max = 0;
  };
  void begin(const Limits& limits, MqttCounters& counters, net::SessionContext& context);

  void push(const MessagePtr& message, const Delivery& delivery);
  bool has_window(uint8_t qos) const;
  // The queue is short enough for what is fetched on purpose (retained messages).
  bool has_room() const { return queue_.size() < limits_.queue_max / 2 + 1 && !context_->output_full(); }
  void pump();  // sends what may go now

  // Answers of the client. A fault: it acknowledges what was not so sent.
  Fault on_puback(PacketId id);
  Fault on_pubrec(PacketId id, Reason reason);
  Fault on_pubcomp(PacketId id);

  // Gives back what came for a group at QoS 1 and was not acknowledged, oldest first.
  std::vector<std::pair<std::shared_ptr<SharedGroup>, MessagePtr>> take_shared();

  size_t in_flight() const { return sent_.size(); }
  size_t queued() const { return queue_.size(); }

 private:
  enum class Wants : uint8_t { puback, pubrec, pubcomp };
  struct Item {
    MessagePtr message;
    Delivery delivery;
    uint64_t number = 0;  // in the order in which they were sent
    Wants wants = Wants::puback;
  };

  static size_t bytes_of(const Item& item);
  void forget(std::map<PacketId, Item>::iterator sent);
  bool send(Item& item, PacketId id);
  bool expired(const Message& message, uint32_t& left_s) const;
  void write_properties(ByteWriter& out, const Item& item, uint32_t expiry_left_s, std::string_view& topic);
  PacketId take_id();
  void write_ack(PacketType type, PacketId id, Reason reason);

  Limits limits_;
  MqttCounters* counters_ = nullptr;
  net::SessionContext* context_ = nullptr;
  std::deque<Item> queue_;
  size_t held_bytes_ = 0;  // of queue_ and sent_
  std::map<PacketId, Item> sent_;
  uint64_t sent_count_ = 0;
  PacketId last_id_ = 0;
  std::map<std::string, uint16_t, std::less<>> aliases_;
};

}  // namespace heptane::iot::mqtt
