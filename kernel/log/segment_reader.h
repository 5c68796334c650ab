// Reads of segment files by place. SegmentReader keeps the files it read last open; one owner.
#pragma once

#include <functional>
#include <vector>

#include "kernel/log/log.h"
#include "kernel/log/recent_batches.h"
#include "kernel/log/segment.h"

namespace heptane::log {

constexpr size_t kReadChunkBytes = size_t{1} << 20;

class SegmentReader final : public LogReader {
 public:
  // `recent` is asked before the files. `oldest`: number of the log's oldest segment, asked by close_gone().
  SegmentReader(Disk& disk, std::string directory, const RecentBatches& recent, std::function<uint32_t()> oldest)
      : disk_(disk), directory_(std::move(directory)), recent_(recent), oldest_(std::move(oldest)) {}
  Result<void> read(uint32_t segment, uint64_t offset, MutableBytes into) override;
  Result<bool> try_read(uint32_t segment, uint64_t offset, MutableBytes into) override;
  void know(uint32_t segment) override { (void)open(segment).ok(); }
  void close_gone() override;
  void expect(uint32_t segment, uint64_t offset, uint64_t bytes) override;

 private:
  static constexpr size_t kOpenFilesMax = 8;
  struct OpenFile {
    uint32_t segment = 0;
    std::unique_ptr<File> file;
  };
  File* find(uint32_t segment);
  Result<File*> open(uint32_t segment);
  Error too_short(uint32_t segment, uint64_t end) const;

  Disk& disk_;
  const std::string directory_;
  const RecentBatches& recent_;
  const std::function<uint32_t()> oldest_;
  std::vector<OpenFile> open_;  // the one used last first
};

// Of the first batch in a segment; Errc::not_found when there is none.
Result<BatchHeader> first_batch_header(Disk& disk, const SegmentFile& segment);

}  // namespace heptane::log
