// Protocols whose messages are datagrams (CoAP, DNS, netcode): a session per address and not per peer, as pure as Session.
// Datagrams are lost, doubled and reordered by the network, and dropped here rather than queued: what must arrive is the
// protocol's own business. All calls come from the I/O thread, never nested into one another.
#pragma once

#include <memory>
#include <string_view>

#include "kernel/net/session.h"

namespace heptane::net {

class DatagramContext {
 public:
  virtual ~DatagramContext() = default;
  // At once; false: dropped for lack of room in the system's buffer, and counted.
  virtual bool send(const Address& to, Bytes payload) = 0;
  // Answered by on_reply with the same id. False: too many are under way; nothing was sent.
  virtual bool submit(RequestId request, Submission submission) = 0;
  virtual bool query(RequestId request, QueryRequest query) = 0;
  virtual SessionTimerId arm(int64_t delay_ns) = 0;
  virtual void cancel(SessionTimerId timer) = 0;
  virtual int64_t monotonic_ns() const = 0;
  virtual int64_t utc_ns() const = 0;
  virtual SessionId id() const = 0;
  virtual const Address& local() const = 0;
};

class DatagramSession {
 public:
  virtual ~DatagramSession() = default;
  virtual void on_open(DatagramContext& context) { (void)context; }
  // `payload` is at most the protocol's limit and gone after the call.
  virtual void on_datagram(const Address& from, Bytes payload, DatagramContext& context) = 0;
  virtual void on_reply(RequestId request, const Reply& reply, DatagramContext& context) {
    (void)request, (void)reply, (void)context;
  }
  virtual void on_timer(SessionTimerId timer, DatagramContext& context) { (void)timer, (void)context; }
};

class DatagramProtocol {
 public:
  virtual ~DatagramProtocol() = default;
  virtual std::string_view name() const = 0;
  virtual std::unique_ptr<DatagramSession> open() = 0;
  // Longer ones are dropped unseen, and counted.
  virtual size_t datagram_limit_bytes() const = 0;
};

}  // namespace heptane::net
