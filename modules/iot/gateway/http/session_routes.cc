// GET and DELETE of durable sessions, whose clients may be away; GET of subscriptions.
#include "kernel/streams/api.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/http/mqtt_answers.h"
#include "modules/iot/machine/session_api.h"

namespace heptane::iot::mqtt_http {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

void write_members(JsonWriter& out, const SessionRow& row) {
  out.key("session").unsigned_number(row.number).key("client").text(row.client).key("user").text(row.owner);
  out.key("connected").boolean(row.connected).key("expiry_s").unsigned_number(row.expiry_s);
  if (!row.connected) out.key("ended_ms").number(row.ended / 1'000'000);
  out.key("will").boolean(row.will).key("subscriptions").unsigned_number(row.subscriptions);
  out.key("queued").unsigned_number(row.queued).key("queue_max").unsigned_number(row.queue_max);
  out.key("lost").unsigned_number(row.lost);
}

void list(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after", "limit"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const auto after = admin::integer_parameter(exchange.request(), "after", 0, 0, INT64_MAX);
  const auto limit = admin::integer_parameter(exchange.request(), "limit", kLimitDefault, 1, kLimitMax);
  for (const auto* number : {&after, &limit})
    if (!*number) return exchange.respond(admin::error_response(number->error()));
  Buffer payload = encode_sessions_query(static_cast<uint64_t>(*after), static_cast<uint16_t>(*limit));
  exchange.query(broker_query(kQuerySessions, std::move(payload)), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto rows = decode_rows(reply.payload.view());
    if (!rows) return answered.respond(admin::error_response(rows.error()));
    JsonWriter out;
    out.begin_object().key("sessions").begin_array();
    for (const SessionRow& row : *rows) {
      out.begin_object();
      write_members(out, row);
      out.end_object();
    }
    out.end_array();
    if (reply.numbers[1] != 0) out.key("next").number(reply.numbers[1]);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// One subscription of a client.
void write(JsonWriter& out, std::string_view client, std::string_view filter, uint8_t qos, bool no_local,
           bool retain_as_published, uint32_t id) {
  out.begin_object().key("client").text(client).key("filter").text(filter).key("qos").number(qos);
  out.key("no_local").boolean(no_local).key("retain_as_published").boolean(retain_as_published);
  if (id != 0) out.key("id").unsigned_number(id);
  out.end_object();
}

void write(JsonWriter& out, const SessionDetails& details) {
  out.key("subscriptions").begin_array();
  for (const SessionSubscription& one : details.subscriptions)
    write(out, details.row.client, one.filter, one.subscription.qos, one.subscription.no_local,
          one.subscription.retain_as_published, one.subscription.id);
  out.end_array();
}

using WithDetails = std::function<void(HttpExchange&, const SessionDetails&)>;
void with_session(HttpExchange& exchange, const std::string& client, WithDetails then) {
  exchange.query(broker_query(kQuerySessionOf, Buffer::copy_of(client)),
                 [client, then = std::move(then)](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   if (reply.numbers[0] == 0)
                     return answered.respond(
                         admin::error_response({Errc::not_found, "client " + client + " has no durable session", 0}));
                   const auto details = decode_session_details(reply.payload.view());
                   if (!details) return answered.respond(admin::error_response(details.error()));
                   then(answered, *details);
                 });
}

void show(HttpExchange& exchange) {
  with_session(exchange, std::string(exchange.request().param("id")),
               [](HttpExchange& answered, const SessionDetails& details) {
                 JsonWriter out;
                 out.begin_object().key("session");
                 out.begin_object();
                 write_members(out, details.row);
                 out.end_object();
                 write(out, details);
                 out.end_object();
                 answered.respond(HttpResponse::json(200, out.take()));
               });
}

// The machine ends the session; then its client, if it is connected, is told so, and whoever waits for its will gets that.
void purge(HttpExchange& exchange, const GetBroker& get_broker) {
  mqtt::Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const Result<void> known = admin::check_parameters(exchange.request(), {"will"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const Result<bool> with_will = flag_parameter(exchange.request(), "will", true);
  if (!with_will) return exchange.respond(admin::error_response(with_will.error()));
  const std::string client(exchange.request().param("id"));
  if (client.size() > kClientLimitBytes)
    return exchange.respond(admin::error_response(admin::invalid("a client identifier has at most 1,024 bytes")));
  exchange.submit(streams::make_command(kBrokerMachineId, kPurgeSession, encode(PurgeSession{*with_will, client})),
                  [broker, client](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                    ByteReader in(reply.payload.view());
                    if (in.u8() != 0) broker->deliver_will(reply.payload, read_message(in), reply.sequence);
                    mqtt::Subscriber* subscriber = broker->find(client);
                    const auto number = static_cast<uint64_t>(reply.numbers[0]);
                    if (subscriber != nullptr && subscriber->facts().session == number) subscriber->kick(false);
                    respond_done(answered, client, reply.sequence);
                  });
}

// Subscriptions.

void list_of_client(HttpExchange& exchange, const mqtt::Broker& broker, const std::string& client) {
  const mqtt::Subscriber* subscriber = broker.find(client);
  if (subscriber == nullptr)
    return with_session(exchange, client, [](HttpExchange& answered, const SessionDetails& details) {
      JsonWriter out;
      out.begin_object();
      write(out, details);
      out.end_object();
      answered.respond(HttpResponse::json(200, out.take()));
    });
  JsonWriter out;
  out.begin_object().key("subscriptions").begin_array();
  subscriber->each_subscription([&](std::string_view filter, const mqtt::Subscription& one) {
    write(out, client, filter, one.qos, one.no_local, one.retain_as_published, one.id);
  });
  out.end_array().end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

// Of whole clients, until there are `limit`; with `topic` those that match it.
void list_of_all(HttpExchange& exchange, const mqtt::Broker& broker, std::string_view after, int64_t limit,
                 std::string_view topic) {
  const auto wanted = [topic](std::string_view filter) {
    if (topic.empty()) return true;
    const auto shared = parse_shared(filter);
    return matches(shared ? shared->filter : filter, topic);
  };
  JsonWriter out;
  out.begin_object().key("subscriptions").begin_array();
  int64_t count = 0;
  size_t clients = 0;
  std::string_view last;
  size_t looked_at = 0;
  constexpr size_t kClientsMax = 10'000;  // of both, looked at
  constexpr size_t kSubscriptionsMax = 20'000;
  auto at = broker.clients().upper_bound(after);
  const auto room = [&] { return count < limit && clients < kClientsMax && looked_at < kSubscriptionsMax; };
  for (; at != broker.clients().end() && room(); ++at, ++clients) {
    const std::string_view client = last = (*at)->client_id();
    (*at)->each_subscription([&](std::string_view filter, const mqtt::Subscription& one) {
      ++looked_at;
      if (!wanted(filter)) return;
      write(out, client, filter, one.qos, one.no_local, one.retain_as_published, one.id);
      ++count;
    });
  }
  out.end_array();
  if (at != broker.clients().end()) out.key("next").text(last);
  out.end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void list_subscriptions(HttpExchange& exchange, const GetBroker& get_broker) {
  const mqtt::Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const http::HttpRequest& request = exchange.request();
  const Result<void> known =
      admin::check_parameters(request, {"client", "topic", "after", "limit"}, {"client", "topic"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const auto limit = admin::integer_parameter(request, "limit", kLimitDefault, 1, kLimitMax);
  if (!limit) return exchange.respond(admin::error_response(limit.error()));
  if (const auto client = request.query_value("client")) return list_of_client(exchange, *broker, std::string(*client));
  const std::string_view topic = request.query_value("topic").value_or("");
  if (!topic.empty() && (!valid_text(topic) || !valid_topic(topic) || !within_limits(topic)))
    return exchange.respond(admin::error_response(admin::invalid("topic must be a topic name, without wildcards")));
  list_of_all(exchange, *broker, request.query_value("after").value_or(""), *limit, topic);
}

constexpr std::string_view kSessions =
    R"({"type":"object","required":["sessions"],"additionalProperties":false,"properties":{"sessions":{"type":"array",)"
    R"("items":{"type":"object","required":["session","client","user","connected","expiry_s","will","subscriptions",)"
    R"("queued","queue_max","lost"]}},"next":{"type":"integer"}}})";
constexpr std::string_view kSession =
    R"({"type":"object","required":["session","subscriptions"],"additionalProperties":false,"properties":{"session":{)"
    R"("type":"object","required":["session","client","user","connected","expiry_s","will","subscriptions","queued",)"
    R"("queue_max","lost"]},"subscriptions":{"type":"array","items":{"type":"object",)"
    R"("required":["client","filter","qos"]}}}})";
constexpr std::string_view kSubscriptions =
    R"({"type":"object","required":["subscriptions"],"additionalProperties":false,"properties":{"subscriptions":{)"
    R"("type":"array","items":{"type":"object","required":["client","filter","qos","no_local","retain_as_published"],)"
    R"("additionalProperties":false,"properties":{"client":{"type":"string"},"filter":{"type":"string"},)"
    R"("qos":{"type":"integer"},"no_local":{"type":"boolean"},"retain_as_published":{"type":"boolean"},)"
    R"("id":{"type":"integer"}}}},"next":{"type":"string"}}})";

http::RouteDoc list_doc() {
  return {"Durable MQTT sessions, of clients that are away too",
          "In the order in which they were made. `queued` messages are not acknowledged; `lost` ones found the queue "
          "full or were "
          "not kept by the log any more.",
          {{"after", "numbers behind this one: the `next` of the page before", http::kCountSchema},
           {"limit", "at most so many", kLimitSchema}},
          {},
          {{200, "as of what is synced", {{kSessions}}}}};
}

http::RouteDoc purge_doc() {
  return {"Purge a client's durable session",
          "Its subscriptions and what was queued for it are gone; the client's connection, if there is one, is ended. "
          "In the audit "
          "trail as `mqtt.purge_session`.",
          {{"will", "whether its will is published; true", kFlagSchema}},
          {},
          {{200, "purged and synced", {{kPurgedSchema}}}}};
}

http::RouteDoc subscriptions_doc() {
  return {"Subscriptions of connected MQTT clients",
          "In the order of their identifiers; all of a client's are on one page. With `client` those of one, also of a "
          "durable "
          "session whose client is away.",
          {{"client", "only this one's"},
           {"topic", "only those that match this topic"},
           {"after", "clients behind this one: the `next` of the page before"},
           {"limit", "a page ends with the client that reaches so many", kLimitSchema}},
          {},
          {{200, "as they are now", {{kSubscriptions}}}}};
}

}  // namespace

void add_session_routes(http::HttpRouter& router, const GetBroker& broker) {
  using http::Method;
  router.add(Method::get, "/api/v1/mqtt/sessions", list, {.needs = needs(auth::Verb::read), .doc = list_doc()});
  router.add(Method::get, "/api/v1/mqtt/sessions/{id}", show,
             {.needs = needs(auth::Verb::read),
              .doc = {"One client's durable MQTT session", "", {}, {}, {{200, "as of what is synced", {{kSession}}}}}});
  router.add(Method::del, "/api/v1/mqtt/sessions/{id}", [broker](HttpExchange& exchange) { purge(exchange, broker); },
             {.needs = needs(auth::Verb::remove), .doc = purge_doc()});
}

void add_subscription_route(http::HttpRouter& router, const GetBroker& broker) {
  router.add(http::Method::get, "/api/v1/mqtt/subscriptions",
             [broker](HttpExchange& exchange) { list_subscriptions(exchange, broker); },
             {.needs = needs(auth::Verb::read), .doc = subscriptions_doc()});
}

}  // namespace heptane::iot::mqtt_http
