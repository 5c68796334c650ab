// Templates, claims and what they make, as commands of the machine; every way that it must not go.
#include <gtest/gtest.h>

#include "modules/iot/gateway/devices/provisioning_json.h"
#include "modules/iot/test/provisioning_rig.h"

namespace heptane::iot::devices {

namespace {

using test::hash_of;
using test::kSecond;

ProvisioningTemplate meters() {
  auto of = template_of_json(R"({"parameters":{"SerialNumber":null,"Site":"north"},"thing":"meter-${SerialNumber}",
    "type":"meter","attributes":{"site":"${Site}","serial":"${SerialNumber}","cert":"${AWS::IoT::Certificate::Id}"},
    "tags":["new"],"groups":["plant"],"roles":["meter"],"configuration":{"rate": 10}})",
                             "meters");
  EXPECT_TRUE(of.ok()) << of.error().message;
  return of ? *of : ProvisioningTemplate();
}

class Provisioning : public testing::Test {
 protected:
  Provisioning() {
    EXPECT_TRUE(put(meters()).ok());
    claim_ = add_claim("line-1", {"meters", "gone"});
  }
  Reply put(const ProvisioningTemplate& of) { return rig_.apply(rig_.machine, kPutTemplate, encode(of)); }
  Principal add_claim(const std::string& name, Credential::Names templates) {
    Credential claim;
    claim.hash = hash_of("claim " + name);
    claim.claim = name;
    claim.templates = std::move(templates);
    EXPECT_TRUE(rig_.add(claim).ok());
    return rig_.proof(CredentialKind::certificate, claim.hash)->principal();
  }
  Reply issue(const std::string& certificate, const std::string& token, Principal by, LogTime lifetime = 60 * kSecond) {
    return rig_.apply(
        rig_.machine, kIssueCertificate,
        encode(IssueCertificate{hash_of(certificate), hash_of(token), lifetime, rig_.now + 900 * kSecond}), by);
  }
  Reply provision(const std::string& token, const Parameters& said, Principal by, const std::string& of = "meters") {
    return rig_.apply(rig_.machine, kProvision, encode(ProvisionThing{hash_of(token), of, said}), by);
  }

  void enroll(const std::string& name) {
    Thing thing;
    thing.name = name;
    ASSERT_TRUE(rig_.apply(rig_.devices, kCreateThings, encode_things({thing})).ok());
  }

  test::ProvisioningRig rig_;
  Principal claim_;
};

}  // namespace

TEST_F(Provisioning, AClaimsCertificateBecomesAThingsCredential) {
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  EXPECT_FALSE(rig_.proof(CredentialKind::certificate, hash_of("c"))) << "it is nobody's yet";
  rig_.restore();
  rig_.trail.told.clear();
  const Reply reply = provision("t", {{"SerialNumber", "7"}}, claim_);
  ASSERT_TRUE(reply.ok()) << reply.message;
  const auto provisioned = decode_provisioned(reply.payload.view());
  ASSERT_TRUE(provisioned);
  EXPECT_EQ(provisioned->thing, "meter-7");
  EXPECT_EQ(provisioned_answer(provisioned->thing, provisioned->configuration),
            R"({"deviceConfiguration":{"rate": 10},"thingName":"meter-7"})");
  const auto row = rig_.devices.registry().find("meter-7");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->thing.type, "meter");
  EXPECT_EQ(row->thing.attributes,
            (decltype(row->thing.attributes){{"cert", id_of_hash(hash_of("c"))}, {"serial", "7"}, {"site", "north"}}));
  EXPECT_TRUE(row->thing.groups.contains("plant") && row->thing.tags.contains("new"));
  const auto own = rig_.proof(CredentialKind::certificate, hash_of("c"));
  ASSERT_TRUE(own);
  EXPECT_EQ(own->credential.thing, "meter-7");
  EXPECT_EQ(own->credential.roles, (Credential::Names{"meter"}));
  EXPECT_EQ(own->credential.expires, rig_.now + 900 * kSecond) << "it ends with its certificate";
  EXPECT_EQ(rig_.trail.told, (std::vector<std::string>{"devices.provision meter-7: template meters, certificate " +
                                                       short_id(hash_of("c"))}));
  EXPECT_EQ(provision("t", {{"SerialNumber", "8"}}, claim_).error, Errc::unauthorised) << "a token is good once";
  rig_.restore();
}

TEST_F(Provisioning, ATokenIsItsClaimsAndHasAnEnd) {
  const Principal other = add_claim("line-2", {"meters"});
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  EXPECT_EQ(provision("x", {{"SerialNumber", "7"}}, claim_).error, Errc::unauthorised);
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, other).error, Errc::unauthorised);
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, {}).error, Errc::unauthorised) << "an operator is no claim";
  rig_.now += 60 * kSecond;
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_).error, Errc::unauthorised);
  EXPECT_EQ(rig_.devices.registry().size(), 0U);
  ASSERT_TRUE(issue("d", "u", claim_).ok());
  EXPECT_EQ(rig_.machine.pending().size(), 1U) << "what is over is swept";
}

TEST_F(Provisioning, AClaimHasItsTemplatesAndNoOthers) {
  ProvisioningTemplate other = meters();
  other.name = "pumps";
  ASSERT_TRUE(put(other).ok());
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_, "pumps").error, Errc::not_found);
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_, "gone").error, Errc::not_found);
  ProvisioningTemplate off = meters();
  off.enabled = false;
  ASSERT_TRUE(put(off).ok());
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_).error, Errc::not_found);
  ASSERT_TRUE(put(meters()).ok());
  EXPECT_TRUE(provision("t", {{"SerialNumber", "7"}}, claim_).ok()) << "a refusal used nothing up";
}

TEST_F(Provisioning, WhatIsSaidIsWhatTheTemplateDeclares) {
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  for (const Parameters& wrong :
       {Parameters{}, Parameters{{"SerialNumber", "7"}, {"More", "x"}}, Parameters{{"SerialNumber", "a/b"}},
        Parameters{{"SerialNumber", ""}, {"Site", "x\ny"}}, Parameters{{"SerialNumber", std::string(1'025, 'x')}}})
    EXPECT_EQ(provision("t", wrong, claim_).error, Errc::invalid_argument);
  EXPECT_EQ(rig_.devices.registry().size(), 0U);
  ASSERT_TRUE(provision("t", {{"SerialNumber", "7"}, {"Site", "south ${SerialNumber}"}}, claim_).ok());
  EXPECT_EQ(rig_.devices.registry().find("meter-7")->thing.attributes.at("site"), "south ${SerialNumber}")
      << "what a device says is no pattern";
}

TEST_F(Provisioning, NobodyGetsAThingThatSomebodyHas) {
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  ASSERT_TRUE(provision("t", {{"SerialNumber", "7"}}, claim_).ok());
  ProvisioningTemplate any = meters();
  any.things = TemplateThings::any;
  ASSERT_TRUE(issue("d", "u", claim_).ok());
  EXPECT_EQ(provision("u", {{"SerialNumber", "7"}}, claim_).error, Errc::exists) << "it is made and not taken";
  ASSERT_TRUE(put(any).ok());
  EXPECT_EQ(provision("u", {{"SerialNumber", "7"}}, claim_).error, Errc::exists) << "it has a credential that counts";
  for (const CredentialState state : {CredentialState::inactive, CredentialState::revoked}) {
    ASSERT_TRUE(rig_.change({"meter-7", "", hash_of("c")}, state).ok());
    EXPECT_EQ(provision("u", {{"SerialNumber", "7"}}, claim_).error, Errc::exists) << "an operator took it back";
  }
  ASSERT_TRUE(rig_.drop({"meter-7", "", hash_of("c")}).ok());
  EXPECT_TRUE(provision("u", {{"SerialNumber", "7"}}, claim_).ok());
  rig_.now += 900 * kSecond;
  ASSERT_TRUE(issue("f", "w", claim_).ok());
  EXPECT_TRUE(provision("w", {{"SerialNumber", "7"}}, claim_).ok()) << "what is over holds nothing";
  any.things = TemplateThings::registered;
  ASSERT_TRUE(put(any).ok());
  ASSERT_TRUE(issue("e", "v", claim_).ok());
  EXPECT_EQ(provision("v", {{"SerialNumber", "8"}}, claim_).error, Errc::not_found);
  Thing listed;
  listed.name = "meter-8";
  listed.attributes = {{"owner", "x"}};
  ASSERT_TRUE(rig_.apply(rig_.devices, kCreateThings, encode_things({listed})).ok());
  ASSERT_TRUE(provision("v", {{"SerialNumber", "8"}}, claim_).ok());
  EXPECT_EQ(rig_.devices.registry().find("meter-8")->thing.attributes.at("owner"), "x") << "what is not said stays";
}

TEST_F(Provisioning, ACertificateThatBecameSomebodysMeanwhileIsNobodyElses) {
  enroll("pump-1");
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  ASSERT_TRUE(rig_.add(test::credential_of("pump-1", "c")).ok());
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_).error, Errc::exists);
  EXPECT_FALSE(rig_.devices.registry().has("meter-7"));
  ASSERT_TRUE(issue("d", "u", claim_).ok());
  Credential other;
  other.hash = hash_of("d");
  other.claim = "line-2";
  other.templates = {"meters"};
  ASSERT_TRUE(rig_.add(other).ok());
  EXPECT_EQ(provision("u", {{"SerialNumber", "8"}}, claim_).error, Errc::exists);
  EXPECT_EQ(rig_.devices.registry().size(), 1U);
}

// The name is all that the gateway goes by: rights, durable sessions, the thing.
TEST_F(Provisioning, NobodyBecomesAUser) {
  rig_.trail.users = {"meter-7"};
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_).error, Errc::exists);
  EXPECT_FALSE(rig_.devices.registry().has("meter-7"));
  EXPECT_TRUE(provision("t", {{"SerialNumber", "8"}}, claim_).ok()) << "the token was not used up";
}

TEST_F(Provisioning, ADeviceIsNoClaimAndARevokedClaimIsNone) {
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  ASSERT_TRUE(issue("d", "u", claim_).ok());
  ASSERT_TRUE(provision("t", {{"SerialNumber", "7"}}, claim_).ok());
  const Principal device = rig_.proof(CredentialKind::certificate, hash_of("c"))->principal();
  EXPECT_EQ(issue("e", "v", device).error, Errc::unauthorised);
  EXPECT_EQ(provision("u", {{"SerialNumber", "8"}}, device).error, Errc::unauthorised);
  ASSERT_TRUE(rig_.change({"", "line-1", ""}, CredentialState::revoked).ok());
  EXPECT_EQ(provision("u", {{"SerialNumber", "8"}}, claim_).error, Errc::unauthorised);
  EXPECT_TRUE(rig_.machine.in_force(device)) << "what it provisioned stays";
  EXPECT_TRUE(rig_.drop({"", "line-1", ""}).ok());
}

// Whoever has the claim may ask for certificates, but not keep the fleet from being provisioned.
TEST_F(Provisioning, WhatWaitsIsBoundedForEachClaimAndTheOldestGivesWay) {
  rig_.kernel.config["provisioning.max_pending"] = "3";
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(issue("c" + std::to_string(i), "t" + std::to_string(i), claim_).ok());
    rig_.now += kSecond;
  }
  ASSERT_TRUE(issue("o", "o", add_claim("line-2", {"meters"})).ok());
  EXPECT_EQ(issue("c0", "t0", claim_).error, Errc::exists);
  EXPECT_TRUE(issue("c3", "t3", claim_).ok());
  EXPECT_EQ(rig_.machine.pending().size(), 4U) << "of the other claim none is gone";
  rig_.restore();
  EXPECT_EQ(provision("t0", {{"SerialNumber", "0"}}, claim_).error, Errc::unauthorised);
  EXPECT_TRUE(provision("t1", {{"SerialNumber", "1"}}, claim_).ok());
  rig_.kernel.config["provisioning.max_pending"] = "1";
  EXPECT_TRUE(issue("c4", "t4", claim_).ok());
  EXPECT_EQ(rig_.machine.pending().size(), 2U);
  EXPECT_TRUE(provision("t4", {{"SerialNumber", "4"}}, claim_).ok());
}

TEST_F(Provisioning, ThingsLimitsHold) {
  rig_.kernel.config["devices.max_attributes"] = "2";
  ASSERT_TRUE(issue("c", "t", claim_).ok());
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_).error, Errc::invalid_argument);
  rig_.kernel.config["devices.max_attributes"] = "3";
  rig_.kernel.config["devices.max_things"] = "0";
  EXPECT_EQ(provision("t", {{"SerialNumber", "7"}}, claim_).error, Errc::overloaded);
  EXPECT_FALSE(rig_.proof(CredentialKind::certificate, hash_of("c")));
}

TEST_F(Provisioning, CommandsThatAreCutOffAreRefused) {
  const std::string before = rig_.state();
  for (const auto& [type, payload] :
       {std::pair{kPutTemplate, encode(meters())},
        std::pair{kIssueCertificate, encode(IssueCertificate{hash_of("c"), hash_of("t"), kSecond, kSecond})},
        std::pair{kProvision, encode(ProvisionThing{hash_of("t"), "meters", {{"SerialNumber", "7"}}})}})
    for (size_t length = 0; length < payload.size(); ++length)
      EXPECT_EQ(rig_.apply(rig_.machine, type, payload.slice(0, length), claim_).error, Errc::invalid_argument);
  EXPECT_EQ(rig_.state(), before);
}

TEST(ProvisioningTemplates, WhatIsNoneIsTold) {
  for (const char* wrong :
       {"{}", R"({"thing":"x","more":1})", R"({"thing":"${A}"})", R"({"thing":"${A","parameters":{"A":null}})",
        R"({"thing":"x","attributes":{"a":"${B}"}})", R"({"thing":"x","attributes":{"a":1}})",
        R"({"thing":"x","things":"all"})", R"({"thing":"x","parameters":{"a b":null}})", R"({"thing":"x","enabled":1})",
        R"({"thing":"x","parameters":{"AWS::IoT::Certificate::Id":null}})", R"({"thing":"x","configuration":[]})",
        R"({"thing":"x","groups":["a b"]})", R"({"thing":"x","roles":["a b"]})", R"({"thing":""})"})
    EXPECT_FALSE(template_of_json(wrong, "t").ok()) << wrong;
  EXPECT_FALSE(template_of_json(R"({"thing":"x"})", "a b").ok());
  EXPECT_FALSE(template_of_json(R"({"thing":"x","configuration":{"a":")" + std::string(5'000, 'x') + "\"}}", "t").ok());
}

TEST(ProvisioningTopics, AreAWSs) {
  EXPECT_TRUE(parse_provisioning_topic("$aws/certificates/create-from-csr/json")->provision_by.empty());
  EXPECT_EQ(parse_provisioning_topic("$aws/provisioning-templates/t-1/provision/json")->provision_by, "t-1");
  for (const char* none :
       {"$aws/certificates/create/json", "$aws/certificates/create-from-csr/cbor",
        "$aws/provisioning-templates//provision/json", "$aws/provisioning-templates/a/b/provision/json",
        "$aws/provisioning-templates/provision/json", "$aws/certificates/create-from-csr/json/accepted"})
    EXPECT_FALSE(parse_provisioning_topic(none)) << none;
  const Credential::Names templates{"t"};
  for (const char* answer :
       {"$aws/certificates/create-from-csr/json/accepted", "$aws/certificates/create-from-csr/json/+",
        "$aws/provisioning-templates/t/provision/json/rejected"})
    EXPECT_TRUE(is_answer_of_claim(answer, templates)) << answer;
  for (const char* other :
       {"#", "$aws/#", "$aws/certificates/create-from-csr/json/#", "$aws/certificates/+/json/accepted",
        "$aws/provisioning-templates/u/provision/json/rejected",
        "$aws/provisioning-templates/+/provision/json/accepted", "$aws/things/t/shadow/get/accepted"})
    EXPECT_FALSE(is_answer_of_claim(other, templates)) << other;
}

}  // namespace heptane::iot::devices
