// POST records: one JSON document, or lines of JSON. Either is one command: all of its records are kept or none. Records with
// headers or timestamps go as a record batch, as a Kafka producer's would.
#include <algorithm>
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/api_schemas.h"
#include "kernel/admin/record_json.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"
#include "kernel/admin/transact_request.h"
#include "kernel/base/hash128.h"
#include "kernel/shard/state_machine.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr int64_t kNsPerMs = 1'000'000;
constexpr uint64_t kRecordBytesMax = uint64_t{1} << 20;  // as of events
constexpr size_t kRecordsMax = 65'536;                   // of one command (invariant 2)
constexpr std::string_view kTooMany = "more than 65536 records in one request: send several";

// What the records of the command point into.
struct ParsedAppend {
  std::unique_ptr<http::JsonDocument> document;
  std::string bytes;  // of lines: the JSON of a line is not kept
  RecordReader reader;
  streams::AppendEvents command;
  std::vector<RecordExtras> extras;  // of each record
  uint64_t request_hash = 0;

  bool any_extras() const {
    return std::any_of(extras.begin(), extras.end(), [](const RecordExtras& each) { return each.any(); });
  }

  Bytes kept(Bytes part) {
    const size_t at = bytes.size();
    bytes.append(as_text(part));
    return as_bytes(bytes).subspan(at);
  }
};

Result<void> parse_line(std::string_view text, const std::string& where, ParsedAppend& append) {
  const auto document = http::JsonDocument::parse(std::string(text));
  if (!document) return Error{document.error().code, where + ": " + document.error().message};
  RecordReader reader;
  streams::EventRecord record;
  HEPTANE_TRY(reader.read((*document)->root(), where, record, &append.extras.emplace_back()));
  record.key = append.kept(record.key);
  record.value = append.kept(record.value);
  append.command.records.push_back(record);
  return {};
}

Result<void> parse_lines(std::string_view body, ParsedAppend& append) {
  append.bytes.reserve(body.size());  // never more: the views stay valid
  for (size_t line = 1; !body.empty(); ++line) {
    const size_t end = std::min(body.find('\n'), body.size());
    std::string_view text = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    if (append.command.records.size() == kRecordsMax) return Error{Errc::too_large, std::string(kTooMany)};
    HEPTANE_TRY(parse_line(text, "line " + std::to_string(line), append));
  }
  if (append.command.records.empty()) return invalid("there is no record in the body");
  return {};
}

Result<void> parse_body(std::string body, ParsedAppend& append) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  append.document = std::move(*document);
  http::JsonFields fields(append.document->root(), "");
  append.command.expected_offset = fields.integer_or("expected_offset", -1, 0, INT64_MAX);
  const std::optional<http::JsonValue> records = fields.array("records");
  if (!records || records->size() == 0) fields.fail("records must be an array of at least one record");
  HEPTANE_TRY(fields.finish());
  if (records->size() > kRecordsMax) return Error{Errc::too_large, std::string(kTooMany)};
  append.command.records.reserve(records->size());
  for (std::optional<http::JsonValue> record = records->first(); record; record = record->next()) {
    const std::string where = "records[" + std::to_string(append.command.records.size()) + ']';
    HEPTANE_TRY(
        append.reader.read(*record, where, append.command.records.emplace_back(), &append.extras.emplace_back()));
  }
  return {};
}

// Not of what is made of it: a record without a timestamp has another one when the request is repeated.
uint64_t hash_of_request(const http::HttpRequest& request, int64_t partition) {
  StreamingHash128 hash;
  hash.add(as_bytes(request.param("name")));
  hash.add(as_bytes("/" + std::to_string(partition) + "/"));
  hash.add(as_bytes(request.body));
  return hash.value().low;
}

std::optional<IdempotencyKey> key_of(std::string_view key, uint64_t request_hash) {
  if (key.empty()) return std::nullopt;
  const Hash128 id = hash128(as_bytes(key));
  IdempotencyKey made;
  store_le(made.id.data(), id.low);
  store_le(made.id.data() + 8, id.high);
  made.request_hash = request_hash;
  return made;
}

// Errc::too_large above the bounds of any append.
Result<Buffer> record_batch_of(const ParsedAppend& append, int64_t now_ms) {
  if (append.command.expected_offset >= 0)
    return invalid("expected_offset goes with records that have neither headers nor timestamps");
  uint64_t bytes = 0;
  streams::RecordBatchBuilder builder;
  builder.begin(append.extras.front().timestamp_ms.value_or(now_ms));
  for (size_t i = 0; i < append.command.records.size(); ++i) {
    const streams::EventRecord& record = append.command.records[i];
    const RecordExtras& extras = append.extras[i];
    bytes += record.key.size() + record.value.size() + extras.headers.size();
    if (bytes > kRecordBytesMax)
      return Error{Errc::too_large, "more than 1 MiB of keys, values and headers: send several"};
    builder.add(extras.timestamp_ms.value_or(now_ms), record.has_key, record.key, true, record.value, extras.headers,
                extras.header_count);
  }
  return Buffer::copy_of(builder.finish(0, 0, true));
}

Result<void> parse_append(http::HttpRequest& request, ParsedAppend& append) {
  HEPTANE_TRY(check_parameters(request, {"partition"}));
  const auto partition = integer_parameter(request, "partition", 0, 0, streams::kPartitionsLimit - 1);
  if (!partition) return partition.error();
  const std::string_view key = request.header("Idempotency-Key");
  if (key.size() > kIdempotencyKeyLimitBytes) return invalid("Idempotency-Key is longer than 256 bytes");
  const bool lines = http::equals_ignoring_case(http::media_type(request.header("Content-Type")), kLinesType);
  append.request_hash = hash_of_request(request, *partition);
  append.command.stream = request.param("name");
  append.command.partition = static_cast<uint32_t>(*partition);
  HEPTANE_TRY(lines ? parse_lines(request.body, append) : parse_body(std::move(request.body), append));
  return {};
}

HttpResponse append_response(const Reply& reply, bool keyed, int64_t count) {
  if (keyed && reply.error == Errc::invalid_argument)
    return HttpResponse::error(422, "idempotency_key_reused", reply.message);
  if (!reply.ok()) return refusal_response(reply);
  JsonWriter out;
  out.begin_object().key("offset").number(reply.numbers[0]).key("count").number(count);
  out.key("position").text(position_text(0, reply.sequence));
  if (reply.repeated) out.key("repeated").boolean(true);
  out.end_object();
  return HttpResponse::json(200, out.take());
}

void submit(HttpExchange& exchange, Submission submission, size_t count) {
  const bool keyed = submission.idempotency.has_value();
  exchange.submit(std::move(submission), [keyed, count](HttpExchange& answered, const Reply& reply) {
    answered.respond(append_response(reply, keyed, static_cast<int64_t>(count)));
  });
}

void append_batch(HttpExchange& exchange, const ParsedAppend& append, const std::optional<IdempotencyKey>& key) {
  Result<Buffer> batch = record_batch_of(append, exchange.context().utc_ns() / kNsPerMs);
  if (!batch) return exchange.respond(error_response(batch.error()));
  find_partition(exchange, std::string(append.command.stream), append.command.partition,
                 [batch = std::move(*batch), key, count = append.command.records.size()](
                     HttpExchange& found, const streams::PartitionInfo& partition) {
                   const auto crc = load_be<uint32_t>(batch.data() + streams::record_batch_layout::kCrc);
                   Submission submission = streams::make_append(partition.id, batch, crc);
                   submission.idempotency = key;
                   submit(found, std::move(submission), count);
                 });
}

// A module makes the records of the stream out of these.
void append_to_view(HttpExchange& exchange, streams::ViewInput& view, const ParsedAppend& append,
                    const std::optional<IdempotencyKey>& key) {
  if (append.command.expected_offset >= 0)
    return exchange.respond(error_response(invalid("expected_offset does not go with a stream that publishes")));
  const Result<Buffer> batch = record_batch_of(append, exchange.context().utc_ns() / kNsPerMs);
  if (!batch) return exchange.respond(error_response(batch.error()));
  const auto may = [&exchange](std::string_view module, std::string_view resource) {
    return exchange.allowed(module, resource, auth::Verb::write);
  };
  const bool said = exchange.request().query_value("partition").has_value();
  const auto partition = said ? std::optional(append.command.partition) : std::nullopt;
  Result<Submission> submission = view.make_append(append.command.stream, partition, batch->view(), may);
  if (!submission) return exchange.respond(error_response(submission.error()));
  submission->idempotency = key;
  submit(exchange, std::move(*submission), append.command.records.size());
}

void append_records(HttpExchange& exchange, const streams::ViewInputs* view_inputs) {
  ParsedAppend append;  // stays where it is: its records are views into it
  if (const Result<void> parsed = parse_append(exchange.request(), append); !parsed)
    return exchange.respond(error_response(parsed.error()));
  const std::string_view key = exchange.request().header("Idempotency-Key");
  streams::ViewInput* view = view_inputs == nullptr ? nullptr : view_inputs->find(append.command.stream);
  if (view != nullptr) return append_to_view(exchange, *view, append, key_of(key, append.request_hash));
  if (append.any_extras()) return append_batch(exchange, append, key_of(key, append.request_hash));
  Submission submission = streams::make_command(machine_ids::kStreams, streams::kAppendEvents, encode(append.command));
  submission.idempotency = key_of(key, hash128(submission.payload.view()).low);
  submit(exchange, std::move(submission), append.command.records.size());
}

http::RouteDoc doc() {
  return {
      "Append records",
      "One request is one command: all of its records are kept, synced, or none is. An error names the record or the "
      "line. As JSON, expected_offset makes it conditional on the partition's end. Records with headers or a timestamp "
      "of their "
      "own go without it; those without a timestamp beside them have the time of their arrival.",
      {kPartitionParameter,
       {"Idempotency-Key", "1 to 256 bytes: a repeat within 24 hours returns the first result", http::kTextSchema,
        http::ParameterPlace::header}},
      {{R"({"type":"object","required":["records"],"additionalProperties":false,"properties":{)"
        R"("expected_offset":{"type":"integer","minimum":0},"records":{"type":"array","minItems":1,)"
        R"("maxItems":65536,"items":{"$ref":"#/components/schemas/NewRecord"}}}})"},
       {R"({"$ref":"#/components/schemas/NewRecord"})", kLinesType}},
      {{200, "kept and synced", {{R"({"$ref":"#/components/schemas/Appended"})"}}}}};
}

}  // namespace

void add_append_route(http::HttpRouter& router, const streams::ViewInputs* view_inputs) {
  router.add(http::Method::post, "/api/v1/streams/{name}/records",
             [view_inputs](HttpExchange& exchange) { append_records(exchange, view_inputs); }, {.doc = doc()});
}

}  // namespace heptane::admin
