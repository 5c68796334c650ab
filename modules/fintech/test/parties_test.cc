// Parties of orders as JSON.
#include "modules/fintech/machine/exchange/parties.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace heptane::fintech::exchange {
namespace {

std::string json_of(std::string fields) {
  std::replace(fields.begin(), fields.end(), '|', '\x01');
  return parties_json(fields);
}

TEST(Parties, AreToldAsTheyCame) {
  EXPECT_EQ(
      json_of("453=2|448=BROKER|447=D|452=1|448=JOE|447=P|452=11|802=2|523=desk 4|803=4000|523=x|803=9|"),
      R"([{"id":"BROKER","source":"D","role":"1"},)"
      R"({"id":"JOE","source":"P","role":"11","sub_ids":[{"id":"desk 4","type":"4000"},{"id":"x","type":"9"}]}])");
}

TEST(Parties, AreTextsOfJsonWhateverTheyHold) {
  EXPECT_EQ(json_of("453=1|448=\"\\\x02\xC3|452=1|"), R"([{"id":"\"\\??","role":"1"}])");
  EXPECT_EQ(json_of("453=1|448=|802=1|523=a|"), R"([{"sub_ids":[{"id":"a"}]}])");
}

TEST(Parties, WhatIsNoneOfThemIsLeftOut) {
  EXPECT_EQ(json_of(""), "[]");
  EXPECT_EQ(json_of("447=D|452=1|"), "[]");
  EXPECT_EQ(json_of("453=1|448=a|x=1|=|448|99=b|523=c|803"), R"([{"id":"a","sub_ids":[{"id":"c"}]}])");
  EXPECT_EQ(json_of("453=1|448=a|803=1"), R"([{"id":"a"}])");
}

}  // namespace
}  // namespace heptane::fintech::exchange
