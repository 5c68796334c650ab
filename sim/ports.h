// The ports of the simulated server that its clients connect to: the defaults of its listeners.
#pragma once

#include <cstdint>

namespace heptane::sim {

constexpr uint16_t kKafkaPort = 9092;
constexpr uint16_t kTigerbeetlePort = 3001;
constexpr uint16_t kMqttPort = 1883;
constexpr uint16_t kAdminPort = 7070;
constexpr uint16_t kSeriesPort = 8086;
constexpr uint16_t kFixPort = 9880;

}  // namespace heptane::sim
