// The seam to storage. Every byte Heptane keeps goes through it; the simulator supplies one that forgets, tears, lies and
// fills up. Paths are plain strings as the operating system takes them.
//
// Only one operation is asynchronous: `write_and_sync`, the commit. It completes once, on the calling thread inside the
// call (system disk) or in a later step (simulator), so that a schedule exists in which a batch grows during a sync.
// An error of a write or a sync is final for the file: the caller fails the process and never retries.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace heptane {

class File {
 public:
  using Completion = std::function<void(Result<void>)>;

  virtual ~File() = default;
  // Reads up to into.size() bytes at `offset`; fewer only at the end of the file.
  virtual Result<size_t> read_at(uint64_t offset, MutableBytes into) = 0;
  // The same into several places, one behind the other.
  virtual Result<size_t> read_scattered(uint64_t offset, std::span<const MutableBytes> into) {
    size_t done = 0;
    for (const MutableBytes piece : into) {
      const Result<size_t> count = read_at(offset + done, piece);
      if (!count) return count;
      done += *count;
      if (*count < piece.size()) break;
    }
    return done;
  }
  // The same out of memory alone; nullopt: it would wait for the device.
  virtual Result<std::optional<size_t>> try_read_at(uint64_t offset, MutableBytes into) {
    (void)offset, (void)into;
    return std::optional<size_t>();
  }
  // These bytes will be read soon: the system may begin to fetch them. Never waits, never fails.
  virtual void expect(uint64_t offset, uint64_t bytes) { (void)offset, (void)bytes; }
  // Writes all of `bytes` or fails.
  virtual Result<void> write_at(uint64_t offset, Bytes bytes) = 0;
  // What was written before the call is on the device when it returns ok (fdatasync).
  virtual Result<void> sync() = 0;
  // write_at + sync as one operation. The bytes must stay unchanged until `done` has been called.
  virtual void write_and_sync(uint64_t offset, Bytes bytes, Completion done) = 0;
  virtual Result<uint64_t> size() = 0;
  // Reserves and extends to `size` bytes that read as zeros (fallocate).
  virtual Result<void> allocate(uint64_t size) = 0;
  virtual Result<void> truncate(uint64_t size) = 0;
  // The system's descriptor, for a forked child that keeps only this one; -1: there is none.
  virtual int descriptor() const { return -1; }
};

enum class OpenMode : uint8_t {
  read,        // must exist
  read_write,  // must exist
  create,      // read_write; must not exist
};

enum class OpenHint : uint8_t {
  none,
  direct,  // past the page cache (O_DIRECT) where the file system can; offsets, sizes and addresses in 4 KiB
  // Through the page cache, and no more at once than is asked for: what the system reads ahead can be 8 MiB in one go, and a
  // sync waits behind it.
  no_read_ahead,
};

// Held for as long as it lives; released by the system when the process dies.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, OpenHint hint) = 0;
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) {
    return open(path, mode, OpenHint::none);
  }
  // Creates the directory (0700) and its missing parents. No error when it is there.
  virtual Result<void> make_directory(const std::string& path) = 0;
  // Names of the entries, sorted, without `.` and `..`.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual Result<bool> exists(const std::string& path) = 0;
  // Atomic; replaces `to`. Durable after sync_directory of both parents.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> unlink(const std::string& path) = 0;
  virtual Result<void> sync_directory(const std::string& path) = 0;
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
  // One writer: creates `path` and locks it; Errc::exists when another process holds it.
  virtual Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) = 0;
  // In place of closing it here, for a thread that may not wait: the last close of an unlinked file frees its blocks and its
  // pages, some 20 ms for 64 MiB. Any thread; free_left() closes it.
  virtual void leave(std::unique_ptr<File> file) { file.reset(); }
  // Again and again, on a thread that may wait: closes what was left, and frees another slice of the large files that were
  // unlinked. At once a gigabyte takes 0.2 s in which a sync waits for 40 ms again and again.
  virtual void free_left() {}
};

// The operating system's files: O_CLOEXEC, files 0600, directories 0700. Any thread; one File, one thread at a time, but for
// its reads by place, which several may do at once.
class SystemDisk final : public Disk {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, OpenHint hint) override;
  Result<void> make_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> unlink(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override;
  void leave(std::unique_ptr<File> file) override;
  void free_left() override;
  using Disk::open;

  static constexpr uint64_t kFreedBytes = uint64_t{16} << 20;  // in one go, or a 64th of all that waits for it

 private:
  static constexpr size_t kLeftMax = 64;  // files of each kind that wait; one more is closed at once

  // Has no name any more. Freed in slices once its directory is synced: until then a power cut would bring it back, whole.
  struct Unlinked {
    std::unique_ptr<File> file;
    std::string directory;
    uint64_t bytes = 0;
    bool durable = false;
    bool alone = false;  // nobody else has it open
    int turns = 0;       // of free_left() that found its directory not synced
  };
  static constexpr int kTurnsMax = 20;  // then it is closed, and freed at once: what was temporary is never synced

  void free_slice();

  std::mutex mutex_;
  std::vector<std::unique_ptr<File>> left_;
  std::vector<Unlinked> unlinked_;  // the order in which they were
};

}  // namespace heptane
