#include "kernel/admin/admin.h"

#include "kernel/admin/answers.h"
#include "kernel/admin/api_schemas.h"
#include "kernel/admin/blob_routes.h"
#include "kernel/admin/permissions.h"
#include "kernel/admin/transact_request.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/net/http/openapi.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::HttpRouter;
using http::JsonWriter;
using http::Method;

HttpResponse ready_response(const Readiness& readiness) {
  JsonWriter out;
  out.begin_object().key("ready").boolean(readiness.ready);
  if (!readiness.ready) {
    out.key("phase").text(readiness.phase);
    out.key("done").unsigned_number(readiness.done).key("total").unsigned_number(readiness.total);
  }
  out.end_object();
  HttpResponse response = HttpResponse::json(readiness.ready ? 200 : 503, out.take());
  if (!readiness.ready) response.headers.push_back({"Retry-After", "1"});
  return response;
}

void transact(HttpExchange& exchange, const OperationTable& operations) {
  Result<TransactRequest> parsed = parse_transact(std::move(exchange.request().body), operations);
  if (!parsed) return exchange.respond(error_response(parsed.error()));
  if (auto refusal = transact_refusal(exchange, *parsed)) return exchange.respond(std::move(*refusal));
  write_rights(exchange, *parsed);
  auto request = std::make_shared<TransactRequest>(std::move(*parsed));
  Submission submission = std::exchange(request->submission, {});
  request->submission.idempotency = submission.idempotency;
  exchange.submit(std::move(submission), [request](HttpExchange& answered, const Reply& reply) {
    Reply said = reply;
    note_denied(answered, *request, said);
    answered.respond(transact_response(*request, said));
  });
}

http::RouteDoc live_doc() {
  return {"Whether the process answers",
          "",
          {},
          {},
          {{200, "it does", {{R"({"type":"object","required":["live"],"properties":{"live":{"const":true}}})"}}}}};
}

http::RouteDoc ready_doc() {
  constexpr std::string_view kSchema = R"({"$ref":"#/components/schemas/Readiness"})";
  return {"Whether the server serves", "", {}, {}, {{200, "it does", {{kSchema}}}, {503, "not yet", {{kSchema}}}}};
}

http::RouteDoc metrics_doc() {
  return {"Metrics for Prometheus", "", {}, {}, {{200, "text format 0.0.4", {{http::kTextSchema, "text/plain"}}}}};
}

http::RouteDoc transact_doc() {
  return {"Operations for several machines: all happen or none",
          "Guards run first, then operations, each seeing what those before it did.",
          {},
          {{R"({"$ref":"#/components/schemas/Transaction"})"}},
          {{200, "kept and synced", {{R"({"$ref":"#/components/schemas/Transacted"})"}}}}};
}

// While the log is replayed nothing may be asked of the shard, and nobody knows yet who may see the metrics; afterwards a
// stopping server answers by itself.
std::optional<HttpResponse> held_back(const http::HttpRequest& request, const std::function<Readiness()>& readiness,
                                      const auth::Gate* gate) {
  if (request.path == "/livez" || request.path == "/readyz") return std::nullopt;
  if (request.path == "/" || request.path.starts_with("/assets/"))
    return std::nullopt;  // a page that shows how far it is
  if (request.path == "/metrics" && (gate == nullptr || !gate->enabled())) return std::nullopt;
  const Readiness now = readiness();
  if (now.ready || now.phase == "stopping") return std::nullopt;
  HttpResponse response =
      HttpResponse::error(503, "starting", "the server is not ready yet: GET /readyz says how far it is");
  response.headers.push_back({"Retry-After", "1"});
  return response;
}

http::HttpService make_service(AdminOptions options) {
  http::HttpService service;
  service.limits = options.limits;
  service.hosts = http::HostCheck(std::move(options.hosts));
  service.counters = options.counters;
  if (options.wait_until_ready && options.readiness)
    service.hold = [readiness = options.readiness, gate = options.gate](const http::HttpRequest& request) {
      return held_back(request, readiness, gate);
    };
  if (!options.operations) options.operations = std::make_shared<OperationTable>();
  add_health_routes(service.router, std::move(options.readiness), options.telemetry);
  if (options.telemetry != nullptr) add_live_metrics_route(service.router, *options.telemetry);
  if (options.looks) add_explain_routes(service.router, *options.looks);
  add_transact_route(service.router, std::move(options.operations));
  if (options.snapshot) add_snapshot_routes(service.router, std::move(options.snapshot));
  add_upgrade_routes(service.router);
  add_stream_routes(service.router, options.view_inputs);
  add_read_route(service.router);
  add_append_route(service.router, options.view_inputs);
  add_tail_route(service.router);
  if (options.blobs != nullptr) add_blob_routes(service.router, *options.blobs);
  if (options.gate != nullptr) add_auth_routes(service.router, *options.gate);
  if (options.add_routes) options.add_routes(service.router);
  add_openapi_route(service.router);
  service.gate = options.gate;
  service.quotas = options.quotas;
  service.listener = "admin";
  require_permissions(service.router);
  return service;
}

}  // namespace

AdminProtocol::AdminProtocol(AdminOptions options) : protocol_("admin", make_service(std::move(options))) {}

void add_health_routes(HttpRouter& router, std::function<Readiness()> readiness, const Telemetry* telemetry) {
  router.add(Method::get, "/livez",
             [](HttpExchange& exchange) { exchange.respond(HttpResponse::json(200, "{\"live\":true}\n")); },
             {.doc = live_doc()});
  const auto ready = [readiness = std::move(readiness)](HttpExchange& exchange) {
    exchange.respond(ready_response(readiness ? readiness() : Readiness{true, {}, 0, 0}));
  };
  router.add(Method::get, "/readyz", ready, {.doc = ready_doc()});
  if (telemetry == nullptr) return;
  const auto metrics = [telemetry](HttpExchange& exchange) {
    exchange.respond({200, "text/plain; version=0.0.4; charset=utf-8", telemetry->render(), {}});
  };
  router.add(Method::get, "/metrics", metrics, {.doc = metrics_doc()});
}

void add_snapshot_routes(HttpRouter& router, std::function<SnapshotStatus(bool)> snapshot) {
  constexpr std::string_view kSchema = R"({"$ref":"#/components/schemas/SnapshotStatus"})";
  const auto respond = [snapshot = std::move(snapshot)](HttpExchange& exchange, bool ask) {
    const SnapshotStatus status = snapshot(ask);
    JsonWriter out;
    out.begin_object();
    if (ask) out.key("request").unsigned_number(status.request);
    out.key("answered").unsigned_number(status.answered).key("last_failed").boolean(status.last_failed);
    out.key("taken").unsigned_number(status.taken).key("failed").unsigned_number(status.failed);
    out.key("bytes").unsigned_number(status.bytes).key("position").text(position_text(0, status.sequence)).end_object();
    exchange.respond(HttpResponse::json(ask ? 202 : 200, out.take()));
  };
  router.add(Method::get, "/api/v1/snapshot", [respond](HttpExchange& exchange) { respond(exchange, false); },
             {.doc = {"The newest snapshot", "", {}, {}, {{200, "what is known of snapshots", {{kSchema}}}}}});
  router.add(
      Method::post, "/api/v1/snapshot", [respond](HttpExchange& exchange) { respond(exchange, true); },
      {.doc = {"Take a snapshot now", "The answer does not wait for it.", {}, {}, {{202, "asked for", {{kSchema}}}}}});
}

void add_transact_route(HttpRouter& router, std::shared_ptr<const OperationTable> operations) {
  router.add(Method::post, "/api/v1/transact",
             [operations = std::move(operations)](HttpExchange& exchange) { transact(exchange, *operations); },
             {.doc = transact_doc()});
}

void add_openapi_route(HttpRouter& router) {
  describe_routes(router);
  const auto document = std::make_shared<std::string>();
  http::RouteDoc doc = {
      "This document", "", {}, {}, {{200, "OpenAPI 3.1", {{R"({"type":"object","required":["openapi","paths"]})"}}}}};
  router.add(Method::get, "/api/v1/openapi.json",
             [document](HttpExchange& exchange) { exchange.respond(HttpResponse::json(200, *document)); },
             {.doc = std::move(doc)});
  *document = openapi_document(
      router, {"Heptane", "The operators' listener: health, metrics, streams, transactions.", "1", api_schemas()});
}

}  // namespace heptane::admin
