// One connection's protocol without I/O: bytes in; bytes, commands and queries out. A session has no sockets, threads or
// clocks; everything it wants goes through its SessionContext, so that transcripts, fuzzers and the simulator drive it.
// All calls come from the I/O thread that owns the connection, never nested into one another.
//
// Back-pressure: above the output high mark, and while max_outstanding requests wait for replies, the loop stops reading
// from the connection; bytes not consumed stay with the loop, bounded by what the session said it needs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/shard/messages.h"

namespace heptane::net {

using SessionTimerId = uint64_t;
using SubscriptionId = uint64_t;

enum class CloseReason : uint8_t { peer_closed, peer_reset, session_closed, protocol_error, limit, deadline, shutdown };

struct Address {
  std::string host;  // numeric; `unix:/path` for a Unix socket, whose port is 0
  uint16_t port = 0;

  bool is_unix() const { return host.starts_with("unix:"); }
};

// `127.0.0.1:9092`, `[::1]:9092`, `unix:/path`.
std::string to_text(const Address& address);

// What TLS says of a connection's peer.
struct TlsFacts {
  std::string version;             // `TLSv1.3`
  std::string server_name;         // SNI, as the client sent it; empty: none
  std::string alpn;                // the protocol agreed on; empty: none
  std::string client_subject;      // of a verified client certificate (RFC 4514); empty: it showed none
  std::string client_common_name;  // its last common name
  std::string client_fingerprint;  // SHA-256 of the certificate, 64 lower-case hexadecimal digits
};

// Records read for a session: whole record batches, CRC checked, in offset order; the first holds `offset`.
struct RecordsRead {
  std::optional<Errc> error;  // not_found, invalid_argument (offset out of range), corrupt, io
  PartitionId partition = kNoPartition;
  Offset offset = 0;
  Offset log_start = 0;
  Offset durable_end = 0;
  std::vector<Buffer> batches;
};

class SessionContext {
 public:
  virtual ~SessionContext() = default;

  // Queues bytes for the peer. Never blocks; the loop writes once per turn.
  virtual void write(Buffer bytes) = 0;
  // The same of bytes that stay the caller's. Small ones are put together, which costs less than a buffer for each.
  virtual void write_copy(Bytes bytes) { write(Buffer::copy_of(bytes)); }
  // A part of the input of this on_bytes as a buffer that outlives it: without a copy where it is large and the connection
  // has it in memory of its own.
  virtual Buffer keep(Bytes part) { return Buffer::copy_of(part); }
  // No more input; the connection closes when the queued output is written.
  virtual void close(CloseReason reason, std::string_view why) = 0;
  // The next on_bytes should come only when `bytes` contiguous ones are there. At most the listener's message limit.
  virtual void need(size_t bytes) = 0;
  // The session stops (or goes on) getting input, for its own limits: too many unanswered requests.
  virtual void pause_input(bool paused) = 0;

  // Answered by on_reply with the same id. False: the shard's queue is full; nothing was sent (answer `overloaded`).
  virtual bool submit(RequestId request, Submission submission) = 0;
  virtual bool query(RequestId request, QueryRequest query) = 0;
  // Answered by on_records.
  virtual bool read(RequestId request, ReadRequest read) = 0;
  // Runs the job on a worker; answered by on_worked. For what would block this thread: files, costly hashes. What the job
  // uses is the worker's until then. False: the workers have no room, or there are none.
  virtual bool work(RequestId request, std::function<void()> job) {
    (void)request, (void)job;
    return false;
  }
  // on_advanced is called once, when the partition's synced end passes `from` (at once if it already has), or when the
  // partition is deleted; the subscription is then over. A session that wants more subscribes again. 0: no room now.
  virtual SubscriptionId subscribe(PartitionId partition, Offset from) = 0;
  virtual void unsubscribe(SubscriptionId subscription) = 0;

  virtual SessionTimerId arm(int64_t delay_ns) = 0;
  virtual void cancel(SessionTimerId timer) = 0;
  virtual int64_t monotonic_ns() const = 0;
  virtual int64_t utc_ns() const = 0;

  virtual SessionId id() const = 0;
  virtual const Address& local() const = 0;  // where the connection was accepted
  virtual const Address& remote() const = 0;
  // Null: the connection is not encrypted.
  virtual const TlsFacts* tls() const { return nullptr; }
  // The user who runs the peer, when it came over a Unix socket.
  virtual std::optional<uint32_t> peer_uid() const { return {}; }
  virtual size_t output_bytes() const = 0;  // queued and not yet taken by the socket
  // Output is above its high mark: on_writable will come when it is at or below the low one.
  virtual bool output_full() const { return false; }
  // The socket takes nothing more for now.
  virtual bool output_blocked() const { return false; }
  // Bytes that the peer's socket has taken since the beginning, modulo 2^32.
  virtual uint32_t output_taken() const { return 0; }
  // on_writable will come, too, once nothing is queued.
  virtual void await_taken() {}
  // on_stalled will come when output is queued, however little, and none of it is taken for so long: 1 s to 18 hours, whole seconds. It
  // stands in for the loop's own time-out of full output.
  virtual void watch_output(int64_t timeout_ns) { (void)timeout_ns; }
};

class Session {
 public:
  virtual ~Session() = default;
  virtual void on_open(SessionContext& context) { (void)context; }
  // Returns the bytes consumed. Called again with what was left plus new bytes. A session whose answers may be large
  // consumes one message per call: back-pressure is looked at between calls.
  virtual size_t on_bytes(Bytes input, SessionContext& context) = 0;
  virtual void on_reply(RequestId request, const Reply& reply, SessionContext& context) = 0;
  virtual void on_records(RequestId request, const RecordsRead& records, SessionContext& context) {
    (void)request, (void)records, (void)context;
  }
  virtual void on_worked(RequestId request, SessionContext& context) { (void)request, (void)context; }
  virtual void on_advanced(SubscriptionId subscription, Offset durable_end, SessionContext& context) {
    (void)subscription, (void)durable_end, (void)context;
  }
  virtual void on_writable(SessionContext& context) { (void)context; }  // output fell below its low mark
  // The peer takes nothing: a last word may be written, which stands behind what it did not take. on_close follows.
  virtual void on_stalled(SessionContext& context) { (void)context; }
  virtual void on_timer(SessionTimerId timer, SessionContext& context) { (void)timer, (void)context; }
  // The server stops and nothing is under way: a last word may be written. on_close follows.
  virtual void on_stop(SessionContext& context) { (void)context; }
  virtual void on_close(CloseReason reason) { (void)reason; }
};

// Makes the sessions of one listener.
class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual std::string_view name() const = 0;  // the listener's name in configuration and endpoints file
  virtual std::unique_ptr<Session> open(const Address& remote) = 0;
  // Largest message the session may `need`.
  virtual size_t message_limit_bytes() const = 0;
  // An idle connection is closed after this; 0 = never.
  virtual int64_t idle_timeout_ns() const { return 0; }
  // What it offers or accepts over TLS (RFC 7301), the best first; empty: the extension is not looked at.
  virtual std::span<const std::string_view> alpn() const { return {}; }
  // Sent to a client for whom there is no room, before the connection is closed; empty where the protocol has no such words.
  virtual std::string_view refusal() const { return {}; }
};

}  // namespace heptane::net
