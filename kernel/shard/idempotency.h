// First results of idempotent commands, bounded by log time and by count per principal; evicted deterministically, oldest
// first. Part of the kernel's state: what it answers is decided by the log alone.
#pragma once

#include <deque>
#include <map>
#include <tuple>

#include "kernel/shard/messages.h"
#include "kernel/shard/snapshot_io.h"

namespace heptane {

class IdempotencyTable {
 public:
  static constexpr LogTime kKeptNs = int64_t{24} * 3600 * 1'000'000'000;
  static constexpr size_t kPerPrincipalLimit = 100'000;
  static constexpr size_t kReplyLimitBytes = 256;
  static constexpr uint64_t kBytesPerResult = 224;  // with its places in map and order

  struct Result {
    uint64_t request_hash = 0;
    Sequence sequence = 0;
    LogTime time = 0;
    std::array<int64_t, 2> numbers{};
    bool reply_kept = true;  // false: the reply was longer than kReplyLimitBytes
    std::string reply;
  };

  // nullptr: never seen, or forgotten.
  const Result* find(uint32_t principal, MachineId machine, const IdempotencyKey& key) const;
  void record(uint32_t principal, MachineId machine, const IdempotencyKey& key, const Reply& reply);
  size_t size() const { return results_.size(); }
  uint64_t memory_bytes() const { return results_.size() * kBytesPerResult + reply_bytes_; }
  // Of every principal, what is older than kKeptNs at `now`. Returns how many.
  uint64_t forget_expired(LogTime now);
  bool has_expired(LogTime now) const;

  void save(SnapshotWriter& writer) const;
  heptane::Result<void> restore(SnapshotReader& reader);

 private:
  using Key = std::tuple<uint32_t, MachineId, std::array<std::byte, 16>>;
  void evict(LogTime now, uint32_t principal);
  void forget_oldest(uint32_t principal);

  std::map<Key, Result> results_;
  uint64_t reply_bytes_ = 0;
  std::map<uint32_t, std::deque<Key>> order_;  // per principal, oldest first
};

}  // namespace heptane
