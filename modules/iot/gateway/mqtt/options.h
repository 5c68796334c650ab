// What the configuration says of the MQTT gateway, and what it counts. Options are fixed at start; counters are written by the
// I/O thread and read by any.
#pragma once

#include <cstdint>

#include "kernel/auth/sasl.h"
#include "kernel/net/io_counters.h"

namespace heptane::iot::mqtt {

struct MqttOptions {
  int64_t receive_maximum = 1024;                // unacknowledged QoS 1 and 2 of a client
  int64_t maximum_packet_size = 1 << 20;         // bytes, of a client's packet
  int64_t topic_alias_maximum = 10;              // of a client
  int64_t max_keep_alive_s = 0;                  // 0: whatever the client says
  int64_t max_inflight = 100;                    // to a client that does not say (MQTT 3)
  int64_t queue_max = 1000;                      // QoS 1 and 2 that wait for a client's acknowledgements
  auth::Authenticator* authenticator = nullptr;  // null: authentication is off, everybody is `local`
};

struct MqttCounters {
  net::Counter clients;          // connected now
  net::Counter subscriptions;    // now
  net::Counter received;         // PUBLISH from clients
  net::Counter sent;             // PUBLISH to clients
  net::Counter logged;           // of those received, acknowledged as synced
  net::Counter refused;          // PUBLISH answered with an error
  net::Counter dropped_output;   // QoS 0 to a client whose connection was full
  net::Counter dropped_queue;    // QoS 1 and 2 to a client whose queue was full
  net::Counter dropped_size;     // larger than the client takes
  net::Counter dropped_expired;  // message expiry
  net::Counter malformed;        // connections closed for what they sent
  net::Counter keep_alive;       // connections closed for silence
  net::Counter taken_over;       // connections closed because the client came again
  net::Counter wills;            // published
};

}  // namespace heptane::iot::mqtt
