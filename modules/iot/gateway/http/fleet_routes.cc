// Fleets over HTTP: `/api/v1/fleets`. The I/O thread's.

#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/http/device_routes.h"
#include "modules/iot/machine/devices/fleets_machine.h"

namespace heptane::iot::devices {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr int64_t kNsPerMs = 1'000'000;

http::Needs needs(Verb verb) { return {"admin", "devices", verb, false, false}; }

HttpResponse done(int status, std::string_view name, const Reply& reply) {
  JsonWriter out;
  out.begin_object().key("name").text(name);
  if (!reply.repeated) out.key("position").text(position_text(0, reply.sequence));
  out.end_object();
  return HttpResponse::json(status, out.take());
}

Result<Fleet> fleet_of_json(std::string text) {
  const auto document = http::JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  Fleet fleet;
  fleet.name = fields.text("name");
  fleet.description = fields.text_or("description", "");
  fleet.query = fields.text("query");
  HEPTANE_TRY(fields.finish());
  if (fleet.name.size() > kNameLimitBytes) return admin::invalid("a fleet's name is 1 to 128 of a-z A-Z 0-9 : _ -");
  if (fleet.description.size() > kFleetDescriptionBytesMax)
    return admin::invalid("a description has at most 1,024 bytes");
  if (const auto query = FleetQuery::parse(fleet.query); !query) return query.error();
  return fleet;
}

void write_fleet(JsonWriter& out, const Fleet& fleet) {
  out.begin_object().key("name").text(fleet.name);
  if (!fleet.description.empty()) out.key("description").text(fleet.description);
  out.key("query").text(fleet.query).key("created_ms").number(fleet.created / kNsPerMs).end_object();
}

void create(HttpExchange& exchange) {
  const Result<Fleet> fleet = fleet_of_json(std::move(exchange.request().body));
  if (!fleet) return exchange.respond(error_response(fleet.error()));
  exchange.submit(streams::make_command(kFleetsMachineId, kCreateFleet, encode(*fleet)),
                  [name = fleet->name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(201, name, reply));
                  });
}

void drop(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  exchange.submit(streams::make_command(kFleetsMachineId, kDropFleet, Buffer::copy_of(name)),
                  [name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(200, name, reply));
                  });
}

void show(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  exchange.query({kFleetsMachineId, kQueryFleets, encode_fleets_query(name, true), {}},
                 [name](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(refusal_response(reply));
                   const auto found = decode_fleets(reply.payload.view());
                   if (!found || found->empty())
                     return answered.respond(error_response({Errc::not_found, "there is no fleet " + name, 0}));
                   JsonWriter out;
                   write_fleet(out, found->front());
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

void list(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  if (!known) return exchange.respond(error_response(known.error()));
  const std::string after(exchange.request().query_value("after").value_or(""));
  if (!after.empty() && !valid_name(after)) return exchange.respond(error_response(admin::invalid("after is no name")));
  exchange.query({kFleetsMachineId, kQueryFleets, encode_fleets_query(after, false), {}},
                 [](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(refusal_response(reply));
                   const auto page = decode_fleets(reply.payload.view());
                   if (!page)
                     return answered.respond(error_response({Errc::corrupt, "a page of fleets is cut off", 0}));
                   JsonWriter out;
                   out.begin_object().key("fleets").begin_array();
                   for (const Fleet& fleet : *page) write_fleet(out, fleet);
                   out.end_array();
                   if (reply.numbers[1] != 0 && !page->empty()) out.key("next").text(page->back().name);
                   out.end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

constexpr std::string_view kNew =
    R"({"type":"object","required":["name","query"],"additionalProperties":false,"properties":{"name":{)"
    R"("type":"string","pattern":"^[a-zA-Z0-9:_-]{1,128}$"},"description":{"type":"string","maxLength":1024},)"
    R"("query":{"type":"string","maxLength":1024}}})";
constexpr std::string_view kFleet =
    R"({"type":"object","required":["name","query","created_ms"],"additionalProperties":false,"properties":{"name":{)"
    R"("type":"string"},"description":{"type":"string"},"query":{"type":"string"},"created_ms":{"type":"integer"}}})";
constexpr std::string_view kDone =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";

const std::string& fleets_schema() {
  static const std::string schema =
      R"({"type":"object","required":["fleets"],"additionalProperties":false,"properties":{"fleets":{"type":"array",)"
      R"("items":)" +
      std::string(kFleet) + R"(},"next":{"type":"string"}}})";
  return schema;
}

}  // namespace

void add_fleet_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kOne = "/api/v1/fleets/{name}";
  router.add(Method::get, "/api/v1/fleets", list,
             {.needs = needs(Verb::read),
              .doc = {"Fleets: groups of devices by a query",
                      "Who is in one: `GET /api/v1/devices?query=`.",
                      {{"after", "names behind this one"}},
                      {},
                      {{200, "in the order of their names", {{fleets_schema()}}}}}});
  router.add(
      Method::post, "/api/v1/fleets", create,
      {.needs = needs(Verb::write),
       .doc = {
           "Name a query",
           "A job for the group of this name is for the devices that the query wants when their turn comes to "
           "be looked at, which begins when the job is made. `fleets.create` in the audit trail.",
           {},
           {{kNew}},
           {{201, "it is there, synced", {{kDone}}}, {409, "a fleet or a group of that name is there", {{kError}}}}}});
  router.add(Method::get, kOne, show,
             {.needs = needs(Verb::read),
              .doc = {"One fleet",
                      "",
                      {},
                      {},
                      {{200, "as of what is synced", {{kFleet}}}, {404, "there is no such fleet", {{kError}}}}}});
  router.add(Method::del, kOne, drop,
             {.needs = needs(Verb::remove),
              .doc = {"Drop a fleet",
                      "`fleets.drop` in the audit trail.",
                      {},
                      {},
                      {{200, "gone, synced", {{kDone}}}, {404, "there is no such fleet", {{kError}}}}}});
}

}  // namespace heptane::iot::devices
