#include "tools/powercut/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <stdio.h>

namespace powercut {
namespace {

enum : uint8_t { kUnknown = 0, kOutside = 1, kCovered = 2 };
constexpr int kTrackedFds = 1 << 16;

struct Settings {
  Journal journal;
  bool on = false;
  bool real_sync = true;
  uint64_t lie_sync_from = 0, lie_sync_to = 0;  // 1-based, inclusive; 0 = none
  uint64_t fail_sync = 0;
};

Settings settings;
std::atomic<int> start_state{0};  // 0 not yet, 1 under way, 2 done
std::atomic<uint8_t> fd_state[kTrackedFds];

uint64_t number(const char* name) {
  const char* text = getenv(name);
  return text == nullptr ? 0 : strtoull(text, nullptr, 10);
}

// "N" or "N-M" or "N-" (from the Nth on).
void parse_range(const char* text, uint64_t* from, uint64_t* to) {
  if (text == nullptr) return;
  char* rest = nullptr;
  *from = *to = strtoull(text, &rest, 10);
  if (*rest == '-') *to = rest[1] == 0 ? ~uint64_t{0} : strtoull(rest + 1, nullptr, 10);
}

void start() {
  const char* state = getenv("POWERCUT_STATE");
  if (state == nullptr || *state == 0) return;
  if (!settings.journal.attach(state)) die("no prepared state (run `powercut prepare`) at", state);
  const char* real_sync = getenv("POWERCUT_REAL_SYNC");
  settings.real_sync = real_sync == nullptr || strcmp(real_sync, "0") != 0;
  parse_range(getenv("POWERCUT_LIE_SYNC"), &settings.lie_sync_from, &settings.lie_sync_to);
  settings.fail_sync = number("POWERCUT_FAIL_SYNC");
  settings.on = true;
}

bool below_root(const char* path, size_t bytes) {
  const Control* control = settings.journal.control();
  size_t root = control->root_path_bytes;
  return bytes >= root && memcmp(path, control->root_path, root) == 0 && (bytes == root || path[root] == '/');
}

bool fd_below_root(int fd) {
  char link[64], path[kPathBytesMax];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t bytes = syscall(SYS_readlink, link, path, sizeof path);
  return bytes > 0 && below_root(path, static_cast<size_t>(bytes));
}

bool file_status(int fd, struct stat* status) { return syscall(SYS_fstat, fd, status) == 0; }

}  // namespace

Journal* journal() {
  if (start_state.load(std::memory_order_acquire) != 2) {
    int fresh = 0;
    if (start_state.compare_exchange_strong(fresh, 1)) {
      start();
      start_state.store(2, std::memory_order_release);
    } else if (start_state.load() != 2) {
      return nullptr;  // called by the start itself, before any thread exists
    }
  }
  return settings.on ? &settings.journal : nullptr;
}

__attribute__((constructor)) void start_early() { journal(); }

bool covered_fd(int fd, CoveredFile* file) {
  if (fd < 0 || journal() == nullptr) return false;
  bool tracked = fd < kTrackedFds;
  uint8_t state = tracked ? fd_state[fd].load(std::memory_order_relaxed) : uint8_t{kUnknown};
  if (state == kOutside) return false;
  int saved = errno;
  struct stat status;
  bool covered = file_status(fd, &status) && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) &&
                 status.st_dev == settings.journal.control()->root_device && fd_below_root(fd);
  if (covered) *file = {status.st_ino, status.st_mode, status.st_size};
  if (tracked) fd_state[fd].store(covered ? kCovered : kOutside, std::memory_order_relaxed);
  errno = saved;
  return covered;
}

void forget_fd(int fd) {
  if (fd >= 0 && fd < kTrackedFds) fd_state[fd].store(kUnknown, std::memory_order_relaxed);
}

Place::Place(int dirfd, const char* path) : covered(false), parent(0), name_bytes(0), parent_fd(-1) {
  if (path == nullptr || *path == 0 || journal() == nullptr) return;
  int saved = errno;
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/') --end;
  size_t start = end;
  while (start > 0 && path[start - 1] != '/') --start;
  if (end - start < sizeof name && start < kPathBytesMax) {
    char directory[kPathBytesMax];
    memcpy(directory, path, start);
    directory[start] = 0;
    name_bytes = static_cast<uint32_t>(end - start);
    memcpy(name, path + start, name_bytes);
    name[name_bytes] = 0;
    const char* where = start == 0 ? "." : directory;
    parent_fd = static_cast<int>(syscall(SYS_openat, dirfd, where, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    struct stat status;
    covered = parent_fd >= 0 && file_status(parent_fd, &status) &&
              status.st_dev == settings.journal.control()->root_device && fd_below_root(parent_fd);
    if (covered) parent = status.st_ino;
  }
  errno = saved;
}

Place::~Place() {
  if (parent_fd < 0) return;
  int saved = errno;
  syscall(SYS_close, parent_fd);
  errno = saved;
}

bool Place::stat(struct stat* status) const {
  int saved = errno;
  bool found = syscall(SYS_newfstatat, parent_fd, name, status, AT_SYMLINK_NOFOLLOW) == 0;
  errno = saved;
  return found;
}

void record_create(const Place& place, const struct stat& status) {
  Record record{};
  record.op = Op::kCreate;
  record.inode = status.st_ino;
  record.a = place.parent;
  record.b = static_cast<uint64_t>(status.st_uid) << 32 | status.st_gid;
  record.mode = status.st_mode;
  char target[kPathBytesMax];
  ssize_t target_bytes = 0;
  if (S_ISLNK(status.st_mode)) {
    target_bytes = syscall(SYS_readlinkat, place.parent_fd, place.name, target, sizeof target);
    if (target_bytes < 0) target_bytes = 0;
  }
  settings.journal.append(record, place.name, place.name_bytes, target, static_cast<size_t>(target_bytes));
}

void record_truncate(uint64_t inode, uint64_t size) {
  Record record{};
  record.op = Op::kTruncate;
  record.inode = inode;
  record.a = size;
  settings.journal.append(record);
}

namespace {

char copy_buffer[1 << 20];  // under kBufferLock

template <class Fetch>
void record_fetched(uint64_t inode, uint64_t offset, uint64_t bytes, Fetch fetch) {
  Guard guard(settings.journal.control(), kBufferLock);
  for (uint64_t done = 0; done < bytes;) {
    size_t part = bytes - done < sizeof copy_buffer ? bytes - done : sizeof copy_buffer;
    ssize_t got = fetch(done, part);
    if (got <= 0) return;
    iovec data{copy_buffer, static_cast<size_t>(got)};
    settings.journal.append_write(inode, offset + done, &data, 1, static_cast<size_t>(got));
    done += static_cast<uint64_t>(got);
  }
}

}  // namespace

void record_range(int fd, uint64_t inode, uint64_t offset, uint64_t bytes) {
  int saved = errno;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);  // the descriptor itself may be for writing only
  int reader = static_cast<int>(syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0));
  if (reader >= 0) {
    record_fetched(inode, offset, bytes, [&](uint64_t done, size_t part) {
      return static_cast<ssize_t>(syscall(SYS_pread64, reader, copy_buffer, part, offset + done));
    });
    syscall(SYS_close, reader);
  } else {
    settings.journal.control()->unsupported.fetch_add(1);
  }
  errno = saved;
}

void record_content(int fd, uint64_t inode) {
  int saved = errno;
  struct stat status;
  if (file_status(fd, &status)) {
    record_truncate(inode, static_cast<uint64_t>(status.st_size));
    record_range(fd, inode, 0, static_cast<uint64_t>(status.st_size));
  }
  errno = saved;
}

void record_memory(const void* memory, uint64_t inode, uint64_t offset, uint64_t bytes) {
  int saved = errno;
  record_fetched(inode, offset, bytes, [&](uint64_t done, size_t part) {
    iovec to{copy_buffer, part}, from{const_cast<char*>(static_cast<const char*>(memory)) + done, part};
    // Pages behind the end of the file answer EFAULT here and would be a SIGBUS to memcpy.
    return static_cast<ssize_t>(syscall(SYS_process_vm_readv, syscall(SYS_getpid), &to, 1L, &from, 1L, 0L));
  });
  errno = saved;
}

bool sync_for_real() { return settings.real_sync; }

SyncTicket begin_sync() {
  uint64_t nth = settings.journal.control()->sync_calls.fetch_add(1) + 1;
  SyncTicket ticket{settings.journal.end(), SyncTicket::Fate::kReal};
  if (nth >= settings.lie_sync_from && nth <= settings.lie_sync_to) ticket.fate = SyncTicket::Fate::kLie;
  if (nth == settings.fail_sync) ticket.fate = SyncTicket::Fate::kFail;
  return ticket;
}

void end_sync(const SyncTicket& ticket, Op op, uint64_t inode, uint64_t offset, uint64_t length, bool ok) {
  Record record{};
  record.op = ok ? op : Op::kSyncFailed;
  record.inode = inode;
  record.a = ticket.upto;
  record.b = offset;
  record.c = length;
  settings.journal.append(record);
}

}  // namespace powercut
