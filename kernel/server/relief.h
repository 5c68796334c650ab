// When a full disk asks for a snapshot: a newer one lets old log go. Once for each growth of the log, and again with back-off
// while the last attempt came to nothing; never at every turn. The helper's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace heptane::server {

class ReliefSchedule {
 public:
  static constexpr int64_t kAgainMinNs = 1'000'000'000;
  static constexpr int64_t kAgainMaxNs = 60'000'000'000;

  // `log_bytes` were written and `failed_total` snapshots given up since the start.
  bool due(uint64_t log_bytes, uint64_t failed_total, int64_t now_ns) {
    const bool grown = log_bytes != log_bytes_;
    if (!grown && (failed_total == failed_total_ || now_ns - asked_ns_ < again_ns_)) return false;
    again_ns_ = grown ? kAgainMinNs : std::min(2 * again_ns_, kAgainMaxNs);
    log_bytes_ = log_bytes;
    failed_total_ = failed_total;
    asked_ns_ = now_ns;
    return true;
  }
  // There is room again.
  void forget() { *this = ReliefSchedule(); }

 private:
  uint64_t log_bytes_ = UINT64_MAX;
  uint64_t failed_total_ = 0;
  int64_t asked_ns_ = 0;
  int64_t again_ns_ = kAgainMinNs;
};

}  // namespace heptane::server
