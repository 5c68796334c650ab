// Makes one archive segment out of whole log segments, or a smaller one out of an archive segment that is mostly dead, in
// steps: collect what lives, write it grouped, read it back. Records of views are rendered on their way from the log: in the
// archive they are records like others. One owner, one thread (the helper's).
#pragma once

#include <memory>
#include <vector>

#include "kernel/archive/archive_store.h"
#include "kernel/archive/archive_writer.h"
#include "kernel/log/segment_log.h"
#include "kernel/shard/views.h"

namespace heptane::archive {

// What lives, by PartitionId, as synced when it was looked at. A partition that is not in it came later and lives.
struct Liveness {
  static constexpr Offset kGone = INT64_MAX;
  std::vector<Offset> log_starts;
  bool lives(PartitionId partition, Offset end) const {
    return partition >= log_starts.size() || (log_starts[partition] != kGone && log_starts[partition] < end);
  }
  bool gone(PartitionId partition) const { return partition < log_starts.size() && log_starts[partition] == kGone; }
};

class ArchiveBuilder {
 public:
  ArchiveBuilder(ArchiveStore& store, log::SegmentLog& log) : store_(store), log_(log) {}

  // Before begin_log. Outlive this.
  void set_renderers(const ViewRenderers& renderers) { renderers_ = &renderers; }
  // Archives the sequences from `header.first_sequence` to `header.last_sequence`, which the log still holds.
  void begin_log(const ArchiveHeader& header, Liveness liveness, bool keep_commands);
  // Writes `segment` again without what is dead, as its next generation.
  void begin_rewrite(std::shared_ptr<const ArchiveSegment> segment, Liveness liveness, bool keep_commands);
  void abandon();

  enum class Progress : uint8_t { more, done };
  // About `bytes` more. done: the temporary file is whole, synced and read back; footer() and header() describe it.
  Result<Progress> step(uint64_t bytes);
  const ArchiveHeader& header() const { return header_; }
  const ArchiveFooter& footer() const { return footer_; }
  bool active() const { return phase_ != Phase::idle; }

 private:
  enum class Phase : uint8_t { idle, collecting, writing, verifying };
  struct Source {
    ArchiveItem item;
    uint32_t segment = 0;  // of the log; unused when an archive segment is written again
    uint64_t at = 0;
    uint32_t bytes = 0;
    int32_t view_run = -1;  // of a command's entry: which of its runs of views is meant; -1: the entry itself
  };

  void begin(const ArchiveHeader& header, Liveness liveness, bool keep_commands);
  Result<void> collect_segment();
  Result<void> collect_archive();
  Result<void> carry_rows();
  Result<void> carry_rows_of(const ArchiveSegment& segment);
  Result<void> collect(const log::EntryView& entry, Bytes bytes, const Frame& frame, uint32_t segment, uint64_t at);
  Result<void> collect_views(const log::EntryView& entry, Source source);
  Result<void> write_views(const Source& source, const log::EntryView& entry);
  Result<void> open_file();
  Result<bool> write_some(uint64_t bytes);
  Result<void> write_one(const Source& source);
  Result<void> begin_partitions_upto(PartitionId partition);
  Result<void> verify();

  ArchiveStore& store_;
  log::SegmentLog& log_;
  const ViewRenderers* renderers_ = nullptr;  // none: nothing has views
  Phase phase_ = Phase::idle;
  std::shared_ptr<const ArchiveSegment> rewritten_;
  ArchiveHeader header_;
  ArchiveFooter footer_;
  Liveness liveness_;
  bool keep_commands_ = true;
  uint32_t next_segment_ = 0;
  bool any_batch_ = false;
  std::vector<Source> sources_;  // record batches; plain commands are in order and were written when they were met
  size_t next_ = 0;
  std::vector<std::pair<PartitionId, Offset>> carried_;  // rows of the archive segment before this one
  size_t next_carried_ = 0;
  std::unique_ptr<File> file_;
  std::unique_ptr<ArchiveWriter> writer_;
  std::unique_ptr<log::LogReader> log_reader_;
  std::unique_ptr<ArchiveReader> archive_reader_;
  std::unique_ptr<File> rewritten_file_;
  std::vector<std::byte> entry_;
  PartitionId begun_ = kCommandsGroup;
};

}  // namespace heptane::archive
