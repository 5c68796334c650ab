// One WebSocket (RFC 6455) without I/O: frames and messages in both directions, pings, limits, the close. What is spoken on it
// is a WebSocketHandler's: messages in, messages out; or a Session's that takes bytes as from a socket (websocket_stream.h).
// The I/O thread's.
//
// A message has a limit before it is kept. Extensions (permessage-deflate) are never agreed on: a compressed message would
// cost memory that its sender does not pay for. A reader that takes nothing, or lags behind the bound, is closed with 1013.
//
// Quotas count the bytes of frames in both directions. Who owes is read from no more between two messages, and its handler
// is told that output is full, until it is paid back; a message that has begun is read to its end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/net/http/websocket_frame.h"
#include "kernel/net/quota.h"
#include "kernel/net/session.h"

namespace heptane::http {

struct WebSocketLimits {
  size_t message_bytes = size_t{1} << 20;                     // 1009
  size_t output_bytes = size_t{8} << 20;                      // queued for a reader; above it, 1013
  int64_t message_deadline_ns = int64_t{60} * 1'000'000'000;  // from a message's first byte to its last; 1008
  int64_t ping_interval_ns = int64_t{30} * 1'000'000'000;     // of silence
  int64_t pong_deadline_ns = int64_t{20} * 1'000'000'000;     // from a ping to any sign of life
  int64_t slow_reader_ns = int64_t{20} * 1'000'000'000;  // with full output, without the reader taking a byte; 1013
};

struct WebSocketOptions {
  WebSocketLimits limits;
  // What is spoken, the preferred first. Not empty: a client that offers none of them is refused. Empty: a client's offers
  // are ignored.
  std::vector<std::string_view> subprotocols;
};

// What a handler has of its connection. Calls after the close do nothing.
class WebSocket {
 public:
  virtual ~WebSocket() = default;
  virtual net::SessionContext& context() = 0;  // not for write, close, need, pause_input
  virtual void send_text(std::string_view message) = 0;
  virtual void send_binary(Bytes message) = 0;
  // The reader has enough to read: a handler that can, waits for on_writable.
  virtual bool output_full() = 0;
  // The quotas count so many bytes more as sent: what was read for this connection alone.
  virtual void charge(size_t bytes) { (void)bytes; }
  // No message is delivered until it is called again with false.
  virtual void pause_input(bool paused) = 0;
  virtual void close(uint16_t code, std::string_view reason) = 0;
};

class WebSocketHandler {
 public:
  virtual ~WebSocketHandler() = default;
  virtual void on_open(WebSocket& socket) { (void)socket; }
  virtual void on_text(std::string_view message, WebSocket& socket) = 0;
  virtual void on_binary(Bytes message, WebSocket& socket) = 0;
  virtual void on_reply(RequestId request, const Reply& reply, WebSocket& socket) {
    (void)request, (void)reply, (void)socket;
  }
  virtual void on_records(RequestId request, const net::RecordsRead& records, WebSocket& socket) {
    (void)request, (void)records, (void)socket;
  }
  virtual void on_worked(RequestId request, WebSocket& socket) { (void)request, (void)socket; }
  virtual void on_advanced(net::SubscriptionId subscription, Offset durable_end, WebSocket& socket) {
    (void)subscription, (void)durable_end, (void)socket;
  }
  virtual void on_writable(WebSocket& socket) { (void)socket; }
  virtual void on_stalled(WebSocket& socket) {
    (void)socket;
  }  // SessionContext::watch_output's; then it is closed: 1013
  virtual void on_timer(net::SessionTimerId timer, WebSocket& socket) { (void)timer, (void)socket; }
  virtual void on_stop(WebSocket& socket) { (void)socket; }  // the server stops: a last message may be sent
  virtual void on_close(net::CloseReason reason) { (void)reason; }
};

// A connection after its opening handshake.
class WebSocketSession final : public net::Session, private WebSocket {
 public:
  WebSocketSession(std::unique_ptr<WebSocketHandler> handler, const WebSocketLimits& limits,
                   net::QuotaPayer payer = {});

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext& context) override;
  void on_reply(RequestId request, const Reply& reply, net::SessionContext& context) override;
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext& context) override;
  void on_worked(RequestId request, net::SessionContext& context) override;
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext& context) override;
  void on_writable(net::SessionContext& context) override;
  void on_stalled(net::SessionContext& context) override;
  void on_timer(net::SessionTimerId timer, net::SessionContext& context) override;
  void on_stop(net::SessionContext& context) override;
  void on_close(net::CloseReason reason) override;

 private:
  net::SessionContext& context() override { return *context_; }
  void send_text(std::string_view message) override { send(Opcode::text, as_bytes(message)); }
  void send_binary(Bytes message) override { send(Opcode::binary, message); }
  bool output_full() override;
  void charge(size_t bytes) override;
  void pause_input(bool paused) override;
  void close(uint16_t code, std::string_view reason) override;

  bool begin_frame(Bytes input, size_t& used);
  bool check_data_frame();
  void take_control(Bytes payload);
  void take_close(const std::string& payload);
  void deliver();
  void watch_message();
  void send(Opcode opcode, Bytes payload);
  void flush();
  void write_out();
  void watch_reader();
  void watch_quota();
  void steer_input();
  void go_on_paid();
  void keep_alive();
  void check_reader();
  void end(uint16_t code, std::string_view reason, net::CloseReason why);
  void cancel(std::optional<net::SessionTimerId>& timer);

  std::unique_ptr<WebSocketHandler> handler_;
  const WebSocketLimits limits_;
  const net::QuotaPayer payer_;
  net::SessionContext* context_ = nullptr;
  FrameHeader frame_;
  uint64_t frame_left_ = 0;     // of the payload of a data frame that is being read
  std::optional<Opcode> kind_;  // of the message that is being read
  std::string message_;         // of it, so far
  std::string out_;             // frames of this call, written at its end
  uint64_t written_bytes_ = 0;
  uint64_t taken_bytes_ = 0;  // of them, when the reader was last looked at
  std::optional<net::SessionTimerId> keep_alive_timer_;
  std::optional<net::SessionTimerId> message_timer_;
  std::optional<net::SessionTimerId> reader_timer_;
  std::optional<net::SessionTimerId> quota_timer_;  // armed: it owes
  bool in_frame_ = false;
  bool heard_ = false;   // since the last look
  bool pinged_ = false;  // and nothing was heard since
  bool closed_ = false;
  bool handler_pauses_ = false;
  bool paused_ = false;     // nothing is read: the handler's wish, or a debt
  bool told_full_ = false;  // the handler waits for on_writable
};

}  // namespace heptane::http
