// A directory of the bench's own below the working directory, so on the file system that is to be measured. It is gone when
// the bench ends, however it ends: a process of its own waits for that and removes it.
#pragma once

#include <sys/types.h>

#include <string>

namespace heptane::bench {

class Scratch {
 public:
  // Forks: before any thread is started.
  Scratch();
  // Waits until the directory is gone.
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string below(const std::string& name) const { return path_ + "/" + name; }
  void remove(const std::string& name) const;

 private:
  std::string path_;
  int alive_ = -1;  // closed by our end: what the remover waits for
  pid_t remover_ = -1;
};

}  // namespace heptane::bench
