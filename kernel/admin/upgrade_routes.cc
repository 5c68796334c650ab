// Which logic versions of the machines are in force and which this program knows; and the operator's command that switches
// to the newest. Every activation is a command of its own and answered when it is synced, with its event in `audit`.
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/auth/api.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/shard/kernel_state.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/versions.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;
using Versions = std::vector<MachineVersion>;

constexpr std::string_view kStatusSchema =
    R"({"type":"object","required":["machines","available"],"additionalProperties":false,"properties":{)"
    R"("available":{"type":"integer","minimum":0,"description":"machines with a newer version than the active one"},)"
    R"("machines":{"type":"array","items":{"type":"object","required":["name","active","newest"],)"
    R"("additionalProperties":false,"properties":{"name":{"type":"string"},"active":{"type":"integer","minimum":1},)"
    R"("newest":{"type":"integer","minimum":1}}}}}})";
constexpr std::string_view kActivateSchema =
    R"({"type":"object","additionalProperties":false,"properties":{"machine":{"type":"string",)"
    R"("description":"absent: every machine"}}})";
constexpr std::string_view kActivatedSchema =
    R"({"type":"object","required":["activated"],"additionalProperties":false,"properties":{)"
    R"("position":{"$ref":"#/components/schemas/Position"},"activated":{"type":"array","items":{"type":"object",)"
    R"("required":["machine","from","version"],"additionalProperties":false,"properties":{)"
    R"("machine":{"type":"string"},"from":{"type":"integer"},"version":{"type":"integer"}}}}}})";

void ask_versions(HttpExchange& exchange, std::function<void(HttpExchange&, Versions)> then) {
  QueryRequest query;
  query.machine = machine_ids::kKernel;
  query.type = kVersions;
  exchange.query(std::move(query), [then = std::move(then)](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    Result<Versions> versions = decode_versions(reply.payload.view());
    if (!versions) return answered.respond(error_response({Errc::internal, versions.error().message, 0}));
    then(answered, std::move(*versions));
  });
}

void respond_with_versions(HttpExchange& exchange, const Versions& versions) {
  JsonWriter out;
  int64_t available = 0;
  out.begin_object().key("machines").begin_array();
  for (const MachineVersion& version : versions) {
    out.begin_object().key("name").text(version.name).key("active").number(version.active);
    out.key("newest").number(version.newest).end_object();
    available += version.upgradable() ? 1 : 0;
  }
  out.end_array().key("available").number(available).end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

// What one request has to activate; gone through one after the other.
struct Activation {
  Versions wanted;
  size_t done = 0;
  Sequence last = 0;
};
using SharedActivation = std::shared_ptr<Activation>;

void respond_with_activated(HttpExchange& exchange, const Activation& activation) {
  JsonWriter out;
  out.begin_object().key("activated").begin_array();
  for (const MachineVersion& version : activation.wanted) {
    out.begin_object().key("machine").text(version.name).key("from").number(version.active);
    out.key("version").number(version.newest).end_object();
  }
  out.end_array();
  if (activation.last != 0) out.key("position").text(position_text(0, activation.last));
  out.end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void activate_next(HttpExchange& exchange, const SharedActivation& activation);

void note_activation(HttpExchange& exchange, const SharedActivation& activation) {
  const MachineVersion& version = activation->wanted[activation->done];
  const std::string detail =
      "logic version " + std::to_string(version.active) + " to " + std::to_string(version.newest);
  Buffer note = auth::encode(auth::Note{"upgrade.activate", version.name, detail, "done"});
  exchange.submit(streams::make_command(machine_ids::kAuth, auth::kNote, std::move(note)),
                  [activation](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    ++activation->done;
                    activate_next(answered, activation);
                  });
}

void activate_next(HttpExchange& exchange, const SharedActivation& activation) {
  if (activation->done == activation->wanted.size()) return respond_with_activated(exchange, *activation);
  const MachineVersion& version = activation->wanted[activation->done];
  exchange.submit(make_activation(version.machine, version.newest),
                  [activation](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    activation->last = reply.sequence;
                    note_activation(answered, activation);
                  });
}

void activate(HttpExchange& exchange) {
  auto document = http::JsonDocument::parse(std::move(exchange.request().body));
  if (!document) return exchange.respond(error_response(document.error()));
  http::JsonFields fields((*document)->root(), "");
  const bool named = (*document)->root().find("machine").has_value();
  const std::string machine(fields.text_or("machine", ""));
  if (const Result<void> finished = fields.finish(); !finished)
    return exchange.respond(error_response(finished.error()));
  ask_versions(exchange, [named, machine](HttpExchange& answered, Versions versions) {
    auto activation = std::make_shared<Activation>();
    bool found = !named;
    for (MachineVersion& version : versions) {
      if (named && version.name != machine) continue;
      found = true;
      if (version.upgradable()) activation->wanted.push_back(std::move(version));
    }
    if (!found)
      return answered.respond(
          error_response({Errc::not_found, "there is no machine " + machine + ": GET /api/v1/upgrade names them", 0}));
    activate_next(answered, activation);
  });
}

}  // namespace

void add_upgrade_routes(http::HttpRouter& router) {
  using http::Method;
  router.add(Method::get, "/api/v1/upgrade",
             [](HttpExchange& exchange) { ask_versions(exchange, respond_with_versions); },
             {.doc = {"Logic versions: the active one and the newest of every machine",
                      "",
                      {},
                      {},
                      {{200, "as of what is synced", {{kStatusSchema}}}}}});
  router.add(Method::post, "/api/v1/upgrade/activate", activate,
             {.doc = {"Activate the newest logic version of one machine or of all",
                      "From the command at `position` on apply() follows it; an older program refuses this log then.",
                      {},
                      {{kActivateSchema}},
                      {{200, "activated and synced; nothing when everything was", {{kActivatedSchema}}}}}});
}

}  // namespace heptane::admin
