// The comparison of snapshots in the background: what its child says becomes a line, a count and a finding; what goes wrong with
// the child itself costs only the comparison.
#include "kernel/server/snapshot_check.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "kernel/server/relief.h"
#include "sim/sim_clock.h"

namespace heptane::server {
namespace {

class Check : public testing::Test {
 protected:
  void begin(const std::string& script, Epoch epoch = 10) {
    check_ = std::make_unique<SnapshotCheck>(
        clock_,
        SnapshotCheckOptions{.command = {"/bin/sh", "-c", script}, .every_starts = 10, .deadline_ns = kDeadlineNs});
    check_->set_report([this](const std::string& line) { lines_.push_back(line); });
    check_->start(epoch);
    check_->run_once(false);
  }
  void finish() {
    while (check_->at_work()) {
      check_->run_once(false);
      std::this_thread::yield();
    }
  }
  std::string line() const { return lines_.size() == 1 ? lines_.front() : std::to_string(lines_.size()) + " lines"; }

  static constexpr int64_t kDeadlineNs = 5'000'000'000;
  sim::SimClock clock_;
  std::unique_ptr<SnapshotCheck> check_;
  std::vector<std::string> lines_;
};

}  // namespace

TEST_F(Check, EveryTenthStartOnly) {
  for (const Epoch epoch : {1, 9, 11, 19}) {
    begin("exit 0", epoch);
    EXPECT_FALSE(check_->at_work()) << epoch;
  }
  begin("exit 0", 20);
  EXPECT_TRUE(check_->at_work());
  finish();
  check_->run_once(false);
  EXPECT_FALSE(check_->at_work()) << "once a start";
}

TEST_F(Check, TheSameIsToldAndFound) {
  begin("echo they are; echo the same");
  finish();
  EXPECT_EQ(line(), "the snapshots were compared: they are the same");
  EXPECT_EQ(check_->counters().same_total, 1U);
  const std::optional<SnapshotCheck::Finding> finding = check_->take_finding();
  ASSERT_TRUE(finding.has_value());
  EXPECT_TRUE(finding->same);
  EXPECT_FALSE(check_->take_finding().has_value()) << "once";
}

TEST_F(Check, ADifferenceIsAnAlarmAndNoMore) {
  begin("echo 0:7 is not what replay makes >&2; exit 1");
  finish();
  EXPECT_EQ(line(), "THE SNAPSHOTS DIFFER: 0:7 is not what replay makes");
  EXPECT_EQ(check_->counters().differing_total, 1U);
  const std::optional<SnapshotCheck::Finding> finding = check_->take_finding();
  ASSERT_TRUE(finding.has_value());
  EXPECT_FALSE(finding->same);
}

TEST_F(Check, WhatGoesWrongWithTheChildIsNoFinding) {
  begin("echo there are no two >&2; exit 3");
  finish();
  EXPECT_EQ(line(), "the snapshots were not compared: there are no two");
  begin("kill -9 $$");
  finish();
  SnapshotCheck absent(clock_, SnapshotCheckOptions{.command = {"/nowhere/heptane"}, .every_starts = 1});
  absent.start(1);
  absent.run_once(false);
  EXPECT_EQ(absent.counters().failed_total, 1U);
  EXPECT_EQ(lines_.size(), 2U);
  EXPECT_EQ(check_->counters().failed_total, 1U);
  EXPECT_FALSE(check_->take_finding().has_value());
}

TEST_F(Check, AChildThatTakesTooLongIsEnded) {
  begin("exec sleep 1000");
  clock_.advance(kDeadlineNs - 1);
  check_->run_once(false);
  EXPECT_TRUE(check_->at_work());
  clock_.advance(1);
  check_->run_once(false);
  EXPECT_FALSE(check_->at_work());
  EXPECT_EQ(line(), "the snapshots were not compared: it took longer than 5 s");
}

TEST_F(Check, AStopEndsTheChildSilently) {
  begin("exec sleep 1000");
  ASSERT_TRUE(check_->at_work());
  check_->run_once(true);
  EXPECT_FALSE(check_->at_work());
  EXPECT_TRUE(lines_.empty());
}

TEST(ChildProcess, OutputIsBoundedAndNeverBlocks) {
  ChildProcess child;
  ASSERT_TRUE(child.start({"/bin/sh", "-c", "head -c 1000000 /dev/zero"}).ok());
  std::optional<ChildProcess::End> end;
  while (!(end = child.poll())) std::this_thread::yield();
  EXPECT_EQ(end->exit_code, 0);
  EXPECT_EQ(end->output.size(), ChildProcess::kOutputLimitBytes);
}

TEST(ReliefSchedule, OnceForEachGrowthAndWithBackOffAfterAFailure) {
  ReliefSchedule schedule;
  EXPECT_TRUE(schedule.due(100, 0, 0));
  for (int64_t turn = 0; turn < 1000; ++turn) EXPECT_FALSE(schedule.due(100, 0, turn * 100'000'000));
  EXPECT_TRUE(schedule.due(101, 0, 0));
  // Each attempt fails: after 1, 2, 4, ... 60 s.
  uint64_t failed = 1;
  int attempts = 0;
  for (int64_t second = 0; second < 3600; ++second)
    if (schedule.due(101, failed, second * 1'000'000'000)) ++attempts, ++failed;
  EXPECT_GE(attempts, 60);
  EXPECT_LE(attempts, 66);
  schedule.forget();
  EXPECT_TRUE(schedule.due(101, failed, 0));
}

}  // namespace heptane::server
