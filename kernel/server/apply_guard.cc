#include "kernel/server/apply_guard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace heptane::server {

struct ApplyGuardFile::Page {
  std::atomic<uint64_t> applying;
  uint64_t denied_count;
  uint64_t denied[kDeniedLimit];  // a ring: the oldest is forgotten first
};

Result<std::unique_ptr<ApplyGuardFile>> ApplyGuardFile::open(const std::string& data_directory) {
  const std::string path = data_directory + "/applying";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error{Errc::io, "open " + path + ": " + std::strerror(errno)};
  void* memory = MAP_FAILED;
  if (::ftruncate(fd, sizeof(Page)) == 0)
    memory = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int number = errno;
  ::close(fd);
  if (memory == MAP_FAILED) return Error{Errc::io, "map " + path + ": " + std::strerror(number)};
  return std::unique_ptr<ApplyGuardFile>(new ApplyGuardFile(static_cast<Page*>(memory)));
}

ApplyGuardFile::ApplyGuardFile(Page* page) : page_(page) {
  const uint64_t left = page_->applying.exchange(0);
  if (left == 0) return;
  found_crash_ = true;
  page_->denied[page_->denied_count % kDeniedLimit] = left;
  ++page_->denied_count;
}

ApplyGuardFile::~ApplyGuardFile() { ::munmap(page_, sizeof(Page)); }

ApplyGuard ApplyGuardFile::guard() const {
  ApplyGuard guard;
  guard.word = &page_->applying;
  const uint64_t count = page_->denied_count < kDeniedLimit ? page_->denied_count : kDeniedLimit;
  guard.denied.assign(page_->denied, page_->denied + count);
  return guard;
}

}  // namespace heptane::server
