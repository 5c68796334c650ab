#include "modules/iot/gateway/http/provisioning_routes.h"

#include <functional>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/guard.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/devices/provisioning_json.h"
#include "modules/iot/gateway/http/credential_json.h"
#include "modules/iot/machine/provisioning/provisioning_api.h"

namespace heptane::iot::devices {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonFields;
using http::JsonWriter;

http::Needs needs(Verb verb) { return {"admin", "provisioning", verb, false, false}; }

Submission command_of(CommandType type, Buffer payload) {
  return streams::make_command(kProvisioningMachineId, type, std::move(payload));
}

QueryRequest query_of(uint16_t type, std::string_view name, bool alone) {
  return {kProvisioningMachineId, type, encode_names_query(name, alone), {}};
}

HttpResponse done(int status, std::string_view name, const Reply& reply) {
  JsonWriter out;
  out.begin_object().key("name").text(name);
  if (!reply.repeated) out.key("position").text(position_text(0, reply.sequence));
  out.end_object();
  return HttpResponse::json(status, out.take());
}

Error cut_off() { return {Errc::corrupt, "a page of provisioning is cut off", 0}; }

// What the devices may that come of it, the one who says so must be one who gives roles.
bool may_give(HttpExchange& exchange, bool gives) {
  if (!gives || exchange.allowed("auth", "*", Verb::admin)) return true;
  exchange.respond(http::forbidden(exchange.identity().name, "auth", "*", Verb::admin));
  return false;
}

// Templates.

void put_template(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  const Result<ProvisioningTemplate> wanted = template_of_json(std::move(exchange.request().body), name);
  if (!wanted) return exchange.respond(error_response(wanted.error()));
  if (!may_give(exchange, !wanted->roles.empty())) return;
  exchange.submit(command_of(kPutTemplate, encode(*wanted)), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    answered.respond(done(reply.numbers[0] == 1 ? 201 : 200, name, reply));
  });
}

void drop_template(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  exchange.submit(command_of(kDropTemplate, Buffer::copy_of(name)), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    answered.respond(done(200, name, reply));
  });
}

void show_template(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  exchange.query(query_of(kQueryTemplates, name, true), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto found = decode_templates(reply.payload.view());
    if (!found) return answered.respond(error_response(cut_off()));
    if (found->empty()) return answered.respond(error_response({Errc::not_found, "there is no template " + name, 0}));
    JsonWriter out;
    write_template(out, found->front());
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// The `after` of a list; answered where it is none.
std::optional<std::string> after_of(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  std::string after(exchange.request().query_value("after").value_or(""));
  if (known && (after.empty() || valid_name(after))) return after;
  exchange.respond(error_response(known ? admin::invalid("after is no name") : known.error()));
  return std::nullopt;
}

void list_templates(HttpExchange& exchange) {
  const auto after = after_of(exchange);
  if (!after) return;
  exchange.query(query_of(kQueryTemplates, *after, false), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto page = decode_templates(reply.payload.view());
    if (!page) return answered.respond(error_response(cut_off()));
    JsonWriter out;
    out.begin_object().key("templates").begin_array();
    for (const ProvisioningTemplate& of : *page) write_template(out, of);
    out.end_array();
    if (reply.numbers[1] != 0 && !page->empty()) out.key("next").text(page->back().name);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// Claims.

Result<Credential> claim_of_json(std::string text) {
  const auto document = http::JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  Credential claim;
  claim.claim = fields.text("name");
  claim.hash = read_certificate_hash(fields);
  claim.templates = read_names(fields, "templates");
  claim.state = read_state(fields, false);
  claim.expires = read_expiry(fields);
  HEPTANE_TRY(fields.finish());
  return claim;
}

void add_claim(HttpExchange& exchange) {
  const Result<Credential> claim = claim_of_json(std::move(exchange.request().body));
  if (!claim) return exchange.respond(error_response(claim.error()));
  if (!may_give(exchange, true)) return;  // its templates may get roles later
  exchange.submit(command_of(kAddCredential, encode(*claim)),
                  [name = claim->claim](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(201, name, reply));
                  });
}

void change_claim(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  const auto change = credential_change_of_json(std::move(exchange.request().body), {"", name, ""});
  if (!change) return exchange.respond(error_response(change.error()));
  if (!may_give(exchange, change->lets_in())) return;
  exchange.submit(command_of(kChangeCredential, encode(*change)), [name](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    answered.respond(done(200, name, reply));
  });
}

void drop_claim(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  exchange.submit(command_of(kDropCredential, encode(CredentialName{"", name, ""})),
                  [name](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(200, name, reply));
                  });
}

void list_claims(HttpExchange& exchange) {
  const auto after = after_of(exchange);
  if (!after) return;
  exchange.query(query_of(kQueryClaims, *after, false), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto page = decode_credential_rows(reply.payload.view());
    if (!page) return answered.respond(error_response(cut_off()));
    JsonWriter out;
    out.begin_object().key("claims").begin_array();
    for (const CredentialRow& row : *page) {
      out.begin_object().key("name").text(row.credential.claim);
      write_credential(out, row);
      out.end_object();
    }
    out.end_array();
    if (reply.numbers[1] != 0 && !page->empty()) out.key("next").text(page->back().credential.claim);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

// What they say of themselves.

constexpr std::string_view kDone =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kTemplateMembers =
    R"("description":{"type":"string","maxLength":1024},"enabled":{"type":"boolean"},"things":{"type":"string",)"
    R"("enum":["make","registered","any"]},"parameters":{"type":"object","additionalProperties":{"type":["string",)"
    R"("null"]}},"thing":{"type":"string"},"type":{"type":"string"},"attributes":{"type":"object",)"
    R"("additionalProperties":{"type":"string"}},"tags":{"type":"array","items":{"type":"string"}},"groups":{)"
    R"("type":"array","items":{"type":"string"}},"roles":{"type":"array","maxItems":16,"items":{"type":"string"}},)"
    R"("configuration":{"type":"object"})";
constexpr std::string_view kClaim =
    R"({"type":"object","required":["name","templates"],"additionalProperties":false,"properties":{"name":{)"
    R"("type":"string"},"fingerprint":{"type":"string"},"certificate":{"type":"string","maxLength":16384},)"
    R"("templates":{"type":"array","minItems":1,"maxItems":16,"items":{"type":"string"}},"state":{"type":"string",)"
    R"("enum":["active","inactive"]},"expires_ms":{"type":"integer","minimum":1}}})";
constexpr std::string_view kClaimChange =
    R"({"type":"object","additionalProperties":false,"properties":{"state":{"type":"string","enum":["active",)"
    R"("inactive","revoked"]},"expires_ms":{"type":["integer","null"],"minimum":1}}})";
constexpr std::string_view kClaims =
    R"({"type":"object","required":["claims"],"additionalProperties":false,"properties":{"claims":{"type":"array",)"
    R"("items":{"type":"object","required":["name","id","kind","state","created_ms","changed_ms"],)"
    R"("additionalProperties":false,"properties":{"name":{"type":"string"},"id":{"type":"string"},"kind":{)"
    R"("type":"string"},"state":{"type":"string"},"templates":{"type":"array","items":{"type":"string"}},)"
    R"("expires_ms":{"type":"integer"},"created_ms":{"type":"integer"},"changed_ms":{"type":"integer"}}}},"next":{)"
    R"("type":"string"}}})";
constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";

const std::string& wanted_template_schema() {
  static const std::string schema =
      R"({"type":"object","required":["thing"],"additionalProperties":false,"properties":{)" +
      std::string(kTemplateMembers) + "}}";
  return schema;
}

const std::string& template_schema() {
  static const std::string schema =
      R"({"type":"object","required":["name","enabled","things","parameters","thing","attributes"],)"
      R"("additionalProperties":false,"properties":{"name":{"type":"string"},)" +
      std::string(kTemplateMembers) + "}}";
  return schema;
}

const std::string& templates_schema() {
  static const std::string schema =
      R"({"type":"object","required":["templates"],"additionalProperties":false,"properties":{"templates":{)"
      R"("type":"array","items":)" +
      template_schema() + R"(},"next":{"type":"string"}}})";
  return schema;
}

void add_template_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kOne = "/api/v1/provisioning/templates/{name}";
  router.add(Method::get, "/api/v1/provisioning/templates", list_templates,
             {.needs = needs(Verb::read),
              .doc = {"Templates by which devices are provisioned",
                      "",
                      {{"after", "names behind this one"}},
                      {},
                      {{200, "in the order of their names", {{templates_schema()}}}}}});
  router.add(Method::get, kOne, show_template,
             {.needs = needs(Verb::read),
              .doc = {"One template",
                      "",
                      {},
                      {},
                      {{200, "as of what is synced", {{template_schema()}}},
                       {404, "there is no such template", {{kError}}}}}});
  router.add(Method::put, kOne, put_template,
             {.needs = needs(Verb::write),
              .doc = {"Make or change a template",
                      "In `thing`, `type` and `attributes` a `${Parameter}` stands for what the device said; "
                      "`parameters` names them with their defaults, or null where they must be said. `things`: `make` "
                      "those that are not registered, those that are `registered`, or `any`. `roles` needs `admin` on "
                      "`auth:*`. `provisioning.template.put` in the audit trail.",
                      {},
                      {{wanted_template_schema()}},
                      {{200, "changed and synced; without a position: it was so", {{kDone}}},
                       {201, "it is there, synced", {{kDone}}}}}});
  router.add(Method::del, kOne, drop_template,
             {.needs = needs(Verb::remove),
              .doc = {"Drop a template",
                      "Things that were made by it stay. `provisioning.template.drop` in the audit trail.",
                      {},
                      {},
                      {{200, "gone, synced", {{kDone}}}, {404, "there is no such template", {{kError}}}}}});
}

void add_claim_routes(http::HttpRouter& router) {
  using http::Method;
  constexpr std::string_view kOne = "/api/v1/provisioning/claims/{name}";
  router.add(Method::get, "/api/v1/provisioning/claims", list_claims,
             {.needs = needs(Verb::read),
              .doc = {"Claims",
                      "Certificates with which devices leave the factory, which may be provisioned and nothing else.",
                      {{"after", "names behind this one"}},
                      {},
                      {{200, "in the order of their names", {{kClaims}}}}}});
  router.add(Method::post, "/api/v1/provisioning/claims", add_claim,
             {.needs = needs(Verb::write),
              .doc = {"Add a claim",
                      "By its certificate's SHA-256, or as PEM, of which the SHA-256 alone is kept. Needs `admin` on "
                      "`auth:*` as well: devices that come of it get its templates' roles. "
                      "`devices.credential.add` in the audit trail.",
                      {},
                      {{kClaim}},
                      {{201, "it counts, synced", {{kDone}}},
                       {409, "the certificate or the name is another's", {{kError}}}}}});
  router.add(Method::patch, kOne, change_claim,
             {.needs = needs(Verb::write),
              .doc = {"Change a claim",
                      "What is revoked stays revoked; its connections end with 0x98, devices that it provisioned stay. "
                      "To make it active or to change its end needs `admin` on `auth:*` as well. "
                      "`devices.credential.change` in the audit trail.",
                      {},
                      {{kClaimChange}},
                      {{200, "changed and synced", {{kDone}}},
                       {404, "there is no such claim", {{kError}}},
                       {409, "it is revoked", {{kError}}}}}});
  router.add(Method::del, kOne, drop_claim,
             {.needs = needs(Verb::remove),
              .doc = {"Forget a claim that is revoked or over",
                      "`devices.credential.drop` in the audit trail.",
                      {},
                      {},
                      {{200, "gone, synced", {{kDone}}},
                       {404, "there is no such claim", {{kError}}},
                       {409, "it is not revoked", {{kError}}}}}});
}

}  // namespace

void add_provisioning_routes(http::HttpRouter& router) {
  add_template_routes(router);
  add_claim_routes(router);
}

}  // namespace heptane::iot::devices
