// Removes the files of blobs that nothing names any more. A file goes only when the state does not name it and both
// snapshots that a start may use were taken after it stopped to: no state that can be made again names it.
//
// Candidates are what stopped being named, every upload (its command may never come), and at a start every file that is
// not named. A candidate is looked at again before its file goes; who uploads the same bytes meanwhile saves it
// (BlobStore::hold).
// Threads: start() before all others; shard_turn() the shard's; the rest the helper's.
#pragma once

#include <atomic>
#include <map>

#include "kernel/blobs/blob_store.h"
#include "kernel/blobs/blobs_machine.h"

namespace heptane::blobs {

class BlobCollector {
 public:
  BlobCollector(BlobStore& store, BlobsMachine& machine) : store_(store), machine_(machine) {}

  // After recovery, at the last sequence of the state.
  void start(Sequence at);
  // Between two commands; cheap when there is nothing to look at.
  void shard_turn(Sequence applied);

  // The older of the two snapshots that are kept; 0: there are no two. Removes what the shard found; how many.
  Result<size_t> helper_turn(Sequence older_snapshot);

  uint64_t removed_total() const { return removed_total_.load(std::memory_order_relaxed); }

 private:
  BlobStore& store_;
  BlobsMachine& machine_;
  std::map<BlobDigest, Sequence> candidates_;  // not named behind this sequence, as far as is known
  std::atomic<bool> look_{false};
  std::atomic<Sequence> older_snapshot_{0};
  std::atomic<uint64_t> removed_total_{0};
};

}  // namespace heptane::blobs
