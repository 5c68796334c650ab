#include "kernel/server/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace heptane::server {
namespace {

TEST(WorkQueue, RunsJobsInOrderAndSaysWhoseTheyWere) {
  WorkQueue queue;
  int woken = 0;
  queue.set_wake_io([&] { ++woken; });
  std::string ran;
  EXPECT_TRUE(queue.submit({1, 10, [&] { ran += 'a'; }}));
  EXPECT_TRUE(queue.submit({2, 20, [&] { ran += 'b'; }}));
  EXPECT_FALSE(queue.take_done().has_value());
  EXPECT_TRUE(queue.run_once());
  EXPECT_EQ(queue.take_done()->session, 1u);
  EXPECT_TRUE(queue.run_once());
  EXPECT_EQ(queue.take_done()->request, 20u);
  EXPECT_FALSE(queue.run_once());
  EXPECT_EQ(ran, "ab");
  EXPECT_EQ(woken, 2);
}

TEST(WorkQueue, IsBoundedUntilWhatIsDoneIsTaken) {
  WorkQueue queue;
  for (size_t i = 0; i < WorkQueue::kJobsMax; ++i) ASSERT_TRUE(queue.submit({1, i, [] {}}));
  EXPECT_FALSE(queue.submit({1, 0, [] {}}));
  EXPECT_TRUE(queue.run_once());
  EXPECT_FALSE(queue.submit({1, 0, [] {}}));
  EXPECT_TRUE(queue.take_done().has_value());
  EXPECT_TRUE(queue.submit({1, 0, [] {}}));
}

TEST(WorkQueue, WhatOthersDidComesBackToo) {
  WorkQueue queue;
  int woken = 0;
  queue.set_wake_io([&] { ++woken; });
  for (size_t i = 0; i < WorkQueue::kJobsMax; ++i) ASSERT_TRUE(queue.submit({1, i, [] {}}));
  queue.hand_back({7, 70});
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(queue.outstanding(), WorkQueue::kJobsMax);
  const auto done = queue.take_done();
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->request, 70u);
  EXPECT_FALSE(done->counted);
  EXPECT_FALSE(queue.take_done().has_value());
  EXPECT_EQ(queue.outstanding(), WorkQueue::kJobsMax);
}

TEST(WorkQueue, WhatAJobKeepsEndsBeforeItIsDone) {
  WorkQueue queue;
  auto kept = std::make_shared<int>(1);
  ASSERT_TRUE(queue.submit({1, 1, [kept] {}}));
  EXPECT_EQ(kept.use_count(), 2);
  queue.run_once();
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(WorkQueue, EveryJobComesBackOnceFromAnotherThread) {
  constexpr uint64_t kJobs = 2000;
  WorkQueue queue;
  std::atomic<bool> ended{false};
  std::thread worker([&] {
    while (!ended.load() || queue.run_once()) queue.run_once();
  });
  uint64_t sum = 0;
  uint64_t taken = 0;
  for (uint64_t next = 1; taken < kJobs;) {
    if (next <= kJobs && queue.submit({1, next, [] {}})) ++next;
    while (const auto done = queue.take_done()) {
      sum += done->request;
      ++taken;
    }
  }
  ended.store(true);
  worker.join();
  EXPECT_EQ(sum, kJobs * (kJobs + 1) / 2);
}

}  // namespace
}  // namespace heptane::server
