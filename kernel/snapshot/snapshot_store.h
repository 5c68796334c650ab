// The snapshots of one shard as files in a directory: which there are, which one a start uses, publishing and thinning.
//
// Invariant: a file with a final name was written whole, synced and read back when every command in it was synced; so it
// proves how far the log reaches. Nothing corrupt is deleted: it goes to quarantine.
// Threads: restore before all others; afterwards the helper's.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/log/log.h"
#include "kernel/shard/shard.h"
#include "kernel/snapshot/snapshot_file.h"

namespace heptane::snapshot {

constexpr size_t kReadAheadBuffers = 4;  // what a server takes

// Snapshots older than those that serve recovery: a look at the past begins at the nearest one.
struct SnapshotHistory {
  uint64_t keep_bytes = 0;  // of all of them; the oldest go first. 0: none are kept
  int64_t keep_ns = -1;     // log time before the newest one; -1: for ever
};
constexpr size_t kHistoryMax = 64;  // above it those go that leave the smallest gap: they thin out evenly

struct SnapshotStoreOptions {
  std::string directory;             // DATA/shard-0/snapshots
  std::string quarantine_directory;  // DATA/shard-0/quarantine
  ShardId shard = 0;
  size_t kept = 2;
  size_t read_ahead = 0;  // buffers that a thread of its own reads ahead in restore(); 0: no thread
  // Told while restore() reads: how much of a file's bytes it has.
  std::function<void(uint64_t done, uint64_t total)> on_progress{};
  SnapshotHistory history{};
};

struct SnapshotName {
  Sequence sequence = 0;
  std::string path;
};

struct RestoredSnapshot {
  bool any = false;
  SnapshotHeader header;  // of the one restored
  uint64_t file_bytes = 0;
  log::RecoverFrom from;             // where the log's recovery begins
  std::vector<std::string> reports;  // what was passed over, a line each
};

// The newest state that may be restored.
struct RestoreLimit {
  Sequence sequence = UINT64_MAX;
  LogTime time = INT64_MAX;
};

// The log's id as its oldest segment says it; nullopt when there is no segment or its header is damaged (which the log's
// recovery reports).
Result<std::optional<LogId>> peek_log_id(Disk& disk, const std::string& log_directory);

class SnapshotStore {
 public:
  SnapshotStore(Disk& disk, SnapshotStoreOptions options) : disk_(disk), options_(std::move(options)) {}

  // Makes the directory and removes what an interrupted snapshot left.
  Result<void> open();
  // Newest first.
  Result<std::vector<SnapshotName>> list() const;

  // Into a fresh shard: the newest one that is right in every byte, and whose files are there; when none is right, the shard is
  // fresh again. Errc::refused for one of another log, and when files are missing of all that are right (it names the newest's);
  // Errc::unsupported for another format or a machine that is not there.
  Result<RestoredSnapshot> restore(Shard& shard, StreamStore& streams, const std::optional<LogId>& log_id);
  // The newest within the limit, and nothing is changed on disk: beside a running server. Errc::corrupt names a damaged one.
  Result<RestoredSnapshot> look(Shard& shard, StreamStore& streams, const LogId& log_id,
                                const RestoreLimit& limit) const;

  std::string temporary_path() const;
  std::string final_path(Sequence sequence) const;
  // The written and verified temporary file gets its name; then what is neither for recovery nor history goes.
  Result<void> publish(Sequence sequence);
  // Room is wanted more than history. True when there was some.
  Result<bool> forget_history();
  // The older of those that serve recovery, which the log must reach below; 0: there are fewer.
  Result<Sequence> recovery_floor() const;
  // After the log was cut: those that know more than `sequence` are moved to quarantine. Returns their new paths.
  Result<std::vector<std::string>> quarantine_above(Sequence sequence);

  Disk& disk() { return disk_; }

 private:
  Result<void> consider(const SnapshotName& name, const std::optional<LogId>& log_id, Shard& shard,
                        StreamStore& streams, RestoredSnapshot& out, std::optional<Error>& lacking);
  Result<void> load(const std::string& path, Shard& shard, StreamStore& streams, RestoredSnapshot& out,
                    Result<void>& damage) const;
  Result<void> pass_over(const SnapshotName& name, const Error& damage, RestoredSnapshot& out);
  Result<void> check_owner(const SnapshotName& name, const SnapshotHeader& header,
                           const std::optional<LogId>& log_id) const;
  Result<void> thin_out();
  std::vector<SnapshotName> surplus_history(const std::vector<SnapshotName>& newest_first);

  Disk& disk_;
  const SnapshotStoreOptions options_;
};

}  // namespace heptane::snapshot
