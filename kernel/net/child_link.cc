#include "kernel/net/child_link.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernel/net/spawn_setting.h"

namespace heptane::net {

namespace {

// Of send and recv. nullopt: the other end is gone.
std::optional<size_t> moved(ssize_t count) {
  if (count >= 0) return static_cast<size_t>(count);
  const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return later ? std::optional<size_t>(0) : std::nullopt;
}

}  // namespace

Result<std::unique_ptr<ChildLink>> ChildLink::start(const std::string& command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return Error{Errc::io, std::string("socketpair: ") + std::strerror(errno)};
  std::string program = "heptane";
  std::string argument = command;
  char* arguments[] = {program.data(), argument.data(), nullptr};
  char* nothing[] = {nullptr};
  SpawnSetting setting;
  setting.give(ends[1], kChildFd);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) setting.give_nothing(fd);
  setting.close_from(kChildFd + 1);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, "/proc/self/exe", setting.actions(), setting.attributes(), arguments, nothing);
  ::close(ends[1]);
  if (failed == 0) return std::unique_ptr<ChildLink>(new ChildLink(pid, ends[0]));  // NOLINT: its own constructor
  ::close(ends[0]);
  return Error{Errc::io, "this program cannot be begun anew: " + std::string(std::strerror(failed))};
}

ChildLink::~ChildLink() {
  ::close(fd_);
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<size_t> ChildLink::write(Bytes bytes) const {
  return moved(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

std::optional<size_t> ChildLink::read(MutableBytes into) const {
  const ssize_t count = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
  return count == 0 ? std::nullopt : moved(count);
}

}  // namespace heptane::net
