// Who may let devices in over HTTP: roles are given by who may give them alone, whatever way they go.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernel/net/http/exchange.h"
#include "modules/iot/gateway/http/credential_routes.h"
#include "modules/iot/gateway/http/provisioning_routes.h"
#include "modules/iot/test/provisioning_rig.h"

namespace heptane::iot::devices {

namespace {

using http::Method;
using test::credential_of;
using test::hash_of;
using test::ProvisioningRig;

// One request, answered before the handler returns.
class Asked final : public http::HttpExchange {
 public:
  Asked(ProvisioningRig& rig, bool gives_roles) : rig_(rig), gives_roles_(gives_roles) {}

  http::HttpRequest& request() override { return request_; }
  net::SessionContext& context() override { std::abort(); }
  const auth::Identity& identity() const override { return identity_; }
  bool allowed(std::string_view module, std::string_view, auth::Verb) override {
    return module != "auth" || gives_roles_;
  }
  std::function<bool()> standing(std::string, std::string, auth::Verb) override {
    return [this] { return gives_roles_; };
  }
  void denied(std::string_view) override {}
  bool sees(std::string_view, std::string_view) override { return true; }
  void submit(Submission submission, OnReply then) override {
    then(*this, rig_.apply(rig_.machine, submission.type, submission.payload));
  }
  void query(QueryRequest query, OnReply then) override {
    Reply reply;
    rig_.machine.query({query.type, query.payload.view(), {}}, reply);
    then(*this, reply);
  }
  void read(ReadRequest, OnRecords) override { std::abort(); }
  void work(std::function<void()>, OnWaited) override { std::abort(); }
  void receive(OnPiece) override { std::abort(); }
  void wait(PartitionId, Offset, int64_t, OnWaited) override { std::abort(); }
  void pause(int64_t, OnWaited) override { std::abort(); }
  std::function<void()> hold(int64_t, OnWaited) override { std::abort(); }
  void respond(http::HttpResponse response) override { answer = std::move(response); }
  void start(http::HttpResponse) override { std::abort(); }
  void send_piece(std::string, OnWaited) override { std::abort(); }
  void end(std::string) override { std::abort(); }
  void break_off(std::string_view) override { std::abort(); }
  void upgrade(std::unique_ptr<http::WebSocketHandler>, const http::WebSocketOptions&) override { std::abort(); }

  http::HttpResponse answer;

 private:
  ProvisioningRig& rig_;
  const bool gives_roles_;
  http::HttpRequest request_;
  auth::Identity identity_;
};

class CredentialRoutes : public testing::Test {
 protected:
  CredentialRoutes() {
    add_provisioning_routes(router_);
    add_credential_routes(router_, [this](size_t bytes) { return std::string(is_off_ ? 0 : bytes, 'x'); });
  }
  // The status.
  int ask(Method method, const std::string& path, const std::string& body, bool gives_roles) {
    Asked asked(rig_, gives_roles);
    const http::HttpRouter::Match match = router_.find(method, path);
    if (match.route == nullptr) return 0;
    asked.request().params = match.params;
    asked.request().body = body;
    match.route->handler(asked);
    return asked.answer.status;
  }

  bool is_off_ = false;
  ProvisioningRig rig_{"pump-1"};
  http::HttpRouter router_;
};

const std::string kClaims = "/api/v1/provisioning/claims";
const std::string kOfPump = "/api/v1/devices/pump-1/credentials";

}  // namespace

TEST_F(CredentialRoutes, AClaimIsLetInByWhoGivesRoles) {
  const std::string claim = R"({"name":"line-1","templates":["meters"],"fingerprint":")" + std::string(64, 'a') + "\"}";
  EXPECT_EQ(ask(Method::post, kClaims, claim, false), 403);
  EXPECT_EQ(ask(Method::post, kClaims, claim, true), 201);
  const std::string one = kClaims + "/line-1";
  EXPECT_EQ(ask(Method::patch, one, R"({"state":"inactive","expires_ms":null})", false), 200) << "it takes away";
  EXPECT_EQ(ask(Method::patch, one, R"({"state":"active"})", false), 403);
  EXPECT_EQ(ask(Method::patch, one, R"({"expires_ms":null})", false), 403);
  EXPECT_EQ(ask(Method::patch, one, R"({"state":"active"})", true), 200);
  EXPECT_EQ(ask(Method::patch, one, R"({"state":"revoked"})", false), 200);
}

TEST_F(CredentialRoutes, ACredentialWithRolesIsLetInByWhoGivesThem) {
  for (const bool with_role : {false, true}) {
    Credential own = credential_of("pump-1", with_role ? "a" : "b");
    if (with_role) own.roles = {"meter"};
    ASSERT_TRUE(rig_.add(own).ok());
    const std::string one = kOfPump + "/" + id_of_hash(own.hash);
    EXPECT_EQ(ask(Method::patch, one, R"({"state":"inactive"})", false), 200);
    EXPECT_EQ(ask(Method::patch, one, R"({"state":"active"})", false), with_role ? 403 : 200);
    EXPECT_EQ(ask(Method::patch, one, R"({"expires_ms":null})", false), with_role ? 403 : 200);
    EXPECT_EQ(ask(Method::patch, one, R"({"state":"active"})", true), 200);
  }
  const std::string none = kOfPump + "/" + id_of_hash(hash_of("none"));
  EXPECT_EQ(ask(Method::patch, none, R"({"state":"active"})", false), 404);
}

TEST_F(CredentialRoutes, AThingThatIsCalledAsAUserGetsOneByWhoGivesRoles) {
  rig_.trail.users = {"pump-1"};
  EXPECT_EQ(ask(Method::post, kOfPump, R"({"kind":"token"})", false), 403);
  EXPECT_EQ(ask(Method::post, kOfPump, R"({"kind":"token"})", true), 201);
}

TEST_F(CredentialRoutes, WithoutChanceThereAreNoTokens) {
  is_off_ = true;
  EXPECT_EQ(ask(Method::post, kOfPump, R"({"kind":"token"})", true), 404);
  EXPECT_EQ(rig_.machine.credentials().size(), 0U);
}

}  // namespace heptane::iot::devices
