// A FIX session whose peer says what a test says, line by line, and what came as scripts have it (fix_exchange_test.cc). Test support.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/test/fix_text.h"
#include "modules/fintech/test/fix_world.h"

namespace heptane::fintech::fixgate::test {

using fix::test::readable;

inline bool is_time(int tag) { return tag == fix::kSendingTime || tag == fix::kOrigSendingTime || tag == 60; }

inline bool left_out(int tag) { return tag == 8 || tag == 9 || tag == 10 || tag == 49 || tag == 56 || tag == 52; }

// As an `E` line says it.
inline std::string expected_form(const std::string& bytes) {
  std::string out;
  for (const std::string& field : split(readable(bytes), '|')) {
    if (left_out(tag_of(field))) continue;
    out += (is_time(tag_of(field)) ? field.substr(0, field.find('=') + 1) + "<TIME>" : field) + '|';
  }
  return out;
}

// A session that enters orders, by hand.
class Hand {
 public:
  Hand(FixWorld& world, std::string name) : world_(world), name_(std::move(name)), line_(&world.connect()) {
    number_ = world_.session(name_).next_in;
    say("35=A", "98=0|108=30|");
  }
  void say(const std::string& type, const std::string& body) {
    line_->send(message_of(type + "|34=" + std::to_string(number_++) + '|' + body, name_, world_.rig.now));
  }
  // What came, as scripts have it.
  std::vector<std::string> heard() {
    std::vector<std::string> all;
    for (std::string one = take_one(line_->out()); !one.empty(); one = take_one(line_->out()))
      all.push_back(expected_form(one));
    return all;
  }
  Line& line() { return *line_; }

 private:
  FixWorld& world_;
  const std::string name_;
  Line* line_;
  uint64_t number_ = 1;
};

inline size_t count_of(const std::vector<std::string>& all, std::string_view part) {
  return static_cast<size_t>(std::count_if(
      all.begin(), all.end(), [&](const std::string& one) { return one.find(part) != std::string::npos; }));
}

constexpr size_t kMany = 550;

// Sells; `more`: fields of each.
inline void enter_many(FixWorld& world, Hand& hand, const std::string& more = "") {
  for (size_t n = 0; n < kMany; ++n)
    hand.say("35=D", "11=m" + std::to_string(n) +
                         "|1=main|55=BTC/USD|54=2|60=20231114-22:13:20|38=0.1|40=2|44=100.0|59=1|" + more);
  world.run();
}

}  // namespace heptane::fintech::fixgate::test
