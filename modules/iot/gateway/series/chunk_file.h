// A file of chunks (gateway/series/chunk.h) with the index that finds them, and the manifest that says which files count and up to which
// offset of `iot.lines` they hold everything. A file is written once, synced, and only then named by a manifest, which replaces
// the one before by rename: whenever the process dies there is the old or the new, whole.
//
//   file: "HPTSER01" · chunks · index · footer. index: series u64, for each: database, key, fields u16, for each: name, type u8,
//   chunks u32, for each: offset u64, bytes u32, points u32, first and last time i64. Texts: length u16 and bytes.
//   footer: index offset u64, index bytes u64, crc of the index u32, "HPSF".
//   manifest: "HPTSMF01" · offset i64 · files u32 (number u64, bytes u64) · drops u32 (database, number u64) · crc u32 of all before.
//   A drop: in files up to this number the database does not count.
//
// Little-endian. One owner.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/base/ids.h"
#include "modules/iot/gateway/series/column.h"

namespace heptane::iot::series {

struct ChunkPlace {
  uint64_t offset = 0;
  uint32_t bytes = 0;
  uint32_t points = 0;
  int64_t first = 0;
  int64_t last = 0;
};

class ChunkFileWriter {
 public:
  // Replaces what a crash has left under this name.
  static Result<std::unique_ptr<ChunkFileWriter>> create(Disk& disk, const std::string& path);
  // Columns come series by series. Settled, not empty.
  Result<void> add(std::string_view database, std::string_view key, std::string_view field, const Column& column);
  // Writes the rest and syncs. The file's bytes.
  Result<uint64_t> finish();
  // Of the columns added, in their order, where their chunks are.
  const std::vector<std::vector<ChunkPlace>>& places() const { return places_; }

 private:
  explicit ChunkFileWriter(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<void> append(Bytes bytes);
  Result<void> flush();

  std::unique_ptr<File> file_;
  uint64_t written_ = 0;
  ByteWriter buffer_;
  ByteWriter index_;
  uint64_t series_ = 0;
  std::string last_series_;
  ByteWriter fields_;  // of the series at hand
  uint16_t field_count_ = 0;
  std::vector<std::vector<ChunkPlace>> places_;
  void end_series();
};

// One field of one series in a file.
struct StoredField {
  std::string_view database;
  std::string_view key;
  std::string_view field;
  FieldType type = FieldType::real;
  std::vector<ChunkPlace> chunks;
};

class ChunkFile {
 public:
  // Checks the footer and the index, and gives what is in it. Error: corrupt, io, not_found.
  static Result<std::unique_ptr<ChunkFile>> open(Disk& disk, const std::string& path, uint64_t bytes,
                                                 const std::function<void(const StoredField&)>& each);
  // Checked against its CRC.
  Result<Column> read(const ChunkPlace& place) const;

 private:
  ChunkFile(std::unique_ptr<File> file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  std::unique_ptr<File> file_;
  std::string path_;
};

struct Manifest {
  struct NamedFile {
    uint64_t number = 0;
    uint64_t bytes = 0;
  };
  Offset offset = 0;  // all before it is in the files
  std::vector<NamedFile> files;
  std::map<std::string, uint64_t, std::less<>> drops;
};
// Not_found: there is none. Corrupt: the message says what to do.
Result<Manifest> read_manifest(Disk& disk, const std::string& directory);
// Durable when it returns.
Result<void> write_manifest(Disk& disk, const std::string& directory, const Manifest& manifest);
std::string chunk_file_name(uint64_t number);

}  // namespace heptane::iot::series
