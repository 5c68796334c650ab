#include "kernel/net/http/websocket.h"

#include <algorithm>
#include <utility>

#include "kernel/net/http/json.h"

namespace heptane::http {

namespace {
constexpr size_t kFlushBytes = size_t{64} << 10;
}  // namespace

WebSocketSession::WebSocketSession(std::unique_ptr<WebSocketHandler> handler, const WebSocketLimits& limits,
                                   net::QuotaPayer payer)
    : handler_(std::move(handler)), limits_(limits), payer_(std::move(payer)) {}

void WebSocketSession::on_open(net::SessionContext& context) {
  context_ = &context;
  keep_alive_timer_ = context_->arm(limits_.ping_interval_ns);
  handler_->on_open(*this);
  flush();
}

// Input. At most one message a call: back-pressure is looked at between calls.

size_t WebSocketSession::on_bytes(Bytes input, net::SessionContext& context) {
  context_ = &context;
  heard_ = true;
  size_t used = 0;
  bool delivered = false;
  while (!closed_ && !delivered) {
    if (!in_frame_) {
      if (!begin_frame(input.subspan(used), used)) break;
      continue;
    }
    const Bytes part = input.subspan(used, std::min<uint64_t>(frame_left_, input.size() - used));
    append_unmasked(message_, part, frame_.mask, frame_.payload_bytes - frame_left_);
    frame_left_ -= part.size();
    used += part.size();
    if (frame_left_ > 0) break;
    in_frame_ = false;
    if (frame_.fin) {
      deliver();
      delivered = true;
    }
  }
  payer_.use({.bytes_in = static_cast<int64_t>(used), .bytes_out = 0, .requests = 0});
  watch_message();
  flush();
  watch_quota();
  return closed_ ? input.size() : used;
}

// A control frame is taken whole, a data frame begun. False: more bytes are needed, or it is over.
bool WebSocketSession::begin_frame(Bytes input, size_t& used) {
  FrameFault fault;
  const FrameStep step = read_frame_header(input, frame_, fault);
  if (step == FrameStep::need_more) return false;
  if (step == FrameStep::fault) {
    end(fault.code, fault.reason, net::CloseReason::protocol_error);
    return false;
  }
  if (is_control(frame_.opcode)) {
    if (input.size() - frame_.header_bytes < frame_.payload_bytes) return false;
    used += frame_.header_bytes + static_cast<size_t>(frame_.payload_bytes);
    take_control(input.subspan(frame_.header_bytes, static_cast<size_t>(frame_.payload_bytes)));
    return !closed_;
  }
  if (!check_data_frame()) return false;
  used += frame_.header_bytes;
  frame_left_ = frame_.payload_bytes;
  in_frame_ = true;
  return true;
}

bool WebSocketSession::check_data_frame() {
  const bool continues = frame_.opcode == Opcode::continuation;
  if (continues != kind_.has_value()) {
    end(kCloseProtocolError, continues ? "there is no message to go on with" : "the message before has not ended",
        net::CloseReason::protocol_error);
    return false;
  }
  if (frame_.payload_bytes > limits_.message_bytes - message_.size()) {
    end(kCloseTooLarge, "a message holds at most " + std::to_string(limits_.message_bytes) + " bytes",
        net::CloseReason::limit);
    return false;
  }
  if (!continues) kind_ = frame_.opcode;
  return true;
}

void WebSocketSession::take_control(Bytes masked) {
  std::string payload;
  append_unmasked(payload, masked, frame_.mask, 0);
  if (frame_.opcode == Opcode::close) return take_close(payload);
  if (frame_.opcode == Opcode::ping) send(Opcode::pong, as_bytes(payload));
}

// The close is answered with its own code (RFC 6455 §5.5.1).
void WebSocketSession::take_close(const std::string& payload) {
  if (payload.empty()) return end(kCloseNormal, "", net::CloseReason::peer_closed);
  const auto bad = [&](uint16_t code, std::string_view reason) { end(code, reason, net::CloseReason::protocol_error); };
  if (payload.size() < 2) return bad(kCloseProtocolError, "a close code has two bytes");
  const auto code = load_be<uint16_t>(as_bytes(payload).data());
  if (!may_close_with(code)) return bad(kCloseProtocolError, "that close code is not for frames");
  if (!valid_utf8(std::string_view(payload).substr(2))) return bad(kCloseInvalidPayload, "the reason is not UTF-8");
  end(code, "", net::CloseReason::peer_closed);
}

void WebSocketSession::deliver() {
  const Opcode kind = *std::exchange(kind_, std::nullopt);
  const std::string message = std::exchange(message_, {});
  if (kind == Opcode::binary) return handler_->on_binary(as_bytes(message), *this);
  if (!valid_utf8(message)) return end(kCloseInvalidPayload, "a text is not UTF-8", net::CloseReason::protocol_error);
  handler_->on_text(message, *this);
}

// A message that has begun must end in time: it holds memory.
void WebSocketSession::watch_message() {
  if (closed_) return;
  if (!kind_) return cancel(message_timer_);
  if (!message_timer_) message_timer_ = context_->arm(limits_.message_deadline_ns);
}

// Output.

void WebSocketSession::send(Opcode opcode, Bytes payload) {
  if (closed_) return;
  append_frame(out_, opcode, payload);
  if (context_->output_bytes() + out_.size() > limits_.output_bytes)
    return end(kCloseTryAgainLater, "the reader is too slow", net::CloseReason::limit);
  if (out_.size() >= kFlushBytes) flush();
}

void WebSocketSession::flush() {
  if (out_.empty() || closed_) return;
  write_out();
  watch_reader();
}

void WebSocketSession::write_out() {
  written_bytes_ += out_.size();
  payer_.use({.bytes_in = 0, .bytes_out = static_cast<int64_t>(out_.size()), .requests = 0});
  context_->write(Buffer::take(std::exchange(out_, {})));
}

bool WebSocketSession::output_full() {
  flush();
  watch_quota();
  told_full_ = !closed_ && (quota_timer_ || context_->output_full());
  return told_full_;
}

// Quotas.

void WebSocketSession::watch_quota() {
  if (closed_) return;
  if (!quota_timer_)
    if (const int64_t pause_ns = payer_.pause_ns(); pause_ns > 0) quota_timer_ = context_->arm(pause_ns);
  steer_input();
}

void WebSocketSession::charge(size_t bytes) {
  payer_.use({.bytes_in = 0, .bytes_out = static_cast<int64_t>(bytes), .requests = 0});
  watch_quota();
}

void WebSocketSession::pause_input(bool paused) {
  handler_pauses_ = paused;
  steer_input();
}

// A message that has begun holds memory and has a deadline: it is read to its end.
void WebSocketSession::steer_input() {
  const bool pause = handler_pauses_ || (quota_timer_ && !kind_);
  if (closed_ || pause == paused_) return;
  paused_ = pause;
  context_->pause_input(pause);
}

void WebSocketSession::go_on_paid() {
  watch_quota();
  if (!quota_timer_ && !context_->output_full() && std::exchange(told_full_, false)) handler_->on_writable(*this);
}

void WebSocketSession::watch_reader() {
  if (reader_timer_ || !context_->output_full()) return;
  taken_bytes_ = written_bytes_ - context_->output_bytes();
  reader_timer_ = context_->arm(limits_.slow_reader_ns);
}

void WebSocketSession::check_reader() {
  if (!context_->output_full()) return;
  const uint64_t taken = written_bytes_ - context_->output_bytes();
  if (taken == taken_bytes_) return end(kCloseTryAgainLater, "the reader is too slow", net::CloseReason::deadline);
  watch_reader();
}

// Silence is followed by a ping, more silence by the end. While output is full or input paused nothing is read: that is no
// silence, and the pings of a pause only show that the connection is in use.
void WebSocketSession::keep_alive() {
  if (heard_ || paused_ || context_->output_full()) {
    if (paused_ && !context_->output_full()) send(Opcode::ping, {});
    heard_ = pinged_ = false;
  } else if (pinged_) {
    return end(kCloseGoingAway, "a ping was not answered", net::CloseReason::deadline);
  } else {
    send(Opcode::ping, {});
    pinged_ = true;
  }
  if (!closed_) keep_alive_timer_ = context_->arm(pinged_ ? limits_.pong_deadline_ns : limits_.ping_interval_ns);
}

void WebSocketSession::close(uint16_t code, std::string_view reason) {
  end(code, reason, net::CloseReason::session_closed);
}

void WebSocketSession::end(uint16_t code, std::string_view reason, net::CloseReason why) {
  if (closed_) return;
  append_frame(out_, Opcode::close, as_bytes(close_payload(code, reason)));
  write_out();
  closed_ = true;
  message_ = {};
  for (auto* timer : {&keep_alive_timer_, &message_timer_, &reader_timer_, &quota_timer_}) cancel(*timer);
  context_->close(why, reason);
}

void WebSocketSession::cancel(std::optional<net::SessionTimerId>& timer) {
  if (timer) context_->cancel(*timer);
  timer.reset();
}

// What else the loop has to say is the handler's.

void WebSocketSession::on_timer(net::SessionTimerId timer, net::SessionContext& context) {
  context_ = &context;
  if (closed_) return;
  if (keep_alive_timer_ == timer) {
    keep_alive_timer_.reset();
    keep_alive();
  } else if (message_timer_ == timer) {
    message_timer_.reset();
    end(kClosePolicy, "a message did not end in time", net::CloseReason::deadline);
  } else if (reader_timer_ == timer) {
    reader_timer_.reset();
    check_reader();
  } else if (quota_timer_ == timer) {
    quota_timer_.reset();
    go_on_paid();
  } else {
    handler_->on_timer(timer, *this);
  }
  flush();
}

void WebSocketSession::on_reply(RequestId request, const Reply& reply, net::SessionContext& context) {
  context_ = &context;
  if (!closed_) handler_->on_reply(request, reply, *this);
  flush();
}

void WebSocketSession::on_records(RequestId request, const net::RecordsRead& records, net::SessionContext& context) {
  context_ = &context;
  if (!closed_) handler_->on_records(request, records, *this);
  flush();
}

void WebSocketSession::on_worked(RequestId request, net::SessionContext& context) {
  context_ = &context;
  if (!closed_) handler_->on_worked(request, *this);
  flush();
}

void WebSocketSession::on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext& context) {
  context_ = &context;
  if (!closed_) handler_->on_advanced(subscription, durable_end, *this);
  flush();
}

void WebSocketSession::on_writable(net::SessionContext& context) {
  context_ = &context;
  if (closed_) return;
  cancel(reader_timer_);
  if (quota_timer_) return;  // told when it is paid
  told_full_ = false;
  handler_->on_writable(*this);
  flush();
}

void WebSocketSession::on_stalled(net::SessionContext& context) {
  context_ = &context;
  if (closed_) return;
  handler_->on_stalled(*this);
  end(kCloseTryAgainLater, "the reader is too slow", net::CloseReason::deadline);
}

void WebSocketSession::on_stop(net::SessionContext& context) {
  context_ = &context;
  if (closed_) return;
  handler_->on_stop(*this);
  end(kCloseGoingAway, "the server stops", net::CloseReason::shutdown);
}

void WebSocketSession::on_close(net::CloseReason reason) {
  closed_ = true;
  handler_->on_close(reason);
}

}  // namespace heptane::http
