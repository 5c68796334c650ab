// What gateways ask, over a directory made by hand.
#include "kernel/auth/gate.h"

#include <gtest/gtest.h>

#include <thread>

#include "kernel/base/base64.h"
#include "sim/sim_clock.h"

namespace heptane::auth {
namespace {

using Outcome = SaslStep::Outcome;

struct World {
  explicit World(AuthOptions options = {true, false, 4096}) : gate(options, clock, random) {
    User alice{16, 1, false, gate.make_verifiers("correct horse"), {"reader"}};
    User device{17, 1, true, {}, {"writer"}};
    directory.users["alice"] = std::make_shared<const User>(alice);
    directory.users["device"] = std::make_shared<const User>(device);
    secret = gate.make_token();
    Token token;
    token.owner = "alice";
    token.owner_id = 16;
    token.expires = clock.utc_ns() + 1000;
    directory.tokens[secret.hash] = std::make_shared<const Token>(token);
    publish();
  }
  void publish() {
    gate.store().start(std::make_shared<const Directory>(directory), [] { return Sequence{0}; });
  }

  sim::SimClock clock;
  SeededRandom random{7};
  Gate gate;
  Directory directory;
  Gate::NewToken secret;
  Peer near{"127.0.0.1", false, true, "", "", "kafka"};
  Peer far{"192.0.2.1", true, false, "", "", "kafka"};
};

TEST(Gate, Passwords) {
  World world;
  const Result<Identity> alice = world.gate.by_password("alice", "correct horse", world.near);
  ASSERT_TRUE(alice.ok());
  EXPECT_EQ(alice->principal.id, 16u);
  EXPECT_TRUE(world.gate.by_password("alice", "correct horse", world.near).ok()) << "from memory";
  const Result<Identity> wrong = world.gate.by_password("alice", "battery staple", world.near);
  const Result<Identity> nobody = world.gate.by_password("nobody", "battery staple", world.near);
  ASSERT_FALSE(wrong.ok());
  ASSERT_FALSE(nobody.ok());
  EXPECT_EQ(wrong.error().message, nobody.error().message);
  EXPECT_FALSE(world.gate.by_password("device", "", world.near).ok()) << "no password is no empty password";
  EXPECT_EQ(world.gate.incidents().failed_total(), 3u);
}

TEST(Gate, APasswordIsProvedInHalvesOfWhichTheCostlyOneIsAnyThreads) {
  World world;
  for (const bool right : {true, false}) {
    Proving proving = world.gate.prove("alice", right ? "correct horse" : "battery staple", world.far);
    auto* proof = std::get_if<std::unique_ptr<PasswordProof>>(&proving);
    ASSERT_NE(proof, nullptr);
    std::thread([&] { (*proof)->run(); }).join();
    EXPECT_EQ((*proof)->finish().ok(), right);
  }
  Proving again = world.gate.prove("alice", "correct horse", world.far);
  ASSERT_NE(std::get_if<Result<Identity>>(&again), nullptr) << "from memory";
  Proving unrun = world.gate.prove("alice", "horse correct", world.far);
  EXPECT_FALSE(std::get<std::unique_ptr<PasswordProof>>(unrun)->finish().ok()) << "what was not run proves nothing";
  Proving nobody = world.gate.prove("nobody", "correct horse", world.far);
  auto& proof = std::get<std::unique_ptr<PasswordProof>>(nobody);
  proof->run();
  EXPECT_FALSE(proof->finish().ok());
  Proving token = world.gate.prove("token", world.secret.secret, world.far);
  ASSERT_NE(std::get_if<Result<Identity>>(&token), nullptr) << "one hash";
  EXPECT_TRUE(std::get<Result<Identity>>(token).ok());
}

TEST(Gate, PasswordsBeyondAsciiArePrepared) {
  World world;
  User alice = *world.directory.user("alice");
  alice.verifiers = world.gate.make_verifiers(*new_password("na\xc3\xafve \xe2\x85\xa8"));
  world.directory.users["alice"] = std::make_shared<const User>(alice);
  world.publish();
  for (const char* same : {"na\xc3\xafve IX", "nai\xcc\x88ve \xe2\x85\xa8", "na\xc3\xaf\xc2\xadve\xc2\xa0IX"})
    EXPECT_TRUE(world.gate.by_password("alice", same, world.near).ok()) << same;
  for (const char* other : {"naive IX", "na\xefve IX", "na\xc3\xafve ix", "na\xc3\xafve IX\x07"})
    EXPECT_FALSE(world.gate.by_password("alice", other, world.near).ok()) << other;
}

TEST(Gate, ARememberedPasswordEndsWithItsUserOrVerifier) {
  World world;
  ASSERT_TRUE(world.gate.by_password("alice", "correct horse", world.near).ok());
  User alice = *world.directory.user("alice");
  alice.verifiers = world.gate.make_verifiers("another one");
  ++alice.version;
  world.directory.users["alice"] = std::make_shared<const User>(alice);
  world.publish();
  EXPECT_FALSE(world.gate.by_password("alice", "correct horse", world.near).ok());
  EXPECT_TRUE(world.gate.by_password("alice", "another one", world.near).ok());
}

TEST(Gate, PasswordsThatMustBeComputedAreLimited) {
  World world;
  ASSERT_TRUE(world.gate.by_password("alice", "correct horse", world.near).ok());
  Errc last = Errc::internal;
  for (uint32_t i = 0; i < Gate::kComputedPerSecond; ++i)
    last = world.gate.by_password("alice", "guess " + std::to_string(i), world.far).error().code;
  EXPECT_EQ(last, Errc::overloaded);
  EXPECT_TRUE(world.gate.by_password("alice", "correct horse", world.near).ok()) << "who is known gets in";
  world.clock.advance(1'000'000'000);
  EXPECT_EQ(world.gate.by_password("alice", "guess", world.far).error().code, Errc::unauthorised);
}

TEST(Gate, TokensAndTheirEnd) {
  World world;
  const Result<Identity> by_token = world.gate.by_token(world.secret.secret, world.near);
  ASSERT_TRUE(by_token.ok());
  EXPECT_EQ(by_token->name, "alice");
  EXPECT_TRUE(world.gate.by_password("token", world.secret.secret, world.near).ok());
  EXPECT_TRUE(world.gate.in_force(*by_token));
  EXPECT_FALSE(world.gate.by_token("hpt_0000", world.near).ok());
  world.clock.advance(1000);
  EXPECT_FALSE(world.gate.in_force(*by_token)) << "over, even before the log says so";
  world.directory.tokens.clear();
  world.publish();
  EXPECT_FALSE(world.gate.in_force(*by_token));
}

TEST(Gate, MechanismsDependOnWhoListensIn) {
  World world;
  const std::vector<std::string_view> open{"SCRAM-SHA-512", "SCRAM-SHA-256"};
  EXPECT_EQ(world.gate.mechanisms(world.near), open);
  EXPECT_EQ(world.gate.mechanisms(world.far).back(), "PLAIN");
  World trusting({true, true, 4096});
  EXPECT_EQ(trusting.gate.mechanisms(trusting.near).back(), "PLAIN");
  Peer stranger = trusting.near;
  stranger.loopback = false;
  EXPECT_EQ(trusting.gate.mechanisms(stranger), open);
}

TEST(Gate, Plain) {
  World world;
  const auto plain = [&](std::string_view message) {
    return world.gate.begin("PLAIN", world.far)->step(as_bytes(message));
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(plain("\0alice\0correct horse"sv).outcome, Outcome::done);
  EXPECT_EQ(plain("alice\0alice\0correct horse"sv).outcome, Outcome::done);
  EXPECT_EQ(plain("bob\0alice\0correct horse"sv).outcome, Outcome::refused);
  EXPECT_EQ(plain("\0alice\0correct"sv).outcome, Outcome::refused);
  EXPECT_EQ(plain("alice"sv).outcome, Outcome::refused);
  EXPECT_EQ(plain(""sv).outcome, Outcome::refused);
}

TEST(Gate, Certificates) {
  World world;
  Peer peer = world.far;
  peer.certificate_name = "device";
  ASSERT_TRUE(world.gate.by_certificate(peer).has_value());
  EXPECT_EQ(world.gate.by_certificate(peer)->principal.id, 17u);
  peer.encrypted = false;
  EXPECT_FALSE(world.gate.by_certificate(peer).has_value());
  peer.encrypted = true;
  peer.certificate_name = "alice";
  EXPECT_FALSE(world.gate.by_certificate(peer).has_value()) << "alice has not been told to trust certificates";
}

TEST(Gate, DenialsAreCountedAndHandedOverOnceASecond) {
  World world;
  const Identity alice = *world.gate.by_password("alice", "correct horse", world.near);
  EXPECT_TRUE(world.gate.allows(alice, "127.0.0.1", "streams", "orders", Verb::read));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(world.gate.allows(alice, "127.0.0.1", "streams", "orders", Verb::write));
  for (int i = 0; i < 1000; ++i)
    EXPECT_FALSE(world.gate.allows(alice, "127.0.0.1", "streams", "s" + std::to_string(i), Verb::write));
  Incidents& incidents = world.gate.incidents();
  const std::optional<Buffer> payload = incidents.take(5);
  ASSERT_TRUE(payload.has_value());
  const Result<Report> report = decode_report(payload->view());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->rows.size(), kReportRowsLimit);
  EXPECT_EQ(report->rows[0].count, 1000u);
  EXPECT_EQ(report->rows[0].what, "streams:orders write");
  EXPECT_EQ(report->others, 1000 - (kReportRowsLimit - 1));
  EXPECT_FALSE(world.gate.allows(alice, "127.0.0.1", "streams", "orders", Verb::write));
  EXPECT_FALSE(incidents.take(6).has_value()) << "at most one a second";
  EXPECT_EQ(incidents.due_ns(), 5 + Incidents::kIntervalNs);
  EXPECT_TRUE(incidents.take(incidents.due_ns()).has_value());
}

TEST(Gate, WhileItIsOffEverybodyMayDoEverything) {
  World world({false, false, 4096});
  EXPECT_TRUE(world.gate.in_force(Identity{}));
  EXPECT_TRUE(world.gate.allows(Identity{}, "127.0.0.1", "streams", "audit", Verb::remove));
  EXPECT_TRUE(world.gate.sees(Identity{}, "groups", "g"));
}

}  // namespace
}  // namespace heptane::auth
