// The metrics over a WebSocket, a message a second: {"time_ms": ..., "metrics": TEXT}, the text as GET /metrics gives it.
// Rendered at most once a second, for everybody who looks. Who takes nothing is passed over until there is room again, so that a
// page that sleeps holds one message and no more.
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/stored_records.h"

namespace heptane::admin {

namespace {

using http::HttpExchange;
using http::WebSocket;

constexpr int64_t kPeriodNs = 1'000'000'000;
constexpr int64_t kFreshNs = kPeriodNs / 2;  // what is younger is said again: those who look need not keep in step
constexpr size_t kInputBytes = 1024;         // nothing is expected, and told so
constexpr size_t kOutputBytes = size_t{4} << 20;
constexpr uint16_t kCloseRevoked = 4403;

// One for the listener. The I/O thread's.
class LiveMetrics {
 public:
  explicit LiveMetrics(const Telemetry& telemetry) : telemetry_(telemetry) {}

  const std::string& message(const net::SessionContext& context) {
    const int64_t now_ns = context.monotonic_ns();
    if (!text_.empty() && now_ns - rendered_ns_ < kFreshNs) return text_;
    rendered_ns_ = now_ns;
    http::JsonWriter out;
    out.begin_object().key("time_ms").number(context.utc_ns() / 1'000'000);
    out.key("metrics").text(telemetry_.render()).end_object();
    text_ = out.take();
    text_.pop_back();  // its line end
    return text_;
  }

 private:
  const Telemetry& telemetry_;
  std::string text_;
  int64_t rendered_ns_ = 0;
};

class MetricsTail final : public http::WebSocketHandler {
 public:
  MetricsTail(std::shared_ptr<LiveMetrics> metrics, std::function<bool()> standing)
      : metrics_(std::move(metrics)), standing_(std::move(standing)) {}

  void on_open(WebSocket& socket) override { say(socket); }
  void on_timer(net::SessionTimerId, WebSocket& socket) override { say(socket); }
  void on_text(std::string_view, WebSocket& socket) override { refuse_input(socket); }
  void on_binary(Bytes, WebSocket& socket) override { refuse_input(socket); }

 private:
  void say(WebSocket& socket) {
    if (revoked(standing_)) return socket.close(kCloseRevoked, kRevoked);
    if (!socket.output_full()) socket.send_text(metrics_->message(socket.context()));
    socket.context().arm(kPeriodNs);
  }
  void refuse_input(WebSocket& socket) { socket.close(http::kCloseUnsupportedData, "metrics only go out here"); }

  const std::shared_ptr<LiveMetrics> metrics_;
  const std::function<bool()> standing_;
};

http::RouteDoc doc() {
  return {"Follow the metrics over a WebSocket (RFC 6455)",
          "One text message a second: {\"time_ms\": ..., \"metrics\": TEXT}, the text as /metrics gives it. A reader "
          "that is slow "
          "is passed over. Closed with 4403 when the client lost the right to read it.",
          {},
          {},
          {{101, "the connection is a WebSocket", {}},
           {426, "this needs the opening handshake of a WebSocket", {{R"({"$ref":"#/components/schemas/Error"})"}}}}};
}

}  // namespace

void add_live_metrics_route(http::HttpRouter& router, const Telemetry& telemetry) {
  const auto open = [metrics = std::make_shared<LiveMetrics>(telemetry)](HttpExchange& exchange) {
    http::WebSocketOptions options;
    options.limits.message_bytes = kInputBytes;
    options.limits.output_bytes = kOutputBytes;
    exchange.upgrade(std::make_unique<MetricsTail>(metrics, exchange.standing("admin", "metrics", auth::Verb::read)),
                     options);
  };
  router.add(http::Method::get, "/api/v1/metrics/live", open, {.doc = doc()});
}

}  // namespace heptane::admin
