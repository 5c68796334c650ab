#include "modules/iot/gateway/http/mqtt_answers.h"

#include "kernel/auth/api.h"
#include "kernel/base/ids.h"

namespace heptane::iot::mqtt_http {

QueryRequest broker_query(uint16_t type, Buffer payload) { return {kBrokerMachineId, type, std::move(payload), {}}; }

Result<bool> flag_parameter(const http::HttpRequest& request, std::string_view name, bool otherwise) {
  const auto text = request.query_value(name);
  if (!text) return otherwise;
  if (*text != "true" && *text != "false") return admin::invalid(std::string(name) + " must be true or false");
  return *text == "true";
}

mqtt::Broker* broker_of(http::HttpExchange& exchange, const GetBroker& broker) {
  mqtt::Broker* found = broker();
  if (found == nullptr) exchange.respond(admin::error_response(Error{Errc::not_found, "the module iot is off", 0}));
  return found;
}

std::string for_audit(std::string_view text) {
  if (text.size() <= auth::kReportTextLimitBytes) return std::string(text);
  size_t end = auth::kReportTextLimitBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end));
}

void respond_done(http::HttpExchange& exchange, std::string_view client, Sequence position) {
  http::JsonWriter out;
  out.begin_object().key("client").text(client).key("position").text(position_text(0, position)).end_object();
  exchange.respond(http::HttpResponse::json(200, out.take()));
}

void add_routes(http::HttpRouter& router, GetBroker broker) {
  add_client_routes(router, broker);
  add_session_routes(router, broker);
  add_group_route(router, broker);
  add_subscription_route(router, broker);
  add_retained_routes(router, broker);
  add_trace_route(router, broker);
  add_method_route(router, broker);
}

}  // namespace heptane::iot::mqtt_http
