// Net on the operating system's sockets: TCP, UDP and Unix, with one epoll (stream_poll.h) and the system's own calls, so that no buffer
// waits with a connection and a turn of the loop costs one call beside those that move bytes.
// The thread that calls run_once owns the Net and everything it made; all of it is destroyed before the Net.
#pragma once

#include <memory>

#include "kernel/net/net.h"

namespace heptane::net {

// Errors of listen(): exists (address in use), unsupported (this machine lacks the address or its family),
// invalid_argument (the host is not a numeric address), refused (no permission), io.
// A listener on `::` or `::1` takes IPv6 only; IPv4 is a second listener.
std::unique_ptr<Net> make_system_net();

// Raises the limit of open files to the hard limit; returns what holds now. Connections are capped below it.
size_t raise_open_file_limit();

}  // namespace heptane::net
