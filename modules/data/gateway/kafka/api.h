// What is served: API keys with their version ranges, and the error codes that are answered. The README's tables are
// compared with these by a test. Facts from kafka.apache.org/protocol; pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace heptane::data::kafka {

enum class ApiKey : int16_t {
  produce = 0,
  fetch = 1,
  list_offsets = 2,
  metadata = 3,
  api_versions = 18,
  init_producer_id = 22,
};

struct Api {
  ApiKey key;
  std::string_view name;
  int16_t advertised_min;
  int16_t advertised_max;
  int16_t readable_min;  // older than advertised, yet understood well enough to be refused in its own format
  int16_t first_flexible;
};

// Minima stay low: librdkafka and kafka-python look for exact old versions in the ranges before they use a feature.
inline constexpr std::array kApis = {
    Api{ApiKey::produce, "Produce", 0, 7, 0, 9},          Api{ApiKey::fetch, "Fetch", 4, 11, 0, 12},
    Api{ApiKey::list_offsets, "ListOffsets", 0, 5, 0, 6}, Api{ApiKey::metadata, "Metadata", 0, 8, 0, 9},
    Api{ApiKey::api_versions, "ApiVersions", 0, 3, 0, 3}, Api{ApiKey::init_producer_id, "InitProducerId", 0, 4, 0, 2},
};

constexpr const Api* find_api(int16_t key) {
  for (const Api& api : kApis)
    if (static_cast<int16_t>(api.key) == key) return &api;
  return nullptr;
}

enum class ErrorCode : int16_t {
  unknown_server_error = -1,
  none = 0,
  offset_out_of_range = 1,
  corrupt_message = 2,
  unknown_topic_or_partition = 3,
  leader_not_available = 5,
  request_timed_out = 7,
  message_too_large = 10,
  coordinator_load_in_progress = 14,
  invalid_topic = 17,
  not_enough_replicas = 19,
  invalid_required_acks = 21,
  unsupported_version = 35,
  unsupported_for_message_format = 43,
  out_of_order_sequence = 45,
  duplicate_sequence = 46,
  invalid_producer_epoch = 47,
  transactional_id_authorization_failed = 53,
  kafka_storage_error = 56,
  unknown_producer_id = 59,
  fetch_session_id_not_found = 70,
  fenced_leader_epoch = 74,
  unknown_leader_epoch = 75,
  unsupported_compression_type = 76,
  invalid_record = 87,
  producer_fenced = 90,
};

constexpr int16_t wire(ErrorCode code) { return static_cast<int16_t>(code); }

}  // namespace heptane::data::kafka
