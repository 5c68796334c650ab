// Passwords of those who connect, on a worker: CONNECT and what is behind it wait, nobody else does.

#include <gtest/gtest.h>

#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::test {
namespace {

// Everybody's password is `right`; tokens are known at once.
class Passwords final : public auth::Authenticator, public auth::Rules {
 public:
  class Proof final : public auth::PasswordProof {
   public:
    Proof(Passwords& of, bool right) : of_(of), right_(right) {}
    void run() override {
      ++of_.ran;
      ran_ = true;
    }
    bool may_run_here() override { return of_.here-- > 0; }
    Result<auth::Identity> finish() override {
      ++of_.finished;
      if (ran_ && right_) return auth::Identity{};
      return Error{Errc::unauthorised, "wrong", 0};
    }

   private:
    Passwords& of_;
    const bool right_;
    bool ran_ = false;
  };

  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {"PLAIN"}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view, const auth::Peer&) override { return nullptr; }
  auth::Proving prove(std::string_view user, std::string_view password, const auth::Peer&) override {
    if (user == "token") return Result<auth::Identity>(auth::Identity{});
    return std::make_unique<Proof>(*this, password == "right");
  }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override { return std::nullopt; }
  bool in_force(const auth::Identity&) const override { return counts; }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {
    return true;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return true; }
  std::optional<auth::Role> grants(const auth::Identity&, std::string_view) const override {
    return auth::Role{{"mqtt", "*", auth::kAllVerbs}};
  }
  uint64_t generation() const override { return 1; }
  void note_denied(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {}

  int here = 0;  // how many may be computed on the I/O thread
  int finished = 0;
  int ran = 0;
  bool counts = true;
};

class ConnectProof : public testing::Test {
 protected:
  ConnectProof() {
    options_.authenticator = &passwords_;
    options_.rules = &passwords_;
    world_ = std::make_unique<World>(options_);
  }
  static std::string connect(const std::string& id, const std::string& user, const std::string& password) {
    std::string body = bytes_of("s4 'MQTT' 05 C2 k0 00");
    for (const std::string& text : {id, user, password}) {
      body += '\0';
      body += static_cast<char>(text.size());
      body += text;
    }
    return bytes_of("10 r" + std::to_string(body.size())) + body;
  }
  std::string first(const std::string& name) {
    const std::string all = world_->take_output(name);
    return all.empty() ? "" : hex_of(all.substr(0, 1) + all.substr(3, 1));
  }

  Passwords passwords_;
  mqtt::MqttOptions options_;
  std::unique_ptr<World> world_;
};

TEST_F(ConnectProof, WhatIsBehindConnectWaitsForItsPassword) {
  world_->hold(true);
  world_->send("a", connect("a", "u", "right") + bytes_of("C0 00"));
  EXPECT_EQ(world_->take_output("a"), "");
  EXPECT_TRUE(world_->client("a").context->paused());
  EXPECT_EQ(world_->broker().find(std::string_view("a")), nullptr) << "nobody is there before";
  world_->send("b", connect("b", "token", "x"));
  EXPECT_EQ(first("b"), "2000") << "whoever needs no worker does not wait";
  world_->hold(false);
  world_->settle();
  const std::string said = world_->take_output("a");
  EXPECT_TRUE(said.ends_with(bytes_of("D0 00"))) << hex_of(said);
  EXPECT_FALSE(world_->client("a").context->paused());
  EXPECT_EQ(world_->broker().proofs().running(), 0U);
}

TEST_F(ConnectProof, AWrongPasswordIsToldAndCloses) {
  world_->send("a", connect("a", "u", "wrong"));
  EXPECT_EQ(first("a"), "2086");
  EXPECT_TRUE(world_->client("a").context->closed);
  EXPECT_EQ(world_->broker().proofs().running(), 0U);
}

TEST_F(ConnectProof, SoManyAtOnceAndTheRestInTheirOrder) {
  world_->hold(true);
  constexpr size_t kMore = 5;
  const size_t all = mqtt::Proofs::kAtOnce + kMore;
  for (size_t i = 0; i < all; ++i) {
    const std::string name = "c" + std::to_string(100 + i);
    world_->send(name, connect(name, "u", "right"));
  }
  EXPECT_EQ(world_->broker().proofs().running(), mqtt::Proofs::kAtOnce);
  EXPECT_EQ(world_->broker().proofs().waiting(), kMore);
  // One that waits goes, one under way goes: its place is another's.
  world_->break_off("c117");
  world_->break_off("c100");
  world_->pass_time(20'000'000);
  EXPECT_EQ(world_->broker().proofs().running(), mqtt::Proofs::kAtOnce);
  EXPECT_EQ(world_->broker().proofs().waiting(), kMore - 2);
  world_->hold(false);
  world_->settle();
  EXPECT_EQ(world_->broker().proofs().running() + world_->broker().proofs().waiting(), 0U);
  EXPECT_EQ(world_->broker().clients().size(), all - 2);
}

TEST_F(ConnectProof, TheDeadlineOfConnectGoesOn) {
  world_->hold(true);
  world_->send("a", connect("a", "u", "right"));
  world_->pass_time(int64_t{11} * 1'000'000'000);
  EXPECT_TRUE(world_->client("a").context->closed);
  EXPECT_EQ(world_->broker().proofs().running(), 0U);
  EXPECT_EQ(passwords_.finished, 0);
}

// The clients are gone, the worker has their jobs still.
TEST_F(ConnectProof, WhoHangsUpLeavesItsPlaceWhenItsJobHasEnded) {
  world_->hold(true);
  for (size_t i = 0; i < mqtt::Proofs::kAtOnce; ++i) {
    const std::string name = "c" + std::to_string(100 + i);
    world_->send(name, connect(name, "u", "right"));
  }
  world_->pass_time(int64_t{11} * 1'000'000'000);
  EXPECT_TRUE(world_->client("c100").context->closed);
  world_->send("n", connect("n", "u", "right"));
  EXPECT_EQ(world_->broker().proofs().running(), 0U);
  EXPECT_EQ(world_->broker().proofs().waiting(), 1U);
  world_->pass_time(20'000'000);
  EXPECT_EQ(world_->broker().proofs().waiting(), 1U);
  world_->break_off("c100");  // its job with it
  world_->pass_time(20'000'000);
  EXPECT_EQ(world_->broker().proofs().running(), 1U);
  world_->hold(false);
  world_->settle();
  EXPECT_EQ(first("n"), "2000");
}

TEST_F(ConnectProof, WhatNobodyWaitsForIsNotComputed) {
  mqtt::ProofJob dropped(std::make_unique<Passwords::Proof>(passwords_, true));
  dropped.drop();
  dropped.run();
  EXPECT_TRUE(dropped.ended());
  EXPECT_EQ(passwords_.ran, 0);
  mqtt::ProofJob wanted(std::make_unique<Passwords::Proof>(passwords_, true));
  wanted.run();
  EXPECT_EQ(passwords_.ran, 1);
}

TEST_F(ConnectProof, NobodyGuessesFasterThanSoManyASecond) {
  constexpr size_t kMore = 5;
  for (size_t i = 0; i < mqtt::Proofs::kWrongPerSecond + kMore; ++i) {
    const std::string name = "r" + std::to_string(i);
    world_->send(name, connect(name, "u", "right"));
    EXPECT_EQ(first(name), "2000") << "who is right does not count";
  }
  for (size_t i = 0; i < mqtt::Proofs::kWrongPerSecond + kMore; ++i) {
    const std::string name = "w" + std::to_string(i);
    world_->send(name, connect(name, "u", "wrong"));
    EXPECT_EQ(first(name), i < mqtt::Proofs::kWrongPerSecond ? "2086" : "");
  }
  world_->send("a", connect("a", "u", "right"));
  EXPECT_EQ(first("a"), "");
  EXPECT_EQ(world_->broker().proofs().waiting(), kMore + 1);
  world_->pass_time(1'000'000'000);
  EXPECT_EQ(world_->broker().proofs().waiting(), 0U);
  EXPECT_EQ(first("a"), "2000");
}

// Passwords that wait, out of networks; a job that is started has ended.
class ProofQueue : public testing::Test {
 protected:
  bool enter(const std::string& network, size_t bytes = 100) {
    const size_t at = proofs_.size();
    const auto start = [this, network, at] {
      started_.push_back(network);
      proofs_[at]->job()->run();
      return true;
    };
    proofs_.push_back(std::make_unique<mqtt::Proof>(queue_, std::make_unique<Passwords::Proof>(passwords_, false),
                                                    network, std::string(bytes, 'x'),
                                                    mqtt::Proof::Calls{start, [] {}}));
    return queue_.enter(*proofs_[at]);
  }

  Passwords passwords_;
  mqtt::Proofs queue_;
  std::vector<std::string> started_;
  std::vector<std::unique_ptr<mqtt::Proof>> proofs_;
};

TEST_F(ProofQueue, NetworksTakeTurnsSoThatAFloodStandsInNobodysWay) {
  for (size_t i = 0; i < mqtt::Proofs::kAtOnce + 1'000; ++i) ASSERT_TRUE(enter("flood"));
  ASSERT_TRUE(enter("newcomer"));
  ASSERT_TRUE(enter("another"));
  for (size_t i = 0; i < 3; ++i) proofs_[i].reset();
  const std::vector<std::string> behind(started_.begin() + mqtt::Proofs::kAtOnce, started_.end());
  EXPECT_EQ(behind, (std::vector<std::string>{"newcomer", "another", "flood"}));
  // Who goes while it waits leaves the others their turns.
  for (size_t i = 3; i < 900; ++i) proofs_[i].reset();
  proofs_.clear();
  EXPECT_EQ(queue_.waiting() + queue_.running(), 0U);
}

TEST_F(ProofQueue, OneNetworkDoesNotTakeAllTheMemory) {
  constexpr size_t kPacket = size_t{1} << 20;
  for (size_t i = 0; i < mqtt::Proofs::kNetworkBytesMax / kPacket; ++i) ASSERT_TRUE(enter("flood", kPacket));
  EXPECT_FALSE(enter("flood", kPacket));
  EXPECT_TRUE(enter("newcomer", kPacket));
  proofs_.clear();
  EXPECT_TRUE(enter("flood", kPacket));
  proofs_.clear();
}

TEST_F(ConnectProof, WhoIsRevokedMeanwhileDoesNotGetIn) {
  world_->hold(true);
  world_->send("a", connect("a", "u", "right"));
  passwords_.counts = false;
  world_->hold(false);
  world_->settle();
  EXPECT_EQ(first("a"), "2086");
}

TEST_F(ConnectProof, WithoutAWorkerSoManyAsTheAuthenticatorAllows) {
  passwords_.here = 1;
  for (const char* name : {"a", "b"}) world_->client(name).context->queue_full = true;
  world_->send("a", connect("a", "u", "right"));
  world_->pass_time(0);
  EXPECT_EQ(first("a"), "2000");
  world_->send("b", connect("b", "u", "right"));
  world_->pass_time(0);
  EXPECT_EQ(first("b"), "2089") << "server busy";
  EXPECT_EQ(world_->broker().proofs().running(), 0U);
}

// Its turn comes by another's end. A connection that has begun to close hears of nothing but on_close.
TEST_F(ConnectProof, WhoseTurnComesByAnothersEndIsLetInByItsOwnConnection) {
  passwords_.here = 2;
  world_->send("there", connect("b", "token", "x"));
  EXPECT_EQ(first("there"), "2000");
  world_->hold(true);
  world_->send("a", connect("a", "u", "right"));
  for (const char* name : {"b", "c"}) {
    world_->client(name).context->queue_full = true;
    world_->send(name, connect(name, "u", "right"));
  }
  EXPECT_EQ(world_->broker().proofs().waiting(), 2U);
  world_->hold(false);
  world_->settle();
  EXPECT_EQ(first("a"), "2000");
  EXPECT_EQ(passwords_.ran, 1) << "nothing is computed in another's name";
  EXPECT_FALSE(world_->client("there").context->closed) << "nobody was taken over";
  world_->break_off("b");
  EXPECT_FALSE(world_->client("there").context->closed);
  world_->pass_time(0);
  EXPECT_EQ(first("c"), "2000");
  EXPECT_EQ(passwords_.ran, 2);
  EXPECT_EQ(world_->broker().proofs().running() + world_->broker().proofs().waiting(), 0U);
}

TEST_F(ConnectProof, ADurableSessionIsOpenedBehindIt) {
  std::string body = bytes_of("s4 'MQTT' 05 C0 k0 05 11 L100 s1 'd' s1 'u' s5 'right'");
  world_->send("d", bytes_of("10 r" + std::to_string(body.size())) + body);
  EXPECT_EQ(first("d"), "2000");
  EXPECT_EQ(world_->machine().sessions().size(), 1U);
}

}  // namespace
}  // namespace heptane::iot::test
