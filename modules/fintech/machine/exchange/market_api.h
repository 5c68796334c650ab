// Market data of the exchange as queries and rows: what is shown of books, and candles. Anonymous. Any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "modules/fintech/domain/exchange/candles.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

constexpr uint32_t kMarketVersion = 2;        // of the machine's logic: from then on sequences and candles are counted
constexpr size_t kMarketAsksMax = 256;        // in one query
constexpr size_t kMarketLevelsMax = 4'000;    // that one answer looks at; then the rest is asked again
constexpr uint64_t kNoSequence = UINT64_MAX;  // nothing is known
constexpr LogTime kAllTimes = std::numeric_limits<LogTime>::max();

struct CandlesWanted {
  CandleWidth width = CandleWidth::second;
  LogTime from = kAllTimes;  // those that begin then or later, and in any case the last one
};
struct MarketAsk {
  std::string symbol;
  uint64_t known = kNoSequence;  // with this sequence there is no row
  uint32_t levels = 0;           // of each side, at most kDepthLevelsMax
  std::vector<CandlesWanted> candles;
  bool days = false;  // the last two trade dates with trades
};
// Answered in their order as far as one answer goes: Reply numbers say how many.
struct MarketQuery {
  std::vector<MarketAsk> asks;
  LogTime now = 0;  // who asks says it: which trade date it is goes by it
};
struct CandlesSeen {
  CandleWidth width = CandleWidth::second;
  std::vector<Candle> candles;  // in the order of their times
};
struct MarketRow {
  uint32_t ask = 0;     // its place in the query
  bool listed = false;  // otherwise there is no such instrument
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint8_t quote_scale = 0;
  book::Phase phase = book::Phase::closed;
  bool working = false;  // it may change without a record in a stream
  std::optional<int64_t> last_price;
  Depth depth;
  std::vector<CandlesSeen> candles;  // in the order of the question
  std::vector<Candle> days;
  LogTime day = 0;  // what the candle of the present trade date begins with: those before it are over
  LogTime day_ends = 0;
};

struct CandlesQuery {
  std::string symbol;
  CandleWidth width = CandleWidth::minute;
  std::optional<LogTime> from;  // none: the last ones before `to`
  LogTime to = kAllTimes;
  uint32_t most = 0;
  LogTime now = 0;  // likewise
};
struct CandlesRow {
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint8_t quote_scale = 0;
  std::optional<LogTime> kept_from;  // earlier ones are not kept any more
  std::vector<Candle> candles;
  LogTime day = 0;  // likewise
};

template <>
inline constexpr uint8_t kLast<CandleWidth> = kCandleWidths - 1;

template <class A, Same<Depth> S>
void fields(A& a, S& t) {
  a(t.sequence, t.bids, t.asks);
}
template <class A, Same<Candle> S>
void fields(A& a, S& t) {
  a(t.start, t.open, t.high, t.low, t.close, t.volume, t.notional, t.trades);
}
template <class A, Same<CandlesWanted> S>
void fields(A& a, S& t) {
  a(t.width, t.from);
}
template <class A, Same<MarketAsk> S>
void fields(A& a, S& t) {
  a(t.symbol, t.known, t.levels, t.candles, t.days);
}
template <class A, Same<MarketQuery> S>
void fields(A& a, S& t) {
  a(t.asks, t.now);
}
template <class A, Same<CandlesSeen> S>
void fields(A& a, S& t) {
  a(t.width, t.candles);
}
template <class A, Same<MarketRow> S>
void fields(A& a, S& t) {
  a(t.ask, t.listed, t.price_scale, t.quantity_scale, t.quote_scale, t.phase, t.working, t.last_price, t.depth,
    t.candles, t.days, t.day, t.day_ends);
}
template <class A, Same<CandlesQuery> S>
void fields(A& a, S& t) {
  a(t.symbol, t.width, t.from, t.to, t.most, t.now);
}
template <class A, Same<CandlesRow> S>
void fields(A& a, S& t) {
  a(t.price_scale, t.quantity_scale, t.quote_scale, t.kept_from, t.candles, t.day);
}

}  // namespace heptane::fintech::exchange
