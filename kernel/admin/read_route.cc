// GET records: from an offset or a time on, with a wait at the end. JSON is one page; lines of JSON go on, page after page as
// the client reads them, until the limit or the end that the partition had when the first page was read.
#include <algorithm>
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/api_schemas.h"
#include "kernel/admin/record_json.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr int64_t kLimitDefault = 100;
constexpr int64_t kLimitMax = 10'000;  // of JSON; of lines there is none
constexpr int64_t kWaitMaxMs = 25'000;
constexpr uint32_t kReadBytes = 1 << 20;
constexpr size_t kJsonBytes = size_t{8} << 20;   // a response closes after the record that passes this
constexpr size_t kPieceBytes = size_t{1} << 20;  // of lines; the next piece begins behind it

struct ReadWanted {
  std::string name;
  uint32_t partition = 0;
  std::optional<Offset> offset;  // absent: from the first kept, or by time
  std::optional<int64_t> from_time_ms;
  int64_t limit = kLimitDefault;
  int64_t wait_ms = 0;
  bool lines = false;
};

Result<ReadWanted> parse_read(const http::HttpRequest& request) {
  HEPTANE_TRY(check_parameters(request, {"offset", "time", "limit", "partition", "wait_ms"}, {"offset", "time"}));
  ReadWanted wanted;
  wanted.name = request.param("name");
  wanted.lines = request.header("Accept").find(kLinesType) != std::string_view::npos;
  const auto partition = integer_parameter(request, "partition", 0, 0, streams::kPartitionsLimit - 1);
  const auto offset = integer_parameter(request, "offset", 0, 0, INT64_MAX);
  const auto time = integer_parameter(request, "time", 0, 0, INT64_MAX);
  const auto limit = integer_parameter(request, "limit", kLimitDefault, 1, wanted.lines ? INT64_MAX : kLimitMax);
  const auto wait = integer_parameter(request, "wait_ms", 0, 0, kWaitMaxMs);
  for (const auto* number : {&partition, &offset, &time, &limit, &wait})
    if (!*number) return number->error();
  wanted.partition = static_cast<uint32_t>(*partition);
  if (request.query_value("offset")) wanted.offset = *offset;
  if (request.query_value("time")) wanted.from_time_ms = *time;
  wanted.limit = *limit;
  wanted.wait_ms = *wait;
  return wanted;
}

class RecordsRequest : public std::enable_shared_from_this<RecordsRequest> {
 public:
  explicit RecordsRequest(ReadWanted wanted) : wanted_(std::move(wanted)), left_(wanted_.limit) {}

  void find(HttpExchange& exchange) {
    standing_ = exchange.standing("streams", wanted_.name, auth::Verb::read);
    find_partition(exchange, wanted_.name, wanted_.partition,
                   [self = shared_from_this()](HttpExchange& answered, const streams::PartitionInfo& partition) {
                     self->partition_ = partition.id;
                     if (!self->wanted_.from_time_ms) self->next_ = self->wanted_.offset.value_or(partition.log_start);
                     self->read(answered);
                   });
  }

 private:
  void read(HttpExchange& exchange) {
    ReadRequest request;
    request.partition = partition_;
    request.offset = next_;
    request.max_bytes = kReadBytes;
    if (end_ < 0) request.from_time_ms = wanted_.from_time_ms;
    exchange.read(request, [self = shared_from_this()](HttpExchange& answered, const net::RecordsRead& records) {
      self->on_records(answered, records);
    });
  }

  void on_records(HttpExchange& exchange, const net::RecordsRead& read) {
    if (revoked(standing_)) return fail(exchange, Error{Errc::unauthorised, std::string(kRevoked)});
    if (read.error) return fail(exchange, read_error(read));
    if (end_ < 0) end_ = read.durable_end;
    next_ = read.offset;
    if (const Result<void> taken = take(read); !taken) return fail(exchange, taken.error());
    // Once: what came meanwhile is read, or nothing did.
    if (read.batches.empty() && left_ == wanted_.limit && wanted_.wait_ms > 0) return wait(exchange);
    if (!wanted_.lines) return exchange.respond(page(read));
    send_lines(exchange, read.batches.empty() || left_ == 0 || next_ >= end_);
  }

  // Records of the page until a limit.
  Result<void> take(const net::RecordsRead& read) {
    bytes_ = 0;
    if (!wanted_.lines) json_.begin_object().key("records").begin_array();
    for (const Buffer& batch : read.batches) {
      if (full()) break;
      HEPTANE_TRY(for_each_stored(batch.view(), [this](const streams::RecordView& record) { take(record); }));
    }
    return {};
  }

  void take(const streams::RecordView& record) {
    if (record.offset < next_ || full()) return;
    next_ = record.offset + 1;
    // The first run of a read by time begins before it.
    if (wanted_.from_time_ms && record.timestamp_ms < *wanted_.from_time_ms) return;
    wanted_.from_time_ms.reset();
    --left_;
    JsonWriter line;
    write_record(line, record);
    const std::string text = line.take();
    bytes_ += text.size();  // as written: escapes, base64 and headers count
    if (wanted_.lines)
      lines_ += text;
    else
      json_.raw(std::string_view(text).substr(0, text.size() - 1));  // without its line end
  }

  bool full() const { return left_ == 0 || bytes_ >= (wanted_.lines ? kPieceBytes : kJsonBytes); }

  void wait(HttpExchange& exchange) {
    wait_left_ns_ = std::exchange(wanted_.wait_ms, 0) * 1'000'000;
    end_ = -1;
    json_ = JsonWriter();
    wanted_.from_time_ms.reset();
    wait_on(exchange);
  }

  // In steps where somebody may be shut out meanwhile. Woken before a step's end: there is something to read.
  void wait_on(HttpExchange& exchange) {
    const int64_t step_ns = standing_ ? std::min(wait_left_ns_, kLookAgainNs) : wait_left_ns_;
    const int64_t until_ns = exchange.context().monotonic_ns() + step_ns;
    wait_left_ns_ -= step_ns;
    exchange.wait(partition_, next_, step_ns, [self = shared_from_this(), until_ns](HttpExchange& waited) {
      if (revoked(self->standing_)) return self->fail(waited, Error{Errc::unauthorised, std::string(kRevoked)});
      if (self->wait_left_ns_ > 0 && waited.context().monotonic_ns() >= until_ns) return self->wait_on(waited);
      self->read(waited);
    });
  }

  HttpResponse page(const net::RecordsRead& read) {
    json_.end_array().key("next_offset").number(next_).key("first_offset").number(read.log_start);
    json_.key("end_offset").number(read.durable_end).end_object();
    HttpResponse response = HttpResponse::json(200, json_.take());
    response.headers.push_back({"Heptane-Next-Offset", std::to_string(next_)});
    return response;
  }

  // What fits into one piece is answered whole, with the next offset in its head.
  void send_lines(HttpExchange& exchange, bool last) {
    HttpResponse response{200, std::string(kLinesType), std::exchange(lines_, {}), {}};
    if (started_ && last) return exchange.end(std::move(response.body));
    if (last) {
      response.headers.push_back({"Heptane-Next-Offset", std::to_string(next_)});
      return exchange.respond(std::move(response));
    }
    std::string piece = std::exchange(response.body, {});
    if (!std::exchange(started_, true)) exchange.start(std::move(response));
    exchange.send_piece(std::move(piece), [self = shared_from_this()](HttpExchange& room) { self->read(room); });
  }

  void fail(HttpExchange& exchange, const Error& error) const {
    if (started_) return exchange.break_off(error.message);
    exchange.respond(error_response(error));
  }

  ReadWanted wanted_;
  std::function<bool()> standing_;
  int64_t wait_left_ns_ = 0;
  PartitionId partition_ = kNoPartition;
  Offset next_ = 0;
  Offset end_ = -1;   // of the partition at the first page
  int64_t left_ = 0;  // of the limit
  size_t bytes_ = 0;  // of this page or piece
  JsonWriter json_;
  std::string lines_;
  bool started_ = false;
};

void read_records(HttpExchange& exchange) {
  Result<ReadWanted> wanted = parse_read(exchange.request());
  if (!wanted) return exchange.respond(error_response(wanted.error()));
  std::make_shared<RecordsRequest>(std::move(*wanted))->find(exchange);
}

http::RouteDoc doc() {
  return {
      "Read records from an offset or a time on",
      "JSON is one page of at most 10,000 records, 8 MiB and 1 MiB as kept. With Accept: application/x-ndjson the "
      "answer "
      "is one record a line and goes on until the limit or the end that the partition had at its beginning.",
      {kPartitionParameter,
       {"offset", "of the first record; default: the first that is kept", http::kCountSchema},
       {"time", "milliseconds since 1970: begin with the first record that is not older", http::kCountSchema},
       {"limit", "at most so many records; above 10,000 only as lines",
        R"({"type":"integer","minimum":1,"default":100})"},
       {"wait_ms", "at the end, wait so long for the next record",
        R"({"type":"integer","minimum":0,"maximum":25000})"}},
      {},
      {{200,
        "the records; the header Heptane-Next-Offset of an answer with a length says where to go on",
        {{R"({"$ref":"#/components/schemas/Records"})"}, {R"({"$ref":"#/components/schemas/Record"})", kLinesType}}}}};
}

}  // namespace

void add_read_route(http::HttpRouter& router) {
  router.add(http::Method::get, "/api/v1/streams/{name}/records", read_records, {.doc = doc()});
}

}  // namespace heptane::admin
