// What the registry is told of connections of things (machine/devices/device_api.h): collected for kEachNs or until there are enough
// for a command. First of all that a run of the server began: until the log has it nothing else is told, because by it all who were
// connected are not. What is refused for now is told again after kAgainNs. Nothing waits for it; what finds no room, kBytesMax of it
// waiting, and what is refused for good is dropped and counted. Where no thing is registered nothing is told. The I/O thread's.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "kernel/net/session.h"

namespace heptane::iot::mqtt {

class Broker;

class ThingPresence {
 public:
  static constexpr int64_t kEachNs = 500'000'000;
  static constexpr int64_t kAgainNs = 5'000'000'000;
  static constexpr size_t kBytesMax = size_t{4} << 20;
  static constexpr RequestId kRequests = 1ULL << 45;  // its own are from here to twice of it

  explicit ThingPresence(Broker& broker) : broker_(broker) {}

  // How many things there are; absent: none.
  void set_count(std::function<uint64_t()> things) { things_ = std::move(things); }
  void attach(net::SessionContext& context);
  void detach();

  // Of a connection whose CONNECT was accepted, above those of all before it.
  uint64_t next_number() { return ++last_number_; }
  // `connection`: its number.
  void tell(std::string_view thing, uint64_t connection, bool connected);
  // Who is connected, but is not the thing that his client identifier names: as it is told, for created().
  void note_user(std::string_view thing, uint64_t connection, bool connected);
  // Things were registered (kCreateThings and its answer): those whose devices are connected already are told as connected.
  void created(const Buffer& payload, const Reply& reply);
  // The server stops: what is known goes now.
  void flush();

  // False: it is not its own.
  bool on_timer(net::SessionTimerId timer);
  bool on_reply(RequestId request, const Reply& reply);

 private:
  enum class Start : uint8_t { untold, asked, told };
  struct Batch {
    ByteWriter bytes;
    uint16_t count = 0;
  };

  bool any() const { return things_ && things_() > 0; }
  bool submit(uint16_t type, Buffer payload);
  void send();
  bool send_start();
  void take_reply(Batch batch, const Reply& reply);
  void wake_after(int64_t delay_ns);

  uint64_t connection_of(std::string_view thing) const;

  Broker& broker_;
  std::function<uint64_t()> things_;
  net::SessionContext* context_ = nullptr;
  Start start_ = Start::untold;
  RequestId start_request_ = 0;
  std::deque<Batch> batches_;
  std::map<RequestId, Batch> under_way_;
  size_t bytes_ = 0;  // of both
  RequestId last_request_ = kRequests;
  uint64_t last_number_ = 0;
  std::map<std::string, uint64_t, std::less<>> by_user_;  // the newest connection of each
  net::SessionTimerId timer_ = 0;                         // 0: not armed
};

}  // namespace heptane::iot::mqtt
