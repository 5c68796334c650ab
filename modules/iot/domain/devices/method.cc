#include "modules/iot/domain/devices/method.h"

#include <algorithm>
#include <charconv>

namespace heptane::iot::devices {

namespace {

constexpr std::string_view kHub = "$iothub";
constexpr std::string_view kAsked = "$iothub/methods/POST/";
constexpr std::string_view kAnswered = "$iothub/methods/res/";
constexpr std::string_view kId = "/?$rid=";
constexpr size_t kStatusDigitsMax = 9;

bool is_name_byte(char byte) {
  const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
  return letter || byte == '.' || byte == ':' || byte == '_' || byte == '-';
}

std::optional<uint32_t> status_of(std::string_view digits) {
  uint32_t status = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, status);
  if (digits.size() > kStatusDigitsMax || error != std::errc() || stopped != end) return std::nullopt;
  return status;
}

}  // namespace

bool valid_method_name(std::string_view name) {
  return !name.empty() && name.size() <= kMethodNameBytesMax && std::all_of(name.begin(), name.end(), is_name_byte);
}

bool is_method_topic(std::string_view topic) {
  return topic.starts_with(kHub) && (topic.size() == kHub.size() || topic[kHub.size()] == '/');
}

bool is_method_filter(std::string_view filter) { return filter.starts_with(kAsked); }

std::string method_topic(std::string_view method, std::string_view id) {
  std::string topic(kAsked);
  topic += method;
  topic += kId;
  return topic += id;
}

std::string method_answer_topic(uint32_t status, std::string_view id) {
  std::string topic(kAnswered);
  topic += std::to_string(status);
  topic += kId;
  return topic += id;
}

std::optional<MethodAnswer> parse_method_answer(std::string_view topic) {
  if (!topic.starts_with(kAnswered)) return std::nullopt;
  topic.remove_prefix(kAnswered.size());
  const size_t end = topic.find('/');
  if (end == std::string_view::npos || !topic.substr(end).starts_with(kId)) return std::nullopt;
  const auto status = status_of(topic.substr(0, end));
  const std::string_view id = topic.substr(end + kId.size());
  if (!status || id.empty()) return std::nullopt;
  return MethodAnswer{*status, id};
}

}  // namespace heptane::iot::devices
