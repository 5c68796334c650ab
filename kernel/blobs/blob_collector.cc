#include "kernel/blobs/blob_collector.h"

namespace heptane::blobs {

void BlobCollector::start(Sequence at) {
  machine_.watch_unnamed();
  for (const Blob& blob : store_.list())
    if (!machine_.names(blob.digest)) candidates_[blob.digest] = at;
}

void BlobCollector::shard_turn(Sequence applied) {
  if (!look_.load(std::memory_order_acquire)) return;
  for (const BlobDigest& digest : machine_.take_unnamed()) candidates_[digest] = applied;
  for (const BlobDigest& digest : store_.take_uploaded()) candidates_[digest] = applied;
  const Sequence older = older_snapshot_.load(std::memory_order_relaxed);
  for (auto at = candidates_.begin(); at != candidates_.end();) {
    const bool named = machine_.names(at->first);
    const bool due = at->second < older;
    if (!named && due) store_.doom(at->first);
    at = named || due ? candidates_.erase(at) : std::next(at);
  }
  look_.store(false, std::memory_order_release);
}

Result<size_t> BlobCollector::helper_turn(Sequence older_snapshot) {
  store_.bury();
  older_snapshot_.store(older_snapshot, std::memory_order_relaxed);
  look_.store(true, std::memory_order_release);
  Result<size_t> removed = store_.collect();
  if (removed) removed_total_.fetch_add(*removed, std::memory_order_relaxed);
  return removed;
}

}  // namespace heptane::blobs
