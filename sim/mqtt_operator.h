// Who declares, changes and drops streams over topic filters while the simulation runs, and appends to one that publishes: a client
// of the HTTP API, written from its documentation. It asks one thing at a time, again until it is answered; what it appends has
// an idempotency key, so that each is published once. One owner.
#pragma once

#include <string>

#include "sim/http_client.h"
#include "sim/mqtt_watch.h"

namespace heptane::sim {

class SimMqttOperator final : public SimHttpClient {
 public:
  SimMqttOperator(ClientWorld& world, MqttWatch& watch, uint16_t port);

 private:
  void compose() override;
  bool on_response(int status, std::string_view body) override;
  void declare(const std::string& name, const std::string& filter, uint32_t partitions, bool publish);
  void append();

  MqttWatch& watch_;
  const uint32_t number_;  // as that of a publisher, whose messages are appended
  const uint32_t partitions_;
  uint32_t step_ = 0;
  uint32_t next_ = 1;  // to append
};

}  // namespace heptane::sim
