// When clients connected and went, and when they were last heard, for operators. In memory: the last kEventsMax of each of the last
// kClientsMax clients that went; who came for the first time and is there costs nothing. The machine is told when clients were last here (machine/seen.h), of those whose connections
// `mqtt.presence` tells: once each kEachNs, in up to kCommandsEach commands of kSeenMax, kNextNs apart; those that came or went
// first, then, in turn, those that are connected and were heard since. Nothing waits for it; what a crash finds untold is older.
// Bounds: kUntoldMax clients that came or went and wait. The I/O thread's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/client_facts.h"
#include "modules/iot/gateway/mqtt/options.h"

namespace heptane::iot::mqtt {

class Broker;

class History {
 public:
  static constexpr int64_t kEachNs = 60'000'000'000;
  static constexpr int64_t kNextNs = 1'000'000'000;
  static constexpr size_t kCommandsEach = 16;
  static constexpr size_t kClientsMax = 10'000;
  static constexpr size_t kEventsMax = 10;
  static constexpr size_t kUntoldMax = 10'000;
  static constexpr RequestId kRequests = 1ULL << 44;  // its own are from here on

  struct Event {
    int64_t utc_ms = 0;
    bool connected = false;
    std::string address;
    const char* why = "";  // it went; a literal
  };
  struct Client {
    std::string user;
    int64_t seen_ms = 0;
    std::vector<Event> events;  // the oldest first
    uint64_t place = 0;         // in the order of their last events
  };

  History(const MqttOptions& options, Broker& broker) : options_(options), broker_(broker) {}

  void attach(net::SessionContext& context) { context_ = &context; }
  void detach() { context_ = nullptr; }

  void connected(const ClientFacts& facts);
  void disconnected(const ClientFacts& facts, const char* why);
  // One that was away before; null: nothing is known of it.
  const Client* find(std::string_view client) const;
  // One that is connected.
  Client look(const ClientFacts& facts) const;
  size_t size() const { return clients_.size(); }
  // The server stops: what is known goes now.
  void flush();

  // False: it is not its own.
  bool on_timer(net::SessionTimerId timer);
  bool on_reply(RequestId request) const { return request >= kRequests && request < 2 * kRequests; }

 private:
  struct Untold {
    int64_t utc_ms = 0;
    std::string user;
  };

  static Event coming(const ClientFacts& facts);
  static void add(Client& client, Event event);
  bool tells(const ClientFacts& facts) const;
  void tell_later(int64_t seen_ms, std::string_view client, std::string_view user);
  bool send();
  uint16_t add_connected(ByteWriter& list, uint16_t count, std::string& last);

  const MqttOptions& options_;
  Broker& broker_;
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;  // 0: not armed
  using Clients = std::map<std::string, Client, std::less<>>;
  Clients clients_;
  std::map<uint64_t, Clients::iterator> order_;
  uint64_t last_place_ = 0;
  std::map<std::string, Untold> untold_;
  size_t commands_ = 0;    // of this minute
  std::string after_;      // of those that are connected the last one that was looked at; empty: a round begins
  int64_t round_ms_ = 0;   // when it began
  int64_t before_ms_ = 0;  // and the one before; who was not heard since is not told of
  RequestId last_request_ = kRequests;
};

}  // namespace heptane::iot::mqtt
