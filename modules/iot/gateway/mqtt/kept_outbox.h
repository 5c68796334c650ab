// What a durable session has for its client, out of its queue (queue_reader.h), in the order of the delivery numbers. A packet
// identifier is 1 + number mod 49,151, so that it is the same after a crash; acknowledgements go to the machine, lazily, but
// for PUBREC, which is synced before PUBREL answers it. Of what was sent the numbers are held. One connection's; the I/O thread's.
#pragma once

#include <functional>
#include <map>

#include "modules/iot/gateway/mqtt/outbox.h"
#include "modules/iot/gateway/mqtt/queue_reader.h"

namespace heptane::iot::mqtt {

class KeptOutbox final : public QueueReader {
 public:
  static constexpr uint64_t kIds = 49'151;  // packet identifiers 1 to here are its own

  KeptOutbox(Broker& broker, Outbox& outbox) : QueueReader(broker), outbox_(outbox) {}

  struct Start {
    uint64_t session = 0;
    uint64_t epoch = 0;
    uint64_t sent_upto = 0;  // numbers below it may have been sent before
    size_t flush_each = 1;   // acknowledgements that the machine hears of at once together
    uint32_t ahead = 1;      // what OpenSession said
    bool tells = false;      // the machine wants to hear of messages whose time is over
    // Whether a topic's messages may be received; none: all of them.
    std::function<bool(std::string_view)> may_receive{};
  };
  void begin(Start start, net::SessionContext& context);
  uint64_t session() const { return queue_.session; }
  uint64_t epoch() const { return queue_.epoch; }
  uint64_t sent_upto() const { return queue_.sent_upto; }

  void pump() override;
  void read_ended() override;
  size_t in_flight() const { return sent_.size(); }

  static bool owns(PacketId id) { return id <= kIds; }
  Fault on_puback(PacketId id);
  Fault on_pubrec(PacketId id, Reason reason);
  Fault on_pubcomp(PacketId id);
  // What on_pubrec told the machine is synced.
  void received(uint64_t number);

 private:
  enum class Wants : uint8_t { puback, pubrec, synced, pubcomp };
  struct Sent {
    uint64_t number = 0;
    Wants wants = Wants::puback;
  };

  RequestId make_request() override { return ++last_request_; }
  net::SessionTimerId arm(int64_t delay_ns) override { return context_->arm(delay_ns); }
  SessionId settler() const override { return context_->id(); }
  static PacketId id_of(uint64_t number) { return static_cast<PacketId>(1 + number % kIds); }
  bool may_send(uint64_t number);
  void put_sent(uint64_t number, Wants wants);
  void forget_sent(std::map<PacketId, Sent>::iterator sent);
  bool send_first();
  void finish(PacketId id);

  Outbox& outbox_;
  std::function<bool(std::string_view)> may_receive_;
  bool tells_ = false;
  std::map<PacketId, Sent> sent_;
  Fifo<uint64_t> order_;  // numbers in sent_, and some that are not any more
  RequestId last_request_ = kRequests;
};

}  // namespace heptane::iot::mqtt
