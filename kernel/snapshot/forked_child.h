// A copy of this process that writes one file and ends: how a snapshot is taken without stopping the shard.
//
// The child keeps one descriptor, blocks every signal, is the first to go when memory runs out, runs with low priority and
// dies when the thread that forked it ends. It must only do what is safe after a fork of a process with threads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "kernel/base/result.h"

namespace heptane::snapshot {

class ForkedChild {
 public:
  ForkedChild() = default;
  ~ForkedChild() { kill(); }
  ForkedChild(const ForkedChild&) = delete;
  ForkedChild& operator=(const ForkedChild&) = delete;

  // Forks. In the child: closes every descriptor but `keep_fd`, runs `body` and exits with 0 or 1 by what it returns.
  // In the parent: returns how long the fork took, in ns.
  Result<int64_t> start(int keep_fd, const std::function<bool()>& body);
  // nullopt: it still runs. Else how it ended. Any one thread at a time.
  std::optional<Result<void>> poll();
  void kill();
  // As kill(), without waiting: poll() tells when it is gone.
  void interrupt();
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// In a child: it goes with the thread that began it, is the first to go when memory runs out, and others come before it at
// processor (`nice`, to 19) and disk. False: `parent` has ended already.
bool become_background(pid_t parent, int nice);

// Sleeps as a writer at `bytes_per_second` that has written `written` bytes since `begin_ns` must (monotonic). 0: not at all.
void pace(int64_t begin_ns, uint64_t written, uint64_t bytes_per_second);

// Why a fork should not be tried now: the pages that the parent writes meanwhile are copied. Empty: there is room.
std::string no_memory_for_fork();
// The rule of it: of a process of `resident` bytes where `available` are left.
std::string no_memory_for_fork(uint64_t resident, uint64_t available);

}  // namespace heptane::snapshot
