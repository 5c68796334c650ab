// Where a client comes from, as far as one party has it: what is shared out between strangers is shared out between these. Pure;
// any thread.
#pragma once

#include <string>

#include "kernel/net/session.h"

namespace heptane::net {

// Of IPv6 the first 64 bits, which one site has at will; of others the whole address, without its port.
std::string network_of(const Address& address);

}  // namespace heptane::net
