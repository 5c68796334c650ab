// One file of rows: a fixed number of rows of one size, written once and whole, never changed (FORMAT.md). What is in it
// follows from the log alone, so that a file written again is the same byte for byte; who names a file names its hash.
// A row file is trusted for its name and hash, every block for its CRC, each time it is read.
#pragma once

#include <memory>
#include <string>

#include "kernel/base/disk.h"
#include "kernel/base/hash128.h"

namespace heptane::rows {

constexpr size_t kBlockBytes = 4096;
constexpr std::string_view kSuffix = ".rows";

struct RowShape {
  std::string name;  // of the sequence: `ledger-transfers`; at most 32 characters
  uint32_t row_bytes = 0;
  uint32_t rows_per_file = 0;  // a power of two

  uint32_t rows_per_block() const { return static_cast<uint32_t>((kBlockBytes - kBlockHeadBytes) / row_bytes); }
  uint32_t blocks() const { return (rows_per_file + rows_per_block() - 1) / rows_per_block(); }
  uint64_t file_bytes() const { return (uint64_t{blocks()} + 1) * kBlockBytes; }
  size_t bytes_of_rows() const { return size_t{row_bytes} * rows_per_file; }

  static constexpr size_t kBlockHeadBytes = 8;
};

std::string row_file_path(const std::string& directory, const RowShape& shape, uint32_t number);

// Replaces what has the name; synced, its name too. `rows` are all of them, without gaps. The hash is theirs.
Result<void> write_row_file(Disk& disk, const std::string& directory, const RowShape& shape, uint32_t number,
                            Bytes rows, const Hash128& hash);

class RowFile {
 public:
  // Looks at the header and the size. Errc::refused: it is not there, or not the one with this hash; says what to do.
  static Result<std::unique_ptr<RowFile>> open(Disk& disk, const std::string& directory, const RowShape& shape,
                                               uint32_t number, const Hash128& hash);

  // A checked block; rows begin at kBlockHeadBytes. Errc::corrupt names file and block.
  Result<void> read_block(uint32_t block, MutableBytes into) const;
  // The same out of the system's memory alone. False: it would wait for the disk.
  Result<bool> try_read_block(uint32_t block, MutableBytes into) const;
  // One row of a block, likewise, and not checked: for who knows what it must be. False also when the file is too short.
  Result<bool> try_read_row(uint32_t block, uint32_t row, MutableBytes into) const;
  // Several, one behind the other: `into` is whole blocks.
  Result<void> read_blocks(uint32_t first, MutableBytes into) const;
  // It will be read soon.
  void expect(uint32_t block) const { file_->expect((uint64_t{block} + 1) * kBlockBytes, kBlockBytes); }
  // All of it will be.
  void expect_all() const { file_->expect(0, shape_.file_bytes()); }
  // Reads all of it.
  Result<void> verify() const;

 private:
  Result<void> check(uint32_t block, Bytes bytes, size_t count) const;
  RowFile(std::unique_ptr<File> file, std::string path, const RowShape& shape, uint32_t key, const Hash128& hash)
      : file_(std::move(file)), path_(std::move(path)), shape_(shape), key_(key), hash_(hash) {}

  std::unique_ptr<File> file_;
  std::string path_;
  const RowShape& shape_;
  uint32_t key_;
  Hash128 hash_;
};

}  // namespace heptane::rows
