// What operators see of one connected client, and the numbers behind it. A client that only listens to silence has no numbers:
// they are made with its first message. The I/O thread's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernel/net/session.h"
#include "modules/iot/domain/mqtt/packets.h"
#include "modules/iot/gateway/mqtt/rate_limit.h"

namespace heptane::iot::mqtt {

// Of PUBLISH packets, whole.
struct ClientNumbers {
  uint64_t messages_in = 0;
  uint64_t bytes_in = 0;
  uint64_t messages_out = 0;
  uint64_t bytes_out = 0;
  uint64_t dropped = 0;       // it did not get them: its connection or queue was full, they were too large or too old
  RateLimit rate{};           // where there is a limit
  int64_t owes_since_ns = 0;  // since then it is not read from, by its user's quota; 0: it is

  void came(size_t bytes) {
    ++messages_in;
    bytes_in += bytes;
  }
  void went(size_t bytes) {
    ++messages_out;
    bytes_out += bytes;
  }
};

struct ClientFacts {
  std::string_view client;
  std::string_view user;
  bool known_user = false;  // proved; else nobody was asked
  const net::Address* remote = nullptr;
  Version version = Version::v311;
  int64_t keep_alive_s = 0;
  int64_t connected_s = 0;  // since 1970
  int64_t heard_ms = 0;     // likewise, when something came from it last
  uint64_t session = 0;     // the durable one's number; 0: none
  size_t subscriptions = 0;
  size_t queued = 0;  // messages that wait here; a durable session's are in the machine
  size_t in_flight = 0;
  ClientNumbers numbers;
};

}  // namespace heptane::iot::mqtt
