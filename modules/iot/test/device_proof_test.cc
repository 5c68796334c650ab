// Devices that connect by tokens of their own: who they are then, what they may, and what ends their connections.
#include <gtest/gtest.h>

#include "kernel/crypto/digest.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
const std::string kToken = "hpd_" + std::string(48, '0');
const std::string kNewToken = "hpd_" + std::string(48, '1');
const std::string kNoToken = "hpd_" + std::string(48, 'f');

// Users are not known here; of roles one is.
class NoUsers final : public auth::Authenticator, public auth::Rules {
 public:
  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {"PLAIN"}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view, const auth::Peer&) override { return nullptr; }
  auth::Proving prove(std::string_view, std::string_view password, const auth::Peer&) override {
    passwords.emplace_back(password);
    return Result<auth::Identity>(Error{Errc::unauthorised, "wrong", 0});
  }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override { return std::nullopt; }
  bool in_force(const auth::Identity&) const override { return false; }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {
    return false;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return false; }
  std::optional<auth::Role> grants(const auth::Identity&, std::string_view) const override { return std::nullopt; }
  auth::Role grants_of(const std::set<std::string, std::less<>>& roles, std::string_view) const override {
    return roles.contains("meter") ? meter : auth::Role();
  }
  uint64_t generation() const override { return changes; }
  void note_denied(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {}
  void note_failed(std::string_view who, std::string_view, std::string_view how) override {
    failed.push_back(std::string(who) + ' ' + std::string(how));
  }

  auth::Role meter{{"mqtt", "up/%u/*", auth::kAllVerbs}};
  uint64_t changes = 1;
  std::vector<std::string> failed;
  std::vector<std::string> passwords;  // that were a user's to prove
};

class DeviceProof : public testing::Test {
 protected:
  DeviceProof() {
    options_.authenticator = &users_;
    options_.rules = &users_;
    options_.random = [this](size_t bytes) { return std::string(bytes, static_cast<char>(++chances_)); };
    world_ = std::make_unique<World>(options_);
    world_->create_things({"pump-1", "pump-2"});
  }

  static std::string text(const std::string& of) { return std::string(1, '\0') + static_cast<char>(of.size()) + of; }
  // `kept`: a session that outlives the connection.
  static std::string connect(const std::string& id, const std::string& user, const std::string& password,
                             bool kept = false) {
    std::string body = bytes_of(kept ? "s4 'MQTT' 05 C0 k0 05 11 L1000" : "s4 'MQTT' 05 C2 k0 00");
    body += text(id) + text(user) + text(password);
    return bytes_of("10 r" + std::to_string(body.size())) + body;
  }
  // Of a session that outlives the connection, with a will that is due five seconds behind it.
  static std::string connect_with_will(const std::string& id, const std::string& user, const std::string& password,
                                       const std::string& topic) {
    const std::string body = bytes_of("s4 'MQTT' 05 CC k0 05 11 L1000") + text(id) + bytes_of("05 18 L5") +
                             text(topic) + text("gone") + text(user) + text(password);
    return bytes_of("10 r" + std::to_string(body.size())) + body;
  }
  std::string first(const std::string& name) {
    const std::string all = world_->take_output(name);
    return all.empty() ? "" : hex_of(all.substr(0, 1) + all.substr(3, 1));
  }
  devices::CredentialName add(const std::string& thing, const std::string& token, bool with_role = false,
                              LogTime expires = 0) {
    devices::Credential credential;
    credential.kind = devices::CredentialKind::token;
    credential.hash = crypto::digest(crypto::Hash::sha256, token);
    credential.thing = thing;
    credential.expires = expires;
    if (with_role) credential.roles = {"meter"};
    EXPECT_TRUE(world_->provision(devices::kAddCredential, devices::encode(credential)).ok());
    return {thing, "", credential.hash};
  }
  void set(const devices::CredentialName& name, devices::CredentialState state) {
    EXPECT_TRUE(
        world_->provision(devices::kChangeCredential, devices::encode(devices::ChangeCredential{name, state, {}}))
            .ok());
  }
  std::string subscribed(const std::string& name, const std::string& filter) {
    const std::string body = std::string("\0\7\0", 3) + text(filter) + '\1';
    world_->send(name, std::string("\x82") + static_cast<char>(body.size()) + body);
    const std::string all = world_->take_output(name);
    return all.empty() ? "" : hex_of(all.substr(all.size() - 1));
  }

  NoUsers users_;
  int chances_ = 0;
  mqtt::MqttOptions options_;
  std::unique_ptr<World> world_;
};

TEST_F(DeviceProof, ATokenProvesItsDeviceAndNoOther) {
  add("pump-1", kToken);
  world_->send("a", connect("a", "pump-1", kToken));
  EXPECT_EQ(first("a"), "2000");
  ASSERT_NE(world_->broker().find(std::string_view("a")), nullptr);
  EXPECT_EQ(world_->broker().find(std::string_view("a"))->identity(), "pump-1");
  world_->send("b", connect("b", "pump-2", kToken));
  EXPECT_EQ(first("b"), "2086");
  world_->send("c", connect("c", "pump-1", kNoToken));
  EXPECT_EQ(first("c"), "2086");
  world_->send("d", connect("d", "pump-1?SDK=Test", kToken));
  EXPECT_EQ(first("d"), "2000");
  EXPECT_EQ(users_.failed, (std::vector<std::string>{"pump-2 mqtt device", "pump-1 mqtt device"}));
}

TEST_F(DeviceProof, APasswordThatOnlyBeginsAsATokenIsAUsers) {
  add("pump-1", kToken);
  const std::vector<std::string> passwords{"hpd_secret", kToken + "0", kToken.substr(1), kToken.substr(0, 51),
                                           "hpd_" + std::string(48, 'F')};
  for (const std::string& password : passwords) {
    world_->send(password, connect("u", "pump-1", password));
    EXPECT_EQ(first(password), "2086") << password;
  }
  EXPECT_EQ(users_.passwords, passwords);
}

// Between its proof and the answer whether somebody's session is kept by its name.
TEST_F(DeviceProof, WhatEndsWhileItConnectsLetsItInNowhere) {
  add("pump-2", kNewToken);
  world_->send("other", connect("other", "pump-2", kNewToken, true));
  ASSERT_EQ(first("other"), "2000");
  const auto name = add("pump-1", kToken);
  world_->hold(true);
  world_->send("a", connect("a", "pump-1", kToken));
  world_->client("a").context->deliver_one();
  world_->settle();
  set(name, devices::CredentialState::revoked);
  world_->hold(false);
  world_->settle();
  EXPECT_EQ(first("a"), "2087");
  EXPECT_TRUE(world_->client("a").context->closed);
}

TEST_F(DeviceProof, NobodyIsAskedWhereThereIsNoCredential) {
  world_->send("a", connect("a", "pump-1", kToken));
  EXPECT_EQ(first("a"), "2086");
}

TEST_F(DeviceProof, WhatIsBehindConnectWaits) {
  add("pump-1", kToken);
  world_->hold(true);
  world_->send("a", connect("a", "pump-1", kToken) + bytes_of("C0 00"));
  EXPECT_EQ(world_->take_output("a"), "");
  EXPECT_TRUE(world_->client("a").context->paused());
  world_->hold(false);
  world_->settle();
  EXPECT_TRUE(world_->take_output("a").ends_with(bytes_of("D0 00")));
  EXPECT_FALSE(world_->client("a").context->paused());
}

TEST_F(DeviceProof, ItMayWhatItsThingAndItsRolesMay) {
  add("pump-1", kToken, true);
  world_->send("a", connect("a", "pump-1", kToken));
  EXPECT_EQ(first("a"), "2000");
  EXPECT_EQ(subscribed("a", "$aws/things/pump-1/shadow/#"), "01");
  EXPECT_EQ(subscribed("a", "$aws/things/pump-2/shadow/#"), "87");
  EXPECT_EQ(subscribed("a", "up/pump-1/x"), "01");
  EXPECT_EQ(subscribed("a", "up/pump-2/x"), "87");
  users_.meter.clear();
  ++users_.changes;
  world_->send("a", bytes_of("C0 00"));
  EXPECT_EQ(hex_of(world_->take_output("a")), "D000");
  EXPECT_EQ(world_->broker().counters().subscriptions.value(), 1U) << "the role that a subscription needs is gone";
}

// Whatever its roles say of topics, unless they name those of other things.
TEST_F(DeviceProof, ItMayUseItsOwnThingsTopicsAlone) {
  users_.meter = {
      {"mqtt", "*", static_cast<auth::Verbs>(auth::Verb::read) | static_cast<auth::Verbs>(auth::Verb::write)}};
  add("pump-2", kToken, true);
  world_->send("a", connect("a", "pump-2", kToken));
  EXPECT_EQ(first("a"), "2000");
  for (const char* filter : {"$aws/things/+/shadow/#", "$aws/things/pump-1/shadow/#", "$aws/#", "$SYS/#"})
    EXPECT_EQ(subscribed("a", filter), "87") << filter;
  EXPECT_EQ(subscribed("a", "$aws/things/pump-2/shadow/#"), "01");
  EXPECT_EQ(subscribed("a", "#"), "01");
  for (const std::string thing : {"pump-1", "pump-2"}) {
    const std::string body = text("$aws/things/" + thing + "/shadow/update") + bytes_of("m8 00") + R"({"state":{}})";
    world_->send("a", bytes_of("32 r" + std::to_string(body.size())) + body);
    const std::string said = hex_of(world_->take_output("a"));
    EXPECT_EQ(said.find("4003000887") != std::string::npos, thing == "pump-1") << said;
  }
}

// What it calls itself is its session's name, and nobody's proof.
TEST_F(DeviceProof, ItIsNoOtherThingByItsClientIdentifier) {
  users_.meter = {{"mqtt", "*", auth::kAllVerbs}};
  add("pump-2", kToken, true);
  world_->send("a", connect("pump-1", "pump-2", kToken));
  EXPECT_EQ(first("a"), "2000");
  EXPECT_EQ(subscribed("a", "$iothub/methods/POST/#"), "01");
  const auto others = world_->broker().methods().begin("pump-1", "open", "null");
  const auto own = world_->broker().methods().begin("pump-2", "open", "null");
  EXPECT_FALSE(world_->broker().methods().is_heard(*others));
  EXPECT_TRUE(world_->broker().methods().is_heard(*own));
}

TEST_F(DeviceProof, RevocationEndsItsConnectionsAndNoOthers) {
  const auto old = add("pump-1", kToken);
  add("pump-1", kNewToken);
  world_->send("a", connect("a", "pump-1", kToken));
  world_->send("b", connect("b", "pump-1", kNewToken));
  EXPECT_EQ(first("a") + first("b"), "20002000");
  set(old, devices::CredentialState::revoked);
  EXPECT_EQ(hex_of(world_->take_output("a")), "E00198");
  EXPECT_TRUE(world_->client("a").context->closed);
  EXPECT_FALSE(world_->client("b").context->closed);
  world_->send("c", connect("c", "pump-1", kToken));
  EXPECT_EQ(first("c"), "2086");
}

TEST_F(DeviceProof, ItsDurableSessionIsTheDevicesWhateverProvesIt) {
  const auto old = add("pump-1", kToken);
  world_->send("a", connect("dev", "pump-1", kToken, true));
  EXPECT_EQ(first("a"), "2000");
  EXPECT_EQ(subscribed("a", "$aws/things/pump-1/shadow/get/accepted"), "01");
  add("pump-1", kNewToken);
  set(old, devices::CredentialState::revoked);
  EXPECT_TRUE(world_->client("a").context->closed);
  world_->send("b", connect("dev", "pump-1", kNewToken, true));
  const std::string said = world_->take_output("b");
  EXPECT_EQ(hex_of(said.substr(2, 2)), "0100") << "the session is present: " << hex_of(said);
}

// With a delay, and after a crash: nobody is connected who could say whose it is.
TEST_F(DeviceProof, ItsWillIsPublishedWhenItIsDueAsLongAsACredentialCounts) {
  auto name = add("pump-1", kToken, true);
  for (const bool crash : {false, true}) {
    for (const bool revoked : {false, true}) {
      world_->send("a", connect_with_will("dev", "pump-1", kToken, "up/pump-1/gone"));
      ASSERT_EQ(first("a"), "2000");
      const size_t before = world_->records("iot.messages").size();
      if (crash)
        world_->crash();
      else
        world_->break_off("a");
      if (revoked) set(name, devices::CredentialState::revoked);
      for (int i = 0; i < 60; ++i) world_->pass_time(kSecond);
      EXPECT_EQ(world_->records("iot.messages").size(), before + (revoked ? 0 : 1)) << crash << revoked;
      EXPECT_EQ(world_->broker().keeper().wills(), 0U);
      if (!revoked) continue;
      EXPECT_TRUE(world_->provision(devices::kDropCredential, devices::encode(name)).ok());
      name = add("pump-1", kToken, true);
    }
  }
}

TEST_F(DeviceProof, AnEndThatComesEndsTheConnection) {
  const LogTime now = world_->client("clock").context->utc_ns();
  const auto name = add("pump-1", kToken, false, now + 60 * kSecond);
  world_->send("a", connect("a", "pump-1", kToken));
  EXPECT_EQ(first("a"), "2000");
  world_->pass_time(59 * kSecond);
  EXPECT_FALSE(world_->client("a").context->closed);
  world_->pass_time(2 * kSecond);
  EXPECT_EQ(hex_of(world_->take_output("a")), "E00198");
  EXPECT_TRUE(world_->client("a").context->closed);
  world_->send("b", connect("b", "pump-1", kToken));
  EXPECT_EQ(first("b"), "2086");
  EXPECT_TRUE(world_->provision(devices::kDropCredential, devices::encode(name)).ok());
}

TEST_F(DeviceProof, AnEndComesWhenTheClockIsSetAhead) {
  const LogTime now = world_->client("clock").context->utc_ns();
  add("pump-1", kToken, false, now + 4 * 3'600 * kSecond);
  for (const bool speaks : {true, false}) {
    const std::string client = speaks ? "speaks" : "silent";
    world_->set_clock(0);
    world_->send(client, connect(client, "pump-1", kToken));
    ASSERT_EQ(first(client), "2000");
    world_->set_clock(4 * 3'600 * kSecond);
    if (speaks)
      world_->send(client, bytes_of("C0 00"));
    else
      world_->pass_time(3'600 * kSecond);
    EXPECT_EQ(hex_of(world_->take_output(client)), "E00198");
    EXPECT_TRUE(world_->client(client).context->closed) << client;
  }
}

TEST_F(DeviceProof, AThingThatIsDeletedTakesItsConnectionsWithIt) {
  add("pump-1", kToken);
  world_->send("a", connect("a", "pump-1", kToken));
  EXPECT_EQ(first("a"), "2000");
  const Buffer name = Buffer::copy_of("pump-1");
  Submission submission;
  submission.machine = devices::kDevicesMachineId;
  submission.type = devices::kDeleteThing;
  submission.payload = name;
  world_->broker().devices().thing_gone(name, world_->submit(submission));
  EXPECT_EQ(hex_of(world_->take_output("a")), "E00198");
  world_->send("b", connect("b", "pump-1", kToken));
  EXPECT_EQ(first("b"), "2086");
}

}  // namespace
}  // namespace heptane::iot::test
