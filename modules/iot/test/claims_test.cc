// A claim on a connection: a certificate for a request, then a thing by a template, and nothing else; answers go to who asked.
#include <gtest/gtest.h>

#include "kernel/crypto/digest.h"
#include "kernel/net/http/json.h"
#include "modules/iot/machine/provisioning/provisioning_api.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

using devices::Credential;

const std::string kIssue = "$aws/certificates/create-from-csr/json";
const std::string kByMeters = "$aws/provisioning-templates/meters/provision/json";
const std::string kClaim = std::string(64, 'c');
// Nobody's key: what signs must refuse it, as it refuses all that is no request.
const std::string kNoRequest = R"({"certificateSigningRequest":"x"})";

class NoUsers final : public auth::Authenticator, public auth::Rules {
 public:
  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view, const auth::Peer&) override { return nullptr; }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override { return std::nullopt; }
  bool in_force(const auth::Identity&) const override { return false; }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {
    return false;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return false; }
  std::optional<auth::Role> grants(const auth::Identity&, std::string_view) const override { return std::nullopt; }
  uint64_t generation() const override { return 1; }
  void note_denied(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {}
};

class Claims : public testing::Test {
 protected:
  Claims() {
    options_.authenticator = &users_;
    options_.rules = &users_;
    options_.claims_per_minute = 5;
    options_.random = [this](size_t bytes) { return std::string(bytes, static_cast<char>('a' + chance_++)); };
    world_ = std::make_unique<World>(options_);
    devices::ProvisioningTemplate of;
    of.name = "meters";
    of.parameters = {{"SerialNumber", std::nullopt}};
    of.thing = "meter-${SerialNumber}";
    EXPECT_TRUE(world_->provision(devices::kPutTemplate, devices::encode(of)).ok());
    Credential claim;
    claim.hash = *devices::hash_of_id(kClaim);
    claim.claim = "line-1";
    claim.templates = {"meters"};
    EXPECT_TRUE(world_->provision(devices::kAddCredential, devices::encode(claim)).ok());
    EXPECT_EQ(connect("a", kClaim), "2000");
  }

  static std::string text(const std::string& of) {
    return std::string(1, static_cast<char>(of.size() >> 8)) + static_cast<char>(of.size()) + of;
  }
  static std::string packet(char first, const std::string& body) {
    ByteWriter length;
    mqtt::write_variable(length, static_cast<uint32_t>(body.size()));
    return first + std::string(as_text(length.view())) + body;
  }
  // Type and reason of the answer.
  std::string connect(const std::string& name, const std::string& certificate, const std::string& client = "",
                      const std::string& will = "") {
    world_->show_certificate(name, certificate);
    std::string body = bytes_of(will.empty() ? "s4 'MQTT' 05 02 k0 05 11 L1000" : "s4 'MQTT' 05 06 k0 00");
    body += text(client.empty() ? name : client);
    if (!will.empty()) body += std::string(1, '\0') + text(will) + text("gone");
    world_->send(name, packet('\x10', body));
    const std::string all = world_->take_output(name);
    return all.empty() ? "" : hex_of(all.substr(0, 1) + all.substr(3, 1));
  }
  std::string subscribe(const std::string& name, const std::string& filter) {
    world_->send(name, packet('\x82', std::string("\0\7\0", 3) + text(filter) + '\1'));
    const std::string all = world_->take_output(name);
    return all.empty() ? "" : hex_of(all.substr(all.size() - 1));
  }
  // All that came for it.
  std::string publish(const std::string& name, const std::string& topic, const std::string& payload) {
    world_->send(name, packet('\x32', text(topic) + std::string("\0\5\0", 3) + payload));
    return world_->take_output(name);
  }

  NoUsers users_;
  int chance_ = 0;
  mqtt::MqttOptions options_;
  std::unique_ptr<World> world_;
};

TEST_F(Claims, MayHearAnswersAndNothingElse) {
  EXPECT_EQ(subscribe("a", kIssue + "/accepted"), "01");
  EXPECT_EQ(subscribe("a", kByMeters + "/+"), "01");
  for (const char* other :
       {"#", "plant/1", "$aws/things/line-1/shadow/#", "$aws/things/claim/line-1/shadow/get/accepted",
        "$aws/provisioning-templates/pumps/provision/json/accepted", "$share/g/plant/1", "$SYS/#"})
    EXPECT_EQ(subscribe("a", other), "87") << other;
}

TEST_F(Claims, MayAskForItsTemplatesAndPublishNothingElse) {
  for (const char* other :
       {"plant/1", "$aws/provisioning-templates/pumps/provision/json", "$aws/certificates/create/json",
        "$aws/things/meter-1/shadow/update", "$aws/things/claim/line-1/shadow/update"})
    EXPECT_EQ(hex_of(publish("a", other, "{}")), "4003000587") << other;
  EXPECT_EQ(connect("w", kClaim, "", "plant/1"), "2087") << "nor has it a will";
  EXPECT_TRUE(world_->records("iot.messages").empty());
}

TEST_F(Claims, WithoutAnAuthorityNothingIsSigned) {
  ASSERT_EQ(subscribe("a", kIssue + "/rejected"), "01");
  const std::string said = publish("a", kIssue, kNoRequest);
  EXPECT_NE(said.find("InternalFailure"), std::string::npos) << said;
  EXPECT_TRUE(said.ends_with(bytes_of("40 02 00 05"))) << "the acknowledgement is behind it: " << hex_of(said);
}

TEST_F(Claims, ATokenThatIsNoneIsRejectedToWhoAskedAlone) {
  ASSERT_EQ(connect("b", kClaim), "2000");
  ASSERT_EQ(subscribe("a", kByMeters + "/rejected"), "01");
  ASSERT_EQ(subscribe("b", kByMeters + "/rejected"), "01");
  const std::string said =
      publish("a", kByMeters, R"({"certificateOwnershipToken":"x","parameters":{"SerialNumber":"1"}})");
  EXPECT_NE(said.find(R"("statusCode":401,"errorCode":"InvalidCertificateOwnershipToken")"), std::string::npos) << said;
  EXPECT_EQ(world_->take_output("b"), "");
  EXPECT_EQ(world_->devices().things_count(), 0U);
  EXPECT_NE(publish("a", kByMeters, "{").find("InvalidParameter"), std::string::npos);
}

TEST_F(Claims, ATokenThatIsOneMakesTheThing) {
  const std::string token = "secret";
  devices::IssueCertificate issue;
  issue.hash = std::string(32, 'k');
  issue.token_hash = crypto::digest(crypto::Hash::sha256, token);
  issue.lifetime = 1'000'000'000;
  issue.certificate_ends = world_->client("a").context->utc_ns() + int64_t{3'600} * 1'000'000'000;
  Submission submission;
  submission.machine = devices::kProvisioningMachineId;
  submission.type = devices::kIssueCertificate;
  submission.payload = devices::encode(issue);
  submission.principal = world_->provisioning().credentials().by_hash(*devices::hash_of_id(kClaim))->principal();
  ASSERT_TRUE(world_->submit(submission).ok());
  ASSERT_EQ(subscribe("a", kByMeters + "/accepted"), "01");
  const std::string asked = R"({"certificateOwnershipToken":"secret","parameters":{"SerialNumber":"1"}})";
  const std::string said = publish("a", kByMeters, asked);
  EXPECT_NE(said.find(R"({"deviceConfiguration":{},"thingName":"meter-1"})"), std::string::npos) << said;
  EXPECT_EQ(connect("dev", devices::id_of_hash(issue.hash)), "2000");
  EXPECT_EQ(world_->broker().find(std::string_view("dev"))->identity(), "meter-1");
  EXPECT_EQ(hex_of(publish("dev", kByMeters, asked)), "4003000587") << "a device provisions nobody";
}

TEST_F(Claims, AsksOnceAtATimeAndSoOftenInAMinute) {
  ASSERT_EQ(subscribe("a", kByMeters + "/rejected"), "01");
  world_->hold(true);
  const std::string asked = R"({"certificateOwnershipToken":"x","parameters":{}})";
  publish("a", kByMeters, asked);
  EXPECT_NE(publish("a", kByMeters, asked).find("Throttled"), std::string::npos) << "one is under way";
  world_->hold(false);
  world_->settle();
  EXPECT_NE(world_->take_output("a").find("InvalidCertificateOwnershipToken"), std::string::npos);
  for (int i = 2; i <= 6; ++i) {
    const std::string said = publish("a", kByMeters, asked);
    EXPECT_EQ(said.find("Throttled") != std::string::npos, i == 6) << i << said;
  }
  world_->pass_time(int64_t{60} * 1'000'000'000);
  EXPECT_EQ(publish("a", kByMeters, asked).find("Throttled"), std::string::npos);
}

TEST_F(Claims, ClaimsHaveNoSessionAndYieldTheirIdentifiers) {
  EXPECT_EQ(connect("x", kClaim, "meter-1"), "2000");
  Credential own;
  own.hash = std::string(32, 'k');
  own.thing = "meter-1";
  world_->create_things({"meter-1"});
  ASSERT_TRUE(world_->provision(devices::kAddCredential, devices::encode(own)).ok());
  EXPECT_EQ(connect("y", devices::id_of_hash(own.hash), "meter-1"), "2000");
  EXPECT_TRUE(world_->client("x").context->closed);
  EXPECT_EQ(connect("z", kClaim, "meter-1"), "2087") << "it takes nobody's";
  EXPECT_EQ(world_->machine().sessions_count(), 1U) << "the device's alone";
}

// Whoever signs for a connection that is gone still works.
TEST_F(Claims, SoManyAreSignedAtOnceAsThereIsRoomFor) {
  mqtt::ProvisioningDesk desk(options_);
  std::vector<std::shared_ptr<void>> rooms;
  for (size_t i = 0; i < mqtt::ProvisioningDesk::kSigningMax; ++i) {
    rooms.push_back(desk.begin_signing());
    ASSERT_NE(rooms.back(), nullptr);
  }
  const std::shared_ptr<void> works = rooms.back();
  rooms.pop_back();
  EXPECT_EQ(desk.begin_signing(), nullptr);
  rooms.pop_back();
  EXPECT_NE(desk.begin_signing(), nullptr);
}

TEST_F(Claims, ARevokedClaimIsClosed) {
  ASSERT_TRUE(
      world_
          ->provision(devices::kChangeCredential, devices::encode(devices::ChangeCredential{
                                                      {"", "line-1", ""}, devices::CredentialState::revoked, {}}))
          .ok());
  EXPECT_EQ(hex_of(world_->take_output("a")), "E00198");
  EXPECT_EQ(connect("b", kClaim), "2087");
}

}  // namespace
}  // namespace heptane::iot::test
