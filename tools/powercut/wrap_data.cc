// Wrappers of what changes or syncs the content of a file.
// A write and its record are made under the file's lock, so the journal has overlapping writes in the kernel's order. A
// sync takes the journal's position before the real call: what is written meanwhile does not count as synced.
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/falloc.h>

#include "tools/powercut/layer.h"

namespace powercut {
namespace {

constexpr off64_t kAtCursor = -1;

// Runs a call that writes through fd at the given offset (or its cursor) and records the bytes that it wrote, with
// record(offset, bytes). sync_flags: RWF_DSYNC or RWF_SYNC of this call.
template <class Call, class Store>
ssize_t write_with(int fd, off64_t offset, int sync_flags, Call call, Store store) {
  CoveredFile file;
  if (!covered_fd(fd, &file)) return call();
  int flags = fcntl(fd, F_GETFL);
  bool durable = (flags & (O_DSYNC | O_SYNC)) != 0 || (sync_flags & (RWF_DSYNC | RWF_SYNC)) != 0;
  bool appends = (flags & O_APPEND) != 0 || (sync_flags & RWF_APPEND) != 0;
  off64_t start = 0;
  ssize_t written = 0;
  {
    Guard guard(journal()->control(), inode_lock(file.inode));
    written = call();
    if (written <= 0) return written;
    int saved = errno;
    start = offset;
    if (offset == kAtCursor) {
      start = syscall(SYS_lseek, fd, 0L, SEEK_CUR) - written;
    } else if (appends) {  // pwrite appends too, whatever its offset says
      struct stat status;
      if (syscall(SYS_fstat, fd, &status) == 0) start = status.st_size - written;
    }
    store(file.inode, static_cast<uint64_t>(start), static_cast<size_t>(written));
    errno = saved;
  }
  if (durable) {
    sync_with(file.inode, Op::kSyncRange, static_cast<uint64_t>(start), static_cast<uint64_t>(written),
              [] { return 0; });
  }
  return written;
}

template <class Call>
ssize_t write_vector(int fd, const iovec* data, int count, off64_t offset, int sync_flags, Call call) {
  return write_with(fd, offset, sync_flags, call, [&](uint64_t inode, uint64_t start, size_t bytes) {
    journal()->append_write(inode, start, data, count, bytes);
  });
}

template <class Call>
ssize_t write_buffer(int fd, const void* data, size_t bytes, off64_t offset, Call call) {
  iovec one{const_cast<void*>(data), bytes};
  return write_vector(fd, &one, 1, offset, 0, call);
}

template <class Call>
ssize_t write_from_kernel(int fd, off64_t offset, Call call) {
  return write_with(fd, offset, 0, call,
                    [&](uint64_t inode, uint64_t start, size_t bytes) { record_range(fd, inode, start, bytes); });
}

template <class Call>
int sync_file(int fd, Call call) {
  CoveredFile file;
  if (!covered_fd(fd, &file)) return call();
  capture_mappings(file.inode);
  capture_streams(file.inode);
  return sync_with(file.inode, Op::kSync, 0, 0, call);
}

template <class Call>
int sync_everything(Call call) {
  SyncTicket ticket = begin_sync();
  int result = call();
  if (ticket.fate == SyncTicket::Fate::kReal) end_sync(ticket, Op::kSyncAll, 0, 0, 0, result == 0);
  return result;
}

template <class Call>
int resize(int fd, off64_t size, Call call) {
  CoveredFile file;
  if (!covered_fd(fd, &file)) return call();
  Guard guard(journal()->control(), inode_lock(file.inode));
  int result = call();
  if (result == 0) record_truncate(file.inode, static_cast<uint64_t>(size));
  return result;
}

// Opening for the length of the call turns a path into the descriptor that `resize` wants.
template <class Call>
int resize_path(const char* path, off64_t size, Call call) {
  if (journal() == nullptr) return call();
  int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0));
  forget_fd(fd);
  int result = resize(fd, size, call);
  int saved = errno;
  forget_fd(fd);
  if (fd >= 0) syscall(SYS_close, fd);
  errno = saved;
  return result;
}

void record_span(Op op, uint64_t inode, off64_t offset, off64_t bytes) {
  Record record{};
  record.op = op;
  record.inode = inode;
  record.a = static_cast<uint64_t>(offset);
  record.b = static_cast<uint64_t>(bytes);
  journal()->append(record);
}

template <class Call>
int allocate(int fd, int mode, off64_t offset, off64_t bytes, Call call) {
  CoveredFile file;
  if (!covered_fd(fd, &file)) return call();
  Guard guard(journal()->control(), inode_lock(file.inode));
  int result = call();
  if (result != 0) return result;
  if ((mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0) {
    record_content(fd, file.inode);
    return result;
  }
  if ((mode & (FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE)) != 0) record_span(Op::kZero, file.inode, offset, bytes);
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) record_span(Op::kAllocate, file.inode, offset, bytes);
  return result;
}

}  // namespace
}  // namespace powercut

using namespace powercut;  // NOLINT: the exported wrappers below stand in the global namespace

POWERCUT_EXPORT ssize_t write(int fd, const void* data, size_t bytes) {
  return write_buffer(fd, data, bytes, kAtCursor, [&] { return real(write)(fd, data, bytes); });
}
POWERCUT_EXPORT ssize_t __write(int fd, const void* data, size_t bytes) { return ::write(fd, data, bytes); }

POWERCUT_EXPORT ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  return write_buffer(fd, data, bytes, offset, [&] { return real(pwrite)(fd, data, bytes, offset); });
}
POWERCUT_EXPORT ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t offset) {
  return write_buffer(fd, data, bytes, offset, [&] { return real(pwrite64)(fd, data, bytes, offset); });
}
POWERCUT_EXPORT ssize_t __pwrite64(int fd, const void* data, size_t bytes, off64_t offset) {
  return ::pwrite64(fd, data, bytes, offset);
}

POWERCUT_EXPORT ssize_t writev(int fd, const iovec* data, int count) {
  return write_vector(fd, data, count, kAtCursor, 0, [&] { return real(writev)(fd, data, count); });
}
POWERCUT_EXPORT ssize_t pwritev(int fd, const iovec* data, int count, off_t offset) {
  return write_vector(fd, data, count, offset, 0, [&] { return real(pwritev)(fd, data, count, offset); });
}
POWERCUT_EXPORT ssize_t pwritev64(int fd, const iovec* data, int count, off64_t offset) {
  return write_vector(fd, data, count, offset, 0, [&] { return real(pwritev64)(fd, data, count, offset); });
}
POWERCUT_EXPORT ssize_t pwritev2(int fd, const iovec* data, int count, off_t offset, int flags) {
  return write_vector(fd, data, count, offset, flags, [&] { return real(pwritev2)(fd, data, count, offset, flags); });
}
POWERCUT_EXPORT ssize_t pwritev64v2(int fd, const iovec* data, int count, off64_t offset, int flags) {
  return write_vector(fd, data, count, offset, flags,
                      [&] { return real(pwritev64v2)(fd, data, count, offset, flags); });
}

POWERCUT_EXPORT ssize_t copy_file_range(int in, off64_t* in_offset, int out, off64_t* out_offset, size_t bytes,
                                        unsigned flags) {
  off64_t start = out_offset == nullptr ? kAtCursor : *out_offset;
  return write_from_kernel(out, start,
                           [&] { return real(copy_file_range)(in, in_offset, out, out_offset, bytes, flags); });
}
POWERCUT_EXPORT ssize_t sendfile(int out, int in, off_t* offset, size_t bytes) noexcept {
  return write_from_kernel(out, kAtCursor, [&] { return real(sendfile)(out, in, offset, bytes); });
}
POWERCUT_EXPORT ssize_t sendfile64(int out, int in, off64_t* offset, size_t bytes) noexcept {
  return write_from_kernel(out, kAtCursor, [&] { return real(sendfile64)(out, in, offset, bytes); });
}
POWERCUT_EXPORT ssize_t splice(int in, off64_t* in_offset, int out, off64_t* out_offset, size_t bytes, unsigned flags) {
  off64_t start = out_offset == nullptr ? kAtCursor : *out_offset;
  return write_from_kernel(out, start, [&] { return real(splice)(in, in_offset, out, out_offset, bytes, flags); });
}

POWERCUT_EXPORT int fsync(int fd) {
  return sync_file(fd, [&] { return real(fsync)(fd); });
}
POWERCUT_EXPORT int fdatasync(int fd) {
  return sync_file(fd, [&] { return real(fdatasync)(fd); });
}
// sync_file_range promises nothing after a power cut (no metadata, no cache flush), so it is left to libc.
POWERCUT_EXPORT void sync() noexcept {
  if (journal() == nullptr) return real(sync)();
  sync_everything([] {
    if (sync_for_real()) real(sync)();
    return 0;
  });
}
POWERCUT_EXPORT int syncfs(int fd) noexcept {
  if (journal() == nullptr) return real(syncfs)(fd);
  return sync_everything([&] { return sync_for_real() ? real(syncfs)(fd) : 0; });
}

POWERCUT_EXPORT int ftruncate(int fd, off_t size) noexcept {
  return resize(fd, size, [&] { return real(ftruncate)(fd, size); });
}
POWERCUT_EXPORT int ftruncate64(int fd, off64_t size) noexcept {
  return resize(fd, size, [&] { return real(ftruncate64)(fd, size); });
}
POWERCUT_EXPORT int truncate(const char* path, off_t size) noexcept {
  return resize_path(path, size, [&] { return real(truncate)(path, size); });
}
POWERCUT_EXPORT int truncate64(const char* path, off64_t size) noexcept {
  return resize_path(path, size, [&] { return real(truncate64)(path, size); });
}

POWERCUT_EXPORT int fallocate(int fd, int mode, off_t offset, off_t bytes) {
  return allocate(fd, mode, offset, bytes, [&] { return real(fallocate)(fd, mode, offset, bytes); });
}
POWERCUT_EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t bytes) {
  return allocate(fd, mode, offset, bytes, [&] { return real(fallocate64)(fd, mode, offset, bytes); });
}
POWERCUT_EXPORT int posix_fallocate(int fd, off_t offset, off_t bytes) {
  return allocate(fd, 0, offset, bytes, [&] { return real(posix_fallocate)(fd, offset, bytes); });
}
POWERCUT_EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t bytes) {
  return allocate(fd, 0, offset, bytes, [&] { return real(posix_fallocate64)(fd, offset, bytes); });
}
