// What the routes of this listener need, as one table, and what each operation of a transaction needs. A route that is not
// named here is for administrators.
#include "kernel/admin/permissions.h"

#include <algorithm>

#include "kernel/admin/admin.h"
#include "kernel/base/crc32c.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using auth::Verb;
using http::Method;
using http::Needs;

constexpr std::string_view kOfOthers = "transact";  // operations given by machine and type

struct Needed {
  std::string_view module;
  std::string_view resource;
  Verb verb;
};

Needs of(std::string module, std::string resource, Verb verb) {
  return {std::move(module), std::move(resource), verb, false, false};
}

Needed needed_of_stream_operation(const Operation& operation) {
  switch (operation.type) {
    case streams::kAppendEvents:
      if (const auto append = streams::decode_append_events(operation.payload))
        return {"streams", append->stream, append->records.empty() ? Verb::read : Verb::write};
      break;
    case streams::kCreateStream:
      if (const auto create = streams::decode_create_stream(operation.payload))
        return {"streams", create->name, Verb::create};
      break;
    case streams::kAlterStream:
      if (const auto alter = streams::decode_alter_stream(operation.payload))
        return {"streams", alter->name, Verb::alter};
      break;
    case streams::kGrowStream:
      if (const auto grow = streams::decode_grow_stream(operation.payload)) return {"streams", grow->name, Verb::alter};
      break;
    case streams::kDeleteStream:
      if (const auto target = streams::decode_delete_stream(operation.payload))
        return {"streams", target->name, Verb::remove};
      break;
    default: break;
  }
  return {"admin", kOfOthers, Verb::admin};
}

}  // namespace

std::optional<http::HttpResponse> transact_refusal(http::HttpExchange& exchange, const TransactRequest& request) {
  if (exchange.identity().principal.id == auth::kLocalId) return std::nullopt;
  const Result<std::vector<Operation>> operations = decode_transact(request.submission.payload.view());
  if (!operations) return std::nullopt;  // the shard refuses it
  const size_t guards = request.guard_specs.size();
  for (size_t i = 0; i < operations->size(); ++i) {
    const Operation& operation = (*operations)[i];
    const OperationSpec* spec = i < guards ? request.guard_specs[i] : request.specs[i - guards];
    const Needed needed = spec != nullptr && spec->needs
                              ? Needed{spec->needs->module, spec->needs->resource, spec->needs->verb}
                          : operation.machine == machine_ids::kStreams ? needed_of_stream_operation(operation)
                                                                       : Needed{"admin", kOfOthers, Verb::admin};
    if (!exchange.allowed(needed.module, needed.resource, needed.verb))
      return http::forbidden(exchange.identity().name, needed.module, needed.resource, needed.verb);
  }
  return std::nullopt;
}

namespace {

// Null: given by machine and type, or there is no such operation.
const OperationSpec* spec_of(const TransactRequest& request, size_t index) {
  const size_t guards = request.guard_specs.size();
  if (index < guards) return request.guard_specs[index];
  return index - guards < request.specs.size() ? request.specs[index - guards] : nullptr;
}

}  // namespace

void write_rights(http::HttpExchange& exchange, TransactRequest& request) {
  const auto optional = [](const OperationSpec* spec) { return spec != nullptr && spec->optional_right; };
  if (std::none_of(request.specs.begin(), request.specs.end(), optional)) return;
  Result<std::vector<Operation>> operations = decode_transact(request.submission.payload.view());
  if (!operations) return;  // the shard refuses it
  for (size_t i = 0; i < operations->size(); ++i) {
    const OperationSpec* spec = spec_of(request, i);
    if (!optional(spec)) continue;
    const OptionalRight& optional_right = *spec->optional_right;
    const http::Needs& right = optional_right.right;
    const std::function<bool()> holds = exchange.standing(right.module, right.resource, right.verb);
    (*operations)[i].type = !holds || holds() ? optional_right.with : optional_right.without;
  }
  Buffer payload = encode_transact(*operations);
  request.submission.payload_crc = crc32c(payload.view());
  request.submission.payload = std::move(payload);
}

void note_denied(http::HttpExchange& exchange, const TransactRequest& request, Reply& reply) {
  const bool by_operation = !reply.ok() && reply.numbers[1] == 1;
  const OperationSpec* spec = by_operation ? spec_of(request, static_cast<size_t>(reply.numbers[0])) : nullptr;
  if (spec == nullptr || !spec->optional_right || (reply.detail & spec->optional_right->denied) == 0) return;
  reply.detail &= ~spec->optional_right->denied;
  exchange.denied(spec->optional_right->right.module + ": " + reply.message);
}

void require_permissions(http::HttpRouter& router) {
  const Needs open{"", "", Verb::read, true, false};
  const Needs in_handler{"", "", Verb::read, false, true};
  router.require(Method::get, "/livez", open);
  router.require(Method::get, "/readyz", open);
  router.require(Method::get, "/metrics", of("admin", "metrics", Verb::read));
  router.require(Method::get, "/api/v1/metrics/live", of("admin", "metrics", Verb::read));
  router.require(Method::get, "/api/v1/explain/{position}", of("admin", "explain", Verb::admin));
  router.require(Method::get, "/api/v1/openapi.json", in_handler);
  router.require(Method::get, "/api/v1/snapshot", of("admin", "snapshot", Verb::read));
  router.require(Method::post, "/api/v1/snapshot", of("admin", "snapshot", Verb::create));
  router.require(Method::get, "/api/v1/upgrade", of("admin", "upgrade", Verb::read));
  router.require(Method::post, "/api/v1/upgrade/activate", of("admin", "upgrade", Verb::admin));
  router.require(Method::post, "/api/v1/transact", in_handler);
  router.require(Method::get, "/api/v1/streams", in_handler);
  router.require(Method::post, "/api/v1/streams", in_handler);
  router.require(Method::get, "/api/v1/streams/{name}", of("streams", "{name}", Verb::read));
  router.require(Method::put, "/api/v1/streams/{name}", of("streams", "{name}", Verb::alter));
  router.require(Method::put, "/api/v1/streams/{name}/partitions", of("streams", "{name}", Verb::alter));
  router.require(Method::del, "/api/v1/streams/{name}", of("streams", "{name}", Verb::remove));
  router.require(Method::get, "/api/v1/streams/{name}/records", of("streams", "{name}", Verb::read));
  router.require(Method::post, "/api/v1/streams/{name}/records", of("streams", "{name}", Verb::write));
  router.require(Method::get, "/api/v1/streams/{name}/records/{offset}/position", of("streams", "{name}", Verb::read));
  router.require(Method::get, "/api/v1/streams/{name}/tail", of("streams", "{name}", Verb::read));
  router.require(Method::get, "/api/v1/blobs", in_handler);
  router.require(Method::put, "/api/v1/blobs", of("blobs", "*", Verb::create));
  router.require(Method::put, "/api/v1/blobs/{sha256}", of("blobs", "{sha256}", Verb::create));
  router.require(Method::get, "/api/v1/blobs/{sha256}", of("blobs", "{sha256}", Verb::read));
  router.require(Method::del, "/api/v1/blobs/{sha256}", of("blobs", "{sha256}", Verb::remove));
  router.require(Method::get, "/api/v1/whoami", in_handler);
  for (const std::string_view list : {"/api/v1/users", "/api/v1/roles"}) {
    router.require(Method::get, list, of("auth", "*", Verb::admin));
    router.require(Method::post, list, of("auth", "*", Verb::admin));
  }
  router.require(Method::get, "/api/v1/users/{name}", in_handler);
  router.require(Method::put, "/api/v1/users/{name}", of("auth", "*", Verb::admin));
  router.require(Method::del, "/api/v1/users/{name}", of("auth", "*", Verb::admin));
  router.require(Method::put, "/api/v1/users/{name}/password", in_handler);
  router.require(Method::post, "/api/v1/users/{name}/roles", of("auth", "*", Verb::admin));
  router.require(Method::del, "/api/v1/users/{name}/roles/{role}", of("auth", "*", Verb::admin));
  router.require(Method::del, "/api/v1/roles/{name}", of("auth", "*", Verb::admin));
  router.require(Method::get, "/api/v1/tokens", in_handler);
  router.require(Method::post, "/api/v1/tokens", in_handler);
  router.require(Method::del, "/api/v1/tokens/{id}", in_handler);
}

}  // namespace heptane::admin
