#include "kernel/net/network.h"

#include <netinet/in.h>

#include <algorithm>

#include "kernel/net/system_address.h"

namespace heptane::net {

std::string network_of(const Address& address) {
  constexpr size_t kNetworkBytes = 8;
  Result<SystemAddress> system = to_system(address);
  if (!system || system->family() != AF_INET6) return address.host;
  in6_addr& bits = reinterpret_cast<sockaddr_in6*>(&system->storage)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&bits)) return address.host;
  std::fill(bits.s6_addr + kNetworkBytes, bits.s6_addr + sizeof bits, uint8_t{0});
  return from_system(*system).host + "/64";
}

}  // namespace heptane::net
