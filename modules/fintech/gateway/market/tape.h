// Trades for who watches them: one reader at the end of fintech.trades for all, and one more for each watcher who has fallen behind, which
// reads on from where that one stands until it has caught up.
//
// Invariant: of the instruments that a watcher watches every trade from the watch's first offset on reaches it once and in the stream's
// order. Nothing is kept for who has no room but an offset. The I/O thread's.
#pragma once

#include <map>
#include <set>

#include "kernel/net/session.h"
#include "kernel/streams/api.h"
#include "modules/fintech/gateway/market/watcher.h"

namespace heptane::fintech::market {

class TradeTape {
 public:
  // Request ids of its reads are below it.
  static constexpr RequestId kReads = RequestId{1} << 40;

  void open(net::SessionContext& context) { context_ = &context; }
  void close() { context_ = nullptr; }

  void watch(WatchId id, Watcher& who, const std::string& symbol, std::optional<Offset> from);
  void unwatch(WatchId id);
  void resumed(Watcher& who);
  bool empty() const { return watches_.empty(); }
  // Whether it does not know where the stream ends: then the feed asks, and tells. None: there is no such stream yet.
  bool wants_end() const { return !watches_.empty() && (!live_ || partition_ == kNoPartition); }
  void set_end(const std::optional<streams::PartitionInfo>& partition);

  void on_records(RequestId request, const net::RecordsRead& records);
  void on_advanced(net::SubscriptionId subscription, Offset durable_end);
  // What found no room here is tried again by go_on().
  bool is_stuck() const { return stuck_; }
  void go_on();

 private:
  struct Watch {
    Watcher* who = nullptr;
    std::string symbol;
    std::optional<Offset> from;  // as it was asked for
    Offset next = 0;
    bool located = false;
  };
  struct Reader {
    std::set<WatchId> watches;
    bool behind = false;
    Offset next = 0;        // behind: where it goes on
    RequestId reading = 0;  // 0: no read is under way
    bool has_room = true;   // as it was last seen
  };

  void locate(WatchId id, Watch& watch);
  void read_on();
  void catch_up(Watcher& who, Reader& reader);
  RequestId read(Offset from);
  void take_live(const net::RecordsRead& records);
  void take_late(Watcher& who, Reader& reader, const net::RecordsRead& records);
  void tell(const Trade& trade);
  bool tell(Watcher& who, Reader& reader, const Trade& trade);

  net::SessionContext* context_ = nullptr;
  PartitionId partition_ = kNoPartition;
  bool live_ = false;  // next_ is where who is not behind stands
  Offset next_ = 0;
  Offset durable_end_ = 0;
  RequestId reading_ = 0;
  RequestId last_read_ = 0;
  net::SubscriptionId subscription_ = 0;
  bool stuck_ = false;
  std::map<WatchId, Watch> watches_;
  std::map<Watcher*, Reader> readers_;
};

// None: it is no record of a trade.
std::optional<Trade> trade_of(Offset offset, int64_t time_ms, std::string_view record);

}  // namespace heptane::fintech::market
