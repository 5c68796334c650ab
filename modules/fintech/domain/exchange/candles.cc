#include "modules/fintech/domain/exchange/candles.h"

#include <algorithm>
#include <utility>

namespace heptane::fintech::exchange {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr std::array<int64_t, kCandleWidths> kSeconds = {1, 60, 300, 900, 3'600, 86'400};
constexpr std::array<std::string_view, kCandleWidths> kNames = {"1s", "1m", "5m", "15m", "1h", "1d"};

Uint128 sum(Uint128 a, Uint128 b) {
  const Uint128 all = a + b;
  return all < a ? ~Uint128{0} : all;
}

}  // namespace

std::string_view candle_width_name(CandleWidth width) { return kNames[static_cast<size_t>(width)]; }
int64_t candle_width_ns(CandleWidth width) { return kSeconds[static_cast<size_t>(width)] * kSecondNs; }

void add(const Candle& more, Candle& candle) {
  candle.high = std::max(candle.high, more.high);
  candle.low = std::min(candle.low, more.low);
  candle.close = more.close;
  candle.volume = sum(candle.volume, more.volume);
  candle.notional = sum(candle.notional, more.notional);
  candle.trades += more.trades;
}

Candle* CandleSeries::Ring::last() {
  return candles.empty() ? nullptr : &candles[(first + candles.size() - 1) % candles.size()];
}

void CandleSeries::Ring::push(const Candle& candle) {
  if (candles.size() < kCandlesKept) return candles.push_back(candle);
  candles[first] = candle;
  first = (first + 1) % candles.size();
  lost = true;
}

int64_t CandleSeries::start_of(CandleWidth width, int64_t time) const {
  return width == CandleWidth::day ? day_ : time - time % candle_width_ns(width);
}

void CandleSeries::add(int64_t time, int64_t day, int64_t price, uint64_t quantity, Uint128 notional) {
  const Candle one{time - time % kSecondNs, price, price, price, price, quantity, notional, 1};
  Candle* const second = rings_[0].last();
  if (second != nullptr && second->start == one.start && day_ == day) return exchange::add(one, *second);
  fold();
  day_ = day;
  rings_[0].push(one);
}

// The last second, into the wider ones.
void CandleSeries::fold() {
  const Candle* const second = rings_[0].last();
  if (second == nullptr) return;
  for (size_t n = 1; n < kCandleWidths; ++n) {
    Candle wider = *second;
    wider.start = start_of(static_cast<CandleWidth>(n), second->start);
    Candle* const last = rings_[n].last();
    if (last != nullptr && last->start == wider.start)
      exchange::add(wider, *last);
    else
      rings_[n].push(wider);
  }
}

// Of a wider width the last second is not in the ring yet: it belongs to the last candle or is one itself.
CandleSeries::Row CandleSeries::row(CandleWidth width) const {
  Row row{rings_[static_cast<size_t>(width)], {}, 0};
  row.count = row.ring.candles.size();
  if (width == CandleWidth::second || empty()) return row;
  Candle newest = rings_[0].at(rings_[0].candles.size() - 1);
  newest.start = start_of(width, newest.start);
  if (row.count > 0 && row.ring.at(row.count - 1).start == newest.start) {
    Candle whole = row.ring.at(--row.count);
    exchange::add(newest, whole);
    newest = whole;
  }
  row.newest = newest;
  return row;
}

size_t CandleSeries::Row::first_from(int64_t time) const {
  size_t low = 0;
  for (size_t high = size(); low < high;) {
    const size_t middle = (low + high) / 2;
    if (at(middle).start < time)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

std::vector<Candle> CandleSeries::list(CandleWidth width, int64_t from, int64_t to, size_t most, bool last) const {
  const Row all = row(width);
  size_t begin = all.first_from(from);
  size_t end = std::max(begin, all.first_from(to));
  if (last) begin = end - std::min(end - begin, most);
  end = std::min(end, begin + most);
  std::vector<Candle> found;
  found.reserve(end - begin);
  for (size_t n = begin; n < end; ++n) found.push_back(all.at(n));
  return found;
}

std::optional<int64_t> CandleSeries::kept_from(CandleWidth width) const {
  const Ring& ring = rings_[static_cast<size_t>(width)];
  return ring.lost ? std::optional(ring.at(0).start) : std::nullopt;
}

size_t CandleSeries::size() const {
  size_t all = 0;
  for (const Ring& ring : rings_) all += ring.candles.size();
  return all;
}

bool CandleSeries::restore(std::array<Ring, kCandleWidths> rings, int64_t day) {
  for (const Ring& ring : rings) {
    if (ring.candles.size() > kCandlesKept || ring.first != 0) return false;
    if (ring.lost && ring.candles.size() != kCandlesKept) return false;
    for (size_t n = 1; n < ring.candles.size(); ++n)
      if (ring.candles[n].start < ring.candles[n - 1].start) return false;
  }
  rings_ = std::move(rings);
  day_ = day;
  return true;
}

}  // namespace heptane::fintech::exchange
