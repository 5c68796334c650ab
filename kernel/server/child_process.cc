#include "kernel/server/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "kernel/base/assert.h"
#include "kernel/net/spawn_setting.h"

extern char** environ;

namespace heptane::server {

Result<void> ChildProcess::start(const std::vector<std::string>& command) {
  HEPTANE_ASSERT(!running(), "one child at a time");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error{Errc::io, std::string("pipe: ") + std::strerror(errno)};
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // this end alone: the child's waits for room
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  net::SpawnSetting setting;
  setting.give_nothing(STDIN_FILENO);
  setting.give(ends[1], STDOUT_FILENO);
  setting.give(ends[1], STDERR_FILENO);
  setting.close_from(STDERR_FILENO + 1);
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
