#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <dirent.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "kernel/base/disk.h"

namespace heptane {

namespace {

Error system_error(const std::string& what, const std::string& path) {
  const int number = errno;
  const Errc code = number == ENOSPC || number == EDQUOT ? Errc::no_space
                    : number == ENOENT                   ? Errc::not_found
                    : number == EEXIST                   ? Errc::exists
                                                         : Errc::io;
  return Error{code, what + " " + path + ": " + std::strerror(number)};
}

constexpr size_t kScatterMax = 64;  // places of one call
constexpr uint64_t kShortBytes = uint64_t{4} << 30;

// Once a process. Allocates nothing: a forked child that writes a snapshot may be the one that finds out.
void tell_refused(const std::string& path) {
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  std::string_view pieces[] = {"heptane: the file system of ", path,
                               " opens files for writing past the page cache (O_DIRECT) and then refuses to: what it "
                               "refuses is written through the page cache\n"};
  iovec parts[std::size(pieces)];
  for (size_t i = 0; i < std::size(pieces); ++i) parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
  [[maybe_unused]] const ssize_t written = ::writev(STDERR_FILENO, parts, static_cast<int>(std::size(parts)));
}

class SystemFile final : public File {
 public:
  SystemFile(int fd, std::string path, bool direct = false) : fd_(fd), path_(std::move(path)), direct_(direct) {}
  ~SystemFile() override { ::close(fd_); }
  SystemFile(const SystemFile&) = delete;
  SystemFile& operator=(const SystemFile&) = delete;

  Result<size_t> read_at(uint64_t offset, MutableBytes into) override {
    size_t done = 0;
    while (done < into.size()) {
      const ssize_t count = ::pread(fd_, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return system_error("read", path_);
      if (count == 0) break;
      done += static_cast<size_t>(count);
    }
    return done;
  }

  Result<size_t> read_scattered(uint64_t offset, std::span<const MutableBytes> into) override {
    std::array<iovec, kScatterMax> places{};
    const size_t count = std::min(into.size(), kScatterMax);
    size_t wanted = 0;
    for (size_t i = 0; i < count; ++i) {
      places[i] = {into[i].data(), into[i].size()};
      wanted += into[i].size();
    }
    const ssize_t read = ::preadv(fd_, places.data(), static_cast<int>(count), static_cast<off_t>(offset));
    if (read >= 0 && static_cast<size_t>(read) == wanted && count == into.size()) return wanted;
    return File::read_scattered(offset, into);  // cut short: piece by piece it gets as far as it can
  }

  Result<std::optional<size_t>> try_read_at(uint64_t offset, MutableBytes into) override {
    size_t done = 0;
    while (done < into.size()) {
      const iovec piece{into.data() + done, into.size() - done};
      const ssize_t count = ::preadv2(fd_, &piece, 1, static_cast<off_t>(offset + done), RWF_NOWAIT);
      if (count < 0 && errno == EINTR) continue;
      // EOPNOTSUPP: a file system that cannot say; then nothing is known to be in memory.
      if (count < 0 && (errno == EAGAIN || errno == EOPNOTSUPP)) return std::optional<size_t>();
      if (count < 0) return system_error("read", path_);
      if (count == 0) break;
      done += static_cast<size_t>(count);
    }
    return std::optional<size_t>(done);
  }

  void expect(uint64_t offset, uint64_t bytes) override {
    (void)::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
  }

  Result<void> write_at(uint64_t offset, Bytes bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EINVAL && leave_direct()) continue;
      if (count < 0) return system_error("write", path_);
      bytes = bytes.subspan(static_cast<size_t>(count));
      offset += static_cast<uint64_t>(count);
    }
    return {};
  }

  Result<void> sync() override {
    if (::fdatasync(fd_) != 0) return system_error("sync", path_);
    return {};
  }

  void write_and_sync(uint64_t offset, Bytes bytes, Completion done) override {
    Result<void> result = write_at(offset, bytes);
    if (result) result = sync();
    done(std::move(result));
  }

  Result<uint64_t> size() override {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) return system_error("stat", path_);
    return static_cast<uint64_t>(status.st_size);
  }

  Result<void> allocate(uint64_t size) override {
    int failed = 0;
    do failed = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
    while (failed == EINTR);
    errno = failed;
    if (failed != 0) return system_error("allocate", path_);
    return {};
  }

  Result<void> truncate(uint64_t size) override {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return system_error("truncate", path_);
    return {};
  }

  int descriptor() const override { return fd_; }

 private:
  // EINVAL of a direct write says that this kind of writing is not for this file system, before anything was written: no
  // error of the device that a second try would hide. True: the file is written through the page cache from now on.
  bool leave_direct() {
    if (!std::exchange(direct_, false)) return false;
    const int flags = ::fcntl(fd_, F_GETFL);
    if (flags < 0 || ::fcntl(fd_, F_SETFL, flags & ~O_DIRECT) != 0) {
      errno = EINVAL;
      return false;
    }
    tell_refused(path_);
    return true;
  }

  int fd_;
  std::string path_;
  bool direct_;
};

class SystemLock final : public DirectoryLock {
 public:
  explicit SystemLock(int fd) : fd_(fd) {}
  ~SystemLock() override { ::close(fd_); }
  SystemLock(const SystemLock&) = delete;
  SystemLock& operator=(const SystemLock&) = delete;

 private:
  int fd_;
};

// 0: it has another name, is no regular file, or cannot be looked at.
uint64_t bytes_without_a_name(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink > 0) return 0;
  return static_cast<uint64_t>(status.st_size);
}

// A lease to write is only given when this descriptor is the file's only one, in this process and in all others
// (fcntl(2), "Leases"). It has no name by which it could be opened meanwhile.
bool nobody_else_has_open(int fd) {
  return ::fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && ::fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

int open_flags(OpenMode mode, OpenHint hint) {
  int flags = O_CLOEXEC | (mode == OpenMode::read ? O_RDONLY : O_RDWR);
  if (mode == OpenMode::create) flags |= O_CREAT | O_EXCL;
  if (hint == OpenHint::direct) flags |= O_DIRECT;
  return flags;
}

}  // namespace

Result<std::unique_ptr<File>> SystemDisk::open(const std::string& path, OpenMode mode, OpenHint hint) {
  int fd = ::open(path.c_str(), open_flags(mode, hint), 0600);
  bool direct = hint == OpenHint::direct;
  if (fd < 0 && errno == EINVAL && std::exchange(direct, false))
    fd = ::open(path.c_str(), open_flags(mode, OpenHint::none), 0600);
  if (fd < 0) return system_error("open", path);
  if (hint == OpenHint::no_read_ahead) (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  return std::unique_ptr<File>(new SystemFile(fd, path, direct));
}

Result<void> SystemDisk::make_directory(const std::string& path) {
  for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1))
    if (::mkdir(path.substr(0, end).c_str(), 0700) != 0 && errno != EEXIST) return system_error("make directory", path);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error("make directory", path);
  return {};
}

Result<std::vector<std::string>> SystemDisk::list(const std::string& directory) {
  DIR* dir = ::opendir(directory.c_str());
  if (dir == nullptr) return system_error("list", directory);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

Result<bool> SystemDisk::exists(const std::string& path) {
  if (::access(path.c_str(), F_OK) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return system_error("look for", path);
}

Result<void> SystemDisk::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return system_error("rename " + from + " to", to);
  return {};
}

void SystemDisk::leave(std::unique_ptr<File> file) {
  const std::lock_guard lock(mutex_);
  if (left_.size() < kLeftMax) left_.push_back(std::move(file));
}

void SystemDisk::free_left() {
  std::vector<std::unique_ptr<File>> closing;
  {
    const std::lock_guard lock(mutex_);
    closing.swap(left_);
  }
  closing.clear();
  free_slice();
}

void SystemDisk::free_slice() {
  Unlinked one;
  uint64_t waiting = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const Unlinked& each : unlinked_) waiting += each.bytes;
    const auto found = std::find_if(unlinked_.begin(), unlinked_.end(),
                                    [](Unlinked& each) { return each.durable || ++each.turns == kTurnsMax; });
    if (found == unlinked_.end()) return;
    one = std::move(*found);
    unlinked_.erase(found);
  }
  if (!one.durable) return;
  one.alone = one.alone || nobody_else_has_open(one.file->descriptor());
  if (!one.alone) return;
  const uint64_t slice = std::max(kFreedBytes, waiting / 64);
  if (one.bytes <= slice || !one.file->truncate(one.bytes - slice)) return;
  one.bytes -= slice;
  const std::lock_guard lock(mutex_);
  unlinked_.insert(unlinked_.begin(), std::move(one));
}

Result<void> SystemDisk::unlink(const std::string& path) {
  // Of what cannot be opened so the blocks go with the name.
  const int fd = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  Unlinked one;
  if (fd >= 0) one.file = std::make_unique<SystemFile>(fd, path);
  if (::unlink(path.c_str()) != 0) return system_error("unlink", path);
  one.bytes = fd < 0 ? 0 : bytes_without_a_name(fd);
  if (one.bytes <= kFreedBytes) return {};
  one.directory = path.substr(0, path.rfind('/'));
  const std::lock_guard lock(mutex_);
  if (unlinked_.size() < kLeftMax) unlinked_.push_back(std::move(one));
  return {};
}

Result<void> SystemDisk::sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return system_error("open", path);
  const int failed = ::fsync(fd);
  const Result<void> result = failed == 0 ? Result<void>() : Result<void>(system_error("sync", path));
  ::close(fd);
  if (!result) return result;
  const std::lock_guard lock(mutex_);
  for (Unlinked& one : unlinked_) one.durable = one.durable || one.directory == path;
  return result;
}

Result<uint64_t> SystemDisk::free_bytes(const std::string& path) {
  const auto available = [&]() -> Result<uint64_t> {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) return system_error("look at the space of", path);
    return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
  };
  const Result<uint64_t> found = available();
  if (!found || *found >= kShortBytes) return found;
  // Where room is short nobody waits for it to be freed in slices.
  std::vector<Unlinked> freed;
  {
    const std::lock_guard lock(mutex_);
    freed.swap(unlinked_);
  }
  if (freed.empty()) return found;
  freed.clear();
  return available();
}

Result<std::unique_ptr<DirectoryLock>> SystemDisk::lock(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return system_error("open", path);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const Error error{Errc::exists, path + " is held by another process: one writer per data directory"};
    ::close(fd);
    return error;
  }
  return std::unique_ptr<DirectoryLock>(new SystemLock(fd));
}

}  // namespace heptane
