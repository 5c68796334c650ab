// Makes one file of merged runs out of 16 of the level below, a piece at a time, so that whoever makes it can do other things in
// between. The file gets its name when it is whole and synced. One thread's, the helper's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/rows/run_file.h"

namespace heptane::rows {

class RunMerge {
 public:
  struct Part {
    std::unique_ptr<File> file;
    std::unique_ptr<RunHead> head;
  };

  RunMerge(Disk& disk, std::string directory, const RunShape& shape, RunPlace place, const Hash128& hash,
           std::vector<Part> parts);
  // Of a process that ended in the middle.
  static void remove_leftover(Disk& disk, const std::string& directory);
  // What has no name yet is removed.
  ~RunMerge();
  RunMerge(const RunMerge&) = delete;
  RunMerge& operator=(const RunMerge&) = delete;

  // True: there is more to do. Errc::corrupt: a part is damaged, and there will be no file.
  Result<bool> step();
  // Which, when step() has said so.
  size_t damaged_part() const { return damaged_part_; }
  // When step() has said false.
  std::unique_ptr<RunHead> take_head() { return std::move(head_); }

 private:
  static constexpr size_t kReadBlocks = 16;
  static constexpr size_t kWriteBytes = size_t{1} << 20;
  static constexpr uint64_t kSyncBytes = uint64_t{16} << 20;
  static constexpr uint64_t kEntriesAStep = 256 << 10;  // of keys that are common nothing is written

  struct Cursor {       // in one field of one part
    uint32_t left = 0;  // entries, with those in the buffer
    uint32_t next_block = 0;
    std::vector<std::byte> blocks;
    uint32_t at = 0;  // entry within the buffer
  };

  Result<void> begin();
  Result<void> begin_field();
  Result<void> fill(size_t part);
  RunEntry front(size_t part) const;
  Result<void> advance(size_t part);
  Result<void> take_key();
  void append(RunEntry entry);
  Result<void> flush();
  Result<void> finish();

  Disk& disk_;
  const std::string directory_;
  const RunShape shape_;
  const RunPlace place_;
  const Hash128 hash_;
  std::vector<Part> parts_;
  size_t damaged_part_ = 0;
  const uint32_t key_;  // the file's

  std::unique_ptr<File> out_;
  uint32_t head_blocks_ = 0;
  std::vector<RunHead::Field> fields_;  // the last one is being merged
  std::vector<Cursor> cursors_;         // of it
  std::vector<uint32_t> commons_;       // of its parts, in their order
  std::vector<RunEntry> same_key_;
  std::vector<std::byte> written_;  // blocks that are not in the file yet
  uint32_t block_ = 0;              // the next one
  uint64_t written_to_ = 0;
  uint64_t synced_to_ = 0;
  uint64_t passed_ = 0;  // entries, in this step
  std::unique_ptr<RunHead> head_;
};

}  // namespace heptane::rows
