// Topics and filters by example, and the tree against level-by-level matching over random filters and topics.

#include "modules/iot/domain/topics/topics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "modules/iot/domain/topics/topic_tree.h"

namespace heptane::iot {
namespace {

TEST(Topics, TheExamplesOfTheSpecification) {
  EXPECT_TRUE(matches("sport/tennis/player1/#", "sport/tennis/player1"));
  EXPECT_TRUE(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
  EXPECT_TRUE(matches("sport/#", "sport"));
  EXPECT_TRUE(matches("#", "a/b"));
  EXPECT_FALSE(matches("sport/tennis/+", "sport/tennis/player1/ranking"));
  EXPECT_FALSE(matches("sport/+", "sport"));
  EXPECT_TRUE(matches("sport/+", "sport/"));
  EXPECT_TRUE(matches("+/+", "/finance"));
  EXPECT_TRUE(matches("/+", "/finance"));
  EXPECT_FALSE(matches("+", "/finance"));
  EXPECT_FALSE(matches("#", "$SYS/x"));
  EXPECT_FALSE(matches("+/x", "$SYS/x"));
  EXPECT_TRUE(matches("$SYS/#", "$SYS/x"));
}

TEST(Topics, WhatIsAFilter) {
  for (const char* good : {"#", "+", "a/#", "+/b/#", "/", "a//b", "$share/g/a"})
    EXPECT_TRUE(valid_filter(good)) << good;
  for (const char* bad : {"", "a#", "a/#/b", "ab/+e", "#/", "a+"}) EXPECT_FALSE(valid_filter(bad)) << bad;
  EXPECT_FALSE(valid_topic("a/+"));
  EXPECT_FALSE(valid_topic(""));
  EXPECT_TRUE(valid_topic("a//"));
}

TEST(Topics, WhatIsText) {
  for (const char* good : {"a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\xAA\x9B\x94", ""})
    EXPECT_TRUE(valid_text(good)) << good;
  for (const char* bad :
       {"\x01", "\x7F", "\xC2\x9F", "\xED\xA0\x80", "\xED\xBF\xBF", "\xC0\xAF", "\xEF\xBF\xBF", "\xF5", "\xE2\x82"})
    EXPECT_FALSE(valid_text(bad)) << bad;
  EXPECT_FALSE(valid_text(std::string_view("a\0b", 3)));
}

TEST(Topics, WhereClientsDoNotPublish) {
  for (const char* topic :
       {"$SYS/broker/uptime", "$CONTROL/x", "$share/g/x", "$rules/r/transfer", "$rules", "$bridge/b/dead_letter"})
    EXPECT_TRUE(is_servers(topic)) << topic;
  for (const char* topic : {"a", "$SYS/broker/connection/b/state", "$rulesx/a", "rules/a"})
    EXPECT_FALSE(is_servers(topic)) << topic;
}

TEST(Topics, SharedFilters) {
  const auto shared = parse_shared("$share/group/a/+");
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared->group, "group");
  EXPECT_EQ(shared->filter, "a/+");
  for (const char* bad : {"$share/", "$share/g", "$share//a", "$share/g/", "$share/g+/a", "share/g/a"})
    EXPECT_FALSE(parse_shared(bad)) << bad;
}

TEST(Topics, Limits) {
  EXPECT_TRUE(within_limits(std::string(1024, 'a')));
  EXPECT_FALSE(within_limits(std::string(1025, 'a')));
  EXPECT_TRUE(within_limits(std::string(31, '/')));
  EXPECT_FALSE(within_limits(std::string(32, '/')));
}

std::string random_path(std::mt19937& random, bool filter) {
  static constexpr const char* kLevels[] = {"a", "b", "", "c", "$d"};
  std::string path;
  const size_t levels = 1 + random() % 4;
  for (size_t i = 0; i < levels; ++i) {
    if (i > 0) path += '/';
    if (filter && random() % 4 == 0)
      path += '+';
    else if (filter && i + 1 == levels && random() % 3 == 0)
      path += '#';
    else
      path += kLevels[random() % 5];
  }
  return path.empty() ? "a" : path;
}

TEST(TopicTreeProperty, AgreesWithMatchingOneByOne) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    TopicTree<int> tree;
    std::vector<std::pair<std::string, int>> all;
    for (int step = 0; step < 200; ++step) {
      if (!all.empty() && random() % 3 == 0) {
        const size_t at = random() % all.size();
        const int value = all[at].second;
        ASSERT_TRUE(tree.remove(all[at].first, [&](int other) { return other == value; }));
        ASSERT_FALSE(tree.remove(all[at].first, [&](int other) { return other == value; }));
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
      } else {
        all.emplace_back(random_path(random, true), step);
        tree.insert(all.back().first, step);
      }
      const std::string topic = random_path(random, false);
      std::multiset<int> expected;
      for (const auto& [filter, value] : all) {
        if (matches(filter, topic)) {
          expected.insert(value);
          ASSERT_TRUE(topic.starts_with(literal_prefix(filter))) << filter << " " << topic;
        }
      }
      std::multiset<int> found;
      tree.match(topic, [&](int value) { found.insert(value); });
      ASSERT_EQ(found, expected) << "seed " << seed << " topic " << topic;
      ASSERT_EQ(tree.size(), all.size());
    }
    for (const auto& [filter, value] : all) tree.remove(filter, [v = value](int other) { return other == v; });
    EXPECT_TRUE(tree.empty());
  }
}

// Every pair of short filters, against all topics that could tell them apart.
TEST(Topics, FiltersOverlapWhereATopicMatchesBoth) {
  const auto paths = [](const std::vector<std::string>& levels, size_t depth) {
    std::vector<std::string> all = levels;
    for (size_t begin = 0, round = 1; round < depth; ++round) {
      const size_t end = all.size();
      for (; begin < end; ++begin)
        for (const std::string& level : levels) all.push_back(std::string(all[begin]).append("/").append(level));
    }
    return all;
  };
  std::vector<std::string> filters;
  for (const std::string& path : paths({"a", "b", "$x", "+", "#"}, 3))
    if (valid_filter(path)) filters.push_back(path);
  const std::vector<std::string> topics = paths({"a", "b", "c", "$x"}, 4);
  for (const std::string& one : filters)
    for (const std::string& other : filters) {
      const bool both = std::any_of(topics.begin(), topics.end(), [&](const std::string& topic) {
        return matches(one, topic) && matches(other, topic);
      });
      ASSERT_EQ(overlap(one, other), both) << one << " " << other;
    }
}

}  // namespace
}  // namespace heptane::iot
