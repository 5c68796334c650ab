// Whether every blob and every row file that the state names is there and is what its name says: for `heptane log verify`.
// Reads only, also beside a running server.
#pragma once

#include <iosfwd>

#include "kernel/server/past_state.h"

namespace heptane::server {

struct BlobReport {
  uint64_t blobs = 0;
  uint64_t bytes = 0;
  uint64_t row_files = 0;
  uint64_t problems = 0;  // each was printed as a line
};

// Errors are those of making the state out of snapshot and log.
Result<BlobReport> check_blobs(Disk& disk, const std::string& data_directory, Modules modules, std::ostream& out);

}  // namespace heptane::server
