#include "modules/data/gateway/kafka/topic_configs.h"

#include <charconv>

#include "modules/data/machine/consumer_offsets/api.h"

namespace heptane::data::kafka {

namespace {

struct Retention {
  std::string_view name;
  int64_t streams::StreamConfig::*member;
  std::string_view documentation;
};
constexpr Retention kRetentions[] = {
    {"retention.bytes", &streams::StreamConfig::retention_bytes, "bytes of one partition that are kept; -1 = no limit"},
    {"retention.ms", &streams::StreamConfig::retention_ms,
     "a record batch is deleted when its newest record is older than this; -1 = never"},
};

// In force for every topic.
struct Fixed {
  std::string_view name;
  std::string_view value;
  ConfigType type;
  std::string_view documentation;
};
constexpr Fixed kFixed[] = {
    {"cleanup.policy", "delete", ConfigType::list, "records go by retention; there is no compaction"},
    {"compression.type", "producer", ConfigType::string, "record batches are kept as the producer compressed them"},
    {"delete.retention.ms", "86400000", ConfigType::int64, "of compaction: has no effect"},
    {"file.delete.delay.ms", "60000", ConfigType::int64, "has no effect"},
    {"flush.messages", "1", ConfigType::int64, "every record is synced before it is acknowledged"},
    {"flush.ms", "0", ConfigType::int64, "every record is synced before it is acknowledged"},
    {"index.interval.bytes", "4096", ConfigType::int32, "has no effect"},
    {"max.compaction.lag.ms", "9223372036854775807", ConfigType::int64, "of compaction: has no effect"},
    {"message.downconversion.enable", "false", ConfigType::boolean, "old message formats are not spoken"},
    {"message.timestamp.difference.max.ms", "9223372036854775807", ConfigType::int64, "any timestamp is taken"},
    {"message.timestamp.type", "CreateTime", ConfigType::string, "timestamps are the producer's"},
    {"min.cleanable.dirty.ratio", "0.5", ConfigType::float64, "of compaction: has no effect"},
    {"min.compaction.lag.ms", "0", ConfigType::int64, "of compaction: has no effect"},
    {"min.insync.replicas", "1", ConfigType::int32, "one node, which syncs to disk"},
    {"preallocate", "false", ConfigType::boolean, "has no effect: segments belong to the log, not to a topic"},
    {"segment.bytes", "1073741824", ConfigType::int32, "has no effect: segments belong to the log, not to a topic"},
    {"segment.index.bytes", "10485760", ConfigType::int32, "has no effect"},
    {"segment.jitter.ms", "0", ConfigType::int64, "has no effect"},
    {"segment.ms", "604800000", ConfigType::int64, "has no effect: segments belong to the log, not to a topic"},
    {"unclean.leader.election.enable", "false", ConfigType::boolean, "nothing acknowledged is given up"},
};
constexpr std::string_view kMaxMessageBytes = "max.message.bytes";

ConfigEntry fixed_broker(std::string_view name, std::string value, ConfigType type, std::string_view documentation) {
  return {name, std::move(value), true, ConfigSource::broker, type, documentation};
}

std::string fixed_value(std::string_view name, const KafkaOptions& options) {
  if (name == kMaxMessageBytes) return std::to_string(options.max_record_batch_bytes);
  for (const Fixed& fixed : kFixed)
    if (fixed.name == name) return std::string(fixed.value);
  return {};
}

}  // namespace

std::vector<ConfigEntry> topic_config_entries(const streams::StreamConfig& config, const KafkaOptions& options) {
  std::vector<ConfigEntry> entries;
  for (const Fixed& fixed : kFixed)
    entries.push_back(
        {fixed.name, std::string(fixed.value), true, ConfigSource::none, fixed.type, fixed.documentation});
  entries.push_back({kMaxMessageBytes, std::to_string(options.max_record_batch_bytes), true, ConfigSource::broker,
                     ConfigType::int32, "kafka.max_record_batch_bytes: a longer record batch is refused"});
  const streams::StreamConfig defaults;
  for (const Retention& retention : kRetentions) {
    const int64_t value = config.*retention.member;
    const bool is_default = value == defaults.*retention.member;
    entries.push_back({retention.name, std::to_string(value), false,
                       is_default ? ConfigSource::none : ConfigSource::topic, ConfigType::int64,
                       retention.documentation});
  }
  return entries;
}

std::vector<ConfigEntry> broker_config_entries(const KafkaOptions& options) {
  constexpr int64_t kMinuteNs = 60'000'000'000;
  return {
      fixed_broker("auto.create.topics.enable", options.auto_create ? "true" : "false", ConfigType::boolean,
                   "kafka.auto_create: Metadata creates topics that clients ask for"),
      fixed_broker("broker.id", std::to_string(kNodeId), ConfigType::int32, "the one node"),
      fixed_broker("default.replication.factor", "1", ConfigType::int32, "one node, which syncs to disk"),
      fixed_broker("log.retention.bytes", std::to_string(options.default_retention_bytes), ConfigType::int64,
                   "streams.retention_bytes: of topics that are created without retention.bytes"),
      fixed_broker("log.retention.ms", std::to_string(options.default_retention_ms), ConfigType::int64,
                   "streams.retention_ms: of topics that are created without retention.ms"),
      fixed_broker("message.max.bytes", std::to_string(options.max_record_batch_bytes), ConfigType::int32,
                   "kafka.max_record_batch_bytes"),
      fixed_broker("min.insync.replicas", "1", ConfigType::int32, "one node, which syncs to disk"),
      fixed_broker("num.partitions", "1", ConfigType::int32, "of topics that are created without a number"),
      fixed_broker("offset.metadata.max.bytes", std::to_string(offsets::kMetadataLimitBytes), ConfigType::int32,
                   "of a committed offset"),
      fixed_broker("offsets.retention.minutes", std::to_string(offsets::kRetentionNs / kMinuteNs), ConfigType::int32,
                   "after its last commit an offset is forgotten"),
      fixed_broker("socket.request.max.bytes", std::to_string(options.max_request_bytes), ConfigType::int32,
                   "kafka.max_request_bytes"),
  };
}

std::string set_topic_config(streams::StreamConfig& config, std::string_view name,
                             std::optional<std::string_view> value, const KafkaOptions& options) {
  for (const Retention& retention : kRetentions) {
    if (retention.name != name) continue;
    int64_t number = -1;
    if (value) {
      const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
      if (error != std::errc() || end != value->data() + value->size() || number < -1)
        return std::string(name) + " is a number from -1 (for ever) to 9223372036854775807";
    }
    config.*retention.member = number;
    return {};
  }
  const std::string fixed = fixed_value(name, options);
  if (fixed.empty()) return "a topic has no configuration " + std::string(name);
  if (value && *value != fixed) return std::string(name) + " is always " + fixed + " here";
  return {};
}

}  // namespace heptane::data::kafka
