// How fast one client may send: messages and bytes a second, each a token bucket that saves up one second and may go into debt,
// as quotas do (kernel/net/quota.h). Who owes is not read from until it is paid back. A connection's, and behind its end the
// client's (rate_table.h); the I/O thread's.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernel/net/session.h"

namespace heptane::iot::mqtt {

class RateLimit {
 public:
  static constexpr int64_t kBurstNs = 1'000'000'000;
  static constexpr int64_t kPauseMaxNs = 5'000'000'000;  // who is slowed down is looked at again

  // `per_second` 0: no limit.
  static void pay(int64_t& paid_ns, int64_t amount, int64_t per_second, int64_t now_ns) {
    if (per_second <= 0 || amount <= 0) return;
    const auto cost = static_cast<__int128>(amount) * 1'000'000'000 / per_second;
    paid_ns = std::max(paid_ns, now_ns - kBurstNs) + static_cast<int64_t>(std::min<__int128>(cost, 3'600'000'000'000));
  }
  void use(int64_t messages, int64_t messages_per_second, int64_t bytes, int64_t bytes_per_second, int64_t now_ns) {
    pay(messages_paid_ns_, messages, messages_per_second, now_ns);
    pay(bytes_paid_ns_, bytes, bytes_per_second, now_ns);
  }
  // 0: nothing is owed.
  int64_t pause_ns(int64_t now_ns) const {
    return std::clamp<int64_t>(std::max(messages_paid_ns_, bytes_paid_ns_) - now_ns, 0, kPauseMaxNs);
  }

  // Nothing of what it saves up is used by then.
  int64_t full_at_ns() const { return std::max(messages_paid_ns_, bytes_paid_ns_) + kBurstNs; }

  net::SessionTimerId timer = 0;  // of the pause; 0: there is none

 private:
  int64_t messages_paid_ns_ = INT64_MIN / 2;  // long ago
  int64_t bytes_paid_ns_ = INT64_MIN / 2;
};

}  // namespace heptane::iot::mqtt
