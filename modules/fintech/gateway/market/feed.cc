#include "modules/fintech/gateway/market/feed.h"

#include <algorithm>
#include <utility>

namespace heptane::fintech::market {

namespace {

using exchange::Candle;
using exchange::candle_width_ns;
using exchange::CandleWidth;
using exchange::Depth;
using exchange::DepthLevel;
using exchange::MarketRow;

constexpr int64_t kLocateAgainNs = 100'000'000;  // where a stream has no record yet
constexpr int64_t kBehindEndNs = 1'000'000;
constexpr std::string_view kOrders = exchange::kStreams[0];
constexpr std::string_view kTrades = exchange::kStreams[1];
constexpr std::string_view kMarket = exchange::kStreams[3];

std::vector<DepthLevel> best(const std::vector<DepthLevel>& levels, uint32_t count) {
  return {levels.begin(), levels.begin() + static_cast<ptrdiff_t>(std::min<size_t>(levels.size(), count))};
}
Depth best(const Depth& depth, uint32_t count) {
  return {depth.sequence, best(depth.bids, count), best(depth.asks, count)};
}

// A view of the exchange's; what somebody else keeps under the name is not looked at.
std::optional<streams::PartitionInfo> partition_of(const std::vector<streams::StreamInfo>& infos,
                                                   std::string_view name) {
  for (const streams::StreamInfo& info : infos)
    if (info.name == name && info.view && !info.partitions.empty()) return info.partitions.front();
  return std::nullopt;
}

}  // namespace

// ---- who watches what

MarketFeed::Watch& MarketFeed::add(Watcher& who, Kind kind, const std::string& symbol) {
  Watch& watch = watches_[++last_watch_];
  watch.id = last_watch_;
  watch.who = &who;
  watch.kind = kind;
  watch.symbol = symbol;
  of_[&who].insert(watch.id);
  new_.push_back(watch.id);
  if (context_ != nullptr) arm(new_timer_, 0);
  return watch;
}

WatchId MarketFeed::watch_book(Watcher& who, const std::string& symbol, uint32_t levels, bool everything) {
  Watch& watch = add(who, Kind::book, symbol);
  watch.levels = std::clamp(levels, 1U, exchange::kDepthLevelsMax);
  watch.everything = everything;
  View& view = channels_[symbol].views[watch.levels];
  view.watches.push_back(watch.id);
  view.days = view.days || everything;
  return watch.id;
}

WatchId MarketFeed::watch_trades(Watcher& who, const std::string& symbol, std::optional<Offset> from) {
  Watch& watch = add(who, Kind::trades, symbol);
  watch.from = from;
  channels_[symbol].trades.push_back(watch.id);
  return watch.id;
}

WatchId MarketFeed::watch_candles(Watcher& who, const std::string& symbol, CandleWidth width) {
  Watch& watch = add(who, Kind::candles, symbol);
  watch.width = width;
  channels_[symbol].candles[width].watches.push_back(watch.id);
  return watch.id;
}

// What can be told of what is known already.
void MarketFeed::begin(WatchId id) {
  Watch* const watch = live(id);
  if (watch == nullptr) return;
  Channel& channel = channels_.at(watch->symbol);
  if (watch->kind == Kind::trades) tape_.watch(id, *watch->who, watch->symbol, watch->from);
  if (watch->kind == Kind::trades && channel.known) return;
  const bool has_levels = channel.known && channel.levels >= watch->levels;
  if (watch->kind != Kind::book || watch->everything || !has_levels) return want(watch->symbol);
  View& view = channel.views.at(watch->levels);
  if (!view.known) view.depth = best(channel.depth, watch->levels);
  view.known = true;
  offer(channel, view, *watch);
}

MarketFeed::Watch* MarketFeed::live(WatchId id) {
  const auto found = watches_.find(id);
  return found == watches_.end() || found->second.who == nullptr ? nullptr : &found->second;
}

void MarketFeed::unwatch(WatchId id) {
  Watch* const watch = live(id);
  if (watch == nullptr) return;
  const auto owner = of_.find(watch->who);
  owner->second.erase(id);
  if (owner->second.empty()) of_.erase(owner);
  watch->who = nullptr;
  over_.push_back(id);
  const Walk walk(*this);
}

void MarketFeed::leave(Watcher& who) {
  const auto owner = of_.find(&who);
  if (owner == of_.end()) return;
  for (const WatchId id : std::set<WatchId>(owner->second)) unwatch(id);
}

size_t MarketFeed::watches(const Watcher& who) const {
  const auto owner = of_.find(&who);
  return owner == of_.end() ? 0 : owner->second.size();
}

void MarketFeed::sweep() {
  for (const WatchId id : std::exchange(over_, {})) drop(id);
  if (context_ != nullptr && tape_.is_stuck()) arm(tape_timer_, kConflateNs);
}

void MarketFeed::drop(WatchId id) {
  const Watch watch = watches_.at(id);
  watches_.erase(id);
  if (watch.kind == Kind::trades) tape_.unwatch(id);
  const auto at = channels_.find(watch.symbol);
  if (at == channels_.end()) return;
  Channel& channel = at->second;
  if (watch.kind == Kind::trades) std::erase(channel.trades, id);
  if (watch.kind == Kind::book) {
    View& view = channel.views[watch.levels];
    std::erase(view.watches, id);
    if (view.watches.empty()) channel.views.erase(watch.levels);
  }
  if (watch.kind == Kind::candles) {
    CandleView& view = channel.candles[watch.width];
    std::erase(view.watches, id);
    if (view.watches.empty()) channel.candles.erase(watch.width);
  }
  if (channel.empty()) channels_.erase(at);
}

void MarketFeed::resumed(Watcher& who) {
  const auto owner = of_.find(&who);
  if (owner == of_.end()) return;
  const Walk walk(*this);
  for (const WatchId id : std::set<WatchId>(owner->second)) {
    Watch* const watch = live(id);
    if (watch == nullptr) continue;
    Channel& channel = channels_.at(watch->symbol);
    if (watch->kind == Kind::book) {
      const View& view = channel.views.at(watch->levels);
      if (view.known) offer(channel, view, *watch);
    } else if (watch->kind == Kind::candles && watch->behind) {
      watch->asks = true;
      want(watch->symbol);
    }
  }
  tape_.resumed(who);
}

// ---- questions

void MarketFeed::open(net::SessionContext& context) {
  context_ = &context;
  const Walk walk(*this);
  tape_.open(context);
  for (auto& [symbol, channel] : channels_) channel.anew = true;
  arm(new_timer_, 0);
  want_all();
}

// What was under way is answered by nobody.
void MarketFeed::close() {
  context_ = nullptr;
  tape_.close();
  for (Wake& wake : wakes_) wake.subscription = 0;
  for (net::SessionTimerId* timer : {&new_timer_, &ask_timer_, &locate_timer_, &closing_timer_, &tape_timer_})
    *timer = 0;
  market_request_ = locate_request_ = 0;
  under_way_ = false;
  asked_.clear();
}

void MarketFeed::arm(net::SessionTimerId& timer, int64_t delay_ns) {
  if (timer == 0) timer = context_->arm(std::max<int64_t>(0, delay_ns));
}

// It is told anew, whatever is known of it.
void MarketFeed::want(const std::string& symbol) {
  channels_.at(symbol).anew = true;
  wanted_.insert(symbol);
  schedule();
}

void MarketFeed::want_all() {
  for (const auto& [symbol, channel] : channels_) wanted_.insert(symbol);
  schedule();
}

void MarketFeed::schedule() {
  if (context_ == nullptr || under_way_ || wanted_.empty()) return;
  const int64_t due = asked_at_ns_ + kConflateNs;
  if (asked_at_ns_ == 0 || context_->monotonic_ns() >= due) return ask();
  arm(ask_timer_, due - context_->monotonic_ns());
}

exchange::MarketAsk MarketFeed::question(const std::string& symbol) {
  Channel& channel = channels_.at(symbol);
  exchange::MarketAsk ask;
  ask.symbol = symbol;
  ask.levels = channel.levels_wanted();
  const bool anew = std::exchange(channel.anew, false) || channel.levels < ask.levels;
  ask.known = anew ? exchange::kNoSequence : channel.sequence;
  for (const auto& [width, view] : channel.candles) {
    LogTime from = view.from;
    for (const WatchId id : view.watches)
      if (const Watch* const watch = live(id); watch != nullptr && watch->asks && watch->last)
        from = std::min(from, watch->last->start);
    ask.candles.push_back({width, from});
  }
  ask.days = channel.watches_days();
  return ask;
}

// Waits for records first: what comes behind the answer is heard of.
void MarketFeed::ask() {
  if (!located_) locate();
  wait_for_records();
  exchange::MarketQuery query;
  asked_.clear();
  while (!wanted_.empty() && asked_.size() < exchange::kMarketAsksMax) {
    auto next = wanted_.upper_bound(turn_);
    if (next == wanted_.end()) next = wanted_.begin();
    const std::string symbol = std::move(wanted_.extract(next).value());
    turn_ = symbol;
    if (!channels_.contains(symbol)) continue;
    query.asks.push_back(question(symbol));
    const exchange::MarketAsk& ask = query.asks.back();
    asked_.push_back({symbol, ask.levels, ask.known == exchange::kNoSequence, ask.candles});
  }
  if (asked_.empty()) return;
  asked_at_ns_ = std::max<int64_t>(1, context_->monotonic_ns());
  asked_utc_ns_ = context_->utc_ns();
  query.now = asked_utc_ns_;
  market_request_ = ++last_request_;
  under_way_ = context_->query(
      market_request_, {exchange::kExchangeMachineId, exchange::kQueryMarket, exchange::packed(query), Principal{}});
  if (!under_way_) want_again(0);
}

// What was asked for and has no answer, from the nth on.
void MarketFeed::want_again(size_t n) {
  for (; n < asked_.size(); ++n) {
    const auto channel = channels_.find(asked_[n].symbol);
    if (channel == channels_.end()) continue;
    channel->second.anew = channel->second.anew || asked_[n].anew;
    wanted_.insert(asked_[n].symbol);
  }
  if (!wanted_.empty()) arm(ask_timer_, kConflateNs);
}

void MarketFeed::wait_for_records() {
  for (Wake& wake : wakes_) {
    if (wake.partition == kNoPartition || wake.subscription != 0) continue;
    wake.subscription = context_->subscribe(wake.partition, wake.end);
    if (wake.subscription == 0) arm(locate_timer_, kLocateAgainNs);
  }
}

void MarketFeed::on_advanced(net::SubscriptionId subscription, Offset end) {
  const Walk walk(*this);
  for (Wake& wake : wakes_) {
    if (wake.subscription != subscription) continue;
    wake.subscription = 0;
    wake.end = std::max(wake.end, end);
    want_all();
  }
  tape_.on_advanced(subscription, end);
}

void MarketFeed::on_records(RequestId request, const net::RecordsRead& records) {
  const Walk walk(*this);
  tape_.on_records(request, records);
  end_lost();
}

void MarketFeed::locate() {
  if (locate_request_ != 0 || context_ == nullptr) return;
  QueryRequest query;
  query.machine = machine_ids::kStreams;
  query.type = streams::kDescribe;
  query.payload = streams::encode(
      streams::DescribeQuery{false, {std::string(kOrders), std::string(kMarket), std::string(kTrades)}});
  const RequestId request = ++last_request_;
  if (context_->query(request, std::move(query)))
    locate_request_ = request;
  else
    arm(locate_timer_, kConflateNs);
}

// Where a stream is not there yet it is looked for again, and instruments are asked for as often.
void MarketFeed::take_streams(const Reply& reply) {
  std::vector<streams::StreamInfo> infos;
  if (auto read = reply.ok() ? streams::decode_stream_infos(reply.payload.view()) : Error{Errc::internal, "", 0}; read)
    infos = std::move(*read);
  located_ = true;
  for (const auto& [wake, name] : {std::pair(&wakes_[0], kOrders), std::pair(&wakes_[1], kMarket)}) {
    const auto found = partition_of(infos, name);
    located_ = located_ && found.has_value();
    if (!found || wake->partition != kNoPartition) continue;
    wake->partition = found->id;
    wake->end = found->durable_end;
  }
  if (reply.ok() && tape_.wants_end()) tape_.set_end(partition_of(infos, kTrades));
  if (channels_.empty()) return;
  if (!located_ || tape_.wants_end()) arm(locate_timer_, kLocateAgainNs);
  want_all();
}

void MarketFeed::on_timer(net::SessionTimerId timer) {
  const Walk walk(*this);
  if (timer == ask_timer_) ask_timer_ = 0;
  if (timer == new_timer_) {
    new_timer_ = 0;
    for (const WatchId id : std::exchange(new_, {})) begin(id);
    if (tape_.wants_end()) locate();
  }
  if (timer == locate_timer_) {
    locate_timer_ = 0;
    if (!channels_.empty()) locate();
  }
  if (timer == closing_timer_) {
    closing_timer_ = 0;
    if (!want_ended()) rearm_closing();
  }
  if (timer == tape_timer_) {
    tape_timer_ = 0;
    tape_.go_on();
  }
  schedule();
}

void MarketFeed::on_reply(RequestId request, const Reply& reply) {
  const Walk walk(*this);
  if (request == locate_request_) {
    locate_request_ = 0;
    take_streams(reply);
  } else if (request == market_request_ && under_way_) {
    under_way_ = false;
    take_market(reply);
    rearm_closing();
    schedule();
  }
}

// An instrument without a row is as it was.
void MarketFeed::take_market(const Reply& reply) {
  if (reply.error == Errc::unsupported) {
    for (const Asked& asked : std::exchange(asked_, {}))
      if (const auto at = channels_.find(asked.symbol); at != channels_.end())
        end_all(at->second, {Errc::unsupported, reply.message, 0});
    return want_again(0);
  }
  const auto rows = reply.ok() ? exchange::unpacked_rows<MarketRow>(reply.payload.view()) : std::nullopt;
  if (!rows) return want_again(0);
  const std::vector<Asked> asked = asked_;
  const auto answered = std::min(asked.size(), static_cast<size_t>(std::max<int64_t>(0, reply.numbers[0])));
  for (const MarketRow& row : *rows)
    if (row.ask < answered) take_row(asked[row.ask], row);
  for (size_t n = 0; n < answered; ++n)
    if (const auto at = channels_.find(asked[n].symbol); at != channels_.end()) close_candles(at->second);
  if (answered > 0) turn_ = asked[answered - 1].symbol;
  want_again(answered);
}

// ---- what is told

void MarketFeed::take_row(const Asked& asked, const MarketRow& row) {
  const auto at = channels_.find(asked.symbol);
  if (at == channels_.end()) return;
  Channel& channel = at->second;
  if (!row.listed) return end_all(channel, {Errc::not_found, "there is no instrument " + asked.symbol, 0});
  Quote quote{row.price_scale, row.quantity_scale, row.quote_scale, row.phase, row.last_price, row.days, row.day};
  channel.day_ends = row.day_ends;
  const bool has_phase = channel.known && channel.quote.phase == quote.phase;
  const bool has_quote = channel.known && channel.quote == quote;
  channel.quote = std::move(quote);
  channel.known = true;
  channel.sequence = row.depth.sequence;
  channel.levels = asked.levels;
  channel.depth = row.depth;
  for (auto& [levels, view] : channel.views)
    if (levels <= asked.levels) take_view(channel, levels, view, !has_quote, !has_phase);
  for (size_t n = 0; n < std::min(row.candles.size(), asked.candles.size()); ++n)
    take_candles(channel, row.candles[n], asked.candles[n].from);
  // Somebody wants more than was asked for, or it changes by itself.
  if (channel.levels_wanted() > asked.levels || row.working) wanted_.insert(asked.symbol);
}

// What did not change is not told: the next changes begin with the sequence that was told last.
void MarketFeed::take_view(Channel& channel, uint32_t levels, View& view, bool new_quote, bool new_phase) {
  Depth now = best(channel.depth, levels);
  const uint64_t from = view.depth.sequence;
  const std::vector<exchange::LevelChange> changes =
      view.known ? exchange::difference(view.depth, now) : std::vector<exchange::LevelChange>();
  const bool is_new = !view.known || !changes.empty() || new_phase;
  if (is_new) view.depth = std::move(now);
  view.known = true;
  for (const WatchId id : std::vector<WatchId>(view.watches)) {
    Watch* const watch = live(id);
    if (watch == nullptr) continue;
    if (!watch->told)
      offer(channel, view, *watch);
    else if ((is_new || (new_quote && watch->everything)) && (watch->told = watch->who->has_room()))
      watch->who->on_changes(id, channel.quote, from, view.depth, changes);
  }
}

void MarketFeed::offer(const Channel& channel, const View& view, Watch& watch) {
  if (watch.told || !watch.who->has_room()) return;
  watch.told = true;
  watch.who->on_snapshot(watch.id, channel.quote, view.depth);
}

// To those who were behind too, if the answer begins where they stand; else they are asked for once more.
void MarketFeed::take_candles(Channel& channel, const exchange::CandlesSeen& seen, LogTime from) {
  const auto at = channel.candles.find(seen.width);
  if (at == channel.candles.end()) return;
  CandleView& view = at->second;
  for (const WatchId id : view.watches) {
    Watch* const watch = live(id);
    if (watch != nullptr && watch->is_served(from)) watch->behind = watch->asks = false;
  }
  if (seen.candles.empty()) return;
  for (const Candle& candle : seen.candles) {
    view.closed = &candle != &seen.candles.back() || channel.is_over(seen.width, candle, asked_utc_ns_);
    tell_all(channel, view, candle, view.closed);
  }
  view.last = seen.candles.back();
  view.from = view.last->start;
}

// A candle whose end had passed when the exchange was asked is what it stays: later commands have later times.
void MarketFeed::close_candles(Channel& channel) {
  for (auto& [width, view] : channel.candles) {
    if (!view.last || view.closed || !channel.is_over(width, *view.last, asked_utc_ns_)) continue;
    view.closed = true;
    tell_all(channel, view, *view.last, true);
  }
}

void MarketFeed::tell_all(const Channel& channel, const CandleView& view, const Candle& candle, bool closed) {
  for (const WatchId id : std::vector<WatchId>(view.watches))
    if (Watch* const watch = live(id)) tell(channel, candle, closed, *watch);
}

void MarketFeed::tell(const Channel& channel, const Candle& candle, bool closed, Watch& watch) {
  const bool same = watch.last == candle && closed == watch.closed;
  if (watch.behind || same || (watch.last && candle.start < watch.last->start)) return;
  watch.behind = !watch.who->has_room();
  if (watch.behind) return;
  watch.last = candle;
  watch.closed = closed;
  watch.who->on_candle(watch.id, channel.quote, candle, closed);
}

// ---- ends

void MarketFeed::end_all(const Channel& channel, const Error& why) {
  std::vector<WatchId> all = channel.trades;
  for (const auto& [levels, view] : channel.views) all.insert(all.end(), view.watches.begin(), view.watches.end());
  for (const auto& [width, view] : channel.candles) all.insert(all.end(), view.watches.begin(), view.watches.end());
  for (const WatchId id : all) end(id, why);
}

void MarketFeed::end(WatchId id, const Error& why) {
  Watch* const watch = live(id);
  if (watch == nullptr) return;
  Watcher& who = *watch->who;
  unwatch(id);
  who.on_ended(id, why);
}

void MarketFeed::end_lost() {
  for (const WatchId id : tape_.take_lost()) end(id, {Errc::io, "the stream of trades cannot be read there", 0});
}

bool MarketFeed::Channel::watches_days() const {
  return std::any_of(views.begin(), views.end(), [](const auto& view) { return view.second.days; });
}

// Of a trade date the exchange says which one it is.
bool MarketFeed::Channel::is_over(CandleWidth width, const Candle& candle, int64_t utc_ns) const {
  return width == CandleWidth::day ? candle.start < quote.day : candle.start + candle_width_ns(width) <= utc_ns;
}

std::optional<LogTime> MarketFeed::Channel::next_end() const {
  std::optional<LogTime> next;
  const auto add = [&](LogTime end) { next = std::min(next.value_or(end), end); };
  for (const auto& [width, view] : candles)
    if (view.last && !view.closed)
      add(width == CandleWidth::day ? day_ends : view.last->start + candle_width_ns(width));
  if (watches_days() && !quote.days.empty() && quote.days.back().start >= quote.day) add(day_ends);
  return next;
}

// The trade date may be another one by now, though nothing has changed: that is asked for anew.
bool MarketFeed::want_ended() {
  bool any = false;
  for (auto& [symbol, channel] : channels_) {
    const std::optional<LogTime> end = channel.next_end();
    if (!end || *end > context_->utc_ns()) continue;
    channel.anew = channel.anew || channel.day_ends <= context_->utc_ns();
    wanted_.insert(symbol);
    any = true;
  }
  return any;
}

// To the next end.
void MarketFeed::rearm_closing() {
  if (context_ == nullptr) return;
  int64_t next = INT64_MAX;
  for (const auto& [symbol, channel] : channels_) next = std::min(next, channel.next_end().value_or(INT64_MAX));
  if (closing_timer_ != 0) context_->cancel(closing_timer_);
  closing_timer_ = 0;
  if (next != INT64_MAX) arm(closing_timer_, next - context_->utc_ns() + kBehindEndNs);
}

}  // namespace heptane::fintech::market
