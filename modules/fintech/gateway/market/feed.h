// Market data of one I/O thread: who watches which instruments, and what each is told when. Connections of every protocol share it.
//
// The feed is a session without a peer. It waits for records of fintech.orders and fintech.market, and asks the exchange no sooner than
// kConflateNs after its last question what there is of the instruments that are watched: what is shown of their books, and the last
// candles. Who watches is told what differs from what the feed knew before: from one sequence to the next without a gap. Answers are as of
// what is synced.
//
// Who has no room is told nothing of a book, and the whole again when there is: nothing is kept for him. Of candles what he has missed is
// asked for again, from the one that he was told last; trades are the tape's. One question is under way at a time, of kMarketAsksMax instruments and kMarketLevelsMax levels.
// Nobody is called back within watch_*(); who is called back may watch more and end watches, but not go. The I/O thread's.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/net/session.h"
#include "modules/fintech/gateway/market/tape.h"
#include "modules/fintech/gateway/market/watcher.h"

namespace heptane::fintech::market {

constexpr int64_t kConflateNs = 10'000'000;
constexpr size_t kWatchesMax = 256;  // of one connection; what a connection says of it is its own affair

class MarketFeed {
 public:
  MarketFeed() : residents_(*this) {}
  MarketFeed(const MarketFeed&) = delete;
  MarketFeed& operator=(const MarketFeed&) = delete;

  // The best `levels` of each side, at most kDepthLevelsMax. `everything`: told too when no level changed but last price or trade dates.
  WatchId watch_book(Watcher& who, const std::string& symbol, uint32_t levels, bool everything = false);
  // From an offset of fintech.trades on; none: those that are synced from now on.
  WatchId watch_trades(Watcher& who, const std::string& symbol, std::optional<Offset> from = std::nullopt);
  WatchId watch_candles(Watcher& who, const std::string& symbol, exchange::CandleWidth width);
  void unwatch(WatchId id);
  // It is told nothing any more.
  void leave(Watcher& who);
  // There is room again.
  void resumed(Watcher& who);
  size_t watches(const Watcher& who) const;

  // Opens the session without a peer.
  net::Protocol& residents() { return residents_; }

 private:
  enum class Kind : uint8_t { book, trades, candles };
  struct Watch {
    WatchId id = 0;
    Watcher* who = nullptr;  // null: it is over
    Kind kind = Kind::book;
    std::string symbol;
    // trades
    std::optional<Offset> from;
    // book
    bool told = false;  // it has the whole
    uint32_t levels = 0;
    bool everything = false;
    // candles
    exchange::CandleWidth width = exchange::CandleWidth::second;
    std::optional<exchange::Candle> last;  // that was told
    bool closed = false;                   // ... so
    bool behind = false;  // there was no room: nothing is told before what was missed is asked for and came
    bool asks = false;    // there is again
    // An answer whose question began there has all that it has not.
    bool is_served(LogTime from) const { return !behind || (asks && (!last || from <= last->start)); }
  };
  // The best so many levels, for all who watch these.
  struct View {
    bool known = false;
    bool days = false;  // somebody watches everything
    exchange::Depth depth;
    std::vector<WatchId> watches;
  };
  struct CandleView {
    LogTime from = exchange::kAllTimes;
    std::optional<exchange::Candle> last;
    bool closed = false;  // the last one
    std::vector<WatchId> watches;
  };
  struct Channel {
    bool known = false;
    bool anew = true;  // it is asked for whatever is known of it
    uint64_t sequence = exchange::kNoSequence;
    uint32_t levels = 0;   // that depth holds
    LogTime day_ends = 0;  // of the present trade date
    Quote quote;
    exchange::Depth depth;
    std::map<uint32_t, View> views;  // by their levels
    std::map<exchange::CandleWidth, CandleView> candles;
    std::vector<WatchId> trades;
    bool empty() const { return views.empty() && candles.empty() && trades.empty(); }
    uint32_t levels_wanted() const { return views.empty() ? 0 : views.rbegin()->first; }
    bool watches_days() const;
    bool is_over(exchange::CandleWidth width, const exchange::Candle& candle, int64_t utc_ns) const;
    // When the next candle of those that are watched is over; none: all are.
    std::optional<LogTime> next_end() const;
  };
  struct Wake {
    PartitionId partition = kNoPartition;
    Offset end = 0;
    net::SubscriptionId subscription = 0;
  };
  class Resident final : public net::Session {
   public:
    explicit Resident(MarketFeed& feed) : feed_(feed) {}
    ~Resident() override { feed_.close(); }
    Resident(const Resident&) = delete;
    Resident& operator=(const Resident&) = delete;
    void on_open(net::SessionContext& context) override { feed_.open(context); }
    size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
    void on_reply(RequestId request, const Reply& reply, net::SessionContext&) override {
      feed_.on_reply(request, reply);
    }
    void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) override {
      feed_.on_records(request, records);
    }
    void on_advanced(net::SubscriptionId id, Offset end, net::SessionContext&) override { feed_.on_advanced(id, end); }
    void on_timer(net::SessionTimerId timer, net::SessionContext&) override { feed_.on_timer(timer); }

   private:
    MarketFeed& feed_;
  };
  class Residents final : public net::Protocol {
   public:
    explicit Residents(MarketFeed& feed) : feed_(feed) {}
    std::string_view name() const override { return "market_feed"; }
    std::unique_ptr<net::Session> open(const net::Address&) override { return std::make_unique<Resident>(feed_); }
    size_t message_limit_bytes() const override { return 0; }

   private:
    MarketFeed& feed_;
  };

  // Nothing is dropped while somebody walks what there is.
  class Walk {
   public:
    explicit Walk(MarketFeed& feed) : feed_(feed) { ++feed_.walks_; }
    ~Walk() {
      if (--feed_.walks_ == 0) feed_.sweep();
    }
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;

   private:
    MarketFeed& feed_;
  };
  struct Asked {
    std::string symbol;
    uint32_t levels = 0;
    bool anew = false;
    std::vector<exchange::CandlesWanted> candles;
  };

  void open(net::SessionContext& context);
  void close();
  void on_reply(RequestId request, const Reply& reply);
  void on_records(RequestId request, const net::RecordsRead& records);
  void on_advanced(net::SubscriptionId subscription, Offset end);
  void on_timer(net::SessionTimerId timer);

  Watch& add(Watcher& who, Kind kind, const std::string& symbol);
  void begin(WatchId id);
  Watch* live(WatchId id);
  void drop(WatchId id);
  void sweep();

  // Questions.
  void want(const std::string& symbol);
  void want_all();
  void want_again(size_t n);
  bool want_ended();
  void schedule();
  void ask();
  exchange::MarketAsk question(const std::string& symbol);
  void take_market(const Reply& reply);
  void locate();
  void take_streams(const Reply& reply);
  void wait_for_records();
  void arm(net::SessionTimerId& timer, int64_t delay_ns);
  void rearm_closing();

  // What is told.
  void take_row(const Asked& asked, const exchange::MarketRow& row);
  void take_view(Channel& channel, uint32_t levels, View& view, bool new_quote, bool new_phase);
  void take_candles(Channel& channel, const exchange::CandlesSeen& seen, LogTime from);
  void close_candles(Channel& channel);
  void offer(const Channel& channel, const View& view, Watch& watch);
  void tell_all(const Channel& channel, const CandleView& view, const exchange::Candle& candle, bool closed);
  void tell(const Channel& channel, const exchange::Candle& candle, bool closed, Watch& watch);
  void end_all(const Channel& channel, const Error& why);
  void end(WatchId id, const Error& why);
  void end_lost();

  Residents residents_;
  net::SessionContext* context_ = nullptr;
  TradeTape tape_;
  WatchId last_watch_ = 0;
  std::map<WatchId, Watch> watches_;
  std::map<const Watcher*, std::set<WatchId>> of_;
  std::map<std::string, Channel> channels_;
  std::vector<WatchId> new_;   // that nothing was done for yet
  std::vector<WatchId> over_;  // to be dropped when nobody walks
  size_t walks_ = 0;

  std::set<std::string> wanted_;  // instruments to be asked for
  std::string turn_;              // the last one that was: each has its turn
  std::vector<Asked> asked_;      // in this order
  int64_t asked_at_ns_ = 0;       // monotonic; 0: never
  int64_t asked_utc_ns_ = 0;
  bool under_way_ = false;
  bool located_ = false;  // where fintech.orders and fintech.market are
  Wake wakes_[2];         // of these
  net::SessionTimerId new_timer_ = 0;
  net::SessionTimerId ask_timer_ = 0;
  net::SessionTimerId locate_timer_ = 0;
  net::SessionTimerId closing_timer_ = 0;
  net::SessionTimerId tape_timer_ = 0;
  RequestId market_request_ = 0;
  RequestId locate_request_ = 0;
  RequestId last_request_ = TradeTape::kReads;
};

}  // namespace heptane::fintech::market
