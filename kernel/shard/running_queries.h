// The queries that are answered in slices (query_slices.h): begun in the turn in which they come, one slice a turn for them
// all together from then on, in turn.
//
// Bounds: kRunningMost have state; what does not end in its first slice waits behind them and begins anew, kWaitingMost of
// them with kWaitingBytesMost of payload; more are refused. One that is not answered after kDeadlineNs is refused too:
// whoever asked has given up by then. The shard thread's.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "kernel/base/clock.h"
#include "kernel/shard/link.h"
#include "kernel/shard/query_slices.h"

namespace heptane {

class RunningQueries {
 public:
  static constexpr size_t kRunningMost = 16;
  static constexpr size_t kWaitingMost = 256;
  static constexpr size_t kWaitingBytesMost = size_t{16} << 20;
  static constexpr uint32_t kUnfinishedMost = 4;  // first slices of one turn that ended nothing
  static constexpr int64_t kDeadlineNs = 30'000'000'000;
  static constexpr int64_t kDiskEveryNs = 50'000;  // a query that waits for the disk is looked at again

  struct Asked {
    ShardLink* link = nullptr;
    SessionId session = 0;
    RequestId request = 0;
    QueryRequest query;
  };
  // Null: the machine answers it at once after all, which is not what it said before.
  using Begin = std::function<std::unique_ptr<QueryInSlices>(const QueryRequest& query)>;
  using Answer = std::function<void(const Asked& asked, Reply reply)>;

  RunningQueries(Clock& clock, Begin begin, Answer answer)
      : clock_(clock), begin_(std::move(begin)), answer_(std::move(answer)) {}

  // Answered, or later.
  void take(Asked asked, std::unique_ptr<QueryInSlices> query);
  // Once a turn: one slice. `stopping`: all are refused. True: there is more to do at once.
  bool run_once(bool stopping);
  bool empty() const { return running_.empty() && waiting_.empty(); }
  // When one that waits for the disk is to be looked at again; INT64_MAX: none waits.
  int64_t next_deadline_ns() const;

 private:
  struct Running {
    Asked asked;
    std::unique_ptr<QueryInSlices> query;
    int64_t deadline_ns = 0;
    int64_t not_before_ns = 0;
  };
  struct Waiting {
    Asked asked;
    int64_t deadline_ns = 0;
  };

  void run(Asked asked, std::unique_ptr<QueryInSlices> query, QueryInSlices::Step step, int64_t deadline_ns);
  void wait(Asked asked);
  void refuse_all();
  void refuse_late(int64_t now_ns);
  void begin_waiting();

  Clock& clock_;
  const Begin begin_;
  const Answer answer_;
  std::deque<Running> running_;
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  uint32_t unfinished_ = 0;  // first slices of this turn
};

}  // namespace heptane
