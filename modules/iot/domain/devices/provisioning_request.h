// What a claim asks over MQTT, as AWS IoT's fleet provisioning has it (AWS IoT Core developer guide, "Device provisioning MQTT API"):
// a certificate for a request of its key, then to be made a thing by a template. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "modules/iot/domain/devices/credential.h"

namespace heptane::iot::devices {

constexpr size_t kProvisioningBytesMax = 16 << 10;  // of a request
constexpr std::string_view kIssueTopic = "$aws/certificates/create-from-csr/json";

// `$aws/certificates/create-from-csr/json`, `$aws/provisioning-templates/TEMPLATE/provision/json`
struct ProvisioningTopic {
  std::string_view provision_by;  // the template; empty: a certificate is asked for
};
// A topic to publish requests to; nullopt: it is none.
std::optional<ProvisioningTopic> parse_provisioning_topic(std::string_view topic);

// A claim with these templates may publish to it; may subscribe to it: the requests' answers, by name or with `+` at the end.
bool is_request_of_claim(const ProvisioningTopic& topic, const Credential::Names& templates);
bool is_answer_of_claim(std::string_view filter, const Credential::Names& templates);

}  // namespace heptane::iot::devices
