#include "modules/iot/machine/series/key_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace heptane::iot::series {
namespace {

TEST(KeyTable, HoldsWhatAMapHolds) {
  std::mt19937_64 random(1);
  KeyTable<uint32_t> table(random());
  std::map<uint64_t, uint32_t> model;
  for (uint32_t i = 0; i < 60'000; ++i) {
    const uint64_t key = random() % 40'000;
    const Hash128 hash = key_hash(std::to_string(key));
    const auto [at, made] = model.emplace(key, i);
    const auto [value, added] = table.add(hash, i);
    ASSERT_EQ(added, made);
    ASSERT_EQ(*value, at->second);
  }
  ASSERT_EQ(table.size(), model.size());
  for (uint64_t key = 0; key < 40'000; ++key) {
    const uint32_t* found = table.find(key_hash(std::to_string(key)));
    const auto at = model.find(key);
    ASSERT_EQ(found != nullptr, at != model.end());
    ASSERT_TRUE(found == nullptr || *found == at->second);
  }
}

TEST(KeyTable, KeysGoAndOthersStay) {
  std::mt19937_64 random(2);
  KeyTable<uint32_t> table(random());
  std::map<uint64_t, uint32_t> model;
  for (uint32_t i = 0; i < 40'000; ++i) {
    const uint64_t key = random() % 12'000;
    const Hash128 hash = key_hash(std::to_string(key));
    if (random() % 2 == 0) {
      table.add(hash, i);
      model.emplace(key, i);
    } else {
      table.remove(hash);
      model.erase(key);
    }
    ASSERT_EQ(table.size(), model.size());
  }
  for (uint64_t key = 0; key < 12'000; ++key) {
    const uint32_t* found = table.find(key_hash(std::to_string(key)));
    ASSERT_EQ(found != nullptr, model.contains(key));
    ASSERT_TRUE(found == nullptr || *found == model.at(key));
  }
}

TEST(KeyTable, ItsSeedShowsNowhere) {
  KeySet one(1);
  KeySet other(2);
  for (int i = 0; i < 9'000; ++i) {
    one.add(key_hash(std::to_string(i)));
    other.add(key_hash(std::to_string(8'999 - i)));
  }
  const auto left = one.sorted();
  const auto right = other.sorted();
  ASSERT_EQ(left.size(), 9'000U);
  for (size_t i = 0; i < left.size(); ++i) ASSERT_EQ(left[i].first, right[i].first);
}

// Hashes that are alike in half of their bits would all begin at one place without it: half a minute and more.
TEST(KeyTable, ChosenHashesDoNotLieTogether) {
  KeySet table(0x1234'5678'9ABC'DEF0ULL);
  for (uint64_t i = 1; i <= 200'000; ++i) table.add({0x42, i});
  for (uint64_t i = 1; i <= 200'000; ++i) table.add({i << 32, 7});
  EXPECT_EQ(table.size(), 400'000U);
}

}  // namespace
}  // namespace heptane::iot::series
