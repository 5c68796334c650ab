#include "modules/iot/domain/devices/provisioning_request.h"

#include "modules/iot/domain/devices/thing.h"

namespace heptane::iot::devices {

namespace {

constexpr std::string_view kTemplates = "$aws/provisioning-templates/";
constexpr std::string_view kProvision = "/provision/json";

}  // namespace

std::optional<ProvisioningTopic> parse_provisioning_topic(std::string_view topic) {
  if (topic == kIssueTopic) return ProvisioningTopic{};
  if (!topic.starts_with(kTemplates) || !topic.ends_with(kProvision)) return std::nullopt;
  if (topic.size() <= kTemplates.size() + kProvision.size()) return std::nullopt;
  const std::string_view name = topic.substr(kTemplates.size(), topic.size() - kTemplates.size() - kProvision.size());
  return valid_name(name) ? std::optional(ProvisioningTopic{name}) : std::nullopt;
}

bool is_request_of_claim(const ProvisioningTopic& topic, const Credential::Names& templates) {
  return topic.provision_by.empty() || templates.contains(topic.provision_by);
}

bool is_answer_of_claim(std::string_view filter, const Credential::Names& templates) {
  const size_t last = filter.rfind('/');
  if (last == std::string_view::npos) return false;
  const std::string_view kind = filter.substr(last + 1);
  if (kind != "accepted" && kind != "rejected" && kind != "+") return false;
  const auto topic = parse_provisioning_topic(filter.substr(0, last));
  return topic && is_request_of_claim(*topic, templates);
}

}  // namespace heptane::iot::devices
