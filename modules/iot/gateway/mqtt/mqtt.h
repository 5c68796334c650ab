// MQTT on one listener, and the broker behind it with its own way to the shard: a session without a peer, which submits what
// is published and hears of it when it is synced, whatever has become of the publisher. The I/O thread's.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt {

class MqttProtocol final : public net::Protocol {
 public:
  explicit MqttProtocol(Broker& broker) : broker_(broker) {}
  std::string_view name() const override { return "mqtt"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return static_cast<size_t>(broker_.options().maximum_packet_size); }
  // `mqtt` is registered (IANA), the other one is what AWS IoT's SDKs ask for.
  std::span<const std::string_view> alpn() const override { return kAlpn; }

 private:
  static constexpr std::string_view kAlpn[] = {"mqtt", "x-amzn-mqtt-ca"};
  Broker& broker_;
};

// The broker's own session.
class ResidentProtocol final : public net::Protocol {
 public:
  explicit ResidentProtocol(Broker& broker) : broker_(broker) {}
  std::string_view name() const override { return "mqtt-broker"; }
  std::unique_ptr<net::Session> open(const net::Address& remote) override;
  size_t message_limit_bytes() const override { return 1; }

 private:
  Broker& broker_;
};

}  // namespace heptane::iot::mqtt
