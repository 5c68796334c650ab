// What a server has below its connections, in process: rings, shard, commit, log on files, housekeeping. As in the server
// the calling thread is I/O and shard merged (`Shape::merged`), or the shard has a thread of its own; commit and
// housekeeping always have theirs. The caller plays the I/O side.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/account_machine.h"
#include "bench/wakeup.h"
#include "kernel/base/clock.h"
#include "kernel/base/crc32c.h"
#include "kernel/base/random.h"
#include "kernel/log/segment_log.h"
#include "kernel/shard/shard.h"
#include "kernel/streams/streams_machine.h"
#include "test/toys/counter_ledger.h"
#include "test/toys/kv_machine.h"

namespace heptane::bench {

enum class Shape : uint8_t { merged, shard_apart };

struct PipelineOptions {
  std::string directory;
  Shape shape = Shape::merged;
  size_t accounts = 1024;  // in the processor's cache: the pipeline is measured, not the machine's memory
  size_t link_capacity = 16'384;
  ShardOptions shard;
};

class Pipeline {
 public:
  explicit Pipeline(PipelineOptions options);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Replays what is there; then the threads start. Ends the process with a message when the log refuses.
  log::RecoveryReport recover(const log::RecoverFrom& from = {});
  void start();
  // Seals and ends the threads.
  void stop();

  // I/O side. False when the ring is full.
  template <class AnySubmission>
  bool submit(AnySubmission&& submission, RequestId request) {
    return link_->requests.try_emplace(SessionId{1}, request, std::forward<AnySubmission>(submission));
  }
  // After submitting: lets the shard work (merged), or wakes it.
  void turn();
  // Takes every reply whose gate is synced; how many.
  template <class Each>
  size_t take_replies(Each&& each);
  size_t take_replies() {
    return take_replies([](const ShardReply&) {});
  }
  // Sleeps until a reply can be taken or the shard has work, at most `limit_ns` (< 0: no limit).
  void wait(int64_t limit_ns = -1);
  // Submits and waits for the answer.
  Reply call(Submission submission);

  // Called on the commit's thread after each batch, with its padded bytes. Before start().
  void on_commit(std::function<void(uint64_t)> each) { on_commit_ = std::move(each); }
  // One more step for the housekeeping thread; true: more to do. `wait_ns`: after it, until there is more at the latest.
  // Before start().
  void set_helper(std::function<bool()> step, std::function<int64_t()> wait_ns) {
    helper_step_ = std::move(step);
    helper_wait_ns_ = std::move(wait_ns);
  }
  // One more step of the shard's thread before each of its turns. Before start().
  void set_shard_step(std::function<void()> step) { shard_step_ = std::move(step); }

  Shard& shard() { return *shard_; }
  streams::StreamsMachine& streams() { return *streams_; }
  AccountMachine& accounts() { return *accounts_; }
  Committer& committer() { return *committer_; }
  log::SegmentLog& log() { return *log_; }
  ShardLink& link() { return *link_; }
  Disk& disk() { return disk_; }
  Clock& clock() { return clock_; }
  void wake_shard();
  void wake_helper() { helper_wakeup_.notify(); }

 private:
  void shard_loop();
  void commit_loop();
  void helper_loop();

  PipelineOptions options_;
  SystemDisk disk_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<log::SegmentLog> log_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<AccountMachine> accounts_;
  std::unique_ptr<test::KvMachine> kv_;
  std::unique_ptr<test::CounterLedger> ledger_;
  std::function<void(uint64_t)> on_commit_;
  std::function<bool()> helper_step_;
  std::function<int64_t()> helper_wait_ns_;
  std::function<void()> shard_step_;
  log::LogEnd end_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> ended_{false};
  Wakeup io_wakeup_;
  Wakeup shard_wakeup_;
  Wakeup commit_wakeup_;
  Wakeup helper_wakeup_;
  std::vector<std::thread> threads_;
  std::thread shard_thread_;
  bool more_ = false;
};

template <class Each>
size_t Pipeline::take_replies(Each&& each) {
  size_t taken = 0;
  while (ShardReply* reply = link_->open.front()) {
    each(*reply);
    link_->open.pop();
    ++taken;
  }
  const Sequence watermark = link_->watermark.load(std::memory_order_acquire);
  for (ShardReply* reply = link_->gated.front(); reply != nullptr && reply->gate <= watermark;
       reply = link_->gated.front()) {
    each(*reply);
    link_->gated.pop();
    ++taken;
  }
  return taken;
}

// Commands as an I/O side cuts them out of what it received: views of chunks that several commands share, each with the
// CRC that the sender of a submission owes. One thread's.
class TransferSource {
 public:
  explicit TransferSource(uint64_t seed) : random_(seed) {}
  Submission next();

 private:
  static constexpr size_t kPerChunk = 64;
  SeededRandom random_;
  Buffer chunk_;
  size_t used_ = kPerChunk;
};

// Commands whose bytes were all made before the run, since making them is the clients' work, and are sent again and again:
// views of memory that is as warm as what a socket was just read into, each with the CRC that its sender owes. Outlives
// whoever it submits to. One thread's.
class PreparedTransfers {
 public:
  explicit PreparedTransfers(uint64_t seed);
  // Valid until the next call.
  const Submission& next() {
    const Bytes payload = Bytes(bytes_).subspan(next_++ % kCommands * kTransferBytes, kTransferBytes);
    submission_.payload = Buffer::borrow(payload);
    submission_.payload_crc = crc32c(payload);
    return submission_;
  }

 private:
  static constexpr size_t kCommands = 4096;
  std::vector<std::byte> bytes_;
  size_t next_ = 0;
  Submission submission_;
};

// Ends the bench with a message when `result` is an error.
void must(const Result<void>& result, const char* what);
template <class T>
T must(Result<T> result, const char* what) {
  if (!result) must(Result<void>(std::move(result.error())), what);
  return std::move(*result);
}

}  // namespace heptane::bench
