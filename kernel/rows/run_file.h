// Which rows of one row file have which key: for each of a few fields of a row one run, sorted by key (FORMAT.md). Made of the
// row file alone, so that a file made again is the same byte for byte; nothing depends on it but how soon rows are found. No
// snapshot names it: it is believed when its head says of which rows it is, every block for its CRC.
//
// A key that many rows have is only said to be common: to find those, all rows may as well be looked at.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
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
std::string run_file_path(const std::string& directory, const RunShape& shape, uint32_t number);
Result<void> write_run_file(Disk& disk, const std::string& directory, const RunShape& shape, uint32_t number,
                            Bytes file);

// The first block of a file: where to look for a key. 4 KiB, kept in memory.
class RunHead {
 public:
  struct Blocks {
    uint32_t first;
    uint32_t last;  // one behind; behind the head they are numbered from 0
    uint32_t count() const { return last - first; }
  };

  // None: it is not that of these rows, or damaged.
  static std::unique_ptr<RunHead> read(Bytes block, const RunShape& shape, uint32_t number, const Hash128& rows_hash);

  // Where its rows stand; nullopt: it is common.
  std::optional<Blocks> find(uint32_t field, uint32_t key) const;
  // Rows with the key, out of a checked block, appended. False: it is damaged.
  bool collect(uint32_t block, Bytes bytes, uint32_t key, std::vector<uint32_t>& rows) const;
  uint64_t file_bytes() const { return (uint64_t{blocks_} + 1) * kBlockBytes; }

 private:
  struct Field {
    uint32_t entries = 0;
    uint32_t first_block = 0;
    std::vector<uint32_t> commons;
    std::vector<uint32_t> first_keys;  // of its blocks
  };

  uint32_t crc_ = 0;  // the file's key
  uint32_t blocks_ = 0;
  uint32_t rows_per_file_ = 0;
  std::vector<Field> fields_;
};

}  // namespace heptane::rows
