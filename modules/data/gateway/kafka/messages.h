// The messages of the served APIs, described once each (see codec.h): struct members are the wire's fields, `table()` says
// which versions have them. Facts from kafka.apache.org/protocol. Plain data; views point into the request's frame.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "modules/data/gateway/kafka/codec.h"

namespace heptane::data::kafka {

constexpr int32_t kOperationsNotAsked = std::numeric_limits<int32_t>::min();

struct ApiVersionsRequest {
  std::string_view client_software_name;
  std::string_view client_software_version;
  static constexpr auto table() {
    using T = ApiVersionsRequest;
    return std::make_tuple(field("client_software_name", &T::client_software_name, since(3)),
                           field("client_software_version", &T::client_software_version, since(3)));
  }
};

struct ApiVersionsResponse {
  struct Key {
    int16_t api_key = 0;
    int16_t min_version = 0;
    int16_t max_version = 0;
    static constexpr auto table() {
      return std::make_tuple(field("api_key", &Key::api_key), field("min_version", &Key::min_version),
                             field("max_version", &Key::max_version));
    }
  };
  int16_t error_code = 0;
  std::vector<Key> api_keys;
  int32_t throttle_time_ms = 0;
  static constexpr auto table() {
    using T = ApiVersionsResponse;
    return std::make_tuple(field("error_code", &T::error_code), field("api_keys", &T::api_keys),
                           field("throttle_time_ms", &T::throttle_time_ms, since(1)));
  }
};

struct MetadataRequest {
  struct Topic {
    std::string_view name;
    static constexpr auto table() { return std::make_tuple(field("name", &Topic::name)); }
  };
  std::optional<std::vector<Topic>> topics;  // null (before version 1: empty) = all
  bool allow_auto_topic_creation = true;
  bool include_cluster_authorized_operations = false;
  bool include_topic_authorized_operations = false;
  static constexpr auto table() {
    using T = MetadataRequest;
    return std::make_tuple(
        field("topics", &T::topics, kAllVersions, since(1)),
        field("allow_auto_topic_creation", &T::allow_auto_topic_creation, since(4)),
        field("include_cluster_authorized_operations", &T::include_cluster_authorized_operations, between(8, 10)),
        field("include_topic_authorized_operations", &T::include_topic_authorized_operations, since(8)));
  }
};

struct MetadataResponse {
  struct Broker {
    int32_t node_id = 0;
    std::string_view host;
    int32_t port = 0;
    std::optional<std::string_view> rack;
    static constexpr auto table() {
      return std::make_tuple(field("node_id", &Broker::node_id), field("host", &Broker::host),
                             field("port", &Broker::port), field("rack", &Broker::rack, since(1), since(1)));
    }
  };
  struct Partition {
    int16_t error_code = 0;
    int32_t partition_index = 0;
    int32_t leader_id = 0;
    int32_t leader_epoch = -1;
    std::vector<int32_t> replica_nodes;
    std::vector<int32_t> isr_nodes;
    std::vector<int32_t> offline_replicas;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(field("error_code", &T::error_code), field("partition_index", &T::partition_index),
                             field("leader_id", &T::leader_id), field("leader_epoch", &T::leader_epoch, since(7)),
                             field("replica_nodes", &T::replica_nodes), field("isr_nodes", &T::isr_nodes),
                             field("offline_replicas", &T::offline_replicas, since(5)));
    }
  };
  struct Topic {
    int16_t error_code = 0;
    std::string_view name;
    bool is_internal = false;
    std::vector<Partition> partitions;
    int32_t topic_authorized_operations = kOperationsNotAsked;
    static constexpr auto table() {
      using T = Topic;
      return std::make_tuple(field("error_code", &T::error_code), field("name", &T::name),
                             field("is_internal", &T::is_internal, since(1)), field("partitions", &T::partitions),
                             field("topic_authorized_operations", &T::topic_authorized_operations, since(8)));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Broker> brokers;
  std::optional<std::string_view> cluster_id;
  int32_t controller_id = -1;
  std::vector<Topic> topics;
  int32_t cluster_authorized_operations = kOperationsNotAsked;
  static constexpr auto table() {
    using T = MetadataResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(3)), field("brokers", &T::brokers),
                           field("cluster_id", &T::cluster_id, since(2), since(2)),
                           field("controller_id", &T::controller_id, since(1)), field("topics", &T::topics),
                           field("cluster_authorized_operations", &T::cluster_authorized_operations, between(8, 10)));
  }
};

struct ProduceRequest {
  struct Partition {
    int32_t index = 0;
    Records records;
    static constexpr auto table() {
      return std::make_tuple(field("index", &Partition::index), field("records", &Partition::records));
    }
  };
  struct Topic {
    std::string_view name;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("partitions", &Topic::partitions));
    }
  };
  std::optional<std::string_view> transactional_id;
  int16_t acks = 0;
  int32_t timeout_ms = 0;
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = ProduceRequest;
    return std::make_tuple(field("transactional_id", &T::transactional_id, since(3), since(3)), field("acks", &T::acks),
                           field("timeout_ms", &T::timeout_ms), field("topics", &T::topics));
  }
};

struct ProduceResponse {
  struct Partition {
    int32_t index = 0;
    int16_t error_code = 0;
    int64_t base_offset = -1;
    int64_t log_append_time_ms = -1;
    int64_t log_start_offset = -1;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(field("index", &T::index), field("error_code", &T::error_code),
                             field("base_offset", &T::base_offset),
                             field("log_append_time_ms", &T::log_append_time_ms, since(2)),
                             field("log_start_offset", &T::log_start_offset, since(5)));
    }
  };
  struct Topic {
    std::string_view name;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("partitions", &Topic::partitions));
    }
  };
  std::vector<Topic> topics;
  int32_t throttle_time_ms = 0;
  static constexpr auto table() {
    using T = ProduceResponse;
    return std::make_tuple(field("topics", &T::topics), field("throttle_time_ms", &T::throttle_time_ms, since(1)));
  }
};

struct FetchRequest {
  struct Partition {
    int32_t partition = 0;
    int32_t current_leader_epoch = -1;
    int64_t fetch_offset = 0;
    int64_t log_start_offset = -1;
    int32_t partition_max_bytes = 0;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(
          field("partition", &T::partition), field("current_leader_epoch", &T::current_leader_epoch, since(9)),
          field("fetch_offset", &T::fetch_offset), field("log_start_offset", &T::log_start_offset, since(5)),
          field("partition_max_bytes", &T::partition_max_bytes));
    }
  };
  struct Topic {
    std::string_view topic;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("topic", &Topic::topic), field("partitions", &Topic::partitions));
    }
  };
  struct ForgottenTopic {
    std::string_view topic;
    std::vector<int32_t> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("topic", &ForgottenTopic::topic), field("partitions", &ForgottenTopic::partitions));
    }
  };
  int32_t replica_id = -1;
  int32_t max_wait_ms = 0;
  int32_t min_bytes = 0;
  int32_t max_bytes = std::numeric_limits<int32_t>::max();
  int8_t isolation_level = 0;
  int32_t session_id = 0;
  int32_t session_epoch = -1;
  std::vector<Topic> topics;
  std::vector<ForgottenTopic> forgotten_topics;
  std::string_view rack_id;
  static constexpr auto table() {
    using T = FetchRequest;
    return std::make_tuple(
        field("replica_id", &T::replica_id), field("max_wait_ms", &T::max_wait_ms), field("min_bytes", &T::min_bytes),
        field("max_bytes", &T::max_bytes, since(3)), field("isolation_level", &T::isolation_level, since(4)),
        field("session_id", &T::session_id, since(7)), field("session_epoch", &T::session_epoch, since(7)),
        field("topics", &T::topics), field("forgotten_topics", &T::forgotten_topics, since(7)),
        field("rack_id", &T::rack_id, since(11)));
  }
};

struct FetchResponse {
  struct AbortedTransaction {
    int64_t producer_id = 0;
    int64_t first_offset = 0;
    static constexpr auto table() {
      return std::make_tuple(field("producer_id", &AbortedTransaction::producer_id),
                             field("first_offset", &AbortedTransaction::first_offset));
    }
  };
  struct Partition {
    int32_t partition = 0;
    int16_t error_code = 0;
    int64_t high_watermark = -1;
    int64_t last_stable_offset = -1;
    int64_t log_start_offset = -1;
    std::optional<std::vector<AbortedTransaction>> aborted_transactions;
    int32_t preferred_read_replica = -1;
    Records records;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(
          field("partition", &T::partition), field("error_code", &T::error_code),
          field("high_watermark", &T::high_watermark), field("last_stable_offset", &T::last_stable_offset, since(4)),
          field("log_start_offset", &T::log_start_offset, since(5)),
          field("aborted_transactions", &T::aborted_transactions, since(4), since(4)),
          field("preferred_read_replica", &T::preferred_read_replica, since(11)), field("records", &T::records));
    }
  };
  struct Topic {
    std::string_view topic;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("topic", &Topic::topic), field("partitions", &Topic::partitions));
    }
  };
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  int32_t session_id = 0;
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = FetchResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)),
                           field("error_code", &T::error_code, since(7)), field("session_id", &T::session_id, since(7)),
                           field("topics", &T::topics));
  }
};

struct ListOffsetsRequest {
  struct Partition {
    int32_t partition = 0;
    int32_t current_leader_epoch = -1;
    int64_t timestamp = 0;
    int32_t max_num_offsets = 1;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(
          field("partition", &T::partition), field("current_leader_epoch", &T::current_leader_epoch, since(4)),
          field("timestamp", &T::timestamp), field("max_num_offsets", &T::max_num_offsets, between(0, 0)));
    }
  };
  struct Topic {
    std::string_view name;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("partitions", &Topic::partitions));
    }
  };
  int32_t replica_id = -1;
  int8_t isolation_level = 0;
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = ListOffsetsRequest;
    return std::make_tuple(field("replica_id", &T::replica_id), field("isolation_level", &T::isolation_level, since(2)),
                           field("topics", &T::topics));
  }
};

struct ListOffsetsResponse {
  struct Partition {
    int32_t partition = 0;
    int16_t error_code = 0;
    std::vector<int64_t> old_style_offsets;
    int64_t timestamp = -1;
    int64_t offset = -1;
    int32_t leader_epoch = -1;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(field("partition", &T::partition), field("error_code", &T::error_code),
                             field("old_style_offsets", &T::old_style_offsets, between(0, 0)),
                             field("timestamp", &T::timestamp, since(1)), field("offset", &T::offset, since(1)),
                             field("leader_epoch", &T::leader_epoch, since(4)));
    }
  };
  struct Topic {
    std::string_view name;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("partitions", &Topic::partitions));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = ListOffsetsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(2)), field("topics", &T::topics));
  }
};

struct InitProducerIdRequest {
  std::optional<std::string_view> transactional_id;
  int32_t transaction_timeout_ms = 0;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  static constexpr auto table() {
    using T = InitProducerIdRequest;
    return std::make_tuple(field("transactional_id", &T::transactional_id, kAllVersions, kAllVersions),
                           field("transaction_timeout_ms", &T::transaction_timeout_ms),
                           field("producer_id", &T::producer_id, since(3)),
                           field("producer_epoch", &T::producer_epoch, since(3)));
  }
};

struct InitProducerIdResponse {
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  static constexpr auto table() {
    using T = InitProducerIdResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms), field("error_code", &T::error_code),
                           field("producer_id", &T::producer_id), field("producer_epoch", &T::producer_epoch));
  }
};

}  // namespace heptane::data::kafka
