// The messages of topic administration: create, delete, delete records, configurations. As in messages.h.
#pragma once

#include "modules/data/gateway/kafka/codec.h"

namespace heptane::data::kafka {

struct CreateTopicsRequest {
  struct Assignment {
    int32_t partition_index = 0;
    std::vector<int32_t> broker_ids;
    static constexpr auto table() {
      return std::make_tuple(field("partition_index", &Assignment::partition_index),
                             field("broker_ids", &Assignment::broker_ids));
    }
  };
  struct Config {
    std::string_view name;
    std::optional<std::string_view> value;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Config::name), field("value", &Config::value, kAllVersions, kAllVersions));
    }
  };
  struct Topic {
    std::string_view name;
    int32_t num_partitions = -1;
    int16_t replication_factor = -1;
    std::vector<Assignment> assignments;
    std::vector<Config> configs;
    static constexpr auto table() {
      using T = Topic;
      return std::make_tuple(field("name", &T::name), field("num_partitions", &T::num_partitions),
                             field("replication_factor", &T::replication_factor), field("assignments", &T::assignments),
                             field("configs", &T::configs));
    }
  };
  std::vector<Topic> topics;
  int32_t timeout_ms = 0;
  bool validate_only = false;
  static constexpr auto table() {
    using T = CreateTopicsRequest;
    return std::make_tuple(field("topics", &T::topics), field("timeout_ms", &T::timeout_ms),
                           field("validate_only", &T::validate_only, since(1)));
  }
};

struct CreateTopicsResponse {
  struct Config {
    std::string_view name;
    std::optional<std::string_view> value;
    bool read_only = false;
    int8_t config_source = -1;
    bool is_sensitive = false;
    static constexpr auto table() {
      using T = Config;
      return std::make_tuple(field("name", &T::name), field("value", &T::value, kAllVersions, kAllVersions),
                             field("read_only", &T::read_only), field("config_source", &T::config_source),
                             field("is_sensitive", &T::is_sensitive));
    }
  };
  struct Topic {
    std::string_view name;
    int16_t error_code = 0;
    std::optional<std::string_view> error_message;
    int32_t num_partitions = -1;
    int16_t replication_factor = -1;
    std::optional<std::vector<Config>> configs;
    int16_t topic_config_error_code = 0;
    static constexpr auto table() {
      using T = Topic;
      return std::make_tuple(field("name", &T::name), field("error_code", &T::error_code),
                             field("error_message", &T::error_message, since(1), since(1)),
                             field("num_partitions", &T::num_partitions, since(5)),
                             field("replication_factor", &T::replication_factor, since(5)),
                             field("configs", &T::configs, since(5), since(5)),
                             tagged_field(0, "topic_config_error_code", &T::topic_config_error_code, since(5)));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  static constexpr auto table() {
    using T = CreateTopicsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(2)), field("topics", &T::topics));
  }
};

struct CreatePartitionsRequest {
  struct Assignment {
    std::vector<int32_t> broker_ids;
    static constexpr auto table() { return std::make_tuple(field("broker_ids", &Assignment::broker_ids)); }
  };
  struct Topic {
    std::string_view name;
    int32_t count = 0;  // as many as there will be
    std::optional<std::vector<Assignment>> assignments;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("count", &Topic::count),
                             field("assignments", &Topic::assignments, kAllVersions, kAllVersions));
    }
  };
  std::vector<Topic> topics;
  int32_t timeout_ms = 0;
  bool validate_only = false;
  static constexpr auto table() {
    using T = CreatePartitionsRequest;
    return std::make_tuple(field("topics", &T::topics), field("timeout_ms", &T::timeout_ms),
                           field("validate_only", &T::validate_only));
  }
};

struct CreatePartitionsResponse {
  struct Topic {
    std::string_view name;
    int16_t error_code = 0;
    std::optional<std::string_view> error_message;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("error_code", &Topic::error_code),
                             field("error_message", &Topic::error_message, kAllVersions, kAllVersions));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Topic> results;
  static constexpr auto table() {
    using T = CreatePartitionsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms), field("results", &T::results));
  }
};

struct DeleteTopicsRequest {
  std::vector<std::string_view> topic_names;
  int32_t timeout_ms = 0;
  static constexpr auto table() {
    using T = DeleteTopicsRequest;
    return std::make_tuple(field("topic_names", &T::topic_names), field("timeout_ms", &T::timeout_ms));
  }
};

struct DeleteTopicsResponse {
  struct Topic {
    std::string_view name;
    int16_t error_code = 0;
    std::optional<std::string_view> error_message;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Topic::name), field("error_code", &Topic::error_code),
                             field("error_message", &Topic::error_message, since(5), since(5)));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Topic> responses;
  static constexpr auto table() {
    using T = DeleteTopicsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)),
                           field("responses", &T::responses));
  }
};

struct DeleteRecordsRequest {
  struct Partition {
    int32_t partition_index = 0;
    int64_t offset = 0;  // -1 = the high watermark
    static constexpr auto table() {
      return std::make_tuple(field("partition_index", &Partition::partition_index),
                             field("offset", &Partition::offset));
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
  int32_t timeout_ms = 0;
  static constexpr auto table() {
    using T = DeleteRecordsRequest;
    return std::make_tuple(field("topics", &T::topics), field("timeout_ms", &T::timeout_ms));
  }
};

struct DeleteRecordsResponse {
  struct Partition {
    int32_t partition_index = 0;
    int64_t low_watermark = -1;
    int16_t error_code = 0;
    static constexpr auto table() {
      using T = Partition;
      return std::make_tuple(field("partition_index", &T::partition_index), field("low_watermark", &T::low_watermark),
                             field("error_code", &T::error_code));
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
    using T = DeleteRecordsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms), field("topics", &T::topics));
  }
};

struct DescribeConfigsRequest {
  struct Resource {
    int8_t resource_type = 0;
    std::string_view resource_name;
    std::optional<std::vector<std::string_view>> configuration_keys;  // null = all
    static constexpr auto table() {
      using T = Resource;
      return std::make_tuple(field("resource_type", &T::resource_type), field("resource_name", &T::resource_name),
                             field("configuration_keys", &T::configuration_keys, kAllVersions, kAllVersions));
    }
  };
  std::vector<Resource> resources;
  bool include_synonyms = false;
  bool include_documentation = false;
  static constexpr auto table() {
    using T = DescribeConfigsRequest;
    return std::make_tuple(field("resources", &T::resources), field("include_synonyms", &T::include_synonyms, since(1)),
                           field("include_documentation", &T::include_documentation, since(3)));
  }
};

struct DescribeConfigsResponse {
  struct Synonym {
    std::string_view name;
    std::optional<std::string_view> value;
    int8_t source = 0;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Synonym::name), field("value", &Synonym::value, kAllVersions, kAllVersions),
                             field("source", &Synonym::source));
    }
  };
  struct Config {
    std::string_view name;
    std::optional<std::string_view> value;
    bool read_only = false;
    bool is_default = false;
    int8_t config_source = -1;
    bool is_sensitive = false;
    std::vector<Synonym> synonyms;
    int8_t config_type = 0;
    std::optional<std::string_view> documentation;
    static constexpr auto table() {
      using T = Config;
      return std::make_tuple(field("name", &T::name), field("value", &T::value, kAllVersions, kAllVersions),
                             field("read_only", &T::read_only), field("is_default", &T::is_default, between(0, 0)),
                             field("config_source", &T::config_source, since(1)),
                             field("is_sensitive", &T::is_sensitive), field("synonyms", &T::synonyms, since(1)),
                             field("config_type", &T::config_type, since(3)),
                             field("documentation", &T::documentation, since(3), since(3)));
    }
  };
  struct Result {
    int16_t error_code = 0;
    std::optional<std::string_view> error_message;
    int8_t resource_type = 0;
    std::string_view resource_name;
    std::vector<Config> configs;
    static constexpr auto table() {
      using T = Result;
      return std::make_tuple(field("error_code", &T::error_code),
                             field("error_message", &T::error_message, kAllVersions, kAllVersions),
                             field("resource_type", &T::resource_type), field("resource_name", &T::resource_name),
                             field("configs", &T::configs));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Result> results;
  static constexpr auto table() {
    using T = DescribeConfigsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms), field("results", &T::results));
  }
};

struct AlterConfigsRequest {
  struct Config {
    std::string_view name;
    std::optional<std::string_view> value;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Config::name), field("value", &Config::value, kAllVersions, kAllVersions));
    }
  };
  struct Resource {
    int8_t resource_type = 0;
    std::string_view resource_name;
    std::vector<Config> configs;
    static constexpr auto table() {
      using T = Resource;
      return std::make_tuple(field("resource_type", &T::resource_type), field("resource_name", &T::resource_name),
                             field("configs", &T::configs));
    }
  };
  std::vector<Resource> resources;
  bool validate_only = false;
  static constexpr auto table() {
    using T = AlterConfigsRequest;
    return std::make_tuple(field("resources", &T::resources), field("validate_only", &T::validate_only));
  }
};

struct IncrementalAlterConfigsRequest {
  struct Config {
    std::string_view name;
    int8_t config_operation = 0;
    std::optional<std::string_view> value;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Config::name), field("config_operation", &Config::config_operation),
                             field("value", &Config::value, kAllVersions, kAllVersions));
    }
  };
  struct Resource {
    int8_t resource_type = 0;
    std::string_view resource_name;
    std::vector<Config> configs;
    static constexpr auto table() {
      using T = Resource;
      return std::make_tuple(field("resource_type", &T::resource_type), field("resource_name", &T::resource_name),
                             field("configs", &T::configs));
    }
  };
  std::vector<Resource> resources;
  bool validate_only = false;
  static constexpr auto table() {
    using T = IncrementalAlterConfigsRequest;
    return std::make_tuple(field("resources", &T::resources), field("validate_only", &T::validate_only));
  }
};

// Of both ways to alter.
struct AlterConfigsResponse {
  struct Result {
    int16_t error_code = 0;
    std::optional<std::string_view> error_message;
    int8_t resource_type = 0;
    std::string_view resource_name;
    static constexpr auto table() {
      using T = Result;
      return std::make_tuple(field("error_code", &T::error_code),
                             field("error_message", &T::error_message, kAllVersions, kAllVersions),
                             field("resource_type", &T::resource_type), field("resource_name", &T::resource_name));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Result> responses;
  static constexpr auto table() {
    using T = AlterConfigsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms), field("responses", &T::responses));
  }
};

}  // namespace heptane::data::kafka
