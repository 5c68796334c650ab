// What an entry says of the records of views that its command made (kernel/shard/views.h): which partitions, at which
// offsets, and what a rendering of them needs beside the command. Such an entry needs no batch around it, no state and no
// index to be rendered: the log, the archive and every tool read it alike. Pure; any thread.
//
// Extension `views`: sequence u64, time i64, epoch u32, shard u16, runs u16; then per run: first offset i64, count u32,
// partition u32, logic version u32, machine u16, number of the view u16. Extension `results`: per result machine u16,
// length u32, bytes; the last extension of its entry, zeros up to a multiple of 4.
#pragma once

#include <optional>
#include <vector>

#include "kernel/log/batch.h"

namespace heptane::log {

constexpr size_t kViewRunsLimit = 1024;  // of one entry

// Consecutive records of one view.
struct ViewRun {
  Offset first = 0;
  uint32_t count = 0;
  PartitionId partition = kNoPartition;
  uint32_t version = 0;   // of the machine's logic, when it was applied
  MachineId machine = 0;  // which renders them
  uint16_t view = 0;      // which of its views
  Offset end() const { return first + count; }
  friend bool operator==(const ViewRun&, const ViewRun&) = default;
};

struct EntryViews {
  Sequence sequence = 0;
  LogTime time = 0;
  Epoch epoch = 0;
  ShardId shard = 0;
  std::vector<ViewRun> runs;  // at most kViewRunsLimit, one for each partition
};

void append_views(ByteWriter& out, const EntryViews& views);
// nullopt: the command made none. Errc::corrupt when it is malformed.
Result<std::optional<EntryViews>> views_of(Bytes extensions);

// `results`: as add_result() put them together.
void add_result(std::vector<std::byte>& results, MachineId machine, Bytes bytes);
void append_results(ByteWriter& out, Bytes results);
// What `machine` noted, in its order.
std::vector<Bytes> results_of(Bytes extensions, MachineId machine);

// Both extensions as they lie in the entry; they are its last. Empty: there are none.
Bytes additions_of(Bytes extensions);

}  // namespace heptane::log
