// What the wrappers of the preloaded library share: which descriptors and paths are covered, and how an operation is
// recorded. Threads: any. Nothing here allocates; every function keeps errno.
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "tools/powercut/journal.h"

// The next definition of a libc function, looked up once; `real(pwrite)(...)` calls it.
#define real(name)                                                                                \
  ([]() -> decltype(&::name) {                                                                    \
    static std::atomic<void*> next{nullptr};                                                      \
    void* found = next.load(std::memory_order_relaxed);                                           \
    if (found == nullptr) next.store(found = dlsym(RTLD_NEXT, #name), std::memory_order_relaxed); \
    return reinterpret_cast<decltype(&::name)>(found);                                            \
  }())

#define POWERCUT_EXPORT extern "C" __attribute__((visibility("default")))

namespace powercut {

// Null while the layer is off (no POWERCUT_STATE): then every wrapper only calls through.
Journal* journal();

struct CoveredFile {
  uint64_t inode;
  mode_t mode;
  off_t size;
};

// True for a descriptor of a regular file or directory below the root. Asks the kernel which file it is each time, for
// descriptors are closed and reused behind the layer's back.
bool covered_fd(int fd, CoveredFile* file);
// After a call that gave this number a new meaning.
void forget_fd(int fd);

// A directory entry: the parent's inode and the last component of a path.
struct Place {
  bool covered;
  uint64_t parent;
  uint32_t name_bytes;
  char name[256];
  int parent_fd;  // O_PATH, open while the Place lives; -1 when not covered
  Place(int dirfd, const char* path);
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  bool stat(struct stat* status) const;  // of the entry itself; false when there is none
};

inline int inode_lock(uint64_t inode) { return kInodeLocks + static_cast<int>(inode % (kLockCount - kInodeLocks)); }

void record_create(const Place& place, const struct stat& status);
void record_truncate(uint64_t inode, uint64_t size);
// Bytes of a file as the kernel has them now: for what was stored without a buffer that a wrapper sees.
void record_range(int fd, uint64_t inode, uint64_t offset, uint64_t bytes);
// The same for the whole content, its size included.
void record_content(int fd, uint64_t inode);
// The same for stores through a shared mapping of the file.
void record_memory(const void* memory, uint64_t inode, uint64_t offset, uint64_t bytes);

// A sync of any kind: counts it, plants the lies asked for, runs the real call and records the outcome.
template <class Call>
int sync_with(uint64_t inode, Op op, uint64_t offset, uint64_t length, Call call);

struct SyncTicket {
  uint64_t upto;
  enum class Fate { kReal, kLie, kFail } fate;
};
SyncTicket begin_sync();
void end_sync(const SyncTicket& ticket, Op op, uint64_t inode, uint64_t offset, uint64_t length, bool ok);
bool sync_for_real();  // POWERCUT_REAL_SYNC, on unless "0"

template <class Call>
int sync_with(uint64_t inode, Op op, uint64_t offset, uint64_t length, Call call) {
  SyncTicket ticket = begin_sync();
  if (ticket.fate == SyncTicket::Fate::kLie) return 0;
  int result = 0;
  if (ticket.fate == SyncTicket::Fate::kFail) {
    result = -1;
  } else if (sync_for_real()) {
    result = call();
  }
  int saved = errno;
  end_sync(ticket, op, inode, offset, length, result == 0);
  errno = ticket.fate == SyncTicket::Fate::kFail ? EIO : saved;
  return result;
}

// Shared writable mappings and stdio streams: what was stored through them is recorded when it is flushed.
void capture_mappings(uint64_t inode);
void capture_streams(uint64_t inode);

}  // namespace powercut
