// The history of all streams out of the log's segments, and out of the archive where the log no longer reaches. Keeps its place
// between two reads: whoever follows the log reads each batch once. Memory: a window of some hundred KiB, or the longest batch.
// Threads: read() one thread's; durable() any.
#pragma once

#include <memory>
#include <string>

#include "kernel/archive/archive_store.h"
#include "kernel/log/batch_scanner.h"
#include "kernel/log/segment_log.h"
#include "kernel/shard/views.h"
#include "kernel/streams/history.h"

namespace heptane::server {

struct HistoryPlaces {
  std::string log_directory;
  LogId log_id{};
  ShardId shard = 0;
};

class LogHistoryReader final : public streams::HistoryReader {
 public:
  // All outlive this; the log is recovered, `renderers` filled.
  LogHistoryReader(Disk& disk, const log::SegmentLog& log, const archive::ArchiveStore& archive,
                   const ViewRenderers& renderers, HistoryPlaces places);

  Sequence durable() const override { return log_.durable(); }
  Result<Sequence> read(Sequence from, uint64_t bytes_most, streams::HistoryVisitor& visitor) override;

 private:
  Result<Sequence> read_log(Sequence from, Sequence durable, uint64_t bytes_most, streams::HistoryVisitor& visitor);
  Result<Sequence> read_archive(Sequence from, Sequence log_first, streams::HistoryVisitor& visitor);
  Result<void> place_scanner(Sequence from);
  Result<void> take_batch(const log::BatchView& batch, streams::HistoryVisitor& visitor);
  Result<void> take_views(const log::EntryView& entry, streams::HistoryVisitor& visitor);

  Disk& disk_;
  const log::SegmentLog& log_;
  const archive::ArchiveStore& archive_;
  archive::ArchiveReader archive_reader_;
  const ViewRenderers& renderers_;
  const HistoryPlaces places_;
  std::unique_ptr<log::BatchScanner> scanner_;
  Sequence next_ = 0;  // what the scanner finds next, or less
};

}  // namespace heptane::server
