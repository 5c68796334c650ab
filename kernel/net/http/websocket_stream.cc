#include "kernel/net/http/websocket_stream.h"

namespace heptane::http {

namespace {

uint16_t code_of(net::CloseReason reason) {
  switch (reason) {
    case net::CloseReason::protocol_error: return kCloseProtocolError;
    case net::CloseReason::limit: return kClosePolicy;
    case net::CloseReason::shutdown: return kCloseGoingAway;
    case net::CloseReason::deadline: return kClosePolicy;
    case net::CloseReason::peer_closed:
    case net::CloseReason::peer_reset:
    case net::CloseReason::session_closed: return kCloseNormal;
  }
  return kCloseNormal;
}

}  // namespace

void WebSocketStream::on_open(WebSocket& socket) {
  socket_ = &socket;
  session_->on_open(*this);
}

void WebSocketStream::on_text(std::string_view, WebSocket& socket) {
  closed_ = true;
  socket.close(kCloseUnsupportedData, "what is spoken here goes into binary messages");
}

void WebSocketStream::on_binary(Bytes message, WebSocket& socket) {
  socket_ = &socket;
  kept_.append(as_text(message));
  hungry_ = false;
  feed();
}

void WebSocketStream::feed() {
  size_t used = 0;
  while (!closed_ && !paused_ && !hungry_ && used < kept_.size() && !socket_->output_full()) {
    const Bytes rest = as_bytes(kept_).subspan(used);
    size_t consumed = 0;
    if (rest.size() >= need_) {
      need_ = 0;
      consumed = session_->on_bytes(rest, *this);
    }
    used += consumed;
    hungry_ = consumed == 0;
  }
  kept_.erase(0, used);
  if (kept_.empty()) kept_ = {};
  if (closed_) return;
  if (hungry_ && kept_.size() >= message_limit_bytes_) return close(net::CloseReason::limit, "a message is too long");
  // What the session has not seen yet is bounded: one message of the WebSocket.
  socket_->pause_input(paused_ || !(hungry_ || kept_.empty()));
}

void WebSocketStream::close(net::CloseReason reason, std::string_view why) {
  if (std::exchange(closed_, true)) return;
  socket_->close(code_of(reason), why);
}

void WebSocketStream::need(size_t bytes) {
  if (bytes > message_limit_bytes_) return close(net::CloseReason::limit, "a message is too long");
  need_ = bytes;
}

void WebSocketStream::pause_input(bool paused) { paused_ = paused; }

void WebSocketStream::on_reply(RequestId request, const Reply& reply, WebSocket& socket) {
  socket_ = &socket;
  session_->on_reply(request, reply, *this);
  feed();
}

void WebSocketStream::on_records(RequestId request, const net::RecordsRead& records, WebSocket& socket) {
  socket_ = &socket;
  session_->on_records(request, records, *this);
  feed();
}

void WebSocketStream::on_worked(RequestId request, WebSocket& socket) {
  socket_ = &socket;
  session_->on_worked(request, *this);
  feed();
}

void WebSocketStream::on_advanced(net::SubscriptionId subscription, Offset durable_end, WebSocket& socket) {
  socket_ = &socket;
  session_->on_advanced(subscription, durable_end, *this);
  feed();
}

void WebSocketStream::on_writable(WebSocket& socket) {
  socket_ = &socket;
  session_->on_writable(*this);
  feed();
}

void WebSocketStream::on_stalled(WebSocket& socket) {
  socket_ = &socket;
  session_->on_stalled(*this);
}

void WebSocketStream::on_stop(WebSocket& socket) {
  socket_ = &socket;
  session_->on_stop(*this);
}

void WebSocketStream::on_timer(net::SessionTimerId timer, WebSocket& socket) {
  socket_ = &socket;
  session_->on_timer(timer, *this);
  feed();
}

}  // namespace heptane::http
