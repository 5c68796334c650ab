#include "kernel/net/asio_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

namespace heptane::net {

namespace {

namespace asio = boost::asio;
using Context = asio::io_context;
using Descriptor = asio::posix::basic_stream_descriptor<Context::executor_type>;
template <class T>
using Counted = boost::intrusive_ref_counter<T, boost::thread_unsafe_counter>;

constexpr int kBacklog = 1024;
constexpr int kAcceptsPerTurn = 64;
constexpr size_t kPiecesPerWrite = 64;
constexpr int64_t kAcceptPauseNs = 100'000'000;  // after a lack of descriptors or memory

int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// IPv4 or IPv6, in the system's form.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

bool to_system(const Address& address, SocketAddress& out) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    out.length = sizeof(sockaddr_in);
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(address.port);
  out.length = sizeof(sockaddr_in6);
  return true;
}

Address from_system(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return {text, ntohs(v6->sin6_port)};
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
  inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  return {text, ntohs(v4->sin_port)};
}

Address local_address(int fd) {
  SocketAddress address;
  if (getsockname(fd, address.raw(), &address.length) != 0) return {};
  return from_system(address);
}

// Takes the descriptor over; closes it and returns false when the system cannot watch one more.
bool watch(Descriptor& descriptor, int fd) {
  boost::system::error_code error;
  descriptor.assign(fd, error);
  if (error) ::close(fd);
  return !error;
}

IoStatus status_of(int error) {
  if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) return IoStatus::would_block;
  return IoStatus::reset;
}

// The part of a stream that a pending wait may outlive the stream with.
struct StreamState : Counted<StreamState> {
  StreamState(Descriptor&& opened, Address local_address, Address remote_address)
      : descriptor(std::move(opened)), local(std::move(local_address)), remote(std::move(remote_address)) {}

  Descriptor descriptor;
  StreamEvents* events = nullptr;  // nullptr: nobody listens, or the stream is gone
  Address local;
  Address remote;
};

template <void (StreamEvents::*kEvent)()>
struct WaitDone {
  boost::intrusive_ptr<StreamState> state;
  void operator()(const boost::system::error_code& error) const {
    if (error == asio::error::operation_aborted || state->events == nullptr) return;
    (state->events->*kEvent)();
  }
};

class AsioStream final : public Stream {
 public:
  AsioStream(Descriptor&& descriptor, Address local, Address remote)
      : state_(new StreamState(std::move(descriptor), std::move(local), std::move(remote))) {}
  ~AsioStream() override {
    state_->events = nullptr;
    boost::system::error_code ignored;
    state_->descriptor.close(ignored);
  }
  AsioStream(const AsioStream&) = delete;
  AsioStream& operator=(const AsioStream&) = delete;

  void set_events(StreamEvents* events) override { state_->events = events; }

  IoResult read_some(MutableBytes into) override {
    const ssize_t count = recv(fd(), into.data(), into.size(), 0);
    if (count > 0) return {IoStatus::ok, static_cast<size_t>(count)};
    if (count == 0) return {into.empty() ? IoStatus::ok : IoStatus::closed, 0};
    return {status_of(errno), 0};
  }

  IoResult write_some(std::span<const Bytes> pieces) override {
    std::array<iovec, kPiecesPerWrite> vectors;
    const size_t count = std::min(pieces.size(), vectors.size());
    for (size_t i = 0; i < count; ++i) vectors[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const ssize_t written = sendmsg(fd(), &message, MSG_NOSIGNAL);
    if (written >= 0) return {IoStatus::ok, static_cast<size_t>(written)};
    return {status_of(errno), 0};
  }

  void want_read() override {
    state_->descriptor.async_wait(Descriptor::wait_read, WaitDone<&StreamEvents::on_readable>{state_});
  }
  void want_write() override {
    state_->descriptor.async_wait(Descriptor::wait_write, WaitDone<&StreamEvents::on_writable>{state_});
  }
  void shutdown_write() override { ::shutdown(fd(), SHUT_WR); }
  const Address& local() const override { return state_->local; }
  const Address& remote() const override { return state_->remote; }

 private:
  int fd() const { return state_->descriptor.native_handle(); }

  boost::intrusive_ptr<StreamState> state_;
};

// A listening socket. Armed again at the start of a turn, never inside one: a flood of connections cannot hold the loop.
class Acceptor : public Counted<Acceptor> {
 public:
  Acceptor(Context& context, Descriptor&& descriptor, AcceptHandler on_accept)
      : context_(context),
        descriptor_(std::move(descriptor)),
        port_(local_address(descriptor_.native_handle()).port),
        on_accept_(std::move(on_accept)) {}

  uint16_t port() const { return port_; }
  bool closed() const { return !descriptor_.is_open(); }
  void pause(bool paused) { paused_ = paused; }
  void close() {
    boost::system::error_code ignored;
    descriptor_.close(ignored);
  }

  // The moment at which it wants to be armed although nothing happened; <0 = none.
  int64_t resume_ns() const { return paused_ || closed() ? -1 : resume_ns_; }

  void arm() {
    if (armed_ || paused_ || closed()) return;
    if (resume_ns_ >= 0 && now_ns() < resume_ns_) return;
    resume_ns_ = -1;
    armed_ = true;
    descriptor_.async_wait(Descriptor::wait_read, [self = boost::intrusive_ptr<Acceptor>(this)](const auto& error) {
      self->armed_ = false;
      if (error != asio::error::operation_aborted) self->accept_some();
    });
  }

 private:
  void accept_some() {
    for (int i = 0; i < kAcceptsPerTurn && !paused_ && !closed(); ++i) {
      SocketAddress remote;
      const int fd = accept4(descriptor_.native_handle(), remote.raw(), &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
        // Descriptors or memory are short: the connection stays in the backlog; asking again at once would spin.
        if (errno != EAGAIN && errno != EWOULDBLOCK) resume_ns_ = now_ns() + kAcceptPauseNs;
        return;
      }
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      Address local = local_address(fd);
      Descriptor descriptor(context_);
      if (!watch(descriptor, fd)) {
        resume_ns_ = now_ns() + kAcceptPauseNs;
        return;
      }
      on_accept_(std::make_unique<AsioStream>(std::move(descriptor), std::move(local), from_system(remote)));
    }
  }

  Context& context_;
  Descriptor descriptor_;
  uint16_t port_;
  AcceptHandler on_accept_;
  bool armed_ = false;
  bool paused_ = false;
  int64_t resume_ns_ = -1;
};

class AsioListener final : public Listener {
 public:
  explicit AsioListener(boost::intrusive_ptr<Acceptor> acceptor) : acceptor_(std::move(acceptor)) {}
  ~AsioListener() override { acceptor_->close(); }
  AsioListener(const AsioListener&) = delete;
  AsioListener& operator=(const AsioListener&) = delete;

  uint16_t port() const override { return acceptor_->port(); }
  void pause(bool paused) override { acceptor_->pause(paused); }

 private:
  boost::intrusive_ptr<Acceptor> acceptor_;
};

Error listen_error(int error, const Address& address, const char* call) {
  const bool v6 = address.host.find(':') != std::string::npos;
  const std::string where = (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
  if (error == EADDRINUSE) return {Errc::exists, where + " is in use by another process"};
  if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT)
    return {Errc::unsupported, where + " is not an address of this machine"};
  if (error == EACCES) return {Errc::refused, where + " may not be opened by this user; ports below 1024 need root"};
  return {Errc::io, std::string(call) + " " + where + ": " + std::strerror(error)};
}

Result<int> open_listening_socket(const Address& address) {
  SocketAddress system_address;
  if (!to_system(address, system_address))
    return Error{Errc::invalid_argument, "`" + address.host + "` is not a numeric IPv4 or IPv6 address"};
  const int family = system_address.storage.ss_family;
  const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return listen_error(errno, address, "socket");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const char* call = "bind";
  int outcome = bind(fd, system_address.raw(), system_address.length);
  if (outcome == 0) {
    call = "listen";
    outcome = ::listen(fd, kBacklog);
  }
  if (outcome == 0) return fd;
  const int error = errno;
  ::close(fd);
  return listen_error(error, address, call);
}

class AsioNet final : public Net {
 public:
  AsioNet() : work_(context_.get_executor()), wake_(context_) {
    wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    HEPTANE_ASSERT(wake_fd_ >= 0 && watch(wake_, wake_fd_), "no eventfd: is the limit of open files reached?");
  }
  ~AsioNet() override = default;
  AsioNet(const AsioNet&) = delete;
  AsioNet& operator=(const AsioNet&) = delete;

  Result<std::unique_ptr<Listener>> listen(const Address& address, AcceptHandler on_accept) override {
    Result<int> fd = open_listening_socket(address);
    if (!fd) return std::move(fd.error());
    Descriptor descriptor(context_);
    if (!watch(descriptor, *fd)) return Error{Errc::io, "the system cannot watch one more socket"};
    boost::intrusive_ptr<Acceptor> acceptor(new Acceptor(context_, std::move(descriptor), std::move(on_accept)));
    acceptors_.push_back(acceptor);
    return std::unique_ptr<Listener>(new AsioListener(std::move(acceptor)));
  }

  void run_once(int64_t deadline_ns) override {
    deadline_ns = arm_all(deadline_ns);
    if (deadline_ns < 0)
      context_.run_one();
    else
      context_.run_one_until(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns)));
    context_.poll();
  }

  // A write of 8 bytes to an eventfd and an atomic exchange: both may happen in a signal handler.
  void wake() override {
    if (wake_sent_.exchange(true, std::memory_order_acq_rel)) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
  }

 private:
  // Returns the earlier of the deadline and the moment at which a listener goes on.
  int64_t arm_all(int64_t deadline_ns) {
    std::erase_if(acceptors_, [](const auto& acceptor) { return acceptor->closed(); });
    for (const auto& acceptor : acceptors_) {
      acceptor->arm();
      const int64_t resume = acceptor->resume_ns();
      if (resume >= 0 && (deadline_ns < 0 || resume < deadline_ns)) deadline_ns = resume;
    }
    if (!wake_armed_) {
      wake_armed_ = true;
      wake_.async_wait(Descriptor::wait_read, [this](const auto& error) {
        wake_armed_ = false;
        if (error == asio::error::operation_aborted) return;
        uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &count, sizeof count);
        // After the read: a wake that came before is seen by this turn (acquire), one that comes later writes again.
        wake_sent_.exchange(false, std::memory_order_acq_rel);
      });
    }
    return deadline_ns;
  }

  // One thread runs it and only the eventfd is touched by others: no locks.
  Context context_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE};
  asio::executor_work_guard<Context::executor_type> work_;
  int wake_fd_ = -1;
  Descriptor wake_;
  bool wake_armed_ = false;
  std::atomic<bool> wake_sent_{false};
  std::vector<boost::intrusive_ptr<Acceptor>> acceptors_;
};

}  // namespace

std::unique_ptr<Net> make_asio_net() { return std::make_unique<AsioNet>(); }

size_t raise_open_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<size_t>(limit.rlim_cur);
}

}  // namespace heptane::net
