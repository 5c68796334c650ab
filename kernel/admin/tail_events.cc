// A tail as Server-Sent Events (HTML Living Standard, 9.2): what a browser's EventSource and curl read. One event is one record: `id` its
// offset, `data` the line that GET records gives. A client that comes back says the last id it saw and goes on behind it. While there is
// nothing, a comment each ten seconds says that the connection lives.
#include <charconv>
#include <memory>

#include "kernel/admin/answers.h"
#include "kernel/admin/record_json.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"
#include "kernel/admin/tail_wanted.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;

constexpr uint32_t kReadBytes = 256 << 10;
constexpr size_t kPieceBytes = size_t{512} << 10;
constexpr int64_t kAliveNs = 10'000'000'000;
constexpr int64_t kRetryNs = 200'000'000;  // when the server had no room for another that waits

class EventsTail : public std::enable_shared_from_this<EventsTail> {
 public:
  EventsTail(const TailWanted& wanted, PartitionId partition, Offset next, std::function<bool()> standing)
      : partition_(partition),
        next_(next),
        from_time_ms_(wanted.from_time_ms),
        left_(wanted.limit),
        standing_(std::move(standing)) {}

  void begin(HttpExchange& exchange) {
    exchange.start(
        {200, std::string(kEventsType), {}, {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}}, {}});
    // At once, so that the client knows that it is let in.
    send(exchange, ": from " + std::to_string(next_) + "\n\n");
  }

 private:
  void send(HttpExchange& exchange, std::string piece) {
    exchange.send_piece(std::move(piece), [self = shared_from_this()](HttpExchange& room) { self->read(room); });
  }

  void read(HttpExchange& exchange) {
    ReadRequest request;
    request.partition = partition_;
    request.offset = next_;
    request.max_bytes = kReadBytes;
    if (!located_) request.from_time_ms = from_time_ms_;
    exchange.read(request, [self = shared_from_this()](HttpExchange& answered, const net::RecordsRead& records) {
      self->on_records(answered, records);
    });
  }

  void on_records(HttpExchange& exchange, const net::RecordsRead& read) {
    if (revoked(standing_)) return fail(exchange, std::string(kRevoked));
    if (read.error == Errc::not_found) return fail(exchange, "the stream was deleted");
    if (read.error) return fail(exchange, read_error(read).message);
    next_ = read.offset;
    located_ = true;
    for (const Buffer& batch : read.batches) {
      if (full()) break;
      const Result<void> taken =
          for_each_stored(batch.view(), [this](const streams::RecordView& record) { take(record); });
      if (!taken) return fail(exchange, taken.error().message);
    }
    if (left_ == 0) return exchange.end(std::exchange(events_, {}));
    const bool for_nothing = std::exchange(woken_, false) && events_.empty();
    if (!events_.empty()) {
      quiet_ns_ = 0;
      return send(exchange, std::exchange(events_, {}));
    }
    if (next_ < read.durable_end) return this->read(exchange);
    from_time_ms_.reset();
    for_nothing ? rest(exchange) : wait(exchange);
  }

  void take(const streams::RecordView& record) {
    if (record.offset < next_ || full()) return;
    next_ = record.offset + 1;
    // The first run of a read by time begins before it.
    if (from_time_ms_ && record.timestamp_ms < *from_time_ms_) return;
    from_time_ms_.reset();
    --left_;
    http::JsonWriter line;
    write_record(line, record);
    // It ends with its line's end; an empty line ends the event.
    events_ += "id: " + std::to_string(record.offset) + "\ndata: " + line.take() + "\n";
  }

  bool full() const { return left_ == 0 || events_.size() >= kPieceBytes; }

  // In steps where somebody may be shut out meanwhile. Woken before a step's end: there is something to read, or there was no room
  // to wait.
  void wait(HttpExchange& exchange) {
    const int64_t step_ns = standing_ ? kLookAgainNs : kAliveNs;
    const int64_t until_ns = exchange.context().monotonic_ns() + step_ns;
    exchange.wait(partition_, next_, step_ns, [self = shared_from_this(), step_ns, until_ns](HttpExchange& waited) {
      if (revoked(self->standing_)) return self->fail(waited, std::string(kRevoked));
      if (waited.context().monotonic_ns() >= until_ns) return self->stay(waited, step_ns);
      self->woken_ = true;
      self->read(waited);
    });
  }

  void rest(HttpExchange& exchange) {
    exchange.pause(kRetryNs, [self = shared_from_this()](HttpExchange& rested) { self->stay(rested, kRetryNs); });
  }

  // After so long without a record.
  void stay(HttpExchange& exchange, int64_t quiet_ns) {
    quiet_ns_ += quiet_ns;
    if (quiet_ns_ < kAliveNs) return wait(exchange);
    quiet_ns_ = 0;
    send(exchange, ":\n\n");
  }

  // The client comes back by itself after an end; `error` tells one that listens for it why there is nothing to come back for.
  void fail(HttpExchange& exchange, const std::string& why) {
    http::JsonWriter out;
    out.begin_object().key("message").text(why).end_object();
    exchange.end(std::exchange(events_, {}) + "event: error\ndata: " + out.take() + "\n");
  }

  const PartitionId partition_;
  Offset next_;
  std::optional<int64_t> from_time_ms_;
  int64_t left_;
  const std::function<bool()> standing_;
  std::string events_;
  int64_t quiet_ns_ = 0;
  bool woken_ = false;    // before its time: by a record, or because there was no room to wait
  bool located_ = false;  // the place of from_time_ms_ is known: next_
};

}  // namespace

void send_events(HttpExchange& exchange, const TailWanted& wanted, PartitionId partition, Offset next) {
  std::make_shared<EventsTail>(wanted, partition, next, exchange.standing("streams", wanted.name, auth::Verb::read))
      ->begin(exchange);
}

Result<std::optional<Offset>> resumed_at(const http::HttpRequest& request) {
  const std::string_view text = request.header("Last-Event-ID");
  if (text.empty()) return std::optional<Offset>();
  Offset last = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), last);
  if (error != std::errc() || end != text.data() + text.size() || last < 0 || last == INT64_MAX)
    return invalid("Last-Event-ID is the offset of a record");
  return std::optional<Offset>(last + 1);
}

}  // namespace heptane::admin
