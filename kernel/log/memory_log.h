// The log in memory: the same batches, places and chain as on disk, kept encoded; nothing is written anywhere. For tests
// and benches of the layers above, and for a server that may forget.
//
// `recover` may be called again: it visits what was appended, as a restart would. Appends complete inside the call, or
// after `hold()` when `release()` says so; `drop()` loses what is held, as a crash would.
// Threads: as Log; hold, release and drop on the commit thread.
#pragma once

#include <deque>
#include <mutex>

#include "kernel/base/random.h"
#include "kernel/log/log.h"

namespace heptane::log {

class MemoryLog final : public Log {
 public:
  explicit MemoryLog(Random& random, ShardId shard = 0);
  ~MemoryLog() override;

  Result<RecoveryReport> recover(const RecoverFrom& from, const BatchVisitor& visit) override;
  const LogId& id() const override { return id_; }
  void append(PendingBatch& batch, AppendCompletion done) override;
  Result<bool> maintain() override { return false; }
  bool wants_maintenance() const override { return false; }
  Result<void> read(Sequence from, Sequence upto, const BatchVisitor& visit) override;
  std::unique_ptr<LogReader> reader() override;
  Result<void> trim(Sequence below) override;
  uint64_t prepared_bytes() const override { return kSegmentBytes; }

  void hold() { held_ = true; }
  void release();
  void drop();
  // The next append and all later ones fail with this error.
  void fail_next(Error error) { failure_ = std::move(error); }
  bool append_in_flight() const { return static_cast<bool>(pending_done_); }

 private:
  static constexpr uint64_t kSegmentBytes = uint64_t{64} << 20;

  struct Batch {
    BatchPlace place;
    Sequence first_sequence = 0;
    Sequence last_sequence = 0;
    std::shared_ptr<const std::vector<std::byte>> bytes;
  };
  // Shared with readers, which may outlive the log.
  struct Store {
    mutable std::mutex mutex;
    std::deque<Batch> batches;  // by place
  };
  class Reader;

  void complete(Batch batch, AppendCompletion done);

  LogId id_{};
  const ShardId shard_;
  std::shared_ptr<Store> store_;
  // Commit thread only.
  uint32_t segment_ = 1;
  uint64_t offset_ = kBlockBytes;
  Sequence next_sequence_ = 1;
  ChainValue chain_{};
  bool held_ = false;
  std::optional<Error> failure_;
  Batch pending_;
  uint32_t pending_crc_ = 0;
  AppendCompletion pending_done_;
};

}  // namespace heptane::log
