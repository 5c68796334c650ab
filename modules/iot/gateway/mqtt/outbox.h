// What goes to one client: PUBLISH packets with their identifiers, the window of those it has not acknowledged, and the queue
// of those that wait for it (MQTT 5.0 §4.3, §4.4, §4.9). QoS 0 goes out at once or is dropped, counted; QoS 1 and 2 wait, up to
// `queue_max` messages. Those and the unacknowledged ones hold kHeldBytesMax together, because a client of MQTT 5 may leave 65,535
// without an answer; what comes then is dropped, counted. Output is full above the connection's mark, or while its socket takes
// nothing and `mqtt.max_unsent` messages are queued for it, or while its user owes for what he got (payer.h). One connection's; the
// I/O thread's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/fifo.h"
#include "modules/iot/gateway/mqtt/payer.h"

namespace heptane::iot::mqtt {

class Outbox {
 public:
  static constexpr size_t kHeldBytesMax = size_t{16} << 20;

  struct Limits {
    uint32_t window = 100;
    uint32_t queue_max = 1000;
    uint32_t packet_bytes_max = kVariableIntegerMax;
    uint16_t alias_max = 0;
    PacketId first_id = 1;     // its identifiers are from here on
    PacketId skipped_ids = 0;  // it begins so many behind
    Version version = Version::v311;
  };
  void begin(const Limits& limits, Broker& broker, net::SessionContext& context, Payer& payer);

  // `fetched`: of a page that was asked for while there was room: what its user owes by then does not cut it.
  void push(const MessagePtr& message, const Delivery& delivery, bool fetched = false);
  // `more`: so many are coming.
  bool has_window(uint8_t qos, size_t more = 0) const;
  // The queue is short enough for what is fetched on purpose (retained messages).
  bool has_room() const { return queued() < limits_.queue_max / 2 + 1 && !output_full(); }
  void pump();  // sends what may go now

  // For what is sent beside it (kept_outbox.h), under identifiers that are not its own. False: it is not for this client any
  // more, which counts as delivered.
  bool send_as(const Message& message, const Delivery& delivery, PacketId id, bool again);
  // Its time is over; counted.
  bool is_expired(const Message& message);
  // A message that is not its client's to receive; counted.
  void pass_over();
  // How many are on their way beside it, in the same window.
  void set_beside(size_t count) { beside_ = static_cast<uint32_t>(count); }
  // What waits here goes first.
  bool has_window_beside() const { return queued() == 0 && has_window(1); }
  void write_ack(PacketType type, PacketId id, Reason reason);

  // Answers of the client. A fault: it acknowledges what was not so sent.
  Fault on_puback(PacketId id);
  Fault on_pubrec(PacketId id, Reason reason);
  Fault on_pubcomp(PacketId id);

  // Gives back what came for a group and is another's now: at QoS 1 what was not acknowledged, at QoS 2 what was not sent; the oldest
  // first.
  std::vector<std::pair<Delivery, MessagePtr>> take_shared();

  // What waits and is not sent of topics that `keeps` does not hold of.
  std::vector<std::pair<Delivery, MessagePtr>> take_queued(const std::function<bool(std::string_view topic)>& keeps);

  // Messages of pages that the client is done with, since the last call.
  std::vector<PageMark> take_done() { return state_ ? std::exchange(state_->done, {}) : std::vector<PageMark>{}; }

  size_t in_flight() const { return state_ ? state_->sent.size() : 0; }
  size_t queued() const { return state_ ? state_->queue.size() : 0; }
  // Made with the client's first message, in either direction.
  ClientNumbers& numbers();
  const ClientNumbers* known_numbers() const { return numbers_.get(); }

 private:
  enum class Wants : uint8_t { puback, pubrec, pubcomp };
  struct Item {
    MessagePtr message;
    Delivery delivery;
    uint64_t number = 0;  // in the order in which they were sent
    Wants wants = Wants::puback;
  };

  using Sent = std::map<PacketId, Item>;
  struct State {
    Fifo<Item> queue;
    Sent sent;
    size_t held_bytes = 0;  // of both
    uint64_t sent_count = 0;
    std::map<std::string, uint16_t, std::less<>> aliases;
    std::vector<PageMark> done;
    // While the socket takes nothing more: where each message ends that it has not taken, as bytes of the connection modulo 2^32.
    Fifo<uint32_t> unsent;
  };

  State& state();
  Item* find_sent(PacketId id);
  static size_t bytes_of(const Item& item);
  void forget(PacketId id);
  void finish(const Delivery& delivery);
  static GroupOutbox* queue_of(const Delivery& delivery);
  static void give_up(const Item& item);
  bool output_full() const { return socket_full() || payer_->waits(*context_); }
  bool socket_full() const;
  bool is_backed_up() const;
  void note_unsent();
  void drop(net::Counter& why);
  void sent_publish(size_t bytes, size_t payload_bytes);
  void trace(Bytes packet);
  bool send(const Message& message, const Delivery& delivery, PacketId id, bool again = false);
  bool same_for_many(const Message& message, const Delivery& delivery) const;
  void write_same(const Message& message);
  bool expired(const Message& message, uint32_t& left_s) const;
  ByteWriter make_properties(const Message& message, const Delivery& delivery, uint32_t expiry_left_s,
                             std::string_view& topic);
  PacketId take_id();

  Limits limits_;
  Broker* broker_ = nullptr;
  net::SessionContext* context_ = nullptr;
  Payer* payer_ = nullptr;
  std::unique_ptr<State> state_;  // null: nothing was sent at QoS 1 or 2, under an alias or of a page
  uint32_t beside_ = 0;
  PacketId last_id_ = 0;
  std::unique_ptr<ClientNumbers> numbers_;
};

}  // namespace heptane::iot::mqtt
