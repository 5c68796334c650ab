// Candles of one instrument: what was traded in each second, minute, five and fifteen minutes, hour and trade date, by log time. A width
// has candles only where there were trades.
//
// The last kCandlesKept of each width are kept. When a trade is taken back or
// corrected its candles' volume, notional and number follow; open, high, low and close cannot. A trade is added to the second that it falls in; when another second begins, the one
// before it goes into the wider ones, so that a trade costs one candle, and a second with trades five more. Sums that would not fit stay
// at their largest. Pure, deterministic; one owner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech::exchange {

enum class CandleWidth : uint8_t { second, minute, five_minutes, quarter, hour, day };
constexpr size_t kCandleWidths = 6;
constexpr size_t kCandlesKept = 1'024;
std::string_view candle_width_name(CandleWidth width);  // 1s 1m 5m 15m 1h 1d
// Nanoseconds; of a trade date that of one of 24 hours.
int64_t candle_width_ns(CandleWidth width);

struct Candle {
  int64_t start = 0;  // log time
  int64_t open = 0;   // prices
  int64_t high = 0;
  int64_t low = 0;
  int64_t close = 0;
  Uint128 volume = 0;    // in the instrument's quantities
  Uint128 notional = 0;  // in the quote asset's smallest units
  uint64_t trades = 0;
  friend bool operator==(const Candle&, const Candle&) = default;
};
// Of trades in a candle.
struct TradeSums {
  Uint128 volume = 0;
  Uint128 notional = 0;
  uint64_t trades = 0;
};
// `more` comes behind what is in the candle.
void add(const Candle& more, Candle& candle);

class CandleSeries {
 public:
  // The trade date's candle begins with `day`. Times do not go back; a trade date that does (another calendar) is the last one.
  void add(int64_t time, int64_t day, int64_t price, uint64_t quantity, Uint128 notional);
  // What was traded then is something else now. Candles that are not kept any more are passed over. A time up to a millisecond late still
  // finds the second before where its own has no candle.
  void restate(int64_t time, const TradeSums& was, const TradeSums& is);

  // Those of [from, to) that are kept, at most so many: the first of them, or the last; in the order of their times.
  std::vector<Candle> list(CandleWidth width, int64_t from, int64_t to, size_t most, bool last) const;
  // Earlier ones are not kept any more. None: there are all.
  std::optional<int64_t> kept_from(CandleWidth width) const;
  size_t size() const;  // of all widths
  bool empty() const { return rings_[0].candles.empty(); }

  // State, for snapshots.
  struct Ring {
    std::vector<Candle> candles;  // from `first` on, around the end
    size_t first = 0;
    bool lost = false;  // some are not there any more

    Candle* last();
    const Candle& at(size_t n) const { return candles[(first + n) % candles.size()]; }
    Candle& at(size_t n) { return candles[(first + n) % candles.size()]; }
    void push(const Candle& candle);
  };
  const std::array<Ring, kCandleWidths>& rings() const { return rings_; }
  int64_t day() const { return day_; }
  const std::deque<int64_t>& day_begins() const { return day_begins_; }
  // False: they cannot be candles of one instrument.
  bool restore(std::array<Ring, kCandleWidths> rings, int64_t day, std::deque<int64_t> day_begins);

 private:
  // All of a width in their order.
  struct Row {
    const Ring& ring;
    std::optional<Candle> newest;  // behind the first `count` of the ring
    size_t count = 0;

    size_t size() const { return count + (newest ? 1 : 0); }
    const Candle& at(size_t n) const { return n < count ? ring.at(n) : *newest; }
    size_t first_from(int64_t time) const;
  };

  Row row(CandleWidth width) const;
  int64_t start_of(CandleWidth width, int64_t time) const;
  void fold();
  Candle* holding(CandleWidth width, int64_t second);

  std::array<Ring, kCandleWidths> rings_;
  int64_t day_ = 0;                 // of the last second
  std::deque<int64_t> day_begins_;  // the first seconds of the last trade dates, as many as are kept
};

}  // namespace heptane::fintech::exchange
