// GET of shared groups that have a queue, with those of their members who are connected.
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/http/mqtt_answers.h"
#include "modules/iot/machine/shared_groups.h"

namespace heptane::iot::mqtt_http {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr size_t kMembersShown = 100;

void write(JsonWriter& out, const GroupRow& row, const mqtt::SharedGroup* here) {
  const auto shared = parse_shared(row.shared);
  out.begin_object().key("group").text(shared ? shared->group : "").key("filter").text(shared ? shared->filter : "");
  out.key("session").unsigned_number(row.number).key("durable_members").unsigned_number(row.members);
  out.key("connected").unsigned_number(here == nullptr ? 0 : here->size());
  out.key("members").begin_array();
  size_t shown = 0;
  if (here != nullptr)
    here->each_member([&](const mqtt::Subscription& member) {
      if (shown++ < kMembersShown) out.text(member.subscriber->client_id());
    });
  out.end_array();
  out.key("queued").unsigned_number(row.queued).key("queue_max").unsigned_number(row.queue_max);
  out.key("lost").unsigned_number(row.lost).end_object();
}

void list(HttpExchange& exchange, const GetBroker& get_broker) {
  mqtt::Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const Result<void> known = admin::check_parameters(exchange.request(), {"after", "limit"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const auto limit = admin::integer_parameter(exchange.request(), "limit", kLimitDefault, 1, kLimitMax);
  if (!limit) return exchange.respond(admin::error_response(limit.error()));
  Buffer payload =
      encode_groups_query(exchange.request().query_value("after").value_or(""), static_cast<uint16_t>(*limit));
  exchange.query(broker_query(kQueryGroups, std::move(payload)), [broker](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto rows = decode_group_rows(reply.payload.view());
    if (!rows) return answered.respond(admin::error_response(rows.error()));
    JsonWriter out;
    out.begin_object().key("groups").begin_array();
    for (const GroupRow& row : *rows) write(out, row, broker->group_of(row.shared));
    out.end_array();
    if (reply.numbers[1] != 0) out.key("next").text(rows->back().shared);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

constexpr std::string_view kGroups =
    R"({"type":"object","required":["groups"],"additionalProperties":false,"properties":{"groups":{"type":"array",)"
    R"("items":{"type":"object","required":["group","filter","session","durable_members","connected","members",)"
    R"("queued","queue_max","lost"]}},"next":{"type":"string"}}})";

http::RouteDoc doc() {
  return {"Shared MQTT groups that have a queue: those with a durable member",
          "In the order of their names. `members` are those who are connected, at most 100 of them; `queued` messages "
          "are not acknowledged.",
          {{"after", "groups behind this one, `$share/NAME/FILTER`: the `next` of the page before"},
           {"limit", "at most so many", kLimitSchema}},
          {},
          {{200, "as of what is synced", {{kGroups}}}}};
}

}  // namespace

void add_group_route(http::HttpRouter& router, const GetBroker& broker) {
  router.add(http::Method::get, "/api/v1/mqtt/groups", [broker](HttpExchange& exchange) { list(exchange, broker); },
             {.needs = needs(auth::Verb::read), .doc = doc()});
}

}  // namespace heptane::iot::mqtt_http
