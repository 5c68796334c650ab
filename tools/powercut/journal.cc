#include "tools/powercut/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace powercut {
namespace {

constexpr uint32_t kWaiting = 0x80000000;

void* map_shared(int fd, uint64_t bytes) {
  long address = syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
  return address == -1 ? nullptr : reinterpret_cast<void*>(address);
}

int open_shared(const char* path, bool create) {
  int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0666));
  if (fd >= 0 && create) syscall(SYS_fchmod, fd, 0666);  // servers that change their user go on writing here
  return fd;
}

void close_fd(int fd) { syscall(SYS_close, fd); }

bool is_dead(uint32_t thread) { return syscall(SYS_kill, thread, 0) != 0 && errno == ESRCH; }

uint64_t block_signals() {
  uint64_t all = ~uint64_t{0}, old = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof all);
  return old;
}

void restore_signals(uint64_t mask) { syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof mask); }

bool is_zero(const std::byte* data, size_t bytes) {
  if (bytes == 0 || data[0] != std::byte{0}) return bytes == 0;
  return memcmp(data, data + 1, bytes - 1) == 0;
}

// Calls each(part, bytes) over the bytes skip .. skip + bytes of an array of buffers, until it returns false.
template <class Each>
void walk(const iovec* data, int count, size_t skip, size_t bytes, Each each) {
  for (int i = 0; i < count && bytes > 0; ++i) {
    if (skip >= data[i].iov_len) {
      skip -= data[i].iov_len;
      continue;
    }
    size_t part = data[i].iov_len - skip < bytes ? data[i].iov_len - skip : bytes;
    if (!each(static_cast<const std::byte*>(data[i].iov_base) + skip, part)) return;
    bytes -= part;
    skip = 0;
  }
}

}  // namespace

void die(const char* what, const char* detail) {
  char text[512];
  int bytes = snprintf(text, sizeof text, "powercut: %s %s\n", what, detail);
  syscall(SYS_write, 2, text, bytes);
  syscall(SYS_exit_group, 97);
  __builtin_unreachable();
}

void segment_path(char* out, size_t out_bytes, const char* state_path, uint64_t segment) {
  snprintf(out, out_bytes, "%s/journal.%012llu", state_path, static_cast<unsigned long long>(segment));
}

Guard::Guard(Control* control, int lock) : word_(&control->locks[lock]), signal_mask_(block_signals()) {
  int saved = errno;
  uint32_t self = static_cast<uint32_t>(syscall(SYS_gettid));
  for (;;) {
    uint32_t seen = 0;
    if (word_->compare_exchange_strong(seen, self, std::memory_order_acquire)) break;
    if ((seen & kWaiting) == 0 && !word_->compare_exchange_strong(seen, seen | kWaiting)) continue;
    timespec bound{0, 20'000'000};  // only bounds how long a dead owner goes unnoticed
    long woken = syscall(SYS_futex, word_, FUTEX_WAIT, seen | kWaiting, &bound, nullptr, 0);
    if (woken != 0 && errno == ETIMEDOUT && is_dead(seen & ~kWaiting)) {
      uint32_t dead = seen | kWaiting;
      if (word_->compare_exchange_strong(dead, self | kWaiting, std::memory_order_acquire)) break;
    }
  }
  errno = saved;
}

Guard::~Guard() {
  int saved = errno;
  if (word_->exchange(0, std::memory_order_release) & kWaiting) {
    syscall(SYS_futex, word_, FUTEX_WAKE, 1 << 30, nullptr, nullptr, 0);
  }
  restore_signals(signal_mask_);
  errno = saved;
}

bool Journal::attach(const char* state_path) {
  if (strlen(state_path) + 32 > sizeof state_path_) return false;
  strcpy(state_path_, state_path);
  char path[kPathBytesMax + 32];
  snprintf(path, sizeof path, "%s/control", state_path);
  int fd = open_shared(path, false);
  if (fd < 0) return false;
  control_ = static_cast<Control*>(map_shared(fd, sizeof(Control)));
  close_fd(fd);
  return control_ != nullptr && memcmp(control_->magic, kControlMagic, sizeof kControlMagic) == 0;
}

bool Journal::create(const char* state_path, const char* root_path, uint64_t device, uint64_t inode) {
  if (strlen(state_path) + 32 > sizeof state_path_ || strlen(root_path) >= kPathBytesMax) return false;
  strcpy(state_path_, state_path);
  char path[kPathBytesMax + 32];
  snprintf(path, sizeof path, "%s/control", state_path);
  int fd = open_shared(path, true);
  if (fd < 0) return false;
  if (syscall(SYS_ftruncate, fd, sizeof(Control)) == 0)
    control_ = static_cast<Control*>(map_shared(fd, sizeof(Control)));
  close_fd(fd);
  if (control_ == nullptr) return false;
  control_->root_device = device;
  control_->root_inode = inode;
  control_->root_path_bytes = static_cast<uint32_t>(strlen(root_path));
  strcpy(control_->root_path, root_path);
  return true;
}

std::byte* Journal::segment_base(uint64_t segment) {
  if (segment == mapped_segment_) return mapped_;
  std::byte* old = mapped_;
  mapped_segment_ = ~uint64_t{0};  // forgotten before it goes: another thread may fork here
  mapped_ = nullptr;
  if (old != nullptr) syscall(SYS_munmap, old, kSegmentBytes);
  char path[kPathBytesMax + 32];
  segment_path(path, sizeof path, state_path_, segment);
  int fd = open_shared(path, true);
  if (fd < 0) die("cannot open the journal", path);
  struct stat status;
  if (syscall(SYS_fstat, fd, &status) != 0) die("cannot read the journal", path);
  if (static_cast<uint64_t>(status.st_size) < kSegmentBytes &&
      syscall(SYS_fallocate, fd, 0, 0L, static_cast<long>(kSegmentBytes)) != 0) {
    die("no space for the journal", path);
  }
  mapped_ = static_cast<std::byte*>(map_shared(fd, kSegmentBytes));
  close_fd(fd);
  if (mapped_ == nullptr) die("cannot map the journal", path);
  mapped_segment_ = segment;
  return mapped_;
}

void Journal::append(Record record, const char* name, size_t name_bytes, const char* second, size_t second_bytes,
                     const iovec* payload, int payload_count, size_t payload_skip, size_t payload_bytes) {
  record.magic = kRecordMagic;
  record.name_bytes = static_cast<uint16_t>(name_bytes);
  record.second_bytes = static_cast<uint16_t>(second_bytes);
  record.length = (sizeof record + name_bytes + second_bytes + payload_bytes + 7) & ~uint64_t{7};
  Guard guard(control_, kJournalLock);
  int saved = errno;
  uint64_t position = control_->end.load(std::memory_order_relaxed);
  uint64_t room = kSegmentBytes - position % kSegmentBytes;
  if (record.length > room) {
    if (room >= sizeof(Record)) {
      Record pad{};
      pad.magic = kRecordMagic;
      pad.length = room;
      pad.position = position;
      memcpy(segment_base(position / kSegmentBytes) + position % kSegmentBytes, &pad, sizeof pad);
    }
    position += room;
  }
  record.position = position;
  std::byte* at = segment_base(position / kSegmentBytes) + position % kSegmentBytes;
  memcpy(at, &record, sizeof record);
  at += sizeof record;
  memcpy(at, name, name_bytes);
  memcpy(at + name_bytes, second, second_bytes);
  at += name_bytes + second_bytes;
  walk(payload, payload_count, payload_skip, payload_bytes, [&](const std::byte* part, size_t bytes) {
    memcpy(at, part, bytes);
    at += bytes;
    return true;
  });
  control_->end.store(position + record.length, std::memory_order_release);
  errno = saved;
}

void Journal::append_write(uint64_t inode, uint64_t offset, const iovec* data, int count, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    size_t part = bytes - done < kPayloadBytesMax ? bytes - done : kPayloadBytesMax;
    bool zero = true;
    walk(data, count, done, part, [&](const std::byte* at, size_t n) { return zero = is_zero(at, n); });
    Record record{};
    record.op = Op::kWrite;
    record.flags = zero ? kAllZero : 0;
    record.inode = inode;
    record.a = offset + done;
    record.b = part;
    append(record, nullptr, 0, nullptr, 0, data, count, done, zero ? 0 : part);
    done += part;
  }
}

}  // namespace powercut
