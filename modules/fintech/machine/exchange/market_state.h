// What the exchange keeps of its instruments for those who watch them: the sequence of what is shown of each book, and candles. State of
// the exchange machine, from version kMarketVersion of its logic on; the shard thread's.
//
// A sequence grows with every answer of the book, whether it changed what is shown or not: that costs apply() nothing else. Who asks with
// the sequence that he knows is told whether there is anything new. Bounds: kCandlesKept candles of each width, at 96 bytes 576 KiB an
// instrument; when a trade was made that is in the place of a corrected one is known of the last kCorrectionsKept, and only their candles
// follow when they are put right once more.
#pragma once

#include <deque>
#include <map>

#include "kernel/base/result.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/exchange/market_api.h"

namespace heptane::fintech::exchange {

class MarketState {
 public:
  static constexpr size_t kCorrectionsKept = 1'024;

  // Of the running command.
  void begin(uint32_t version) { version_ = version; }
  // Since the program began, and as far as can be told: a command says which version of the logic is in force.
  enum class Kept : uint8_t { unknown, no, yes };
  Kept kept() const {
    if (version_ >= kMarketVersion || !rows_.empty()) return Kept::yes;
    return version_ == 0 ? Kept::unknown : Kept::no;
  }
  // By the numbers of instruments.
  void changed(uint32_t number) {
    if (counts()) ++row(number).sequence;
  }
  // `date`: its trade date, in days.
  void trade(uint32_t number, LogTime time, int64_t date, int64_t price, uint64_t quantity, Uint128 notional);
  // A trade of `time` (log time, up to a millisecond late) is taken back: 0, or corrected: the trade in its place.
  void restate(uint32_t number, uint64_t trade, LogTime time, const TradeSums& was, uint64_t instead,
               const TradeSums& is);

  uint64_t sequence(uint32_t number) const { return number <= rows_.size() ? rows_[number - 1].sequence : 0; }
  const CandleSeries& candles(uint32_t number) const;

  bool empty() const { return rows_.empty(); }
  uint64_t memory_bytes() const {
    return candles_ * sizeof(Candle) + rows_.size() * sizeof(Row) + corrected_.size() * kCorrectionBytes;
  }
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  static constexpr uint64_t kCorrectionBytes = 64;
  struct Row {
    uint64_t sequence = 0;
    CandleSeries candles;
  };
  Row& row(uint32_t number) {
    if (number > rows_.size()) rows_.resize(number);
    return rows_[number - 1];
  }

  bool counts() const { return version_ >= kMarketVersion; }

  uint32_t version_ = 0;  // that was seen last; 0: none yet. No state
  std::deque<Row> rows_;
  std::map<uint64_t, LogTime> corrected_;  // by trades in the place of others: when those were made
  uint64_t candles_ = 0;                   // of all
};

}  // namespace heptane::fintech::exchange
