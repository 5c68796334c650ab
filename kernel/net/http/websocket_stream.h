// A session that takes bytes as from a socket, on a WebSocket: the payloads of binary messages, in order, are its input
// whatever their borders (MQTT 5.0 §6, subprotocol `mqtt`); each of its writes is one binary message. It keeps what the
// session does not consume, within the limit of the session's protocol, and shows more of it only while output has room.
// Quotas count its bytes as the WebSocket's: the session counts requests alone.
#pragma once

#include <string>

#include "kernel/net/http/websocket.h"

namespace heptane::http {

class WebSocketStream final : public WebSocketHandler, private net::SessionContext {
 public:
  // `message_limit_bytes`: of the session's protocol.
  WebSocketStream(std::unique_ptr<net::Session> session, size_t message_limit_bytes)
      : session_(std::move(session)), message_limit_bytes_(message_limit_bytes) {}

  void on_open(WebSocket& socket) override;
  void on_text(std::string_view message, WebSocket& socket) override;
  void on_binary(Bytes message, WebSocket& socket) override;
  void on_reply(RequestId request, const Reply& reply, WebSocket& socket) override;
  void on_records(RequestId request, const net::RecordsRead& records, WebSocket& socket) override;
  void on_worked(RequestId request, WebSocket& socket) override;
  void on_advanced(net::SubscriptionId subscription, Offset durable_end, WebSocket& socket) override;
  void on_writable(WebSocket& socket) override;
  void on_stalled(WebSocket& socket) override;
  void on_timer(net::SessionTimerId timer, WebSocket& socket) override;
  void on_stop(WebSocket& socket) override;
  void on_close(net::CloseReason reason) override { session_->on_close(reason); }

 private:
  net::SessionContext& outer() { return socket_->context(); }
  const net::SessionContext& outer() const { return socket_->context(); }
  void feed();

  // SessionContext, for the session.
  void write(Buffer bytes) override { socket_->send_binary(bytes.view()); }
  void close(net::CloseReason reason, std::string_view why) override;
  void need(size_t bytes) override;
  void pause_input(bool paused) override;
  bool submit(RequestId request, Submission submission) override {
    return outer().submit(request, std::move(submission));
  }
  bool query(RequestId request, QueryRequest query) override { return outer().query(request, std::move(query)); }
  bool read(RequestId request, ReadRequest read) override { return outer().read(request, read); }
  bool work(RequestId request, std::function<void()> job) override { return outer().work(request, std::move(job)); }
  net::SubscriptionId subscribe(PartitionId partition, Offset from) override {
    return outer().subscribe(partition, from);
  }
  void unsubscribe(net::SubscriptionId subscription) override { outer().unsubscribe(subscription); }
  net::SessionTimerId arm(int64_t delay_ns) override { return outer().arm(delay_ns); }
  void cancel(net::SessionTimerId timer) override { outer().cancel(timer); }
  int64_t monotonic_ns() const override { return outer().monotonic_ns(); }
  int64_t utc_ns() const override { return outer().utc_ns(); }
  SessionId id() const override { return outer().id(); }
  const net::Address& local() const override { return outer().local(); }
  const net::Address& remote() const override { return outer().remote(); }
  const net::TlsFacts* tls() const override { return outer().tls(); }
  size_t output_bytes() const override { return outer().output_bytes(); }
  bool output_full() const override { return socket_->output_full(); }
  bool output_blocked() const override { return outer().output_blocked(); }
  uint32_t output_taken() const override { return outer().output_taken(); }
  void await_taken() override { outer().await_taken(); }
  void watch_output(int64_t timeout_ns) override { outer().watch_output(timeout_ns); }

  const std::unique_ptr<net::Session> session_;
  const size_t message_limit_bytes_;
  WebSocket* socket_ = nullptr;
  std::string kept_;
  size_t need_ = 0;
  bool hungry_ = true;  // the session has seen what is kept and wants more
  bool paused_ = false;
  bool closed_ = false;
};

}  // namespace heptane::http
