// The way of shadow requests: what is published to `$aws/things/THING/shadow/…` is a command of the devices machine, one each,
// and no message. Its answers go to subscribers in the order of the log, before the publisher is told; a publisher that is gone
// does not take its request with it.
//
// Bounds: kShadowsInFlight requests of a thing that are not answered, then kRejectionsMax are answered 429, which is a command each
// as well; what comes beyond is not taken: dropped at QoS 0, refused in MQTT 5, and of a publisher that cannot be told, of
// kHeldMax of them, held until the thing has room, while the publisher is not read. kWaitingMax and kWaitingBytesMax of all: at half
// of it no publisher is read (Broker::crowded), at all of it nothing is taken. The I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "kernel/net/session.h"
#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/domain/mqtt/packets.h"

namespace heptane::iot::mqtt {

class Broker;

class ShadowService {
 public:
  static constexpr RequestId kRequests = 1ULL << 46;  // its own are from here to twice of it
  static constexpr size_t kWaitingMax = 10'000;
  static constexpr size_t kWaitingBytesMax = size_t{16} << 20;
  static constexpr size_t kRejectionsMax = 10;  // of a thing, under way
  static constexpr size_t kHeldMax = 10;        // of a thing

  explicit ShadowService(Broker& broker) : broker_(broker) {}

  void attach(net::SessionContext& context) { context_ = &context; }
  void detach();

  // Subscriber::published follows when it is answered, unless nobody waits (ticket 0). False: there is no room.
  bool request(const devices::ShadowTopic& topic, std::string_view payload, SessionId from, uint64_t ticket,
               const Principal& principal);
  bool crowded() const { return waiting() >= kWaitingMax / 2 || bytes_ >= kWaitingBytesMax / 2; }
  // What is answered, whoever asked, in the order of the log and before the one who asked hears of it: to whoever is connected.
  void deliver(const Reply& reply);

  // False: it is not its own.
  bool on_reply(RequestId request, const Reply& reply);
  bool on_timer(net::SessionTimerId timer);

 private:
  struct Waiting {
    SessionId session = 0;
    uint64_t ticket = 0;
    Principal principal;
    std::string thing;
    bool rejected = false;  // 429
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
  void send();
  void finish(const Waiting& waiting, Reason reason);

  Broker& broker_;
  net::SessionContext* context_ = nullptr;
  std::deque<Waiting> queued_;           // the shard's ring had no room
  std::deque<Waiting> under_way_;        // answers come in this order
  RequestId first_request_ = kRequests;  // of under_way_
  std::map<std::string, OfThing, std::less<>> things_;
  size_t held_ = 0;  // of all things
  size_t bytes_ = 0;
  net::SessionTimerId timer_ = 0;  // 0: not armed
};

}  // namespace heptane::iot::mqtt
