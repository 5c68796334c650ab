// What routes that are added elsewhere say of themselves in the OpenAPI document: users, roles, tokens; partitions.
#include "kernel/admin/admin.h"

namespace heptane::admin {

namespace {

using http::Method;
using http::RouteDoc;

constexpr std::string_view kChanged =
    R"({"type":"object","required":["name","position"],"additionalProperties":false,"properties":{)"
    R"("name":{"type":"string"},"position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kUser = R"({"$ref":"#/components/schemas/User"})";
constexpr std::string_view kWhoami =
    R"({"type":"object","required":["name","id","authentication"],"additionalProperties":false,"properties":{)"
    R"("name":{"type":"string"},"id":{"type":"integer"},"authentication":{"type":"boolean"},)"
    R"("roles":{"type":"array","items":{"type":"string"}},"token":{"type":"string"}}})";
constexpr std::string_view kUsers =
    R"({"type":"object","required":["users"],"additionalProperties":false,"properties":{"users":{"type":"array",)"
    R"("items":{"$ref":"#/components/schemas/User"}}}})";
constexpr std::string_view kNewUser =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("password":{"type":"string","minLength":8,"maxLength":256,)"
    R"("description":"prepared by SASLprep; at most 256 bytes of UTF-8"},"certificate":{"type":"boolean"},)"
    R"("roles":{"type":"array","items":{"type":"string"}}}})";
constexpr std::string_view kCertificate =
    R"({"type":"object","required":["certificate"],"additionalProperties":false,"properties":{)"
    R"("certificate":{"type":"boolean"}}})";
constexpr std::string_view kPassword =
    R"({"type":"object","required":["password"],"additionalProperties":false,"properties":{)"
    R"("password":{"type":"string","minLength":8,"maxLength":256,)"
    R"("description":"prepared by SASLprep; at most 256 bytes of UTF-8"}}})";
constexpr std::string_view kGranted =
    R"({"type":"object","required":["role"],"additionalProperties":false,"properties":{"role":{"type":"string"}}})";
constexpr std::string_view kRoles =
    R"({"type":"object","required":["roles"],"additionalProperties":false,"properties":{"roles":{"type":"array",)"
    R"("items":{"type":"object","required":["name","built_in","permissions"],"additionalProperties":false,)"
    R"("properties":{"name":{"type":"string"},"built_in":{"type":"boolean"},"permissions":{"type":"array",)"
    R"("items":{"$ref":"#/components/schemas/Permission"}}}}}}})";
constexpr std::string_view kNewRole =
    R"({"type":"object","required":["name","permissions"],"additionalProperties":false,"properties":{)"
    R"("name":{"type":"string"},"permissions":{"type":"array","minItems":1,"maxItems":64,)"
    R"("items":{"$ref":"#/components/schemas/Permission"}}}})";
constexpr std::string_view kTokens =
    R"({"type":"object","required":["tokens"],"additionalProperties":false,"properties":{"tokens":{"type":"array",)"
    R"("items":{"type":"object","required":["id","name","owner","issued_ms"],"additionalProperties":false,)"
    R"("properties":{"id":{"type":"string"},"name":{"type":"string"},"owner":{"type":"string"},)"
    R"("issued_ms":{"type":"integer"},"expires_ms":{"type":"integer"},"one_time":{"type":"boolean"}}}}}})";
constexpr std::string_view kNewToken =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},)"
    R"("owner":{"type":"string"},"expires_in_s":{"type":"integer","minimum":1}}})";
constexpr std::string_view kIssued =
    R"({"type":"object","required":["name","id","owner","token","position"],"additionalProperties":false,)"
    R"("properties":{"name":{"type":"string"},"id":{"type":"string"},"owner":{"type":"string"},)"
    R"("token":{"type":"string","description":"shown once"},"position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kRevoked =
    R"({"type":"object","required":["id","position"],"additionalProperties":false,"properties":{)"
    R"("id":{"type":"string"},"position":{"$ref":"#/components/schemas/Position"}}})";
constexpr std::string_view kPartitions =
    R"({"type":"object","required":["count"],"additionalProperties":false,"properties":{)"
    R"("count":{"type":"integer","minimum":1,"maximum":1024}}})";

RouteDoc asks(std::string_view summary, std::string_view text, std::string_view answer) {
  return {summary, text, {}, {}, {{200, "as of what is synced", {{answer}}}}};
}
RouteDoc changes(std::string_view summary, std::string_view body, int status = 200,
                 std::string_view answer = kChanged) {
  RouteDoc doc{summary, "", {}, {}, {{status, "done and synced", {{answer}}}}};
  if (!body.empty()) doc.bodies.push_back({body});
  return doc;
}

}  // namespace

void describe_routes(http::HttpRouter& router) {
  router.describe(Method::get, "/api/v1/whoami", asks("Who asks, and with which roles", "", kWhoami));
  router.describe(Method::get, "/api/v1/users", asks("Every user", "", kUsers));
  router.describe(Method::post, "/api/v1/users", changes("Create a user", kNewUser, 201));
  router.describe(Method::get, "/api/v1/users/{name}", asks("One user", "Oneself, or for administrators.", kUser));
  router.describe(Method::put, "/api/v1/users/{name}", changes("Whether a certificate is enough", kCertificate));
  router.describe(Method::del, "/api/v1/users/{name}", changes("Delete a user with its tokens", ""));
  router.describe(Method::put, "/api/v1/users/{name}/password", changes("Set a password", kPassword));
  router.describe(Method::post, "/api/v1/users/{name}/roles", changes("Grant a role", kGranted));
  router.describe(Method::del, "/api/v1/users/{name}/roles/{role}", changes("Revoke a role", ""));
  router.describe(Method::get, "/api/v1/roles", asks("Every role, the built-in ones too", "", kRoles));
  router.describe(Method::post, "/api/v1/roles", changes("Create a role", kNewRole, 201));
  router.describe(Method::del, "/api/v1/roles/{name}", changes("Delete a role", ""));
  router.describe(Method::get, "/api/v1/tokens", asks("One's tokens, or all for administrators", "", kTokens));
  router.describe(Method::post, "/api/v1/tokens", changes("Issue a token", kNewToken, 201, kIssued));
  router.describe(Method::del, "/api/v1/tokens/{id}", changes("Revoke a token", "", 200, kRevoked));
  router.describe(
      Method::put, "/api/v1/streams/{name}/partitions",
      changes("Add partitions to a stream", kPartitions, 200, R"({"$ref":"#/components/schemas/StreamChanged"})"));
}

}  // namespace heptane::admin
