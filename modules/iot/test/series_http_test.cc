// Queries and writes over HTTP as bytes, with a projection that the test moves.
#include <gtest/gtest.h>

#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/session.h"
#include "modules/iot/gateway/series/series_http.h"
#include "modules/iot/machine/series/series_api.h"
#include "modules/iot/machine/texts.h"
#include "sim/sim_disk.h"

namespace heptane::iot::series {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr uint64_t kHeadBytes = 4'096;

class SeriesHttp : public testing::Test {
 protected:
  SeriesHttp() {
    while (projection_.store().load()) {
    }
  }

  void begin(const SeriesLimits& limits = {}) {
    service_ = make_series_service(projection_, limits, nullptr, nullptr, counters_, {});
    session_ = std::make_unique<http::HttpSession>(service_);
    context_ = std::make_unique<http::test::FakeContext>(*session_);
    context_->on_query = [this](const QueryRequest& query) {
      EXPECT_EQ(query.type, kQueryDatabases);
      ByteWriter names;
      put_text(names, "db");
      Reply reply;
      reply.payload = Buffer::take(names.release());
      reply.numbers = {0, written_};
      return reply;
    };
  }
  void get(const std::string& target) {
    context_->send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    context_->deliver();
  }
  void post(const std::string& target, const std::string& body) {
    context_->send("POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
                   "\r\n\r\n" + body);
    context_->deliver();
  }
  void pass(int64_t ns) {
    context_->pass_time(ns);
    context_->deliver();
  }
  std::string take_answer() { return std::exchange(context_->output, {}); }
  static std::string body_of(const std::string& answer) {
    return answer.empty() ? "" : answer.substr(answer.find("\r\n\r\n") + 4);
  }

  Offset written_ = 0;  // of iot.lines
  sim::SimDisk disk_{1};
  Projection projection_{disk_, "data/series", kHeadBytes, {}, [](const std::string&) {}};
  http::HttpCounters counters_;
  http::HttpService service_;
  std::unique_ptr<http::HttpSession> session_;
  std::unique_ptr<http::test::FakeContext> context_;
};

TEST_F(SeriesHttp, AQueryThatWaitsInVainSaysHowFarItIs) {
  begin();
  projection_.store().take(0, "db", "m v=1 1");
  written_ = 5;
  get("/query?db=db&epoch=ns&q=SELECT+v+FROM+m");
  for (int i = 0; i < 9; ++i) pass(100 * kMs);
  EXPECT_EQ(take_answer(), "") << "a second is not over";
  pass(100 * kMs);
  EXPECT_NE(take_answer().find("the points are shown up to 1 of iot.lines, 5 are written: ask again"),
            std::string::npos);
}

TEST_F(SeriesHttp, AQuerySeesWhatWasWrittenBeforeIt) {
  begin();
  written_ = 1;
  get("/query?db=db&epoch=ns&q=SELECT+v+FROM+m");
  pass(500 * kMs);
  EXPECT_EQ(take_answer(), "");
  projection_.store().take(0, "db", "m v=7 1");
  pass(kMs);
  EXPECT_NE(take_answer().find(R"("values":[[1,7]])"), std::string::npos);
}

TEST_F(SeriesHttp, OneRetentionPolicyIsShown) {
  begin();
  written_ = 5;  // nothing of the points is asked
  get("/query?db=db&q=SHOW+RETENTION+POLICIES");
  EXPECT_EQ(body_of(take_answer()),
            R"({"results":[{"statement_id":0,"series":[{"columns":["name","duration","shardGroupDuration","replicaN",)"
            R"("default"],"values":[["autogen","0s","168h0m0s",1,true]]}]}]})"
            "\n");
  get("/query?q=SHOW+RETENTION+POLICIES+ON+other");
  EXPECT_NE(take_answer().find("database not found: other"), std::string::npos);
}

TEST_F(SeriesHttp, AWriteThatHasNoRoomSaysWhenToTryAgain) {
  begin({.memory_bytes = 0});
  for (const std::string target : {"/write?db=db", "/api/v2/write?bucket=db"}) {
    post(target, "m v=1 1");
    const std::string answer = take_answer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
    EXPECT_NE(answer.find("\r\nRetry-After: 1\r\n"), std::string::npos) << answer;
  }
}

}  // namespace
}  // namespace heptane::iot::series
