// Which rows of one row file have which key: for each of a few fields of a row one run, sorted by key (FORMAT.md). Made of the
// row file alone, so that a file made again is the same byte for byte; nothing depends on it but how soon rows are found. No
// snapshot names it: it is believed when its head says of which rows it is, every block for its CRC.
//
// A key that many rows have is only said to be common: to find those, all rows may as well be looked at.
//
// Runs of many files are merged, 16 files of one level into one of the next, so that a search does not read a block of each: the
// same, with a longer head. Which files are merged follows from their numbers alone.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/hash128.h"
#include "kernel/rows/row_file.h"

namespace heptane::rows {

constexpr uint32_t kRunFieldsMost = 8;

struct RunEntry {
  uint32_t key;
  uint32_t row;  // within the file
};

// Where runs stand: over the row files number << 4 * level to (number + 1 << 4 * level) - 1. Level 0: over one.
struct RunPlace {
  static constexpr uint32_t kShift = 4;
  static constexpr uint32_t kMerged = 1U << kShift;  // files of the level below
  static constexpr uint32_t kLevels = 4;

  uint32_t level = 0;
  uint32_t number = 0;

  uint32_t files() const { return 1U << (kShift * level); }
  uint32_t first_file() const { return number << (kShift * level); }
  RunPlace part(uint32_t at) const { return {level - 1, (number << kShift) + at}; }
};

struct RunShape {
  std::string name;  // of the rows
  uint32_t rows_per_file = 0;
  uint32_t fields = 0;

  static constexpr size_t kEntryBytes = 8;
  static constexpr uint32_t kPerBlock = (kBlockBytes - RowShape::kBlockHeadBytes) / kEntryBytes;
  // So many rows of a file may have a key that is not common.
  uint32_t rows_most() const { return std::max<uint32_t>(4, rows_per_file / 16); }
};

// The whole file. `runs`: of each field the rows that have a key, in their order.
std::vector<std::byte> make_run_file(const RunShape& shape, uint32_t number, const Hash128& rows_hash,
                                     std::vector<std::vector<RunEntry>> runs);
std::string run_file_path(const std::string& directory, const RunShape& shape, RunPlace place);
Result<void> write_run_file(Disk& disk, const std::string& directory, const RunShape& shape, uint32_t number,
                            Bytes file);

// The hash that runs of this place name: of level 0 that of the rows, else that of the hashes of its parts.
Hash128 hash_of_parts(std::span<const Hash128> parts);

// What a file begins with: where to look for a key. One block, of merged runs more; kept in memory.
class RunHead {
 public:
  struct Blocks {
    uint32_t first;
    uint32_t last;  // one behind; behind the head they are numbered from 0
    uint32_t count() const { return last - first; }
  };
  struct Field {
    uint32_t entries = 0;
    uint32_t first_block = 0;
    std::vector<uint32_t> commons;     // in their order
    std::vector<uint32_t> first_keys;  // of its blocks
  };

  // None: it is not that of these rows, or damaged.
  static std::unique_ptr<RunHead> read(Bytes block, const RunShape& shape, uint32_t number, const Hash128& rows_hash);
  // Of merged runs. How many blocks their head has, as its first block says; 0: it is no such block.
  static uint32_t merged_blocks(Bytes block);
  static std::unique_ptr<RunHead> read_merged(Bytes head, const RunShape& shape, RunPlace place, const Hash128& hash);

  // Where its rows stand; nullopt: it is common.
  std::optional<Blocks> find(uint32_t field, uint32_t key) const;
  // Rows with the key, out of a checked block, appended. False: it is damaged.
  bool collect(uint32_t block, Bytes bytes, uint32_t key, std::vector<uint32_t>& rows) const;
  // Whether it is the block with that number, whole.
  bool sound(uint32_t block, Bytes bytes) const;

  const Field& field(uint32_t number) const { return fields_[number]; }
  uint32_t blocks() const { return blocks_; }
  uint64_t offset_of(uint32_t block) const { return (uint64_t{head_blocks_} + block) * kBlockBytes; }
  uint64_t file_bytes() const { return offset_of(blocks_); }
  uint64_t memory_bytes() const { return uint64_t{head_blocks_} * kBlockBytes; }

 private:
  bool read_fields(Bytes head, const RunShape& shape, size_t commons_most);

  uint32_t key_ = 0;  // the file's
  uint32_t head_blocks_ = 1;
  uint32_t blocks_ = 0;
  uint64_t rows_ = 0;  // those it is over
  std::vector<Field> fields_;
};

// Of the head of merged runs: what says which rows they are over. The file's key is its CRC.
std::vector<std::byte> merged_identity(const RunShape& shape, RunPlace place, const Hash128& hash);
// The whole head of `blocks` blocks, which hold it.
std::vector<std::byte> make_merged_head(const RunShape& shape, RunPlace place, const Hash128& hash, uint32_t blocks,
                                        const std::vector<RunHead::Field>& fields);
// How many blocks hold so many keys, common ones and first ones of all fields together.
uint32_t merged_head_blocks(const RunShape& shape, uint64_t keys);
// Of a block with its number and entries in it.
uint32_t run_block_crc(Bytes block, uint32_t key);

}  // namespace heptane::rows
