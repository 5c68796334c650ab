// A growing sequence of rows of one size, whose beginning lies in files (row_file.h) and whose end lies in memory: what is
// kept of a long history without holding it. A full chunk of rows is handed to the helper, which writes its file; when that is
// synced, the chunk leaves memory. Which rows are in files is never state: answers and save() do not depend on it.
//
// A snapshot names all full chunks by their hashes and holds the rows behind them. Files that it does not name are written
// again when their rows are there again: nothing that a start finds is believed for its name alone.
// Threads: the shard's, but for write_next (the helper's) and durable (any). Without open() all rows stay in memory.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/assert.h"
#include "kernel/base/huge_allocator.h"
#include "kernel/base/spsc_ring.h"
#include "kernel/rows/lazy_memory.h"
#include "kernel/rows/row_checks.h"
#include "kernel/rows/row_file.h"

namespace heptane::rows {

// How often a block is asked for that the system does not have in memory before it is waited for. A system that never yet had
// one cannot say what it has (simulated disks, some file systems).
class Patience {
 public:
  // It was not there. True: it is to be waited for.
  bool ends() { return ++tries_ > (answered_ ? kTries : kTriesInDoubt) && ((tries_ = 0), true); }
  void answered() {
    answered_ = true;
    tries_ = 0;
  }

 private:
  static constexpr uint32_t kTries = 400;
  static constexpr uint32_t kTriesInDoubt = 2;
  uint32_t tries_ = 0;
  bool answered_ = false;
};

// Where files are. Not writable: rows behind those of a snapshot stay in memory (beside a running server, looks at the past).
struct RowPlace {
  Disk* disk = nullptr;
  std::string directory;
  bool writable = false;
  size_t open_files = 64;  // at once
  // Of blocks that were read and whole: so many stay in memory. What is not used yet costs none.
  size_t cached_blocks = 16;
  // For checks of rows (row_checks.h), beside them.
  uint64_t check_bytes = uint64_t{16} << 20;
};

class RowStore {
 public:
  explicit RowStore(RowShape shape);
  RowStore(const RowStore&) = delete;
  RowStore& operator=(const RowStore&) = delete;

  // An error: there is no memory for so many blocks; nothing has changed.
  Result<void> open(const RowPlace& place);
  // Told of a chunk before it leaves memory.
  void set_on_leave(std::function<void(uint32_t first, uint32_t count)> told) { on_leave_ = std::move(told); }
  const RowShape& shape() const { return shape_; }

  uint32_t size() const { return size_; }
  void append(const void* row) { std::memcpy(add(), row, shape_.row_bytes); }
  // Where a new row's bytes go.
  std::byte* add() {
    if ((size_ & mask_) == 0) add_chunk();
    return newest_ + size_t{size_++ & mask_} * shape_.row_bytes;
  }
  // The last row; since the last settle() it was appended.
  void pop();
  // Null: it is in a file.
  const std::byte* in_memory(uint32_t number) const {
    const std::byte* chunk = chunks_[number >> shift_].get();
    return chunk == nullptr ? nullptr : chunk + size_t{number & mask_} * shape_.row_bytes;
  }
  // Valid until the next call of row(). What cannot be read is zeros, and take_damage() says why.
  const std::byte* row(uint32_t number) const {
    const std::byte* found = in_memory(number);
    return found != nullptr ? found : in_file(number);
  }
  // For who must not wait for the disk. False: the row cannot be had yet; expect() it and ask again in a little while. True:
  // row() has it at once; a disk that does not answer for long is waited for after all.
  bool ready(uint32_t number) const;
  // All rows, some at a time, in their order: what a start reads. `take` gets them with the number of the first and says false
  // to end it, as scan() does then. What cannot be read is the error.
  using Take = std::function<bool(uint32_t first, Bytes rows)>;
  Result<bool> scan(const Take& take) const;
  // The system may begin to fetch them.
  void expect(std::span<const uint32_t> numbers) const;
  // Brings what ready() and row() look at into the processor's cache.
  void prefetch(uint32_t number) const;
  // Of all files, ever: who must not take long counts with it. Rows that were read alone cost less than blocks.
  uint64_t blocks_read() const { return blocks_read_; }
  uint64_t rows_read() const { return rows_read_; }
  // The first read since the last call that failed.
  std::optional<Error> take_damage() const { return std::exchange(damage_, std::nullopt); }

  // Between two commands, outside of scopes: hands full chunks to the helper, drops those whose files are synced.
  void settle();
  // Helper: the next file, if there is one to write. True: there may be more. Errc::no_space: later again.
  Result<bool> write_next();
  uint32_t full_chunks() const { return size_ >> shift_; }
  // Chunks that are in files alone.
  uint32_t files() const { return static_cast<uint32_t>(hashes_.size()); }
  uint32_t durable() const { return durable_.load(std::memory_order_acquire); }

  // What save() says of the full chunk: equal rows, equal hashes. Also in a forked child.
  Hash128 hash_of(uint32_t chunk) const;
  // The rows behind the full chunks.
  Bytes tail() const;
  void clear();
  // After clear(): chunks in files, which are looked at; then append() the tail. Errc::refused names the file.
  Result<void> restore(const std::vector<Hash128>& hashes);
  // Reads every file in full; a line for each problem. How many files.
  uint32_t verify(std::vector<std::string>& problems) const;

  // Of rows that are in no file.
  uint64_t memory_bytes() const { return chunks_in_memory_ * shape_.bytes_of_rows(); }
  // Of what was read; never more than the place says.
  uint64_t cache_bytes() const {
    const uint64_t tags = blocks_used_ == 0 ? 0 : place_.cached_blocks * sizeof(Tag);
    return blocks_used_ * kBlockBytes + tags + checks_.memory_bytes();
  }

 private:
  static constexpr size_t kWaitingMax = 64;  // chunks at the helper
  static constexpr size_t kSpareChunks = 2;

  using Chunk = std::shared_ptr<std::byte[]>;
  struct Job {
    uint32_t number = 0;
    Chunk chunk;
  };
  struct Written {
    uint32_t number = 0;
    Hash128 hash;
  };
  struct OpenFile {
    uint32_t number = 0;
    std::unique_ptr<RowFile> file;
  };
  struct Tag {
    uint32_t file;  // and one; 0: there is none
    uint32_t block;
  };

  void add_chunk();
  Chunk make_chunk() const;
  void leave(const Written& written);
  struct Place {
    uint32_t file;
    uint32_t block;
    bool operator==(const Place&) const = default;
  };
  enum class Alone : uint8_t { read, not_yet, no };
  Place place_of(uint32_t number) const { return {number >> shift_, (number & mask_) / shape_.rows_per_block()}; }
  // Blocks one behind the other lie beside each other, so that as many as there are slots never meet.
  size_t slot_of(const Place& place) const {
    return (uint64_t{place.file} * shape_.blocks() + place.block) % place_.cached_blocks;
  }
  bool cached(size_t slot, const Place& place) const {
    return tag(slot).file == place.file + 1 && tag(slot).block == place.block;
  }
  std::byte* block(size_t slot) const { return cache_.data() + slot * kBlockBytes; }
  Tag& tag(size_t slot) const { return reinterpret_cast<Tag*>(block(place_.cached_blocks))[slot]; }
  std::byte* begin_read(size_t slot) const;
  void keep(size_t slot, const Place& place, const Result<void>& read) const;
  Alone read_alone(const RowFile& file, const Place& place, uint32_t number) const;
  void learn(Bytes block, const Place& place) const;
  const std::byte* in_file(uint32_t number) const;
  Result<std::unique_ptr<RowFile>> open_file(uint32_t chunk) const {
    return RowFile::open(*place_.disk, place_.directory, shape_, chunk, hashes_[chunk]);
  }
  Result<bool> scan_file(const RowFile& file, uint32_t first, MutableBytes blocks, const Take& take) const;
  RowFile* file_of(uint32_t chunk) const;

  const RowShape shape_;
  const uint32_t shift_;
  const uint32_t mask_;
  RowPlace place_;
  std::function<void(uint32_t, uint32_t)> on_leave_;
  std::vector<Chunk> chunks_;    // null: in a file
  std::vector<Hash128> hashes_;  // of those in files
  std::vector<Chunk> spare_;
  std::byte* newest_ = nullptr;
  uint32_t size_ = 0;
  uint32_t handed_over_ = 0;  // chunks
  size_t chunks_in_memory_ = 0;

  SpscRing<Job> to_write_{kWaitingMax};
  SpscRing<Written> written_{kWaitingMax};
  std::atomic<uint32_t> durable_{0};

  // A look at files changes nothing.
  mutable std::vector<OpenFile> files_;
  LazyMemory cache_;  // blocks, then their tags
  mutable uint64_t blocks_used_ = 0;
  mutable RowChecks checks_;
  mutable uint32_t alone_ = UINT32_MAX;  // the row that was read alone last
  mutable Place last_read_{UINT32_MAX, 0};
  mutable std::vector<std::byte> alone_bytes_;
  mutable std::vector<std::byte> replacement_;  // a block that has perhaps not come yet
  mutable uint64_t blocks_read_ = 0;
  mutable uint64_t rows_read_ = 0;
  mutable Patience patience_;
  mutable std::optional<Error> damage_;
};

}  // namespace heptane::rows
