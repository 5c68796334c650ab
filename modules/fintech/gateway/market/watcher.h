// Who watches instruments: what a connection is told by the feed. The I/O thread's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "modules/fintech/machine/exchange/market_api.h"

namespace heptane::fintech::market {

using WatchId = uint64_t;  // never used again

// What is known of an instrument beside its levels.
struct Quote {
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint8_t quote_scale = 0;
  book::Phase phase = book::Phase::closed;
  std::optional<int64_t> last_price;
  std::vector<exchange::Candle> days;  // the last trade dates with trades, two at most; of who watches everything
  LogTime day = 0;                     // what the candle of the present trade date begins with
  friend bool operator==(const Quote&, const Quote&) = default;
};

// A trade that was busted is told as it was; of one that was corrected what is in its place, under a number of its own.
enum class TradeEvent : uint8_t { trade, busted, corrected };

// Of fintech.trades, without what is nobody's business.
struct Trade {
  TradeEvent event = TradeEvent::trade;
  Offset offset = 0;
  int64_t time_ms = 0;
  std::string trade_id;
  std::string symbol;
  std::string price;
  std::string quantity;
  std::string notional;
  std::string aggressor;  // buy, sell, call; of a trade
  std::string corrects;   // the number of the trade in whose place it is
};

class Watcher {
 public:
  Watcher() = default;
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  virtual ~Watcher() = default;
  // Whether there is room for one message more. After false it says so when there is: MarketFeed::resumed().
  virtual bool has_room() = 0;
  // The whole: first, and again when what changed meanwhile found no room.
  virtual void on_snapshot(WatchId watch, const Quote& quote, const exchange::Depth& depth) = 0;
  // From the sequence that it was told last to the one of `depth`.
  virtual void on_changes(WatchId watch, const Quote& quote, uint64_t from_sequence, const exchange::Depth& depth,
                          const std::vector<exchange::LevelChange>& changes) = 0;
  // Trades come from this offset of the stream on, each once.
  virtual void on_trades_from(WatchId watch, Offset next) = 0;
  virtual void on_trade(WatchId watch, const Trade& trade) = 0;
  // The same one again as it grows; `closed`: its time is over. It comes once more where a trade of it is put right before the next one.
  virtual void on_candle(WatchId watch, const Quote& quote, const exchange::Candle& candle, bool closed) = 0;
  // The watch is over: there is no such instrument, market data is not kept yet, the stream cannot be read.
  virtual void on_ended(WatchId watch, const Error& why) = 0;
  // So much was read of the stream for it alone.
  virtual void on_read(size_t bytes) = 0;
};

}  // namespace heptane::fintech::market
