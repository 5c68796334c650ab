// The seam to the network, below TLS and above the operating system: readiness, not completion, so that an idle connection
// holds no buffer. Implementations: system_net and the simulator's.
// One owner thread for a Net and everything it made; only wake() may be called from another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/net/session.h"

namespace heptane::net {

// Told by a stream. Never called from inside a call of the stream.
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void on_readable() = 0;  // once per want_read()
  virtual void on_writable() = 0;  // once per want_write()
};

// failed: the peer broke the rules of a layer between the socket and the session (TLS); failure() says how. What tells it so
// is on its way; what is read from then on is only good to be thrown away.
enum class IoStatus : uint8_t { ok, would_block, closed, reset, failed };
struct IoResult {
  IoStatus status = IoStatus::ok;
  size_t bytes = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;  // closes; no event comes afterwards
  virtual void set_events(StreamEvents* events) = 0;
  // Before the first byte: ok when both sides are agreed; would_block: again after the next on_readable.
  virtual IoStatus handshake() { return IoStatus::ok; }
  virtual IoResult read_some(MutableBytes into) = 0;               // closed: the peer will send no more
  virtual IoResult write_some(std::span<const Bytes> pieces) = 0;  // gathers, at most 64 pieces are looked at
  // False: the stream still holds bytes that write_some took; on_writable comes when it does not.
  virtual bool flushed() const { return true; }
  virtual void want_read() = 0;
  virtual void want_write() = 0;
  virtual void shutdown_write() = 0;
  virtual const Address& local() const = 0;
  virtual const Address& remote() const = 0;
  virtual const TlsFacts* tls() const { return nullptr; }          // null: not encrypted, or not agreed yet
  virtual std::string_view failure() const { return {}; }          // after IoStatus::failed
  virtual std::optional<uint32_t> peer_uid() const { return {}; }  // of a process of this machine (Unix socket)
};

using AcceptHandler = std::function<void(std::unique_ptr<Stream>)>;

class Listener {
 public:
  virtual ~Listener() = default;  // stops accepting
  virtual uint16_t port() const = 0;
  // While paused, connections wait in the system's backlog.
  virtual void pause(bool paused) = 0;
};

// Something begun and not finished. Destroying it gives it up: its handler is not called any more.
class Pending {
 public:
  virtual ~Pending() = default;
};
using ConnectHandler = std::function<void(Result<std::unique_ptr<Stream>>)>;
using ResolveHandler = std::function<void(Result<std::vector<Address>>)>;

class DatagramEvents {
 public:
  virtual ~DatagramEvents() = default;
  virtual void on_datagrams() = 0;  // once per want_read()
};

constexpr size_t kDatagramBytes = 64 << 10;  // no datagram of IPv4 or IPv6 is longer

// Datagrams of one address: they may be lost, doubled and reordered.
class DatagramSocket {
 public:
  using Take = std::function<void(const Address& from, Bytes payload)>;
  virtual ~DatagramSocket() = default;
  virtual void set_events(DatagramEvents* events) = 0;
  // Hands over at most `most` datagrams that are there; fewer: none is left.
  virtual size_t receive(size_t most, const Take& take) = 0;
  // False: dropped here, for lack of room or because the system refuses it.
  virtual bool send(const Address& to, Bytes payload) = 0;
  virtual void want_read() = 0;
  virtual const Address& local() const = 0;
};

class Net {
 public:
  virtual ~Net() = default;
  // Port 0: any free one. Errc::exists when the address is in use.
  virtual Result<std::unique_ptr<Listener>> listen(const Address& address, AcceptHandler on_accept) = 0;
  // Handlers come from run_once, never from inside these calls. Time limits are the caller's.
  // Errc::refused when nobody listens there.
  virtual std::unique_ptr<Pending> connect(const Address& address, ConnectHandler on_done) = 0;
  // The numeric addresses of a name, at least one; what is numeric already comes back as it is. Errc::not_found: no such name.
  virtual std::unique_ptr<Pending> resolve(const std::string& host, uint16_t port, ResolveHandler on_done) = 0;
  virtual Result<std::unique_ptr<DatagramSocket>> datagrams(const Address& address) = 0;
  // Waits until something happens, `deadline_ns` (monotonic; <0 = none) or wake(); delivers events; returns.
  virtual void run_once(int64_t deadline_ns) = 0;
  // Makes a waiting or the next run_once return. Any thread; also from a signal handler.
  virtual void wake() = 0;
};

}  // namespace heptane::net
