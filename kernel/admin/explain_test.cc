// What stands at a position and which command made a record, over HTTP and out of real files of a log; and the metrics as they
// come.
#include <gtest/gtest.h>

#include "kernel/admin/admin.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/websocket_frames.h"
#include "kernel/streams/api.h"

namespace heptane::admin {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// An admin listener over looks that the test gives.
struct Listener {
  explicit Listener(AdminOptions options)
      : protocol(std::move(options)), session(protocol.open({})), context(*session) {}

  std::string ask(const std::string& path, const std::string& headers = "") {
    context.output.clear();
    context.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
    return context.output;
  }

  AdminProtocol protocol;
  std::unique_ptr<net::Session> session;
  http::test::FakeContext context;
};

AdminOptions with_looks() {
  LogLooks looks;
  looks.watermark = [] { return Sequence{7}; };
  looks.command = [](Sequence sequence) -> Result<archive::Explanation> {
    if (sequence == 3) return Error{Errc::not_found, "it went with its retention"};
    archive::Explanation found;
    found.position = position_text(0, sequence);
    found.time = "2026-01-01";
    found.what = "append records";
    found.facts = {{"cause", "0:2/1"}, {"payload", "a \"b\""}};
    found.records = {{4, 9, "k = v", "k", "v"}};
    found.records_left_out = 1;
    return found;
  };
  looks.maker = [](const archive::RecordPlace& place) -> Result<Sequence> {
    EXPECT_EQ(place.partition, 0u);
    EXPECT_EQ(place.offset, 5);
    EXPECT_EQ(place.segment, 2u);
    EXPECT_EQ(place.byte, 8192u);
    return Sequence{6};
  };
  AdminOptions options;
  options.looks = looks;
  return options;
}

TEST(ExplainRoute, SaysWhatStandsAtAPosition) {
  Listener listener(with_looks());
  const std::string found = listener.ask("/api/v1/explain/0:7");
  EXPECT_TRUE(has(found, "200 OK")) << found;
  EXPECT_TRUE(has(found, R"({"position":"0:7","time":"2026-01-01","what":"append records",)"
                         R"("facts":[{"name":"cause","value":"0:2/1"},{"name":"payload","value":"a \"b\""}],)"
                         R"("records":[{"partition_id":4,"offset":9,"text":"k = v"}],"records_left_out":1})"))
      << found;
  EXPECT_TRUE(has(listener.ask("/api/v1/explain/0:3"), "404"));
}

TEST(ExplainRoute, NothingIsSaidOfWhatIsNotSynced) {
  Listener listener(with_looks());
  const std::string early = listener.ask("/api/v1/explain/0:8");
  EXPECT_TRUE(has(early, "404")) << early;
  EXPECT_TRUE(has(early, "no command has been synced at 0:8 yet"));
}

TEST(ExplainRoute, OneAtATime) {
  Listener listener(with_looks());
  listener.context.hold_answers = true;
  listener.ask("/api/v1/explain/0:7");
  const auto second = listener.protocol.open({});
  http::test::FakeContext other(*second);
  const std::string request = "GET /api/v1/explain/0:6 HTTP/1.1\r\nHost: localhost\r\n\r\n";
  other.send(request);
  EXPECT_TRUE(has(other.output, "503")) << other.output;
  EXPECT_TRUE(has(other.output, "Retry-After: 1\r\n"));
  listener.context.deliver();
  EXPECT_TRUE(has(listener.context.output, "200 OK"));
  other.output.clear();
  other.send(request);
  EXPECT_TRUE(has(other.output, "200 OK"));
  // The job is dropped: the next one is not kept out for ever.
  other.output.clear();
  other.queue_full = true;
  other.send(request);
  EXPECT_TRUE(has(other.output, "503"));
  other.output.clear();
  other.queue_full = false;
  other.send(request);
  EXPECT_TRUE(has(other.output, "200 OK"));
}

TEST(ExplainRoute, RefusesWhatIsNoPosition) {
  Listener listener(with_looks());
  for (const char* wrong : {"7", "0:", "1:7", "0:0", "0:-1", "0:7x", "0:99999999999999999999", "a:7"})
    EXPECT_TRUE(has(listener.ask(std::string("/api/v1/explain/") + wrong), "400")) << wrong;
}

TEST(ExplainRoute, FindsTheCommandOfARecord) {
  Listener listener(with_looks());
  listener.context.on_query = [](const QueryRequest& query) {
    Reply reply;
    if (query.type == streams::kDescribe) {
      streams::StreamInfo stream;
      stream.name = "orders";
      stream.partitions = {{0, 0, 10}};
      reply.payload = streams::encode(std::vector<streams::StreamInfo>{stream});
      return reply;
    }
    const Result<streams::LocateQuery> wanted = streams::decode_locate_query(query.payload.view());
    reply.numbers = {2, 8192};
    if (wanted && wanted->offset == 1) reply.numbers = {-1, -1};
    if (wanted && wanted->offset == 11) reply.error = Errc::not_found;
    return reply;
  };
  const std::string path = "/api/v1/streams/orders/records/";
  EXPECT_TRUE(has(listener.ask(path + "5/position"), R"({"position":"0:6"})"));
  EXPECT_TRUE(has(listener.ask(path + "1/position"), "archive"));
  EXPECT_TRUE(has(listener.ask(path + "11/position"), "404"));
  EXPECT_TRUE(has(listener.ask(path + "x/position"), "400"));
  EXPECT_TRUE(has(listener.ask(path + "5/position?partition=3"), "404"));
  EXPECT_TRUE(has(listener.ask(path + "5/position?offset=3"), "400"));
}

TEST(Console, AnswersWhileTheServerStarts) {
  AdminOptions options;
  options.wait_until_ready = true;
  options.readiness = [] { return Readiness{false, "replay", 1, 2}; };
  options.add_routes = [](http::HttpRouter& router) {
    router.add(http::Method::get, "/", [](http::HttpExchange& exchange) {
      exchange.respond({200, "text/html", "page", {}});
    });
  };
  Listener listener(std::move(options));
  EXPECT_TRUE(has(listener.ask("/"), "200 OK"));
  EXPECT_TRUE(has(listener.ask("/assets/none"), "404"));
  EXPECT_TRUE(has(listener.ask("/api/v1/streams"), "503"));
}

std::vector<std::string> texts_of(const std::string& output) {
  std::vector<std::string> texts;
  std::string_view rest = output;
  rest.remove_prefix(rest.find("\r\n\r\n") + 4);
  uint8_t first = 0;
  for (std::string_view payload; http::test::take_server_frame(rest, first, payload);)
    if ((first & 0x0F) == 1) texts.emplace_back(payload);
  return texts;
}

constexpr const char* kHandshake =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

TEST(LiveMetrics, OnceASecondForAllWhoLook) {
  Telemetry telemetry;
  int rendered = 0;
  telemetry.counter("heptane_looks_total", "Looks", [&rendered] { return static_cast<double>(++rendered); });
  AdminOptions options;
  options.telemetry = &telemetry;
  Listener listener(std::move(options));
  listener.ask("/api/v1/metrics/live", kHandshake);
  const auto second = listener.protocol.open({});
  http::test::FakeContext other(*second);
  other.send(std::string("GET /api/v1/metrics/live HTTP/1.1\r\nHost: localhost\r\n") + kHandshake + "\r\n");
  EXPECT_EQ(rendered, 1) << "both got the same";
  listener.context.pass_time(kSecondNs);
  other.pass_time(kSecondNs);
  EXPECT_EQ(rendered, 2);
  const std::vector<std::string> texts = texts_of(listener.context.output);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_TRUE(has(texts[0], R"({"time_ms":1700000000000,"metrics":"# HELP heptane_looks_total Looks\u000a#)"))
      << texts[0];
  EXPECT_TRUE(has(texts[1], R"(heptane_looks_total 2\u000a"})")) << texts[1];
  EXPECT_EQ(texts_of(other.output).size(), 2u);
}

TEST(LiveMetrics, WhoTakesNothingIsPassedOver) {
  Telemetry telemetry;
  telemetry.counter("heptane_long_total", std::string(300'000, 'x'), [] { return 1.0; });
  AdminOptions options;
  options.telemetry = &telemetry;
  Listener listener(std::move(options));
  listener.context.output_stalls = true;
  listener.ask("/api/v1/metrics/live", kHandshake);
  const size_t full = listener.context.output.size();
  for (int i = 0; i < 5; ++i) listener.context.pass_time(kSecondNs);
  EXPECT_EQ(listener.context.output.size(), full) << "one message waits, and no more";
  EXPECT_FALSE(listener.context.closed);
  listener.context.drain_output();
  listener.context.pass_time(kSecondNs);
  EXPECT_GT(listener.context.output.size(), full);
}

}  // namespace
}  // namespace heptane::admin
