#include "modules/iot/gateway/http/credential_routes.h"

#include <functional>
#include <utility>

#include "kernel/admin/answers.h"
#include "kernel/crypto/digest.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/guard.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/http/credential_json.h"
#include "modules/iot/machine/devices/device_api.h"

namespace heptane::iot::devices {

namespace {

using admin::error_response;
using admin::refusal_response;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

http::Needs needs(Verb verb) { return {"admin", "devices", verb, false, false}; }

Submission command_of(CommandType type, Buffer payload) {
  return streams::make_command(kProvisioningMachineId, type, std::move(payload));
}

// Not noted: whoever does not may go on with less.
bool gives_roles(HttpExchange& exchange) {
  const std::function<bool()> may = exchange.standing("auth", "*", Verb::admin);
  return !may || may();
}

// A device with such a role may what the role says: whoever gives it must be one who gives roles.
bool may_give(HttpExchange& exchange, const Credential& credential) {
  if (credential.roles.empty() || exchange.allowed("auth", "*", Verb::admin)) return true;
  exchange.respond(http::forbidden(exchange.identity().name, "auth", "*", Verb::admin));
  return false;
}

void respond_added(HttpExchange& exchange, const Credential& credential, const std::string& secret,
                   const Reply& reply) {
  JsonWriter out;
  out.begin_object().key("id").text(id_of_hash(credential.hash));
  if (!secret.empty()) out.key("token").text(secret);
  out.key("position").text(position_text(0, reply.sequence)).end_object();
  exchange.respond(HttpResponse::json(201, out.take()));
}

void add(HttpExchange& exchange, const RandomBytes& random) {
  Result<Credential> credential =
      credential_of_json(std::move(exchange.request().body), exchange.request().param("thing"));
  if (!credential) return exchange.respond(error_response(credential.error()));
  std::string secret;
  if (credential->kind == CredentialKind::token) {
    const std::string chance = random(kDeviceTokenBytes);
    if (chance.empty()) return exchange.respond(error_response({Errc::not_found, "the module iot is off", 0}));
    secret = std::string(kDeviceTokenPrefix) + crypto::hex(chance);
    credential->hash = crypto::digest(crypto::Hash::sha256, secret);
  }
  if (!may_give(exchange, *credential)) return;
  exchange.submit(command_of(gives_roles(exchange) ? kAddAnyCredential : kAddCredential, encode(*credential)),
                  [credential = *credential, secret](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    respond_added(answered, credential, secret, reply);
                  });
}

// 404 where the id names nothing.
std::optional<CredentialName> name_of(HttpExchange& exchange) {
  CredentialName name;
  name.thing = exchange.request().param("thing");
  auto hash = hash_of_id(exchange.request().param("id"));
  if (!hash) {
    exchange.respond(error_response({Errc::not_found, "there is no such credential", 0}));
    return std::nullopt;
  }
  name.hash = std::move(*hash);
  return name;
}

HttpResponse done(const std::string& hash, std::optional<CredentialState> state, const Reply& reply) {
  JsonWriter out;
  out.begin_object().key("id").text(id_of_hash(hash));
  if (state) out.key("state").text(state_text(*state));
  if (!reply.repeated) out.key("position").text(position_text(0, reply.sequence));
  out.end_object();
  return HttpResponse::json(200, out.take());
}

void submit_change(HttpExchange& exchange, const ChangeCredential& change) {
  exchange.submit(command_of(kChangeCredential, encode(change)), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    const auto row = decode_credential_row(reply.payload.view());
    if (!row) return answered.respond(error_response({Errc::corrupt, "a credential is cut off", 0}));
    answered.respond(done(row->credential.hash, row->credential.state, reply));
  });
}

// Roles of a credential stay: those that it has now are those that it would count with.
void change(HttpExchange& exchange) {
  const auto name = name_of(exchange);
  if (!name) return;
  const auto change = credential_change_of_json(std::move(exchange.request().body), *name);
  if (!change) return exchange.respond(error_response(change.error()));
  if (!change->lets_in() || gives_roles(exchange)) return submit_change(exchange, *change);
  exchange.query({kProvisioningMachineId, kQueryCredentials, Buffer::copy_of(name->thing), {}},
                 [change = *change](HttpExchange& found, const Reply& reply) {
                   if (!reply.ok()) return found.respond(refusal_response(reply));
                   const auto rows = decode_credential_rows(reply.payload.view());
                   if (!rows)
                     return found.respond(error_response({Errc::corrupt, "a list of credentials is cut off", 0}));
                   for (const CredentialRow& row : *rows)
                     if (row.credential.hash == change.name.hash && !may_give(found, row.credential)) return;
                   submit_change(found, change);
                 });
}

void drop(HttpExchange& exchange) {
  const auto name = name_of(exchange);
  if (!name) return;
  exchange.submit(command_of(kDropCredential, encode(*name)),
                  [hash = name->hash](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    answered.respond(done(hash, std::nullopt, reply));
                  });
}

void respond_list(HttpExchange& exchange, const Reply& reply) {
  if (!reply.ok()) return exchange.respond(refusal_response(reply));
  const auto rows = decode_credential_rows(reply.payload.view());
  if (!rows) return exchange.respond(error_response({Errc::corrupt, "a list of credentials is cut off", 0}));
  JsonWriter out;
  out.begin_object().key("credentials").begin_array();
  for (const CredentialRow& row : *rows) {
    out.begin_object();
    write_credential(out, row);
    out.end_object();
  }
  out.end_array().end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void list(HttpExchange& exchange) {
  const std::string thing(exchange.request().param("thing"));
  exchange.query({kDevicesMachineId, kQueryThing, Buffer::copy_of(thing), {}},
                 [thing](HttpExchange& found, const Reply& reply) {
                   if (!reply.ok()) return found.respond(refusal_response(reply));
                   if (reply.numbers[0] == 0)
                     return found.respond(error_response({Errc::not_found, "there is no thing " + thing, 0}));
                   found.query({kProvisioningMachineId, kQueryCredentials, Buffer::copy_of(thing), {}}, respond_list);
                 });
}

// What they say of themselves.

constexpr std::string_view kNew =
    R"({"type":"object","required":["kind"],"additionalProperties":false,"properties":{"kind":{"type":"string",)"
    R"("enum":["certificate","token"]},"fingerprint":{"type":"string"},"certificate":{"type":"string",)"
    R"("maxLength":16384},"state":{"type":"string","enum":["active","inactive"]},"expires_ms":{"type":"integer",)"
    R"("minimum":1},"roles":{"type":"array","maxItems":16,"items":{"type":"string"}}}})";
constexpr std::string_view kChange =
    R"({"type":"object","additionalProperties":false,"properties":{"state":{"type":"string","enum":["active",)"
    R"("inactive","revoked"]},"expires_ms":{"type":["integer","null"],"minimum":1}}})";
constexpr std::string_view kAdded =
    R"({"type":"object","required":["id"],"additionalProperties":false,"properties":{"id":{"type":"string"},)"
    R"("token":{"type":"string"},"position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kDone =
    R"({"type":"object","required":["id"],"additionalProperties":false,"properties":{"id":{"type":"string"},)"
    R"("state":{"type":"string"},"position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kList =
    R"({"type":"object","required":["credentials"],"additionalProperties":false,"properties":{"credentials":{)"
    R"("type":"array","items":{"type":"object","required":["id","kind","state","created_ms","changed_ms"],)"
    R"("additionalProperties":false,"properties":{"id":{"type":"string"},"kind":{"type":"string"},"state":{)"
    R"("type":"string"},"roles":{"type":"array","items":{"type":"string"}},"expires_ms":{"type":"integer"},)"
    R"("created_ms":{"type":"integer"},"changed_ms":{"type":"integer"}}}}}})";
constexpr std::string_view kError = R"({"$ref":"#/components/schemas/Error"})";

http::RouteDoc add_doc() {
  return {
      "Give a device a credential",
      "A certificate, as its SHA-256 or as PEM, of which the SHA-256 alone is kept; or a token, which is answered here "
      "and nowhere else. A device has at most 10. `roles` needs `admin` on `auth:*`. `devices.credential.add` in the "
      "audit trail.",
      {},
      {{kNew}},
      {{201, "it counts, synced", {{kAdded}}},
       {403, "a user is called as the device is: this needs `admin` on `auth:*`", {{kError}}},
       {404, "there is no such device; of a token: the module iot is off", {{kError}}},
       {409, "this certificate is somebody's already", {{kError}}}}};
}

http::RouteDoc change_doc() {
  return {
      "Change a credential",
      "What is revoked stays revoked. Connections that a credential proved end with 0x98 when it is inactive, revoked "
      "or over. To make one with roles active or to change its end needs `admin` on `auth:*`. "
      "`devices.credential.change` in the audit trail.",
      {},
      {{kChange}},
      {{200, "changed and synced", {{kDone}}},
       {404, "there is no such credential", {{kError}}},
       {409, "it is revoked", {{kError}}}}};
}

http::RouteDoc drop_doc() {
  return {"Forget a credential that is revoked or over",
          "Its certificate may be given again. `devices.credential.drop` in the audit trail.",
          {},
          {},
          {{200, "gone, synced", {{kDone}}},
           {404, "there is no such credential", {{kError}}},
           {409, "it is not revoked", {{kError}}}}};
}

}  // namespace

void add_credential_routes(http::HttpRouter& router, RandomBytes random) {
  using http::Method;
  constexpr std::string_view kAll = "/api/v1/devices/{thing}/credentials";
  constexpr std::string_view kOne = "/api/v1/devices/{thing}/credentials/{id}";
  router.add(Method::get, kAll, list,
             {.needs = needs(Verb::read),
              .doc = {"Credentials of a device",
                      "Never a secret: `id` is a SHA-256.",
                      {},
                      {},
                      {{200, "as of what is synced", {{kList}}}, {404, "there is no such device", {{kError}}}}}});
  router.add(Method::post, kAll, [random = std::move(random)](HttpExchange& exchange) { add(exchange, random); },
             {.needs = needs(Verb::write), .doc = add_doc()});
  router.add(Method::patch, kOne, change, {.needs = needs(Verb::write), .doc = change_doc()});
  router.add(Method::del, kOne, drop, {.needs = needs(Verb::remove), .doc = drop_doc()});
}

}  // namespace heptane::iot::devices
