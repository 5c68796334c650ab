// Shadows over HTTP: /api/v1/devices/{thing}/shadow. What changes one is the same command as over MQTT, and subscribers hear of it
// the same way; what is no request at all is answered without one.

#include <algorithm>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/devices/shadow_json.h"
#include "modules/iot/gateway/http/device_routes.h"
#include "modules/iot/machine/devices/shadow_api.h"

namespace heptane::iot::devices {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;

constexpr int64_t kNsPerSecond = 1'000'000'000;

int64_t now_s(HttpExchange& exchange) { return exchange.context().utc_ns() / kNsPerSecond; }

HttpResponse document(int64_t code, std::string text) {
  text += '\n';
  return HttpResponse::json(static_cast<int>(code), std::move(text));
}

// Whose shadow; or what is wrong with it. `thing` lives in the request.
Result<ShadowTopic> topic_of(const http::HttpRequest& request, ShadowOperation operation) {
  HEPTANE_TRY(admin::check_parameters(request, {"name"}));
  ShadowTopic topic{request.param("thing"), "", operation};
  if (!valid_name(topic.thing)) return admin::invalid("a thing's name is 1 to 128 of a-z A-Z 0-9 : _ -");
  const auto found =
      std::find_if(request.query.begin(), request.query.end(), [](const auto& one) { return one.first == "name"; });
  if (found == request.query.end()) return topic;
  topic.name = found->second;
  if (!valid_name(topic.name) || topic.name.size() > kShadowNameBytesMax)
    return admin::invalid("a shadow's name is 1 to 64 of a-z A-Z 0-9 : _ -");
  return topic;
}

void get(HttpExchange& exchange) {
  const auto topic = topic_of(exchange.request(), ShadowOperation::get);
  if (!topic) return exchange.respond(error_response(topic.error()));
  QueryRequest query{
      kDevicesMachineId, kQueryShadow, encode_shadow_query(topic->thing, topic->name, now_s(exchange)), {}};
  exchange.query(std::move(query), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    answered.respond(document(reply.numbers[0], std::string(as_text(reply.payload.view()))));
  });
}

void request(HttpExchange& exchange, ShadowOperation operation) {
  const auto topic = topic_of(exchange.request(), operation);
  if (!topic) return exchange.respond(error_response(topic.error()));
  const ShadowRequest said = read_shadow_request(*topic, exchange.request().body);
  if (said.fault != ShadowFault::none) {
    const ShadowOutcome rejected = reject(said, said.fault, now_s(exchange));
    return exchange.respond(document(rejected.code, rejected.answers.back().payload));
  }
  exchange.submit(streams::make_command(kDevicesMachineId, kShadowRequest, encode(said)),
                  [](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    const auto made = decode_shadow_reply(reply.payload);
                    if (!made) return answered.respond(error_response({Errc::corrupt, "the answer is cut off", 0}));
                    answered.respond(document(reply.numbers[0], std::string(made->last)));
                  });
}

void names(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {});
  if (!known) return exchange.respond(error_response(known.error()));
  QueryRequest query{kDevicesMachineId, kQueryShadowNames, Buffer::copy_of(exchange.request().param("thing")), {}};
  exchange.query(std::move(query), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    http::JsonWriter out;
    out.begin_object().key("classic").boolean(reply.numbers[1] != 0).key("names").begin_array();
    ByteReader in(reply.payload.view());
    while (in.remaining() > 0 && !in.failed()) out.text(read_text(in, kShadowNameBytesMax));
    out.end_array().end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

constexpr std::string_view kDocument =
    R"({"type":"object","properties":{"state":{"type":"object"},"metadata":{"type":"object"},)"
    R"("version":{"type":"integer"},"timestamp":{"type":"integer"},"clientToken":{"type":"string"}}})";
constexpr std::string_view kRequest =
    R"({"type":"object","required":["state"],"properties":{"state":{"type":"object","additionalProperties":false,)"
    R"("properties":{"desired":{"type":["object","null"]},"reported":{"type":["object","null"]}}},)"
    R"("version":{"type":"integer","minimum":0},"clientToken":{"type":"string","maxLength":64}}})";
constexpr std::string_view kDeletion = R"({"type":"object","properties":{"version":{"type":"integer","minimum":0},)"
                                       R"("clientToken":{"type":"string","maxLength":64}}})";
constexpr std::string_view kRejected =
    R"({"type":"object","properties":{"code":{"type":"integer"},"message":{"type":"string"},)"
    R"("timestamp":{"type":"integer"},"clientToken":{"type":"string"},"error":{"type":"object"}}})";
constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";
constexpr std::string_view kShadowNames =
    R"({"type":"object","required":["classic","names"],"additionalProperties":false,"properties":{)"
    R"("classic":{"type":"boolean"},"names":{"type":"array","items":{"type":"string"}}}})";

std::vector<http::AnswerDoc> answers(const char* text, std::initializer_list<int> rejections) {
  std::vector<http::AnswerDoc> all{{200, text, {{kDocument}}}};
  for (const int code : rejections) all.push_back({code, "rejected, as over MQTT", {{kRejected}}});
  return all;
}

const std::vector<http::ParameterDoc>& name_parameter() {
  static const std::vector<http::ParameterDoc> parameters{{"name", "of a named shadow; absent: the classic one"}};
  return parameters;
}

}  // namespace

void add_shadow_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kPath = "/api/v1/devices/{thing}/shadow";
  const auto needs = [](Verb verb) { return http::Needs{"admin", "devices", verb, false, false}; };
  router.add(Method::get, kPath, get,
             {.needs = needs(Verb::read),
              .doc = {"A device's shadow",
                      "The document that `get` gives over MQTT.",
                      name_parameter(),
                      {},
                      answers("as of what is synced", {404})}});
  router.add(
      Method::post, kPath, [](HttpExchange& exchange) { request(exchange, ShadowOperation::update); },
      {.needs = needs(Verb::write),
       .doc = {"Change a device's shadow",
               "As an update over MQTT; who is subscribed gets `delta`, `documents` and `accepted`. The answer is "
               "what `accepted` says.",
               name_parameter(),
               {{kRequest}},
               answers("accepted and synced", {400, 404, 409, 413, 415})}});
  router.add(Method::del, kPath, [](HttpExchange& exchange) { request(exchange, ShadowOperation::remove); },
             {.needs = needs(Verb::remove),
              .doc = {"Delete a device's shadow",
                      "Its version goes on for 48 hours.",
                      name_parameter(),
                      {{kDeletion}},
                      answers("gone, synced", {400, 404, 409, 413, 415})}});
  router.add(
      Method::get, "/api/v1/devices/{thing}/shadows", names,
      {.needs = needs(Verb::read),
       .doc = {"Which shadows a device has",
               "",
               {},
               {},
               {{200, "as of what is synced", {{kShadowNames}}}, {404, "there is no such device", {{kError}}}}}});
}

}  // namespace heptane::iot::devices
