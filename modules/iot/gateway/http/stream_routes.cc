#include "modules/iot/gateway/http/stream_routes.h"

#include <memory>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/guard.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/streams/api.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr std::string_view kStreamSchema =
    R"({"type":"object","required":["name","filter","partitions","qos0","publish","relaxed"],"additionalProperties":false,)"
    R"("properties":{"name":{"type":"string"},"filter":{"type":"string"},"retention_ms":{"type":"integer","minimum":-2},)"
    R"("retention_bytes":{"type":"integer","minimum":-2},"partitions":{"type":"integer","minimum":1,"maximum":64},)"
    R"("qos0":{"type":"boolean"},"publish":{"type":"boolean"},"relaxed":{"type":"boolean"}}})";
constexpr std::string_view kNewStream =
    R"({"type":"object","required":["name","filter"],"additionalProperties":false,"properties":{)"
    R"("name":{"type":"string","maxLength":249},"filter":{"type":"string","maxLength":1024},)"
    R"("retention_ms":{"type":"integer","minimum":-2},"retention_bytes":{"type":"integer","minimum":-2},)"
    R"("partitions":{"type":"integer","minimum":1,"maximum":64,"default":1},"qos0":{"type":"boolean","default":false},)"
    R"("publish":{"type":"boolean","default":false},"relaxed":{"type":"boolean","default":false}}})";
constexpr std::string_view kDone =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";

bool flag_or_false(http::JsonFields& fields, std::string_view name) {
  const auto value = fields.value(name);
  if (!value) return false;
  if (value->type() != http::JsonType::boolean) fields.fail(fields.path_of(name) + " must be true or false");
  return value->type() == http::JsonType::boolean && value->boolean();
}

Result<StreamDeclaration> parse(std::string body) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  StreamDeclaration read;
  read.name = fields.text("name");
  read.filter = fields.text("filter");
  read.retention_ms = fields.integer_or("retention_ms", -1, kForEver, INT64_MAX);
  read.retention_bytes = fields.integer_or("retention_bytes", -1, kForEver, INT64_MAX);
  read.partitions = static_cast<uint32_t>(fields.integer_or("partitions", 1, 1, kDeclaredPartitionsMax));
  read.qos0 = flag_or_false(fields, "qos0");
  read.publish = flag_or_false(fields, "publish");
  read.relaxed = flag_or_false(fields, "relaxed");
  HEPTANE_TRY(fields.finish());
  std::string wrong = wrong_declaration(read);
  if (!wrong.empty()) return Error{Errc::invalid_argument, std::move(wrong)};
  return read;
}

HttpResponse done(int status, const std::string& name, const Reply& reply) {
  JsonWriter out;
  out.begin_object().key("name").text(name);
  if (!reply.repeated) out.key("position").text(position_text(0, reply.sequence));
  out.end_object();
  return HttpResponse::json(status, out.take());
}

bool may(HttpExchange& exchange, std::string_view module, std::string_view resource, Verb verb) {
  if (exchange.allowed(module, resource, verb)) return true;
  exchange.respond(http::forbidden(exchange.identity().name, module, resource, verb));
  return false;
}

// To change one that is there is another right than to make one; what the machine refuses for want of it is noted.
void declare(HttpExchange& exchange) {
  const Result<StreamDeclaration> said = parse(std::move(exchange.request().body));
  if (!said) return exchange.respond(error_response(said.error()));
  if (!may(exchange, "streams", said->name, Verb::create) || !may(exchange, "mqtt", said->filter, Verb::read)) return;
  const std::function<bool()> alters = exchange.standing("streams", said->name, Verb::alter);
  const bool may_change = !alters || alters();
  exchange.submit(streams::make_command(kBrokerMachineId, kDeclareStream, encode(*said, may_change)),
                  [name = said->name](HttpExchange& answered, const Reply& reply) {
                    if (reply.error == Errc::unauthorised) answered.denied("streams: " + reply.message);
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(!reply.repeated && reply.numbers[0] == 1 ? 201 : 200, name, reply));
                  });
}

void drop(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  exchange.submit(streams::make_command(kBrokerMachineId, kDropStream, Buffer::copy_of(name)),
                  [name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(200, name, reply));
                  });
}

void write(JsonWriter& out, const StreamDeclaration& stream) {
  out.begin_object().key("name").text(stream.name).key("filter").text(stream.filter);
  if (stream.retention_ms != -1) out.key("retention_ms").number(stream.retention_ms);
  if (stream.retention_bytes != -1) out.key("retention_bytes").number(stream.retention_bytes);
  out.key("partitions").number(stream.partitions);
  out.key("qos0").boolean(stream.qos0).key("publish").boolean(stream.publish);
  out.key("relaxed").boolean(stream.relaxed).end_object();
}

void list(HttpExchange& exchange) {
  QueryRequest query;
  query.machine = kBrokerMachineId;
  query.type = kQueryDeclared;
  exchange.query(std::move(query), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto streams = decode_declarations(reply.payload.view());
    if (!streams) return answered.respond(error_response(streams.error()));
    JsonWriter out;
    out.begin_object().key("streams").begin_array();
    for (const StreamDeclaration& stream : *streams)
      if (answered.sees("streams", stream.name)) write(out, stream);
    out.end_array().end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

http::RouteDoc declare_doc() {
  return {
      .summary = "Declare a stream over a topic filter",
      .text =
          "From this position on every message at QoS 1 or 2, and every retained one, whose topic matches the filter "
          "is a record of this stream (of each such stream) instead of `iot.messages`; with `qos0` those at QoS 0 as "
          "well, which with `relaxed` reach subscribers before they are synced. A repeat with other values changes the "
          "stream, except for its partitions; that needs `alter` on it. "
          "Of retention, -1 (or nothing) is the server's default and -2 is for ever.",
      .parameters = {},
      .bodies = {{kNewStream}},
      .answers = {{201, "the stream is there, synced", {{kDone}}},
                  {200, "it was there: changed, or as it was (without a position)", {{kDone}}},
                  {409, "a stream of that name is something else, or too many are declared", {{kError}}}}};
}

http::RouteDoc drop_doc() {
  return {.summary = "Drop a stream over a topic filter, with its records",
          .text =
              "What comes from now on is in `iot.messages` or in other streams. Messages of this stream that durable "
              "sessions did not get yet are lost to them, and counted.",
          .parameters = {},
          .bodies = {},
          .answers = {{200, "gone, synced", {{kDone}}}, {404, "no such stream is declared", {{kError}}}}};
}

http::RouteDoc list_doc() {
  static const std::string schema = R"({"type":"object","required":["streams"],"additionalProperties":false,)"
                                    R"("properties":{"streams":{"type":"array","items":)" +
                                    std::string(kStreamSchema) + "}}}";
  return {.summary = "Streams over topic filters",
          .text = "Those that the one who asks may see, in the order of their names.",
          .parameters = {},
          .bodies = {},
          .answers = {{200, "as of what is synced", {{schema}}}}};
}

}  // namespace

void add_stream_routes(http::HttpRouter& router) {
  const http::Needs in_handler{"", "", Verb::read, false, true};
  constexpr std::string_view kPath = "/api/v1/mqtt/streams";
  router.add(http::Method::get, kPath, list, {.needs = in_handler, .doc = list_doc()});
  router.add(http::Method::post, kPath, declare, {.needs = in_handler, .doc = declare_doc()});
  router.add(http::Method::del, "/api/v1/mqtt/streams/{name}", drop,
             {.needs = {"streams", "{name}", Verb::remove, false, false}, .doc = drop_doc()});
}

}  // namespace heptane::iot
