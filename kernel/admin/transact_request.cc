#include "kernel/admin/transact_request.h"

#include <cstring>

#include "kernel/admin/answers.h"
#include "kernel/base/hash128.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/shard/kernel_state.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using http::JsonFields;
using http::JsonType;
using http::JsonValue;

constexpr size_t kResultBytes = 16;
constexpr std::string_view kIndexPrefix = "operation ";  // of the message of a refusal: `operation 3: why`

class TransactReader {
 public:
  explicit TransactReader(const OperationTable& table) : table_(table) {}

  Result<TransactRequest> read(JsonValue root) {
    JsonFields fields(root, "");
    const bool keyed = root.find("idempotency_key").has_value();
    const std::string_view key = fields.text_or("idempotency_key", "");
    if (keyed && (key.empty() || key.size() > kIdempotencyKeyLimitBytes))
      fields.fail("idempotency_key must be a string of 1 to 256 bytes");
    const std::optional<JsonValue> guards = fields.array("guards");
    const std::optional<JsonValue> operations = fields.array("operations");
    if (!operations || operations->size() == 0) fields.fail("operations must be an array of at least one operation");
    HEPTANE_TRY(fields.finish());
    const size_t count = (guards ? guards->size() : 0) + operations->size();
    if (count > kTransactOperationsLimit)
      return Error{Errc::too_large, "a transaction holds at most 1024 operations and guards"};
    if (guards) HEPTANE_TRY(read_list(*guards, "guards", true));
    request_.guards = static_cast<int64_t>(built_.size());
    HEPTANE_TRY(read_list(*operations, "operations", false));
    make_submission(key);
    return std::move(request_);
  }

 private:
  Result<void> read_list(JsonValue list, const std::string& name, bool guards) {
    size_t index = 0;
    for (std::optional<JsonValue> item = list.first(); item; item = item->next())
      HEPTANE_TRY(read_item(*item, name + '[' + std::to_string(index++) + ']', guards));
    return {};
  }

  Result<void> read_item(JsonValue item, const std::string& path, bool guards) {
    const bool raw = !guards && item.find("machine").has_value();
    Result<BuiltOperation> built = raw ? read_raw(item, path) : read_named(item, path, guards);
    if (!built) return built.error();
    built_.push_back(std::move(*built));
    return {};
  }

  Result<BuiltOperation> read_named(JsonValue item, const std::string& path, bool guards) {
    const std::optional<JsonValue> value = item.first();
    if (item.type() != JsonType::object || item.size() != 1)
      return Error{Errc::invalid_argument, path + " must be an object with one name: " + table_.names(guards)};
    const OperationSpec* spec = table_.find(value->name());
    if (spec == nullptr || spec->guard != guards)
      return Error{Errc::invalid_argument, path + ": \"" + std::string(value->name().substr(0, 64)) +
                                               "\" is not one of " + table_.names(guards)};
    (guards ? request_.guard_specs : request_.specs).push_back(spec);
    return spec->build(*value, path + '.' + std::string(value->name()));
  }

  Result<BuiltOperation> read_raw(JsonValue item, const std::string& path) {
    JsonFields fields(item, path);
    BuiltOperation built;
    built.machine = static_cast<MachineId>(fields.integer("machine", 1, UINT16_MAX));
    built.type = static_cast<CommandType>(fields.integer("type", 0, UINT16_MAX));
    built.partition = static_cast<PartitionId>(fields.integer_or("partition", 0, 0, UINT32_MAX));
    std::optional<std::string> payload = http::base64_decoded(fields.text_or("payload_base64", ""));
    if (!payload) fields.fail(fields.path_of("payload_base64") + " must be base64");
    HEPTANE_TRY(fields.finish());
    built.payload = Buffer::take(std::move(*payload));
    request_.specs.push_back(nullptr);
    return built;
  }

  void make_submission(std::string_view key) {
    std::vector<Operation> operations;
    operations.reserve(built_.size());
    for (const BuiltOperation& built : built_)
      operations.push_back({built.machine, built.type, built.partition, built.payload.view()});
    Submission& submission = request_.submission;
    submission = streams::make_command(machine_ids::kKernel, kTransact, encode_transact(operations));
    if (key.empty()) return;
    const Hash128 id = hash128(as_bytes(key));
    IdempotencyKey idempotency;
    store_le(idempotency.id.data(), id.low);
    store_le(idempotency.id.data() + 8, id.high);
    idempotency.request_hash = hash128(submission.payload.view()).low;
    submission.idempotency = idempotency;
  }

  const OperationTable& table_;
  TransactRequest request_;
  std::vector<BuiltOperation> built_;
};

void write_result(http::JsonWriter& out, const OperationSpec* spec, int64_t first, int64_t second) {
  out.begin_object();
  if (spec == nullptr) {
    out.key("numbers").begin_array().number(first).number(second).end_array();
  } else {
    if (!spec->result_names[0].empty()) out.key(spec->result_names[0]).number(first);
    if (!spec->result_names[1].empty()) out.key(spec->result_names[1]).number(second);
  }
  out.end_object();
}

// Null when the shard answers a repeat and the first answer was too long to be kept.
void write_results(http::JsonWriter& out, const TransactRequest& request, Bytes results) {
  const size_t guards = static_cast<size_t>(request.guards);
  if (results.size() != (guards + request.specs.size()) * kResultBytes) {
    out.null();
    return;
  }
  out.begin_array();
  for (size_t i = 0; i < request.specs.size(); ++i) {
    const std::byte* at = results.data() + (guards + i) * kResultBytes;
    write_result(out, request.specs[i], load_le<int64_t>(at), load_le<int64_t>(at + 8));
  }
  out.end_array();
}

}  // namespace

Result<TransactRequest> parse_transact(std::string body, const OperationTable& table) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  return TransactReader(table).read((*document)->root());
}

http::HttpResponse transact_response(const TransactRequest& request, const Reply& reply) {
  if (!reply.ok()) {
    const bool by_operation = reply.numbers[1] == 1 && reply.message.starts_with(kIndexPrefix);
    if (!by_operation && *reply.error == Errc::invalid_argument && request.submission.idempotency)
      return http::HttpResponse::error(422, "idempotency_key_reused", reply.message);
    if (!by_operation) return refusal_response(reply);
    const int64_t index = reply.numbers[0];
    Reply named = reply;
    // The shard's text counts guards and operations together; here each list has its own index.
    named.message.erase(0, kIndexPrefix.size() + std::to_string(index).size() + 2);
    if (index < request.guards) return refusal_response(named, "guard", index);
    return refusal_response(named, "operation", index - request.guards);
  }
  http::JsonWriter out;
  out.begin_object();
  out.key("position").text(position_text(0, reply.sequence));
  out.key("results");
  write_results(out, request, reply.payload.view());
  out.key("repeated").boolean(reply.repeated);
  out.end_object();
  return http::HttpResponse::json(200, out.take());
}

}  // namespace heptane::admin
