// How far rules are behind the streams that they read, as the runner sees it each few seconds: records that are not read yet, and for how
// long what was there at an earlier look has not been. That is a lower bound of how old the oldest of those is: it grows while a rule
// stands still, and begins anew each time that it has come to where the stream ended then.
//
// Bounds: one mark for each partition of each rule. The I/O thread's, but for what it tells: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "kernel/base/ids.h"

namespace heptane::iot::rules {

class RuleLag {
 public:
  // One look: begin, each partition of each rule, end. What is not seen is behind no more.
  void begin(int64_t now_ns);
  // The rule has read up to `next`, and the partition ends at `end`.
  void see(const std::string& rule, uint32_t index, PartitionId partition, Offset next, Offset end);
  void end();

  // Of all rules together, and of the one that is furthest behind.
  uint64_t records() const { return records_.load(std::memory_order_relaxed); }
  int64_t age_ns() const { return age_ns_.load(std::memory_order_relaxed); }

 private:
  struct Mark {
    PartitionId partition = kNoPartition;
    Offset end = 0;
    int64_t since_ns = 0;
  };
  using Marks = std::map<std::pair<std::string, uint32_t>, Mark>;

  Marks marks_;
  Marks before_;  // of the last look, while there is one
  int64_t now_ns_ = 0;
  uint64_t behind_ = 0;
  int64_t oldest_ns_ = 0;
  std::atomic<uint64_t> records_{0};
  std::atomic<int64_t> age_ns_{0};
};

}  // namespace heptane::iot::rules
