// Books, trades and candles over one WebSocket: a text message is a JSON object, in both directions.
//
//   > {"op":"subscribe","channel":"book","symbol":"BTC-USD","levels":10,"id":1}      unsubscribe: the same members
//   < {"type":"subscribed","channel":"book","symbol":"BTC-USD","levels":10,"id":1}
//   < {"type":"snapshot","channel":"book","symbol":"BTC-USD","levels":10,"sequence":7,"phase":..,"bids":[..],"asks":[..]}
//   < {"type":"increment", .. ,"from_sequence":7,"sequence":9,"changes":[{"action":"new","side":"buy","price":..}]}
//
// A book's increment begins with the sequence that was told last; a snapshot may come at any time, when the reader was slow, and stands
// for all before it. What is wrong is answered by a message of type `error`, and the connection goes on. Limits: kWatchesMax
// subscriptions, 4 KiB a message; a reader that takes nothing for 20 seconds is closed. Whoever may not read market data any more is
// closed within a second: 4403. The I/O thread's.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "kernel/net/http/json_writer.h"
#include "kernel/net/http/websocket.h"
#include "modules/fintech/gateway/market/feed.h"

namespace heptane::fintech::exchange_http {

class MarketSocket final : public http::WebSocketHandler, private market::Watcher {
 public:
  static constexpr size_t kInputBytes = 4'096;

  // `standing`: whether who asked may still do it; null: nobody is asked. The feed outlives it.
  MarketSocket(market::MarketFeed& feed, std::function<bool()> standing)
      : feed_(feed), standing_(std::move(standing)) {}

  void on_open(http::WebSocket& socket) override;
  void on_text(std::string_view message, http::WebSocket& socket) override;
  void on_binary(Bytes message, http::WebSocket& socket) override;
  void on_writable(http::WebSocket& socket) override;
  void on_timer(net::SessionTimerId timer, http::WebSocket& socket) override;
  void on_close(net::CloseReason reason) override;

 private:
  enum class Channel : uint8_t { book, trades, candles };
  struct Wanted {
    bool subscribes = true;
    Channel channel = Channel::book;
    std::string symbol;
    uint32_t levels = 0;                                          // of a book
    exchange::CandleWidth width = exchange::CandleWidth::minute;  // of candles
    std::optional<Offset> from;                                   // of trades
    std::string id;                                               // JSON, as it came; empty: none
    std::string key() const;
  };

  // market::Watcher
  bool has_room() override;
  void on_snapshot(market::WatchId watch, const market::Quote& quote, const exchange::Depth& depth) override;
  void on_changes(market::WatchId watch, const market::Quote& quote, uint64_t from_sequence,
                  const exchange::Depth& depth, const std::vector<exchange::LevelChange>& changes) override;
  void on_trades_from(market::WatchId watch, Offset next) override;
  void on_trade(market::WatchId watch, const market::Trade& trade) override;
  void on_candle(market::WatchId watch, const market::Quote& quote, const exchange::Candle& candle,
                 bool closed) override;
  void on_ended(market::WatchId watch, const Error& why) override;
  void on_read(size_t bytes) override { socket_->charge(bytes); }

  // `id`: of the message, as soon as it is known, whatever else is wrong.
  static Result<Wanted> wanted_of(std::string message, std::string& id);
  void subscribe(const Wanted& wanted);
  void unsubscribe(const Wanted& wanted);
  http::JsonWriter begin(std::string_view type, const Wanted& wanted) const;
  void say(http::JsonWriter& message);
  void answer(std::string_view type, const Wanted& wanted);
  void refuse(const Error& error, const std::string& id);
  const Wanted& wanted(market::WatchId watch) const { return watches_.at(watch); }
  bool stands();

  market::MarketFeed& feed_;
  const std::function<bool()> standing_;
  http::WebSocket* socket_ = nullptr;
  net::SessionTimerId look_again_ = 0;
  std::map<market::WatchId, Wanted> watches_;
  std::map<std::string, market::WatchId> by_key_;
};

}  // namespace heptane::fintech::exchange_http
