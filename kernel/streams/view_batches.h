// Record batches of a view, rendered out of the log entries of the commands that made its records (kernel/shard/views.h).
// Several commands' records share a batch as far as they follow each other in one epoch; header and CRC are made here, and
// every record gets its position as a header. One thread's; made for one read.
//
// Invariant: what comes out is what any other rendering of the same records gives, but for where batches begin and end. A
// rendering of another number of records than the entry says is an error, never a gap.
#pragma once

#include <span>
#include <vector>

#include "kernel/shard/views.h"
#include "kernel/streams/record_batch.h"

namespace heptane::streams {

constexpr std::string_view kPositionHeader = "heptane.position";  // `0:123456`, of the command

struct ViewLimits {
  uint64_t total_bytes = UINT64_MAX;     // of all batches; one record at least is rendered
  size_t batch_bytes = size_t{1} << 20;  // of one; a longer record stands alone
};

class ViewBatches {
 public:
  ViewBatches(const ViewRenderers& renderers, ViewLimits limits) : renderers_(renderers), limits_(limits) {}

  // Renders the records of `run`, which is one of `views` and of the entry, from `from` on. False: no room for more.
  Result<bool> add(const log::EntryView& entry, const log::EntryViews& views, const log::ViewRun& run, Offset from);
  // All batches so far, in order.
  std::vector<Buffer> take();

 private:
  class Writer;
  bool put(const log::EntryViews& views, Offset offset, const ViewRecord& record);
  Bytes with_position(std::span<const ViewHeader> headers, size_t bytes_most);
  void close_batch();

  const ViewRenderers& renderers_;
  const ViewLimits limits_;
  std::vector<Buffer> batches_;
  uint64_t bytes_ = 0;  // of what is closed
  RecordBatchBuilder open_;
  Offset open_first_ = 0;
  Epoch open_epoch_ = 0;
  Sequence position_of_ = 0;  // what headers_ says
  ByteWriter headers_;
  ByteWriter own_headers_;  // those, and the record's
};

}  // namespace heptane::streams
