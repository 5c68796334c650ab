// The last trades of each firm, a row for each of its sides, and the requests for them over FIX that are being answered. State of the
// exchange machine; the shard thread's.
//
// Invariant: a firm's rows are in the order of their trades; those that were made first go first. Bounds: kOfAFirm rows of a firm, and no
// more than its part of kOfAll, which all firms share alike; kCapturesMax requests at a time, kCapturesOfSession of a session, of
// kCapturedMax rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/exchange/fix_api.h"

namespace heptane::fintech::exchange {

struct FirmTrade {
  uint64_t trade = 0;
  uint64_t exec = 0;  // ExecID of its report
  uint64_t order = 0;
  std::string client_id;  // as its report had it
  uint32_t account = 0;
  uint32_t instrument = 0;
  book::Side side = book::Side::buy;
  int64_t price = 0;
  uint64_t quantity = 0;
  Uint128 fee = 0;
  Uint128 rebate = 0;
  LogTime time = 0;
  int64_t date = 0;            // trade date
  uint64_t corrects_exec = 0;  // the ExecID in whose place it is; 0: none
  bool busted = false;
  uint64_t instead = 0;  // busted: the trade in its place; 0: none
};

// A TradeCaptureReportRequest(AD) that is being answered.
struct FixCapture {
  uint32_t session = 0;
  uint32_t firm = 0;
  std::string request_id;
  uint8_t type = 0;  // TradeRequestType(569), a character
  std::string symbol;
  uint32_t instrument = 0;  // 0: all
  std::optional<book::Side> side;
  uint64_t order = 0;     // 0: all
  std::string client_id;  // empty: all
  FixTrades trades;
  uint64_t cursor = 0;  // rows from here on are still to be looked at, up to `behind`
  uint64_t behind = 0;
  std::vector<FirmTrade> found;
  uint32_t told = 0;  // of them
  bool complete() const { return cursor >= behind; }
};

class FirmTrades {
 public:
  static constexpr size_t kOfAFirm = 65'536;
  static constexpr size_t kOfAll = size_t{1} << 19;
  static constexpr size_t kCapturesMax = 64;
  static constexpr size_t kCapturesOfSession = 2;
  static constexpr size_t kCapturedMax = 1'000;

  // Rows are numbered from 0 on; those before `first` are not kept any more.
  struct Rows {
    uint64_t first = 0;
    int64_t last_date_gone = INT64_MIN;  // the latest trade date of those
    std::deque<FirmTrade> rows;
    uint64_t behind() const { return first + rows.size(); }
  };

  bool empty() const { return firms_.empty() && captures_.empty() && next_capture_ == 1; }
  bool keeps_any() const { return !firms_.empty(); }
  // `firms`: so many there are.
  void add(uint32_t firm, size_t firms, FirmTrade trade);
  // Nothing, if it is not kept.
  void bust(uint32_t firm, uint64_t trade, uint64_t instead);
  // A row of it, if it is kept.
  const FirmTrade* find(uint32_t firm, uint64_t trade) const;
  // Null: none is kept.
  const Rows* of(uint32_t firm) const;
  // Up to this trade date not all of the firm's trades are kept: others came, or it was before any were. INT64_MIN: all are.
  int64_t not_all_upto(uint32_t firm) const;

  std::map<uint64_t, FixCapture>& captures() { return captures_; }
  const std::map<uint64_t, FixCapture>& captures() const { return captures_; }
  // Its number.
  uint64_t begin(FixCapture capture);

  uint64_t memory_bytes() const;
  void save(SnapshotWriter& writer) const;
  void restore(SnapshotReader& reader);

 private:
  static void drop_first(Rows& rows);

  std::map<uint32_t, Rows> firms_;
  size_t rows_ = 0;                       // of all
  int64_t last_date_unkept_ = INT64_MIN;  // of the first one that was kept, where there had been others before it
  std::map<uint64_t, FixCapture> captures_;
  uint64_t next_capture_ = 1;
};

template <class A, Same<FirmTrade> S>
void fields(A& a, S& t) {
  a(t.trade, t.exec, t.order, t.client_id, t.account, t.instrument, t.side, t.price, t.quantity, t.fee, t.rebate);
  a(t.time, t.date, t.corrects_exec, t.busted, t.instead);
}
template <class A, Same<FixCapture> S>
void fields(A& a, S& t) {
  a(t.session, t.firm, t.request_id, t.type, t.symbol, t.instrument, t.side, t.order, t.client_id, t.trades);
  a(t.cursor, t.behind, t.found, t.told);
}

}  // namespace heptane::fintech::exchange
