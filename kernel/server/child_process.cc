#include "kernel/server/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "kernel/base/assert.h"

extern char** environ;

namespace heptane::server {

namespace {

// What the child begins with: signals as any program expects them, and three descriptors.
class SpawnSetting {
 public:
  explicit SpawnSetting(int output_fd) {
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_init(&actions_);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t ignored;
    ::sigemptyset(&ignored);
    ::sigaddset(&ignored, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes_, &ignored);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, output_fd, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, output_fd, STDERR_FILENO);
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
  }
  ~SpawnSetting() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetting(const SpawnSetting&) = delete;
  SpawnSetting& operator=(const SpawnSetting&) = delete;
  const posix_spawnattr_t* attributes() const { return &attributes_; }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  posix_spawnattr_t attributes_;
  posix_spawn_file_actions_t actions_;
};

}  // namespace

Result<void> ChildProcess::start(const std::vector<std::string>& command) {
  HEPTANE_ASSERT(!running(), "one child at a time");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error{Errc::io, std::string("pipe: ") + std::strerror(errno)};
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // this end alone: the child's waits for room
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const SpawnSetting setting(ends[1]);
  const int failed =
      ::posix_spawn(&pid_, arguments[0], setting.actions(), setting.attributes(), arguments.data(), environ);
  ::close(ends[1]);
  output_.clear();
  output_fd_ = ends[0];
  if (failed == 0) return {};
  pid_ = -1;
  close_output();
  return Error{Errc::io, command.front() + ": " + std::strerror(failed)};
}

// What is above the limit is read and forgotten, so that the child never waits for a reader.
void ChildProcess::collect() {
  std::array<char, 4096> bytes;
  for (;;) {
    const ssize_t count = ::read(output_fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    const size_t room = kOutputLimitBytes - std::min(kOutputLimitBytes, output_.size());
    output_.append(bytes.data(), std::min(room, static_cast<size_t>(count)));
  }
}

std::optional<ChildProcess::End> ChildProcess::poll() {
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  collect();
  if (ended == 0 || (ended < 0 && errno == EINTR)) return std::nullopt;
  pid_ = -1;
  close_output();
  return End{ended > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1, std::move(output_)};
}

void ChildProcess::kill() {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  close_output();
}

void ChildProcess::close_output() {
  if (output_fd_ >= 0) ::close(output_fd_);
  output_fd_ = -1;
}

}  // namespace heptane::server
