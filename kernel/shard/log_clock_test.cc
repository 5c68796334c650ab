// Log time against clocks that a test moves: how fast it follows UTC, that it never goes back, what it does not follow.
#include "kernel/shard/log_clock.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "kernel/base/random.h"
#include "sim/sim_clock.h"

namespace heptane {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kSlewDivisor = 20;  // 5 %

class LogClockTest : public testing::Test {
 protected:
  LogClockTest() { log_clock_.start(0); }

  LogTime after(int64_t elapsed_ns) {
    clock_.advance(elapsed_ns);
    return log_clock_.now();
  }
  void expect_utc_after(int64_t elapsed_ns) {
    const LogTime now = after(elapsed_ns);
    EXPECT_EQ(now, clock_.utc_ns());
  }
  int64_t error() { return clock_.utc_ns() - log_clock_.now(); }

  sim::SimClock clock_;
  LogClock log_clock_{clock_};
};

TEST_F(LogClockTest, IsUtcWhereUtcIsSteady) {
  EXPECT_EQ(log_clock_.now(), clock_.utc_ns());
  for (int i = 0; i < 100; ++i) expect_utc_after(kSecond / 3);
  EXPECT_FALSE(log_clock_.alarmed());
}

TEST_F(LogClockTest, StandsStillWhileTheMonotonicClockDoes) {
  const LogTime before = log_clock_.now();
  clock_.step_utc(kSecond);
  EXPECT_EQ(log_clock_.now(), before);
}

TEST_F(LogClockTest, GoesOnAboveTheLogsEndWhenUtcIsBehindIt) {
  const LogTime last = clock_.utc_ns() + 10 * kSecond;
  log_clock_.start(last);
  EXPECT_EQ(log_clock_.now(), last);
  EXPECT_EQ(after(kSecond), last + kSecond - kSecond / kSlewDivisor) << "slower than the monotonic clock, not back";
}

TEST_F(LogClockTest, AStepForwardIsCaughtUpAtFivePercent) {
  clock_.step_utc(kSecond);
  EXPECT_EQ(error(), kSecond);
  const LogTime before = log_clock_.now();
  EXPECT_EQ(after(10 * kSecond), before + 10 * kSecond + kSecond / 2);
  EXPECT_EQ(error(), kSecond / 2);
  (void)after(10 * kSecond);
  EXPECT_EQ(error(), 0);
  (void)after(10 * kSecond);
  EXPECT_EQ(error(), 0) << "and not passed";
}

TEST_F(LogClockTest, AStepBackIsWaitedForAndTimeGoesOn) {
  clock_.step_utc(-kSecond);
  LogTime last = log_clock_.now();
  for (int i = 0; i < 20; ++i) {
    const LogTime now = after(kSecond);
    EXPECT_EQ(now, last + kSecond - kSecond / kSlewDivisor);
    last = now;
  }
  EXPECT_EQ(error(), 0);
}

TEST_F(LogClockTest, DriftIsFollowed) {
  clock_.set_drift_ppb(40'000'000);  // 4 %: less than the slew
  for (int i = 0; i < 100; ++i) expect_utc_after(kSecond);
}

TEST_F(LogClockTest, AStepOfAnHourIsFollowedAndOneAboveItIsNot) {
  for (const int64_t sign : {1, -1}) {
    LogClock log_clock(clock_);
    log_clock.start(0);
    clock_.step_utc(sign * kHour);
    clock_.advance(kSecond);
    const LogTime before = log_clock.now();
    EXPECT_EQ(std::abs(clock_.utc_ns() - before), kHour - kSecond / kSlewDivisor);
    EXPECT_FALSE(log_clock.alarmed());
    clock_.step_utc(sign * kSecond);
    clock_.advance(kSecond);
    EXPECT_EQ(log_clock.now(), before + kSecond) << "at the pace of the monotonic clock alone";
    EXPECT_TRUE(log_clock.alarmed());
  }
}

TEST_F(LogClockTest, WhatIsRefusedIsRefusedForGood) {
  clock_.step_utc(2 * kHour);
  LogTime last = log_clock_.now();
  for (int i = 0; i < 1000; ++i) {
    const LogTime now = after(kHour);
    EXPECT_EQ(now, last + kHour);
    EXPECT_TRUE(log_clock_.alarmed());
    last = now;
  }
}

TEST_F(LogClockTest, TheAlarmEndsWhenUtcComesBack) {
  clock_.step_utc(-5 * kHour);
  (void)after(kSecond);
  ASSERT_TRUE(log_clock_.alarmed());
  clock_.step_utc(5 * kHour);
  expect_utc_after(kSecond);  // it had gone on at its own pace
  EXPECT_FALSE(log_clock_.alarmed());
}

// The machine is set right and the server started again: the log's end decides, and UTC above it.
TEST_F(LogClockTest, AStartFollowsAnyStepForward) {
  clock_.step_utc(48 * kHour);
  (void)after(kSecond);
  ASSERT_TRUE(log_clock_.alarmed());
  LogClock again(clock_);
  again.start(log_clock_.now());
  EXPECT_EQ(again.now(), clock_.utc_ns());
  clock_.advance(kSecond);
  EXPECT_EQ(again.now(), clock_.utc_ns());
  EXPECT_FALSE(again.alarmed());
}

// Whatever UTC does: log time never goes back, and its pace stays within the slew.
TEST_F(LogClockTest, NeverGoesBackAndKeepsItsPace) {
  SeededRandom random(2026);
  LogTime last = log_clock_.now();
  for (int i = 0; i < 100'000; ++i) {
    if (random.below(10) == 0) clock_.step_utc(static_cast<int64_t>(random.below(4 * kHour)) - 2 * kHour);
    if (random.below(50) == 0) clock_.set_drift_ppb(static_cast<int64_t>(random.below(200'000'000)) - 100'000'000);
    const auto elapsed = static_cast<int64_t>(random.below(static_cast<uint64_t>(kSecond)));
    const LogTime now = after(elapsed);
    const int64_t slew = elapsed / kSlewDivisor;
    ASSERT_GE(now, last + elapsed - slew);
    ASSERT_LE(now, last + elapsed + slew);
    last = now;
  }
}

}  // namespace
}  // namespace heptane
