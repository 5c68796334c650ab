// The server's state as it was behind a command, made again from files: the nearest snapshot at or below, then commands out of
// the archive where the log is gone, then the log. What is not kept any more is refused by name. It reads only, also beside a running server, and knows its own position exactly: batches are cut at a command.
// For `heptane at`, and to prove that a snapshot is what replay makes (the older one replayed to the newer).
// One thread. Memory: the state itself, and a batch.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/archive/archive_format.h"
#include "kernel/auth/auth_machine.h"
#include "kernel/base/clock.h"
#include "kernel/base/disk.h"
#include "kernel/base/random.h"
#include "kernel/blobs/blobs_machine.h"
#include "kernel/log/batch_scanner.h"
#include "kernel/log/memory_log.h"
#include "kernel/server/module.h"
#include "kernel/shard/shard.h"
#include "kernel/snapshot/snapshot_store.h"
#include "kernel/streams/streams_machine.h"

namespace heptane::server {

// Where to: behind the last command that is not after the given sequence and log time (nanoseconds, UTC).
struct PastMoment {
  Sequence sequence = UINT64_MAX;
  LogTime time = INT64_MAX;
  // Begins at a snapshot below this sequence only, although a later one would be nearer.
  Sequence snapshot_below = UINT64_MAX;
};

class PastState {
 public:
  PastState(Disk& disk, std::string data_directory, Modules modules);

  // Once. Errc::not_found: no log there, the moment lies before all that can be made again (the message names the oldest
  // position) or behind the log's end; Errc::corrupt; Errc::unsupported: a machine that is not in `modules`.
  Result<void> go_to(const PastMoment& moment);

  // Of the last command in the state.
  Sequence sequence() const { return shard_.last_applied(); }
  LogTime time() const { return time_; }
  Hash128 state_hash() const { return shard_.state_hash(); }
  const Shard& shard() const { return shard_; }
  const blobs::BlobsMachine& blobs() const { return blobs_; }
  const Modules& modules() const { return modules_; }
  // The streams with the ends that they had; Errc as of a query.
  Result<std::vector<streams::StreamInfo>> streams() const;

 private:
  // True: the moment is reached.
  Result<bool> replay_archive(const LogId& id, Sequence log_first, const PastMoment& moment);
  Result<bool> replay_archived(const archive::Item& item, const PastMoment& moment);
  Result<void> replay(log::BatchScanner& scanner, const PastMoment& moment);
  Result<void> readable() const;
  Error not_kept(Sequence missing) const;

  Disk& disk_;
  const std::string home_;
  Modules modules_;
  SystemClock clock_;  // the shard wants one; replay never reads it
  SeededRandom random_{1};
  log::MemoryLog log_{random_};
  Committer committer_;
  streams::StreamsMachine streams_;
  auth::AuthMachine auth_;
  blobs::BlobsMachine blobs_;
  Shard shard_;
  snapshot::RestoredSnapshot restored_;
  std::optional<Error> unreadable_;
  LogTime time_ = 0;
};

// What the comparison of the two newest snapshots found.
struct SnapshotComparison {
  Sequence older = 0;
  Sequence newer = 0;
  Hash128 hash;  // of both states
};
// Replays from the second newest snapshot to the newest. nullopt: there are no two, or the log between them is gone.
// Errc::corrupt: they differ.
Result<std::optional<SnapshotComparison>> compare_snapshots(Disk& disk, const std::string& data_directory,
                                                            Modules modules);

}  // namespace heptane::server
