// The configuration entries of a topic as Kafka names them: two that can be set, and those that are fixed here, which a
// client may name with the value that is in force. Facts from kafka.apache.org/documentation/#topicconfigs. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/streams/api.h"
#include "modules/data/gateway/kafka/api.h"
#include "modules/data/gateway/kafka/kafka.h"

namespace heptane::data::kafka {

enum class ConfigType : int8_t { boolean = 1, string = 2, int32 = 3, int64 = 5, float64 = 6, list = 7 };
enum class ConfigSource : int8_t { topic = 1, broker = 4, none = 5 };

struct ConfigEntry {
  std::string_view name;
  std::string value;
  bool read_only = true;
  ConfigSource source = ConfigSource::none;
  ConfigType type = ConfigType::string;
  std::string_view documentation;
};

std::vector<ConfigEntry> topic_config_entries(const streams::StreamConfig& config, const KafkaOptions& options);
std::vector<ConfigEntry> broker_config_entries(const KafkaOptions& options);

// Sets one entry; a null value sets the default. Returns why not, empty when it is done.
std::string set_topic_config(streams::StreamConfig& config, std::string_view name,
                             std::optional<std::string_view> value, const KafkaOptions& options);

}  // namespace heptane::data::kafka
