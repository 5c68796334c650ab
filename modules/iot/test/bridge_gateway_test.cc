// A bridge and the broker here.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "modules/iot/gateway/bridge/bridge.h"
#include "modules/iot/test/mqtt_world.h"

namespace heptane::iot::bridge {
namespace {

using iot::test::bytes_of;
using iot::test::hex_of;
using iot::test::World;

class WorldWays final : public Ways {
 public:
  explicit WorldWays(World& world) : world_(world) {}
  bool submit(Submission submission, Replied done) override {
    const Reply reply = world_.submit(submission);
    arm(0, [reply, done = std::move(done)] { done(reply); });
    return true;
  }
  bool query(QueryRequest, Replied) override { return false; }
  bool read(ReadRequest, Read) override { return false; }
  net::SessionTimerId arm(int64_t delay_ns, std::function<void()> fire) override {
    timers_[++last_] = {delay_ns, std::move(fire)};
    return last_;
  }
  void cancel(net::SessionTimerId timer) override { timers_.erase(timer); }
  int64_t monotonic_ns() const override { return 1; }
  int64_t utc_ns() const override { return 1; }

  // All that is to be done now.
  void turn() {
    for (int round = 0; round < 100; ++round) {
      world_.settle();
      const auto due =
          std::find_if(timers_.begin(), timers_.end(), [](const auto& timer) { return timer.second.first == 0; });
      if (due == timers_.end()) return;
      timers_.extract(due).mapped().second();
    }
    FAIL() << "it does not end";
  }
  // Timers of that delay. Fires the first of them.
  size_t armed(int64_t delay_ns) const {
    return static_cast<size_t>(std::count_if(timers_.begin(), timers_.end(),
                                             [&](const auto& timer) { return timer.second.first == delay_ns; }));
  }
  void fire(int64_t delay_ns) {
    const auto due =
        std::find_if(timers_.begin(), timers_.end(), [&](const auto& timer) { return timer.second.first == delay_ns; });
    ASSERT_NE(due, timers_.end());
    timers_.extract(due).mapped().second();
    turn();
  }

 private:
  World& world_;
  net::SessionTimerId last_ = 0;
  std::map<net::SessionTimerId, std::pair<int64_t, std::function<void()>>> timers_;
};

// Its session here would expire while its files cannot be read.
TEST(BridgeGateway, TheSessionHereIsRefreshedWhileTheRemoteCannotBeDialled) {
  World world;
  WorldWays ways(world);
  BridgeCounters counters;
  size_t dialled = 0;
  const Dialer dialer{[&](net::Protocol&, net::OutboundOptions) { return static_cast<SessionId>(++dialled); },
                      [](SessionId) {}};
  const auto wanted =
      bridges_of_tables({"name=hub\naddress=hub.example\ntls=true\nca_file=/none/ca.pem\nfilter=a/#\n"});
  ASSERT_EQ(wanted.size(), 1U);
  Bridge bridge(wanted[0], world.broker(), ways, dialer, counters);
  bridge.begin("0123456789abcdef");
  ways.turn();
  ASSERT_NE(world.machine().sessions().find("$bridge/hub"), nullptr) << bridge.facts().last_error;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ways.armed(Bridge::kRefreshNs), 1U);
    EXPECT_EQ(ways.armed(Bridge::kRedialNs), 1U);
    ways.fire(Bridge::kRedialNs);
  }
  const uint64_t epoch = world.machine().sessions().find("$bridge/hub")->epoch;
  ways.fire(Bridge::kRefreshNs);
  EXPECT_EQ(world.machine().sessions().find("$bridge/hub")->epoch, epoch + 1);
  EXPECT_EQ(ways.armed(Bridge::kRefreshNs), 1U);
  EXPECT_EQ(ways.armed(Bridge::kRedialNs), 1U);
  EXPECT_EQ(dialled, 0U);
  bridge.shut_down();
}

// It would be in the log before what was refused, which the remote sends again over its next connection.
TEST(BridgeGateway, WhatTheRemoteSendsBehindARefusalIsNotPublished) {
  World world;
  world.send("s", bytes_of("10 r13 s4 'MQTT' 04 02 k0 s1 's'"));
  world.send("s", bytes_of("82 r8 m1 s3 'a/#' 01"));
  world.take_output("s");
  WorldWays ways(world);
  BridgeCounters counters;
  const Dialer dialer{[](net::Protocol&, net::OutboundOptions) { return SessionId{1}; }, [](SessionId) {}};
  const auto wanted = bridges_of_tables({"name=hub\naddress=hub.example\ndirection=in\nfilter=a/#\n"});
  ASSERT_EQ(wanted.size(), 1U);
  Bridge bridge(wanted[0], world.broker(), ways, dialer, counters);
  bridge.begin("0123456789abcdef");
  ways.turn();
  mqtt::MqttSession nobody(world.broker(), mqtt::OwnClient{});
  http::test::FakeContext remote(nobody);
  bridge.remote_opened(remote);
  const auto says = [&](std::string_view words) {
    const std::string bytes = bytes_of(words);
    EXPECT_EQ(bridge.remote_bytes(as_bytes(bytes), remote), bytes.size());
  };
  says("20 03 00 00 00");
  ways.turn();
  ASSERT_EQ(bridge.facts().state, "connected") << bridge.facts().last_error;
  world.refuse_next(Errc::no_space);
  world.hold(true);
  says("32 r9 s3 'a/t' m1 00 'x'");
  ways.turn();
  world.deliver_one();
  says("32 r9 s3 'a/t' m2 00 'y'");
  world.hold(false);
  ways.turn();
  EXPECT_TRUE(remote.closed);
  EXPECT_EQ(hex_of(world.take_output("s")), "");
  bridge.shut_down();
}

}  // namespace
}  // namespace heptane::iot::bridge
