// GET and DELETE of connected clients. Queue and losses of a durable session are the machine's: one question for all of a page.
#include <map>
#include <memory>
#include <vector>

#include "kernel/auth/api.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/http/mqtt_answers.h"
#include "modules/iot/machine/seen.h"

namespace heptane::iot::mqtt_http {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;
using mqtt::ClientFacts;

// What stays when the client is gone.
struct ClientRow {
  ClientFacts facts;
  std::string client;
  std::string user;
  std::string address;
  std::optional<mqtt::LastErrors::Entry> error;
  std::optional<mqtt::History::Client> history{};  // where it is asked for
};
struct Page {
  std::vector<ClientRow> rows;
  std::string next;  // empty: it is the last
};

ClientRow row_of(const mqtt::Subscriber& subscriber, const mqtt::LastErrors& errors) {
  ClientRow row;
  row.facts = subscriber.facts();
  row.client = row.facts.client;
  row.user = row.facts.user;
  row.address = net::to_text(*row.facts.remote);
  if (const auto* error = errors.find(row.client)) row.error = *error;
  return row;
}

std::string_view name_of(mqtt::Version version) {
  if (version == mqtt::Version::v5) return "5.0";
  return version == mqtt::Version::v311 ? "3.1.1" : "3.1";
}

void write_history(JsonWriter& out, int64_t seen_ms, const mqtt::History::Client& history) {
  out.key("last_seen_ms").number(seen_ms);
  out.key("history").begin_array();
  for (const mqtt::History::Event& event : history.events) {
    out.begin_object()
        .key("at_ms")
        .number(event.utc_ms)
        .key("event")
        .text(event.connected ? "connected" : "disconnected");
    out.key("address").text(event.address);
    if (!event.connected) out.key("reason").text(event.why);
    out.end_object();
  }
  out.end_array();
}

void write_error(JsonWriter& out, const mqtt::LastErrors::Entry& error) {
  out.key("last_error").text(error.text).key("last_error_ms").number(error.utc_ns / 1'000'000);
}

void write(JsonWriter& out, const ClientRow& row, const SessionRow* kept) {
  const ClientFacts& facts = row.facts;
  out.begin_object().key("client").text(row.client).key("user").text(row.user).key("address").text(row.address);
  out.key("version").text(name_of(facts.version)).key("keep_alive_s").number(facts.keep_alive_s);
  if (row.history) out.key("connected").boolean(true);
  out.key("connected_ms").number(facts.connected_s * 1000).key("durable").boolean(facts.session != 0);
  out.key("subscriptions").unsigned_number(facts.subscriptions);
  out.key("queued").unsigned_number(facts.queued + (kept == nullptr ? 0 : kept->queued));
  out.key("in_flight").unsigned_number(facts.in_flight);
  out.key("dropped").unsigned_number(facts.numbers.dropped);
  out.key("lost").unsigned_number(kept == nullptr ? 0 : kept->lost);
  out.key("messages_in").unsigned_number(facts.numbers.messages_in);
  out.key("messages_out").unsigned_number(facts.numbers.messages_out);
  out.key("bytes_in").unsigned_number(facts.numbers.bytes_in);
  out.key("bytes_out").unsigned_number(facts.numbers.bytes_out);
  if (row.error) write_error(out, *row.error);
  if (row.history) write_history(out, facts.heard_ms, *row.history);
  out.end_object();
}

using Kept = std::map<uint64_t, SessionRow>;
using Write = std::function<void(JsonWriter&, const Page&, const Kept&)>;

// `write` makes the body when what the machine knows of the page's durable sessions is known.
void answer(HttpExchange& exchange, std::shared_ptr<const Page> page, Write write) {
  std::vector<uint64_t> numbers;
  for (const ClientRow& row : page->rows)
    if (row.facts.session != 0) numbers.push_back(row.facts.session);
  const auto respond = [page = std::move(page), write = std::move(write)](HttpExchange& ready, const Kept& kept) {
    JsonWriter out;
    write(out, *page, kept);
    ready.respond(HttpResponse::json(200, out.take()));
  };
  if (numbers.empty()) return respond(exchange, {});
  exchange.query(broker_query(kQuerySessionsOf, encode_sessions_of(numbers)),
                 [respond](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   Kept kept;
                   if (const auto rows = decode_rows(reply.payload.view()))
                     for (const SessionRow& row : *rows) kept.emplace(row.number, row);
                   respond(answered, kept);
                 });
}

void write_row(JsonWriter& out, const ClientRow& row, const Kept& kept) {
  const auto found = kept.find(row.facts.session);
  write(out, row, found == kept.end() ? nullptr : &found->second);
}

void list(HttpExchange& exchange, const GetBroker& get_broker) {
  mqtt::Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const Result<void> known = admin::check_parameters(exchange.request(), {"after", "limit"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const auto limit = admin::integer_parameter(exchange.request(), "limit", kLimitDefault, 1, kLimitMax);
  if (!limit) return exchange.respond(admin::error_response(limit.error()));
  auto page = std::make_shared<Page>();
  const std::string_view after = exchange.request().query_value("after").value_or("");
  auto at = broker->clients().upper_bound(after);
  for (; at != broker->clients().end() && page->rows.size() < static_cast<size_t>(*limit); ++at)
    page->rows.push_back(row_of(**at, broker->errors()));
  if (at != broker->clients().end()) page->next = page->rows.back().client;
  answer(exchange, std::move(page), [](JsonWriter& out, const Page& rows, const Kept& kept) {
    out.begin_object().key("clients").begin_array();
    for (const ClientRow& row : rows.rows) write_row(out, row, kept);
    out.end_array();
    if (!rows.next.empty()) out.key("next").text(rows.next);
    out.end_object();
  });
}

void refuse_absent(HttpExchange& exchange, const std::string& client) {
  exchange.respond(admin::error_response({Errc::not_found, "no client " + client + " is connected", 0}));
}

void respond_away(HttpExchange& exchange, const std::string& client, std::string_view user, int64_t seen_ms,
                  const mqtt::History::Client& history, const mqtt::LastErrors::Entry* error) {
  JsonWriter out;
  out.begin_object().key("client").text(client).key("user").text(user).key("connected").boolean(false);
  if (error != nullptr) write_error(out, *error);
  write_history(out, seen_ms, history);
  out.end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

// One that is away: out of memory, else what the machine was told of it.
void show_away(HttpExchange& exchange, mqtt::Broker& broker, const std::string& client) {
  const auto* error = broker.errors().find(client);
  if (const auto* known = broker.history().find(client))
    return respond_away(exchange, client, known->user, known->seen_ms, *known, error);
  exchange.query(broker_query(kQuerySeen, Buffer::copy_of(as_bytes(client))), [client](HttpExchange& answered,
                                                                                       const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    if (reply.numbers[1] == 0)
      return answered.respond(admin::error_response({Errc::not_found, "nothing is known of a client " + client, 0}));
    respond_away(answered, client, as_text(reply.payload.view()), reply.numbers[0], {}, nullptr);
  });
}

void show(HttpExchange& exchange, const GetBroker& get_broker) {
  mqtt::Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const std::string client(exchange.request().param("id"));
  const mqtt::Subscriber* found = broker->find(client);
  if (found == nullptr) return show_away(exchange, *broker, client);
  auto page = std::make_shared<Page>();
  page->rows.push_back(row_of(*found, broker->errors()));
  page->rows.back().history = broker->history().look(page->rows.back().facts);
  answer(exchange, std::move(page),
         [](JsonWriter& out, const Page& one, const Kept& kept) { write_row(out, one.rows.front(), kept); });
}

// Noted, synced, then done: to that very connection, which may be gone by then.
void kick(HttpExchange& exchange, const GetBroker& get_broker) {
  mqtt::Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const Result<void> known = admin::check_parameters(exchange.request(), {"will"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const Result<bool> with_will = flag_parameter(exchange.request(), "will", true);
  if (!with_will) return exchange.respond(admin::error_response(with_will.error()));
  const std::string client(exchange.request().param("id"));
  const mqtt::Subscriber* found = broker->find(client);
  if (found == nullptr) return refuse_absent(exchange, client);
  const std::string detail = "from " + net::to_text(*found->facts().remote);
  const std::string on = for_audit(client);
  Buffer note = auth::encode(auth::Note{"mqtt.kick", on, detail, "done"});
  exchange.submit(
      streams::make_command(machine_ids::kAuth, auth::kNote, std::move(note)),
      [broker, client, session = found->session_id(), will = *with_will](HttpExchange& answered, const Reply& reply) {
        if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
        if (mqtt::Subscriber* subscriber = broker->find(session)) subscriber->kick(will);
        respond_done(answered, client, reply.sequence);
      });
}

constexpr std::string_view kClientSchema =
    R"({"type":"object","required":["client","user","connected","last_seen_ms","history"],)"
    R"("additionalProperties":false,"properties":{"client":{"type":"string"},"user":{"type":"string"},)"
    R"("connected":{"type":"boolean"},"last_seen_ms":{"type":"integer"},"history":{"type":"array","items":{)"
    R"("type":"object","required":["at_ms","event","address"],"additionalProperties":false,"properties":{)"
    R"("at_ms":{"type":"integer"},"event":{"type":"string","enum":["connected","disconnected"]},)"
    R"("address":{"type":"string"},"reason":{"type":"string"}}}},)"
    R"("address":{"type":"string"},"version":{"type":"string","enum":["3.1","3.1.1","5.0"]},)"
    R"("keep_alive_s":{"type":"integer"},"connected_ms":{"type":"integer"},"durable":{"type":"boolean"},)"
    R"("subscriptions":{"type":"integer"},"queued":{"type":"integer"},"in_flight":{"type":"integer"},)"
    R"("dropped":{"type":"integer"},"lost":{"type":"integer"},"messages_in":{"type":"integer"},)"
    R"("messages_out":{"type":"integer"},"bytes_in":{"type":"integer"},"bytes_out":{"type":"integer"},)"
    R"("last_error":{"type":"string"},"last_error_ms":{"type":"integer"}}})";
constexpr std::string_view kClientsSchema =
    R"({"type":"object","required":["clients"],"additionalProperties":false,"properties":{"clients":{"type":"array",)"
    R"("items":{"type":"object","required":["client","user","address","version","queued","in_flight"]}},)"
    R"("next":{"type":"string"}}})";

http::RouteDoc list_doc() {
  return {"MQTT clients that are connected",
          "In the order of their identifiers. `queued` and `lost` are those of the durable session, where there is "
          "one. Messages "
          "and bytes are those of PUBLISH packets, from the client (in) and to it (out).",
          {{"after", "identifiers behind this one: the `next` of the page before"},
           {"limit", "at most so many", kLimitSchema}},
          {},
          {{200, "as they are now", {{kClientsSchema}}}}};
}

http::RouteDoc kick_doc() {
  return {"End a client's connection",
          "In MQTT 5 with DISCONNECT 0x98. Its durable session stays, and it may connect again. In the audit trail as "
          "`mqtt.kick`.",
          {{"will", "whether its will is published; true", kFlagSchema}},
          {},
          {{200, "noted, synced and done", {{kPurgedSchema}}}}};
}

}  // namespace

void add_client_routes(http::HttpRouter& router, const GetBroker& broker) {
  using http::Method;
  router.add(Method::get, "/api/v1/mqtt/clients", [broker](HttpExchange& exchange) { list(exchange, broker); },
             {.needs = needs(auth::Verb::read), .doc = list_doc()});
  router.add(
      Method::get, "/api/v1/mqtt/clients/{id}", [broker](HttpExchange& exchange) { show(exchange, broker); },
      {.needs = needs(auth::Verb::read),
       .doc = {"One MQTT client, connected or not",
               "With its last ten connections since the start and when it was last heard. Of a client that is away "
               "that is all; when it was last seen is known also from before the start, to a minute.",
               {},
               {},
               {{200, "as it is now", {{kClientSchema}}}}}});
  router.add(Method::del, "/api/v1/mqtt/clients/{id}", [broker](HttpExchange& exchange) { kick(exchange, broker); },
             {.needs = needs(auth::Verb::remove), .doc = kick_doc()});
}

}  // namespace heptane::iot::mqtt_http
