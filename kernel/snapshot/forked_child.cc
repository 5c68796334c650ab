#include "kernel/snapshot/forked_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace heptane::snapshot {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kForkReserveBytes = uint64_t{64} << 20;
constexpr int kNice = 10;
// linux/ioprio.h: class best effort, its lowest level. The idle class could starve the child for ever.
constexpr int kIoPriority = (2 << 13) | 7;
constexpr int kIoPriorityProcess = 1;

int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * kSecondNs + now.tv_nsec;
}

void prefer_as_victim() {
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!::write(fd, "1000", 4);
  ::close(fd);
}

void close_all_but(int fd) {
  if (fd > 0) ::syscall(SYS_close_range, 0U, static_cast<unsigned>(fd) - 1, 0U);
  ::syscall(SYS_close_range, static_cast<unsigned>(fd) + 1, ~0U, 0U);
}

[[noreturn]] void run_child(pid_t parent, int keep_fd, const std::function<bool()>& body) {
  if (!become_background(parent, kNice)) ::_exit(1);
  close_all_but(keep_fd);
  ::_exit(body() ? 0 : 1);
}

uint64_t available_bytes() {
  std::FILE* file = std::fopen("/proc/meminfo", "re");
  if (file == nullptr) return ~uint64_t{0};
  char line[128];
  unsigned long long kib = ~0ULL >> 10;
  while (std::fgets(line, sizeof line, file) != nullptr)
    if (std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
  std::fclose(file);
  return uint64_t{kib} << 10;
}

uint64_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long size = 0;
  unsigned long long resident = 0;
  const int fields = std::fscanf(file, "%llu %llu", &size, &resident);
  std::fclose(file);
  return fields == 2 ? resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

bool become_background(pid_t parent, int nice) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) return false;  // it ended before the line above
  prefer_as_victim();
  ::setpriority(PRIO_PROCESS, 0, nice);
  ::syscall(SYS_ioprio_set, kIoPriorityProcess, 0, kIoPriority);
  return true;
}

Result<int64_t> ForkedChild::start(int keep_fd, const std::function<bool()>& body) {
  HEPTANE_ASSERT(pid_ < 0, "one child at a time");
  const pid_t parent = ::getpid();
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);  // the parent's handlers must not run in the child
  const int64_t begin_ns = monotonic_ns();
  const pid_t pid = ::fork();
  if (pid == 0) run_child(parent, keep_fd, body);
  const int failed = errno;
  const int64_t pause_ns = monotonic_ns() - begin_ns;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return Error{Errc::io, std::string("fork: ") + std::strerror(failed)};
  pid_ = pid;
  return pause_ns;
}

std::optional<Result<void>> ForkedChild::poll() {
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return std::nullopt;
  pid_ = -1;
  if (ended < 0) return Result<void>(Error{Errc::io, std::string("waitpid: ") + std::strerror(errno)});
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Result<void>();
  if (WIFSIGNALED(status))
    return Result<void>(Error{Errc::io, "the writing process was ended by signal " + std::to_string(WTERMSIG(status))});
  return Result<void>(Error{Errc::io, "the writing process could not write (is the disk full?)"});
}

void ForkedChild::interrupt() {
  if (pid_ >= 0) ::kill(pid_, SIGKILL);
}

void ForkedChild::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void pace(int64_t begin_ns, uint64_t written, uint64_t bytes_per_second) {
  if (bytes_per_second == 0) return;
  const auto due_ns =
      begin_ns + static_cast<int64_t>(static_cast<double>(written) / static_cast<double>(bytes_per_second) *
                                      static_cast<double>(kSecondNs));
  const timespec due{due_ns / kSecondNs, due_ns % kSecondNs};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr) == EINTR) {
  }
}

std::string no_memory_for_fork() { return no_memory_for_fork(resident_bytes(), available_bytes()); }

std::string no_memory_for_fork(uint64_t resident, uint64_t available) {
  const uint64_t needed = resident / 2 + kForkReserveBytes;
  if (available >= needed) return {};
  return "a snapshot may need " + std::to_string(needed >> 20) + " MiB of memory for copied pages and " +
         std::to_string(available >> 20) + " MiB are available";
}

}  // namespace heptane::snapshot
