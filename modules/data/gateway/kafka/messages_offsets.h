// The messages of consumers' offsets and of leader epochs. As in messages.h.
#pragma once

#include "modules/data/gateway/kafka/codec.h"

namespace heptane::data::kafka {

struct FindCoordinatorRequest {
  std::string_view key;
  int8_t key_type = 0;  // 0 = group, 1 = transaction
  static constexpr auto table() {
    using T = FindCoordinatorRequest;
    return std::make_tuple(field("key", &T::key), field("key_type", &T::key_type, since(1)));
  }
};

struct FindCoordinatorResponse {
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  std::optional<std::string_view> error_message;
  int32_t node_id = -1;
  std::string_view host;
  int32_t port = -1;
  static constexpr auto table() {
    using T = FindCoordinatorResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)),
                           field("error_code", &T::error_code),
                           field("error_message", &T::error_message, since(1), since(1)), field("node_id", &T::node_id),
                           field("host", &T::host), field("port", &T::port));
  }
};

struct OffsetCommitRequest {
  struct Partition {
    int32_t partition_index = 0;
    int64_t committed_offset = 0;
    int32_t committed_leader_epoch = -1;
    int64_t commit_timestamp = -1;
    std::optional<std::string_view> committed_metadata;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(field("partition_index", &T::partition_index),
                             field("committed_offset", &T::committed_offset),
                             field("committed_leader_epoch", &T::committed_leader_epoch, since(6)),
                             field("commit_timestamp", &T::commit_timestamp, between(1, 1)),
                             field("committed_metadata", &T::committed_metadata, kAllVersions, kAllVersions));
    }
  };
  struct Topic {
    std::string_view name;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("partitions", &Topic::partitions));
    }
  };
  std::string_view group_id;
  int32_t generation_id = -1;
  std::string_view member_id;
  std::optional<std::string_view> group_instance_id;
  int64_t retention_time_ms = -1;
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = OffsetCommitRequest;
    return std::make_tuple(field("group_id", &T::group_id), field("generation_id", &T::generation_id, since(1)),
                           field("member_id", &T::member_id, since(1)),
                           field("group_instance_id", &T::group_instance_id, since(7), since(7)),
                           field("retention_time_ms", &T::retention_time_ms, between(2, 4)),
                           field("topics", &T::topics));
  }
};

struct OffsetCommitResponse {
  struct Partition {
    int32_t partition_index = 0;
    int16_t error_code = 0;
    static constexpr auto table() {
      return std::make_tuple(field("partition_index", &Partition::partition_index),
                             field("error_code", &Partition::error_code));
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
    using T = OffsetCommitResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(3)), field("topics", &T::topics));
  }
};

struct OffsetFetchRequest {
  struct Topic {
    std::string_view name;
    std::vector<int32_t> partition_indexes;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("partition_indexes", &Topic::partition_indexes));
    }
  };
  std::string_view group_id;
  std::optional<std::vector<Topic>> topics;  // null = all
  bool require_stable = false;
  static constexpr auto table() {
    using T = OffsetFetchRequest;
    return std::make_tuple(field("group_id", &T::group_id), field("topics", &T::topics, kAllVersions, since(2)),
                           field("require_stable", &T::require_stable, since(7)));
  }
};

struct OffsetFetchResponse {
  struct Partition {
    int32_t partition_index = 0;
    int64_t committed_offset = -1;
    int32_t committed_leader_epoch = -1;
    std::optional<std::string_view> metadata;
    int16_t error_code = 0;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(
          field("partition_index", &T::partition_index), field("committed_offset", &T::committed_offset),
          field("committed_leader_epoch", &T::committed_leader_epoch, since(5)),
          field("metadata", &T::metadata, kAllVersions, kAllVersions), field("error_code", &T::error_code));
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
  int16_t error_code = 0;
  static constexpr auto table() {
    using T = OffsetFetchResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(3)), field("topics", &T::topics),
                           field("error_code", &T::error_code, since(2)));
  }
};

struct OffsetForLeaderEpochRequest {
  struct Partition {
    int32_t partition = 0;
    int32_t current_leader_epoch = -1;
    int32_t leader_epoch = 0;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(field("partition", &T::partition),
                             field("current_leader_epoch", &T::current_leader_epoch, since(2)),
                             field("leader_epoch", &T::leader_epoch));
    }
  };
  struct Topic {
    std::string_view topic;
    std::vector<Partition> partitions;
    static constexpr auto table() {
      return std::make_tuple(field("topic", &Topic::topic), field("partitions", &Topic::partitions));
    }
  };
  int32_t replica_id = -2;
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = OffsetForLeaderEpochRequest;
    return std::make_tuple(field("replica_id", &T::replica_id, since(3)), field("topics", &T::topics));
  }
};

struct OffsetForLeaderEpochResponse {
  struct Partition {
    int16_t error_code = 0;
    int32_t partition = 0;
    int32_t leader_epoch = -1;
    int64_t end_offset = -1;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(field("error_code", &T::error_code), field("partition", &T::partition),
                             field("leader_epoch", &T::leader_epoch, since(1)), field("end_offset", &T::end_offset));
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
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = OffsetForLeaderEpochResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(2)), field("topics", &T::topics));
  }
};

}  // namespace heptane::data::kafka
