// What a route needs against who asks; credentials in every form, and where they are not taken.
#include "kernel/net/http/guard.h"

#include <gtest/gtest.h>

#include "kernel/base/base64.h"
#include "kernel/net/http/fake_context.h"
#include "kernel/net/http/session.h"
#include "sim/sim_clock.h"

namespace heptane::http {
namespace {

using auth::Verb;

struct World {
  explicit World(bool enabled = true) : gate({enabled, false, 4096}, clock, random) {
    auth::Directory directory;
    auth::User alice{16, 3, false, gate.make_verifiers("correct horse"), {"reader"}};
    directory.users["alice"] = std::make_shared<const auth::User>(alice);
    secret = gate.make_token();
    auth::Token token;
    token.owner = "alice";
    token.owner_id = 16;
    directory.tokens[secret.hash] = std::make_shared<const auth::Token>(token);
    gate.store().start(std::make_shared<const auth::Directory>(directory), [] { return Sequence{0}; });
    service.router.add(Method::get, "/open", answer, {.needs = {"", "", Verb::read, true, false}});
    service.router.add(Method::get, "/streams/{name}", answer, {.needs = {"streams", "{name}", Verb::read}});
    service.router.add(Method::post, "/streams/{name}", answer, {.needs = {"streams", "{name}", Verb::write}});
    service.router.add(Method::get, "/mine", answer, {.needs = {"", "", Verb::read, false, true}});
    service.router.add(Method::get, "/silent", answer);
    service.gate = &gate;
  }
  static void answer(HttpExchange& exchange) {
    exchange.respond(HttpResponse::json(
        200, exchange.identity().name + '/' + std::to_string(exchange.identity().principal.version)));
  }
  // Status, and the body of what is answered.
  std::string ask(const std::string& line, const std::string& authorization = "") {
    HttpSession session(service);
    test::FakeContext context(session);
    std::string request = line + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    if (!authorization.empty()) request += "Authorization: " + authorization + "\r\n";
    if (line.starts_with("POST")) request += "Content-Length: 0\r\n";
    context.send(request + "\r\n");
    output = context.output;
    return output.substr(9, 3) + ' ' + output.substr(output.find("\r\n\r\n") + 4);
  }

  sim::SimClock clock;
  SeededRandom random{3};
  auth::Gate gate;
  auth::Gate::NewToken secret;
  HttpService service;
  std::string output;
};

std::string basic(std::string_view pair) { return "Basic " + base64_encoded(pair); }

// Another port of this machine is another site: its pages must not use what this listener lets anybody do.
TEST(Guard, PagesOfOtherPortsMayNotAsk) {
  World world(false);
  world.service.router.add(Method::get, "/", World::answer);
  const auto status = [&world](const std::string& path, const std::string& headers) {
    HttpSession session(world.service);
    test::FakeContext context(session);
    context.send("GET " + path + " HTTP/1.1\r\nHost: localhost:7070\r\n" + headers + "\r\n");
    return context.output.substr(9, 3);
  };
  EXPECT_EQ(status("/open", "Origin: http://localhost:7070\r\nSec-Fetch-Site: same-origin\r\n"), "200");
  EXPECT_EQ(status("/open", "Origin: http://localhost:8080\r\nSec-Fetch-Site: same-site\r\n"), "403");
  EXPECT_EQ(status("/open", "Sec-Fetch-Site: same-site\r\n"), "403");
  EXPECT_EQ(status("/open", "sec-fetch-site: Cross-Site\r\n"), "403");
  EXPECT_EQ(status("/open", "Sec-Fetch-Site: none\r\n"), "200");
  EXPECT_EQ(status("/", "Sec-Fetch-Site: cross-site\r\n"), "200");
  EXPECT_EQ(status("/", "Origin: http://localhost:8080\r\n"), "403");
  world.service.hosts = HostCheck({"localhost:8080"});
  EXPECT_EQ(status("/open", "Origin: http://localhost:8080\r\nSec-Fetch-Site: same-site\r\n"), "200");
  EXPECT_EQ(status("/open", "Origin: http://localhost:8081\r\nSec-Fetch-Site: same-site\r\n"), "403");
}

TEST(Guard, WhoHasNotProvedItIsNobodysQuota) {
  World world;
  net::Quotas quotas(world.clock);
  net::QuotaConfig config;
  config.principal.bytes_out = 1;
  quotas.configure(config);
  world.service.quotas = &quotas;
  world.service.listener = "admin";
  EXPECT_EQ(world.ask("GET /mine", basic("alice:wrong")).substr(0, 3), "401");
  EXPECT_EQ(quotas.principals(), 0u);
  EXPECT_EQ(world.ask("GET /mine", basic("alice:correct horse")).substr(0, 3), "200");
  EXPECT_EQ(quotas.principals(), 1u);
  EXPECT_GT(quotas.wait_ns("admin", "alice"), 0);
}

TEST(Guard, CredentialsInEveryForm) {
  World world;
  EXPECT_EQ(world.ask("GET /mine", basic("alice:correct horse")), "200 alice/3");
  EXPECT_EQ(world.ask("GET /mine", "bearer  " + world.secret.secret), "200 alice/3");
  EXPECT_EQ(world.ask("GET /mine", basic("token:" + world.secret.secret)), "200 alice/3");
  for (const std::string& wrong : {std::string(), basic("alice:wrong"), basic("alice"), std::string("Basic ?"),
                                   std::string("Bearer hpt_guess"), std::string("Bearer"), std::string("Digest x")}) {
    EXPECT_EQ(world.ask("GET /mine", wrong).substr(0, 3), "401") << wrong;
    EXPECT_NE(
        world.output.find("WWW-Authenticate: Bearer realm=\"heptane\", Basic realm=\"heptane\", charset=\"UTF-8\""),
        std::string::npos);
  }
}

class Silent final : public WebSocketHandler {
 public:
  void on_text(std::string_view, WebSocket&) override {}
  void on_binary(Bytes, WebSocket&) override {}
};

TEST(Guard, ATokenAmongTheSubprotocolsOfAHandshake) {
  World world;
  world.service.router.add(Method::get, "/socket",
                           [](HttpExchange& exchange) { exchange.upgrade(std::make_unique<Silent>(), {}); },
                           {.needs = {"", "", Verb::read, false, true}});
  const auto handshake = [&world](const std::string& offers, bool upgrade = true) {
    HttpSession session(world.service);
    test::FakeContext context(session);
    std::string request = "GET /socket HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: " + offers + "\r\n";
    if (upgrade)
      request +=
          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    context.send(request + "\r\n");
    return context.output;
  };
  const std::string token = "heptane.token." + world.secret.secret;
  const std::string agreed = handshake("heptane, " + token);
  EXPECT_EQ(agreed.substr(9, 3), "101") << agreed;
  EXPECT_NE(agreed.find("Sec-WebSocket-Protocol: heptane\r\n"), std::string::npos) << agreed;
  EXPECT_EQ(agreed.find(world.secret.secret), std::string::npos) << "the token is not said again";
  EXPECT_EQ(handshake(token + ",heptane").substr(9, 3), "101");
  EXPECT_EQ(handshake("heptane").substr(9, 3), "401");
  EXPECT_EQ(handshake("heptane, heptane.token.hpt_guess").substr(9, 3), "401");
  EXPECT_EQ(handshake("heptane, " + token, false).substr(9, 3), "401") << "only a handshake may say it so";
}

TEST(Guard, RolesAgainstRoutes) {
  World world;
  const std::string alice = basic("alice:correct horse");
  EXPECT_EQ(world.ask("GET /open").substr(0, 3), "200");
  EXPECT_EQ(world.ask("GET /open", "Bearer nonsense").substr(0, 3), "200") << "nobody is asked";
  EXPECT_EQ(world.ask("GET /streams/orders", alice), "200 alice/3");
  EXPECT_EQ(world.ask("POST /streams/orders", alice).substr(0, 3), "403");
  EXPECT_NE(world.output.find("alice may not write streams:orders"), std::string::npos);
  EXPECT_EQ(world.ask("GET /streams/audit", alice).substr(0, 3), "403");
  EXPECT_EQ(world.ask("GET /silent", alice).substr(0, 3), "403") << "what says nothing is for administrators";
  EXPECT_EQ(world.ask("GET /missing").substr(0, 3), "404");
}

TEST(Guard, OffLetsEverybodyIn) {
  World world(false);
  EXPECT_EQ(world.ask("GET /silent"), "200 local/0");
  EXPECT_EQ(world.ask("POST /streams/orders", "Bearer nonsense"), "200 local/0");
}

TEST(Guard, PasswordsBeyondThisMachineNeedTls) {
  World world;
  class Far final : public net::SessionContext {
   public:
    explicit Far(bool encrypted) : encrypted_(encrypted) {}
    void write(Buffer) override {}
    void close(net::CloseReason, std::string_view) override {}
    void need(size_t) override {}
    void pause_input(bool) override {}
    bool submit(RequestId, Submission) override { return false; }
    bool query(RequestId, QueryRequest) override { return false; }
    bool read(RequestId, ReadRequest) override { return false; }
    net::SubscriptionId subscribe(PartitionId, Offset) override { return 0; }
    void unsubscribe(net::SubscriptionId) override {}
    net::SessionTimerId arm(int64_t) override { return 0; }
    void cancel(net::SessionTimerId) override {}
    int64_t monotonic_ns() const override { return 0; }
    int64_t utc_ns() const override { return 0; }
    SessionId id() const override { return 1; }
    const net::Address& local() const override { return address_; }
    const net::Address& remote() const override { return address_; }
    const net::TlsFacts* tls() const override { return encrypted_ ? &facts_ : nullptr; }
    size_t output_bytes() const override { return 0; }

   private:
    const bool encrypted_;
    net::Address address_{"192.0.2.7", 4000};
    net::TlsFacts facts_;
  };
  RequestHead head;
  head.headers.push_back({"Authorization", basic("alice:correct horse")});
  HttpRequest request;
  auth::Identity identity;
  const Needs needs{"", "", Verb::read, false, true};
  const auto refusal = guard(&world.gate, head, request, needs, Far(false), identity);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->status, 401);
  EXPECT_FALSE(guard(&world.gate, head, request, needs, Far(true), identity).has_value());
  EXPECT_EQ(identity.name, "alice");
}

}  // namespace
}  // namespace heptane::http
