// Tail: the records of a partition as WebSocket messages, from a place on and then as they are synced. One text message is
// one record, in the form in which GET records gives it; the messages of a read are written together. Whoever reads slowly
// is read for slowly: the next records are fetched when the connection has room. To resume: offset= of the last and one.
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/api_schemas.h"
#include "kernel/admin/record_json.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"
#include "kernel/admin/tail_wanted.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::WebSocket;

constexpr uint32_t kReadBytes = 256 << 10;
constexpr size_t kPieceBytes = size_t{512} << 10;  // of messages between two looks at the connection's room
constexpr size_t kOutputBytes = size_t{64} << 20;  // of one record more than there was room for
constexpr size_t kInputBytes = 1024;               // nothing is expected, and told so
constexpr int64_t kRetryNs = 200'000'000;          // when the server had no room for a question
// Close codes of this route (4000 to 4999 are an application's own), after HTTP's numbers.
constexpr uint16_t kCloseDeleted = 4404;
constexpr uint16_t kCloseRevoked = 4403;
constexpr uint16_t kCloseGone = 4410;
constexpr uint16_t kCloseFailed = 4500;

Result<TailWanted> parse_tail(const http::HttpRequest& request) {
  HEPTANE_TRY(check_parameters(request, {"partition", "offset", "time", "from", "limit"}, {"offset", "time", "from"}));
  const auto partition = integer_parameter(request, "partition", 0, 0, streams::kPartitionsLimit - 1);
  const auto offset = integer_parameter(request, "offset", 0, 0, INT64_MAX);
  const auto time = integer_parameter(request, "time", 0, 0, INT64_MAX);
  const auto limit = integer_parameter(request, "limit", INT64_MAX, 1, INT64_MAX);
  for (const auto* number : {&partition, &offset, &time, &limit})
    if (!*number) return number->error();
  const std::string_view from = request.query_value("from").value_or("end");
  if (from != "start" && from != "end")
    return invalid("from must be start or end; use offset or time for other places");
  TailWanted wanted;
  wanted.name = request.param("name");
  wanted.partition = static_cast<uint32_t>(*partition);
  if (request.query_value("offset")) wanted.offset = *offset;
  if (request.query_value("time")) wanted.from_time_ms = *time;
  wanted.from_start = from == "start";
  wanted.limit = *limit;
  return wanted;
}

class RecordsTail final : public http::WebSocketHandler {
 public:
  RecordsTail(PartitionId partition, Offset next, std::optional<int64_t> from_time_ms, int64_t limit,
              std::function<bool()> standing)
      : partition_(partition), next_(next), from_time_ms_(from_time_ms), left_(limit), standing_(std::move(standing)) {}

  void on_open(WebSocket& socket) override {
    if (standing_) look_again_ = socket.context().arm(kLookAgainNs);
    read(socket);
  }
  void on_text(std::string_view, WebSocket& socket) override { refuse_input(socket); }
  void on_binary(Bytes, WebSocket& socket) override { refuse_input(socket); }

  void on_records(RequestId, const net::RecordsRead& records, WebSocket& socket) override {
    if (revoked(standing_)) return socket.close(kCloseRevoked, kRevoked);
    if (records.error) return fail(records, socket);
    next_ = records.offset;
    located_ = true;
    sent_bytes_ = 0;
    for (const Buffer& batch : records.batches) {
      if (stopped()) break;
      const Result<void> sent =
          for_each_stored(batch.view(), [&](const streams::RecordView& record) { send(record, socket); });
      if (!sent) return socket.close(kCloseFailed, sent.error().message);
    }
    if (left_ == 0) return socket.close(http::kCloseNormal, "the limit is reached");
    if (next_ >= records.durable_end) return subscribe(socket);
    read_with_room(socket);
  }

  // An end that is not past what was asked for: the partition is gone.
  void on_advanced(net::SubscriptionId, Offset durable_end, WebSocket& socket) override {
    if (durable_end <= next_) return deleted(socket);
    read_with_room(socket);
  }

  void on_writable(WebSocket& socket) override {
    if (std::exchange(waits_for_room_, false)) read(socket);
  }
  void on_timer(net::SessionTimerId timer, WebSocket& socket) override {
    if (timer != look_again_) return read(socket);
    if (revoked(standing_)) return socket.close(kCloseRevoked, kRevoked);
    look_again_ = socket.context().arm(kLookAgainNs);
  }

 private:
  void read(WebSocket& socket) {
    ReadRequest request;
    request.partition = partition_;
    request.offset = next_;
    request.max_bytes = kReadBytes;
    if (!located_) request.from_time_ms = from_time_ms_;
    if (!socket.context().read(++last_request_, request)) socket.context().arm(kRetryNs);
  }

  void read_with_room(WebSocket& socket) {
    if (socket.output_full())
      waits_for_room_ = true;
    else
      read(socket);
  }

  void subscribe(WebSocket& socket) {
    from_time_ms_.reset();
    if (socket.context().subscribe(partition_, next_) == 0) socket.context().arm(kRetryNs);
  }

  void send(const streams::RecordView& record, WebSocket& socket) {
    if (record.offset < next_ || stopped()) return;
    next_ = record.offset + 1;
    // The first run of a read by time begins before it.
    if (from_time_ms_ && record.timestamp_ms < *from_time_ms_) return;
    from_time_ms_.reset();
    --left_;
    http::JsonWriter out;
    write_record(out, record);
    const std::string text = out.take();
    sent_bytes_ += text.size();
    socket.send_text(std::string_view(text).substr(0, text.size() - 1));  // without its line end
  }

  // The rest of a batch is read again: one that is compressed may be far larger than what was asked for.
  bool stopped() const { return left_ == 0 || sent_bytes_ >= kPieceBytes; }

  void refuse_input(WebSocket& socket) { socket.close(http::kCloseUnsupportedData, "records only go out here"); }
  void deleted(WebSocket& socket) { socket.close(kCloseDeleted, "the stream was deleted"); }
  void fail(const net::RecordsRead& read, WebSocket& socket) {
    if (read.error == Errc::not_found) return deleted(socket);
    if (read.error == Errc::invalid_argument) return socket.close(kCloseGone, read_error(read).message);
    socket.close(kCloseFailed, read_error(read).message);
  }

  const PartitionId partition_;
  Offset next_;
  std::optional<int64_t> from_time_ms_;
  int64_t left_;
  const std::function<bool()> standing_;
  net::SessionTimerId look_again_ = 0;
  size_t sent_bytes_ = 0;  // of this read
  RequestId last_request_ = 0;
  bool located_ = false;  // the place of from_time_ms_ is known: next_
  bool waits_for_room_ = false;
};

void open_tail(HttpExchange& exchange, const TailWanted& wanted, const streams::PartitionInfo& partition) {
  const Offset otherwise = wanted.from_start ? partition.log_start : partition.durable_end;
  const Offset next = wanted.offset.value_or(otherwise);
  if (next < partition.log_start || next > partition.durable_end) {
    net::RecordsRead out_of_range;
    out_of_range.error = Errc::invalid_argument;
    out_of_range.log_start = partition.log_start;
    out_of_range.durable_end = partition.durable_end;
    return exchange.respond(error_response(read_error(out_of_range)));
  }
  if (exchange.request().header("Accept").find(kEventsType) != std::string_view::npos)
    return send_events(exchange, wanted, partition.id, next);
  http::WebSocketOptions options;
  options.limits.message_bytes = kInputBytes;
  options.limits.output_bytes = kOutputBytes;
  exchange.upgrade(std::make_unique<RecordsTail>(partition.id, next, wanted.from_time_ms, wanted.limit,
                                                 exchange.standing("streams", wanted.name, auth::Verb::read)),
                   options);
}

void tail(HttpExchange& exchange) {
  Result<TailWanted> parsed = parse_tail(exchange.request());
  if (!parsed) return exchange.respond(error_response(parsed.error()));
  const Result<std::optional<Offset>> resumed = resumed_at(exchange.request());
  if (!resumed) return exchange.respond(error_response(resumed.error()));
  if (*resumed) {
    parsed->offset = *resumed;
    parsed->from_time_ms.reset();
  }
  const std::string name = parsed->name;
  const uint32_t partition = parsed->partition;
  find_partition(exchange, name, partition,
                 [wanted = std::move(*parsed)](HttpExchange& found, const streams::PartitionInfo& info) {
                   open_tail(found, wanted, info);
                 });
}

http::RouteDoc doc() {
  return {
      "Follow a partition over a WebSocket (RFC 6455) or as Server-Sent Events",
      "One text message is one record, in offset order, sent when it is synced. Nothing is to be sent by the client. "
      "Closed "
      "with 1000 at the limit, 4403 when the client lost the right to read it, 4404 when the stream is deleted, 4410 "
      "when the records to come next are no longer kept, "
      "1013 when the reader takes nothing for 20 seconds. With Accept: text/event-stream an event is a record: id is "
      "its offset, data the "
      "record; Last-Event-ID goes on behind it; an event named error says why there is nothing more.",
      {kPartitionParameter,
       {"offset", "of the first record; offset, time and from exclude each other", http::kCountSchema},
       {"time", "milliseconds since 1970: begin with the first record that is not older", http::kCountSchema},
       {"from", "the first record that is kept, or the next that comes",
        R"({"type":"string","enum":["start","end"],"default":"end"})"},
       {"limit", "close after so many records", R"({"type":"integer","minimum":1})"}},
      {},
      {{101, "the connection is a WebSocket", {}},
       {200, "events, as long as the client reads them", {{http::kTextSchema, kEventsType}}},
       {426, "this needs the opening handshake of a WebSocket", {{R"({"$ref":"#/components/schemas/Error"})"}}}}};
}

}  // namespace

void add_tail_route(http::HttpRouter& router) {
  router.add(http::Method::get, "/api/v1/streams/{name}/tail", tail, {.doc = doc()});
}

}  // namespace heptane::admin
