// The server itself, the binary beside the bench's own, on a free port and a directory of the bench's.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace heptane::bench {

class HeptaneProcess {
 public:
  // Returns when it listens; ends the bench with the reason when it does not.
  explicit HeptaneProcess(std::string directory, const std::vector<std::string>& more_arguments = {});
  ~HeptaneProcess();  // SIGTERM, and waits
  HeptaneProcess(const HeptaneProcess&) = delete;
  HeptaneProcess& operator=(const HeptaneProcess&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& kafka() const { return kafka_; }  // host:port
  std::string endpoint(const std::string& listener) const;
  std::string output() const;  // what it has printed

 private:
  std::string directory_;
  std::string kafka_;
  pid_t pid_ = -1;
};

}  // namespace heptane::bench
