#include "modules/iot/domain/sparkplug/topic.h"

#include <array>
#include <utility>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::sparkplug {

namespace {

constexpr std::string_view kNamespace = "spBv1.0";
constexpr std::string_view kOwn = "$sparkplug";

constexpr std::array<std::pair<std::string_view, MessageType>, 8> kTypes{{{"NBIRTH", MessageType::nbirth},
                                                                          {"NDEATH", MessageType::ndeath},
                                                                          {"NDATA", MessageType::ndata},
                                                                          {"NCMD", MessageType::ncmd},
                                                                          {"DBIRTH", MessageType::dbirth},
                                                                          {"DDEATH", MessageType::ddeath},
                                                                          {"DDATA", MessageType::ddata},
                                                                          {"DCMD", MessageType::dcmd}}};

std::optional<MessageType> type_of(std::string_view word) {
  for (const auto& [name, type] : kTypes)
    if (name == word) return type;
  return std::nullopt;
}

bool is_of_device(MessageType type) { return type >= MessageType::dbirth; }

}  // namespace

std::optional<Topic> parse_topic(std::string_view topic) {
  Levels levels(topic);
  if (levels.next() != kNamespace) return std::nullopt;
  Topic parsed;
  parsed.group = levels.next().value_or("");
  const auto type = type_of(levels.next().value_or(""));
  parsed.node = levels.next().value_or("");
  if (!type || parsed.group.empty() || parsed.node.empty()) return std::nullopt;
  parsed.type = *type;
  if (is_of_device(*type)) parsed.device = levels.next().value_or("");
  if (is_of_device(*type) == parsed.device.empty() || !levels.done()) return std::nullopt;
  return parsed;
}

bool is_awares(std::string_view topic) {
  return topic.starts_with(kOwn) && (topic.size() == kOwn.size() || topic[kOwn.size()] == '/');
}

std::string certificate_topic(std::string_view birth_topic) {
  return std::string(kOwn) + "/certificates/" + std::string(birth_topic);
}

std::string metrics_topic(const Topic& topic) {
  std::string text = std::string(kOwn) + "/metrics/" + std::string(topic.group) + '/' + std::string(topic.node);
  return topic.device.empty() ? text : text + '/' + std::string(topic.device);
}

std::string command_topic(const Topic& topic) {
  return std::string(kNamespace) + '/' + std::string(topic.group) + "/NCMD/" + std::string(topic.node);
}

}  // namespace heptane::iot::sparkplug
