// A market data session over FIX, where no script can say it: rights that end, quotas, too many instruments at once.
#include <gtest/gtest.h>

#include "kernel/base/clock.h"
#include "modules/fintech/gateway/fix/status_desk.h"
#include "modules/fintech/test/fix_world.h"

namespace heptane::fintech::fixgate::test {
namespace {

// Everybody is alpha, who may read market data until it is taken away.
class OneRight final : public auth::Authenticator {
 public:
  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view, const auth::Peer&) override { return nullptr; }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override {
    auth::Identity identity;
    identity.name = "alpha";
    return identity;
  }
  bool in_force(const auth::Identity&) const override { return true; }
  bool allows(const auth::Identity&, std::string_view, std::string_view, std::string_view, auth::Verb) override {
    return allowed;
  }
  bool sees(const auth::Identity&, std::string_view, std::string_view) const override { return allowed; }

  bool allowed = true;
};

class SetClock final : public Clock {
 public:
  int64_t monotonic_ns() override { return now; }
  int64_t utc_ns() override { return now; }

  int64_t now = kSecond;
};

class MarketSession {
 public:
  explicit MarketSession(const FixOptions& options = {}) : world(options) {
    world.open_market();
    line_ = &world.connect();
    send("35=A|34=1|98=0|108=3600|141=Y|");
    world.run();
  }
  void send(const std::string& text) { line_->send(message_of(text, "MARKET", world.rig.now)); }
  void set_slow(bool slow) {
    line_->set_output_full(slow);
    if (!slow) line_->session().on_writable(*line_);
  }
  void watch() {
    send("35=V|34=2|262=m|263=1|264=0|265=1|267=3|269=0|269=1|269=2|146=1|55=BTC/USD|");
    world.pass(kSecond);
  }
  // Each at another price, and nothing trades.
  void change_book(int turns) {
    for (int n = 0; n < turns; ++n) {
      world.rig.enter(world.rig.buy("0.1", std::to_string(90 + n % 10)));
      world.pass(2 * market::kConflateNs);
    }
  }
  std::string take() { return std::exchange(line_->out(), {}); }
  bool closed() const { return line_->closed(); }
  static size_t count(const std::string& said, const std::string& type) {
    const std::string field =
        "\x01"
        "35=" +
        type + "\x01";
    size_t found = 0;
    for (size_t at = said.find(field); at != std::string::npos; at = said.find(field, at + 1)) ++found;
    return found;
  }

  FixWorld world;

 private:
  Line* line_ = nullptr;
};

TEST(MarketSession, EndsWithTheRightAndNothingComesBehindTheLogout) {
  OneRight rights;
  MarketSession peer({.authenticator = &rights});
  peer.watch();
  ASSERT_EQ(MarketSession::count(peer.take(), "W"), 1U);
  rights.allowed = false;
  peer.world.pass(2 * kSecond);
  EXPECT_EQ(MarketSession::count(peer.take(), "5"), 1U) << "within a second, whatever HeartBtInt is";
  peer.change_book(5);
  const std::string said = peer.take();
  EXPECT_EQ(MarketSession::count(said, "X") + MarketSession::count(said, "W"), 0U);
  peer.world.pass(60 * kSecond);
  EXPECT_TRUE(peer.closed());
}

TEST(MarketSession, IsToldNoMoreThanItsQuotaAllows) {
  SetClock clock;
  net::Quotas quotas(clock);
  net::QuotaConfig config;
  config.principal.bytes_out = 1'000;
  quotas.configure(config);
  MarketSession peer({.quotas = &quotas});
  peer.watch();
  size_t bytes = peer.take().size();
  for (int n = 0; n < 100; ++n) {
    clock.now += 2 * market::kConflateNs;
    peer.change_book(1);
    bytes += peer.take().size();
  }
  EXPECT_LT(bytes, 5'000U) << "of two seconds";
  clock.now += 20 * kSecond;
  peer.world.pass(20 * kSecond);
  EXPECT_EQ(MarketSession::count(peer.take(), "W"), 1U) << "the whole, when it is paid";
}

TEST(MarketSession, RequestsThatWaitCountAsThoseThatAreOpen) {
  MarketSession peer;
  for (int request = 0; request < 3; ++request) {
    std::string text = "35=V|34=" + std::to_string(2 + request) + "|262=r" + std::to_string(request) +
                       "|263=1|264=0|265=1|267=1|269=0|146=64|";
    for (int n = 0; n < 64; ++n) text += "55=S" + std::to_string(n) + "|";
    peer.send(text);
  }
  const std::string said = peer.take();
  EXPECT_EQ(MarketSession::count(said, "Y"), 1U);
  EXPECT_NE(said.find("\x01"
                      "281=2\x01"),
            std::string::npos)
      << said;
}

void halt(FixWorld& world, book::Phase phase) {
  ASSERT_TRUE(world.rig.ask(exchange::kSetPhase, exchange::PhaseChange{"BTC/USD", phase, false}).ok());
  world.pass(2 * market::kConflateNs);
}

TEST(MarketSession, ASlowReaderOfStatusesIsToldTheOneThatIsThere) {
  MarketSession peer;
  peer.send("35=e|34=2|324=s|55=BTC/USD|263=1|");
  peer.world.pass(kSecond);
  EXPECT_EQ(MarketSession::count(peer.take(), "f"), 1U);
  peer.change_book(3);
  EXPECT_EQ(peer.take(), "") << "levels are nothing to it";
  peer.set_slow(true);
  halt(peer.world, book::Phase::halted);
  halt(peer.world, book::Phase::auction_call);
  EXPECT_EQ(peer.take(), "");
  peer.set_slow(false);
  peer.world.pass(kSecond);
  const std::string said = peer.take();
  EXPECT_EQ(MarketSession::count(said, "f"), 1U);
  EXPECT_NE(said.find("58=auction_call\x01"), std::string::npos);
  peer.set_slow(true);
  halt(peer.world, book::Phase::halted);
  halt(peer.world, book::Phase::auction_call);
  peer.set_slow(false);
  peer.world.pass(kSecond);
  EXPECT_EQ(peer.take(), "") << "it is as it was told";
}

TEST(MarketSession, RequestsOfStatusesAreBounded) {
  MarketSession peer;
  for (size_t n = 0; n <= StatusDesk::kRequestsMax; ++n) {
    const std::string number = std::to_string(n);
    peer.send("35=g|34=" + std::to_string(2 + n) + "|335=r" + number + "|336=BTC/USD|263=1|");
  }
  peer.world.pass(kSecond);
  const std::string said = peer.take();
  EXPECT_EQ(MarketSession::count(said, "h"), StatusDesk::kRequestsMax + 1);
  EXPECT_NE(said.find("340=6\x01"
                      "567=99\x01"),
            std::string::npos);
}

}  // namespace
}  // namespace heptane::fintech::fixgate::test
