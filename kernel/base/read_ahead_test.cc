#include "kernel/base/read_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

namespace heptane {
namespace {

class ReadAheads : public testing::TestWithParam<size_t> {};

TEST_P(ReadAheads, GivesEverythingInOrderAndReusesItsMemory) {
  int produced = 0;
  ReadAhead<std::vector<int>> numbers(GetParam(), [&](std::vector<int>& into) {
    into.assign(100, produced);
    return produced++ < 1000;
  });
  std::vector<const int*> memories;
  for (int expected = 0; expected < 1000; ++expected) {
    const std::vector<int>* item = numbers.next();
    ASSERT_NE(item, nullptr) << expected;
    // Whole, and not overwritten while it is ours.
    EXPECT_EQ(*item, std::vector<int>(100, expected));
    if (std::find(memories.begin(), memories.end(), item->data()) == memories.end()) memories.push_back(item->data());
  }
  EXPECT_EQ(numbers.next(), nullptr);
  EXPECT_EQ(numbers.next(), nullptr);
  EXPECT_LE(memories.size(), GetParam() + 1);
}

TEST_P(ReadAheads, StopsInTheMiddle) {
  std::atomic<int> produced{0};
  {
    ReadAhead<int> numbers(GetParam(), [&](int& into) {
      into = produced++;
      return true;
    });
    ASSERT_EQ(*numbers.next(), 0);
    ASSERT_EQ(*numbers.next(), 1);
    numbers.stop();
    const int then = produced;
    EXPECT_LE(then, 2 + static_cast<int>(GetParam()));
    // What was made before is not lost.
    for (int left = 2; left < then; ++left) {
      const int* item = numbers.next();
      ASSERT_NE(item, nullptr) << left;
      EXPECT_EQ(*item, left);
    }
    EXPECT_EQ(numbers.next(), nullptr);
  }
  EXPECT_LE(produced, 2 + static_cast<int>(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Slots, ReadAheads, testing::Values(0, 1, 2, 7));

}  // namespace
}  // namespace heptane
