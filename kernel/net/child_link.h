// This program as a child of its own, for what must not be trusted: the one thing that it has is its end of a pair of sockets, on
// descriptor kChildFd; no environment, no other descriptor. Neither side of it waits here. The child is gone with its owner. One
// thread's.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace heptane::net {

class ChildLink {
 public:
  static constexpr int kChildFd = 3;

  // With this one argument. Errc::io names what failed.
  static Result<std::unique_ptr<ChildLink>> start(const std::string& command);
  ~ChildLink();
  ChildLink(const ChildLink&) = delete;
  ChildLink& operator=(const ChildLink&) = delete;

  // How much was taken, or came; 0: there is no room, or nothing, now. nullopt: the child has ended.
  std::optional<size_t> write(Bytes bytes) const;
  std::optional<size_t> read(MutableBytes into) const;
  pid_t pid() const { return pid_; }

 private:
  ChildLink(pid_t pid, int fd) : pid_(pid), fd_(fd) {}

  pid_t pid_;
  int fd_;
};

}  // namespace heptane::net
