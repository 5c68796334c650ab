#include "modules/iot/gateway/series/series_http.h"

#include "kernel/base/version.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot::series {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

// From the end of a query's time until that is said: the end of a slice, a wait for the projection.
constexpr int64_t kOverNs = 5'000'000'000;

std::string code_of(int status) {
  switch (status) {
    case 401: return "unauthorized";
    case 403: return "forbidden";
    case 404: return "not found";
    case 422: return "unprocessable entity";
    default: return status < 500 ? "invalid" : "unavailable";
  }
}

// Clients look for the version before they speak.
HttpResponse named(HttpResponse response) {
  response.headers.push_back({"X-Influxdb-Build", "Heptane"});
  response.headers.push_back({"X-Influxdb-Version", "1.8-heptane-" + std::string(kVersion)});
  return response;
}

// What is not possible now may be soon.
HttpResponse error_json(int status, std::string body) {
  HttpResponse response = HttpResponse::json(status, std::move(body));
  if (status == 503) response.headers.push_back({"Retry-After", "1"});
  return response;
}

void ping(HttpExchange& exchange) { exchange.respond(named({204, "", "", {}})); }

// Open: whether the points are shown, and nothing of them.
void health(HttpExchange& exchange, const Projection& projection) {
  const bool failed = projection.failed();
  JsonWriter out;
  out.begin_object().key("name").text("heptane").key("message");
  out.text(failed ? "ready for writes; queries are answered with what is wrong" : "ready for queries and writes");
  out.key("status").text(failed ? "fail" : "pass").key("version").text(kVersion);
  out.key("shown").number(projection.store().applied()).end_object();
  exchange.respond(named(HttpResponse::json(failed ? 503 : 200, out.take())));
}

}  // namespace

HttpResponse error_v1(int status, std::string_view message) {
  JsonWriter out;
  out.begin_object().key("error").text(message).end_object();
  return error_json(status, out.take());
}

HttpResponse error_v2(int status, std::string_view message) {
  JsonWriter out;
  out.begin_object().key("code").text(code_of(status)).key("message").text(message).end_object();
  return error_json(status, out.take());
}

bool may(HttpExchange& exchange, std::string_view database, auth::Verb verb) {
  return exchange.allowed("admin", "series/" + std::string(database), verb);
}

void add_health_routes(http::HttpRouter& router, const Projection& projection) {
  const http::RouteOptions open{.any_content_type = true, .needs = {.open = true}};
  router.add(http::Method::get, "/ping", ping, open);
  router.add(
      http::Method::get, "/health", [&projection](HttpExchange& exchange) { health(exchange, projection); }, open);
}

http::HttpService make_series_service(Projection& projection, const SeriesLimits& limits, auth::Gate* gate,
                                      net::Quotas* quotas, http::HttpCounters& counters,
                                      std::vector<std::string> hosts) {
  http::HttpService service;
  service.limits.body_bytes = kLinesBytesMax;
  service.limits.answer_deadline_ns = kQueryWaitNs + limits.query_ns + kOverNs;
  service.hosts = http::HostCheck(std::move(hosts));
  add_write_routes(service.router, projection, limits);
  add_query_routes(service.router, projection, limits);
  add_health_routes(service.router, projection);
  service.counters = &counters;
  service.gate = gate;
  service.quotas = quotas;
  service.listener = "series";
  return service;
}

}  // namespace heptane::iot::series
