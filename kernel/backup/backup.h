// Backups of a data directory, made while its server runs or after it ended, and the way back.
//
// A backup is a whole data directory as a power cut at some moment during the copy would have left it, with everything that
// was acknowledged before the backup began. It needs nothing of the server: snapshots are opened first, the log next, the
// archive before and after it, so that whatever the server trims or rewrites meanwhile stays readable and nothing is
// missing; segments that are still written are copied from their end to their beginning, so that a batch is never without
// the one before it; blobs last. The chunk files of series go with the MANIFEST that names them, opened before the log, which holds what
// they do not cover. The manifest comes last: without it a directory is no backup.
//
// Layout: DIR/backup.manifest and DIR/data/..., the data directory's own layout. Manifest: lines of text,
//   heptane-backup 1 | log HEX | position SHARD:SEQUENCE | file BYTES XXH3-128 PATH ... | end XXH3-128 of all before it
// Memory: 2 MiB and some 200 bytes for each file. One thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/base/hash128.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"

namespace heptane::backup {

constexpr std::string_view kManifestName = "backup.manifest";

struct BackupFile {
  std::string path;  // below the data directory
  uint64_t bytes = 0;
  Hash128 hash;
};

struct Manifest {
  LogId log_id{};
  ShardId shard = 0;
  Sequence last_sequence = 0;  // of the newest batch in the copy
  std::vector<BackupFile> files;

  uint64_t bytes() const;
};

std::string encode(const Manifest& manifest);
// Errc::corrupt, or Errc::unsupported for another format.
Result<Manifest> decode_manifest(std::string_view text);

// Bytes done, of how many.
using Progress = std::function<void(uint64_t, uint64_t)>;

// Makes `backup`, which is not there or empty (else Errc::exists). Errc::not_found: no log in `data`.
Result<Manifest> make_backup(Disk& disk, const std::string& data, const std::string& backup, const Progress& progress);
// Reads every byte of it. Errc::corrupt names the file.
Result<Manifest> check_backup(Disk& disk, const std::string& backup, const Progress& progress);
// Checks it, then makes `data`, which is not there or empty (else Errc::exists). What an interrupted one leaves has another
// name (DATA.restoring) and is begun again.
Result<Manifest> restore_backup(Disk& disk, const std::string& backup, const std::string& data,
                                const Progress& progress);

}  // namespace heptane::backup
