// MQTT clients over TLS that stay connected and do nothing. Believes any certificate. One thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bench/mqtt_wire.h"

namespace heptane::bench {

// A key and a certificate of its own for localhost, made for one run: DIRECTORY/tls.key and tls.crt.
void make_tls_files(const std::string& directory);

class MqttTlsClients {
 public:
  MqttTlsClients();
  ~MqttTlsClients();  // closes them
  MqttTlsClients(const MqttTlsClients&) = delete;
  MqttTlsClients& operator=(const MqttTlsClients&) = delete;

  // Returns when the broker has said yes to both; ends the bench when it says no.
  void connect(uint16_t port, const MqttLogin& login, const std::string& filter);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace heptane::bench
