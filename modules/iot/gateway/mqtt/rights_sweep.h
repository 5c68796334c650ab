// Clients that do nothing hear of it, too, when users, tokens or roles change: once a second their generation is compared, and where
// it is another one every client is looked at, kAtOnce a turn. Whoever does not count any more is told and closed, who lost a right
// loses the subscriptions that need it. What a client sends or is given meanwhile is judged by itself (MqttSession::in_force).
// A change while clients are being looked at is noticed behind that. The I/O thread's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernel/net/session.h"

namespace heptane::iot::mqtt {

class Broker;

class RightsSweep {
 public:
  static constexpr size_t kAtOnce = 1'000;
  static constexpr int64_t kEachNs = 1'000'000'000;

  explicit RightsSweep(Broker& broker) : broker_(broker) {}

  void attach(net::SessionContext& context) { context_ = &context; }
  void detach() {
    context_ = nullptr;
    timer_ = 0;
    looking_ = false;
    after_.clear();
  }
  // There is a client.
  void watch();
  // False: it is not its own.
  bool on_timer(net::SessionTimerId timer);

 private:
  void look();
  bool look_at_some();

  Broker& broker_;
  net::SessionContext* context_ = nullptr;
  net::SessionTimerId timer_ = 0;  // 0: not armed
  uint64_t generation_ = 0;        // at which all clients were looked at, or are being
  bool looking_ = false;
  std::string after_{};  // the client that was the last one
};

}  // namespace heptane::iot::mqtt
