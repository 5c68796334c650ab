// A long run of whole chunks read straight into where their payload belongs, by several threads at once: a table of a
// gigabyte is restored as fast as memory takes it. Every chunk is checked where it lies.
#pragma once

#include <functional>

#include "kernel/base/disk.h"
#include "kernel/snapshot/snapshot_format.h"

namespace heptane::snapshot {

// Chunks one behind the other, all of them full.
struct ChunkRun {
  uint64_t offset = 0;  // of the first in the file
  uint32_t number = 0;  // of the first
  Section section = Section::state;
  uint32_t key = 0;
};

// `into` has the size of whole payloads. `in_order` gets every piece of it once it is right, in order, on the calling thread.
// The file is read by `threads` (>= 1) threads, the caller's among them. An error names the first bad chunk; what `into`
// holds then is undefined.
Result<void> read_bulk(File& file, const ChunkRun& run, MutableBytes into, size_t threads,
                       const std::function<void(Bytes)>& in_order);

}  // namespace heptane::snapshot
