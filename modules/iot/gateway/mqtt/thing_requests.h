// The way of what things ask of a service of `$aws/things/THING/…`: a command of a machine each, and no message. A publisher that is
// gone does not take its request with it.
//
// Bounds: `in_flight` requests of a thing that are not answered, then kRejectionsMax are rejected, which is a command each as well; what comes beyond is not taken: dropped at QoS 0, refused in MQTT 5, and of a publisher that cannot be told, of
// kHeldMax of them, held until the thing has room, while the publisher is not read. kWaitingMax and kWaitingBytesMax of all: at half
// of it no publisher is read (Broker::crowded), at all of it nothing is taken. The I/O thread's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "kernel/net/session.h"
#include "modules/iot/domain/mqtt/packets.h"

namespace heptane::iot::mqtt {

class Broker;

class ThingRequests {
 public:
  struct Kind {
    RequestId requests = 0;  // its own are from here to twice of it
    MachineId machine = 0;
    CommandType command = 0;
    size_t in_flight = 0;
  };
  static constexpr size_t kWaitingMax = 10'000;
  static constexpr size_t kWaitingBytesMax = size_t{16} << 20;
  static constexpr size_t kRejectionsMax = 10;  // of a thing, under way
  static constexpr size_t kHeldMax = 10;        // of a thing

  ThingRequests(Broker& broker, const Kind& kind) : broker_(broker), kind_(kind), first_request_(kind.requests) {}
  virtual ~ThingRequests() = default;
  ThingRequests(const ThingRequests&) = delete;
  ThingRequests& operator=(const ThingRequests&) = delete;

  void attach(net::SessionContext& context) { context_ = &context; }
  void detach();
  bool crowded() const { return waiting() >= kWaitingMax / 2 || bytes_ >= kWaitingBytesMax / 2; }

  // False: it is not its own.
  bool on_reply(RequestId request, const Reply& reply);
  bool on_timer(net::SessionTimerId timer);

 protected:
  // The command's payload; of one that is too many.
  using Make = std::function<Buffer(bool too_many)>;
  // Subscriber::published follows when it is answered, unless nobody waits (ticket 0). False: there is no room.
  bool request(std::string_view thing, const Make& make, SessionId from, uint64_t ticket, const Principal& principal);
  // Else they wait.
  virtual bool may_send() const { return true; }
  void send();

  Broker& broker_;
  net::SessionContext* context_ = nullptr;

 private:
  struct Waiting {
    SessionId session = 0;
    uint64_t ticket = 0;
    Principal principal;
    std::string thing;
    bool rejected = false;  // too many
    Buffer payload;
  };
  struct OfThing {
    size_t requests = 0;  // queued or under way
    size_t rejections = 0;
    std::deque<Waiting> held;
  };

  size_t waiting() const { return queued_.size() + under_way_.size() + held_; }
  bool hold(OfThing& of_thing, Waiting waiting);
  void take_held(const std::string& thing);
  void finish(const Waiting& waiting, Reason reason);

  const Kind kind_;
  std::deque<Waiting> queued_;     // the shard's ring had no room
  std::deque<Waiting> under_way_;  // answers come in this order
  RequestId first_request_;        // of under_way_
  std::map<std::string, OfThing, std::less<>> things_;
  size_t held_ = 0;  // of all things
  size_t bytes_ = 0;
  net::SessionTimerId timer_ = 0;  // 0: not armed
};

}  // namespace heptane::iot::mqtt
