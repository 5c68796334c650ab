// The timers of all connections of one I/O loop: ordered by due time, then session and id, so that equal inputs fire in
// equal order. A connection without an armed timer takes nothing. The loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "kernel/net/session.h"

namespace heptane::net {

// Ids below kFirstSessionTimer are the loop's own.
constexpr SessionTimerId kStallTimer = 1;
constexpr SessionTimerId kLingerTimer = 2;
constexpr SessionTimerId kHandshakeTimer = 3;
constexpr SessionTimerId kOutboundTimer = 4;
constexpr SessionTimerId kFirstSessionTimer = 16;

class LoopTimers {
 public:
  struct Due {
    SessionId session = 0;
    SessionTimerId timer = 0;
  };

  // Replaces an armed timer of the same id.
  void arm(SessionId session, SessionTimerId timer, int64_t due_ns) {
    cancel(session, timer);
    armed_.emplace(std::pair(session, timer), due_ns);
    by_due_.emplace(due_ns, session, timer);
  }

  void cancel(SessionId session, SessionTimerId timer) {
    const auto found = armed_.find({session, timer});
    if (found != armed_.end()) erase(found);
  }

  void cancel_all(SessionId session) {
    auto at = armed_.lower_bound({session, 0});
    while (at != armed_.end() && at->first.first == session) at = erase(at);
  }

  // Takes the earliest timer that is due.
  std::optional<Due> pop_due(int64_t now_ns) {
    if (by_due_.empty() || std::get<0>(*by_due_.begin()) > now_ns) return std::nullopt;
    const auto [due_ns, session, timer] = *by_due_.begin();
    cancel(session, timer);
    return Due{session, timer};
  }

  // -1 when none is armed.
  int64_t next_due_ns() const { return by_due_.empty() ? -1 : std::get<0>(*by_due_.begin()); }
  size_t size() const { return armed_.size(); }

 private:
  using Armed = std::map<std::pair<SessionId, SessionTimerId>, int64_t>;

  Armed::iterator erase(Armed::iterator at) {
    by_due_.erase({at->second, at->first.first, at->first.second});
    return armed_.erase(at);
  }

  Armed armed_;
  std::set<std::tuple<int64_t, SessionId, SessionTimerId>> by_due_;
};

}  // namespace heptane::net
