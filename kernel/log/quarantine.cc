#include "kernel/log/quarantine.h"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace heptane::log {

namespace {

constexpr size_t kCopyChunkBytes = size_t{1} << 20;

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::string> free_path(Disk& disk, const std::string& quarantine, const std::string& name) {
  std::string path = quarantine + "/" + name;
  for (unsigned suffix = 1;; ++suffix) {
    Result<bool> taken = disk.exists(path);
    if (!taken) return std::move(taken.error());
    if (!*taken) return path;
    path = quarantine + "/" + name + "-" + std::to_string(suffix);
  }
}

Result<void> copy_bytes(File& from, uint64_t offset, uint64_t bytes, File& to) {
  std::vector<std::byte> chunk(static_cast<size_t>(std::min<uint64_t>(kCopyChunkBytes, bytes)));
  for (uint64_t done = 0; done < bytes;) {
    const auto want = static_cast<size_t>(std::min<uint64_t>(chunk.size(), bytes - done));
    Result<size_t> read = from.read_at(offset + done, MutableBytes(chunk).first(want));
    if (!read) return std::move(read.error());
    if (*read == 0) break;  // the file ends inside the range: nothing more to keep
    HEPTANE_TRY(to.write_at(done, Bytes(chunk).first(*read)));
    done += *read;
  }
  return to.sync();
}

}  // namespace

Result<void> make_durable_directory(Disk& disk, const std::string& directory) {
  const std::string parent = parent_of(directory);
  Result<bool> there = disk.exists(directory);
  if (!there) return std::move(there.error());
  if (!*there) {
    Result<bool> parent_there = parent == "." ? Result<bool>(true) : disk.exists(parent);
    if (!parent_there) return std::move(parent_there.error());
    if (!*parent_there) HEPTANE_TRY(make_durable_directory(disk, parent));
    HEPTANE_TRY(disk.make_directory(directory));
  }
  return disk.sync_directory(parent);  // also when it is there: an earlier process may have died before its sync
}

Result<std::string> quarantine_copy(Disk& disk, const std::string& quarantine, const std::string& name,
                                    const std::string& source, uint64_t offset, uint64_t bytes) {
  HEPTANE_TRY(make_durable_directory(disk, quarantine));
  Result<std::string> path = free_path(disk, quarantine, name);
  if (!path) return std::move(path.error());
  const std::string temporary = quarantine + "/copy.tmp";
  Result<bool> leftover = disk.exists(temporary);
  if (!leftover) return std::move(leftover.error());
  if (*leftover) HEPTANE_TRY(disk.unlink(temporary));
  Result<std::unique_ptr<File>> from = disk.open(source, OpenMode::read);
  if (!from) return std::move(from.error());
  Result<std::unique_ptr<File>> to = disk.open(temporary, OpenMode::create);
  if (!to) return std::move(to.error());
  HEPTANE_TRY(copy_bytes(**from, offset, bytes, **to));
  HEPTANE_TRY(disk.rename(temporary, *path));
  HEPTANE_TRY(disk.sync_directory(quarantine));
  return path;
}

Result<std::string> quarantine_move(Disk& disk, const std::string& quarantine, const std::string& name,
                                    const std::string& directory) {
  HEPTANE_TRY(make_durable_directory(disk, quarantine));
  Result<std::string> path = free_path(disk, quarantine, name);
  if (!path) return std::move(path.error());
  HEPTANE_TRY(disk.rename(directory + "/" + name, *path));
  HEPTANE_TRY(disk.sync_directory(quarantine));
  HEPTANE_TRY(disk.sync_directory(directory));
  return path;
}

std::string remains_name(uint32_t segment, uint64_t offset) {
  char name[48];
  std::snprintf(name, sizeof name, "%010u-%010llu.torn", segment, static_cast<unsigned long long>(offset));
  return name;
}

Result<void> zero_range(Disk& disk, const std::string& path, uint64_t offset, uint64_t bytes, uint64_t file_bytes) {
  Result<std::unique_ptr<File>> file = disk.open(path, OpenMode::read_write);
  if (!file) return std::move(file.error());
  const std::vector<std::byte> zeros(static_cast<size_t>(std::min<uint64_t>(kCopyChunkBytes, bytes)));
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t count = std::min<uint64_t>(zeros.size(), bytes - done);
    HEPTANE_TRY((*file)->write_at(offset + done, Bytes(zeros).first(static_cast<size_t>(count))));
    done += count;
  }
  if (file_bytes != 0) HEPTANE_TRY((*file)->allocate(file_bytes));
  return (*file)->sync();
}

}  // namespace heptane::log
