// Credentials of devices: what may follow what, bounds, whose they are; against a naive model.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "modules/iot/gateway/http/credential_json.h"
#include "modules/iot/test/provisioning_rig.h"

namespace heptane::iot::devices {

namespace {

using test::credential_of;
using test::hash_of;
using test::kSecond;
using test::ProvisioningRig;

constexpr auto kCertificate = CredentialKind::certificate;
constexpr auto kToken = CredentialKind::token;

}  // namespace

TEST(Credentials, OfAThingThatIsCalledAsAUserAreAddedByWhoGivesRolesAlone) {
  ProvisioningRig rig({"pump-1", "pump-2"});
  rig.trail.users = {"pump-1"};
  const Credential own = credential_of("pump-1", "c");
  EXPECT_EQ(rig.add(own).error, Errc::unauthorised);
  EXPECT_FALSE(rig.proof(CredentialKind::certificate, own.hash));
  EXPECT_TRUE(rig.add(credential_of("pump-2", "d")).ok());
  EXPECT_TRUE(rig.apply(rig.machine, kAddAnyCredential, encode(own)).ok());
  EXPECT_TRUE(rig.proof(CredentialKind::certificate, own.hash));
}

TEST(Credentials, OneIsAddedChangedRevokedAndForgotten) {
  ProvisioningRig rig{"pump-1"};
  const CredentialName name{"pump-1", "", hash_of("a")};
  EXPECT_EQ(rig.add(credential_of("pump-9", "a")).error, Errc::not_found);
  ASSERT_TRUE(rig.add(credential_of("pump-1", "a")).ok());
  EXPECT_EQ(rig.add(credential_of("pump-1", "a", kToken)).error, Errc::exists);
  const auto first = rig.proof(kCertificate, hash_of("a"));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->credential.thing, "pump-1");
  EXPECT_FALSE(rig.proof(kToken, hash_of("a"))) << "a certificate's hash is no token's";
  EXPECT_TRUE(rig.machine.in_force(first->principal()));
  EXPECT_EQ(rig.machine.principal_name(first->principal()), "device pump-1");
  EXPECT_EQ(rig.drop(name).error, Errc::refused);
  EXPECT_TRUE(rig.change(name, CredentialState::inactive).ok());
  EXPECT_FALSE(rig.proof(kCertificate, hash_of("a")));
  EXPECT_FALSE(rig.machine.in_force(first->principal()));
  EXPECT_TRUE(rig.change(name, CredentialState::active).ok());
  EXPECT_FALSE(rig.machine.in_force(first->principal())) << "who was let in before is not let in again by itself";
  EXPECT_TRUE(rig.machine.in_force(rig.proof(kCertificate, hash_of("a"))->principal()));
  EXPECT_TRUE(rig.change(name, CredentialState::revoked).ok());
  EXPECT_EQ(rig.change(name, CredentialState::active).error, Errc::refused);
  EXPECT_EQ(rig.change(name, CredentialState::inactive).error, Errc::refused);
  EXPECT_EQ(rig.change({"other", "", hash_of("a")}, CredentialState::revoked).error, Errc::not_found);
  rig.restore();
  EXPECT_TRUE(rig.drop(name).ok());
  EXPECT_EQ(rig.drop(name).error, Errc::not_found);
  EXPECT_EQ(rig.machine.memory_bytes(), 0U);
  const std::string id = short_id(hash_of("a"));
  EXPECT_EQ(rig.trail.told,
            (std::vector<std::string>{"devices.credential.add pump-1: certificate " + id + " active",
                                      "devices.credential.change pump-1: certificate " + id + " inactive",
                                      "devices.credential.change pump-1: certificate " + id + " active",
                                      "devices.credential.change pump-1: certificate " + id + " revoked",
                                      "devices.credential.drop pump-1: certificate " + id + " revoked"}));
}

TEST(Credentials, WhatIsOverDoesNotCountAndMayBeForgotten) {
  ProvisioningRig rig{"a"};
  Credential credential = credential_of("a", "x", kToken);
  credential.expires = rig.now + kSecond;
  ASSERT_TRUE(rig.add(credential).ok());
  EXPECT_TRUE(rig.proof(kToken, credential.hash));
  rig.now += kSecond;
  EXPECT_FALSE(rig.proof(kToken, credential.hash));
  EXPECT_TRUE(rig.change({"a", "", credential.hash}, std::nullopt, 0).ok());
  EXPECT_TRUE(rig.proof(kToken, credential.hash)) << "it has no end any more";
  EXPECT_TRUE(rig.change({"a", "", credential.hash}, std::nullopt, rig.now).ok());
  EXPECT_TRUE(rig.drop({"a", "", credential.hash}).ok());
}

TEST(Credentials, GoWithTheirThing) {
  ProvisioningRig rig{"a", "a-b"};
  ASSERT_TRUE(rig.add(credential_of("a", "1")).ok());
  ASSERT_TRUE(rig.add(credential_of("a", "2")).ok());
  ASSERT_TRUE(rig.add(credential_of("a-b", "3")).ok());
  const Principal before = rig.proof(kCertificate, hash_of("1"))->principal();
  EXPECT_TRUE(rig.apply(rig.devices, kDeleteThing, Buffer::copy_of("a")).ok());
  EXPECT_FALSE(rig.proof(kCertificate, hash_of("1")));
  EXPECT_TRUE(rig.proof(kCertificate, hash_of("3")));
  EXPECT_FALSE(rig.machine.in_force(before));
  Thing again;
  again.name = "a";
  EXPECT_TRUE(rig.apply(rig.devices, kCreateThings, encode_things({again})).ok());
  EXPECT_TRUE(rig.add(credential_of("a", "1")).ok());
  EXPECT_FALSE(rig.machine.in_force(before)) << "a number is never used again";
}

TEST(Credentials, AreBounded) {
  ProvisioningRig rig{"a"};
  for (size_t i = 0; i < kCredentialsOfThing; ++i) EXPECT_TRUE(rig.add(credential_of("a", std::to_string(i))).ok());
  EXPECT_EQ(rig.add(credential_of("a", "more")).error, Errc::overloaded);
  EXPECT_TRUE(rig.change({"a", "", hash_of("3")}, CredentialState::revoked).ok());
  EXPECT_EQ(rig.add(credential_of("a", "more")).error, Errc::overloaded) << "it is kept until it is dropped";
  EXPECT_TRUE(rig.drop({"a", "", hash_of("3")}).ok());
  EXPECT_TRUE(rig.add(credential_of("a", "more")).ok());
}

TEST(Credentials, CommandsThatAreCutOffAreRefused) {
  ProvisioningRig rig{"a"};
  Credential whole = credential_of("a", "x");
  whole.roles = {"meter", "reader"};
  const Buffer payload = encode(whole);
  for (size_t length = 0; length < payload.size(); ++length)
    EXPECT_EQ(rig.apply(rig.machine, kAddCredential, payload.slice(0, length)).error, Errc::invalid_argument) << length;
  EXPECT_TRUE(rig.machine.fresh());
  ASSERT_TRUE(rig.add(whole).ok());
  EXPECT_EQ(rig.proof(kCertificate, whole.hash)->credential, whole);
  const Buffer change = encode(ChangeCredential{{"a", "", whole.hash}, CredentialState::revoked, 7});
  for (size_t length = 0; length < change.size(); ++length)
    EXPECT_EQ(rig.apply(rig.machine, kChangeCredential, change.slice(0, length)).error, Errc::invalid_argument);
}

TEST(Credentials, WhatIsNoCredentialIsNone) {
  Credential bad = credential_of("a", "x");
  EXPECT_EQ(wrong_credential(bad), "");
  bad.hash.pop_back();
  EXPECT_NE(wrong_credential(bad), "");
  bad = credential_of("", "x");
  EXPECT_NE(wrong_credential(bad), "") << "nobody's";
  bad = credential_of("a", "x");
  bad.roles = {"no role"};
  EXPECT_NE(wrong_credential(bad), "");
  bad.roles.clear();
  for (int i = 0; i < 17; ++i) bad.roles.insert("r" + std::to_string(i));
  EXPECT_NE(wrong_credential(bad), "");
  bad.roles.clear();
  bad.templates = {"t"};
  EXPECT_NE(wrong_credential(bad), "") << "a device provisions nobody";
}

// Whatever comes: the machine says of every hash and every principal that was ever let in what a list of all that happened says.
TEST(Credentials, AgreeWithANaiveModel) {
  struct Known {
    uint64_t life = 0;  // of which registration and state
    std::string thing;
    CredentialState state = CredentialState::active;
    LogTime expires = 0;
  };
  std::mt19937_64 random(7);
  ProvisioningRig rig{"t0", "t1", "t2"};
  std::map<std::string, Known> model;
  struct LetIn {
    Principal principal;
    std::string hash;
    uint64_t life = 0;
  };
  std::vector<LetIn> let_in;
  uint64_t lives = 0;
  const auto pick = [&](size_t count) { return random() % count; };
  for (int step = 0; step < 4'000; ++step) {
    const std::string thing = "t" + std::to_string(pick(3));
    const std::string hash = hash_of(std::to_string(pick(12)));
    const auto found = model.find(hash);
    const bool own = found != model.end() && found->second.thing == thing;
    rig.now += static_cast<LogTime>(pick(3)) * kSecond;
    switch (pick(5)) {
      case 0: {
        Credential credential = credential_of(thing, "");
        credential.hash = hash;
        if (pick(2) == 0) credential.expires = rig.now + static_cast<LogTime>(pick(60)) * kSecond;
        const auto owned =
            std::count_if(model.begin(), model.end(), [&](const auto& one) { return one.second.thing == thing; });
        const bool fits = found == model.end() && static_cast<size_t>(owned) < kCredentialsOfThing;
        EXPECT_EQ(rig.add(credential).ok(), fits);
        if (fits) model[hash] = {++lives, thing, CredentialState::active, credential.expires};
        break;
      }
      case 1: {
        const auto state = static_cast<CredentialState>(1 + pick(3));
        const bool may = own && (found->second.state != CredentialState::revoked || state == CredentialState::revoked);
        EXPECT_EQ(rig.change({thing, "", hash}, state).ok(), may);
        if (!may) break;
        if (found->second.state != state) found->second.life = ++lives;
        found->second.state = state;
        break;
      }
      case 2: {
        const bool may = own && (found->second.state == CredentialState::revoked ||
                                 (found->second.expires != 0 && found->second.expires <= rig.now));
        EXPECT_EQ(rig.drop({thing, "", hash}).ok(), may);
        if (may) model.erase(found);
        break;
      }
      case 3: {
        const auto row = rig.proof(kCertificate, hash);
        const bool counts = found != model.end() && found->second.state == CredentialState::active &&
                            (found->second.expires == 0 || rig.now < found->second.expires);
        ASSERT_EQ(row.has_value(), counts);
        if (counts) let_in.push_back({row->principal(), hash, found->second.life});
        break;
      }
      default:
        if (pick(20) != 0) break;
        EXPECT_TRUE(rig.apply(rig.devices, kDeleteThing, Buffer::copy_of(thing)).ok());
        std::erase_if(model, [&](const auto& one) { return one.second.thing == thing; });
        Thing again;
        again.name = thing;
        EXPECT_TRUE(rig.apply(rig.devices, kCreateThings, encode_things({again})).ok());
    }
    if (step % 500 == 0) rig.restore();
  }
  for (const LetIn& one : let_in) {
    const auto found = model.find(one.hash);
    const bool counts = found != model.end() && found->second.life == one.life;
    EXPECT_EQ(rig.machine.in_force(one.principal), counts && found->second.state == CredentialState::active);
  }
  EXPECT_GT(let_in.size(), 100U);
  EXPECT_EQ(rig.machine.credentials().size(), model.size());
}

TEST(Credentials, OfJsonAndPem) {
  const std::string digits(64, 'a');
  const auto credential = credential_of_json(
      R"({"kind":"certificate","fingerprint":")" + digits + R"(","roles":["meter"],"state":"inactive","expires_ms":5})",
      "pump");
  ASSERT_TRUE(credential.ok()) << credential.error().message;
  EXPECT_EQ(credential->hash, std::string(32, '\xAA'));
  EXPECT_EQ(credential->state, CredentialState::inactive);
  EXPECT_EQ(credential->expires, 5'000'000);
  // The certificate of three bytes: base64 AQID.
  const auto pem = credential_of_json(
      R"({"kind":"certificate","certificate":"x\n-----BEGIN CERTIFICATE-----\nAQ\nID\n-----END CERTIFICATE-----\n"})",
      "pump");
  ASSERT_TRUE(pem.ok()) << pem.error().message;
  EXPECT_EQ(id_of_hash(pem->hash), "039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81");
  std::string colons;
  for (int i = 0; i < 32; ++i) colons += i == 0 ? "AB" : ":AB";
  EXPECT_TRUE(credential_of_json(R"({"kind":"certificate","fingerprint":")" + colons + "\"}", "p").ok());
  for (const char* wrong :
       {R"({"kind":"certificate"})", R"({"kind":"key"})", R"({"kind":"certificate","fingerprint":"ab"})",
        R"({"kind":"certificate","certificate":"-----BEGIN CERTIFICATE-----"})",
        R"({"kind":"token","state":"revoked"})", R"({"kind":"token","fingerprint":"ab"})",
        R"({"kind":"token","expires_ms":-1})", R"({})", R"([])"})
    EXPECT_FALSE(credential_of_json(wrong, "pump").ok()) << wrong;
  const auto change = credential_change_of_json(R"({"state":"revoked","expires_ms":null})", {"pump", "", "x"});
  ASSERT_TRUE(change.ok());
  EXPECT_EQ(change->state, CredentialState::revoked);
  EXPECT_EQ(change->expires, 0);
  for (const char* wrong : {"{}", "[]", R"({"state":"gone"})", R"({"expires_ms":"x"})", R"({"roles":[]})"})
    EXPECT_FALSE(credential_change_of_json(wrong, {}).ok()) << wrong;
}

}  // namespace heptane::iot::devices
