// What the exchange keeps of its instruments for those who watch them: the sequence of what is shown of each book, and candles. State of
// the exchange machine, from version kMarketVersion of its logic on; the shard thread's.
//
// A sequence grows with every answer of the book, whether it changed what is shown or not: that costs apply() nothing else. Who asks with
// the sequence that he knows is told whether there is anything new. Bound: kCandlesKept candles of each width, 480 KB an instrument.
#pragma once

#include <deque>

#include "kernel/base/result.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/exchange/market_api.h"

namespace heptane::fintech::exchange {

class MarketState {
 public:
  // Of the running command.
  void begin(uint32_t version) { counts_ = version >= kMarketVersion; }
  // By the numbers of instruments.
  void changed(uint32_t number) {
    if (counts_) ++row(number).sequence;
  }
  // `date`: its trade date, in days.
  void trade(uint32_t number, LogTime time, int64_t date, int64_t price, uint64_t quantity, Uint128 notional);

  uint64_t sequence(uint32_t number) const { return number <= rows_.size() ? rows_[number - 1].sequence : 0; }
  const CandleSeries& candles(uint32_t number) const;

  bool empty() const { return rows_.empty(); }
  uint64_t memory_bytes() const { return candles_ * sizeof(Candle) + rows_.size() * sizeof(Row); }
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct Row {
    uint64_t sequence = 0;
    CandleSeries candles;
  };
  Row& row(uint32_t number) {
    if (number > rows_.size()) rows_.resize(number);
    return rows_[number - 1];
  }

  bool counts_ = false;
  std::deque<Row> rows_;
  uint64_t candles_ = 0;  // of all
};

}  // namespace heptane::fintech::exchange
