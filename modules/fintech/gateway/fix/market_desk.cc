#include "modules/fintech/gateway/fix/market_desk.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/fix_words.h"

namespace heptane::fintech::fixgate {

namespace {

using exchange::Depth;
using exchange::LevelChange;
using fix::add_decimal;
using fix::add_field;
using fix::Message;
using market::Quote;
using market::WatchId;

constexpr std::string_view kTypes = "0124578";  // bid, offer, trade, open, close, high, low
constexpr size_t kDateBytes = 8;                // of a timestamp, with a dash behind it

std::string said_in(const Message& message, int32_t tag) { return std::string(message.find(tag).value_or("")); }

// Of the entries of an X the first field, and what it is of.
void begin_entry(std::string& out, char action, char type, const std::string& symbol) {
  add_field(out, kMDUpdateAction, std::string_view(&action, 1));
  add_field(out, kMDEntryType, std::string_view(&type, 1));
  add_field(out, exchange::kSymbol, symbol);
}

void add_level(std::string& out, const Quote& quote, const exchange::DepthLevel& level) {
  add_decimal(out, kMDEntryPx, level.price, quote.price_scale);
  add_field(out, kMDEntrySize, amount_text(level.quantity, quote.quantity_scale));
  add_field(out, kNumberOfOrders, int64_t{level.orders});
}

std::string head(const std::string& id, size_t entries, const std::string& symbol) {
  std::string out;
  add_field(out, kMDReqID, id);
  if (!symbol.empty()) add_field(out, exchange::kSymbol, symbol);
  add_field(out, kNoMDEntries, static_cast<int64_t>(entries));
  return out;
}

}  // namespace

// ---- requests

// A message that is valid has these fields in their groups alone.
MarketDesk::Request MarketDesk::request_of(const Message& message) {
  Request request;
  request.id = said_in(message, kMDReqID);
  request.mode = said_in(message, kSubscriptionRequestType) == "1" ? Mode::updates : Mode::snapshot;
  request.full_refresh = said_in(message, kMDUpdateType) == "0";
  request.levels = said_in(message, kMarketDepth) == "1" ? 1 : exchange::kDepthLevelsMax;
  for (const fix::FieldView& field : message.fields()) {
    const std::string_view value = message.value(field);
    if (field.tag == kMDEntryType && !request.wants(value[0])) request.types += value[0];
    if (field.tag == exchange::kSymbol) request.symbols.emplace_back(value);
  }
  std::sort(request.symbols.begin(), request.symbols.end());
  request.symbols.erase(std::unique(request.symbols.begin(), request.symbols.end()), request.symbols.end());
  return request;
}

// None: it can be done, if there are the instruments.
std::optional<MarketDesk::Refusal> MarketDesk::judge(const Message& message, const Request& request) const {
  if (requests_.contains(request.id)) return Refusal{'1', "the MDReqID is in use"};
  for (const Waiting& waiting : waiting_)
    if (waiting.request && waiting.request->id == request.id) return Refusal{'1', "the MDReqID is in use"};
  const std::string depth = said_in(message, kMarketDepth);
  if (depth != "0" && depth != "1") return Refusal{'5', "MarketDepth(264) is 0 or 1"};
  const std::string update = said_in(message, kMDUpdateType);
  if (request.mode == Mode::updates && update.empty()) return Refusal{'6', "MDUpdateType(265) is missing"};
  if (request.mode == Mode::updates && request.full_refresh && request.wants('2'))
    return Refusal{'6', "trades come as increments: MDUpdateType(265) 1"};
  if (message.find(kAggregatedBook) && !message.flag(kAggregatedBook))
    return Refusal{'7', "books are aggregated: AggregatedBook(266) Y"};
  for (const char type : request.types)
    if (kTypes.find(type) == std::string_view::npos)
      return Refusal{'8', std::string("MDEntryType(269) ") + type + " is not supported: 0 1 2 4 5 7 8"};
  if (request.types.empty()) return Refusal{'8', "MDEntryType(269) is missing"};
  if (request.symbols.empty()) return Refusal{'0', "Symbol(55) is missing"};
  if (request.symbols.size() > kSymbolsMax || symbols_asked() + request.symbols.size() > kEntriesMax)
    return Refusal{'2', "a request names at most 64 instruments, all requests 128"};
  if (waiting_.size() >= kRequestsWaiting) return Refusal{'2', "too many requests wait"};
  return std::nullopt;
}

size_t MarketDesk::symbols_asked() const {
  size_t symbols = entries_.size();
  for (const Waiting& waiting : waiting_)
    if (waiting.request) symbols += waiting.request->symbols.size();
  return symbols;
}

void MarketDesk::on_market_data_request(const Message& message) {
  Request request = request_of(message);
  const std::string type = said_in(message, kSubscriptionRequestType);
  if (type == "2") {
    if (requests_.contains(request.id)) return end_request(request.id);
    for (Waiting& waiting : waiting_)
      if (waiting.request && waiting.request->id == request.id) return waiting.request.reset();
    return refuse(request.id, {0, "there is no such request"});
  }
  if (type != "0" && type != "1") return refuse(request.id, {'4', "SubscriptionRequestType(263) is 0, 1 or 2"});
  if (const std::optional<Refusal> why = judge(message, request)) return refuse(request.id, *why);
  exchange::MarketQuery query;
  query.now = host_.utc_ns();
  for (const std::string& symbol : request.symbols) query.asks.push_back({symbol, exchange::kNoSequence, 0, {}, false});
  if (!host_.look_up(exchange::kQueryMarket, exchange::packed(query)))
    return refuse(request.id, {'2', "the server has no room for it now"});
  waiting_.push_back({std::move(request), {}, {}});
}

void MarketDesk::refuse(const std::string& id, const Refusal& why) {
  std::string body;
  add_field(body, kMDReqID, id);
  if (why.reason != 0) add_field(body, kMDReqRejReason, std::string_view(&why.reason, 1));
  add_field(body, exchange::kText, exchange::printable(why.text));
  host_.say({"Y", {}, body});
}

void MarketDesk::on_reply(const Reply& reply) {
  if (waiting_.empty()) return;
  Waiting asked = std::move(waiting_.front());
  waiting_.pop_front();
  if (!asked.list_id.empty()) return say_list(asked, reply);
  if (!asked.request) return;  // it was ended meanwhile
  Request& request = *asked.request;
  const auto rows = reply.ok() ? exchange::unpacked_rows<exchange::MarketRow>(reply.payload.view()) : std::nullopt;
  if (reply.error == Errc::unsupported) return refuse(request.id, {0, reply.message});
  if (!rows) return refuse(request.id, {'2', "the server has no room for it now"});
  for (const exchange::MarketRow& row : *rows)
    if (!row.listed) return refuse(request.id, {'0', "there is no instrument " + request.symbols[row.ask]});
  HEPTANE_ASSERT(entries_.size() + request.symbols.size() <= kEntriesMax, "what waits is counted");
  open(std::move(request));
}

// Where trades begin is known before the W is made, so that none is missed between.
void MarketDesk::open(Request request) {
  const std::string id = request.id;
  const bool wants_trades = request.mode == Mode::updates && request.wants('2');
  const Request& opened = requests_.emplace(id, std::move(request)).first->second;
  for (const std::string& symbol : opened.symbols) {
    const Key key{id, symbol};
    entries_.emplace(key, Entry());
    if (wants_trades)
      watch_trades(key, std::nullopt);
    else
      watch_book(key);
  }
}

void MarketDesk::watch_trades(const Key& key, std::optional<Offset> from) {
  Entry& entry = entries_.at(key);
  entry.trades = feed_.watch_trades(*this, key.symbol, from);
  by_watch_.emplace(entry.trades, key);
}

void MarketDesk::watch_book(const Key& key) {
  const Request& request = requests_.at(key.request);
  Entry& entry = entries_.at(key);
  entry.book = feed_.watch_book(*this, key.symbol, request.wants_levels() ? request.levels : 1, true);
  by_watch_.emplace(entry.book, key);
}

void MarketDesk::unwatch(WatchId& id) {
  feed_.unwatch(id);
  by_watch_.erase(id);
  id = 0;
}

void MarketDesk::end_request(const std::string& id) {
  const auto found = requests_.find(id);
  for (const std::string& symbol : found->second.symbols) {
    const auto entry = entries_.find({id, symbol});
    if (entry == entries_.end()) continue;
    unwatch(entry->second.book);
    unwatch(entry->second.trades);
    entries_.erase(entry);
  }
  requests_.erase(found);
}

// ---- what is told

void MarketDesk::on_trades_from(WatchId watch, Offset next) {
  const Key key = by_watch_.at(watch);
  Entry& entry = entries_.at(key);
  if (entry.trades_from) return;
  entry.trades_from = next;
  unwatch(entry.trades);
  watch_book(key);
}

void MarketDesk::on_snapshot(WatchId watch, const Quote& quote, const Depth& depth) {
  const Key key = by_watch_.at(watch);
  Entry& entry = entries_.at(key);
  const Request& request = requests_.at(key.request);
  say_whole(key, quote, depth);
  if (entry.trades_from && entry.trades == 0) watch_trades(key, entry.trades_from);
  if (request.mode == Mode::updates && request.types != "2") return;
  unwatch(entry.book);
  if (request.mode == Mode::updates) return;
  entries_.erase(key);
  const bool more = std::any_of(request.symbols.begin(), request.symbols.end(), [&](const std::string& symbol) {
    return entries_.contains({key.request, symbol});
  });
  if (!more) requests_.erase(key.request);
}

// Prices that are not of the book, as far as there are any: of the present trade date, and the close of the one before.
std::map<char, int64_t> MarketDesk::prices_of(const Request& request, const Quote& quote) {
  std::map<char, int64_t> prices;
  for (const exchange::Candle& day : quote.days) {
    if (day.start < quote.day) {
      prices['5'] = day.close;
    } else {
      prices['4'] = day.open;
      prices['7'] = day.high;
      prices['8'] = day.low;
    }
  }
  std::erase_if(prices, [&](const auto& price) { return !request.wants(price.first); });
  return prices;
}

void MarketDesk::say_whole(const Key& key, const Quote& quote, const Depth& depth) {
  const Request& request = requests_.at(key.request);
  Entry& entry = entries_.at(key);
  std::string entries;
  size_t count = 0;
  const auto add = [&](char type) {
    add_field(entries, kMDEntryType, std::string_view(&type, 1));
    ++count;
  };
  for (const auto& [type, levels] : {std::pair('0', &depth.bids), std::pair('1', &depth.asks)})
    for (size_t n = 0; request.wants(type) && n < levels->size(); ++n) {
      add(type);
      add_level(entries, quote, (*levels)[n]);
    }
  // Where trades come one by one the last one may be still to come.
  if (request.wants('2') && request.mode == Mode::snapshot && quote.last_price) {
    add('2');
    add_decimal(entries, kMDEntryPx, *quote.last_price, quote.price_scale);
  }
  entry.told = prices_of(request, quote);
  for (const auto& [type, price] : entry.told) {
    add(type);
    add_decimal(entries, kMDEntryPx, price, quote.price_scale);
  }
  host_.say({"W", {}, head(key.request, count, key.symbol) + entries});
}

void MarketDesk::on_changes(WatchId watch, const Quote& quote, uint64_t, const Depth& depth,
                            const std::vector<LevelChange>& changes) {
  const Key key = by_watch_.at(watch);
  const Request& request = requests_.at(key.request);
  std::string entries;
  size_t count = 0;
  for (const LevelChange& change : changes) {
    const char type = change.side == book::Side::buy ? '0' : '1';
    if (!request.wants(type)) continue;
    begin_entry(entries, static_cast<char>('0' + static_cast<int>(change.action)), type, key.symbol);
    if (change.action == exchange::LevelAction::removed)
      add_decimal(entries, kMDEntryPx, change.level.price, quote.price_scale);
    else
      add_level(entries, quote, change.level);
    ++count;
  }
  count += add_prices(key, quote, entries);
  if (count == 0) return;
  if (request.full_refresh) return say_whole(key, quote, depth);
  host_.say({"X", {}, head(key.request, count, "") + entries});
}

// What is new of them, and what there is no more.
size_t MarketDesk::add_prices(const Key& key, const Quote& quote, std::string& out) {
  Entry& entry = entries_.at(key);
  const std::map<char, int64_t> before = std::exchange(entry.told, prices_of(requests_.at(key.request), quote));
  size_t count = 0;
  for (const auto& [type, price] : entry.told) {
    const auto old = before.find(type);
    if (old != before.end() && old->second == price) continue;
    begin_entry(out, old == before.end() ? '0' : '1', type, key.symbol);
    add_decimal(out, kMDEntryPx, price, quote.price_scale);
    ++count;
  }
  for (const auto& [type, price] : before) {
    if (entry.told.contains(type)) continue;
    begin_entry(out, '2', type, key.symbol);
    ++count;
  }
  return count;
}

// One that was busted goes, one that was corrected has another in its place.
void MarketDesk::on_trade(WatchId watch, const market::Trade& trade) {
  const Key key = by_watch_.at(watch);
  std::string time;
  fix::append_timestamp(time, trade.time_ms * 1'000'000, 3);
  std::string entry;
  constexpr std::array<char, 3> kActions = {'0', '2', '1'};
  begin_entry(entry, kActions[static_cast<size_t>(trade.event)], '2', key.symbol);
  add_field(entry, kMDEntryID, trade.trade_id);
  if (trade.event == market::TradeEvent::corrected) add_field(entry, kMDEntryRefID, trade.corrects);
  add_field(entry, kMDEntryPx, trade.price);
  add_field(entry, kMDEntrySize, trade.quantity);
  add_field(entry, kMDEntryDate, std::string_view(time).substr(0, kDateBytes));
  add_field(entry, kMDEntryTime, std::string_view(time).substr(kDateBytes + 1));
  host_.say({"X", {}, head(key.request, 1, "") + entry});
}

// Its instruments were there when it was looked up, and they stay: the stream of trades cannot be read.
void MarketDesk::on_ended(WatchId watch, const Error& why) {
  const Key key = by_watch_.at(watch);
  end_request(key.request);
  refuse(key.request, {why.code == Errc::not_found ? '0' : '\0', why.message});
}

// ---- the list of instruments

void MarketDesk::on_security_list_request(const Message& message) {
  const std::string id = said_in(message, kSecurityReqID);
  const std::string type = said_in(message, kSecurityListRequestType);
  Waiting asked;
  asked.list_id = id;
  asked.symbol = type == "0" ? said_in(message, exchange::kSymbol) : "";
  const bool known = type == "4" || (type == "0" && !asked.symbol.empty());
  if (!known || waiting_.size() >= kRequestsWaiting) return say_no_list(id, known ? '2' : '1');
  look_up_list(std::move(asked), "");
}

void MarketDesk::look_up_list(Waiting asked, const std::string& after) {
  const exchange::Page page{"", asked.symbol.empty() ? after : asked.symbol, !asked.symbol.empty()};
  const std::string id = asked.list_id;
  if (!host_.look_up(exchange::kQueryInstruments, exchange::packed(page))) return say_no_list(id, '2');
  waiting_.push_back(std::move(asked));
}

// Of 560: 1 invalid or unsupported, 2 no instruments.
void MarketDesk::say_no_list(const std::string& id, char result) {
  std::string body;
  add_field(body, kSecurityReqID, id);
  add_field(body, kSecurityResponseID, id);
  add_field(body, kSecurityRequestResult, std::string_view(&result, 1));
  host_.say({"y", {}, body});
}

void MarketDesk::say_list(const Waiting& asked, const Reply& reply) {
  const auto rows = reply.ok() ? exchange::unpacked_rows<exchange::InstrumentRow>(reply.payload.view()) : std::nullopt;
  if (!rows || rows->empty()) return say_no_list(asked.list_id, '2');
  const bool more = reply.numbers[1] != 0;
  std::string body;
  add_field(body, kSecurityReqID, asked.list_id);
  add_field(body, kSecurityResponseID, asked.list_id);
  add_field(body, kSecurityRequestResult, "0");
  add_field(body, kLastFragment, more ? "N" : "Y");
  add_field(body, kNoRelatedSym, static_cast<int64_t>(rows->size()));
  for (const exchange::InstrumentRow& row : *rows) add_field(body, exchange::kSymbol, row.spec.instrument.symbol);
  host_.say({"y", {}, body});
  if (more) look_up_list(asked, rows->back().spec.instrument.symbol);
}

}  // namespace heptane::fintech::fixgate
