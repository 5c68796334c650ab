// How fast a bridge may send: messages and bytes a second, with a tenth of a second's worth saved up; who used more than there was waits
// until it is paid back. Time is the monotonic clock's, told. Pure; any thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace heptane::iot::bridge {

class TokenBucket {
 public:
  static constexpr int64_t kNsPerSecond = 1'000'000'000;
  static constexpr int64_t kBurstNs = kNsPerSecond / 10;

  // A rate of 0: no limit.
  void use(int64_t bytes, int64_t messages_per_second, int64_t bytes_per_second, int64_t now_ns) {
    pay(messages_paid_ns_, 1, messages_per_second, now_ns);
    pay(bytes_paid_ns_, bytes, bytes_per_second, now_ns);
  }
  // When the next message may go.
  int64_t free_at_ns() const { return std::max(messages_paid_ns_, bytes_paid_ns_); }

 private:
  static void pay(int64_t& paid_ns, int64_t amount, int64_t per_second, int64_t now_ns) {
    if (per_second <= 0) return;
    const auto cost = static_cast<__int128>(amount) * kNsPerSecond / per_second;
    paid_ns = std::max(paid_ns, now_ns - kBurstNs) + static_cast<int64_t>(cost);
  }

  int64_t messages_paid_ns_ = INT64_MIN / 2;  // long ago
  int64_t bytes_paid_ns_ = INT64_MIN / 2;
};

}  // namespace heptane::iot::bridge
