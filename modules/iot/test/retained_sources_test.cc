// What is retained is given out while its publisher may publish there: users, wills, devices, over restarts and logs of before.

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "kernel/crypto/digest.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

const std::string kToken = "hpd_" + std::string(48, '0');
const std::string kNewToken = "hpd_" + std::string(48, '1');

// Users with one pattern each, where they may everything; who connects without a password is `who`. Devices have the role `meter`.
class Users final : public auth::Authenticator, public auth::Rules {
 public:
  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {"PLAIN"}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view, const auth::Peer&) override { return nullptr; }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override { return by_configuration(who); }
  std::optional<auth::Identity> by_configuration(std::string_view user) const override {
    const auto found = of.find(user);
    if (found == of.end()) return std::nullopt;
    return auth::Identity{{found->second.first, 1}, std::string(user), {}};
  }
  bool in_force(const auth::Identity& identity) const override { return of.contains(identity.name); }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {
    return false;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return true; }
  std::optional<auth::Role> grants(const auth::Identity& identity, std::string_view) const override {
    const auto found = of.find(identity.name);
    if (found == of.end()) return std::nullopt;
    return auth::Role{{"mqtt", found->second.second, auth::kAllVerbs}};
  }
  auth::Role grants_of(const std::set<std::string, std::less<>>& roles, std::string_view) const override {
    return roles.contains("meter") ? auth::Role{{"mqtt", meter, auth::kAllVerbs}} : auth::Role();
  }
  uint64_t generation() const override { return ++asked; }  // they may have changed
  void note_denied(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {}

  std::map<std::string, std::pair<uint32_t, std::string>, std::less<>> of;  // id and pattern
  std::string meter = "up/%u/*";
  std::string who;
  mutable uint64_t asked = 0;
};

class RetainedSources : public testing::Test {
 protected:
  explicit RetainedSources(bool checks = true) {
    mqtt::MqttOptions options;
    options.authenticator = &users_;
    options.rules = &users_;
    options.check_retain_source = checks;
    world_ = std::make_unique<World>(options);
    user("al", 16, "plant/*");
    user("bo", 17, "*");
  }
  void user(const std::string& name, uint32_t id, const std::string& pattern) {
    users_.of[name] = {id, pattern};
    world_->name_user(id, name);
  }
  // As this user; a client identifier is one byte.
  void connect(const std::string& name, const std::string& user) {
    users_.who = user;
    world_->send(name, bytes_of("10 r14 s4 'MQTT' 05 02 k0 00 s1 '" + name + "'"));
    EXPECT_NE(world_->take_output(name), "");
  }
  void connect_device(const std::string& name, const std::string& token) {
    const std::string body = bytes_of("s4 'MQTT' 05 C2 k0 00 s1 '" + name + "'") + text("pump-1") + text(token);
    world_->send(name, bytes_of("10 r" + std::to_string(body.size())) + body);
    EXPECT_NE(world_->take_output(name), "");
    EXPECT_FALSE(world_->client(name).context->closed);
  }
  static std::string text(const std::string& of) { return std::string(1, '\0') + static_cast<char>(of.size()) + of; }
  // At QoS 0, which is answered by nobody.
  void retain(const std::string& name, const std::string& topic, const std::string& payload) {
    const std::string body = text(topic) + std::string(1, '\0') + payload;
    world_->send(name, bytes_of("31 r" + std::to_string(body.size())) + body);
  }
  // The payloads, one character each, that a client `s` of bo's gets for the filter.
  std::string given(const std::string& filter) {
    connect("s", "bo");
    const std::string body = bytes_of("m1 00") + text(filter) + bytes_of("00");
    world_->send("s", bytes_of("82 r" + std::to_string(body.size())) + body);
    const std::string payloads = payloads_of(world_->take_output("s"), '\x31');
    world_->break_off("s");
    return payloads;
  }
  // Of packets that are shorter than 128 bytes and begin so.
  static std::string payloads_of(std::string packets, char first) {
    std::string payloads;
    for (; packets.size() > 2; packets.erase(0, 2 + static_cast<uint8_t>(packets[1])))
      if (packets[0] == first) payloads += packets[1 + static_cast<uint8_t>(packets[1])];
    return payloads;
  }
  devices::CredentialName add(const std::string& token) {
    devices::Credential credential;
    credential.kind = devices::CredentialKind::token;
    credential.hash = crypto::digest(crypto::Hash::sha256, token);
    credential.thing = "pump-1";
    credential.roles = {"meter"};
    EXPECT_TRUE(world_->provision(devices::kAddCredential, devices::encode(credential)).ok());
    return {"pump-1", "", credential.hash};
  }
  void revoke(const devices::CredentialName& name) {
    const devices::ChangeCredential change{name, devices::CredentialState::revoked, {}};
    EXPECT_TRUE(world_->provision(devices::kChangeCredential, devices::encode(change)).ok());
  }

  Users users_;
  std::unique_ptr<World> world_;
};

TEST_F(RetainedSources, WhoMayNotPublishThereAnyMoreIsNotHeard) {
  connect("a", "al");
  connect("b", "bo");
  retain("a", "plant/1", "1");
  retain("b", "plant/2", "2");
  EXPECT_EQ(given("plant/#"), "12");
  users_.of["al"].second = "other/*";
  EXPECT_EQ(given("plant/#"), "2");
  EXPECT_EQ(given("plant/1"), "");
  users_.of["al"].second = "plant/1";
  EXPECT_EQ(given("plant/#"), "12") << "it is as its rights are now";
  users_.of.erase("al");
  EXPECT_EQ(given("plant/#"), "2") << "one who is gone has none";
  world_->crash();
  EXPECT_EQ(given("plant/#"), "2");
  user("al", 18, "plant/*");
  EXPECT_EQ(given("plant/#"), "12");
}

TEST_F(RetainedSources, APatternMayNameTheClient) {
  users_.of["al"].second = "plant/%c";
  connect("a", "al");
  retain("a", "plant/a", "1");
  EXPECT_EQ(given("plant/#"), "1");
  users_.of["al"].second = "plant/%c/x";
  EXPECT_EQ(given("plant/#"), "");
}

TEST_F(RetainedSources, AWillIsItsUsers) {
  users_.who = "al";
  world_->send("w", bytes_of("10 r27 s4 'MQTT' 05 26 k0 00 s1 'w' 00 s7 'plant/w' s1 'w'"));
  EXPECT_NE(world_->take_output("w"), "");
  world_->break_off("w");
  EXPECT_EQ(given("plant/#"), "w");
  users_.of["al"].second = "other/*";
  EXPECT_EQ(given("plant/#"), "");
}

TEST_F(RetainedSources, ADeviceIsAskedFor) {
  world_->create_things({"pump-1"});
  const devices::CredentialName name = add(kToken);
  connect_device("d", kToken);
  connect("b", "bo");
  retain("d", "up/pump-1/t", "1");
  retain("b", "up/2", "2");
  EXPECT_EQ(given("up/#"), "21");
  const devices::CredentialName next = add(kNewToken);
  revoke(name);
  EXPECT_EQ(given("up/#"), "21") << "whichever credential it has now";
  users_.meter = "down/%u/*";
  EXPECT_EQ(given("up/#"), "2");
  users_.meter = "up/*";
  EXPECT_EQ(given("up/#"), "21");
  revoke(next);
  EXPECT_EQ(given("up/#"), "2");
}

TEST_F(RetainedSources, WhatComesWhileADeviceIsAskedForIsNotOverwritten) {
  world_->create_things({"pump-1"});
  add(kToken);
  connect_device("d", kToken);
  retain("d", "up/pump-1/t", "1");
  connect("s", "bo");
  world_->client("s").context->hold_answers = true;
  world_->hold(true);
  world_->send("s", bytes_of("82 r10 m1 00 s4 'up/#' 00"));
  world_->client("s").context->deliver_one();  // the page; the credentials are not told yet
  retain("d", "up/pump-1/t", "2");
  world_->hold(false);
  world_->settle();
  world_->client("s").context->hold_answers = false;
  world_->settle();
  const std::string out = world_->take_output("s");
  EXPECT_EQ(payloads_of(out, '\x31'), "2") << "what it had before is not told then";
  EXPECT_EQ(payloads_of(out, '\x30'), "2");
}

TEST_F(RetainedSources, OfALogOfBeforeNobodyIsKnown) {
  world_->set_logic(BrokerMachine::kLogicCaptures);
  connect("a", "al");
  retain("a", "plant/1", "1");
  users_.of.erase("al");
  EXPECT_EQ(given("plant/#"), "1");
}

class Unchecked : public RetainedSources {
 protected:
  Unchecked() : RetainedSources(false) {}
};

TEST_F(Unchecked, EverythingIsGivenOut) {
  connect("a", "al");
  retain("a", "plant/1", "1");
  users_.of.erase("al");
  EXPECT_EQ(given("plant/#"), "1");
}

}  // namespace
}  // namespace heptane::iot::test
