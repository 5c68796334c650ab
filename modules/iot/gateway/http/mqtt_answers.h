// What the routes of the broker share: rights, parameters, rows.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/gateway/http/mqtt_routes.h"
#include "modules/iot/machine/operator_api.h"

namespace heptane::iot::mqtt_http {

constexpr int64_t kLimitDefault = 100;
constexpr int64_t kLimitMax = 1'000;
static_assert(kLimitMax <= static_cast<int64_t>(kSessionRowsMax));
constexpr std::string_view kLimitSchema = R"({"type":"integer","minimum":1,"maximum":1000,"default":100})";
constexpr std::string_view kFlagSchema = R"({"type":"string","enum":["true","false"]})";
constexpr std::string_view kPurgedSchema =
    R"({"type":"object","required":["client","position"],"additionalProperties":false,"properties":{)"
    R"("client":{"type":"string"},"position":{"$ref":"#/components/schemas/Position"}}})";

// Who may look (read), who may end and purge (remove).
inline http::Needs needs(auth::Verb verb) { return {"admin", "mqtt", verb, false, false}; }

QueryRequest broker_query(uint16_t type, Buffer payload);
Result<bool> flag_parameter(const http::HttpRequest& request, std::string_view name, bool otherwise);
// The broker, or the answer that there is none.
mqtt::Broker* broker_of(http::HttpExchange& exchange, const GetBroker& broker);
// The audit trail takes texts of so many bytes; nothing is cut inside of a character.
std::string for_audit(std::string_view text);
void respond_done(http::HttpExchange& exchange, std::string_view client, Sequence position);

}  // namespace heptane::iot::mqtt_http
