#include "kernel/log/recent_batches.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace heptane::log {
namespace {

using Memory = std::shared_ptr<std::vector<std::byte>>;

Memory filled(size_t bytes, uint8_t with) {
  return std::make_shared<std::vector<std::byte>>(bytes, static_cast<std::byte>(with));
}

void add(RecentBatches& recent, uint32_t segment, uint32_t offset, const Memory& memory) {
  recent.add({segment, offset, static_cast<uint32_t>(memory->size())}, *memory, memory);
}

TEST(RecentBatches, ReadsWhatLiesInOneBatch) {
  RecentBatches recent(1 << 20);
  const Memory first = filled(8192, 1);
  const Memory second = filled(4096, 2);
  add(recent, 1, 4096, first);
  add(recent, 1, 12288, second);
  std::vector<std::byte> into(4096);
  ASSERT_TRUE(recent.read(1, 8192, into));
  EXPECT_EQ(into, std::vector<std::byte>(4096, std::byte{1}));
  ASSERT_TRUE(recent.read(1, 12288, into));
  EXPECT_EQ(into, std::vector<std::byte>(4096, std::byte{2}));
  EXPECT_FALSE(recent.read(1, 12287, into)) << "over the border of two";
  EXPECT_FALSE(recent.read(1, 12289, into)) << "behind the end";
  EXPECT_FALSE(recent.read(1, 0, into)) << "before the first";
  EXPECT_FALSE(recent.read(2, 12288, into)) << "another segment";
  EXPECT_EQ(into, std::vector<std::byte>(4096, std::byte{2})) << "untouched by the failures";
}

TEST(RecentBatches, ForgetsTheOldestAndLetsGoOfItsMemory) {
  RecentBatches recent(10000);
  const Memory first = filled(4096, 1);
  const Memory second = filled(4096, 2);
  const Memory third = filled(4096, 3);
  add(recent, 1, 4096, first);
  add(recent, 1, 8192, second);
  EXPECT_EQ(first.use_count(), 2);
  add(recent, 2, 4096, third);
  EXPECT_EQ(first.use_count(), 1);
  std::vector<std::byte> into(10);
  EXPECT_FALSE(recent.read(1, 4096, into));
  EXPECT_TRUE(recent.read(1, 8192, into));
  EXPECT_TRUE(recent.read(2, 4096, into));
  recent.clear();
  EXPECT_FALSE(recent.read(2, 4096, into));
  EXPECT_EQ(third.use_count(), 1);
}

TEST(RecentBatches, HoldsFewBatchesHoweverSmall) {
  RecentBatches recent(1 << 20);
  const Memory first = filled(4096, 1);
  add(recent, 1, 4096, first);
  for (uint32_t i = 2; i < 40; ++i) add(recent, 1, i * 4096, filled(4096, 2));
  EXPECT_EQ(first.use_count(), 1);
}

TEST(RecentBatches, MemoryWithoutAnOwnerIsNotKept) {
  RecentBatches recent(1 << 20);
  const std::vector<std::byte> memory(4096);
  recent.add({1, 4096, 4096}, memory, nullptr);
  std::vector<std::byte> into(10);
  EXPECT_FALSE(recent.read(1, 4096, into));
}

// A reader copies without the lock: the memory must not be another batch's meanwhile.
TEST(RecentBatches, ReadersAndTheCommitAtOnce) {
  RecentBatches recent(5 * 4096);
  std::atomic<uint32_t> newest{0};
  std::atomic<bool> ended{false};
  std::thread reader([&] {
    std::vector<std::byte> into(4096);
    while (!ended.load()) {
      const uint32_t number = newest.load();
      if (!recent.read(1, number * 4096, into)) continue;
      for (const std::byte byte : into) ASSERT_EQ(byte, static_cast<std::byte>(number));
    }
  });
  for (uint32_t i = 1; i < 20'000; ++i) {
    add(recent, 1, i * 4096, filled(4096, static_cast<uint8_t>(i)));
    newest.store(i);
  }
  ended.store(true);
  reader.join();
}

}  // namespace
}  // namespace heptane::log
