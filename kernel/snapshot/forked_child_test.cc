#include "kernel/snapshot/forked_child.h"

#include <gtest/gtest.h>

namespace heptane::snapshot {
namespace {

TEST(SnapshotMemory, AForkIsNotTriedWithoutRoomForHalfOfThePagesAndAReserve) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  constexpr uint64_t kReserve = uint64_t{64} << 20;
  EXPECT_EQ(no_memory_for_fork(2 * kGiB, kGiB + kReserve), "");
  const std::string why = no_memory_for_fork(2 * kGiB, kGiB + kReserve - 1);
  EXPECT_NE(why.find("1088 MiB"), std::string::npos) << why;
  EXPECT_NE(why.find("1087 MiB are available"), std::string::npos) << why;
}

}  // namespace
}  // namespace heptane::snapshot
