// For tests: another disk, which says for each read out of memory alone whether it has the bytes there.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel/base/disk.h"

namespace heptane::rows {

class ShyDisk final : public Disk {
 public:
  explicit ShyDisk(Disk& disk) : disk_(disk) {}

  // Null: everything is there.
  std::function<bool(const std::string& path, uint64_t offset)> on_read;
  uint64_t reads = 0;  // out of memory, that were answered
  uint64_t bytes = 0;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, OpenHint hint) override {
    Result<std::unique_ptr<File>> file = disk_.open(path, mode, hint);
    if (!file) return file;
    return std::unique_ptr<File>(new ShyFile(*this, path, std::move(*file)));
  }
  using Disk::open;
  Result<void> make_directory(const std::string& path) override { return disk_.make_directory(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override { return disk_.list(directory); }
  Result<bool> exists(const std::string& path) override { return disk_.exists(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return disk_.rename(from, to); }
  Result<void> unlink(const std::string& path) override { return disk_.unlink(path); }
  Result<void> sync_directory(const std::string& path) override { return disk_.sync_directory(path); }
  Result<uint64_t> free_bytes(const std::string& path) override { return disk_.free_bytes(path); }
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override { return disk_.lock(path); }

 private:
  class ShyFile final : public File {
   public:
    ShyFile(ShyDisk& disk, std::string path, std::unique_ptr<File> file)
        : disk_(disk), path_(std::move(path)), file_(std::move(file)) {}

    Result<size_t> read_at(uint64_t offset, MutableBytes into) override { return file_->read_at(offset, into); }
    Result<std::optional<size_t>> try_read_at(uint64_t offset, MutableBytes into) override {
      if (disk_.on_read && !disk_.on_read(path_, offset)) return std::optional<size_t>();
      ++disk_.reads;
      disk_.bytes += into.size();
      const Result<size_t> count = file_->read_at(offset, into);
      if (!count) return count.error();
      return std::optional(*count);
    }
    Result<void> write_at(uint64_t offset, Bytes bytes) override { return file_->write_at(offset, bytes); }
    Result<void> sync() override { return file_->sync(); }
    void write_and_sync(uint64_t offset, Bytes bytes, Completion done) override {
      file_->write_and_sync(offset, bytes, std::move(done));
    }
    Result<uint64_t> size() override { return file_->size(); }
    Result<void> allocate(uint64_t size) override { return file_->allocate(size); }
    Result<void> truncate(uint64_t size) override { return file_->truncate(size); }

   private:
    ShyDisk& disk_;
    const std::string path_;
    const std::unique_ptr<File> file_;
  };

  Disk& disk_;
};

}  // namespace heptane::rows
