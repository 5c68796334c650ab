// Market data over FIX: MarketDataRequest(V) answered by W, X and Y, SecurityListRequest(x) by y. FIX 4.4 volume 3.
//
// A request names instruments and what of them it wants (269: bids, offers, trades, open, close, high, low). Of each comes one W, and with
// 263=1 then an X (265=1) or a W (265=0) whenever something changed; a peer that was slow gets a W again. Trades are X messages, each once:
// those behind the W's; a trade that is put right is one more. Nothing is logged and nothing is kept of what was said: the session's numbers begin with 1 at each logon, and what
// a peer asks for again is filled by a gap.
//
// Limits: kSymbolsMax instruments a request, kEntriesMax of all requests, kRequestsWaiting requests whose instruments are being looked up.
// The I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/fix/message.h"
#include "modules/fintech/gateway/market/feed.h"

namespace heptane::fintech::fixgate {

enum MarketTag : int32_t {
  kNoRelatedSym = 146,
  kMDReqID = 262,
  kSubscriptionRequestType = 263,
  kMarketDepth = 264,
  kMDUpdateType = 265,
  kAggregatedBook = 266,
  kNoMDEntries = 268,
  kMDEntryType = 269,
  kMDEntryPx = 270,
  kMDEntrySize = 271,
  kMDEntryDate = 272,
  kMDEntryTime = 273,
  kMDEntryID = 278,
  kMDUpdateAction = 279,
  kMDEntryRefID = 280,
  kMDReqRejReason = 281,
  kSecurityReqID = 320,
  kSecurityResponseID = 322,
  kNumberOfOrders = 346,
  kSecurityListRequestType = 559,
  kSecurityRequestResult = 560,
  kLastFragment = 893,
};

class DeskHost {
 public:
  virtual ~DeskHost() = default;
  // With the next number, at once.
  virtual void say(const fix::Draft& draft) = 0;
  virtual bool desk_has_room() = 0;
  // For what was read for the session alone.
  virtual void pay(size_t bytes) = 0;
  // Answered by MarketDesk::on_reply(), in order. False: there is no room for it.
  virtual bool look_up(uint16_t query, Buffer payload) = 0;
  virtual int64_t utc_ns() = 0;
};

class MarketDesk final : private market::Watcher {
 public:
  static constexpr size_t kSymbolsMax = 64;
  static constexpr size_t kEntriesMax = market::kWatchesMax / 2;  // each may watch a book and trades
  static constexpr size_t kRequestsWaiting = 16;

  // Both outlive it.
  MarketDesk(market::MarketFeed& feed, DeskHost& host) : feed_(feed), host_(host) {}
  ~MarketDesk() override { feed_.leave(*this); }

  // A valid V.
  void on_market_data_request(const fix::Message& message);
  // A valid x.
  void on_security_list_request(const fix::Message& message);
  void on_reply(const Reply& reply);
  void resumed() { feed_.resumed(*this); }

 private:
  enum class Mode : uint8_t { snapshot, updates };
  struct Request {
    std::string id;
    Mode mode = Mode::snapshot;
    bool full_refresh = false;
    uint32_t levels = 0;
    std::string types;  // letters of MDEntryType(269)
    std::vector<std::string> symbols;
    bool wants(char type) const { return types.find(type) != std::string::npos; }
    bool wants_levels() const { return wants('0') || wants('1'); }
  };
  struct Key {
    std::string request;
    std::string symbol;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  // An instrument of a request.
  struct Entry {
    market::WatchId book = 0;
    market::WatchId trades = 0;
    std::optional<Offset> trades_from;  // those behind the W
    std::map<char, int64_t> told;       // prices that are not of the book
  };
  struct Refusal {
    char reason = 0;  // MDReqRejReason(281); 0: none fits
    std::string text;
  };
  struct Waiting {
    std::optional<Request> request;  // none: it was ended, or is one of a list
    std::string list_id;             // empty: market data
    std::string symbol;
  };

  // market::Watcher
  bool has_room() override { return host_.desk_has_room(); }
  void on_snapshot(market::WatchId watch, const market::Quote& quote, const exchange::Depth& depth) override;
  void on_changes(market::WatchId watch, const market::Quote& quote, uint64_t from_sequence,
                  const exchange::Depth& depth, const std::vector<exchange::LevelChange>& changes) override;
  void on_trades_from(market::WatchId watch, Offset next) override;
  void on_trade(market::WatchId watch, const market::Trade& trade) override;
  void on_candle(market::WatchId, const market::Quote&, const exchange::Candle&, bool) override {}
  void on_ended(market::WatchId watch, const Error& why) override;
  void on_read(size_t bytes) override { host_.pay(bytes); }

  static Request request_of(const fix::Message& message);
  std::optional<Refusal> judge(const fix::Message& message, const Request& request) const;
  // Of open requests and of those that wait.
  size_t symbols_asked() const;
  void refuse(const std::string& id, const Refusal& why);
  void end_request(const std::string& id);
  void open(Request request);
  void watch_trades(const Key& key, std::optional<Offset> from);
  void watch_book(const Key& key);
  void unwatch(market::WatchId& id);
  static std::map<char, int64_t> prices_of(const Request& request, const market::Quote& quote);
  void say_whole(const Key& key, const market::Quote& quote, const exchange::Depth& depth);
  size_t add_prices(const Key& key, const market::Quote& quote, std::string& out);
  void look_up_list(Waiting asked, const std::string& after);
  void say_list(const Waiting& asked, const Reply& reply);
  void say_no_list(const std::string& id, char result);

  market::MarketFeed& feed_;
  DeskHost& host_;
  std::map<std::string, Request> requests_;
  std::map<Key, Entry> entries_;
  std::map<market::WatchId, Key> by_watch_;
  std::deque<Waiting> waiting_;  // for the answers of look_up()
};

}  // namespace heptane::fintech::fixgate
