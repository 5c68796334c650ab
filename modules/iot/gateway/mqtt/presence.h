// What the stream `iot.presence` is told (machine/presence.h): connections that begin and end, collected for kEachNs or until there
// are enough for a command. Nothing waits for it; what finds no room, kBytesMax of it waiting, is dropped and counted. After a
// start comes `started`, because nobody said that the connections before it ended.
//
// Of clients that nobody asked who they are the registry is asked whether such a thing is registered, where there are any: what is
// told of them waits for its answer, which comes in order. The I/O thread's.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "kernel/auth/sasl.h"
#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/client_facts.h"
#include "modules/iot/gateway/mqtt/options.h"

namespace heptane::iot::mqtt {

class Presence {
 public:
  static constexpr int64_t kEachNs = 500'000'000;
  static constexpr size_t kBytesMax = size_t{4} << 20;
  static constexpr RequestId kRequests = 1ULL << 42;  // its own are from here on

  Presence(const MqttOptions& options, MqttCounters& counters) : options_(options), counters_(counters) {}

  // How many things there are; absent: none.
  void set_count(std::function<uint64_t()> things) { things_ = std::move(things); }
  void attach(net::SessionContext& context);
  void detach() { context_ = nullptr; }

  void connected(const ClientFacts& facts);
  void disconnected(const ClientFacts& facts, std::string_view why);
  // The server stops: what is known goes now.
  void flush();

  // False: it is not its own.
  bool on_timer(net::SessionTimerId timer);
  bool on_reply(RequestId request, const Reply& reply);

 private:
  struct Batch {
    ByteWriter bytes;
    uint16_t count = 0;
  };

  void tell(const ClientFacts& facts, std::string_view why, bool connected);
  Buffer entry_of(const ClientFacts& facts, std::string_view why, bool connected) const;
  void ask(std::string_view thing, Buffer entry);
  void add(Bytes entry);
  Batch& room();
  void put(Batch& batch, Bytes entry);
  void send();

  const MqttOptions& options_;
  MqttCounters& counters_;
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;  // 0: not armed
  std::deque<Batch> batches_;
  std::map<RequestId, Buffer> asked_;  // entries of those that may be things
  size_t bytes_ = 0;                   // of both
  std::function<uint64_t()> things_;
  bool told_start_ = false;
  RequestId last_request_ = kRequests;
};

}  // namespace heptane::iot::mqtt
