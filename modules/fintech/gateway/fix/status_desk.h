// Phases of instruments over FIX: SecurityStatusRequest(e) answered by f, TradingSessionStatusRequest(g) by h. FIX 4.4 volume 3.
//
// Phases are an instrument's own, and h has no instrument: each is a trading session by the name of its symbol. A request is answered by
// the phase that is there, and with 263=1 by one message more, with 325=Y, whenever it is another: as of what is synced, and conflated as
// books are (feed.h). Who was slow is told the phase that is there when there is room. Nothing is logged.
//
// Limits: kRequestsMax requests of a connection. The I/O thread's.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "modules/fintech/gateway/fix/market_desk.h"

namespace heptane::fintech::fixgate {

enum StatusTag : int32_t {
  kSecurityStatusReqID = 324,
  kUnsolicitedIndicator = 325,
  kSecurityTradingStatus = 326,
  kTradSesReqID = 335,
  kTradingSessionID = 336,
  kTradSesStatus = 340,
  kTradSesStatusRejReason = 567,
};

class StatusDesk final : private market::Watcher {
 public:
  static constexpr size_t kRequestsMax = 128;

  // Both outlive it.
  StatusDesk(market::MarketFeed& feed, DeskHost& host) : feed_(feed), host_(host) {}
  ~StatusDesk() override { feed_.leave(*this); }

  // A valid e or g.
  void on_request(const fix::Message& message);
  void resumed() { feed_.resumed(*this); }

 private:
  enum class Of : uint8_t { instrument, session };  // f, h
  // Ids of e and of g are not each other's.
  using Key = std::pair<Of, std::string>;
  struct Request {
    Key key;
    std::string symbol;
    bool stays = false;
    std::optional<book::Phase> told;
  };

  // market::Watcher
  bool has_room() override { return host_.desk_has_room(); }
  void on_snapshot(market::WatchId watch, const market::Quote& quote, const exchange::Depth& depth) override;
  void on_changes(market::WatchId watch, const market::Quote& quote, uint64_t, const exchange::Depth&,
                  const std::vector<exchange::LevelChange>&) override;
  void on_trades_from(market::WatchId, Offset) override {}
  void on_trade(market::WatchId, const market::Trade&) override {}
  void on_candle(market::WatchId, const market::Quote&, const exchange::Candle&, bool) override {}
  void on_ended(market::WatchId watch, const Error& why) override;
  void on_read(size_t) override {}

  void begin(Request request);
  void end(const Key& key);
  // `unknown`: there is no such instrument.
  void refuse(const Request& request, bool unknown, const std::string& text);
  void say(Request& request, const market::Quote& quote);
  void ask_for_a_session(const fix::Message& message);

  market::MarketFeed& feed_;
  DeskHost& host_;
  std::map<market::WatchId, Request> requests_;
  std::map<Key, market::WatchId> watches_;  // of the same
};

}  // namespace heptane::fintech::fixgate
