// The way of shadow requests (thing_requests.h): what is published to `$aws/things/THING/shadow/…`. Answers go to subscribers in the
// order of the log, before the publisher is told. The I/O thread's.
#pragma once

#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/gateway/mqtt/thing_requests.h"

namespace heptane::iot::mqtt {

class ShadowService final : public ThingRequests {
 public:
  static constexpr RequestId kRequests = 1ULL << 46;

  explicit ShadowService(Broker& broker);

  // Subscriber::published follows when it is answered, unless nobody waits (ticket 0). False: there is no room.
  bool request(const devices::ShadowTopic& topic, std::string_view payload, SessionId from, uint64_t ticket,
               const Principal& principal);
  // What is answered, whoever asked, in the order of the log and before the one who asked hears of it: to whoever is connected.
  void deliver(const Reply& reply);
};

}  // namespace heptane::iot::mqtt
