// What recovery and repair take away from a log is kept: copied into quarantine/ (synced, its directory too) before the
// bytes are zeroed or the file is moved. Files there are named by segment and offset and never replaced.
#pragma once

#include <string>

#include "kernel/base/disk.h"

namespace heptane::log {

// Makes `directory` and its parents when missing; its entry in its parent is synced in any case.
Result<void> make_durable_directory(Disk& disk, const std::string& directory);

// Copies `bytes` bytes at `offset` of `source` to QUARANTINE/NAME (or NAME-1, NAME-2, ... when taken); returns the path.
Result<std::string> quarantine_copy(Disk& disk, const std::string& quarantine, const std::string& name,
                                    const std::string& source, uint64_t offset, uint64_t bytes);
// Moves the file there whole; both directories are synced.
Result<std::string> quarantine_move(Disk& disk, const std::string& quarantine, const std::string& name,
                                    const std::string& directory);
// Name of what was cut out of a segment: 0000000001-0000004096.torn
std::string remains_name(uint32_t segment, uint64_t offset);

// Zeros the range, brings the file to at least `file_bytes` (0: as it is) and syncs it.
Result<void> zero_range(Disk& disk, const std::string& path, uint64_t offset, uint64_t bytes, uint64_t file_bytes);

}  // namespace heptane::log
