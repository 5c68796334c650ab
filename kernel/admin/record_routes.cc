// Records over HTTP: append as JSON or as lines of JSON, read from an offset or a time on, with a wait at the end.
#include <algorithm>
#include <charconv>
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/record_json.h"
#include "kernel/base/hash128.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/inflate.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr int64_t kLimitDefault = 100;
constexpr int64_t kLimitMax = 10'000;
constexpr int64_t kWaitMaxMs = 25'000;
constexpr uint32_t kReadBytes = 1 << 20;
constexpr size_t kInflatedBytesMax = size_t{32} << 20;
constexpr size_t kResponseBytes = size_t{8} << 20;  // a response closes after the record that passes this
constexpr size_t kRecordsMax = 65'536;              // of one command (invariant 2)

Error invalid(std::string message) { return Error{Errc::invalid_argument, std::move(message), 0}; }

Result<int64_t> integer_parameter(const http::HttpRequest& request, std::string_view name, int64_t otherwise,
                                  int64_t min, int64_t max) {
  const std::optional<std::string_view> text = request.query_value(name);
  if (!text) return otherwise;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < min || value > max)
    return invalid(std::string(name) + " must be an integer from " + std::to_string(min) + " to " +
                   std::to_string(max));
  return value;
}

// Reading.

struct ReadWanted {
  std::string name;
  uint32_t partition = 0;
  std::optional<Offset> offset;  // absent: from the first kept, or by time
  std::optional<int64_t> from_time_ms;
  size_t limit = kLimitDefault;
  int64_t wait_ms = 0;
  bool lines = false;  // NDJSON
};

Result<ReadWanted> parse_read(const http::HttpRequest& request) {
  for (const auto& [name, value] : request.query) {
    static constexpr std::string_view kKnown[] = {"offset", "time", "limit", "partition", "wait_ms"};
    if (std::find(std::begin(kKnown), std::end(kKnown), name) == std::end(kKnown))
      return invalid(name + " is not known here: offset, time, limit, partition, wait_ms are");
  }
  ReadWanted wanted;
  wanted.name = request.param("name");
  const auto partition = integer_parameter(request, "partition", 0, 0, streams::kPartitionsLimit - 1);
  const auto offset = integer_parameter(request, "offset", 0, 0, INT64_MAX);
  const auto time = integer_parameter(request, "time", 0, 0, INT64_MAX);
  const auto limit = integer_parameter(request, "limit", kLimitDefault, 1, kLimitMax);
  const auto wait = integer_parameter(request, "wait_ms", 0, 0, kWaitMaxMs);
  for (const auto* number : {&partition, &offset, &time, &limit, &wait})
    if (!*number) return number->error();
  if (request.query_value("offset") && request.query_value("time"))
    return invalid("offset and time exclude each other");
  wanted.partition = static_cast<uint32_t>(*partition);
  if (request.query_value("offset")) wanted.offset = *offset;
  if (request.query_value("time")) wanted.from_time_ms = *time;
  wanted.limit = static_cast<size_t>(*limit);
  wanted.wait_ms = *wait;
  wanted.lines = request.header("accept").find("application/x-ndjson") != std::string_view::npos;
  return wanted;
}

// Collects records until the limits.
class RecordsWriter {
 public:
  explicit RecordsWriter(const ReadWanted& wanted) : wanted_(wanted) {
    if (!wanted_.lines) out_.begin_object().key("records").begin_array();
  }

  Result<void> add_batch(Bytes batch) {
    const Result<streams::RecordBatchInfo> info = streams::decode_record_batch_header(batch);
    if (!info) return info.error();
    std::vector<std::byte> inflated;
    if (info->compressed()) {
      Result<std::vector<std::byte>> plain = streams::inflate_batch(batch, kInflatedBytesMax);
      if (!plain) return std::move(plain.error());
      inflated = std::move(*plain);
      batch = inflated;
    }
    return streams::for_each_record(batch, [&](const streams::RecordView& record) {
      if (record.offset < next_ || full()) return;
      if (wanted_.from_time_ms && count_ == 0 && record.timestamp_ms < *wanted_.from_time_ms) {
        next_ = record.offset + 1;
        return;
      }
      bytes_ += record.key.size() + record.value.size();
      ++count_;
      next_ = record.offset + 1;
      if (!wanted_.lines) return write_record(out_, record);
      JsonWriter line;
      write_record(line, record);
      lines_ += line.take();
    });
  }
  bool full() const { return count_ >= wanted_.limit || bytes_ >= kResponseBytes; }
  void begin_at(Offset offset) { next_ = offset; }
  size_t count() const { return count_; }
  Offset next() const { return next_; }

  HttpResponse response(const net::RecordsRead& read) {
    HttpResponse response;
    if (wanted_.lines) {
      response = HttpResponse{200, "application/x-ndjson", std::move(lines_), {}};
    } else {
      out_.end_array().key("next_offset").number(next_).key("first_offset").number(read.log_start);
      out_.key("end_offset").number(read.durable_end).end_object();
      response = HttpResponse::json(200, out_.take());
    }
    response.headers.push_back({"Heptane-Next-Offset", std::to_string(next_)});
    return response;
  }

 private:
  const ReadWanted& wanted_;
  JsonWriter out_;
  std::string lines_;
  Offset next_ = 0;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

class RecordsRequest : public std::enable_shared_from_this<RecordsRequest> {
 public:
  explicit RecordsRequest(ReadWanted wanted) : wanted_(std::move(wanted)) {}

  void find(HttpExchange& exchange) {
    QueryRequest query;
    query.machine = machine_ids::kStreams;
    query.type = streams::kDescribe;
    query.payload = streams::encode(streams::DescribeQuery{false, {wanted_.name}});
    exchange.query(std::move(query), [self = shared_from_this()](HttpExchange& answered, const Reply& reply) {
      self->on_found(answered, reply);
    });
  }

 private:
  void on_found(HttpExchange& exchange, const Reply& reply) {
    if (!reply.ok()) return exchange.respond(refusal_response(reply));
    const auto infos = streams::decode_stream_infos(reply.payload.view());
    if (!infos || infos->empty() || wanted_.partition >= infos->front().partitions.size())
      return exchange.respond(error_response(
          {Errc::not_found,
           "there is no stream " + wanted_.name +
               (infos && !infos->empty() ? " with a partition " + std::to_string(wanted_.partition) : std::string()),
           0}));
    const streams::PartitionInfo& partition = infos->front().partitions[wanted_.partition];
    partition_ = partition.id;
    if (!wanted_.offset && !wanted_.from_time_ms) wanted_.offset = partition.log_start;
    read(exchange);
  }

  void read(HttpExchange& exchange) {
    ReadRequest request;
    request.partition = partition_;
    request.offset = wanted_.offset.value_or(0);
    request.max_bytes = kReadBytes;
    request.from_time_ms = wanted_.from_time_ms;
    exchange.read(request, [self = shared_from_this()](HttpExchange& answered, const net::RecordsRead& records) {
      self->on_records(answered, records);
    });
  }

  void on_records(HttpExchange& exchange, const net::RecordsRead& read) {
    if (read.error == Errc::invalid_argument)
      return exchange.respond(
          error_response(invalid("the partition holds the offsets from " + std::to_string(read.log_start) + " to " +
                                 std::to_string(read.durable_end) + ", the last one excluded")));
    if (read.error) return exchange.respond(error_response({*read.error, "the records cannot be read", 0}));
    RecordsWriter writer(wanted_);
    writer.begin_at(read.offset);
    for (const Buffer& batch : read.batches) {
      if (writer.full()) break;
      if (const Result<void> added = writer.add_batch(batch.view()); !added)
        return exchange.respond(error_response(added.error()));
    }
    const bool at_end = writer.count() == 0 && read.batches.empty();
    if (!at_end || wanted_.wait_ms == 0) return exchange.respond(writer.response(read));
    // Once: what came meanwhile is read, or nothing did.
    const int64_t limit_ns = std::exchange(wanted_.wait_ms, 0) * 1'000'000;
    wanted_.offset = read.offset;
    wanted_.from_time_ms.reset();
    exchange.wait(partition_, read.offset, limit_ns,
                  [self = shared_from_this()](HttpExchange& waited) { self->read(waited); });
  }

  ReadWanted wanted_;
  PartitionId partition_ = kNoPartition;
};

void read_records(HttpExchange& exchange) {
  Result<ReadWanted> wanted = parse_read(exchange.request());
  if (!wanted) return exchange.respond(error_response(wanted.error()));
  std::make_shared<RecordsRequest>(std::move(*wanted))->find(exchange);
}

// Appending.

struct ParsedAppend {
  std::vector<std::unique_ptr<http::JsonDocument>> documents;  // what the records point into
  RecordReader reader;
  streams::AppendEvents command;
};

Result<void> parse_lines(std::string_view body, ParsedAppend& append) {
  size_t line = 0;
  while (!body.empty()) {
    const size_t end = std::min(body.find('\n'), body.size());
    std::string_view text = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    ++line;
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    if (append.command.records.size() == kRecordsMax) return invalid("more than 65536 records in one request");
    auto document = http::JsonDocument::parse(std::string(text));
    if (!document)
      return Error{document.error().code, "line " + std::to_string(line) + ": " + document.error().message};
    HEPTANE_TRY(
        append.reader.read((*document)->root(), "line " + std::to_string(line), append.command.records.emplace_back()));
    append.documents.push_back(std::move(*document));
  }
  if (append.command.records.empty()) return invalid("there is no record in the body");
  return {};
}

Result<void> parse_body(std::string body, ParsedAppend& append) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  append.documents.push_back(std::move(*document));
  http::JsonFields fields(append.documents.back()->root(), "");
  append.command.expected_offset = fields.integer_or("expected_offset", -1, 0, INT64_MAX);
  const std::optional<http::JsonValue> records = fields.array("records");
  if (!records || records->size() == 0) fields.fail("records must be an array of at least one record");
  if (records && records->size() > kRecordsMax) fields.fail("more than 65536 records in one request");
  HEPTANE_TRY(fields.finish());
  append.command.records.reserve(records->size());
  for (std::optional<http::JsonValue> record = records->first(); record; record = record->next()) {
    const std::string where = "records[" + std::to_string(append.command.records.size()) + ']';
    HEPTANE_TRY(append.reader.read(*record, where, append.command.records.emplace_back()));
  }
  return {};
}

void append_records(HttpExchange& exchange) {
  http::HttpRequest& request = exchange.request();
  const std::string name(request.param("name"));
  const auto partition = integer_parameter(request, "partition", 0, 0, streams::kPartitionsLimit - 1);
  if (!partition) return exchange.respond(error_response(partition.error()));
  const std::string_view key = request.header("idempotency-key");
  if (key.size() > 255) return exchange.respond(error_response(invalid("Idempotency-Key is longer than 255 bytes")));
  const bool lines = request.header("content-type").starts_with("application/x-ndjson");
  ParsedAppend append;
  append.command.stream = name;
  append.command.partition = static_cast<uint32_t>(*partition);
  const std::string body = lines ? std::move(request.body) : std::string();
  const Result<void> parsed = lines ? parse_lines(body, append) : parse_body(std::move(request.body), append);
  if (!parsed) return exchange.respond(error_response(parsed.error()));
  Buffer payload = streams::encode(append.command);
  Submission submission = streams::make_command(machine_ids::kStreams, streams::kAppendEvents, std::move(payload));
  if (!key.empty()) {
    const Hash128 id = hash128(as_bytes(key));
    submission.idempotency.emplace();
    store_le(submission.idempotency->id.data(), id.low);
    store_le(submission.idempotency->id.data() + 8, id.high);
    submission.idempotency->request_hash = hash128(submission.payload.view()).low;
  }
  exchange.submit(std::move(submission), [](HttpExchange& answered, const Reply& reply) {
    if (!reply.ok()) return answered.respond(refusal_response(reply));
    JsonWriter out;
    out.begin_object().key("offset").number(reply.numbers[0]).key("count").number(reply.numbers[1]);
    out.key("position").text(position_text(0, reply.sequence));
    if (reply.repeated) out.key("repeated").boolean(true);
    out.end_object();
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

}  // namespace

void add_record_routes(http::HttpRouter& router) {
  router.add(http::Method::get, "/api/v1/streams/{name}/records", read_records);
  router.add(http::Method::post, "/api/v1/streams/{name}/records", append_records);
}

}  // namespace heptane::admin
