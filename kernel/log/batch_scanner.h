// Walks the batches of a log in order, over all its segments: the one reader that recovery, verify, dump, repair and
// ranged reads share. It returns a batch only when header, place, chain, sequence, epoch and body are right, and stops at
// the first that is not; `find_evidence` then says whether something behind it proves that it had been synced.
// One owner. Reads in chunks (8 MiB unless told); memory is bounded by a chunk and the longest batch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/log/log.h"
#include "kernel/log/segment.h"

namespace heptane::log {

// A sliding window over a file; what lies beyond its end reads as zeros.
class WindowReader {
 public:
  WindowReader(std::unique_ptr<File> file, uint64_t file_bytes, size_t chunk_bytes)
      : file_(std::move(file)), file_bytes_(file_bytes), chunk_bytes_(chunk_bytes) {}
  // Valid until the next call. length <= kBatchLimitBytes.
  Result<Bytes> view(uint64_t offset, size_t length);
  void forget() { begin_ = end_ = 0; }  // what was read may have changed on disk

 private:
  std::unique_ptr<File> file_;
  uint64_t file_bytes_;
  size_t chunk_bytes_;
  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_ = 0;
  uint64_t begin_ = 0;  // the buffer holds [begin_, end_) of the file
  uint64_t end_ = 0;
};

// Where the next batch must begin and what it must say.
struct ScanPosition {
  uint32_t segment = 0;
  uint64_t offset = 0;
  Sequence next_sequence = 1;
  ChainValue chain{};
  Epoch epoch = 0;
};

// A batch that starts where none may, or one that follows a bad one: proof that bytes before it had been synced.
struct Evidence {
  BatchPlace place;
  BatchHeader header;
};

class BatchScanner {
 public:
  static constexpr size_t kChunkBytes = size_t{8} << 20;

  // `segments` by number without a hole, headers checked; `start.segment` is among them.
  BatchScanner(Disk& disk, const LogId& log_id, ShardId shard, std::vector<SegmentFile> segments, ScanPosition start,
               size_t chunk_bytes = kChunkBytes);

  struct Scanned {
    BatchView view;  // until the next call
    BatchPlace place;
  };
  // nullopt: no valid batch at position(); why_ended() says what is there.
  Result<std::optional<Scanned>> next();

  // Where the next batch was looked for.
  const ScanPosition& position() const { return position_; }
  // Where the last valid batch ended. It differs from position() when a batch that went to the next segment is torn: once
  // that is cleared, the log goes on here, and the next segment is as if never used.
  const ScanPosition& end() const { return end_; }
  const std::string& why_ended() const { return why_ended_; }
  // The file that holds position(), for messages.
  std::string path() const;

  // After next() returned nothing: the first valid header at or behind position() that cannot be part of one torn write.
  Result<std::optional<Evidence>> find_evidence();
  // Highest last sequence and epoch that any valid header at or behind position() names; 0 when there is none.
  struct Highest {
    Sequence sequence = 0;
    Epoch epoch = 0;
  };
  Result<Highest> highest_behind();

  // Ranges of blocks behind end() that are not zero, at most one per segment, from the first such block to the last.
  struct Remains {
    uint32_t segment = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  Result<std::vector<Remains>> find_remains();

  // Forgets what is buffered, so that next() looks again (a running server may have written).
  void look_again() { window_.reset(); }
  const std::vector<SegmentFile>& segments() const { return segments_; }
  Result<WindowReader*> window(uint32_t segment);

 private:
  enum class Fit : uint8_t { follows, valid_elsewhere, nothing };

  const SegmentFile& segment_file(uint32_t number) const { return segments_[number - segments_.front().number]; }
  bool has_segment(uint32_t number) const { return number <= segments_.back().number; }
  uint64_t segment_bytes(uint32_t number) const { return segment_file(number).header->segment_bytes; }
  Result<std::optional<BatchHeader>> header_at(uint32_t segment, uint64_t offset, std::string* why);
  bool follows(const BatchHeader& header) const;
  Result<std::optional<Scanned>> take(uint32_t segment, uint64_t offset, const BatchHeader& header);
  Result<bool> try_roll();
  template <class Each>
  Result<void> each_header_behind(Each&& each);

  Disk& disk_;
  const LogId log_id_;
  const ShardId shard_;
  std::vector<SegmentFile> segments_;
  ScanPosition position_;
  ScanPosition end_;
  size_t chunk_bytes_;
  std::unique_ptr<WindowReader> window_;
  uint32_t window_segment_ = 0;
  std::string why_ended_;
};

}  // namespace heptane::log
