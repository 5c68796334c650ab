// Commands that need something of their machine's files which is not in memory (machine_files.h): held back until it is, so
// that apply() does not wait for the disk, while those of other sessions go on. What their session asks behind them, commands
// and queries, waits behind them in its order.
//
// Bounds: a session is tried when it comes, then kFetching of them a turn, one behind the other, with Prefetch::kWork for all of them
// together; kHeldMost requests of kHeldBytesMost of payload wait, more are refused. So is one that was not taken after kDeadlineNs:
// it left nothing and may be sent again. Not state: replay holds nothing back. The shard thread's.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/shard/link.h"
#include "kernel/shard/machine_files.h"

namespace heptane {

class HeldCommands {
 public:
  static constexpr size_t kFetching = 16;
  static constexpr size_t kHeldMost = 1024;
  static constexpr uint64_t kHeldBytesMost = uint64_t{64} << 20;
  static constexpr int64_t kDeadlineNs = 10'000'000'000;
  static constexpr int64_t kDiskEveryNs = 50'000;  // what waits for the disk is looked at again

  enum class Taken : uint8_t {
    yes,      // applied, or answered
    stalled,  // there is no room: later again
    lacks,    // something of files: fetch it and try again
  };
  using Take = std::function<Taken(ShardLink& link, ShardRequest& request, std::unique_ptr<Prefetch>& lacking)>;
  // For now.
  using Refuse = std::function<void(ShardLink& link, const ShardRequest& request, const char* why)>;

  HeldCommands(Clock& clock, Take take, Refuse refuse)
      : clock_(clock), take_(std::move(take)), refuse_(std::move(refuse)) {}

  // Of a session that is not waiting: takes it when what it lacks is there, which may be at once.
  void hold(ShardLink& link, ShardRequest request, std::unique_ptr<Prefetch> lacking);
  // True: its session is waiting, and so does this now.
  bool follow(ShardLink& link, ShardRequest& request);
  // Once a turn. `stopping`: takes all as they are, to be answered. True: there is more to do at once.
  bool run_once(bool stopping);
  bool empty() const { return lanes_.empty(); }
  // When what waits for the disk is to be looked at again; INT64_MAX: nothing waits.
  int64_t next_deadline_ns() const;

  // For metrics; any thread.
  uint64_t held() const { return held_.load(std::memory_order_relaxed); }  // requests now
  uint64_t waited_total() const { return waited_total_.load(std::memory_order_relaxed); }
  uint64_t refused_total() const { return refused_total_.load(std::memory_order_relaxed); }

 private:
  struct Held {
    ShardRequest request;
    std::unique_ptr<Prefetch> lacking;               // null: it waits for the one before it
    std::vector<std::unique_ptr<Prefetch>> fetched;  // in memory until it is taken
    uint64_t bytes = 0;
    int64_t deadline_ns = 0;
  };
  struct Lane {  // a session
    ShardLink* link = nullptr;
    SessionId session = 0;
    std::deque<Held> requests;
    int64_t not_before_ns = 0;
  };
  enum class Went : uint8_t { over, more, waits, stalled };

  bool add(Lane& lane, ShardRequest request, std::unique_ptr<Prefetch> lacking);
  Went advance(Lane& lane, bool stopping);
  void pop(Lane& lane);
  bool refuse_late(int64_t now_ns);

  Clock& clock_;
  const Take take_;
  const Refuse refuse_;
  std::list<Lane> lanes_;
  uint64_t held_bytes_ = 0;
  int64_t work_ = 0;      // left in this turn
  bool stalled_ = false;  // what makes room wakes the shard
  std::atomic<uint64_t> held_{0};
  std::atomic<uint64_t> waited_total_{0};
  std::atomic<uint64_t> refused_total_{0};
};

}  // namespace heptane
