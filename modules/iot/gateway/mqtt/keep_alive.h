// Which client is looked at when, to the second: one timer and eight bytes a client for the keep-alives of an I/O thread. Who is
// gone stays in it until its turn, kLongestNs at most. The I/O thread's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "kernel/net/session.h"

namespace heptane::iot::mqtt {

class KeepAliveWheel {
 public:
  static constexpr int64_t kSecondNs = 1'000'000'000;
  static constexpr int64_t kLongestNs = 60 * kSecondNs;

  // It is taken in the first whole second at or behind `due_ns`, not in this one, or before that.
  void put(SessionId session, int64_t now_ns, int64_t due_ns) {
    const int64_t due = std::clamp(due_ns, now_ns + 1, now_ns + kLongestNs);
    seconds_[(due + kSecondNs - 1) / kSecondNs].push_back(session);
  }
  std::vector<SessionId> take_due(int64_t now_ns) {
    std::vector<SessionId> due;
    while (!seconds_.empty() && seconds_.begin()->first * kSecondNs <= now_ns) {
      std::vector<SessionId>& second = seconds_.begin()->second;
      if (due.empty())
        due = std::move(second);
      else
        due.insert(due.end(), second.begin(), second.end());
      seconds_.erase(seconds_.begin());
    }
    return due;
  }
  bool empty() const { return seconds_.empty(); }
  int64_t next_due_ns() const { return seconds_.begin()->first * kSecondNs; }

 private:
  std::map<int64_t, std::vector<SessionId>> seconds_;
};

}  // namespace heptane::iot::mqtt
