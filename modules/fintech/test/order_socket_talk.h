// A WebSocket of orders without its frames, with the exchange behind it. Test support; one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "modules/fintech/gateway/http/order_socket.h"
#include "modules/fintech/test/fix_world.h"

namespace heptane::fintech::exchange_http::test {

// What one connection has said and been told; outlives it.
struct Heard {
  std::vector<std::string> said;
  uint16_t closed = 0;
  bool paused = false;
  bool full = false;
};

// Texts are the bytes of one call each.
class TextSession final : public net::Session, private http::WebSocket {
 public:
  TextSession(std::unique_ptr<OrderSocket> handler, Heard& heard) : handler_(std::move(handler)), heard_(heard) {}

  void on_open(net::SessionContext& context) override {
    context_ = &context;
    handler_->on_open(*this);
  }
  size_t on_bytes(Bytes input, net::SessionContext&) override {
    if (heard_.closed == 0) handler_->on_text(as_text(input), *this);
    return input.size();
  }
  void on_reply(RequestId request, const Reply& reply, net::SessionContext&) override {
    handler_->on_reply(request, reply, *this);
  }
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) override {
    handler_->on_records(request, records, *this);
  }
  void on_advanced(net::SubscriptionId subscription, Offset end, net::SessionContext&) override {
    handler_->on_advanced(subscription, end, *this);
  }
  void on_writable(net::SessionContext&) override { handler_->on_writable(*this); }
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override { handler_->on_timer(timer, *this); }
  void on_close(net::CloseReason reason) override { handler_->on_close(reason); }

 private:
  net::SessionContext& context() override { return *context_; }
  void send_text(std::string_view message) override {
    if (heard_.closed == 0) heard_.said.emplace_back(message);
  }
  void send_binary(Bytes) override {}
  bool output_full() override { return heard_.full; }
  void pause_input(bool paused) override { heard_.paused = paused; }
  void close(uint16_t code, std::string_view) override { heard_.closed = code; }

  const std::unique_ptr<OrderSocket> handler_;
  Heard& heard_;
  net::SessionContext* context_ = nullptr;
};

// Alpha's.
class TextProtocol final : public net::Protocol {
 public:
  TextProtocol(Heard& heard, OrderSocket::Rights rights) : heard_(heard), rights_(std::move(rights)) {}
  std::string_view name() const override { return "texts"; }
  std::unique_ptr<net::Session> open(const net::Address&) override {
    return std::make_unique<TextSession>(std::make_unique<OrderSocket>("alpha", Principal{}, rights_), heard_);
  }
  size_t message_limit_bytes() const override { return OrderSocket::kInputBytes; }

 private:
  Heard& heard_;
  const OrderSocket::Rights rights_;
};

class OrderTalk {
 public:
  explicit OrderTalk(OrderSocket::Rights rights = {}) : protocol_(heard, std::move(rights)) {
    world.open_market();
    line_ = &world.open(protocol_);
    world.run();
  }
  void say(std::string_view text) {
    ask(text);
    world.run();
  }
  // Without its answer.
  void ask(std::string_view text) { line_->send(text); }
  void set_full(bool full) {
    heard.full = full;
    if (!full) line_->session().on_writable(*line_);
    world.run();
  }
  // Beta's, `sell 1 100.0`.
  void order(std::string_view side, std::string_view quantity, std::string_view price) {
    (void)world.rig.enter(side == "buy" ? world.rig.buy(quantity, price, "beta") : world.rig.sell(quantity, price));
    world.run();
  }

  Heard heard;
  fixgate::test::FixWorld world;

 private:
  TextProtocol protocol_;
  fixgate::test::Line* line_ = nullptr;
};

}  // namespace heptane::fintech::exchange_http::test
