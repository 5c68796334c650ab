// GET and DELETE of retained messages: by filter, page by page; one topic.
#include <memory>

#include "kernel/base/ids.h"
#include "kernel/net/http/guard.h"
#include "kernel/net/http/json.h"
#include "kernel/streams/api.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/http/mqtt_answers.h"

namespace heptane::iot::mqtt_http {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

bool is_filter(std::string_view text) { return valid_text(text) && valid_filter(text) && within_limits(text); }

void write(JsonWriter& out, const RetainedPage::Item& item, bool with_payload) {
  const MessageView& message = item.message;
  out.begin_object().key("topic").text(message.topic).key("qos").number(message.qos);
  out.key("client").text(message.client).key("stored_ms").number(item.stored / 1'000'000);
  if (!message.source.empty()) out.key("user").text(message.source);
  if (message.expiry_s) out.key("expiry_s").unsigned_number(*message.expiry_s);
  out.key("payload_bytes").unsigned_number(message.payload.size());
  if (with_payload && http::valid_utf8(message.payload))
    out.key("value").text(message.payload);
  else if (with_payload)
    out.key("value_base64").text(http::base64_encoded(message.payload));
  out.end_object();
}

// Of topics with fewer levels only the payload is not shown. As for subscribers.
size_t levels_min_of(HttpExchange& exchange, std::string_view filter) {
  if (!filter.ends_with("/#")) return 0;
  const std::string_view parent = filter.substr(0, filter.size() - 2);
  if (exchange.sees("mqtt", parent) && exchange.allowed("mqtt", parent, auth::Verb::read)) return 0;
  return levels_of(filter);
}

void list(HttpExchange& exchange) {
  const http::HttpRequest& request = exchange.request();
  const Result<void> known = admin::check_parameters(request, {"filter", "after", "payload"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const Result<bool> with_payload = flag_parameter(request, "payload", false);
  if (!with_payload) return exchange.respond(admin::error_response(with_payload.error()));
  const std::string filter(request.query_value("filter").value_or("#"));
  const std::string after(request.query_value("after").value_or(""));
  if (!is_filter(filter) || after.size() > kTopicLimitBytes)
    return exchange.respond(admin::error_response(admin::invalid("filter must be a topic filter, after a topic")));
  // What is in them is for those who may subscribe to it: of plant/# the topic plant is its own right.
  if (*with_payload && !exchange.allowed("mqtt", filter, auth::Verb::read))
    return exchange.respond(http::forbidden(exchange.identity().name, "mqtt", filter, auth::Verb::read));
  const size_t levels_min = *with_payload ? levels_min_of(exchange, filter) : 0;
  exchange.query(broker_query(kQueryRetained, encode(RetainedQuery{filter, after})),
                 [with_payload = *with_payload, levels_min](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto page = decode_retained_page(reply.payload.view());
                   if (!page) return answered.respond(admin::error_response(page.error()));
                   JsonWriter out;
                   out.begin_object().key("retained").begin_array();
                   for (const RetainedPage::Item& item : page->items)
                     write(out, item, with_payload && levels_of(item.message.topic) >= levels_min);
                   out.end_array();
                   if (reply.numbers[1] != 0) out.key("next").text(page->last);
                   out.end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

// Slice after slice, each a command and an event in the audit trail.
struct Purge {
  std::string filter;
  std::string after;
  bool one = false;  // a topic, which must be there
  int64_t removed = 0;
  Sequence position = 0;
};

void respond_purged(HttpExchange& exchange, const Purge& purge) {
  if (purge.one && purge.removed == 0)
    return exchange.respond(
        admin::error_response({Errc::not_found, "there is no retained message of topic " + purge.filter, 0}));
  JsonWriter out;
  out.begin_object().key("filter").text(purge.filter).key("removed").number(purge.removed);
  if (purge.position != 0) out.key("position").text(position_text(0, purge.position));
  out.end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void go_on(HttpExchange& exchange, const std::shared_ptr<Purge>& purge) {
  exchange.submit(
      streams::make_command(kBrokerMachineId, kPurgeRetained, encode(PurgeRetained{purge->filter, purge->after})),
      [purge](HttpExchange& answered, const Reply& reply) {
        if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
        purge->removed += reply.numbers[0];
        if (reply.numbers[0] > 0) purge->position = reply.sequence;
        if (purge->one || reply.numbers[1] == 0) return respond_purged(answered, *purge);
        purge->after = as_text(reply.payload.view());
        go_on(answered, purge);
      });
}

void purge(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"filter"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const auto filter = exchange.request().query_value("filter");
  if (!filter || !is_filter(*filter))
    return exchange.respond(admin::error_response(admin::invalid("filter must be there and a topic filter; # is all")));
  go_on(exchange, std::make_shared<Purge>(Purge{std::string(*filter), {}, false, 0, 0}));
}

void purge_one(HttpExchange& exchange) {
  const std::string topic(exchange.request().param("topic"));
  if (!valid_text(topic) || !valid_topic(topic) || !within_limits(topic))
    return exchange.respond(
        admin::error_response(admin::invalid("the topic must have no wildcards: ?filter= takes a filter")));
  go_on(exchange, std::make_shared<Purge>(Purge{topic, {}, true, 0, 0}));
}

constexpr std::string_view kRetained =
    R"({"type":"object","required":["retained"],"additionalProperties":false,"properties":{"retained":{"type":"array",)"
    R"("items":{"type":"object","required":["topic","qos","client","stored_ms","payload_bytes"],)"
    R"("additionalProperties":false,"properties":{"topic":{"type":"string"},"qos":{"type":"integer"},)"
    R"("client":{"type":"string"},"user":{"type":"string"},"stored_ms":{"type":"integer"},"expiry_s":{"type":"integer"},)"
    R"("payload_bytes":{"type":"integer"},"value":{"type":"string"},"value_base64":{"type":"string"}}}},)"
    R"("next":{"type":"string"}}})";
constexpr std::string_view kPurged =
    R"({"type":"object","required":["filter","removed"],"additionalProperties":false,"properties":{)"
    R"("filter":{"type":"string"},"removed":{"type":"integer"},)"
    R"("position":{"$ref":"#/components/schemas/Position"}}})";

http::RouteDoc list_doc() {
  return {"Retained MQTT messages",
          "In the order of their topics, at most 256 a page; a page may have none and still a `next`.",
          {{"filter", "a topic filter; #, which is all but topics that begin with $"},
           {"after", "topics behind this one: the `next` of the page before"},
           {"payload", "with the payload, for those who may subscribe to the filter; false", kFlagSchema}},
          {},
          {{200, "as of what is synced", {{kRetained}}}}};
}

http::RouteDoc purge_doc(std::string_view summary, bool by_filter) {
  http::RouteDoc doc{
      summary,
      "Subscribers hear nothing of it. In the audit trail as `mqtt.purge_retained`, once for each 256 messages.",
      {},
      {},
      {{200, "purged and synced", {{kPurged}}}}};
  if (by_filter) doc.parameters.push_back({"filter", "a topic filter"});
  return doc;
}

}  // namespace

void add_retained_routes(http::HttpRouter& router, const GetBroker&) {
  using http::Method;
  router.add(Method::get, "/api/v1/mqtt/retained", list, {.needs = needs(auth::Verb::read), .doc = list_doc()});
  router.add(Method::del, "/api/v1/mqtt/retained", purge,
             {.needs = needs(auth::Verb::remove), .doc = purge_doc("Purge retained MQTT messages by filter", true)});
  router.add(
      Method::del, "/api/v1/mqtt/retained/{topic}", purge_one,
      {.needs = needs(auth::Verb::remove), .doc = purge_doc("Purge the retained MQTT message of a topic", false)});
}

}  // namespace heptane::iot::mqtt_http
