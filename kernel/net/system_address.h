// Addresses in the system's form, and sockets bound to them. Internal to kernel/net; no threads.
#pragma once

#include <sys/socket.h>

#include "kernel/base/result.h"
#include "kernel/net/session.h"

namespace heptane::net {

// IPv4, IPv6 or a Unix socket's path.
struct SystemAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// Errc::invalid_argument: no numeric address, or a path that is too long.
Result<SystemAddress> to_system(const Address& address);
Address from_system(const SystemAddress& address);
Address local_address(int fd);
std::optional<uint32_t> peer_uid(int fd);

Error connect_error(int error, const Address& address);

// Non-blocking, bound and listening. A Unix socket gets mode 0600; one that is left from a process that is gone is replaced.
Result<int> open_listening_socket(const Address& address);
// Non-blocking and bound; IP only.
Result<int> open_datagram_socket(const Address& address);

// The name of a Unix socket that this process made: removed with it, unless somebody else has put another there.
class UnixName {
 public:
  UnixName() = default;
  // Of a socket that is bound to it now; for other addresses it names nothing.
  explicit UnixName(const Address& address);
  void remove();

 private:
  std::string path_;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace heptane::net
