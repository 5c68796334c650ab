// Provisioning's requests and answers as JSON: what AWS IoT's fleet provisioning says over MQTT, and templates as an operator says
// them. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/domain/devices/provisioning_request.h"
#include "modules/iot/domain/devices/provisioning_template.h"

namespace heptane::iot::devices {

// `{"certificateSigningRequest": PEM}`
Result<std::string> read_issue_request(std::string_view payload);

struct ProvisionRequest {
  std::string token;
  Parameters parameters;
};
// `{"certificateOwnershipToken": ..., "parameters": {...}}`
Result<ProvisionRequest> read_provision_request(std::string_view payload);

std::string issued_answer(std::string_view token, std::string_view certificate_id, std::string_view pem);
// `configuration`: JSON; empty: none.
std::string provisioned_answer(std::string_view thing, std::string_view configuration);
// `code` as AWS IoT names it: `InvalidCertificateSigningRequest`.
std::string rejected_answer(int status, std::string_view code, std::string_view message);

// As PUT /api/v1/provisioning/templates/{name} takes it.
Result<ProvisioningTemplate> template_of_json(std::string text, std::string_view name);
void write_template(http::JsonWriter& out, const ProvisioningTemplate& of);

}  // namespace heptane::iot::devices
