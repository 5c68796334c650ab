#include "kernel/net/session.h"

namespace heptane::net {

std::string to_text(const Address& address) {
  if (address.is_unix()) return address.host;
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace heptane::net
