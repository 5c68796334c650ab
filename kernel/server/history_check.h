// Whether what has left the log is still there as it was written: every archive segment and every snapshot of a data
// directory, for `heptane log verify`. Reads only, also beside a running server: a file that goes meanwhile is passed over.
//
// Not a problem is a gap between log segments: archive segments in which nothing lives are dropped, and a full disk takes
// log segments without a living record. Gaps are counted.
#pragma once

#include <iosfwd>
#include <string>

#include "kernel/base/disk.h"
#include "kernel/base/result.h"

namespace heptane::server {

struct HistoryReport {
  uint64_t archive_segments = 0;
  uint64_t archive_bytes = 0;
  uint64_t gaps = 0;  // places at which archive segments, or archive and log, do not follow each other
  uint64_t snapshots = 0;
  uint64_t snapshot_bytes = 0;
  uint64_t problems = 0;  // each was printed as a line

  bool sound() const { return problems == 0; }
};

// Of archive segments: header, every item, index and footer, and that one goes on with the number behind the one before it,
// and the log behind the last (their chains are not compared: the log's runs through seals, which are not history). Of snapshots: every byte, and whose they are. Errors are those of listing directories;
// what cannot be read of a file is a problem.
Result<HistoryReport> check_history(Disk& disk, const std::string& data_directory, std::ostream& out);

}  // namespace heptane::server
