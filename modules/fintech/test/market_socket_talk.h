// A market data WebSocket without a connection, with the exchange behind it. Test support; one thread.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "modules/fintech/gateway/http/market_socket.h"
#include "modules/fintech/test/fix_world.h"

namespace heptane::fintech::exchange_http::test {

class FakeSocket final : public http::WebSocket {
 public:
  net::SessionContext& context() override { std::abort(); }  // nobody is asked whether he still may
  void send_text(std::string_view message) override {
    if (closed == 0) said.emplace_back(message);
  }
  void send_binary(Bytes) override { std::abort(); }
  bool output_full() override { return full; }
  void pause_input(bool) override {}
  void close(uint16_t code, std::string_view) override { closed = code; }

  std::vector<std::string> said;
  bool full = false;
  uint16_t closed = 0;
};

class SocketTalk {
 public:
  SocketTalk() {
    world_.open_market();
    handler_.on_open(socket);
  }
  ~SocketTalk() { handler_.on_close(net::CloseReason::peer_closed); }
  SocketTalk(const SocketTalk&) = delete;
  SocketTalk& operator=(const SocketTalk&) = delete;

  void say(std::string_view text) {
    handler_.on_text(text, socket);
    world_.run();
  }
  void say_binary(Bytes bytes) { handler_.on_binary(bytes, socket); }
  void pass(int64_t ns) { world_.pass(ns); }
  void set_full(bool full) {
    socket.full = full;
    if (!full) handler_.on_writable(socket);
    world_.run();
  }
  // `buy 1 100.0`, `sell 1 100.0`.
  void order(std::string_view side, std::string_view quantity, std::string_view price) {
    (void)world_.rig.enter(side == "buy" ? world_.rig.buy(quantity, price) : world_.rig.sell(quantity, price));
    world_.run();
  }

  FakeSocket socket;

 private:
  fixgate::test::FixWorld world_;
  MarketSocket handler_{*world_.feed, nullptr};
};

}  // namespace heptane::fintech::exchange_http::test
