#include "modules/iot/gateway/http/bridge_route.h"

#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::iot::bridge {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

void write(JsonWriter& out, const BridgeFacts& bridge) {
  out.begin_object().key("name").text(bridge.name).key("address").text(bridge.address);
  out.key("client").text(local_client_id(bridge.name)).key("state").text(bridge.state);
  out.key("since_ms").number(bridge.since_ms);
  if (!bridge.last_error.empty()) out.key("last_error").text(bridge.last_error);
  out.key("connects").unsigned_number(bridge.connects).key("in_flight").unsigned_number(bridge.in_flight);
  const Tally& tally = bridge.tally;
  out.key("sent").unsigned_number(tally.sent).key("acknowledged").unsigned_number(tally.acknowledged);
  out.key("received").unsigned_number(tally.received).key("looped").unsigned_number(tally.looped);
  out.key("unmapped").unsigned_number(tally.unmapped).key("refused").unsigned_number(tally.refused);
  out.key("unsure").unsigned_number(tally.unsure);
  out.key("dead_letters").unsigned_number(tally.dead_letters).end_object();
}

void list(HttpExchange& exchange, const Bridges* bridges) {
  if (bridges == nullptr)
    return exchange.respond(admin::error_response(Error{Errc::not_found, "the module iot is off"}));
  const Result<void> known = admin::check_parameters(exchange.request(), {});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  JsonWriter out;
  out.begin_object().key("bridges").begin_array();
  for (const BridgeFacts& bridge : bridges->facts()) write(out, bridge);
  out.end_array().end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

constexpr std::string_view kBridges =
    R"({"type":"object","required":["bridges"],"additionalProperties":false,"properties":{"bridges":{"type":"array",)"
    R"("items":{"type":"object","required":["name","address","client","state","since_ms","connects","in_flight",)"
    R"("sent","acknowledged","received","looped","unmapped","refused","unsure","dead_letters"],"properties":{)"
    R"("state":{"type":"string","enum":["preparing","connecting","connected","stopped"]}}}}}})";

http::RouteDoc doc() {
  return {"Bridges to other MQTT brokers",
          "In the order of their names; counts since the start. What waits for the remote is in the queue of the "
          "durable session `client` (GET /api/v1/mqtt/sessions/{client}).",
          {},
          {},
          {{200, "as they are", {{kBridges}}}}};
}

}  // namespace

void add_bridge_route(http::HttpRouter& router, std::function<const Bridges*()> bridges) {
  router.add(http::Method::get, "/api/v1/bridges",
             [bridges = std::move(bridges)](HttpExchange& exchange) { list(exchange, bridges()); },
             {.needs = {"admin", "mqtt", auth::Verb::read, false, false}, .doc = doc()});
}

}  // namespace heptane::iot::bridge
