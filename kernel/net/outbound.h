// A connection that we make and keep: the name is resolved off the I/O thread, its addresses are tried in turn, TLS verifies
// the peer and its name, and the session is the same Session that a listener makes, behind the same limits and back-pressure.
// When the connection ends or cannot be made, the next attempt follows after a random share of a delay that doubles up to a
// maximum (full jitter): many that lose one peer do not come back at one moment.
//
//   resolve → connect → handshake → up ┐
//      ↑  └────────┴─────────┴──→ wait ←┘ ... given up after attempts_max failures in a row
//
// One deadline covers an attempt up to the handshake's end. The I/O loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/net/loop_core.h"

namespace heptane::net {

struct OutboundOptions {
  std::string host;  // a name, a numeric address or `unix:/path`
  uint16_t port = 0;
  std::shared_ptr<TlsContext> tls;              // a client's; null: plain bytes
  std::string server_name;                      // of the certificate; empty: the host
  int64_t attempt_timeout_ns = 10'000'000'000;  // name, connection and handshake together
  int64_t backoff_first_ns = 200'000'000;       // the most that is waited after the first failure
  int64_t backoff_max_ns = 30'000'000'000;
  int64_t stable_after_ns = 10'000'000'000;  // a connection that lived so long makes the delays begin anew
  uint32_t attempts_max = 0;                 // failures in a row before it is given up; 0 = never
  // Of every address that the name leads to: whether it may be connected to. The connection goes to the address that was
  // judged: who answers for the name cannot change it in between. Empty: all may.
  std::function<bool(const Address&)> allows;
  std::function<void(const Error&)> on_failed;  // an attempt failed, or the connection ended
  std::function<void(const Error&)> on_given_up;
};

class Outbound {
 public:
  // Wraps and owns the stream as a connection of the loop.
  using Adopt = std::function<void(ListenerState&, std::unique_ptr<Stream>)>;

  Outbound(LoopCore& core, Net& net, Random& random, ListenerState& state, SessionId id, OutboundOptions options,
           Adopt adopt);
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  SessionId id() const { return id_; }  // its name in the loop's timers
  ListenerState& state() { return state_; }
  void begin();
  void on_timer();  // the attempt's deadline, or the end of a wait
  void on_closed(bool was_open, std::string_view why);
  void stop();   // no further attempts; a connection that is up stays
  void again();  // after it was given up or stopped: as at first
  bool stopped() const { return phase_ == Phase::stopped; }

 private:
  enum class Phase : uint8_t { resolving, connecting, up, waiting, stopped };

  void connect_next();
  void connected(std::unique_ptr<Stream> stream);
  void fail(const Error& error);
  int64_t delay_ns();

  LoopCore& core_;
  Net& net_;
  Random& random_;
  ListenerState& state_;
  const SessionId id_;
  const OutboundOptions options_;
  const Adopt adopt_;
  std::unique_ptr<Pending> pending_;
  std::vector<Address> addresses_;  // not tried yet, the next at the end
  Phase phase_ = Phase::waiting;
  uint32_t failures_ = 0;  // in a row
  int64_t deadline_ns_ = 0;
  int64_t up_since_ns_ = 0;
};

}  // namespace heptane::net
