#include "kernel/server/apply_guard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

namespace heptane::server {

struct ApplyGuardFile::Page {
  std::atomic<uint64_t> applying;
  uint64_t denied_count;
  uint64_t denied[kDeniedLimit];  // a ring: the oldest is forgotten first
  std::atomic<uint64_t> faulted;  // what `applying` was when a fault ended the process
  uint64_t suspect;               // what it was when something else did
  uint64_t deaths;                // in a row
};

namespace {
constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr size_t kStackBytes = size_t{64} << 10;
}  // namespace

// What the handler looks at.
struct ApplyGuardFile::Watched {
  std::atomic<Page*> page{nullptr};
  pid_t thread = 0;
  struct sigaction before[std::size(kFaults)]{};

  static Watched& it() {
    static Watched watched;
    return watched;
  }
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
  deny_what_ended_the_last_one();
  watch_faults();
}

void ApplyGuardFile::deny_what_ended_the_last_one() {
  const uint64_t left = page_->applying.exchange(0);
  const uint64_t faulted = page_->faulted.exchange(0);
  page_->deaths = left == 0 ? 0 : left == page_->suspect ? page_->deaths + 1 : 1;
  page_->suspect = left;
  if (left == 0 || (faulted != left && page_->deaths < kDeathsMax)) return;
  found_crash_ = left;
  page_->denied[page_->denied_count % kDeniedLimit] = left;
  ++page_->denied_count;
}

void ApplyGuardFile::watch_faults() {
  Watched& watched = Watched::it();
  HEPTANE_ASSERT(watched.page.load() == nullptr, "two guards in one process");
  watched.thread = ::gettid();
  watched.page.store(page_);
  stack_t stack{};
  if (::sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) != 0) {
    stack_.resize(kStackBytes);
    stack = {.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
    (void)::sigaltstack(&stack, nullptr);
  }
  struct sigaction action {};
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (size_t i = 0; i < std::size(kFaults); ++i) ::sigaction(kFaults[i], &action, &watched.before[i]);
}

// Another thread's fault, and what somebody else sent, is not the command's. Then it goes the way it went before: a fault
// comes again where it came from; abort() sends again what its handler returns from.
void ApplyGuardFile::on_fault(int number, siginfo_t* info, void*) {
  Watched& watched = Watched::it();
  Page* page = watched.page.load();
  if (page != nullptr && info->si_code != SI_USER && ::gettid() == watched.thread)
    page->faulted.store(page->applying.load());
  for (size_t i = 0; i < std::size(kFaults); ++i)
    if (kFaults[i] == number) ::sigaction(number, &watched.before[i], nullptr);
  if (info->si_code <= 0) (void)::raise(number);
}

ApplyGuardFile::~ApplyGuardFile() {
  Watched& watched = Watched::it();
  for (size_t i = 0; i < std::size(kFaults); ++i) ::sigaction(kFaults[i], &watched.before[i], nullptr);
  watched.page.store(nullptr);
  if (!stack_.empty()) {
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    (void)::sigaltstack(&none, nullptr);
  }
  ::munmap(page_, sizeof(Page));
}

ApplyGuard ApplyGuardFile::guard() const {
  ApplyGuard guard;
  guard.word = &page_->applying;
  const uint64_t count = page_->denied_count < kDeniedLimit ? page_->denied_count : kDeniedLimit;
  guard.denied.assign(page_->denied, page_->denied + count);
  guard.forgive = [page = page_](uint64_t digest) {
    for (uint64_t& each : page->denied)
      if (each == digest) each = 0;  // no command's: the shard takes 0 for nobody
  };
  return guard;
}

}  // namespace heptane::server
