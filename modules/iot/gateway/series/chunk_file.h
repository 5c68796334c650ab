// A file of chunks (gateway/series/chunk.h) with the index that finds them, and the manifest that says which files count and up to which
// offset of `iot.lines` they hold everything. A file is written once, synced, and only then named by a manifest, which replaces
// the one before by rename: whenever the process dies there is the old or the new, whole.
//
//   file: "HPTSER01" · chunks · index · footer. index: series u64, for each: database, key, fields u16, for each: name, type u8,
//   chunks u32, for each: offset u64, bytes u32, points u32, first and last time i64. Texts: length u16 and bytes.
//   footer: index offset u64, index bytes u64, crc of the index u32, "HPSF".
//   manifest: "HPTSMF02" · log id, 16 bytes · offset i64 · gap from, to i64 · last number u64 · files u32 (number u64, bytes u64) ·
//   removed u32 (number u64) · drops u32 (database, number u64) · crc u32 of all before.
//   A drop: in files up to this number the database does not count. Removed: what is to be deleted, or is by now.
//
// Little-endian. Few files are open at a time, however many there are (OpenFiles). One owner.
#pragma once

#include <functional>
#include <list>
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
  // The same piece by piece: each behind the one before it. `whole`: until the column's last point; else what does not fill a chunk is
  // left in it.
  void begin(std::string_view database, std::string_view key, std::string_view field, FieldType type);
  Result<void> add_piece(Column& column, bool whole);
  void end();
  // Writes the rest and syncs. The file's bytes.
  Result<uint64_t> finish();
  // Of the columns added, in their order, where their chunks are.
  const std::vector<std::vector<ChunkPlace>>& places() const { return places_; }

 private:
  explicit ChunkFileWriter(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<void> append(Bytes bytes);
  Result<void> flush();
  Result<size_t> add_chunks(const Column& column, bool whole);

  std::unique_ptr<File> file_;
  uint64_t written_ = 0;
  ByteWriter buffer_;
  ByteWriter index_;
  uint64_t series_ = 0;
  std::string last_series_;
  std::string field_;  // at hand, of it
  FieldType type_ = FieldType::real;
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

// The files that were read last, open.
class OpenFiles {
 public:
  explicit OpenFiles(Disk& disk) : disk_(disk) {}
  Result<std::shared_ptr<File>> get(const std::string& path);
  void forget(const std::string& path);
  Disk& disk() { return disk_; }

 private:
  static constexpr size_t kMost = 64;
  struct Open {
    std::string path;
    std::shared_ptr<File> file;
  };
  Disk& disk_;
  std::list<Open> open_;  // the last one used first
};

class ChunkFile {
 public:
  // Checks the footer and the index, and gives what is in it. Error: corrupt, io, not_found. `files` outlives it.
  static Result<std::unique_ptr<ChunkFile>> open(OpenFiles& files, const std::string& path, uint64_t bytes,
                                                 const std::function<void(const StoredField&)>& each);
  // Checked against its CRC.
  Result<Column> read(const ChunkPlace& place) const;

 private:
  ChunkFile(OpenFiles& files, std::string path) : files_(files), path_(std::move(path)) {}
  OpenFiles& files_;
  std::string path_;
};

struct Manifest {
  struct NamedFile {
    uint64_t number = 0;
    uint64_t bytes = 0;
  };
  LogId log_id{};     // whose offsets these are
  Offset offset = 0;  // all before it is in the files, but for the gap
  Offset gap_from = 0;
  Offset gap_to = 0;         // records from gap_from on are in no file, some or all; equal: none is missing
  uint64_t last_number = 0;  // that a file ever had
  std::vector<NamedFile> files;
  std::vector<uint64_t> removed;
  std::map<std::string, uint64_t, std::less<>> drops;
};
// Not_found: there is none. Corrupt: the message says what to do.
Result<Manifest> read_manifest(Disk& disk, const std::string& directory);
// Durable when it returns.
Result<void> write_manifest(Disk& disk, const std::string& directory, const Manifest& manifest);
std::string chunk_file_name(uint64_t number);

}  // namespace heptane::iot::series
