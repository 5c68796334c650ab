// An acceptor of FIX 4.4 with the echo application (fix_echo.h), for the acceptance scripts over TCP and for other engines:
//
//   echo_acceptor [--keep-numbers] [--cut-every N] [--logon-timeout SECONDS]
//
// Prints `listening on PORT` (loopback, any free port) and runs until it is killed. --keep-numbers: numbers and messages stay from one
// connection to the next instead of beginning anew. --cut-every: every Nth time that something came, the connection is cut before it is
// read, and what was still to be sent is lost, so that both sides have gaps to fill.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "modules/fintech/test/fix_echo.h"

namespace {

using heptane::fix::test::EchoConnection;
using heptane::fix::test::EchoVenue;

constexpr size_t kConnectionsMax = 64;

int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Peer {
  int socket;
  std::unique_ptr<EchoConnection> connection;
};

class Acceptor {
 public:
  Acceptor(EchoVenue& venue, uint64_t cut_every) : venue_(venue), cut_every_(cut_every) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0)
      fail("listen");
    if (::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("getsockname");
    std::printf("listening on %d\n", ntohs(address.sin_port));
    std::fflush(stdout);
  }

  void run_once() {
    std::vector<pollfd> polled{{listener_, POLLIN, 0}};
    for (const Peer& peer : peers_)
      polled.push_back(
          {peer.socket, static_cast<short>(peer.connection->out().empty() ? POLLIN : POLLIN | POLLOUT), 0});
    if (::poll(polled.data(), polled.size(), timeout_ms()) < 0) fail("poll");
    for (size_t i = 0; i < peers_.size(); ++i) serve(peers_[i], polled[i + 1].revents);
    std::erase_if(peers_, [](const Peer& peer) { return peer.socket < 0; });
    if (polled[0].revents != 0 && peers_.size() < kConnectionsMax) accept();
  }

 private:
  int timeout_ms() const {
    int64_t wait_ms = 1'000;
    for (const Peer& peer : peers_)
      if (const auto due = peer.connection->session().next_timer())
        wait_ms = std::clamp<int64_t>((*due - now_ns()) / 1'000'000 + 1, 0, wait_ms);
    return static_cast<int>(wait_ms);
  }

  void accept() {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket >= 0) peers_.push_back({socket, std::make_unique<EchoConnection>(venue_, now_ns())});
  }

  void serve(Peer& peer, int events) {
    peer.connection->on_timer(now_ns());
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && !read(peer)) return end(peer);
    write(peer);
    if (peer.connection->closed() && peer.connection->out().empty()) end(peer);
  }

  bool read(Peer& peer) {
    char bytes[16 * 1024];
    const ssize_t size = ::recv(peer.socket, bytes, sizeof bytes, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (size <= 0 || (cut_every_ != 0 && ++reads_ % cut_every_ == 0)) return false;
    peer.connection->on_bytes({bytes, static_cast<size_t>(size)}, now_ns());
    return true;
  }

  static void write(Peer& peer) {
    std::string& out = peer.connection->out();
    const ssize_t size = out.empty() ? 0 : ::send(peer.socket, out.data(), out.size(), MSG_NOSIGNAL);
    if (size > 0) out.erase(0, static_cast<size_t>(size));
    if (size < 0 && errno != EAGAIN && errno != EINTR) out.clear();
  }

  static void end(Peer& peer) {
    peer.connection->on_disconnected();
    ::close(peer.socket);
    peer.socket = -1;
  }

  EchoVenue& venue_;
  uint64_t cut_every_;
  uint64_t reads_ = 0;
  int listener_;
  std::vector<Peer> peers_;
};

}  // namespace

int main(int argc, char** argv) {
  EchoVenue venue;
  uint64_t cut_every = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--keep-numbers") == 0) venue.settings.reset_on_logon = false;
    if (std::strcmp(argv[i], "--logon-timeout") == 0 && i + 1 < argc)
      venue.settings.logon_timeout_s = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    if (std::strcmp(argv[i], "--cut-every") == 0 && i + 1 < argc) cut_every = std::strtoull(argv[++i], nullptr, 10);
  }
  Acceptor acceptor(venue, cut_every);
  for (;;) acceptor.run_once();
}
