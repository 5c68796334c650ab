// What the configuration says of the MQTT gateway, and what it counts. Options are fixed at start; counters are written by the
// I/O thread and read by any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/auth/rules.h"
#include "kernel/auth/sasl.h"
#include "kernel/crypto/certificate_authority.h"
#include "kernel/net/io_counters.h"
#include "kernel/net/quota.h"
#include "modules/iot/domain/mqtt/properties.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/kept_sessions.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot::mqtt {

struct MqttOptions {
  int64_t receive_maximum = 1024;                // unacknowledged QoS 1 and 2 of a client
  int64_t maximum_packet_size = 1 << 20;         // bytes, of a client's packet
  int64_t topic_alias_maximum = 10;              // of a client
  int64_t max_keep_alive_s = 0;                  // 0: whatever the client says
  int64_t max_inflight = 100;                    // to a client that does not say (MQTT 3)
  int64_t queue_max = 1000;                      // QoS 1 and 2 that wait for a client's acknowledgements
  int64_t max_session_expiry_s = 7 * 24 * 3600;  // of a session that outlives its connection; 0: none does
  int64_t restart_grace_s = 30;                  // a will of before a start of the server waits as long for its client
  std::string queue_full = "drop_oldest";        // what becomes of a message for a full durable session
  int64_t max_topic_bytes = kTopicLimitBytes;    // of a topic or filter; what the machine takes is the most
  int64_t max_topic_levels = kTopicLimitLevels;
  int64_t max_subscriptions = kSubscriptionsOfSession;  // of a client
  int64_t max_user_properties = kUserPropertiesLimit;   // of a PUBLISH
  int64_t connect_timeout_s = 10;                       // from the connection to CONNECT
  int64_t no_room_timeout_s = 30;                       // a client that is not read because there is no room is closed
  int64_t write_timeout_s = 60;                         // one that takes nothing of what waits for it is closed
  int64_t max_unsent = 1000;                            // messages that its socket has not taken
  bool allow_anonymous = true;                          // where authentication is off
  int64_t max_messages_per_second = 0;                  // of a client; 0: any
  int64_t max_bytes_per_second = 0;                     // of a client; 0: any
  int64_t sys_interval_s = 10;                          // of $SYS; 0: there is none
  bool check_retain_source = true;     // what is retained is given out while its publisher may publish it
  std::string shared = "round_robin";  // which member of a group gets a message
  std::string presence = "users";      // whose connections `iot.presence` tells
  bool filter_deliveries =
      false;  // a filter that is not inside what its client may read is taken, as far as it meets it
  // Provisioning by claims.
  std::string authority_certificate{};  // files, PEM; empty: no certificates are signed
  std::string authority_key{};
  int64_t certificate_days = 365;                                   // of one that is signed
  int64_t token_minutes = 60;                                       // so long it may become a thing's
  int64_t claims_per_minute = 60;                                   // requests of one claim
  std::shared_ptr<const crypto::CertificateAuthority> authority{};  // null: there is none, or it could not be read
  std::function<std::string(size_t)> random{};                      // so many bytes of chance
  // Sparkplug B.
  bool sparkplug = false;                            // births are kept, deaths say when they are
  bool sparkplug_metrics = false;                    // metrics become messages of JSON
  int64_t sparkplug_rebirth_s = 30;                  // so often a node is asked for its births at most; 0: it is not
  std::vector<std::string> streams{};                // over topic filters, as the configuration has them
  std::function<void(const std::string&)> report{};  // what of the configuration the machine refuses
  auth::Authenticator* authenticator = nullptr;      // null: authentication is off, everybody is `local`
  auth::Rules* rules = nullptr;                      // with it: without them nobody may anything
  net::Quotas* quotas = nullptr;                     // null: nobody has any. Outlive the connections
};

inline QueueFull queue_full_of(const MqttOptions& options) {
  if (options.queue_full == "refuse") return QueueFull::refuse;
  return options.queue_full == "drop_newest" ? QueueFull::drop_newest : QueueFull::drop_oldest;
}

struct MqttCounters {
  net::Counter clients;          // connected now
  net::Counter subscriptions;    // now
  net::Counter shared;           // of those, to groups
  net::Counter sockets;          // connections opened, whatever came of them
  net::Counter received;         // PUBLISH from clients
  net::Counter sent;             // PUBLISH to clients
  net::Counter logged;           // of those received, acknowledged as synced
  net::Counter refused;          // PUBLISH answered with an error
  net::Counter dropped_output;   // QoS 0 to a client whose connection was full
  net::Counter dropped_queue;    // QoS 1 and 2 to a client whose queue was full
  net::Counter dropped_size;     // larger than the client takes
  net::Counter dropped_expired;  // message expiry
  net::Counter dropped_denied;   // not its to receive, where a filter reaches beyond what is
  net::Counter malformed;        // connections closed for what they sent
  net::Counter keep_alive;       // connections closed for silence
  net::Counter taken_over;       // connections closed because the client came again
  net::Counter wills;            // published
  net::Counter slowed;           // how often a client was not read because it sent more than it may
  net::Counter connects;         // of clients, since the start
  net::Counter durable_clients;  // of those connected now, with a durable session
  net::Counter packets_in;       // of any type
  net::Counter packets_out;
  net::Counter bytes_in;
  net::Counter bytes_out;
  net::Counter payload_in;  // bytes, of PUBLISH from clients
  net::Counter payload_out;
  net::Counter presence_dropped;     // entries and commands that `iot.presence` did not get
  net::Counter events_dropped;       // likewise of what the gateway tells in `iot.events`
  net::Counter things_dropped;       // beginnings and ends of connections that the registry was not told
  net::Counter jobs_dropped;         // records of `iot.jobs` that could not be read for subscribers
  net::Counter methods_sent;         // calls of things' methods
  net::Counter methods_unanswered;   // of those that were sent, given up
  net::Counter methods_late;         // answers that nobody waited for
  net::Counter sparkplug_births;     // kept
  net::Counter sparkplug_rebirths;   // nodes that were asked for their births
  net::Counter sparkplug_gaps;       // messages of nodes behind one that is missing
  net::Counter sparkplug_metrics;    // told as JSON
  net::Counter sparkplug_unnamed;    // metrics by aliases that nobody knows
  net::Counter sparkplug_compound;   // metrics that are no scalars
  net::Counter sparkplug_refused;    // births and metrics that found no room
  net::Counter sparkplug_malformed;  // payloads that cannot be read
};

}  // namespace heptane::iot::mqtt
