// The archive segments of one shard: which there are, publishing, dropping, and reading records and commands out of them.
//
// Invariants: a file with a final name was written whole, synced and read back; the catalog is in order of sequence and its
// ranges do not overlap; nothing is handed out whose CRC does not match. Memory: some 300 bytes for each archive segment,
// nothing for each stream. A damaged file stays: reads in its range say so and the rest goes on.
// Threads: open first; publish, drop and rewrite the helper's; catalog() any; an ArchiveReader is its thread's own.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernel/archive/archive_format.h"
#include "kernel/base/disk.h"

namespace heptane::archive {

struct ArchiveSegment {
  std::string path;
  ArchiveHeader header;
  ArchiveFooter footer;
  std::string damage;  // why it cannot be read; empty: it can
};
using Catalog = std::vector<std::shared_ptr<const ArchiveSegment>>;  // by sequence

struct ArchiveStoreOptions {
  std::string directory;  // DATA/shard-0/archive
  ShardId shard = 0;
};

class ArchiveStore {
 public:
  ArchiveStore(Disk& disk, ArchiveStoreOptions options) : disk_(disk), options_(std::move(options)) {}

  // Makes the directory, removes what an interrupted run left, reads every header and footer. Errc::refused for an
  // archive segment of another log, Errc::unsupported for another format.
  Result<void> open(const std::optional<LogId>& log_id);
  // As open, and changes nothing: beside a running server.
  Result<void> look(const std::optional<LogId>& log_id);
  // A line for each file that is damaged or was passed over.
  const std::vector<std::string>& reports() const { return reports_; }

  std::shared_ptr<const Catalog> catalog() const;
  // The last log segment that the archive takes the place of; 0 = none.
  uint32_t last_log_segment() const;

  std::string temporary_path() const { return options_.directory + "/next.tmp"; }
  // The written and verified temporary file gets its name; one of an older generation in its place goes afterwards.
  Result<void> publish(const ArchiveHeader& header, const ArchiveFooter& footer);
  Result<void> drop(const ArchiveSegment& segment);

  // What header and footer of a file say; damage is told in it. Errc::refused: it is of another log.
  Result<std::shared_ptr<ArchiveSegment>> load(const std::string& path, const std::optional<LogId>& log_id);
  Disk& disk() { return disk_; }

 private:
  std::string final_path(const ArchiveHeader& header) const;
  ArchiveHeader header_of_name(const std::string& path) const;
  Result<Catalog> find(const std::optional<LogId>& log_id, std::vector<std::string>& surplus);
  void replace(Catalog next);

  Disk& disk_;
  const ArchiveStoreOptions options_;
  std::vector<std::string> reports_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Catalog> catalog_ = std::make_shared<Catalog>();
};

class ArchiveReader {
 public:
  ArchiveReader(Disk& disk, const ArchiveStore& store) : disk_(disk), store_(store) {}

  // Closes what it holds open of files that are no longer in the catalog.
  void close_gone();

  // What the index says of a partition as of the end of that archive segment; nullopt: it has no row there.
  Result<std::optional<Row>> row(const ArchiveSegment& segment, PartitionId partition);
  // Calls `each(Row)` for every row in order; stops at its first error.
  template <class Each>
  Result<void> for_each_row(const ArchiveSegment& segment, Each&& each);

  // Whole record batches from the one that holds `offset` on, at least one, until `max_bytes`. Errc::not_found: no archive
  // segment holds that offset.
  Result<std::vector<Buffer>> read(PartitionId partition, Offset offset, uint32_t max_bytes);
  // First offset of the first run with a record of a timestamp >= time_ms, at or behind `from`; nullopt when no archive
  // segment has one.
  Result<std::optional<Offset>> offset_for_time(PartitionId partition, Offset from, int64_t time_ms);
  // First offset of the newest runs that together have at least `bytes`; nullopt when all archive segments together
  // have fewer.
  Result<std::optional<Offset>> offset_for_bytes(PartitionId partition, uint64_t bytes);

  struct FoundCommand {
    Buffer memory;
    Item item;
  };
  // Errc::not_found: it was not retained, or lies behind the archive.
  Result<FoundCommand> command(Sequence sequence);
  // The commands of an archive segment from `from` on that are still kept, in order, record batches too. False from `each`
  // ends it.
  using EachCommand = std::function<Result<bool>(const Item& item)>;
  Result<void> for_each_command(const ArchiveSegment& segment, Sequence from, const EachCommand& each);
  // Reads every byte of an archive segment behind its header and checks it; what is wrong is told with its offset in the
  // file, without the path. `each(group, item, bytes)` sees every item.
  template <class Each>
  Result<void> verify(const ArchiveSegment& segment, Each&& each);

 private:
  struct OpenFile {
    std::string path;
    std::unique_ptr<File> file;
  };
  static constexpr size_t kOpenFilesMax = 16;
  // What was read of an index: a consumer that catches up asks for the same again and again.
  struct Known {
    std::string path;
    PartitionId partition = kNoPartition;
    std::optional<Row> row;
    std::shared_ptr<const std::vector<Run>> runs;  // null: not read yet
  };
  static constexpr size_t kKnownMax = 64;
  static constexpr size_t kKnownRunsMax = 256 << 10;  // of all together: 6 MiB

  // Where a read goes on: a run of the partition's in one archive segment of the catalog.
  struct Cursor {
    size_t segment = 0;
    Row row;
    std::shared_ptr<const std::vector<Run>> runs;
    size_t run = 0;
  };
  // Whole runs that follow each other in one archive segment.
  struct Piece {
    const ArchiveSegment* segment = nullptr;
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  // What a read has found so far.
  struct Found {
    PartitionId partition = kNoPartition;
    Offset offset = 0;  // records before it are not wanted
    uint32_t max_bytes = 0;
    std::vector<Buffer> batches;
    uint64_t bytes = 0;
  };

  static Result<void> check_place(const ArchiveSegment& segment, const Row& row);
  Result<File*> open(const ArchiveSegment& segment);
  Known* known(const ArchiveSegment& segment, PartitionId partition);
  void remember(Known fresh);
  Result<std::optional<Row>> find_row(const ArchiveSegment& segment, PartitionId partition);
  Result<Cursor> cursor_at(const Catalog& catalog, PartitionId partition, Offset offset);
  std::optional<Piece> next_piece(const Catalog& catalog, Cursor& cursor, uint64_t limit);
  std::vector<Piece> next_pieces(const Catalog& catalog, Cursor& cursor, uint64_t limit);
  // False: enough was found.
  Result<bool> read_piece(const Piece& piece, Found& found);
  Result<void> read_exactly(const ArchiveSegment& segment, uint64_t at, MutableBytes into);
  Result<std::shared_ptr<const std::vector<Run>>> runs(const ArchiveSegment& segment, const Row& row);
  // Index into the catalog of the first one whose row ends behind `offset`; size() when none.
  Result<size_t> find(const Catalog& catalog, PartitionId partition, Offset offset, std::optional<Row>& row);
  Result<void> verify_index(const ArchiveSegment& segment);
  Result<std::vector<Place>> places(const ArchiveSegment& segment, Sequence from);
  Result<FoundCommand> small_command_at(const ArchiveSegment& segment, uint64_t at);
  Result<FoundCommand> command_at(const ArchiveSegment& segment, uint64_t at, uint64_t end);

  Disk& disk_;
  const ArchiveStore& store_;
  std::shared_ptr<const Catalog> seen_;  // when files that are gone were closed last
  std::vector<OpenFile> open_;           // the one used last first
  std::vector<Known> known_;             // the one used last first
};

template <class Each>
Result<void> ArchiveReader::for_each_row(const ArchiveSegment& segment, Each&& each) {
  constexpr uint32_t kStep = 512;
  std::vector<std::byte> memory(kStep * kRowBytes);
  for (uint32_t i = 0; i < segment.footer.rows; i += kStep) {
    const uint32_t count = std::min(kStep, segment.footer.rows - i);
    const MutableBytes bytes(memory.data(), count * kRowBytes);
    HEPTANE_TRY(read_exactly(segment, segment.footer.rows_at + uint64_t{i} * kRowBytes, bytes));
    for (uint32_t k = 0; k < count; ++k) {
      const Result<Row> row = decode_row(Bytes(bytes).subspan(k * kRowBytes));
      if (!row) return row.error();
      HEPTANE_TRY(check_place(segment, *row));
      HEPTANE_TRY(each(*row));
    }
  }
  return {};
}

// Items never cross a window by more than one entry's limit, so a window is refilled when less than that is left of it.
template <class Each>
Result<void> ArchiveReader::verify(const ArchiveSegment& segment, Each&& each) {
  constexpr size_t kItemLimit = kFrameBytes + log::kEntryHeaderBytes + 2 * log::kPayloadLimitBytes;
  HEPTANE_TRY(verify_index(segment));
  std::vector<std::byte> window(static_cast<size_t>(std::min<uint64_t>(2 * kItemLimit, segment.footer.rows_at)));
  uint64_t window_at = 0;
  size_t filled = 0;
  return for_each_row(segment, [&](const Row& row) -> Result<void> {
    for (uint64_t at = row.begin_at; at < row.end_at;) {
      const uint64_t wanted = std::min<uint64_t>(kItemLimit, row.end_at - at);
      if (at < window_at || at + wanted > window_at + filled) {
        window_at = at;
        filled = static_cast<size_t>(std::min<uint64_t>(window.size(), segment.footer.rows_at - at));
        HEPTANE_TRY(read_exactly(segment, at, MutableBytes(window.data(), filled)));
      }
      const Result<Item> item =
          decode_item(Bytes(window).subspan(static_cast<size_t>(at - window_at), static_cast<size_t>(wanted)));
      if (!item) return Error{item.error().code, "offset " + std::to_string(at) + ": " + item.error().message};
      const Bytes bytes = Bytes(window).subspan(static_cast<size_t>(at - window_at), static_cast<size_t>(item->bytes));
      HEPTANE_TRY(each(row.partition, *item, bytes));
      at += item->bytes;
    }
    return {};
  });
}

}  // namespace heptane::archive
