// The records of all streams in the order in which their commands were applied, each with its position: for whoever projects
// them elsewhere. What is handed out is synced. The implementation stands above log and archive.
//
// Threads: durable() any; read() one thread's.
#pragma once

#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"

namespace heptane::streams {

// A record batch as it is kept (perhaps compressed), with where its records come from.
struct HistoryBatch {
  PartitionId partition = kNoPartition;
  Bytes batch;
  Sequence position = 0;            // of every record, or of the first
  std::vector<Sequence> positions;  // of each record, where they differ
  bool archived = false;            // its stretch comes partition after partition
};

class HistoryVisitor {
 public:
  virtual ~HistoryVisitor() = default;
  // The records of a partition up to `end` are asked for; else they need not be rendered.
  virtual bool wants(PartitionId partition, Offset end) = 0;
  // An error ends the read.
  virtual Result<void> take(const HistoryBatch& batch) = 0;
  // Something of the archive cannot be read and is passed over.
  virtual void damaged(const std::string& why) = 0;
};

class HistoryReader {
 public:
  virtual ~HistoryReader() = default;
  // The highest sequence known synced.
  virtual Sequence durable() const = 0;
  // Everything of the commands from `from` on until about `bytes_most` of log, in their order; of an archived stretch all of
  // it, partition after partition. Returns the last sequence that is behind it now; from - 1: nothing is there yet. What the
  // log has let go of is passed over. Errors: of the visitor; corrupt, io.
  virtual Result<Sequence> read(Sequence from, uint64_t bytes_most, HistoryVisitor& visitor) = 0;
};

}  // namespace heptane::streams
