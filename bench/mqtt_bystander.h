// A client beside the load that sends one message at a time, a millisecond apart, and sees how long its answer takes: at QoS 0 the
// message itself, at QoS 1 its PUBACK. A thread of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "bench/mqtt_wire.h"

namespace heptane::bench {

class Bystander {
 public:
  Bystander(uint16_t port, MqttLogin login, uint8_t qos);
  ~Bystander();
  Bystander(const Bystander&) = delete;
  Bystander& operator=(const Bystander&) = delete;

  double stop_p99_us();

 private:
  void run();

  const uint8_t qos_;
  int fd_ = -1;
  std::atomic<bool> ended_{false};
  std::thread thread_;
  std::vector<double> latencies_us_;
};

}  // namespace heptane::bench
