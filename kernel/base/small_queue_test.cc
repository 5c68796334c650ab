#include "kernel/base/small_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>

namespace heptane {
namespace {

TEST(SmallQueue, IsADequeForThosePartsOfIt) {
  SmallQueue<std::unique_ptr<int>> queue;
  std::deque<int> model;
  uint32_t state = 7;
  for (int step = 0; step < 20'000; ++step) {
    state = state * 1'664'525 + 1'013'904'223;
    const bool growing = (step / 500) % 2 == 0;
    if (model.empty() || (state >> 16) % 10 < (growing ? 7u : 3u)) {
      queue.push_back(std::make_unique<int>(step));
      model.push_back(step);
    } else {
      queue.pop_front();
      model.pop_front();
    }
    ASSERT_EQ(queue.size(), model.size());
    ASSERT_EQ(queue.empty(), model.empty());
    if (model.empty()) continue;
    ASSERT_EQ(*queue.front(), model.front());
    ASSERT_EQ(*queue[model.size() / 2], model[model.size() / 2]);
  }
  size_t seen = 0;
  for (const std::unique_ptr<int>& item : queue) ASSERT_EQ(*item, model[seen++]);
  EXPECT_EQ(seen, model.size());
}

TEST(SmallQueue, WhatIsPoppedEndsAtOnce) {
  SmallQueue<std::shared_ptr<int>> queue;
  auto kept = std::make_shared<int>(1);
  queue.push_back(kept);
  queue.push_back(nullptr);
  queue.pop_front();
  EXPECT_EQ(kept.use_count(), 1);
}

}  // namespace
}  // namespace heptane
