#include "kernel/net/system_net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cerrno>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "kernel/net/resolver.h"
#include "kernel/net/stream_poll.h"
#include "kernel/net/system_address.h"

namespace heptane::net {

namespace {

template <class T>
using Counted = boost::intrusive_ref_counter<T, boost::thread_unsafe_counter>;

constexpr int kAcceptsPerTurn = 64;
constexpr size_t kPiecesPerWrite = 64;
constexpr size_t kDatagramsPerCall = 16;
constexpr int64_t kAcceptPauseNs = 100'000'000;  // after a lack of descriptors or memory

int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// Small messages are not kept back. Urgent bytes are bytes as all others, so that a short read means that there is no more.
// Other sockets than TCP's have no such options.
void send_at_once(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

IoStatus status_of(int error) {
  if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) return IoStatus::would_block;
  return IoStatus::reset;
}

class SocketStream final : public Stream {
 public:
  // The socket is watched.
  SocketStream(StreamPoll& poll, PolledSocketPtr socket, Address local, Address remote)
      : poll_(poll), socket_(std::move(socket)), local_(std::move(local)), remote_(std::move(remote)) {}
  ~SocketStream() override { poll_.close(std::move(socket_)); }
  SocketStream(const SocketStream&) = delete;
  SocketStream& operator=(const SocketStream&) = delete;

  void set_events(StreamEvents* events) override { socket_->events = events; }

  IoResult read_some(MutableBytes into) override {
    const ssize_t count = recv(fd(), into.data(), into.size(), 0);
    if (count < static_cast<ssize_t>(into.size())) StreamPoll::found_empty(*socket_);
    if (count > 0) return {IoStatus::ok, static_cast<size_t>(count)};
    if (count == 0) return {into.empty() ? IoStatus::ok : IoStatus::closed, 0};
    return {status_of(errno), 0};
  }

  IoResult write_some(std::span<const Bytes> pieces) override {
    if (pieces.size() == 1)
      return result_of(send(fd(), pieces[0].data(), pieces[0].size(), MSG_NOSIGNAL), pieces[0].size());
    std::array<iovec, kPiecesPerWrite> vectors;
    const size_t count = std::min(pieces.size(), vectors.size());
    size_t bytes = 0;
    for (size_t i = 0; i < count; ++i) {
      vectors[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
      bytes += pieces[i].size();
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    return result_of(sendmsg(fd(), &message, MSG_NOSIGNAL), bytes);
  }

  void want_read() override { poll_.want_read(*socket_); }
  void want_write() override { poll_.want_write(*socket_); }
  void shutdown_write() override { ::shutdown(fd(), SHUT_WR); }
  const Address& local() const override { return local_; }
  const Address& remote() const override { return remote_; }
  std::optional<uint32_t> peer_uid() const override {
    return local_.is_unix() || remote_.is_unix() ? net::peer_uid(fd()) : std::nullopt;
  }

 private:
  int fd() const { return socket_->fd; }
  IoResult result_of(ssize_t written, size_t asked) {
    if (written < static_cast<ssize_t>(asked)) StreamPoll::found_full(*socket_);
    if (written >= 0) return {IoStatus::ok, static_cast<size_t>(written)};
    return {status_of(errno), 0};
  }

  StreamPoll& poll_;
  PolledSocketPtr socket_;
  Address local_;
  Address remote_;
};

// A stream for a connected socket, which it owns. Null: the system cannot watch one more; it is closed.
std::unique_ptr<Stream> make_stream(StreamPoll& poll, int fd, Address remote) {
  Address local = local_address(fd);
  PolledSocketPtr socket(new PolledSocket(fd));
  if (!poll.watch(*socket)) {
    ::close(fd);
    return nullptr;
  }
  return std::make_unique<SocketStream>(poll, std::move(socket), std::move(local), std::move(remote));
}

// A listening socket. Armed again at the start of a turn, never inside one: a flood of connections cannot hold the loop.
class Acceptor : public Counted<Acceptor> {
 public:
  Acceptor(StreamPoll& poll, PolledOncePtr once, const Address& address, AcceptHandler on_accept)
      : poll_(poll),
        once_(std::move(once)),
        port_(local_address(once_->fd).port),
        name_(address),
        on_accept_(std::move(on_accept)) {}

  uint16_t port() const { return port_; }
  bool closed() const { return once_->fd < 0; }
  void pause(bool paused) { paused_ = paused; }
  void close() {
    poll_.close(once_);
    name_.remove();
  }

  // The moment at which it wants to be armed although nothing happened; <0 = none.
  int64_t resume_ns() const { return paused_ || closed() ? -1 : resume_ns_; }

  void arm() {
    if (once_->ready || paused_ || closed()) return;
    if (resume_ns_ >= 0 && now_ns() < resume_ns_) return;
    resume_ns_ = -1;
    const bool armed =
        poll_.arm(*once_, EPOLLIN, [self = boost::intrusive_ptr<Acceptor>(this)] { self->accept_some(); });
    HEPTANE_ASSERT(armed, "a socket that is watched cannot be armed");
  }

 private:
  void accept_some() {
    for (int i = 0; i < kAcceptsPerTurn && !paused_ && !closed(); ++i) {
      SystemAddress remote;
      const int fd = accept4(once_->fd, remote.raw(), &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
        // Descriptors or memory are short: the connection stays in the backlog; asking again at once would spin.
        if (errno != EAGAIN && errno != EWOULDBLOCK) resume_ns_ = now_ns() + kAcceptPauseNs;
        return;
      }
      send_at_once(fd);
      std::unique_ptr<Stream> stream = make_stream(poll_, fd, from_system(remote));
      if (!stream) {
        resume_ns_ = now_ns() + kAcceptPauseNs;
        return;
      }
      on_accept_(std::move(stream));
    }
  }

  StreamPoll& poll_;
  PolledOncePtr once_;
  uint16_t port_;
  UnixName name_;
  AcceptHandler on_accept_;
  bool paused_ = false;
  int64_t resume_ns_ = -1;
};

class SystemListener final : public Listener {
 public:
  explicit SystemListener(boost::intrusive_ptr<Acceptor> acceptor) : acceptor_(std::move(acceptor)) {}
  ~SystemListener() override { acceptor_->close(); }
  SystemListener(const SystemListener&) = delete;
  SystemListener& operator=(const SystemListener&) = delete;

  uint16_t port() const override { return acceptor_->port(); }
  void pause(bool paused) override { acceptor_->pause(paused); }

 private:
  boost::intrusive_ptr<Acceptor> acceptor_;
};

// A connection being made. Its wait may outlive whoever wanted it.
struct ConnectState : Counted<ConnectState> {
  // What is to be called in the next turn.
  using Later = std::vector<std::function<void()>>;

  ConnectState(StreamPoll& streams, Later& next_turn, Address to, ConnectHandler handler)
      : poll(streams), later(next_turn), address(std::move(to)), on_done(std::move(handler)) {}

  void begin() {
    Result<SystemAddress> system_address = to_system(address);
    if (!system_address) return finish_later(std::move(system_address.error()));
    const int fd = socket(system_address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return finish_later(connect_error(errno, address));
    once.reset(new PolledOnce(fd));
    const bool begun = connect(fd, system_address->raw(), system_address->length) == 0 || errno == EINPROGRESS;
    if (!begun) return finish_later(connect_error(errno, address));
    if (!poll.arm(*once, EPOLLOUT, [self = boost::intrusive_ptr<ConnectState>(this)] { self->finish(); }))
      finish_later({Errc::io, "the system cannot watch one more socket"});
  }

  void finish_later(Error error) {
    later.push_back([self = boost::intrusive_ptr<ConnectState>(this), why = std::move(error)] {
      if (self->on_done) std::exchange(self->on_done, nullptr)(why);
    });
  }

  void finish() {
    if (!on_done) return;
    const ConnectHandler done = std::exchange(on_done, nullptr);
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(once->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return done(connect_error(error, address));
    send_at_once(once->fd);
    std::unique_ptr<Stream> stream = make_stream(poll, poll.release(once), address);
    if (!stream) return done(Error{Errc::io, "the system cannot watch one more socket"});
    done(std::move(stream));
  }

  void give_up() {
    on_done = nullptr;
    if (once) poll.close(once);
  }

  StreamPoll& poll;
  Later& later;
  PolledOncePtr once;  // null: there is no socket
  Address address;
  ConnectHandler on_done;  // empty: called, or given up
};

class SystemConnecting final : public Pending {
 public:
  explicit SystemConnecting(boost::intrusive_ptr<ConnectState> state) : state_(std::move(state)) {}
  ~SystemConnecting() override { state_->give_up(); }
  SystemConnecting(const SystemConnecting&) = delete;
  SystemConnecting& operator=(const SystemConnecting&) = delete;

 private:
  boost::intrusive_ptr<ConnectState> state_;
};

// Names being resolved, shared with the handles that give one up.
struct ResolveState : Counted<ResolveState> {
  explicit ResolveState(std::function<void()> wake) : resolver(std::move(wake)) {}

  void deliver() {
    if (waiting.empty()) return;
    for (auto& [id, result] : std::exchange(known, {})) answer(id, std::move(result));
    for (Resolver::Answer& item : resolver.take()) answer(item.id, std::move(item.addresses));
  }
  void answer(uint64_t id, Result<std::vector<Address>> result) {
    const auto found = waiting.find(id);
    if (found == waiting.end()) return;
    const ResolveHandler handler = std::move(found->second);
    waiting.erase(found);
    handler(std::move(result));
  }

  Resolver resolver;
  std::map<uint64_t, ResolveHandler> waiting;
  std::map<uint64_t, Result<std::vector<Address>>> known;  // answers that needed no resolver
  uint64_t next_id = 1;
};

class SystemResolving final : public Pending {
 public:
  SystemResolving(boost::intrusive_ptr<ResolveState> state, uint64_t id) : state_(std::move(state)), id_(id) {}
  ~SystemResolving() override { state_->waiting.erase(id_); }
  SystemResolving(const SystemResolving&) = delete;
  SystemResolving& operator=(const SystemResolving&) = delete;

 private:
  boost::intrusive_ptr<ResolveState> state_;
  uint64_t id_;
};

class SystemDatagrams final : public DatagramSocket {
 public:
  // `buffers` is the Net's: kDatagramsPerCall datagrams.
  SystemDatagrams(StreamPoll& poll, PolledOncePtr once, std::byte* buffers)
      : poll_(poll), once_(std::move(once)), local_(local_address(once_->fd)), buffers_(buffers) {}
  ~SystemDatagrams() override { poll_.close(std::move(once_)); }
  SystemDatagrams(const SystemDatagrams&) = delete;
  SystemDatagrams& operator=(const SystemDatagrams&) = delete;

  void set_events(DatagramEvents* events) override { events_ = events; }

  size_t receive(size_t most, const Take& take) override {
    size_t taken = 0;
    while (taken < most) {
      const size_t asked = std::min(most - taken, kDatagramsPerCall);
      const size_t got = receive_call(asked, take);
      taken += got;
      if (got < asked) break;
    }
    return taken;
  }

  bool send(const Address& to, Bytes payload) override {
    Result<SystemAddress> address = to_system(to);
    if (!address) return false;
    return sendto(fd(), payload.data(), payload.size(), MSG_NOSIGNAL, address->raw(), address->length) >= 0;
  }

  // Its destructor disarms what calls this.
  void want_read() override {
    const bool armed = poll_.arm(*once_, EPOLLIN, [this] {
      if (events_ != nullptr) events_->on_datagrams();
    });
    HEPTANE_ASSERT(armed, "a socket that is watched cannot be armed");
  }
  const Address& local() const override { return local_; }

 private:
  int fd() const { return once_->fd; }

  size_t receive_call(size_t asked, const Take& take) {
    std::array<mmsghdr, kDatagramsPerCall> messages{};
    std::array<iovec, kDatagramsPerCall> vectors{};
    std::array<SystemAddress, kDatagramsPerCall> senders{};
    for (size_t i = 0; i < asked; ++i) {
      vectors[i] = {buffers_ + i * kDatagramBytes, kDatagramBytes};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_name = senders[i].raw();
      messages[i].msg_hdr.msg_namelen = senders[i].length;
    }
    // An error of an earlier send (nobody listens there) comes back here once; the datagrams behind it are still there.
    int got = recvmmsg(fd(), messages.data(), static_cast<unsigned int>(asked), 0, nullptr);
    if (got < 0 && errno != EAGAIN) got = recvmmsg(fd(), messages.data(), static_cast<unsigned int>(asked), 0, nullptr);
    for (int i = 0; i < got; ++i) {
      senders[i].length = messages[i].msg_hdr.msg_namelen;
      take(from_system(senders[i]), {buffers_ + static_cast<size_t>(i) * kDatagramBytes, messages[i].msg_len});
    }
    return got < 0 ? 0 : static_cast<size_t>(got);
  }

  StreamPoll& poll_;
  PolledOncePtr once_;
  DatagramEvents* events_ = nullptr;
  Address local_;
  std::byte* buffers_;
};

class SystemNet final : public Net {
 public:
  SystemNet() : wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    // A wake that came before is seen by this turn (acquire), one that comes later writes again.
    const auto woken = [this] { wake_sent_.exchange(false, std::memory_order_acq_rel); };
    HEPTANE_ASSERT(wake_fd_ >= 0 && poll_.watch_wake(wake_fd_, woken),
                   "no eventfd: is the limit of open files reached?");
  }
  ~SystemNet() override {
    resolving_.reset();  // its thread wakes nobody from here on
    ::close(wake_fd_);
  }
  SystemNet(const SystemNet&) = delete;
  SystemNet& operator=(const SystemNet&) = delete;

  Result<std::unique_ptr<Listener>> listen(const Address& address, AcceptHandler on_accept) override {
    Result<int> fd = open_listening_socket(address);
    if (!fd) return std::move(fd.error());
    PolledOncePtr once = watched(*fd);
    if (!once) return Error{Errc::io, "the system cannot watch one more socket"};
    boost::intrusive_ptr<Acceptor> acceptor(new Acceptor(poll_, std::move(once), address, std::move(on_accept)));
    acceptors_.push_back(acceptor);
    return std::unique_ptr<Listener>(new SystemListener(std::move(acceptor)));
  }

  std::unique_ptr<Pending> connect(const Address& address, ConnectHandler on_done) override {
    boost::intrusive_ptr<ConnectState> state(new ConnectState(poll_, later_, address, std::move(on_done)));
    state->begin();
    return std::make_unique<SystemConnecting>(std::move(state));
  }

  std::unique_ptr<Pending> resolve(const std::string& host, uint16_t port, ResolveHandler on_done) override {
    const uint64_t id = resolving_->next_id++;
    resolving_->waiting.emplace(id, std::move(on_done));
    const Address numeric{host, port};
    if (to_system(numeric))
      resolving_->known.emplace(id, std::vector<Address>{numeric});
    else if (!resolving_->resolver.ask(id, host, port))
      resolving_->known.emplace(id, Error{Errc::overloaded, "too many names wait to be resolved"});
    if (!resolving_->known.empty()) wake();
    return std::make_unique<SystemResolving>(resolving_, id);
  }

  Result<std::unique_ptr<DatagramSocket>> datagrams(const Address& address) override {
    Result<int> fd = open_datagram_socket(address);
    if (!fd) return std::move(fd.error());
    PolledOncePtr once = watched(*fd);
    if (!once) return Error{Errc::io, "the system cannot watch one more socket"};
    if (!datagram_buffers_)
      datagram_buffers_ = std::make_unique_for_overwrite<std::byte[]>(kDatagramsPerCall * kDatagramBytes);
    return std::unique_ptr<DatagramSocket>(new SystemDatagrams(poll_, std::move(once), datagram_buffers_.get()));
  }

  void run_once(int64_t deadline_ns) override {
    deadline_ns = arm_all(deadline_ns);
    const bool at_once = poll_.any_due() || !later_.empty();
    poll_.run_due();
    poll_.dispatch(at_once ? 0 : deadline_ns < 0 ? -1 : std::max<int64_t>(deadline_ns - now_ns(), 0));
    for (const std::function<void()>& call : std::exchange(later_, {})) call();
    resolving_->deliver();
  }

  // A write of 8 bytes to an eventfd and an atomic exchange: both may happen in a signal handler.
  void wake() override {
    if (wake_sent_.exchange(true, std::memory_order_acq_rel)) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
  }

 private:
  // Takes the descriptor over. Null: the system cannot watch one more; it is closed.
  PolledOncePtr watched(int fd) {
    PolledOncePtr once(new PolledOnce(fd));
    if (poll_.add(*once)) return once;
    ::close(fd);
    return nullptr;
  }
  // Returns the earlier of the deadline and the moment at which a listener goes on.
  int64_t arm_all(int64_t deadline_ns) {
    std::erase_if(acceptors_, [](const auto& acceptor) { return acceptor->closed(); });
    for (const auto& acceptor : acceptors_) {
      acceptor->arm();
      const int64_t resume = acceptor->resume_ns();
      if (resume >= 0 && (deadline_ns < 0 || resume < deadline_ns)) deadline_ns = resume;
    }
    return deadline_ns;
  }

  StreamPoll poll_;
  int wake_fd_;
  std::atomic<bool> wake_sent_{false};
  ConnectState::Later later_;
  std::vector<boost::intrusive_ptr<Acceptor>> acceptors_;
  boost::intrusive_ptr<ResolveState> resolving_{new ResolveState([this] { wake(); })};
  std::unique_ptr<std::byte[]> datagram_buffers_;
};

}  // namespace

std::unique_ptr<Net> make_system_net() { return std::make_unique<SystemNet>(); }

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
