// How fast a peer's messages are read: a second's worth at once, then one after the other. Not thread-safe; one connection's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace heptane::fintech::fixgate {

class MessageRate {
 public:
  // Messages a second; 0: all.
  explicit MessageRate(uint32_t per_second = 0) : share_ns_(per_second == 0 ? 0 : kSecondNs / per_second) {}

  void use(int64_t now_ns) { full_until_ns_ = std::max(full_until_ns_, now_ns) + share_ns_; }
  // How long nothing is to be read.
  int64_t pause_ns(int64_t now_ns) const { return std::max<int64_t>(0, full_until_ns_ - now_ns - kSecondNs); }

 private:
  static constexpr int64_t kSecondNs = 1'000'000'000;

  int64_t share_ns_ = 0;
  int64_t full_until_ns_ = 0;  // as if each message took its share of a second
};

}  // namespace heptane::fintech::fixgate
