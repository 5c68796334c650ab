#include "kernel/snapshot/huge_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace heptane::snapshot {

namespace {

constexpr uintptr_t kHugeBytes = uintptr_t{2} << 20;
constexpr size_t kSmallBytes = 4096;
constexpr size_t kEntries = kHugeBytes / kSmallBytes;
constexpr size_t kPresentMin = kEntries * 7 / 8;     // below it a huge page would cost more memory than it is worth
constexpr uint64_t kPresentBit = uint64_t{1} << 63;  // proc(5), pagemap
constexpr int kMadvCollapse = 25;                    // linux/mman.h; newer than the C library's header

}  // namespace

HugePages::~HugePages() { finish(); }

void HugePages::finish() {
  if (pagemap_ >= 0) ::close(pagemap_);
  pagemap_ = -1;
  ranges_.clear();
}

void HugePages::begin() {
  finish();
  range_ = 0;
  at_ = 0;
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return;
  const uint64_t memory_bytes =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  char line[512];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long begin = 0;
    unsigned long end = 0;
    unsigned long inode = 0;
    char rights[8] = {};
    if (std::sscanf(line, "%lx-%lx %7s %*s %*s %lu", &begin, &end, rights, &inode) != 4) continue;
    if (inode != 0 || std::strncmp(rights, "rw-p", 4) != 0 || std::strstr(line, "[stack") != nullptr) continue;
    const uintptr_t first = (begin + kHugeBytes - 1) & ~(kHugeBytes - 1);
    const uintptr_t last = end & ~(kHugeBytes - 1);
    // More than the machine has is no state but a reservation, a sanitizer's shadow say; looking through it takes minutes.
    if (first < last && last - first <= memory_bytes) ranges_.push_back({first, last});
  }
  std::fclose(maps);
  pagemap_ = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap_ < 0) ranges_.clear();
}

bool HugePages::mostly_present(uintptr_t at) const {
  uint64_t entries[kEntries];
  const auto offset = static_cast<off_t>(at / kSmallBytes * sizeof(uint64_t));
  if (::pread(pagemap_, entries, sizeof entries, offset) != static_cast<ssize_t>(sizeof entries)) return false;
  size_t present = 0;
  for (const uint64_t entry : entries) present += (entry & kPresentBit) != 0 ? 1 : 0;
  return present >= kPresentMin;
}

bool HugePages::step(size_t pages) {
  while (range_ < ranges_.size()) {
    const Range& range = ranges_[range_];
    if (at_ < range.begin) at_ = range.begin;
    for (; at_ < range.end; at_ += kHugeBytes) {
      if (pages == 0) return true;
      if (!mostly_present(at_)) continue;
      --pages;
      // The range may be unmapped meanwhile (ENOMEM), the memory too scattered (EAGAIN), the kernel too old (EINVAL).
      if (::madvise(reinterpret_cast<void*>(at_), kHugeBytes, kMadvCollapse) == 0)
        ++collapsed_total_;
      else if (errno == EINVAL)
        range_ = ranges_.size();
      if (range_ == ranges_.size()) break;
    }
    if (range_ < ranges_.size()) ++range_;
  }
  finish();
  return false;
}

}  // namespace heptane::snapshot
