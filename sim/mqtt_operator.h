// Who declares, changes and drops streams over topic filters while the simulation runs, and appends to one that publishes: a client
// of the HTTP API, written from its documentation. It asks one thing at a time, again until it is answered; what it appends has
// an idempotency key, so that each is published once. One owner.
#pragma once

#include <string>

#include "sim/kafka_client.h"
#include "sim/mqtt_watch.h"

namespace heptane::sim {

class SimMqttOperator final : public SimClient {
 public:
  SimMqttOperator(ClientWorld& world, MqttWatch& watch, uint16_t port);
  // As number of a publisher, whose messages are appended.
  bool finished() const override { return request_.empty() || world_.checker.lost_tail_allowed(); }
  std::string state() const override { return "mqtt-operator (" + request_.substr(0, request_.find('\r')) + ")"; }

 private:
  uint16_t port() const override { return port_; }
  void on_connected() override { asked_ = false; }
  bool on_answer(int16_t, ByteReader&) override { return false; }
  bool take_frames() override;
  void go_on() override;
  void compose();
  void declare(const std::string& name, const std::string& filter, uint32_t partitions, bool publish);
  void append();
  void make_request(const std::string& method, const std::string& path, const std::string& body,
                    const std::string& more = {});
  bool take_answer(int status);

  MqttWatch& watch_;
  const uint16_t port_;
  const uint32_t number_;
  const uint32_t partitions_;
  std::string request_;  // not answered yet; empty: none
  bool asked_ = false;   // over this connection
  int64_t again_ns_ = 0;
  uint32_t step_ = 0;
  uint32_t next_ = 1;       // to append
  bool appending_ = false;  // that is the request
};

}  // namespace heptane::sim
