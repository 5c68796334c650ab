// The endpoints over a real shard with the toys on a log in memory: transcripts in which `> METHOD /path` and `> body`
// are what curl would be given, `<` is the status and the body.
#include "kernel/admin/admin.h"

#include <gtest/gtest.h>

#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/transcript.h"
#include "test/shard_harness.h"

namespace heptane::admin {
namespace {

using http::test::TranscriptCase;

struct Server {
  explicit Server(AdminOptions options = {}) {
    options.readiness = [this] { return readiness; };
    telemetry.counter("heptane_commands_total", "Commands kept.", [] { return 12.0; });
    telemetry.gauge("heptane_memory_bytes", "Memory by machine.", [] { return 1.5; }, {{"machine", "a\"b"}});
    options.telemetry = &telemetry;
    protocol = std::make_unique<AdminProtocol>(std::move(options));
    session = protocol->open({});
    context = std::make_unique<http::test::FakeContext>(*session);
    context->on_submit = [this](const Submission& submission) {
      return forced ? *std::exchange(forced, std::nullopt) : shard.run(submission);
    };
    context->on_query = [this](const QueryRequest& query) {
      Reply reply;
      if (query.machine == machine_ids::kKernel)
        reply.payload = encode_versions(shard.shard().versions());
      else
        shard.streams().query({query.type, query.payload.view(), query.principal}, reply);
      return reply;
    };
  }

  std::string ask(const std::string& request, const std::string& body) {
    context->output.clear();
    context->send(request + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
    return context->output;
  }

  test::ShardHarness shard;
  Telemetry telemetry;
  Readiness readiness{true, "", 0, 0};
  std::optional<Reply> forced;  // the next answer, instead of the shard's
  std::unique_ptr<AdminProtocol> protocol;
  std::unique_ptr<net::Session> session;
  std::unique_ptr<http::test::FakeContext> context;
};

// `< 409` and the lines of the body.
std::string shown(const std::string& response) {
  std::string text = "< " + response.substr(9, 3);
  if (response.find("\r\nRetry-After:") != std::string::npos) text += " Retry-After";
  text += '\n';
  std::istringstream body(response.substr(response.find("\r\n\r\n") + 4));
  for (std::string line; std::getline(body, line);) text += "< " + line + '\n';
  return text;
}

void steer(Server& server, const std::string& what) {
  const auto force = [&](Errc code, const char* message) {
    server.forced.emplace();
    server.forced->error = code;
    server.forced->message = message;
  };
  if (what == "replaying") server.readiness = {false, "replay", 300, 1000};
  if (what == "queue full") server.context->queue_full = true;
  if (what == "streams version 2") server.shard.activate(machine_ids::kStreams, 2);
  if (what == "disk full") force(Errc::no_space, "the disk is nearly full: delete streams or make room");
  if (what == "overloaded") force(Errc::overloaded, "the module's memory budget is used up");
}

std::string play(const TranscriptCase& script, AdminOptions options = {}) {
  Server server(std::move(options));
  std::string request;
  std::string body;
  std::string got;
  const auto send = [&] {
    if (!request.empty()) got += shown(server.ask(std::exchange(request, {}), std::exchange(body, {})));
  };
  for (const std::string& line : script.script) {
    if (line.starts_with("> GET ") || line.starts_with("> POST ")) {
      send();
      request = line.substr(2);
    } else if (line.starts_with("> ")) {
      body += line.substr(2);
    } else if (line.starts_with("! ")) {
      send();
      steer(server, line.substr(2));
    }
  }
  send();
  return got;
}

// What a module would add for the toys: their commands, and the one of each that changes nothing as a guard.
std::shared_ptr<OperationTable> toy_operations() {
  const auto kv = [](CommandType type) {
    return [type](http::JsonValue value, const std::string& path) -> Result<BuiltOperation> {
      http::JsonFields fields(value, path);
      const Buffer payload = test::kv_payload(fields.text("key"), fields.text_or("value", ""));
      HEPTANE_TRY(fields.finish());
      return BuiltOperation{test::kKvId, type, kNoPartition, payload};
    };
  };
  const auto ledger = [](CommandType type) {
    return [type](http::JsonValue value, const std::string& path) -> Result<BuiltOperation> {
      http::JsonFields fields(value, path);
      const auto account = [&](const char* name) {
        return static_cast<uint32_t>(fields.integer_or(name, 0, 0, test::CounterLedger::kAccounts - 1));
      };
      const Buffer payload =
          test::ledger_payload({account("from"), account("to"), fields.integer("amount", 0, INT32_MAX), 0});
      HEPTANE_TRY(fields.finish());
      return BuiltOperation{test::kLedgerId, type, kNoPartition, payload};
    };
  };
  auto table = std::make_shared<OperationTable>();
  table->add("kv.put", {kv(test::kKvPut), {}, false});
  table->add("kv.delete", {kv(test::kKvDelete), {}, false});
  table->add("kv.expect", {kv(test::kKvExpect), {}, true});
  table->add("ledger.deposit", {ledger(test::kLedgerDeposit), {"balance", ""}, false});
  table->add("ledger.transfer", {ledger(test::kLedgerTransfer), {"from_balance", "to_balance"}, false});
  table->add("ledger.expect", {ledger(test::kLedgerExpect), {}, true});
  return table;
}

void check_transcripts(const std::string& path, size_t least, const std::shared_ptr<const OperationTable>& operations) {
  std::vector<TranscriptCase> cases = http::test::read_transcript(path);
  ASSERT_GE(cases.size(), least);
  for (TranscriptCase& script : cases) {
    AdminOptions options;
    options.operations = operations;
    const std::string got = play(script, std::move(options));
    if (!http::test::writing_transcripts()) {
      EXPECT_EQ(got, script.expected) << script.script.front();
    }
    script.expected = got;
  }
  if (http::test::writing_transcripts()) http::test::write_transcript(path, cases);
}

TEST(Admin, transcripts_match) { check_transcripts("kernel/admin/transcripts/api.txt", 6, nullptr); }

// Two unlike machines in one transaction over HTTP.
TEST(Admin, transcripts_of_the_toys_match) {
  check_transcripts("kernel/admin/transcripts/toys.txt", 3, toy_operations());
}

TEST(Admin, a_module_adds_its_operations) {
  auto table = std::make_shared<OperationTable>();
  table->add("kv.put", {[](http::JsonValue value, const std::string& path) -> Result<BuiltOperation> {
                          http::JsonFields fields(value, path);
                          const Buffer payload = test::kv_payload(fields.text("key"), fields.text("value"));
                          HEPTANE_TRY(fields.finish());
                          return BuiltOperation{test::kKvId, test::kKvPut, kNoPartition, payload};
                        },
                        {},
                        false});
  AdminOptions options;
  options.operations = table;
  Server server(std::move(options));
  const std::string good =
      server.ask("POST /api/v1/transact", R"({"operations":[{"kv.put":{"key":"a","value":"b"}}]})");
  EXPECT_EQ(good.substr(9, 3), "200") << good;
  Reply reply;
  server.shard.kv().query({0, as_bytes("a"), {}}, reply);
  EXPECT_EQ(as_text(reply.payload.view()), "b");
  const std::string bad = server.ask("POST /api/v1/transact", R"({"operations":[{"kv.put":{"key":"a"}}]})");
  EXPECT_NE(bad.find("operations[0].kv.put.value is missing"), std::string::npos) << bad;
}

TEST(Admin, a_repeat_survives_a_restart) {
  Server server;
  const std::string create = R"({"idempotency_key":"k1","operations":[{"create_stream":{"name":"a"}}]})";
  EXPECT_NE(server.ask("POST /api/v1/transact", create).find("\"repeated\":false"), std::string::npos);
  server.shard.crash_and_recover();
  const std::string again = server.ask("POST /api/v1/transact", create);
  EXPECT_NE(again.find("\"repeated\":true"), std::string::npos) << again;
}

}  // namespace
}  // namespace heptane::admin
