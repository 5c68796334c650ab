// What roles say of a module, over a directory made by hand.
#include "kernel/auth/rules.h"

#include <gtest/gtest.h>

#include "kernel/auth/gate.h"
#include "sim/sim_clock.h"

namespace heptane::auth {
namespace {

TEST(Rules, WhatRolesSayOfAModuleAndWhetherItMayHaveChanged) {
  sim::SimClock clock;
  SeededRandom random{7};
  Gate gate({true, false, 4096}, clock, random);
  const auto rules = rules_of(gate);
  ASSERT_NE(rules, nullptr);
  Directory directory;
  directory.users["alice"] = std::make_shared<const User>(User{16, 1, true, {}, {"admin", "lines", "none"}});
  directory.roles["lines"] =
      std::make_shared<const Role>(Role{{"mqtt", "plant/%u/*", 3}, {"streams", "s", 1}, {"*", "x", 1}});
  const auto publish = [&] {
    gate.store().start(std::make_shared<const Directory>(directory), [] { return Sequence{0}; });
  };
  publish();
  const uint64_t before = rules->generation();
  EXPECT_EQ(rules->generation(), before);
  const Identity alice{{16, 1}, "alice", {}};
  const Role wanted{{"*", "*", kAllVerbs}, {"mqtt", "plant/%u/*", 3}, {"*", "x", 1}};
  EXPECT_EQ(rules->grants(alice, "mqtt"), wanted);
  EXPECT_EQ(rules->grants({{16, 2}, "alice", {}}, "mqtt"), std::nullopt) << "of another version";
  EXPECT_EQ(rules->grants({{17, 1}, "bob", {}}, "mqtt"), std::nullopt);
  directory.roles.clear();
  publish();
  EXPECT_NE(rules->generation(), before);
  EXPECT_EQ(rules->grants(alice, "mqtt"), (Role{{"*", "*", kAllVerbs}}));
  rules->note_denied(alice, "192.0.2.1", "mqtt", "t", Verb::read);
  EXPECT_EQ(gate.incidents().denied_total(), 1U);
}

TEST(Rules, WithoutAuthenticationEverybodyMayEverything) {
  sim::SimClock clock;
  SeededRandom random{7};
  Gate gate({false, false, 4096}, clock, random);
  EXPECT_EQ(rules_of(gate)->grants({}, "mqtt"), (Role{{"*", "*", kAllVerbs}}));
}

}  // namespace
}  // namespace heptane::auth
