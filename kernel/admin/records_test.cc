// Reading and tailing records over HTTP from a partition that the test holds: pages, places, back-pressure, the close codes.
#include <gtest/gtest.h>

#include "kernel/admin/admin.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/openapi.h"
#include "kernel/net/http/websocket_frames.h"
#include "kernel/streams/api.h"
#include "kernel/streams/record_batch.h"

namespace heptane::admin {
namespace {

constexpr PartitionId kPartition = 5;
constexpr int64_t kSecondNs = 1'000'000'000;

struct Server {
  Server() {
    session = protocol.open({});
    context = std::make_unique<http::test::FakeContext>(*session);
    context->on_query = [this](const QueryRequest&) { return describe(); };
    context->on_read = [this](const ReadRequest& request) { return read(request); };
  }

  Reply describe() const {
    streams::StreamInfo info;
    info.name = "a";
    info.partitions = {{4, 0, 0}, {kPartition, first, first + static_cast<Offset>(values.size())}};
    Reply reply;
    reply.payload = streams::encode(std::vector<streams::StreamInfo>{info});
    return reply;
  }

  // Batches of at most `batch_records`, as many as `max_bytes` asks for; offset N has the timestamp 1000 N.
  net::RecordsRead read(const ReadRequest& request) {
    ++reads;
    net::RecordsRead found;
    found.partition = request.partition;
    found.log_start = first;
    found.durable_end = first + static_cast<Offset>(values.size());
    found.offset = request.from_time_ms ? std::max(first, *request.from_time_ms / 1000 - 1) : request.offset;
    if (deleted) found.error = Errc::not_found;
    if (found.offset < first || found.offset > found.durable_end) found.error = Errc::invalid_argument;
    if (found.error) return found;
    size_t bytes = 0;
    for (Offset at = found.offset; at < found.durable_end && bytes < request.max_bytes;) {
      streams::RecordBatchBuilder builder;
      builder.begin(at * 1000);
      const Offset begin = at;
      for (; at < found.durable_end && at < begin + batch_records; ++at)
        builder.add(at * 1000, false, {}, true, as_bytes(values[static_cast<size_t>(at - first)]));
      found.batches.push_back(Buffer::copy_of(builder.finish(begin, 0, true)));
      bytes += found.batches.back().size();
    }
    return found;
  }

  std::string get(const std::string& target, const std::string& headers = "") {
    context->output.clear();
    context->send("GET /api/v1/streams/a/" + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
    return context->output;
  }
  // What the server says after the handshake.
  std::string tail(const std::string& query) {
    const std::string answer = get("tail?partition=1&" + query,
                                   "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    EXPECT_EQ(answer.substr(9, 3), "101") << answer;
    context->output.erase(0, context->output.find("\r\n\r\n") + 4);
    return said();
  }
  // Offsets of records, and frames that are none.
  std::string said() {
    std::string words;
    std::string_view rest = context->output;
    uint8_t first_byte = 0;
    for (std::string_view payload; http::test::take_server_frame(rest, first_byte, payload);) {
      const auto record = http::JsonDocument::parse(std::string(payload));
      if (!words.empty()) words += ' ';
      words += record ? std::to_string((*record)->root().find("offset")->integer().value_or(-1))
                      : http::test::frame_in_words(first_byte, payload);
    }
    return words;
  }

  std::vector<std::string> values;
  Offset first = 0;
  Offset batch_records = 3;
  bool deleted = false;
  int reads = 0;
  AdminProtocol protocol{AdminOptions{}};
  std::unique_ptr<net::Session> session;
  std::unique_ptr<http::test::FakeContext> context;
};

size_t count_lines(std::string_view text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

TEST(ReadRecords, lines_that_fit_one_piece_come_whole) {
  Server server;
  server.values.assign(10, "v");
  const std::string answer = server.get("records?partition=1&offset=2&limit=5", "Accept: application/x-ndjson\r\n");
  EXPECT_NE(answer.find("Heptane-Next-Offset: 7\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("{\"offset\":6,\"timestamp\":6000,\"value\":\"v\"}\n"), std::string::npos);
  EXPECT_EQ(answer.find("\"offset\":7"), std::string::npos);
}

TEST(ReadRecords, a_value_of_several_lines_is_one_line) {
  Server server;
  server.values = {"{\n  \"a\": [1,\r\n  2]\n}", "two\nlines"};
  const std::string answer = server.get("records?partition=1", "Accept: application/x-ndjson\r\n");
  const std::string lines = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_EQ(lines,
            "{\"offset\":0,\"timestamp\":0,\"value\":{   \"a\": [1,    2] }}\n"
            "{\"offset\":1,\"timestamp\":1000,\"value\":\"two\\u000alines\"}\n");
}

TEST(ReadRecords, a_page_is_bounded_by_what_is_written) {
  Server server;
  server.values.assign(100, std::string(300'000, '\x01'));  // six bytes each as JSON
  server.batch_records = 10;                                // one read brings 3 MB
  const std::string answer = server.get("records?partition=1&limit=100");
  EXPECT_LT(answer.size(), size_t{11} << 20);
  EXPECT_NE(answer.find("\"next_offset\":5,"), std::string::npos) << answer.substr(answer.size() - 100);
}

TEST(ReadRecords, lines_go_on_past_a_page_as_they_are_read) {
  Server server;
  server.values.assign(5000, std::string(1000, 'v'));
  server.context->output_stalls = true;
  server.get("records?partition=1&limit=4000", "Accept: application/x-ndjson\r\n");
  EXPECT_LE(server.reads, 2) << "nobody reads";
  EXPECT_LT(server.context->output.size(), size_t{3} << 20);
  server.context->drain_output();
  const std::string& answer = server.context->output;
  EXPECT_NE(answer.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n0\r\n\r\n"));
  EXPECT_NE(answer.find("{\"offset\":3999,"), std::string::npos);
  EXPECT_EQ(answer.find("{\"offset\":4000,"), std::string::npos);
}

TEST(ReadRecords, lines_end_where_the_partition_ended_when_they_began) {
  Server server;
  server.values.assign(3000, std::string(1000, 'v'));
  server.context->output_stalls = true;
  server.get("records?partition=1&limit=1000000", "Accept: application/x-ndjson\r\n");
  server.values.resize(100'000, "late");
  server.context->drain_output();
  EXPECT_TRUE(server.context->output.ends_with("\r\n0\r\n\r\n"));
  EXPECT_LT(server.reads, 10);
}

TEST(ReadRecords, lines_that_cannot_be_finished_break_off) {
  Server server;
  server.values.assign(5000, std::string(1000, 'v'));
  server.context->output_stalls = true;
  server.get("records?partition=1&limit=5000", "Accept: application/x-ndjson\r\n");
  server.deleted = true;
  server.context->drain_output();
  EXPECT_TRUE(server.context->closed);
  EXPECT_FALSE(server.context->output.ends_with("\r\n0\r\n\r\n"));
}

TEST(ReadRecords, json_is_one_page) {
  Server server;
  server.values.assign(5000, std::string(1000, 'v'));
  const std::string answer = server.get("records?partition=1&limit=5000");
  EXPECT_NE(answer.find("\"first_offset\":0,\"end_offset\":5000}"), std::string::npos);
  EXPECT_EQ(server.reads, 1);
  EXPECT_EQ(count_lines(answer.substr(answer.find("\r\n\r\n"))), 3u);
  EXPECT_EQ(server.get("records?limit=10001").substr(9, 3), "400");
}

TEST(ReadRecords, times_begin_in_the_middle_of_a_batch) {
  Server server;
  server.values.assign(9, "v");
  const std::string answer = server.get("records?partition=1&time=4500&limit=2");
  EXPECT_NE(answer.find("[{\"offset\":5,"), std::string::npos) << answer;
  EXPECT_NE(answer.find("\"next_offset\":7"), std::string::npos);
}

TEST(Tail, begins_where_it_is_told_to_and_follows) {
  for (const auto& [query, begins] : std::vector<std::pair<std::string, std::string>>{
           {"from=start", "0 1 2 3 4"}, {"offset=3", "3 4"}, {"time=2500", "3 4"}, {"from=end", ""}, {"", ""}}) {
    Server server;
    server.values.assign(5, "v");
    EXPECT_EQ(server.tail(query), begins) << query;
    ASSERT_EQ(server.context->subscriptions().size(), 1u);
    EXPECT_EQ(server.context->subscriptions().begin()->second.from, 5);
    server.values.resize(7, "w");
    server.context->advance(kPartition, 7);
    EXPECT_EQ(server.said(), begins + (begins.empty() ? "5 6" : " 5 6")) << query;
  }
}

TEST(Tail, ends_at_the_limit) {
  Server server;
  server.values.assign(5, "v");
  EXPECT_EQ(server.tail("offset=1&limit=2"), "1 2 close 1000 the limit is reached");
  EXPECT_TRUE(server.context->closed);
}

TEST(Tail, reads_no_further_than_its_reader) {
  Server server;
  server.values.assign(20'000, std::string(1000, 'v'));
  server.context->output_stalls = true;
  server.tail("from=start");
  EXPECT_LE(server.reads, 2);
  EXPECT_LT(server.context->output.size(), size_t{2} << 20);
  server.context->drain_output();
  EXPECT_TRUE(server.said().ends_with(" 19998 19999"));
}

TEST(Tail, does_not_take_a_large_batch_for_a_slow_reader) {
  Server server;
  server.batch_records = 10'000;
  server.values.assign(10'000, std::string(1000, 'v'));
  server.tail("from=start");
  EXPECT_FALSE(server.context->closed);
  EXPECT_TRUE(server.said().ends_with(" 9998 9999"));
}

TEST(Tail, says_why_it_ends) {
  Server gone;
  gone.values.assign(5, "v");
  gone.tail("from=end");
  gone.context->advance(kPartition, 5);
  EXPECT_EQ(gone.said(), "close 4404 the stream was deleted");

  Server trimmed;
  trimmed.values.assign(2000, std::string(1000, 'v'));
  trimmed.context->output_stalls = true;
  trimmed.tail("from=start");
  trimmed.first = 1900;
  trimmed.values.resize(100);
  trimmed.context->drain_output();
  EXPECT_TRUE(
      trimmed.said().ends_with("close 4410 the partition holds the offsets from 1900 to 2000, the last one excluded"));

  Server talked;
  talked.tail("from=end");
  talked.context->send(http::test::client_frame(http::Opcode::text, ""));
  EXPECT_EQ(talked.said(), "close 1003 records only go out here");
}

TEST(Tail, waits_for_room_in_the_server) {
  Server server;
  server.values.assign(5, "v");
  server.tail("from=end");
  server.values.resize(6, "w");
  server.context->queue_full = true;
  server.context->advance(kPartition, 6);
  EXPECT_EQ(server.said(), "");
  server.context->queue_full = false;
  server.context->pass_time(kSecondNs);
  EXPECT_EQ(server.said(), "5");
}

// No room for another that waits for records.
struct NoRoomToWait : http::test::FakeContext {
  using FakeContext::FakeContext;
  net::SubscriptionId subscribe(PartitionId, Offset) override { return 0; }
};

TEST(TailEvents, looks_now_and_then_where_there_is_no_room_to_wait) {
  Server server;
  server.values.assign(2, "v");
  NoRoomToWait context(*server.session);
  context.on_query = [&server](const QueryRequest&) { return server.describe(); };
  context.on_read = [&server](const ReadRequest& request) { return server.read(request); };
  context.send(
      "GET /api/v1/streams/a/tail?partition=1&from=start HTTP/1.1\r\nHost: localhost\r\n"
      "Accept: text/event-stream\r\n\r\n");
  constexpr int64_t kTickNs = 10'000'000;
  const auto pass = [&context](int64_t ns) {
    for (int64_t passed = 0; passed < ns; passed += kTickNs) context.pass_time(kTickNs);
  };
  pass(kSecondNs);
  const int before = server.reads;
  pass(10 * kSecondNs);
  EXPECT_LE(server.reads - before, 55) << "a look in 200 ms, and one behind each sign of life";
  EXPECT_GE(server.reads - before, 40);
  EXPECT_NE(context.output.find("\r\n:\n\n"), std::string::npos) << "it says that it lives";
  EXPECT_EQ(context.output.find("id: 2"), std::string::npos);
  server.values.resize(3, "w");
  pass(kSecondNs);
  EXPECT_NE(context.output.find("id: 2\n"), std::string::npos);
}

TEST(Tail, refuses_before_the_upgrade) {
  Server server;
  server.values.assign(5, "v");
  const auto status = [&](const std::string& target) { return server.get(target).substr(9, 3); };
  EXPECT_EQ(status("tail"), "426");
  for (const char* query : {"offset=6", "offset=-1", "from=middle", "offset=1&from=start", "ofset=1", "limit=0"})
    EXPECT_EQ(status(std::string("tail?partition=1&") + query), "400") << query;
  EXPECT_EQ(status("tail?partition=2"), "404");
}

// Operations without a summary or an answer of their own.
std::string undescribed(http::JsonValue document) {
  std::string silent;
  const auto paths = document.find("paths");
  for (auto path = paths->first(); path; path = path->next())
    for (auto operation = path->first(); operation; operation = operation->next())
      if (operation->find("summary")->text().empty() || operation->find("responses")->size() < 2)
        silent += std::string(operation->find("operationId")->text()) + ' ';
  return silent;
}

TEST(OpenApi, has_every_route_and_no_other) {
  Server server;
  server.context->send("GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string& answer = server.context->output;
  const auto document = http::JsonDocument::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  ASSERT_TRUE(document.ok()) << document.error().message;
  const auto paths = (*document)->root().find("paths");
  size_t documented = 0;
  for (auto path = paths->first(); path; path = path->next()) documented += path->size();
  http::HttpRouter router;
  add_health_routes(router, {}, nullptr);
  add_transact_route(router, std::make_shared<OperationTable>());
  add_upgrade_routes(router);
  add_stream_routes(router);
  add_read_route(router);
  add_append_route(router);
  add_tail_route(router);
  add_openapi_route(router);
  EXPECT_EQ(documented, router.routes().size());
  EXPECT_EQ(undescribed((*document)->root()), "") << "give these routes RouteOptions::doc";
  for (const http::Route& route : router.routes()) EXPECT_TRUE(paths->find(route.pattern)) << route.pattern;
}

TEST(OpenApi, a_route_that_says_nothing_of_itself_is_found) {
  http::HttpRouter router;
  router.add(http::Method::get, "/api/v1/silent/{name}", [](http::HttpExchange&) {});
  const auto document = http::JsonDocument::parse(http::openapi_document(router, {"t", "t", "1", {}}));
  ASSERT_TRUE(document.ok());
  EXPECT_EQ(undescribed((*document)->root()), "get_silent_name ");
}

}  // namespace
}  // namespace heptane::admin
