// POST /api/v1/devices/{thing}/methods/{method}: a direct method (gateway/mqtt/method_calls.h). The thing is known, then connected, then
// the audit trail has the call and is synced, then the thing is asked, and the request waits for what it says.
#include <memory>

#include "kernel/auth/api.h"
#include "kernel/net/http/json.h"
#include "kernel/streams/api.h"
#include "modules/iot/domain/devices/method.h"
#include "modules/iot/domain/devices/thing.h"
#include "modules/iot/gateway/http/mqtt_answers.h"
#include "modules/iot/machine/devices/device_api.h"

namespace heptane::iot::mqtt_http {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;
using mqtt::Broker;
using CallPtr = mqtt::MethodCalls::CallPtr;

constexpr int64_t kNsPerSecond = 1'000'000'000;

struct Wish {
  Broker* broker = nullptr;
  std::string thing;
  std::string method;
  std::string payload;
  int64_t timeout_s = devices::kMethodSecondsDefault;
  int64_t connect_timeout_s = 0;
};
using Wished = std::shared_ptr<Wish>;

Result<void> read_body(std::string body, Wish& wish) {
  if (body.empty()) body = "{}";
  const auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  const auto payload = fields.value("payload");
  wish.payload = payload ? std::string(payload->raw()) : "null";
  wish.timeout_s = fields.integer_or("timeout_seconds", wish.timeout_s, 1, devices::kMethodSecondsMax);
  wish.connect_timeout_s =
      fields.integer_or("connect_timeout_seconds", wish.connect_timeout_s, 0, devices::kMethodSecondsMax);
  HEPTANE_TRY(fields.finish());
  if (wish.timeout_s + wish.connect_timeout_s > devices::kMethodSecondsMax)
    return admin::invalid("timeout_seconds and connect_timeout_seconds are 60 together at most");
  if (wish.payload.size() > devices::kMethodPayloadBytesMax)
    return Error{Errc::too_large, "a method's payload has at most 128 KiB", 0};
  return {};
}

Result<Wished> wish_of(http::HttpRequest& request) {
  HEPTANE_TRY(admin::check_parameters(request, {}));
  auto wish = std::make_shared<Wish>();
  wish->thing = request.param("thing");
  wish->method = request.param("method");
  if (!devices::valid_method_name(wish->method))
    return admin::invalid("a method's name is 1 to 128 of a-z A-Z 0-9 . : _ -");
  HEPTANE_TRY(read_body(std::move(request.body), *wish));
  return wish;
}

void respond_away(HttpExchange& exchange, const Wish& wish) {
  exchange.respond(HttpResponse::error(
      409, "not_connected", wish.thing + " is not connected, or does not listen for the method " + wish.method));
}

void respond_too_many(HttpExchange& exchange) {
  HttpResponse response =
      HttpResponse::error(429, "too_many", "too many calls wait for answers: 10 of a device, 1,000 and 32 MiB of all");
  response.headers.push_back({"Retry-After", "1"});
  exchange.respond(std::move(response));
}

// The reader takes objects and arrays alone.
Result<std::string> one_value(const std::string& text) {
  const auto document = http::JsonDocument::parse('[' + text + ']');
  if (!document) return document.error();
  const auto value = (*document)->root().first();
  if (!value || (*document)->root().size() != 1) return admin::invalid("it is not one value");
  return std::string(value->raw());
}

// What a device says is its own: it is JSON, or the caller is told that it is not.
void respond_answered(HttpExchange& exchange, const mqtt::MethodCalls::Answer& answer) {
  if (answer.payload.size() > devices::kMethodPayloadBytesMax)
    return exchange.respond(HttpResponse::error(502, "bad_answer", "the device's answer has more than 128 KiB"));
  const Result<std::string> payload = one_value(answer.payload.empty() ? "null" : answer.payload);
  if (!payload)
    return exchange.respond(
        HttpResponse::error(502, "bad_answer", "the device's answer is no JSON: " + payload.error().message));
  JsonWriter out;
  out.begin_object().key("status").unsigned_number(answer.status).key("payload").raw(*payload);
  out.end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void respond_late(HttpExchange& exchange, const Wish& wish) {
  exchange.respond(HttpResponse::error(
      504, "deadline",
      wish.thing + " did not answer in " + std::to_string(wish.timeout_s) + " s; it may still do what it was asked"));
}

void ask(HttpExchange& exchange, const Wished& wish, const CallPtr& call) {
  if (!wish->broker->methods().send(*call, wish->timeout_s)) return respond_away(exchange, *wish);
  call->wake = exchange.hold(wish->timeout_s * kNsPerSecond, [wish, call](HttpExchange& held) {
    call->wake = nullptr;
    if (call->answer) return respond_answered(held, *call->answer);
    respond_late(held, *wish);
  });
}

// Noted and synced before the thing hears of it.
void note(HttpExchange& exchange, const Wished& wish, const CallPtr& call) {
  Buffer note = auth::encode(auth::Note{"devices.call", wish->thing, wish->method, "done"});
  exchange.submit(streams::make_command(machine_ids::kAuth, auth::kNote, std::move(note)),
                  [wish, call](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                    ask(answered, wish, call);
                  });
}

// Who comes may listen for other methods first.
void wait_for_thing(HttpExchange& exchange, const Wished& wish, const CallPtr& call, int64_t until_ns) {
  if (wish->broker->methods().is_heard(*call)) return note(exchange, wish, call);
  const int64_t left_ns = until_ns - exchange.context().monotonic_ns();
  if (left_ns <= 0) return respond_away(exchange, *wish);
  call->wake = exchange.hold(left_ns, [wish, call, until_ns](HttpExchange& held) {
    call->wake = nullptr;
    wait_for_thing(held, wish, call, until_ns);
  });
}

void begin(HttpExchange& exchange, const Wished& wish) {
  const CallPtr call = wish->broker->methods().begin(wish->thing, wish->method, std::move(wish->payload));
  if (call == nullptr) return respond_too_many(exchange);
  wait_for_thing(exchange, wish, call, exchange.context().monotonic_ns() + wish->connect_timeout_s * kNsPerSecond);
}

void call(HttpExchange& exchange, const GetBroker& get_broker) {
  Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const Result<Wished> wish = wish_of(exchange.request());
  if (!wish) return exchange.respond(admin::error_response(wish.error()));
  (*wish)->broker = broker;
  QueryRequest query{devices::kDevicesMachineId, devices::kQueryThing, Buffer::copy_of((*wish)->thing), {}};
  exchange.query(std::move(query), [wish = *wish](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    if (reply.numbers[0] == 0)
      return answered.respond(admin::error_response({Errc::not_found, "there is no thing " + wish->thing, 0}));
    begin(answered, wish);
  });
}

constexpr std::string_view kCallSchema =
    R"({"type":"object","additionalProperties":false,"properties":{"payload":{},)"
    R"("timeout_seconds":{"type":"integer","minimum":1,"maximum":60,"default":30},)"
    R"("connect_timeout_seconds":{"type":"integer","minimum":0,"maximum":59,"default":0}}})";
constexpr std::string_view kAnsweredSchema =
    R"({"type":"object","required":["status","payload"],"additionalProperties":false,"properties":{)"
    R"("status":{"type":"integer","minimum":0},"payload":{}}})";
constexpr std::string_view kErrorSchema = R"({"$ref":"#/components/schemas/Error"})";

http::RouteDoc call_doc() {
  return {"Call a method of a device",
          "The device is asked over MQTT, and what it answers is the answer. `devices.call` in the audit trail, before "
          "it is asked. What its status means is the device's affair.",
          {},
          {{kCallSchema}},
          {{200, "what the device says", {{kAnsweredSchema}}},
           {404, "there is no such device", {{kErrorSchema}}},
           {409, "it is not connected, or does not listen for this method", {{kErrorSchema}}},
           {429, "too many calls wait for answers", {{kErrorSchema}}},
           {502, "its answer is no JSON, or too long", {{kErrorSchema}}},
           {504, "it did not answer in time", {{kErrorSchema}}}}};
}

}  // namespace

void add_method_route(http::HttpRouter& router, const GetBroker& broker) {
  router.add(http::Method::post, "/api/v1/devices/{thing}/methods/{method}",
             [broker](HttpExchange& exchange) { call(exchange, broker); },
             {.needs = {"admin", "devices", auth::Verb::write, false, false}, .doc = call_doc()});
}

}  // namespace heptane::iot::mqtt_http
