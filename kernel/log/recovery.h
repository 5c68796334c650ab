// What a start does with the segments it finds: tells a torn tail from corrupt acknowledged data, keeps and zeroes the
// one, refuses the other, and writes again what nothing proves to be on the device (FORMAT.md, "Recovery").
// It changes nothing before it has decided, and every change can be cut anywhere and done again. Before any other thread.
#pragma once

#include "kernel/log/batch_scanner.h"

namespace heptane::log {

struct RecoveryOptions {
  std::string directory;
  std::string quarantine_directory;
  std::string data_directory;  // as the messages print it
  ShardId shard = 0;
  size_t read_ahead = 0;  // batches; 0: no thread
};

// A segment that holds batches; the first sequence that one of its batches may have.
struct UsedSegment {
  uint32_t number = 0;
  Sequence first_sequence = 0;
};

struct Recovered {
  RecoveryReport report;
  std::optional<LogId> log_id;  // none: there is no segment
  ScanPosition end;
  std::vector<UsedSegment> used;  // the last one holds `end`
};

Result<Recovered> recover_segments(Disk& disk, const RecoveryOptions& options, const RecoverFrom& from,
                                   const BatchVisitor& visit);

// The command that goes on without everything from `sequence` on.
std::string repair_hint(const std::string& data_directory, Sequence sequence);

}  // namespace heptane::log
