// Trades for who watches them: one reader at the end of fintech.trades for all, and one more for each watcher who has fallen behind, which
// reads on from where that one stands until it has caught up. What those read is theirs to pay: Watcher::on_read().
//
// Invariant: of the instruments that a watcher watches every trade from the watch's first offset on reaches it once and in the stream's
// order. Nothing is kept for who has no room but an offset.
// Bounds: kLateReadsMax reads of those who are behind are under way at a time, each in its turn; after kFailuresMax reads in vain the
// watches that need what cannot be read are over. The I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/net/session.h"
#include "kernel/streams/api.h"
#include "modules/fintech/gateway/market/watcher.h"

namespace heptane::fintech::market {

class TradeTape {
 public:
  // Request ids of its reads are below it.
  static constexpr RequestId kReads = RequestId{1} << 40;
  static constexpr size_t kLateReadsMax = 2;
  static constexpr size_t kFailuresMax = 10;

  // It goes on where it stood when it was closed.
  void open(net::SessionContext& context);
  // Nothing that was asked for is answered any more.
  void close();

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
  // Watches that cannot go on, each once: to be ended.
  std::vector<WatchId> take_lost() { return std::exchange(lost_, {}); }

 private:
  struct Watch {
    Watcher* who = nullptr;
    std::string symbol;
    std::optional<Offset> from;  // as it was asked for
    Offset next = 0;
    bool located = false;
  };
  struct Reader {
    size_t watches = 0;
    bool behind = false;
    Offset next = 0;        // behind: where it goes on
    RequestId reading = 0;  // 0: no read is under way
    Offset asked = 0;       // ... from here on
    bool waits = false;     // for its turn to read
    bool has_room = true;   // as it was last seen
    size_t failures = 0;    // reads in vain, one after the other
  };
  using Watches = std::map<Watcher*, std::vector<WatchId>>;

  void locate(WatchId id, Watch& watch);
  void read_on();
  void catch_up(Watcher& who, Reader& reader);
  bool wants_to_read(Watcher& who, Reader& reader);
  void read_late();
  RequestId read(Offset from);
  void take_live(const net::RecordsRead& records);
  void take_late(Watcher& who, Reader& reader, const net::RecordsRead& records);
  void tell_late(Watcher& who, Reader& reader, const net::RecordsRead& records);
  void fail_live();
  void fail_late(Watcher& who, Reader& reader);
  const std::vector<WatchId>* ids_of(std::string_view symbol, Watcher& who) const;
  void tell(const Trade& trade);
  bool tell(Watcher& who, Reader& reader, const std::vector<WatchId>& ids, const Trade& trade);

  net::SessionContext* context_ = nullptr;
  PartitionId partition_ = kNoPartition;
  bool live_ = false;  // next_ is where who is not behind stands
  Offset next_ = 0;
  Offset durable_end_ = 0;
  RequestId reading_ = 0;
  RequestId last_read_ = 0;
  net::SubscriptionId subscription_ = 0;
  bool stuck_ = false;
  size_t failures_ = 0;  // of live reads, one after the other
  std::map<WatchId, Watch> watches_;
  std::map<std::string, Watches, std::less<>> by_symbol_;  // of the same
  std::map<Watcher*, Reader> readers_;
  std::deque<Watcher*> turns_;               // who waits to read; some may be gone
  std::map<RequestId, Watcher*> late_ones_;  // reads that are under way; likewise
  std::vector<WatchId> lost_;
};

// None: it is no record of a trade, nor of one that was put right.
std::optional<Trade> trade_of(Offset offset, int64_t time_ms, std::string_view record);

}  // namespace heptane::fintech::market
