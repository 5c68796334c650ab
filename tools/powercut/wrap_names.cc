// Wrappers of what opens, names and unnames files, and of what gives a descriptor number a new meaning.
// A change of a name and its record are made under one lock, so the journal has them in the kernel's order.
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/powercut/layer.h"

namespace powercut {
namespace {

Guard namespace_guard() { return Guard(journal()->control(), kNamespaceLock); }

int truncated(int fd) {
  CoveredFile file;
  if (covered_fd(fd, &file) && S_ISREG(file.mode)) {
    Guard guard(journal()->control(), inode_lock(file.inode));
    record_truncate(file.inode, 0);
  }
  return fd;
}

int created(int fd, const Place& place) {
  struct stat status;
  if (fd >= 0 && syscall(SYS_fstat, fd, &status) == 0) record_create(place, status);
  return fd;
}

template <class Call>
int open_with(int dirfd, const char* path, int flags, Call call) {
  auto opened = [&] {
    int fd = call();
    forget_fd(fd);
    return fd;
  };
  if (journal() == nullptr) return call();
  bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
  if ((flags & O_CREAT) == 0 && !temporary) {
    int fd = opened();
    return (flags & O_TRUNC) != 0 && fd >= 0 ? truncated(fd) : fd;
  }
  Place place(dirfd, path);
  if (!place.covered) return opened();
  if (temporary) {
    int fd = opened();
    place.name_bytes = 0;  // an inode without a name until linkat gives it one
    return created(fd, place);
  }
  struct stat before;
  if (place.stat(&before) && !S_ISREG(before.st_mode)) return opened();  // may block: never under the lock
  Guard guard = namespace_guard();
  bool existed = place.stat(&before);
  int fd = opened();
  if (!existed) return created(fd, place);
  return (flags & O_TRUNC) != 0 && fd >= 0 ? truncated(fd) : fd;
}

mode_t mode_argument(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

// A call that makes the entry `place`: a directory, a link, a device.
template <class Call>
int make_with(int dirfd, const char* path, Call call) {
  Place place(dirfd, path);
  if (!place.covered) return call();
  Guard guard = namespace_guard();
  int result = call();
  struct stat status;
  if (result == 0 && place.stat(&status)) record_create(place, status);
  return result;
}

void record_entry(Op op, const Place& place, uint64_t inode) {
  Record record{};
  record.op = op;
  record.inode = inode;
  record.a = place.parent;
  journal()->append(record, place.name, place.name_bytes);
}

template <class Call>
int unlink_with(int dirfd, const char* path, Call call) {
  Place place(dirfd, path);
  if (!place.covered) return call();
  Guard guard = namespace_guard();
  struct stat status;
  bool existed = place.stat(&status);
  int result = call();
  if (result == 0 && existed) record_entry(Op::kUnlink, place, status.st_ino);
  return result;
}

// A file that comes in from outside the root brings its content along, unsynced.
void adopt(const Place& place, const struct stat& status) {
  record_create(place, status);
  if (S_ISDIR(status.st_mode)) journal()->control()->unsupported.fetch_add(1);
  if (!S_ISREG(status.st_mode)) return;
  int fd = static_cast<int>(syscall(SYS_openat, place.parent_fd, place.name, O_RDONLY | O_CLOEXEC, 0));
  if (fd < 0) return;
  record_content(fd, status.st_ino);
  syscall(SYS_close, fd);
}

template <class Call>
int link_with(int old_dirfd, const char* old_path, int dirfd, const char* path, Call call) {
  Place place(dirfd, path);
  if (!place.covered) return call();
  bool by_fd = old_path != nullptr && (*old_path == 0 || strncmp(old_path, "/proc/", 6) == 0);
  Place old_place(old_dirfd, old_path);
  Guard guard = namespace_guard();
  int result = call();
  struct stat status;
  if (result != 0 || !place.stat(&status)) return result;
  if (old_place.covered || by_fd) {
    record_entry(Op::kLink, place, status.st_ino);
  } else {
    adopt(place, status);
  }
  return result;
}

template <class Call>
int rename_with(int old_dirfd, const char* old_path, int dirfd, const char* path, unsigned flags, Call call) {
  if (journal() == nullptr) return call();
  Place from(old_dirfd, old_path), to(dirfd, path);
  if (!from.covered && !to.covered) return call();
  Guard guard = namespace_guard();
  struct stat moved {
  }, replaced{};
  bool known = from.covered ? from.stat(&moved) : false;
  bool replaces = to.covered && to.stat(&replaced);
  int result = call();
  if (result != 0) return result;
  int saved = errno;
  if (!from.covered) {
    struct stat status;
    if (to.stat(&status)) adopt(to, status);
  } else if (!to.covered) {
    record_entry(Op::kUnlink, from, moved.st_ino);
  } else if (known && !(replaces && replaced.st_ino == moved.st_ino)) {  // two names of one file: nothing happens
    Record record{};
    record.op = (flags & RENAME_EXCHANGE) != 0 ? Op::kExchange : Op::kRename;
    record.inode = moved.st_ino;
    record.a = from.parent;
    record.b = to.parent;
    record.c = replaces ? replaced.st_ino : 0;
    journal()->append(record, from.name, from.name_bytes, to.name, to.name_bytes);
  }
  errno = saved;
  return result;
}

void record_attributes(const struct stat& status) {
  Record record{};
  record.op = Op::kAttributes;
  record.inode = status.st_ino;
  record.mode = status.st_mode;
  record.b = static_cast<uint64_t>(status.st_uid) << 32 | status.st_gid;
  journal()->append(record);
}

template <class Call>
int attributes_of_path(int dirfd, const char* path, Call call) {
  int result = call();
  struct stat status;
  if (result != 0) return result;
  Place place(dirfd, path);
  if (place.covered && place.stat(&status)) record_attributes(status);
  return result;
}

template <class Call>
int attributes_of_fd(int fd, Call call) {
  int result = call();
  CoveredFile file;
  struct stat status;
  if (result == 0 && covered_fd(fd, &file) && syscall(SYS_fstat, fd, &status) == 0) record_attributes(status);
  return result;
}

}  // namespace
}  // namespace powercut

using namespace powercut;  // NOLINT: the exported wrappers below stand in the global namespace

#define POWERCUT_OPEN(name)                                                                 \
  POWERCUT_EXPORT int name(const char* path, int flags, ...) {                              \
    va_list arguments;                                                                      \
    va_start(arguments, flags);                                                             \
    mode_t mode = mode_argument(flags, arguments);                                          \
    va_end(arguments);                                                                      \
    return open_with(AT_FDCWD, path, flags, [&] { return real(name)(path, flags, mode); }); \
  }
#define POWERCUT_OPENAT(name)                                                                   \
  POWERCUT_EXPORT int name(int dirfd, const char* path, int flags, ...) {                       \
    va_list arguments;                                                                          \
    va_start(arguments, flags);                                                                 \
    mode_t mode = mode_argument(flags, arguments);                                              \
    va_end(arguments);                                                                          \
    return open_with(dirfd, path, flags, [&] { return real(name)(dirfd, path, flags, mode); }); \
  }

extern "C" int __open(const char* path, int flags, ...);
extern "C" int __open64(const char* path, int flags, ...);
POWERCUT_OPEN(open)
POWERCUT_OPEN(open64)
POWERCUT_OPEN(__open)
POWERCUT_OPEN(__open64)
POWERCUT_OPENAT(openat)
POWERCUT_OPENAT(openat64)
// What a fortified caller uses when it passes no mode.
POWERCUT_EXPORT int __open_2(const char* path, int flags) { return ::open(path, flags); }
POWERCUT_EXPORT int __open64_2(const char* path, int flags) { return ::open64(path, flags); }
POWERCUT_EXPORT int __openat_2(int dirfd, const char* path, int flags) { return ::openat(dirfd, path, flags); }
POWERCUT_EXPORT int __openat64_2(int dirfd, const char* path, int flags) { return ::openat64(dirfd, path, flags); }
POWERCUT_EXPORT int creat(const char* path, mode_t mode) { return ::open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
POWERCUT_EXPORT int creat64(const char* path, mode_t mode) {
  return ::open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

// libc picks the name by itself and opens it without a symbol; its result is recorded as a creation.
static int made_temporary(char* path, int fd) {
  forget_fd(fd);
  if (fd < 0) return fd;
  Place place(AT_FDCWD, path);
  return place.covered ? created(fd, place) : fd;
}
POWERCUT_EXPORT int mkstemp(char* path) { return made_temporary(path, real(mkstemp)(path)); }
POWERCUT_EXPORT int mkstemp64(char* path) { return made_temporary(path, real(mkstemp64)(path)); }
POWERCUT_EXPORT int mkostemp(char* path, int flags) { return made_temporary(path, real(mkostemp)(path, flags)); }
POWERCUT_EXPORT int mkostemp64(char* path, int flags) { return made_temporary(path, real(mkostemp64)(path, flags)); }
POWERCUT_EXPORT char* mkdtemp(char* path) noexcept {
  char* result = real(mkdtemp)(path);
  if (result == nullptr) return result;
  Place place(AT_FDCWD, path);
  struct stat status;
  if (place.covered && place.stat(&status)) record_create(place, status);
  return result;
}

POWERCUT_EXPORT int close(int fd) {
  forget_fd(fd);
  return real(close)(fd);
}
extern "C" int __close(int fd);
POWERCUT_EXPORT int __close(int fd) { return ::close(fd); }
POWERCUT_EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
  for (unsigned fd = first; fd <= last && fd < 65536; ++fd) forget_fd(static_cast<int>(fd));
  return real(close_range)(first, last, flags);
}
POWERCUT_EXPORT int dup2(int from, int to) noexcept {
  forget_fd(to);
  return real(dup2)(from, to);
}
POWERCUT_EXPORT int dup3(int from, int to, int flags) noexcept {
  forget_fd(to);
  return real(dup3)(from, to, flags);
}
POWERCUT_EXPORT int dup(int from) noexcept {
  int fd = real(dup)(from);
  forget_fd(fd);
  return fd;
}

// libc opens a directory stream by itself; its descriptor may be synced later.
POWERCUT_EXPORT DIR* opendir(const char* path) {
  DIR* stream = real(opendir)(path);
  if (stream != nullptr && journal() != nullptr) forget_fd(dirfd(stream));
  return stream;
}

POWERCUT_EXPORT int mkdir(const char* path, mode_t mode) noexcept {
  return make_with(AT_FDCWD, path, [&] { return real(mkdir)(path, mode); });
}
POWERCUT_EXPORT int mkdirat(int dirfd, const char* path, mode_t mode) noexcept {
  return make_with(dirfd, path, [&] { return real(mkdirat)(dirfd, path, mode); });
}
POWERCUT_EXPORT int symlink(const char* target, const char* path) noexcept {
  return make_with(AT_FDCWD, path, [&] { return real(symlink)(target, path); });
}
POWERCUT_EXPORT int symlinkat(const char* target, int dirfd, const char* path) noexcept {
  return make_with(dirfd, path, [&] { return real(symlinkat)(target, dirfd, path); });
}

POWERCUT_EXPORT int unlink(const char* path) noexcept {
  return unlink_with(AT_FDCWD, path, [&] { return real(unlink)(path); });
}
POWERCUT_EXPORT int unlinkat(int dirfd, const char* path, int flags) noexcept {
  return unlink_with(dirfd, path, [&] { return real(unlinkat)(dirfd, path, flags); });
}
POWERCUT_EXPORT int rmdir(const char* path) noexcept {
  return unlink_with(AT_FDCWD, path, [&] { return real(rmdir)(path); });
}
POWERCUT_EXPORT int remove(const char* path) noexcept {
  return unlink_with(AT_FDCWD, path, [&] { return real(remove)(path); });
}

POWERCUT_EXPORT int link(const char* from, const char* to) noexcept {
  return link_with(AT_FDCWD, from, AT_FDCWD, to, [&] { return real(link)(from, to); });
}
POWERCUT_EXPORT int linkat(int from_fd, const char* from, int to_fd, const char* to, int flags) noexcept {
  return link_with(from_fd, from, to_fd, to, [&] { return real(linkat)(from_fd, from, to_fd, to, flags); });
}

POWERCUT_EXPORT int rename(const char* from, const char* to) noexcept {
  return rename_with(AT_FDCWD, from, AT_FDCWD, to, 0, [&] { return real(rename)(from, to); });
}
POWERCUT_EXPORT int renameat(int from_fd, const char* from, int to_fd, const char* to) noexcept {
  return rename_with(from_fd, from, to_fd, to, 0, [&] { return real(renameat)(from_fd, from, to_fd, to); });
}
POWERCUT_EXPORT int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  return rename_with(from_fd, from, to_fd, to, flags, [&] { return real(renameat2)(from_fd, from, to_fd, to, flags); });
}

POWERCUT_EXPORT int chmod(const char* path, mode_t mode) noexcept {
  return attributes_of_path(AT_FDCWD, path, [&] { return real(chmod)(path, mode); });
}
POWERCUT_EXPORT int fchmod(int fd, mode_t mode) noexcept {
  return attributes_of_fd(fd, [&] { return real(fchmod)(fd, mode); });
}
POWERCUT_EXPORT int fchmodat(int dirfd, const char* path, mode_t mode, int flags) noexcept {
  return attributes_of_path(dirfd, path, [&] { return real(fchmodat)(dirfd, path, mode, flags); });
}
POWERCUT_EXPORT int chown(const char* path, uid_t owner, gid_t group) noexcept {
  return attributes_of_path(AT_FDCWD, path, [&] { return real(chown)(path, owner, group); });
}
POWERCUT_EXPORT int fchown(int fd, uid_t owner, gid_t group) noexcept {
  return attributes_of_fd(fd, [&] { return real(fchown)(fd, owner, group); });
}
