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
  // One HTTP request to the admin listener, on a connection of its own; ends the bench when the answer is an error.
  std::string ask(const std::string& method_and_path, const std::string& token = {},
                  const std::string& body = {}) const;
  // 0: there is none.
  double metric(const std::string& name, const std::string& token = {}) const;

 private:
  std::string directory_;
  std::string kafka_;
  pid_t pid_ = -1;
};

}  // namespace heptane::bench
