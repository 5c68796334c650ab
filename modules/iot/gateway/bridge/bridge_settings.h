// `[[bridge]]` of the configuration: bridges to other MQTT brokers and what they carry. A table with `address` begins a bridge; each table
// of its name with a `filter` (it may be the same one) adds a mapping. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/domain/bridge/conversation.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot::bridge {

constexpr size_t kBridgesMax = 64;
constexpr size_t kMappingsMax = 64;  // of one
// What waits is bounded by bytes and age. The queue's references are memory of the machine, 16 bytes each, and so have a bound as well.
constexpr uint32_t kQueueDefault = 1'000'000;

struct WantedBridge {
  Terms terms;
  std::string host;
  uint16_t port = 0;
  bool tls = false;
  std::string ca_file;    // empty: the system's
  std::string cert_file;  // shown to the remote; empty: none
  std::string key_file;
  std::string server_name;  // of the remote's certificate; empty: the host
  std::string password_file;
  int64_t max_bytes = int64_t{1} << 30;              // of each out filter, that wait for the remote
  int64_t max_age_ms = int64_t{7} * 24 * 3'600'000;  // likewise
  uint32_t max_messages = 0;                         // of all out filters; 0: kQueueDefault, less where many share
  uint32_t queue_max = kCaptureLimit;                // what follows from these; no difference between two
  friend bool operator==(const WantedBridge& one, const WantedBridge& other);
};

// Each: its lines `key=value` (config::Type::tables).
std::string wrong_bridge_table(const std::string& table);
std::string wrong_bridge_tables(const std::vector<std::string>& tables);
// Those that are right, by their first tables.
std::vector<WantedBridge> bridges_of_tables(const std::vector<std::string>& tables);

// The streams that keep what waits: `bridge.NAME.N` over the Nth out filter (from 1), at QoS 0, too. None of a mapping at QoS 0.
std::vector<StreamDeclaration> streams_of_bridges(const std::vector<WantedBridge>& bridges);

}  // namespace heptane::iot::bridge
