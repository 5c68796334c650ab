// Writes one archive segment: items in order of group and key through one aligned buffer, then the index over them.
// Kernel-packed record batches that follow each other are merged up to 64 KiB. One owner, one thread.
#pragma once

#include <optional>
#include <vector>

#include "kernel/archive/archive_format.h"
#include "kernel/base/aligned_buffer.h"
#include "kernel/base/disk.h"
#include "kernel/streams/record_batch.h"

namespace heptane::archive {

constexpr size_t kRunTargetBytes = 64 << 10;  // between two runs of a group, and of a merged batch

// One log entry on its way into the archive.
struct ArchiveItem {
  PartitionId group = kCommandsGroup;
  Offset first = 0;  // key: sequence or offset; and one past the last
  Offset end = 0;
  int64_t max_timestamp_ms = INT64_MIN;
  Frame frame;
};

class ArchiveWriter {
 public:
  // `file` is empty and outlives the writer.
  ArchiveWriter(File& file, const ArchiveHeader& header);

  // A partition that exists; before its items, partitions in order. `end` is where its next record will be, as far as
  // the archive segments before this one know.
  void begin_partition(PartitionId partition, Offset end);
  // `entry` is valid (log::decode_entry gave `view`).
  void add(const ArchiveItem& item, Bytes entry, const log::EntryView& view);
  // Index, footer, sync. `footer` gives last_time and the chain values; the rest is filled in.
  Result<ArchiveFooter> finish(ArchiveFooter footer);
  // The first error of a write; finish() says it again.
  const Result<void>& result() const { return result_; }
  uint64_t written_bytes() const { return written_ + filled_; }

 private:
  // Record batches being merged.
  struct Pack {
    ArchiveItem item;
    int32_t leader_epoch = 0;
    streams::RecordBatchBuilder records;
    ByteWriter causes;
  };
  bool merge(const ArchiveItem& item, const log::EntryView& view);
  void write_pack();
  void write_item(const ArchiveItem& item, Bytes entry);
  void append(Bytes bytes);
  void close_row();
  void flush();

  File& file_;
  AlignedBuffer buffer_{size_t{1} << 20};
  size_t filled_ = 0;
  uint64_t written_ = 0;
  Result<void> result_;
  std::optional<Row> row_;
  std::vector<Row> rows_;
  std::vector<Run> runs_;
  std::vector<Place> places_;
  std::optional<Pack> pack_;
  uint64_t command_bytes_ = 0;
};

}  // namespace heptane::archive
