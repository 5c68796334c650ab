// The seam to the network, below TLS and above the operating system: readiness, not completion, so that an idle connection
// holds no buffer. Implementations: asio_net (the only code that includes Asio) and the simulator's.
// One owner thread for a Net and everything it made; only wake() may be called from another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

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

enum class IoStatus : uint8_t { ok, would_block, closed, reset };
struct IoResult {
  IoStatus status = IoStatus::ok;
  size_t bytes = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;  // closes; no event comes afterwards
  virtual void set_events(StreamEvents* events) = 0;
  virtual IoResult read_some(MutableBytes into) = 0;               // closed: the peer will send no more
  virtual IoResult write_some(std::span<const Bytes> pieces) = 0;  // gathers, at most 64 pieces are looked at
  virtual void want_read() = 0;
  virtual void want_write() = 0;
  virtual void shutdown_write() = 0;
  virtual const Address& local() const = 0;
  virtual const Address& remote() const = 0;
};

using AcceptHandler = std::function<void(std::unique_ptr<Stream>)>;

class Listener {
 public:
  virtual ~Listener() = default;  // stops accepting
  virtual uint16_t port() const = 0;
  // While paused, connections wait in the system's backlog.
  virtual void pause(bool paused) = 0;
};

class Net {
 public:
  virtual ~Net() = default;
  // Port 0: any free one. Errc::exists when the address is in use.
  virtual Result<std::unique_ptr<Listener>> listen(const Address& address, AcceptHandler on_accept) = 0;
  // Waits until something happens, `deadline_ns` (monotonic; <0 = none) or wake(); delivers events; returns.
  virtual void run_once(int64_t deadline_ns) = 0;
  // Makes a waiting or the next run_once return. Any thread; also from a signal handler.
  virtual void wake() = 0;
};

}  // namespace heptane::net
