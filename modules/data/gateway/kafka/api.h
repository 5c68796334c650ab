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
  offset_commit = 8,
  offset_fetch = 9,
  find_coordinator = 10,
  join_group = 11,
  heartbeat = 12,
  leave_group = 13,
  sync_group = 14,
  describe_groups = 15,
  list_groups = 16,
  sasl_handshake = 17,
  api_versions = 18,
  create_topics = 19,
  delete_topics = 20,
  delete_records = 21,
  init_producer_id = 22,
  offset_for_leader_epoch = 23,
  describe_configs = 32,
  alter_configs = 33,
  sasl_authenticate = 36,
  delete_groups = 42,
  incremental_alter_configs = 44,
};

constexpr int32_t kNodeId = 1;  // of the one broker

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
    Api{ApiKey::produce, "Produce", 0, 7, 0, 9},
    Api{ApiKey::fetch, "Fetch", 4, 11, 0, 12},
    Api{ApiKey::list_offsets, "ListOffsets", 0, 5, 0, 6},
    Api{ApiKey::metadata, "Metadata", 0, 8, 0, 9},
    Api{ApiKey::offset_commit, "OffsetCommit", 0, 8, 0, 8},
    Api{ApiKey::offset_fetch, "OffsetFetch", 0, 7, 0, 6},
    Api{ApiKey::find_coordinator, "FindCoordinator", 0, 3, 0, 3},
    Api{ApiKey::join_group, "JoinGroup", 0, 6, 0, 6},
    Api{ApiKey::heartbeat, "Heartbeat", 0, 4, 0, 4},
    Api{ApiKey::leave_group, "LeaveGroup", 0, 4, 0, 4},
    Api{ApiKey::sync_group, "SyncGroup", 0, 4, 0, 4},
    Api{ApiKey::describe_groups, "DescribeGroups", 0, 5, 0, 5},
    Api{ApiKey::list_groups, "ListGroups", 0, 4, 0, 3},
    Api{ApiKey::sasl_handshake, "SaslHandshake", 0, 1, 0, 2},
    Api{ApiKey::api_versions, "ApiVersions", 0, 3, 0, 3},
    Api{ApiKey::create_topics, "CreateTopics", 0, 6, 0, 5},
    Api{ApiKey::delete_topics, "DeleteTopics", 0, 5, 0, 4},
    Api{ApiKey::delete_records, "DeleteRecords", 0, 2, 0, 2},
    Api{ApiKey::init_producer_id, "InitProducerId", 0, 4, 0, 2},
    Api{ApiKey::offset_for_leader_epoch, "OffsetForLeaderEpoch", 0, 4, 0, 4},
    Api{ApiKey::describe_configs, "DescribeConfigs", 0, 4, 0, 4},
    Api{ApiKey::alter_configs, "AlterConfigs", 0, 2, 0, 2},
    Api{ApiKey::sasl_authenticate, "SaslAuthenticate", 0, 2, 0, 2},
    Api{ApiKey::delete_groups, "DeleteGroups", 0, 2, 0, 2},
    Api{ApiKey::incremental_alter_configs, "IncrementalAlterConfigs", 0, 1, 0, 1},
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
  offset_metadata_too_large = 12,
  coordinator_load_in_progress = 14,
  invalid_topic = 17,
  not_enough_replicas = 19,
  invalid_required_acks = 21,
  illegal_generation = 22,
  invalid_group_id = 24,
  unknown_member_id = 25,
  topic_authorization_failed = 29,
  group_authorization_failed = 30,
  cluster_authorization_failed = 31,
  unsupported_sasl_mechanism = 33,
  illegal_sasl_state = 34,
  unsupported_version = 35,
  topic_already_exists = 36,
  invalid_partitions = 37,
  invalid_replication_factor = 38,
  invalid_replica_assignment = 39,
  invalid_config = 40,
  invalid_request = 42,
  unsupported_for_message_format = 43,
  policy_violation = 44,
  out_of_order_sequence = 45,
  duplicate_sequence = 46,
  invalid_producer_epoch = 47,
  transactional_id_authorization_failed = 53,
  kafka_storage_error = 56,
  sasl_authentication_failed = 58,
  unknown_producer_id = 59,
  group_id_not_found = 69,
  fetch_session_id_not_found = 70,
  fenced_leader_epoch = 74,
  unknown_leader_epoch = 75,
  unsupported_compression_type = 76,
  invalid_record = 87,
  producer_fenced = 90,
};

constexpr int16_t wire(ErrorCode code) { return static_cast<int16_t>(code); }

}  // namespace heptane::data::kafka
