// A server of somebody else's, started for a bench and stopped by its id.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace heptane::bench {

// Where Debian puts the program; empty: it is not installed.
std::string find_program(const std::string& name);

// A port of 127.0.0.1 that is free now.
uint16_t free_port();

// Of /proc/PID/status.
uint64_t resident_bytes(pid_t pid);
// Of all its threads, user and system.
double cpu_seconds(pid_t pid);

class PeerProcess {
 public:
  // Returns when `port` of 127.0.0.1 accepts; ends the bench with the reason when it does not.
  PeerProcess(const std::string& directory, std::vector<std::string> command, uint16_t port);
  ~PeerProcess();  // SIGTERM, and waits
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

}  // namespace heptane::bench
