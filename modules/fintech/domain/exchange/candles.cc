#include "modules/fintech/domain/exchange/candles.h"

#include <algorithm>
#include <utility>

namespace heptane::fintech::exchange {

namespace {

constexpr int64_t kCandleSecondNs = 1'000'000'000;
constexpr std::array<int64_t, kCandleWidths> kSeconds = {1, 60, 300, 900, 3'600, 86'400};
constexpr std::array<std::string_view, kCandleWidths> kNames = {"1s", "1m", "5m", "15m", "1h", "1d"};

Uint128 sum(Uint128 a, Uint128 b) {
  const Uint128 all = a + b;
  return all < a ? ~Uint128{0} : all;
}

void restate_sums(const TradeSums& was, const TradeSums& is, Candle& candle) {
  candle.volume = sum(candle.volume - std::min(candle.volume, was.volume), is.volume);
  candle.notional = sum(candle.notional - std::min(candle.notional, was.notional), is.notional);
  candle.trades = candle.trades - std::min(candle.trades, was.trades) + is.trades;
}

}  // namespace

std::string_view candle_width_name(CandleWidth width) { return kNames[static_cast<size_t>(width)]; }
int64_t candle_width_ns(CandleWidth width) { return kSeconds[static_cast<size_t>(width)] * kCandleSecondNs; }

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
  day = empty() ? day : std::max(day, day_);
  const Candle one{time - time % kCandleSecondNs, price, price, price, price, quantity, notional, 1};
  Candle* const second = rings_[0].last();
  if (second != nullptr && second->start == one.start && day_ == day) return exchange::add(one, *second);
  fold();
  if (empty() || day_ != day) day_begins_.push_back(one.start);
  if (day_begins_.size() > kCandlesKept) day_begins_.pop_front();
  day_ = day;
  rings_[0].push(one);
}

// The last second is in no wider candle yet.
void CandleSeries::restate(int64_t time, const TradeSums& was, const TradeSums& is) {
  constexpr int64_t kLateNs = 1'000'000;
  Ring& seconds = rings_[0];
  const size_t behind = row(CandleWidth::second).first_from(time + 1);
  if (behind > 0) {
    Candle& second = seconds.at(behind - 1);
    if (time - second.start < kCandleSecondNs + kLateNs) {
      restate_sums(was, is, second);
      time = second.start;
      if (behind == seconds.candles.size()) return;
    }
  }
  for (size_t n = 1; n < kCandleWidths; ++n)
    if (Candle* const candle = holding(static_cast<CandleWidth>(n), time)) restate_sums(was, is, *candle);
}

// Of a wider width the candle with this second in it, which is not the last one; null: it is not kept.
Candle* CandleSeries::holding(CandleWidth width, int64_t second) {
  const Row all = row(width);
  size_t behind = 0;
  if (width != CandleWidth::day) {
    const int64_t start = start_of(width, second);
    behind = all.first_from(start + 1);
    if (behind == 0 || all.at(behind - 1).start != start) return nullptr;
  } else {
    const auto later = std::upper_bound(day_begins_.begin(), day_begins_.end(), second);
    const auto from_end = static_cast<size_t>(day_begins_.end() - later);
    if (later == day_begins_.begin() || from_end >= all.size()) return nullptr;
    behind = all.size() - from_end;
  }
  Ring& ring = rings_[static_cast<size_t>(width)];
  return behind > ring.candles.size() ? nullptr : &ring.at(behind - 1);
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

bool CandleSeries::restore(std::array<Ring, kCandleWidths> rings, int64_t day, std::deque<int64_t> day_begins) {
  if (day_begins.size() > kCandlesKept || !std::is_sorted(day_begins.begin(), day_begins.end())) return false;
  for (const Ring& ring : rings) {
    if (ring.candles.size() > kCandlesKept || ring.first != 0) return false;
    if (ring.lost && ring.candles.size() != kCandlesKept) return false;
    for (size_t n = 1; n < ring.candles.size(); ++n)
      if (ring.candles[n].start < ring.candles[n - 1].start) return false;
  }
  rings_ = std::move(rings);
  day_ = day;
  day_begins_ = std::move(day_begins);
  return true;
}

}  // namespace heptane::fintech::exchange
