// What the stream `iot.events` is told by the gateway (machine/told.h): what clients were denied, who without a durable session
// subscribed to what, and what became of bridges. Of a client, whichever of its connections it was, kDeniedEach denials a second and kSubscribedEach
// subscriptions; the others are counted in one more when the second is over, the last of them. What is told goes to the log in
// one command each kEachNs at most, which nothing waits for; so no number of clients fills the log faster.
//
// Bounds: kRowsMax clients that were told of lately and kBytesMax that waits; beyond them it is dropped and counted. The I/O thread's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/options.h"
#include "modules/iot/machine/told.h"

namespace heptane::iot::mqtt {

class Telling {
 public:
  static constexpr int64_t kEachNs = 500'000'000;
  static constexpr int64_t kWindowNs = 1'000'000'000;
  static constexpr uint32_t kDeniedEach = 1;
  static constexpr uint32_t kSubscribedEach = 64;
  static constexpr size_t kRowsMax = 10'000;
  static constexpr size_t kBytesMax = size_t{4} << 20;
  static constexpr RequestId kRequests = 1ULL << 43;  // its own are from here on

  Telling(const MqttOptions& options, MqttCounters& counters) : options_(options), counters_(counters) {}

  void attach(net::SessionContext& context) { context_ = &context; }
  void detach() { context_ = nullptr; }

  // Without time and others. `known_user`: who it is was proved; of others subscriptions are told where `mqtt.presence` is `all`.
  void denied(const ToldEvent& event) { tell(event, kDeniedEach); }
  void subscribed(const ToldEvent& event, bool known_user) {
    if (options_.presence == "all" || (options_.presence == "users" && known_user)) tell(event, kSubscribedEach);
  }
  void bridge(const ToldEvent& event) { tell(event, kSubscribedEach); }
  // The server stops: what is known goes now, as far as one command takes it.
  void flush();

  // False: it is not its own.
  bool on_timer(net::SessionTimerId timer);
  bool on_reply(RequestId request, const Reply& reply);
  size_t rows() const { return rows_.size(); }

 private:
  // Kinds have their own seconds: a denial is told also behind many subscriptions.
  using Key = std::tuple<ToldKind, std::string, std::string>;
  struct Row {
    uint32_t told = 0;    // in its second
    uint32_t others = 0;  // and not
    // The last of those.
    DeniedReason reason = DeniedReason::none;
    uint8_t qos = 0;
    int64_t utc_ms = 0;
    std::string address{};
    std::string subject{};
  };

  void tell(const ToldEvent& event, uint32_t each);
  void put(const ToldEvent& event);
  void end_windows();
  void arm();
  bool send();

  const MqttOptions& options_;
  MqttCounters& counters_;
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;  // 0: not armed
  std::map<Key, Row> rows_;
  std::deque<std::pair<int64_t, Key>> windows_;  // when a row's second ends, in that order
  std::deque<std::string> waiting_;              // events, as they are in a command
  size_t bytes_ = 0;                             // of them
  RequestId last_request_ = kRequests;
};

}  // namespace heptane::iot::mqtt
