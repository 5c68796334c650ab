// POST records: one JSON document, or lines of JSON. Either is one command: all of its records are kept or none.
#include <algorithm>
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/api_schemas.h"
#include "kernel/admin/record_json.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/transact_request.h"
#include "kernel/base/hash128.h"
#include "kernel/shard/state_machine.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr size_t kRecordsMax = 65'536;  // of one command (invariant 2)
constexpr std::string_view kTooMany = "more than 65536 records in one request: send several";

// What the records of the command point into.
struct ParsedAppend {
  std::unique_ptr<http::JsonDocument> document;
  std::string bytes;  // of lines: the JSON of a line is not kept
  RecordReader reader;
  streams::AppendEvents command;

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
  HEPTANE_TRY(reader.read((*document)->root(), where, record));
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
    HEPTANE_TRY(append.reader.read(*record, where, append.command.records.emplace_back()));
  }
  return {};
}

Result<Submission> parse_append(http::HttpRequest& request) {
  HEPTANE_TRY(check_parameters(request, {"partition"}));
  const auto partition = integer_parameter(request, "partition", 0, 0, streams::kPartitionsLimit - 1);
  if (!partition) return partition.error();
  const std::string_view key = request.header("Idempotency-Key");
  if (key.size() > kIdempotencyKeyLimitBytes) return invalid("Idempotency-Key is longer than 256 bytes");
  const bool lines = http::equals_ignoring_case(http::media_type(request.header("Content-Type")), kLinesType);
  ParsedAppend append;
  append.command.stream = request.param("name");
  append.command.partition = static_cast<uint32_t>(*partition);
  HEPTANE_TRY(lines ? parse_lines(request.body, append) : parse_body(std::move(request.body), append));
  Submission submission = streams::make_command(machine_ids::kStreams, streams::kAppendEvents, encode(append.command));
  if (key.empty()) return submission;
  const Hash128 id = hash128(as_bytes(key));
  submission.idempotency.emplace();
  store_le(submission.idempotency->id.data(), id.low);
  store_le(submission.idempotency->id.data() + 8, id.high);
  submission.idempotency->request_hash = hash128(submission.payload.view()).low;
  return submission;
}

HttpResponse append_response(const Reply& reply, bool keyed) {
  if (keyed && reply.error == Errc::invalid_argument)
    return HttpResponse::error(422, "idempotency_key_reused", reply.message);
  if (!reply.ok()) return refusal_response(reply);
  JsonWriter out;
  out.begin_object().key("offset").number(reply.numbers[0]).key("count").number(reply.numbers[1]);
  out.key("position").text(position_text(0, reply.sequence));
  if (reply.repeated) out.key("repeated").boolean(true);
  out.end_object();
  return HttpResponse::json(200, out.take());
}

void append_records(HttpExchange& exchange) {
  Result<Submission> submission = parse_append(exchange.request());
  if (!submission) return exchange.respond(error_response(submission.error()));
  const bool keyed = submission->idempotency.has_value();
  exchange.submit(std::move(*submission), [keyed](HttpExchange& answered, const Reply& reply) {
    answered.respond(append_response(reply, keyed));
  });
}

http::RouteDoc doc() {
  return {
      "Append records",
      "One request is one command: all of its records are kept, synced, or none is. An error names the record or the "
      "line. As JSON, expected_offset makes it conditional on the partition's end.",
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

void add_append_route(http::HttpRouter& router) {
  router.add(http::Method::post, "/api/v1/streams/{name}/records", append_records, {.doc = doc()});
}

}  // namespace heptane::admin
