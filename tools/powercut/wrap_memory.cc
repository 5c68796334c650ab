// Wrappers of the two ways to store into a file that no write call shows: shared mappings and stdio streams.
// What went through them is recorded, unsynced, when it is flushed (msync, munmap, fflush, fclose) and before every
// fsync of the file. Stores that were never flushed are lost at a cut, as they may be on a real machine.
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/powercut/layer.h"

namespace powercut {
namespace {

struct Mapping {
  std::atomic<char*> start{nullptr};  // null: free
  uint64_t bytes = 0, inode = 0, offset = 0;
};
struct Stream {
  std::atomic<FILE*> file{nullptr};
  uint64_t inode = 0;
};
constexpr int kTrackedMax = 1024;
Mapping mappings[kTrackedMax];
Stream streams[kTrackedMax];

void remember_mapping(void* start, size_t bytes, uint64_t inode, off64_t offset) {
  for (Mapping& mapping : mappings) {
    char* free = nullptr;
    if (!mapping.start.compare_exchange_strong(free, reinterpret_cast<char*>(1))) continue;
    mapping.bytes = bytes;
    mapping.inode = inode;
    mapping.offset = static_cast<uint64_t>(offset);
    mapping.start.store(static_cast<char*>(start));
    return;
  }
  journal()->control()->unsupported.fetch_add(1);
}

// Calls each(mapping, from, to) for every known mapping that overlaps the addresses.
template <class Each>
void overlapping(void* address, size_t bytes, Each each) {
  char* from = static_cast<char*>(address);
  for (Mapping& mapping : mappings) {
    char* start = mapping.start.load();
    if (reinterpret_cast<uintptr_t>(start) <= 1) continue;
    char* end = start + mapping.bytes;
    if (from >= end || from + bytes <= start) continue;
    each(mapping, from < start ? start : from, from + bytes > end ? end : from + bytes);
  }
}

void record_mapped(const Mapping& mapping, char* from, char* to) {
  uint64_t skip = static_cast<uint64_t>(from - mapping.start.load());
  Guard guard(journal()->control(), inode_lock(mapping.inode));
  record_memory(from, mapping.inode, mapping.offset + skip, static_cast<uint64_t>(to - from));
}

template <class Call>
void* map_with(size_t bytes, int flags, int fd, off64_t offset, Call call) {
  void* start = call();
  CoveredFile file;
  bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
  if (start == MAP_FAILED || !shared || (flags & MAP_ANONYMOUS) != 0 || !covered_fd(fd, &file)) return start;
  int saved = errno;
  if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR) remember_mapping(start, bytes, file.inode, offset);
  errno = saved;
  return start;
}

int unmap_with(void* address, size_t bytes) {
  if (journal() != nullptr) {
    overlapping(address, bytes, [&](Mapping& mapping, char* from, char* to) {
      record_mapped(mapping, from, to);
      char* start = mapping.start.load();
      uint64_t tail = static_cast<uint64_t>(start + mapping.bytes - to);
      if (tail > 0) remember_mapping(to, tail, mapping.inode, static_cast<off64_t>(mapping.offset + (to - start)));
      if (from > start) {
        mapping.bytes = static_cast<uint64_t>(from - start);
      } else {
        mapping.start.store(nullptr);
      }
    });
  }
  return real(munmap)(address, bytes);
}

int sync_mapped(void* address, size_t bytes, int flags) {
  if (journal() == nullptr) return real(msync)(address, bytes, flags);
  uint64_t synced = 0;
  int result = 0;
  bool called = false;
  overlapping(address, bytes, [&](Mapping& mapping, char* from, char* to) {
    record_mapped(mapping, from, to);
    if ((flags & MS_SYNC) == 0 || synced == mapping.inode) return;
    synced = mapping.inode;
    uint64_t skip = static_cast<uint64_t>(from - mapping.start.load());
    called = true;
    result = sync_with(mapping.inode, Op::kSyncRange, mapping.offset + skip, static_cast<uint64_t>(to - from),
                       [&] { return real(msync)(address, bytes, flags); });
  });
  return called ? result : real(msync)(address, bytes, flags);
}

void capture_stream(FILE* file, uint64_t inode) {
  CoveredFile covered;
  int fd = fileno(file);
  if (!covered_fd(fd, &covered) || covered.inode != inode) return;
  Guard guard(journal()->control(), inode_lock(inode));
  record_content(fd, inode);
}

FILE* remember_stream(FILE* file) {
  CoveredFile covered;
  if (file == nullptr || !covered_fd(fileno(file), &covered)) return file;
  for (Stream& stream : streams) {
    FILE* free = nullptr;
    if (!stream.file.compare_exchange_strong(free, file)) continue;
    stream.inode = covered.inode;
    return file;
  }
  journal()->control()->unsupported.fetch_add(1);
  return file;
}

template <class Each>
void each_stream(FILE* file, Each each) {
  for (Stream& stream : streams) {
    FILE* known = stream.file.load();
    if (known != nullptr && (file == nullptr || known == file)) each(stream, known);
  }
}

// The flags of open() for a mode of fopen(); -1 when libc should judge the mode.
int open_flags(const char* mode) {
  int flags = 0;
  if (*mode == 'r') {
    flags = O_RDONLY;
  } else if (*mode == 'w') {
    flags = O_WRONLY | O_CREAT | O_TRUNC;
  } else if (*mode == 'a') {
    flags = O_WRONLY | O_CREAT | O_APPEND;
  } else {
    return -1;
  }
  for (const char* at = mode + 1; *at != 0 && *at != ','; ++at) {
    if (*at == '+') flags = (flags & ~O_ACCMODE) | O_RDWR;
    if (*at == 'x') flags |= O_EXCL;
    if (*at == 'e') flags |= O_CLOEXEC;
  }
  return flags;
}

template <class Call>
FILE* stream_with(const char* path, const char* mode, Call call) {
  int flags = journal() == nullptr ? -1 : open_flags(mode);
  if (flags == -1 || (flags & O_ACCMODE) == O_RDONLY) {
    FILE* file = call();
    if (file != nullptr && journal() != nullptr) forget_fd(fileno(file));
    return file;
  }
  int fd = ::open(path, flags, 0666);  // our wrapper: it sees a creation and a truncation
  if (fd < 0) return nullptr;
  FILE* file = real(fdopen)(fd, mode);
  if (file == nullptr) ::close(fd);
  return remember_stream(file);
}

}  // namespace

void capture_mappings(uint64_t inode) {
  for (Mapping& mapping : mappings) {
    char* start = mapping.start.load();
    if (reinterpret_cast<uintptr_t>(start) > 1 && mapping.inode == inode) {
      record_mapped(mapping, start, start + mapping.bytes);
    }
  }
}

void capture_streams(uint64_t inode) {
  each_stream(nullptr, [&](Stream& stream, FILE* file) {
    if (stream.inode == inode) capture_stream(file, inode);
  });
}

}  // namespace powercut

using namespace powercut;  // NOLINT: the exported wrappers below stand in the global namespace

POWERCUT_EXPORT void* mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  return map_with(bytes, flags, fd, offset, [&] { return real(mmap)(address, bytes, protection, flags, fd, offset); });
}
POWERCUT_EXPORT void* mmap64(void* address, size_t bytes, int protection, int flags, int fd, off64_t offset) noexcept {
  return map_with(bytes, flags, fd, offset,
                  [&] { return real(mmap64)(address, bytes, protection, flags, fd, offset); });
}
POWERCUT_EXPORT int munmap(void* address, size_t bytes) noexcept { return unmap_with(address, bytes); }
POWERCUT_EXPORT int msync(void* address, size_t bytes, int flags) { return sync_mapped(address, bytes, flags); }

POWERCUT_EXPORT FILE* fopen(const char* path, const char* mode) {
  return stream_with(path, mode, [&] { return real(fopen)(path, mode); });
}
POWERCUT_EXPORT FILE* fopen64(const char* path, const char* mode) {
  return stream_with(path, mode, [&] { return real(fopen64)(path, mode); });
}
POWERCUT_EXPORT FILE* fdopen(int fd, const char* mode) noexcept {
  FILE* file = real(fdopen)(fd, mode);
  int flags = journal() == nullptr ? -1 : open_flags(mode);
  return flags == -1 || (flags & O_ACCMODE) == O_RDONLY ? file : remember_stream(file);
}
POWERCUT_EXPORT int fflush(FILE* file) {
  int result = real(fflush)(file);
  each_stream(file, [](Stream& stream, FILE* known) { capture_stream(known, stream.inode); });
  return result;
}
POWERCUT_EXPORT int fclose(FILE* file) {
  each_stream(file, [](Stream& stream, FILE* known) {
    real(fflush)(known);
    capture_stream(known, stream.inode);
    stream.file.store(nullptr);
  });
  if (journal() != nullptr) forget_fd(fileno(file));
  return real(fclose)(file);
}
