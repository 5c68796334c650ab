// What SimDisk keeps of a file or a directory; for its own sources only. One thread.
#pragma once

#include <map>
#include <set>

#include "sim/sim_disk.h"
#include "sim/sparse_image.h"

namespace heptane::sim {

constexpr uint64_t kFileBytesMax = uint64_t{1} << 40;
// Above this many the oldest are written back, as a kernel does with its dirty pages.
constexpr size_t kPendingWritesMax = size_t{1} << 16;

// One page of a write, or a new size. `page` is the whole page as it was then; only the sectors in `sectors` count.
struct SimDisk::PendingWrite {
  uint64_t order = 0;
  uint64_t page_index = 0;
  PageRef page;
  uint64_t size = 0;  // the file is at least this long after it; exactly this when it truncates
  bool truncates = false;
  uint8_t sectors = 0;
};

// A change of a directory: `removed` goes, `added` comes; both for a rename inside it. Empty = none.
struct SimDisk::PendingEntry {
  uint64_t order = 0;
  std::string removed;
  std::string added;
  InodeRef inode;  // of `added`
  // A rename into another directory: removing the old name makes the new one durable too, so that no file gets lost.
  // Both entries have the same order.
  std::weak_ptr<Inode> other_directory;
};

struct SimDisk::Inode {
  bool directory = false;
  bool linked = false;  // has a name in the view
  bool locked = false;
  uint32_t handles = 0;  // of the living process
  uint64_t charged_bytes = 0;

  SparseImage view;
  SparseImage platter;
  std::vector<PendingWrite> pending_writes;
  std::set<uint64_t> unreadable_sectors;

  std::map<std::string, InodeRef> view_entries;
  std::map<std::string, InodeRef> platter_entries;
  std::vector<PendingEntry> pending_entries;
};

template <class T>
Result<T> SimDisk::finish(Result<T> result) {
  if (!trace_.empty())
    trace_[(traced_ - 1) % trace_.size()].outcome = result.ok() ? "ok" : errc_name(result.error().code);
  return result;
}

// An operation on names or sizes: all or nothing, also when the power goes in the middle.
template <class Action>
auto SimDisk::change(const char* what, const std::string& path, uint64_t length, Action&& action)
    -> decltype(action()) {
  using Outcome = decltype(action());
  const Admission admission = admit(what, path, 0, length);
  if (admission == Admission::dead) return closed();
  if (admission == Admission::cut_short) {
    if (random_.one_in(2)) (void)action();
    return finish(Outcome(closed()));
  }
  if (fires(SimFault::metadata_error))
    return finish(Outcome(Error{Errc::io, std::string(what) + " " + path + ": input/output error (injected)"}));
  return finish(action());
}

}  // namespace heptane::sim
