// GET clients/{id}/trace: the packets of one client, a JSON object a line, as they come; for a limited time. An empty line each
// kAliveNs, so that whoever reads knows that the answer goes on.
#include <algorithm>
#include <memory>

#include "kernel/auth/api.h"
#include "kernel/streams/api.h"
#include "modules/iot/gateway/http/mqtt_answers.h"

namespace heptane::iot::mqtt_http {

namespace {

using http::HttpExchange;
using http::JsonWriter;
using mqtt::PacketFacts;
using mqtt::PacketType;
using mqtt::Trace;

constexpr int64_t kLookEachNs = 100'000'000;
constexpr int64_t kAliveNs = 10'000'000'000;
constexpr int64_t kSecondsDefault = 60;
constexpr int64_t kSecondsMax = 3'600;

struct Watch {
  std::shared_ptr<Trace> trace;
  std::function<bool()> standing;
  int64_t until_ns = 0;
  int64_t said_ns = 0;
  int64_t left = 0;  // rows
};
using SharedWatch = std::shared_ptr<Watch>;

std::string reason_text(uint8_t reason) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return {'0', 'x', kDigits[reason >> 4], kDigits[reason & 15]};
}

void write_topics(JsonWriter& out, const PacketFacts& packet) {
  if (packet.type == PacketType::publish) {
    out.key("topic").text(packet.topics.front());
  } else if (!packet.topics.empty()) {
    out.key("filters").begin_array();
    for (const std::string& topic : packet.topics) out.text(topic);
    out.end_array();
  }
  if (packet.cut) out.key("cut").boolean(true);
}

void write(JsonWriter& out, const PacketFacts& packet) {
  out.key("packet").text(mqtt::name_of(packet.type)).key("bytes").unsigned_number(packet.bytes);
  if (packet.id != 0) out.key("id").number(packet.id);
  if (packet.type == PacketType::publish) {
    out.key("qos").number(packet.flags >> 1 & 3);
    if ((packet.flags & 1) != 0) out.key("retain").boolean(true);
    if ((packet.flags & 8) != 0) out.key("dup").boolean(true);
  }
  write_topics(out, packet);
  if (packet.payload_bytes) out.key("payload_bytes").unsigned_number(*packet.payload_bytes);
  if (packet.reason) out.key("reason").text(reason_text(*packet.reason));
}

std::string line_of(const Trace::Row& row) {
  JsonWriter out;
  out.begin_object().key("time_ms").number(row.utc_ns / 1'000'000);
  if (row.closed.empty()) {
    out.key("direction").text(row.out ? "out" : "in");
    write(out, row.packet);
  } else {
    out.key("closed").text(row.closed);
  }
  out.end_object();
  return out.take();
}

std::string take_lines(Watch& watch) {
  uint64_t missed = 0;
  std::string lines;
  for (const Trace::Row& row : watch.trace->take(missed)) {
    if (watch.left == 0) break;
    --watch.left;
    lines += line_of(row);
  }
  if (missed > 0) {
    JsonWriter out;
    out.begin_object().key("missed").unsigned_number(missed).end_object();
    lines += out.take();
  }
  return lines;
}

void go_on(HttpExchange& exchange, const SharedWatch& watch) {
  exchange.pause(kLookEachNs, [watch](HttpExchange& later) {
    const int64_t now_ns = later.context().monotonic_ns();
    std::string lines = take_lines(*watch);
    const bool may = watch->standing == nullptr || watch->standing();
    if (!may) return later.break_off("the one who watches may not any more");
    if (watch->left == 0 || now_ns >= watch->until_ns) return later.end(std::move(lines));
    if (lines.empty() && now_ns - watch->said_ns >= kAliveNs) lines = "\n";
    if (lines.empty()) return go_on(later, watch);
    watch->said_ns = now_ns;
    later.send_piece(std::move(lines), [watch](HttpExchange& sent) { go_on(sent, watch); });
  });
}

// The note is synced.
void begin(HttpExchange& exchange, const SharedWatch& watch) {
  http::HttpResponse head;
  head.content_type = "application/x-ndjson";
  exchange.start(std::move(head));
  // At once, so that the client knows that it is being watched.
  exchange.send_piece("\n", [watch](HttpExchange& sent) { go_on(sent, watch); });
}

void trace(HttpExchange& exchange, const GetBroker& get_broker) {
  mqtt::Broker* broker = broker_of(exchange, get_broker);
  if (broker == nullptr) return;
  const http::HttpRequest& request = exchange.request();
  const Result<void> known = admin::check_parameters(request, {"seconds", "limit", "wait"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const auto seconds = admin::integer_parameter(request, "seconds", kSecondsDefault, 1, kSecondsMax);
  const auto limit = admin::integer_parameter(request, "limit", INT64_MAX, 1, INT64_MAX);
  for (const auto* number : {&seconds, &limit})
    if (!*number) return exchange.respond(admin::error_response(number->error()));
  const Result<bool> wait = flag_parameter(request, "wait", false);
  if (!wait) return exchange.respond(admin::error_response(wait.error()));
  const std::string client(request.param("id"));
  const mqtt::Subscriber* found = broker->find(client);
  if (found == nullptr && !*wait)
    return exchange.respond(
        admin::error_response({Errc::not_found, "no client " + client + " is connected; wait=true waits for it", 0}));
  auto watch = std::make_shared<Watch>();
  watch->trace = broker->traces().begin(client, found == nullptr ? 0 : found->session_id());
  if (watch->trace == nullptr)
    return exchange.respond(admin::error_response({Errc::overloaded, "16 clients are being traced: end one", 0}));
  watch->standing = exchange.standing("admin", "mqtt", auth::Verb::read);
  watch->said_ns = exchange.context().monotonic_ns();
  watch->until_ns = watch->said_ns + *seconds * 1'000'000'000;
  watch->left = *limit;
  const std::string on = for_audit(client);
  Buffer note = auth::encode(auth::Note{"mqtt.trace", on, {}, "done"});
  exchange.submit(streams::make_command(machine_ids::kAuth, auth::kNote, std::move(note)),
                  [watch](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                    begin(answered, watch);
                  });
}

constexpr std::string_view kRow =
    R"({"type":"object","additionalProperties":false,"properties":{"time_ms":{"type":"integer"},)"
    R"("direction":{"type":"string","enum":["in","out"]},"packet":{"type":"string"},"bytes":{"type":"integer"},)"
    R"("id":{"type":"integer"},"qos":{"type":"integer"},"retain":{"type":"boolean"},"dup":{"type":"boolean"},)"
    R"("topic":{"type":"string"},"filters":{"type":"array","items":{"type":"string"}},)"
    R"("cut":{"type":"boolean"},"payload_bytes":{"type":"integer"},"reason":{"type":"string"},"closed":{"type":"string"},)"
    R"("missed":{"type":"integer"}}})";

http::RouteDoc doc() {
  return {"Watch the packets of an MQTT client",
          "A line for each packet, from the client (`in`) or to it (`out`), without its payload; a line with `closed` "
          "when its "
          "connection ends, one with `missed` for packets that found no room because the reader is slow. Empty lines "
          "say that "
          "the answer goes on. At most 16 at once. In the audit trail as `mqtt.trace`.",
          {{"seconds", "the answer ends after so long; 60",
            R"({"type":"integer","minimum":1,"maximum":3600,"default":60})"},
           {"limit", "or after so many lines", R"({"type":"integer","minimum":1})"},
           {"wait", "a client that is not connected is waited for; false", kFlagSchema}},
          {},
          {{200, "until the time is over", {{kRow, "application/x-ndjson"}}}}};
}

}  // namespace

void add_trace_route(http::HttpRouter& router, const GetBroker& broker) {
  router.add(http::Method::get, "/api/v1/mqtt/clients/{id}/trace",
             [broker](HttpExchange& exchange) { trace(exchange, broker); },
             {.needs = needs(auth::Verb::read), .doc = doc()});
}

}  // namespace heptane::iot::mqtt_http
