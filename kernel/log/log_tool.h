// What `heptane log verify | dump | repair` do, as functions on a disk and a data directory; the command line is elsewhere.
// verify and dump only read and work beside a running server, whose tail may move meanwhile. repair takes the LOCK.
#pragma once

#include <functional>
#include <iosfwd>

#include "kernel/log/segment_log.h"

namespace heptane::log {

struct LogTarget {
  std::string data_directory;
  ShardId shard = 0;
};

struct VerifyReport {
  uint64_t segments = 0;  // that hold batches
  uint64_t prepared_segments = 0;
  uint64_t batches = 0;
  uint64_t entries = 0;
  uint64_t bytes = 0;
  Sequence first_sequence = 0;  // 0: the log is empty
  Sequence last_sequence = 0;
  Epoch epoch = 0;
  uint64_t problems = 0;    // each was printed as a line
  uint64_t torn_bytes = 0;  // behind the end: a torn tail, or a write in progress
  bool start_would_refuse = false;

  bool sound() const { return problems == 0; }
};
// Every segment, batch, entry and unused block. Errors are those of reading; what is wrong with the log is the report's.
Result<VerifyReport> verify_log(Disk& disk, const LogTarget& target, std::ostream& out);

struct DumpOptions {
  // The payload is left out: it holds secrets. Layers above the log know which do.
  std::function<bool(const EntryView&)> secret;
  bool json = false;     // one object a line
  bool payload = false;  // as hexadecimal digits
  Sequence from = 0;
  Sequence upto = UINT64_MAX;
};
// One line per entry, in order; the number of lines. Stops with an error where the log cannot be read on.
Result<uint64_t> dump_log(Disk& disk, const LogTarget& target, const DumpOptions& options, std::ostream& out);

struct RepairOptions {
  Sequence cut_at = 0;             // the first sequence that is given up; its whole batch goes
  Sequence jump = kJumpSequences;  // the next sequence is the last one kept + this
};
struct RepairReport {
  Sequence last_kept = 0;
  Sequence next_sequence = 0;
  Epoch epoch = 0;
  uint64_t dropped_bytes = 0;
  std::vector<std::string> quarantined;  // paths
};
// Cuts the log and leaves a jump, so that no position is given twice. Whatever it drops is in quarantine/ first. Cut
// short anywhere, the log is as before, or as after, or refuses and can be repaired again.
Result<RepairReport> repair_log(Disk& disk, const LogTarget& target, const RepairOptions& options);

}  // namespace heptane::log
