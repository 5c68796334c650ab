// libquickfix as the acceptor that its users write: a SocketAcceptor with files of messages and numbers (FileStore), validation against
// FIX44.xml, and an application that answers each NewOrderSingle with an ExecutionReport 150=0. A process of its own: the bench starts
// itself with these arguments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace heptane::bench {

constexpr const char* kQuickfixAcceptor = "--quickfix-acceptor";

// PORT DIRECTORY SESSIONS SYNC: the sessions are T0, T1 and so on; SYNC "1": each message that is kept is fdatasync'ed before it
// is sent, "0": never, as libquickfix does. Ends with SIGTERM.
int run_quickfix_acceptor(const std::vector<std::string>& arguments);

}  // namespace heptane::bench
