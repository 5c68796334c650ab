#include "modules/fintech/machine/exchange/market_state.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kRingBytesMax = size_t{256} << 10;

struct SavedRing {
  bool lost = false;
  std::vector<Candle> candles;
};
template <class A, Same<SavedRing> S>
void fields(A& a, S& t) {
  a(t.lost, t.candles);
}
struct SavedCorrection {
  uint64_t trade = 0;
  LogTime time = 0;
};
template <class A, Same<SavedCorrection> S>
void fields(A& a, S& t) {
  a(t.trade, t.time);
}

SavedRing saved(const CandleSeries::Ring& ring) {
  SavedRing out;
  out.lost = ring.lost;
  out.candles.reserve(ring.candles.size());
  for (size_t n = 0; n < ring.candles.size(); ++n) out.candles.push_back(ring.at(n));
  return out;
}

}  // namespace

void MarketState::trade(uint32_t number, LogTime time, int64_t date, int64_t price, uint64_t quantity,
                        Uint128 notional) {
  if (!counts()) return;
  CandleSeries& series = row(number).candles;
  const size_t before = series.size();
  series.add(time, date * kDayNs, price, quantity, notional);
  candles_ += series.size() - before;
}

void MarketState::restate(uint32_t number, uint64_t trade, LogTime time, const TradeSums& was, uint64_t instead,
                          const TradeSums& is) {
  if (!counts()) return;
  if (const auto first = corrected_.find(trade); first != corrected_.end()) time = first->second;
  row(number).candles.restate(time, was, is);
  changed(number);
  if (instead != 0) corrected_.emplace(instead, time);
  if (corrected_.size() > kCorrectionsKept) corrected_.erase(corrected_.begin());
}

const CandleSeries& MarketState::candles(uint32_t number) const {
  static const CandleSeries kNone;
  return number <= rows_.size() ? rows_[number - 1].candles : kNone;
}

void MarketState::save(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(rows_.size()));
  for (const Row& row : rows_) {
    writer.le(row.sequence);
    writer.le(row.candles.day());
    const std::deque<int64_t>& days = row.candles.day_begins();
    writer.blob(packed(std::vector<int64_t>(days.begin(), days.end())).view());
    for (const CandleSeries::Ring& ring : row.candles.rings()) writer.blob(packed(saved(ring)).view());
  }
  std::vector<SavedCorrection> corrections;
  for (const auto& [trade, time] : corrected_) corrections.push_back({trade, time});
  writer.blob(packed(corrections).view());
}

Result<void> MarketState::restore(SnapshotReader& reader) {
  *this = MarketState();
  const auto rows = reader.le<uint32_t>();
  if (rows > kInstrumentsMax) reader.fail();
  for (uint32_t number = 1; number <= rows && !reader.failed(); ++number) {
    Row& added = row(number);
    added.sequence = reader.le<uint64_t>();
    const auto day = reader.le<LogTime>();
    const std::string days_bytes = reader.text(kRingBytesMax);
    const auto days = unpacked<std::vector<int64_t>>(as_bytes(days_bytes));
    if (!days) return Error{Errc::corrupt, "the exchange's trade dates do not read back"};
    std::array<CandleSeries::Ring, kCandleWidths> rings;
    for (CandleSeries::Ring& ring : rings) {
      const std::string bytes = reader.text(kRingBytesMax);
      auto read = unpacked<SavedRing>(as_bytes(bytes));
      if (!read) return Error{Errc::corrupt, "the exchange's candles do not read back"};
      ring.lost = read->lost;
      ring.candles = std::move(read->candles);
    }
    if (!added.candles.restore(std::move(rings), day, {days->begin(), days->end()})) reader.fail();
    candles_ += added.candles.size();
  }
  const std::string corrections_bytes = reader.text(kRingBytesMax);
  const auto corrections = unpacked<std::vector<SavedCorrection>>(as_bytes(corrections_bytes));
  if (!corrections || corrections->size() > kCorrectionsKept) reader.fail();
  for (const SavedCorrection& one : corrections.value_or(std::vector<SavedCorrection>()))
    corrected_.emplace(one.trade, one.time);
  if (reader.failed()) return Error{Errc::corrupt, "the exchange's market data does not read back"};
  return {};
}

}  // namespace heptane::fintech::exchange
