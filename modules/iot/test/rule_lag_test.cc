// How far rules are behind, look by look.
#include <gtest/gtest.h>

#include "modules/iot/gateway/rules/rule_lag.h"

namespace heptane::iot::rules {
namespace {

TEST(RuleLagTest, BeginsAnewWhereItHasComeToWhatWasThere) {
  RuleLag lag;
  const auto look = [&](int64_t now, Offset next, Offset end, PartitionId partition = 1) {
    lag.begin(now);
    lag.see("r", 0, partition, next, end);
    lag.see("other", 0, 2, 5, 5);
    lag.end();
    return std::pair(lag.records(), lag.age_ns());
  };
  using Behind = std::pair<uint64_t, int64_t>;
  EXPECT_EQ(look(100, 0, 10), Behind(10, 0));
  EXPECT_EQ(look(200, 9, 30), Behind(21, 100));
  EXPECT_EQ(look(300, 10, 40), Behind(30, 0)) << "what was there at 100 is read";
  EXPECT_EQ(look(400, 39, 50), Behind(11, 100));
  EXPECT_EQ(look(500, 50, 50), Behind(0, 0));
  EXPECT_EQ(look(600, 50, 60), Behind(10, 0));
  EXPECT_EQ(look(700, 0, 10, 3), Behind(10, 0)) << "another partition";
  EXPECT_EQ(look(800, 12, 10, 3), Behind(0, 0)) << "trimmed or anew";
}

}  // namespace
}  // namespace heptane::iot::rules
