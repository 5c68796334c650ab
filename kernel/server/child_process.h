// Another program as a child of this process, watched without waiting for it: what it prints is collected, up to a limit, and
// it is ended with its owner. One thread, which must live as long as the child may: it dies with the thread that began it
// when it asks for that (background_child in kernel/snapshot/forked_child.h).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "kernel/base/result.h"

namespace heptane::server {

class ChildProcess {
 public:
  static constexpr size_t kOutputLimitBytes = size_t{16} << 10;

  struct End {
    int exit_code = 0;   // -1: ended by a signal
    std::string output;  // standard output and error, as it came
  };

  ChildProcess() = default;
  ~ChildProcess() { kill(); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // With this program's environment, nothing on standard input and no other descriptor. Errc::io names what failed.
  Result<void> start(const std::vector<std::string>& command);
  bool running() const { return pid_ >= 0; }
  // nullopt: it still runs.
  std::optional<End> poll();
  // At once, and waits until it is gone.
  void kill();
  pid_t pid() const { return pid_; }

 private:
  void collect();
  void close_output();

  pid_t pid_ = -1;
  int output_fd_ = -1;
  std::string output_;
};

}  // namespace heptane::server
