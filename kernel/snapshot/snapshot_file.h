// Writing and reading one snapshot file (FORMAT.md) through one fixed aligned buffer each. One owner, one thread at a time.
//
// The writer allocates nothing after its construction and takes no lock but the file's own system calls: a forked child
// runs it. The reader hands out nothing whose CRC does not match; verify_some() has read the whole file when it is done.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kernel/base/aligned_buffer.h"
#include "kernel/base/disk.h"
#include "kernel/base/read_ahead.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/snapshot/snapshot_format.h"

namespace heptane::snapshot {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kBulkBytes = size_t{16} << 20;  // from here on a read is done by several threads
constexpr size_t kBulkThreads = 2;

class SnapshotFileWriter final : public SnapshotWriter {
 public:
  // Called after each write to the file with the bytes written so far.
  using Pace = std::function<void(uint64_t)>;

  // `file` is empty and outlives the writer.
  SnapshotFileWriter(File& file, const SnapshotHeader& header);
  void set_pace(Pace pace) { pace_ = std::move(pace); }

  uint32_t key() const { return header_.crc; }

  // Sections in order: state, then index; each once. Errors are kept and shown by finish().
  void begin(Section section);
  void write(Bytes bytes) override;
  // Writes the footer and syncs.
  Result<void> finish();

 private:
  std::byte* chunk() { return buffer_.data() + filled_; }
  void close_chunk();
  void end_section();
  void flush();

  File& file_;
  AlignedBuffer buffer_{kBufferBytes};
  SnapshotHeader header_;
  SnapshotFooter footer_;
  StreamingHash128 hash_;
  Pace pace_;
  std::optional<Section> section_;
  size_t filled_ = 0;         // whole chunks in the buffer
  size_t chunk_payload_ = 0;  // of the chunk behind them
  uint64_t written_ = 0;
  Result<void> result_;
};

class SnapshotFileReader {
 public:
  // Reads header and footer. Errc::corrupt; Errc::unsupported for another version.
  static Result<std::unique_ptr<SnapshotFileReader>> open(Disk& disk, const std::string& path, OpenHint hint);

  const SnapshotHeader& header() const { return header_; }
  const SnapshotFooter& footer() const { return footer_; }

  // Checks about `bytes` more; true when the whole file has been found right.
  Result<bool> verify_some(uint64_t bytes);
  Result<void> verify();
  // Of the file, read so far.
  uint64_t position() const { return position_; }
  // To the beginning of a section, for next_payload.
  void seek(Section section);
  // The next payload of the section; empty at its end. Valid until the next call.
  Result<Bytes> next_payload();
  // As many whole payloads as fit, read straight into place by several threads; how many bytes. `in_order`: read_bulk.
  Result<size_t> read_payloads(MutableBytes into, size_t threads, const std::function<void(Bytes)>& in_order);

 private:
  SnapshotFileReader(std::unique_ptr<File> file, const SnapshotHeader& header, const SnapshotFooter& footer);
  void rewind_to(uint64_t offset, uint32_t number);
  Result<Bytes> view(size_t bytes);

  std::unique_ptr<File> file_;
  SnapshotHeader header_;
  SnapshotFooter footer_;
  AlignedBuffer buffer_{kBufferBytes};
  uint64_t buffer_offset_ = 0;
  size_t buffered_ = 0;
  uint64_t position_ = kBlockBytes;
  uint32_t number_ = 0;
  Section section_ = Section::state;
  uint64_t section_left_ = 0;  // payload bytes
  StreamingHash128 hash_;
};

// One section as save()'s counterpart reads it, read and checked up to `ahead` buffers before it is wanted (0: when it is,
// on the same thread). A long read is done by several threads at once. The file reader is this one's until its end.
class SectionReader final : public SnapshotReader {
 public:
  SectionReader(SnapshotFileReader& file, Section section, size_t ahead);
  bool read(MutableBytes into) override;
  // Told what of the file has been read so far, between two stretches of it, on the reading thread.
  void set_progress(std::function<void(uint64_t bytes)> progress) { progress_ = std::move(progress); }
  // Everything read, nothing left over, and of the state the hash that the footer says; else why.
  Result<void> finish();
  // What was wrong with the file itself; nothing when the content was.
  const Result<void>& damage() const { return damage_; }

 private:
  struct Stretch {
    std::unique_ptr<std::byte[]> memory;
    size_t bytes = 0;
    std::optional<Error> error;
  };
  bool fill(Stretch& stretch);
  bool wants_bulk(size_t bytes) const;
  size_t read_bulk(MutableBytes into);
  void note_read(size_t bytes);

  SnapshotFileReader& file_;
  const Section section_;
  const size_t ahead_;
  StreamingHash128 hash_;
  bool ended_ = false;  // these two are the filling thread's
  Bytes payload_;
  std::function<void(uint64_t)> progress_;
  uint64_t read_bytes_ = 0;
  bool halted_ = false;  // nobody reads ahead any more: a bulk read follows what was
  Result<void> damage_;
  std::optional<ReadAhead<Stretch>> stretches_;
};

}  // namespace heptane::snapshot
