#include "sim/sim_net.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

namespace heptane::sim {

using net::IoResult;
using net::IoStatus;

namespace {

constexpr size_t kSimDatagramBytesMax = 65'507;

// Bytes from one end to the other.
struct Pipe {
  std::vector<std::byte> bytes;  // the first `arrived` can be read, the others are on their way
  size_t arrived = 0;
  bool finished = false;     // the writer sends no more
  bool end_arrived = false;  // and the reader can see it
};

struct End {
  net::StreamEvents* events = nullptr;
  net::Address address;
  Pipe incoming;
  bool open = true;
  bool wants_read = false;
  bool wants_write = false;
};

}  // namespace

struct SimConnection {
  SimConnection(SeededRandom& seeded, const SimNetConfig& net_config) : random(seeded), config(net_config) {}

  size_t some_of(size_t most) { return config.fragment && most > 1 ? 1 + random.below(most) : most; }
  bool readable(int end) const {
    const Pipe& pipe = ends[end].incoming;
    return reset || pipe.arrived > 0 || pipe.end_arrived;
  }
  bool writable(int end) const { return reset || ends[1 - end].incoming.bytes.size() < config.buffer_bytes; }
  void break_off() {
    reset = true;
    for (End& end : ends) end.incoming = Pipe();
  }

  SeededRandom& random;
  const SimNetConfig config;
  std::array<End, 2> ends;  // 0: the client's, 1: the server's
  bool reset = false;
};

SimStream::SimStream(std::shared_ptr<SimConnection> connection, int end)
    : connection_(std::move(connection)), end_(end) {}

// Like the system: closing with unread input resets the connection.
SimStream::~SimStream() {
  End& mine = connection_->ends[end_];
  if (!mine.incoming.bytes.empty()) connection_->break_off();
  shutdown_write();
  mine.open = false;
  mine.events = nullptr;
}

void SimStream::set_events(net::StreamEvents* events) { connection_->ends[end_].events = events; }

IoResult SimStream::read_some(MutableBytes into) {
  if (connection_->reset) return {IoStatus::reset, 0};
  Pipe& pipe = connection_->ends[end_].incoming;
  if (pipe.arrived == 0) return {pipe.end_arrived ? IoStatus::closed : IoStatus::would_block, 0};
  const size_t count = connection_->some_of(std::min(pipe.arrived, into.size()));
  std::copy_n(pipe.bytes.begin(), count, into.begin());
  pipe.bytes.erase(pipe.bytes.begin(), pipe.bytes.begin() + static_cast<std::ptrdiff_t>(count));
  pipe.arrived -= count;
  return {IoStatus::ok, count};
}

IoResult SimStream::write_some(std::span<const Bytes> pieces) {
  SimConnection& connection = *connection_;
  Pipe& pipe = connection.ends[1 - end_].incoming;
  if (connection.reset || pipe.finished) return {IoStatus::reset, 0};
  if (!connection.ends[1 - end_].open) {  // nobody is there: the answer to data is a reset
    connection.break_off();
    return {IoStatus::reset, 0};
  }
  size_t offered = 0;
  for (const Bytes& piece : pieces) offered += piece.size();
  const size_t used = pipe.bytes.size();
  const size_t room = used < connection.config.buffer_bytes ? connection.config.buffer_bytes - used : 0;
  if (room == 0) return {IoStatus::would_block, 0};
  const size_t count = connection.some_of(std::min(offered, room));
  size_t left = count;
  for (const Bytes& piece : pieces) {
    const size_t part = std::min(left, piece.size());
    pipe.bytes.insert(pipe.bytes.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(part));
    left -= part;
  }
  return {IoStatus::ok, count};
}

void SimStream::want_read() { connection_->ends[end_].wants_read = true; }
void SimStream::want_write() { connection_->ends[end_].wants_write = true; }
void SimStream::shutdown_write() { connection_->ends[1 - end_].incoming.finished = true; }
const net::Address& SimStream::local() const { return connection_->ends[end_].address; }
const net::Address& SimStream::remote() const { return connection_->ends[1 - end_].address; }
void SimStream::reset() { connection_->break_off(); }
size_t SimStream::incoming_bytes() const { return connection_->ends[end_].incoming.bytes.size(); }

struct SimNet::Port {
  net::Address address;
  net::AcceptHandler on_accept;
  bool paused = false;
  bool closed = false;
  std::deque<std::shared_ptr<SimConnection>> backlog;
};

// Stops accepting when it goes; what waits in the backlog is reset.
class SimListener final : public net::Listener {
 public:
  explicit SimListener(std::shared_ptr<SimNet::Port> port) : port_(std::move(port)) {}
  ~SimListener() override {
    port_->closed = true;
    for (const auto& connection : port_->backlog) connection->break_off();
    port_->backlog.clear();
  }
  SimListener(const SimListener&) = delete;
  SimListener& operator=(const SimListener&) = delete;

  uint16_t port() const override { return port_->address.port; }
  void pause(bool paused) override { port_->paused = paused; }

 private:
  std::shared_ptr<SimNet::Port> port_;
};

SimNet::SimNet(SeededRandom& random, SimNetConfig config) : random_(random), config_(config) {}
SimNet::~SimNet() = default;

Result<std::unique_ptr<net::Listener>> SimNet::listen(const net::Address& address, net::AcceptHandler on_accept) {
  auto port = std::make_shared<Port>();
  port->address = address;
  port->on_accept = std::move(on_accept);
  if (address.port == 0 && !address.is_unix()) port->address.port = next_port_++;
  std::shared_ptr<Port>& place = ports_[key_of(port->address)];
  if (place && !place->closed) return Error{Errc::exists, "the port is in use"};
  place = port;
  return std::unique_ptr<net::Listener>(new SimListener(std::move(port)));
}

SimNet::PortKey SimNet::key_of(const net::Address& address) {
  if (address.is_unix()) return {address.host, 0};
  return {address.host.find(':') == std::string::npos ? "v4" : "v6", address.port};
}

Result<std::unique_ptr<SimStream>> SimNet::connect(uint16_t port, const char* host) { return open({host, port}); }

Result<std::unique_ptr<SimStream>> SimNet::open(const net::Address& address) {
  const auto found = ports_.find(key_of(address));
  if (found == ports_.end() || found->second->closed) return Error{Errc::not_found, "nobody listens on this port"};
  auto connection = std::make_shared<SimConnection>(random_, config_);
  connection->ends[0].address =
      address.is_unix() ? net::Address{"unix:", 0} : net::Address{address.host, next_client_port_++};
  connection->ends[1].address = found->second->address;
  found->second->backlog.push_back(connection);
  connections_.push_back(connection);
  return std::make_unique<SimStream>(std::move(connection), 0);
}

// Something that ends in a later step, unless it is given up.
struct SimPending {
  std::function<void()> what;
};

class SimPendingHandle final : public net::Pending {
 public:
  explicit SimPendingHandle(std::shared_ptr<SimPending> pending) : pending_(std::move(pending)) {}
  ~SimPendingHandle() override { pending_->what = nullptr; }
  SimPendingHandle(const SimPendingHandle&) = delete;
  SimPendingHandle& operator=(const SimPendingHandle&) = delete;

 private:
  std::shared_ptr<SimPending> pending_;
};

std::unique_ptr<net::Pending> SimNet::later(std::function<void()> what) {
  pending_.push_back(std::make_shared<SimPending>(SimPending{std::move(what)}));
  return std::make_unique<SimPendingHandle>(pending_.back());
}

std::unique_ptr<net::Pending> SimNet::connect(const net::Address& address, net::ConnectHandler on_done) {
  return later([this, address, done = std::move(on_done)] {
    Result<std::unique_ptr<SimStream>> stream = open(address);
    if (!stream) return done(Error{Errc::refused, net::to_text(address) + ": nobody listens there"});
    done(std::unique_ptr<net::Stream>(std::move(*stream)));
  });
}

std::unique_ptr<net::Pending> SimNet::resolve(const std::string& host, uint16_t port, net::ResolveHandler on_done) {
  return later([this, host, port, done = std::move(on_done)] {
    const bool numeric =
        host.find(':') != std::string::npos || host.find_first_not_of("0123456789.") == std::string::npos;
    if (numeric) return done(std::vector<net::Address>{{host, port}});
    std::vector<net::Address> addresses;
    for (const std::string& address : names_[host]) addresses.push_back({address, port});
    if (addresses.empty()) return done(Error{Errc::not_found, "`" + host + "` cannot be resolved"});
    done(std::move(addresses));
  });
}

// Handlers may begin something new: that belongs to a later step.
void SimNet::finish_pending() {
  const std::vector<std::shared_ptr<SimPending>> now = std::exchange(pending_, {});
  for (const std::shared_ptr<SimPending>& item : now) {
    if (!item->what) continue;
    if (delayed()) {
      pending_.push_back(item);
    } else {
      std::exchange(item->what, nullptr)();
    }
  }
}

// A socket for datagrams: what is on its way to it, and what has arrived.
struct SimDatagrams {
  struct Item {
    net::Address from;
    std::vector<std::byte> payload;
  };

  net::Address address;
  net::DatagramEvents* events = nullptr;
  std::deque<Item> on_the_way;
  std::deque<Item> arrived;
  bool wants_read = false;
};

class SimDatagramSocket final : public net::DatagramSocket {
 public:
  using Send = std::function<bool(const net::Address& from, const net::Address& to, Bytes payload)>;
  SimDatagramSocket(std::shared_ptr<SimDatagrams> state, Send send)
      : state_(std::move(state)), send_(std::move(send)) {}

  void set_events(net::DatagramEvents* events) override { state_->events = events; }
  size_t receive(size_t most, const Take& take) override {
    size_t taken = 0;
    for (; taken < most && !state_->arrived.empty(); ++taken) {
      const SimDatagrams::Item item = std::move(state_->arrived.front());
      state_->arrived.pop_front();
      take(item.from, item.payload);
    }
    return taken;
  }
  bool send(const net::Address& to, Bytes payload) override { return send_(state_->address, to, payload); }
  void want_read() override { state_->wants_read = true; }
  const net::Address& local() const override { return state_->address; }

 private:
  std::shared_ptr<SimDatagrams> state_;
  Send send_;
};

Result<std::unique_ptr<net::DatagramSocket>> SimNet::datagrams(const net::Address& address) {
  auto state = std::make_shared<SimDatagrams>();
  state->address = address;
  if (address.port == 0) state->address.port = next_port_++;
  std::weak_ptr<SimDatagrams>& place = datagrams_[key_of(state->address)];
  if (!place.expired()) return Error{Errc::exists, "the port is in use"};
  place = state;
  return std::unique_ptr<net::DatagramSocket>(
      new SimDatagramSocket(std::move(state), [this](const auto& from, const auto& to, Bytes payload) {
        if (payload.size() > kSimDatagramBytesMax) return false;
        const auto found = datagrams_.find(key_of(to));
        const std::shared_ptr<SimDatagrams> target = found == datagrams_.end() ? nullptr : found->second.lock();
        if (!target || (config_.loss_one_in > 0 && random_.one_in(config_.loss_one_in)))
          return true;  // lost on the way
        const size_t copies = config_.double_one_in > 0 && random_.one_in(config_.double_one_in) ? 2 : 1;
        for (size_t i = 0; i < copies; ++i) {
          auto& queue = target->on_the_way;
          const size_t place_in_queue = config_.reorder ? random_.below(queue.size() + 1) : queue.size();
          queue.insert(queue.begin() + static_cast<std::ptrdiff_t>(place_in_queue),
                       {from, {payload.begin(), payload.end()}});
        }
        return true;
      }));
}

void SimNet::deliver_datagrams() {
  std::erase_if(datagrams_, [](const auto& item) { return item.second.expired(); });
  std::vector<std::shared_ptr<SimDatagrams>> sockets;
  for (const auto& [key, socket] : datagrams_) sockets.push_back(socket.lock());
  for (const std::shared_ptr<SimDatagrams>& socket : sockets) {
    while (!socket->on_the_way.empty() && !delayed()) {
      socket->arrived.push_back(std::move(socket->on_the_way.front()));
      socket->on_the_way.pop_front();
    }
    if (socket->arrived.empty() || !socket->wants_read || socket->events == nullptr || delayed()) continue;
    socket->wants_read = false;
    socket->events->on_datagrams();
  }
}

bool SimNet::delayed() { return config_.delay_one_in > 0 && random_.one_in(config_.delay_one_in); }

void SimNet::run_once(int64_t deadline_ns) {
  (void)deadline_ns;
  finish_pending();
  deliver_datagrams();
  accept_pending();
  std::erase_if(connections_, [](const auto& item) { return !item->ends[0].open && !item->ends[1].open; });
  // Events may make connections: only those of now are looked at.
  for (size_t i = 0, count = connections_.size(); i < count; ++i) {
    const std::shared_ptr<SimConnection> connection = connections_[i];
    deliver(*connection);
    raise_events(connection);
  }
}

void SimNet::accept_pending() {
  std::vector<std::shared_ptr<Port>> ports;
  for (const auto& [key, port] : ports_) ports.push_back(port);
  for (const auto& port : ports) {
    while (!port->closed && !port->paused && !port->backlog.empty() && !delayed()) {
      std::shared_ptr<SimConnection> connection = std::move(port->backlog.front());
      port->backlog.pop_front();
      port->on_accept(std::make_unique<SimStream>(std::move(connection), 1));
    }
  }
}

void SimNet::deliver(SimConnection& connection) {
  if (connection.reset) return;
  if (config_.reset_one_in > 0 && random_.one_in(config_.reset_one_in)) return connection.break_off();
  for (End& end : connection.ends) {
    Pipe& pipe = end.incoming;
    const size_t on_the_way = pipe.bytes.size() - pipe.arrived;
    if (delayed()) continue;
    if (on_the_way > 0)
      pipe.arrived += connection.some_of(on_the_way);
    else
      pipe.end_arrived = pipe.finished;
  }
}

// A handler may close either end: the state is looked at anew for each.
void SimNet::raise_events(const std::shared_ptr<SimConnection>& connection) {
  for (int i = 0; i < 2; ++i) {
    End& end = connection->ends[i];
    if (end.events != nullptr && end.wants_read && connection->readable(i) && !delayed()) {
      end.wants_read = false;
      end.events->on_readable();
    }
    if (end.events != nullptr && end.wants_write && connection->writable(i) && !delayed()) {
      end.wants_write = false;
      end.events->on_writable();
    }
  }
}

bool SimNet::quiet() const {
  for (const auto& item : pending_)
    if (item->what) return false;
  for (const auto& [key, weak] : datagrams_) {
    const std::shared_ptr<SimDatagrams> socket = weak.lock();
    if (socket && (!socket->on_the_way.empty() || (!socket->arrived.empty() && socket->wants_read))) return false;
  }
  for (const auto& [key, port] : ports_)
    if (!port->closed && !port->paused && !port->backlog.empty()) return false;
  for (const auto& connection : connections_) {
    for (int i = 0; i < 2; ++i) {
      const End& end = connection->ends[i];
      const Pipe& pipe = end.incoming;
      const bool arrived = pipe.arrived == pipe.bytes.size() && pipe.finished == pipe.end_arrived;
      if (!connection->reset && !arrived) return false;
      if (end.events == nullptr) continue;
      if (end.wants_read && connection->readable(i)) return false;
      if (end.wants_write && connection->writable(i)) return false;
    }
  }
  return true;
}

}  // namespace heptane::sim
