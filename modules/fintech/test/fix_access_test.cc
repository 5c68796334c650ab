// When, from where and how fast a FIX session may be used.
#include <gtest/gtest.h>

#include "modules/fintech/test/fix_hand.h"

namespace heptane::fintech::fixgate::test {
namespace {

exchange::FixSpec with(const exchange::FixAccess& access) {
  exchange::FixSpec spec = FixWorld::spec("ALPHA", "alpha");
  spec.access = access;
  return spec;
}

// Around the time of the world, 22:13:20.
exchange::FixAccess open_now() {
  exchange::FixAccess access;
  access.hours.non_stop = false;
  access.hours.start_s = 22 * 3'600;
  access.hours.end_s = 23 * 3'600;
  return access;
}

TEST(FixAccess, WhoComesFromElsewhereIsToldNothing) {
  FixWorld world;
  world.open_market();
  exchange::FixAccess access;
  access.addresses = {"10.0.0.0/8", "192.168.7.1"};
  world.put(with(access));
  Hand stranger(world, "ALPHA");
  world.run();
  EXPECT_TRUE(stranger.heard().empty());
  EXPECT_EQ(stranger.line().why(), "the session is not for the peer's address");
  access.addresses = {"10.0.0.0/8", "127.0.0.0/8"};
  world.put(with(access));
  Hand alpha(world, "ALPHA");
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "35=A|34=1|"), 1U);
}

TEST(FixAccess, NoMoreIsReadThanTheRateAllows) {
  FixWorld world;
  world.open_market();
  exchange::FixAccess access;
  access.rate = 4;
  world.put(with(access));
  Hand alpha(world, "ALPHA");
  world.run();
  alpha.heard();
  for (int n = 0; n < 20; ++n) alpha.say("35=1", "112=t" + std::to_string(n) + "|");
  world.run();
  const size_t at_once = count_of(alpha.heard(), "35=0|");
  EXPECT_GE(at_once, 4U);
  EXPECT_LE(at_once, 5U);
  world.pass(kSecond);
  const size_t later = count_of(alpha.heard(), "35=0|");
  EXPECT_GE(later, 3U);
  EXPECT_LE(later, 5U);
  world.pass(10 * kSecond);
  EXPECT_EQ(at_once + later + count_of(alpha.heard(), "|112=t"), 20U);
  EXPECT_FALSE(alpha.line().closed());
}

// What operators have set holds until the next period.
TEST(FixAccess, NumbersBeginAgainWithANewPeriodAlone) {
  FixWorld world;
  world.open_market();
  EXPECT_TRUE(world.rig.ask(exchange::kResetFixSession, exchange::FixReset{"ALPHA", 7, 9}).ok());
  world.put(with(open_now()));
  Hand first(world, "ALPHA");
  world.run();
  EXPECT_EQ(count_of(first.heard(), "35=A|34=9|"), 1U);
  EXPECT_EQ(world.session("ALPHA").period % exchange::kDayNs, 22 * 3'600 * kSecond);
  world.crash();
  Hand second(world, "ALPHA");
  world.run();
  EXPECT_EQ(count_of(second.heard(), "35=A|34=10|"), 1U);
  world.crash();
  world.rig.now += exchange::kDayNs;
  Line& line = world.connect();
  line.send(message_of("35=A|34=1|98=0|108=30|", "ALPHA", world.rig.now));
  world.run();
  EXPECT_TRUE(expected_form(take_one(line.out())).starts_with("35=A|34=1|"));
  EXPECT_EQ(world.session("ALPHA").next_out, 2U);
  EXPECT_EQ(world.session("ALPHA").next_in, 2U);
}

// Else his next Logon would find his numbers too low, for the whole period.
TEST(FixAccess, WhoIsNotLetInLeavesTheNumbersToTheirPeriod) {
  FixWorld world;
  world.open_market();
  world.put(with(open_now()));
  Hand first(world, "ALPHA");
  world.run();
  const LogTime period = world.session("ALPHA").period;
  ASSERT_NE(period, 0);
  world.crash();
  world.rig.now += exchange::kDayNs;
  Line& refused = world.connect();
  refused.send(message_of("35=A|34=1|98=0|108=99999|", "ALPHA", world.rig.now));
  world.run();
  EXPECT_EQ(world.session("ALPHA").period, period);
  Line& line = world.connect();
  line.send(message_of("35=A|34=1|98=0|108=30|", "ALPHA", world.rig.now));
  world.run();
  EXPECT_TRUE(expected_form(take_one(line.out())).starts_with("35=A|34=1|"));
  EXPECT_EQ(world.session("ALPHA").period, period + exchange::kDayNs);
}

TEST(FixAccess, IsOfItsVersionOfTheLogicOn) {
  FixWorld world;
  world.open_market();
  world.rig.kernel.versions[exchange::kExchangeMachineId] = exchange::kLogicParties - 1;
  EXPECT_EQ(world.rig.ask(exchange::kPutFixSession, exchange::FixPut{with(open_now())}).error, Errc::unsupported);
  world.put(with({}));
}

TEST(FixAccess, WhatIsWrongWithItIsRefused) {
  FixWorld world;
  world.open_market();
  const auto put = [&](auto change) {
    exchange::FixAccess access = open_now();
    change(access);
    return world.rig.ask(exchange::kPutFixSession, exchange::FixPut{with(access)}).error;
  };
  EXPECT_EQ(put([](auto&) {}), std::nullopt);
  EXPECT_EQ(put([](auto& access) { access.hours.start_s = 86'400; }), Errc::invalid_argument);
  EXPECT_EQ(put([](auto& access) { access.hours.end_s = -1; }), Errc::invalid_argument);
  EXPECT_EQ(put([](auto& access) { access.hours.start_day = 1; }), Errc::invalid_argument);
  EXPECT_EQ(put([](auto& access) { access.hours.start_day = access.hours.end_day = 8; }), Errc::invalid_argument);
  EXPECT_EQ(put([](auto& access) { access.hours.zone.clear(); }), Errc::invalid_argument);
  EXPECT_EQ(put([](auto& access) { access.addresses.assign(17, "::1"); }), Errc::invalid_argument);
  EXPECT_EQ(put([](auto& access) { access.addresses = {""}; }), Errc::invalid_argument);
  EXPECT_EQ(put([](auto& access) { access.rate = exchange::kFixRateMax + 1; }), Errc::invalid_argument);
}

TEST(FixAccess, AZoneThatIsNotThereClosesTheSession) {
  FixWorld world;
  world.open_market();
  exchange::FixAccess access = open_now();
  access.hours.zone = "Atlantis/Deep";
  world.put(with(access));
  Hand alpha(world, "ALPHA");
  world.run();
  EXPECT_EQ(count_of(alpha.heard(), "35=5|34=1|58=the server does not know the session's time zone|"), 1U);
  EXPECT_TRUE(alpha.line().closed());
}

}  // namespace
}  // namespace heptane::fintech::fixgate::test
