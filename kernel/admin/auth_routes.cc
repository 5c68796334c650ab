// Users, roles and tokens over HTTP. Lists are answered from what is synced (auth::Gate); changes are commands. A token's
// secret is in the answer that made it and nowhere else.
#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/auth/api.h"
#include "kernel/auth/gate.h"
#include "kernel/net/http/guard.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using auth::Gate;
using auth::Verb;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonFields;
using http::JsonType;
using http::JsonValue;
using http::JsonWriter;
using http::Method;

constexpr int64_t kLifetimeMaxSeconds = int64_t{10} * 366 * 86'400;
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kNsPerMs = 1'000'000;

using Document = std::unique_ptr<http::JsonDocument>;

void submit(HttpExchange& exchange, auth::AuthCommand type, Buffer payload, int status, JsonWriter answer) {
  Submission submission = streams::make_command(machine_ids::kAuth, type, std::move(payload));
  auto open = std::make_shared<JsonWriter>(std::move(answer));
  exchange.submit(std::move(submission), [status, open](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    open->key("position").text(position_text(0, reply.sequence)).end_object();
    answered.respond(HttpResponse::json(status, open->take()));
  });
}

JsonWriter named(std::string_view name) {
  JsonWriter out;
  out.begin_object().key("name").text(name);
  return out;
}

bool flag(JsonFields& fields, std::string_view name) {
  const std::optional<JsonValue> value = fields.value(name);
  if (value && value->type() != JsonType::boolean) fields.fail(fields.path_of(name) + " must be true or false");
  return value && value->boolean();
}

// Oneself, or an administrator of users.
bool own_or_admin(HttpExchange& exchange, std::string_view owner) {
  if (exchange.identity().name == owner && exchange.identity().principal.id != auth::kLocalId) return true;
  if (exchange.allowed("auth", owner, Verb::admin)) return true;
  exchange.respond(http::forbidden(exchange.identity().name, "auth", owner, Verb::admin));
  return false;
}

std::optional<Document> body_of(HttpExchange& exchange) {
  auto document = http::JsonDocument::parse(std::move(exchange.request().body));
  if (document) return std::move(*document);
  exchange.respond(error_response(document.error()));
  return std::nullopt;
}

// Users.

void write_roles(JsonWriter& out, const auth::User& user) {
  out.key("roles").begin_array();
  for (const std::string& role : user.roles) out.text(role);
  out.end_array();
}

void write_user(JsonWriter& out, std::string_view name, const auth::User& user) {
  out.begin_object().key("name").text(name).key("id").number(user.id).key("version").number(user.version);
  out.key("password").boolean(user.has_password()).key("certificate").boolean(user.certificate);
  write_roles(out, user);
  out.end_object();
}

void whoami(HttpExchange& exchange, Gate& gate) {
  const auth::Identity& identity = exchange.identity();
  JsonWriter out = named(identity.name);
  out.key("id").number(identity.principal.id).key("authentication").boolean(gate.enabled());
  const auth::AuthStore::View directory = gate.view();
  const auth::User* user = directory->user(identity.name);
  if (!gate.enabled())
    out.key("roles").begin_array().text(auth::kAdminRole).end_array();
  else if (user != nullptr)
    write_roles(out, *user);
  if (!identity.token.empty()) out.key("token").text(auth::token_id(identity.token));
  out.end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void list_users(HttpExchange& exchange, Gate& gate) {
  JsonWriter out;
  out.begin_object().key("users").begin_array();
  const auth::AuthStore::View view = gate.view();
  for (const auto& [name, user] : view->users) write_user(out, name, *user);
  out.end_array().end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void describe_user(HttpExchange& exchange, Gate& gate) {
  const std::string name(exchange.request().param("name"));
  if (!own_or_admin(exchange, name)) return;
  const auth::AuthStore::View directory = gate.view();
  const auth::User* user = directory->user(name);
  if (user == nullptr) return exchange.respond(error_response({Errc::not_found, "there is no user " + name, 0}));
  JsonWriter out;
  write_user(out, name, *user);
  exchange.respond(HttpResponse::json(200, out.take()));
}

// Prepared; empty, and a fault of the fields, when it is none.
std::string chosen_password(JsonFields& fields, std::string_view password) {
  Result<std::string> prepared = auth::new_password(password);
  if (prepared) return std::move(*prepared);
  fields.fail("password " + prepared.error().message);
  return {};
}

// Thousands of hashes, twice: on a worker.
void with_verifiers(HttpExchange& exchange, Gate& gate, std::string password,
                    std::function<void(HttpExchange&, const auth::Verifiers&)> then) {
  auto made = std::make_shared<auth::Verifiers>();
  exchange.work([made, password = std::move(password), salts = gate.make_salts(),
                 iterations = gate.options().iterations] { *made = Gate::make_verifiers(password, salts, iterations); },
                [made, then = std::move(then)](HttpExchange& done) { then(done, *made); });
}

void create_user(HttpExchange& exchange, Gate& gate) {
  std::optional<Document> document = body_of(exchange);
  if (!document) return;
  JsonFields fields((*document)->root(), "");
  auth::CreateUser command;
  command.name = fields.text("name");
  const std::string_view chosen = fields.text_or("password", "");
  std::string password = chosen.empty() ? std::string() : chosen_password(fields, chosen);
  command.certificate = flag(fields, "certificate");
  const std::optional<JsonValue> roles = fields.array("roles");
  for (auto role = roles ? roles->first() : std::nullopt; role; role = role->next()) {
    if (role->type() != JsonType::text) fields.fail("roles must be an array of names");
    if (command.roles.size() <= auth::kRolesOfUserLimit) command.roles.push_back(role->text());
  }
  if (const Result<void> read = fields.finish(); !read) return exchange.respond(error_response(read.error()));
  if (password.empty()) return submit(exchange, auth::kCreateUser, auth::encode(command), 201, named(command.name));
  // The command's texts are the document's.
  with_verifiers(exchange, gate, std::move(password),
                 [command, kept = std::make_shared<Document>(std::move(*document))](HttpExchange& done,
                                                                                    const auth::Verifiers& verifiers) {
                   auth::CreateUser whole = command;
                   whole.verifiers = verifiers;
                   submit(done, auth::kCreateUser, auth::encode(whole), 201, named(whole.name));
                 });
}

void alter_user(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  const std::optional<Document> document = body_of(exchange);
  if (!document) return;
  JsonFields fields((*document)->root(), "");
  const bool certificate = flag(fields, "certificate");
  if (!(*document)->root().find("certificate")) fields.fail("certificate must be there: true or false");
  if (const Result<void> read = fields.finish(); !read) return exchange.respond(error_response(read.error()));
  submit(exchange, auth::kAlterUser, auth::encode(auth::AlterUser{name, certificate}), 200, named(name));
}

void set_password(HttpExchange& exchange, Gate& gate) {
  const std::string name(exchange.request().param("name"));
  if (!own_or_admin(exchange, name)) return;
  const std::optional<Document> document = body_of(exchange);
  if (!document) return;
  JsonFields fields((*document)->root(), "");
  std::string password = chosen_password(fields, fields.text("password"));
  if (const Result<void> read = fields.finish(); !read) return exchange.respond(error_response(read.error()));
  with_verifiers(exchange, gate, std::move(password), [name](HttpExchange& done, const auth::Verifiers& verifiers) {
    submit(done, auth::kSetPassword, auth::encode(auth::SetPassword{name, verifiers}), 200, named(name));
  });
}

void delete_named(HttpExchange& exchange, auth::AuthCommand type) {
  const std::string name(exchange.request().param("name"));
  submit(exchange, type, auth::encode(auth::Named{name}), 200, named(name));
}

void grant_role(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  const std::optional<Document> document = body_of(exchange);
  if (!document) return;
  JsonFields fields((*document)->root(), "");
  const std::string_view role = fields.text("role");
  if (const Result<void> read = fields.finish(); !read) return exchange.respond(error_response(read.error()));
  submit(exchange, auth::kGrant, auth::encode(auth::Grant{name, role}), 200, named(name));
}

void revoke_role(HttpExchange& exchange) {
  const std::string name(exchange.request().param("name"));
  submit(exchange, auth::kRevoke, auth::encode(auth::Grant{name, exchange.request().param("role")}), 200, named(name));
}

// Roles.

void write_role(JsonWriter& out, std::string_view name, const auth::Role& role, bool built_in) {
  out.begin_object().key("name").text(name).key("built_in").boolean(built_in).key("permissions").begin_array();
  for (const auth::Permission& permission : role) {
    out.begin_object().key("module").text(permission.module).key("pattern").text(permission.pattern);
    out.key("verbs").begin_array();
    for (auth::Verbs bit = 1; bit < auth::kAllVerbs; bit = static_cast<auth::Verbs>(bit << 1))
      if ((permission.verbs & bit) != 0) out.text(auth::verb_name(static_cast<Verb>(bit)));
    out.end_array().end_object();
  }
  out.end_array().end_object();
}

void list_roles(HttpExchange& exchange, Gate& gate) {
  JsonWriter out;
  out.begin_object().key("roles").begin_array();
  for (const std::string_view name : {"admin", "reader", "writer"})
    write_role(out, name, *auth::built_in_role(name), true);
  const auth::AuthStore::View view = gate.view();
  for (const auto& [name, role] : view->roles) write_role(out, name, *role, false);
  out.end_array().end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

Result<auth::Permission> read_permission(JsonValue value, const std::string& path) {
  JsonFields fields(value, path);
  auth::Permission permission;
  permission.module = fields.text("module");
  permission.pattern = fields.text("pattern");
  const std::optional<JsonValue> verbs = fields.array("verbs");
  for (auto item = verbs ? verbs->first() : std::nullopt; item; item = item->next()) {
    const std::optional<Verb> verb = auth::verb_of(item->text());
    if (verb)
      permission.verbs |= static_cast<auth::Verbs>(*verb);
    else
      fields.fail(fields.path_of("verbs") + " holds names out of read, write, create, alter, delete, admin");
  }
  HEPTANE_TRY(fields.finish());
  return permission;
}

void create_role(HttpExchange& exchange) {
  const std::optional<Document> document = body_of(exchange);
  if (!document) return;
  JsonFields fields((*document)->root(), "");
  auth::CreateRole command;
  command.name = fields.text("name");
  const std::optional<JsonValue> permissions = fields.array("permissions");
  if (permissions && permissions->size() > auth::kPermissionsLimit) fields.fail("a role has 1 to 64 permissions");
  if (const Result<void> read = fields.finish(); !read) return exchange.respond(error_response(read.error()));
  for (auto item = permissions ? permissions->first() : std::nullopt; item; item = item->next()) {
    Result<auth::Permission> permission =
        read_permission(*item, "permissions[" + std::to_string(command.permissions.size()) + ']');
    if (!permission) return exchange.respond(error_response(permission.error()));
    command.permissions.push_back(std::move(*permission));
  }
  submit(exchange, auth::kCreateRole, auth::encode(command), 201, named(command.name));
}

// Tokens.

void list_tokens(HttpExchange& exchange, Gate& gate) {
  const auth::AuthStore::View directory = gate.view();
  JsonWriter out;
  out.begin_object().key("tokens").begin_array();
  for (const auto& [hash, token] : directory->tokens) {
    // One's own, or all for administrators of users.
    if (token->owner != exchange.identity().name && !(exchange.identity().principal.id == auth::kLocalId ||
                                                      gate.may(exchange.identity(), "auth", token->owner, Verb::admin)))
      continue;
    out.begin_object().key("id").text(auth::token_id(hash)).key("name").text(token->name);
    out.key("owner").text(token->owner).key("issued_ms").number(token->issued / kNsPerMs);
    if (token->expires != 0) out.key("expires_ms").number(token->expires / kNsPerMs);
    if (token->one_time) out.key("one_time").boolean(true);
    out.end_object();
  }
  out.end_array().end_object();
  exchange.respond(HttpResponse::json(200, out.take()));
}

void create_token(HttpExchange& exchange, Gate& gate) {
  const std::optional<Document> document = body_of(exchange);
  if (!document) return;
  JsonFields fields((*document)->root(), "");
  auth::IssueToken command;
  command.name = fields.text("name");
  command.owner = fields.text_or("owner", exchange.identity().name);
  command.lifetime_ns = fields.integer_or("expires_in_s", 0, 1, kLifetimeMaxSeconds) * kNsPerSecond;
  if (const Result<void> read = fields.finish(); !read) return exchange.respond(error_response(read.error()));
  if (!own_or_admin(exchange, command.owner)) return;
  const Gate::NewToken token = gate.make_token();
  command.hash = token.hash;
  JsonWriter out = named(command.name);
  out.key("id").text(auth::token_id(token.hash)).key("owner").text(command.owner).key("token").text(token.secret);
  submit(exchange, auth::kIssueToken, auth::encode(command), 201, std::move(out));
}

void revoke_token(HttpExchange& exchange, Gate& gate) {
  const std::string id(exchange.request().param("id"));
  const auth::AuthStore::View directory = gate.view();
  const auth::Token* token = directory->token(directory->hash_of_token(id));
  if (!own_or_admin(exchange, token == nullptr ? std::string_view("*") : std::string_view(token->owner))) return;
  JsonWriter out;
  out.begin_object().key("id").text(id);
  submit(exchange, auth::kRevokeToken, auth::encode(auth::Named{id}), 200, std::move(out));
}

}  // namespace

void add_auth_routes(http::HttpRouter& router, Gate& gate) {
  const auto with_gate = [&gate](void (*handler)(HttpExchange&, Gate&)) {
    return [&gate, handler](HttpExchange& exchange) { handler(exchange, gate); };
  };
  router.add(Method::get, "/api/v1/whoami", with_gate(whoami));
  router.add(Method::get, "/api/v1/users", with_gate(list_users));
  router.add(Method::post, "/api/v1/users", with_gate(create_user));
  router.add(Method::get, "/api/v1/users/{name}", with_gate(describe_user));
  router.add(Method::put, "/api/v1/users/{name}", alter_user);
  router.add(Method::del, "/api/v1/users/{name}",
             [](HttpExchange& exchange) { delete_named(exchange, auth::kDeleteUser); });
  router.add(Method::put, "/api/v1/users/{name}/password", with_gate(set_password));
  router.add(Method::post, "/api/v1/users/{name}/roles", grant_role);
  router.add(Method::del, "/api/v1/users/{name}/roles/{role}", revoke_role);
  router.add(Method::get, "/api/v1/roles", with_gate(list_roles));
  router.add(Method::post, "/api/v1/roles", create_role);
  router.add(Method::del, "/api/v1/roles/{name}",
             [](HttpExchange& exchange) { delete_named(exchange, auth::kDeleteRole); });
  router.add(Method::get, "/api/v1/tokens", with_gate(list_tokens));
  router.add(Method::post, "/api/v1/tokens", with_gate(create_token));
  router.add(Method::del, "/api/v1/tokens/{id}", with_gate(revoke_token));
}

}  // namespace heptane::admin
