// The durable ordered log of one shard, as everything above it sees it. Two implementations: SegmentLog (files) and
// MemoryLog (tests, benches of the layers above).
//
// Invariants: batches are appended one at a time and have consecutive sequences; `done` with ok means synced; after an
// error nothing more is appended and nothing is retried; a read hands out only bytes whose CRC matched.
// Threads: `append` on the commit thread; `maintain` on the helper; `recover` before either; LogReader anywhere.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/log/batch.h"

namespace heptane::log {

// A batch ready for the log: the header's shard, epoch, sequences, base time and digest are set; segment, offset, CRCs,
// chain, log id and durable_upto are the log's to fill in. `memory` starts with room for the header, is aligned to a block
// and has room for zeros up to the next one. Every entry in it is sealed, except those of kind `records`, whose payload
// CRC and header CRC (and Kafka CRC field) the commit fills in.
struct PendingBatch {
  BatchHeader header;
  std::byte* memory = nullptr;
  std::shared_ptr<const void> owner;  // of `memory`: taken before `done` by a log that keeps those bytes for readers
  std::vector<uint32_t> unsealed_records;  // offsets (from the batch header) of the entries the commit seals
};

struct LogEnd {
  Sequence last_sequence = 0;  // 0 = nothing was ever written
  Epoch epoch = 0;             // highest seen; a start uses the next
  LogTime last_time = 0;       // base time of the last batch (commands may be later by their own delta)
};

struct RecoveryReport {
  LogEnd end;
  uint64_t batches = 0;
  uint64_t bytes = 0;             // valid, from where the scan began
  uint64_t torn_bytes = 0;        // copied to quarantine and zeroed
  uint64_t rewritten_bytes = 0;   // beyond the evidence of durability: written and synced again
  Sequence durable_evidence = 0;  // highest durable_upto found, or the snapshot's
  std::string quarantined;        // path, empty when there was no torn tail
};

// Where recovery begins: the batch after a snapshot, or the beginning of the log.
struct RecoverFrom {
  BatchPlace place;               // segment 0 = the oldest segment there is
  Sequence next_sequence = 1;     // of the first batch read
  ChainValue previous_chain{};    // of the batch before it
  Sequence durable_evidence = 0;  // the snapshot's sequence: everything up to it was synced
};

using BatchVisitor = std::function<Result<void>(const BatchView&, const BatchPlace&)>;
using AppendCompletion = std::function<void(Result<BatchPlace>)>;

// Random reads of durable batches. One owner; make one per thread.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // Bytes [offset, offset + into.size()) of a segment. No check is made: the caller decodes entries, which does.
  virtual Result<void> read(uint32_t segment, uint64_t offset, MutableBytes into) = 0;
  // The same when it waits for no disk; false: it would. A segment that was not read before is opened by read(), or here
  // once another thread has: see know().
  virtual Result<bool> try_read(uint32_t segment, uint64_t offset, MutableBytes into) = 0;
  // Another thread has just read of this segment: its name and inode are in memory, opening it waits for nothing.
  virtual void know(uint32_t segment) { (void)segment; }
  // Closes segments that the log has let go of meanwhile, so that their space is free; until then they can be read.
  virtual void close_gone() {}
  // These bytes are read next: the system may begin to fetch them.
  virtual void expect(uint32_t segment, uint64_t offset, uint64_t bytes) { (void)segment, (void)offset, (void)bytes; }
};

class Log {
 public:
  virtual ~Log() = default;

  // Once, first: visits every valid batch in order and leaves the log ready to append. An error of the visitor ends it.
  virtual Result<RecoveryReport> recover(const RecoverFrom& from, const BatchVisitor& visit) = 0;

  virtual const LogId& id() const = 0;

  // Exactly one may be in flight. `batch` stays untouched until `done`, which is called once, on this thread or from the
  // disk's completion.
  virtual void append(PendingBatch& batch, AppendCompletion done) = 0;

  // One step of housekeeping (prepare the next segment, zero it); true when there is more to do at once.
  virtual Result<bool> maintain() = 0;
  // A call of maintain() would have something to do.
  virtual bool wants_maintenance() const = 0;

  // Visits the durable batches that hold sequences >= from, up to `upto`.
  virtual Result<void> read(Sequence from, Sequence upto, const BatchVisitor& visit) = 0;
  virtual std::unique_ptr<LogReader> reader() = 0;

  // Everything below `below` may go (whole segments, oldest first).
  virtual Result<void> trim(Sequence below) = 0;

  // Bytes a later append can still use without asking the file system, for admission when the disk fills.
  virtual uint64_t prepared_bytes() const = 0;
};

}  // namespace heptane::log
