// What is shown to those who watch: books and candles.
#include <algorithm>

#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kAnswerBytes = size_t{384} << 10;  // one row more stays below 1 MiB
constexpr LogTime kAgainNs = 1'000'000'000;

void refuse_query(Reply& reply, Errc code, std::string why) {
  reply.error = code;
  reply.message = std::move(why);
}

std::vector<CandlesSeen> candles_seen(const CandleSeries& series, const std::vector<CandlesWanted>& wanted) {
  std::vector<CandlesSeen> seen;
  for (const CandlesWanted& one : wanted) {
    CandlesSeen& row = seen.emplace_back();
    row.width = one.width;
    row.candles = series.list(one.width, one.from, kAllTimes, kCandlesKept + 1, true);
    if (row.candles.empty()) row.candles = series.list(one.width, 0, kAllTimes, 1, true);
  }
  return seen;
}

}  // namespace

std::vector<DepthLevel> levels_of(const Listing& listing, book::Side side, uint32_t levels) {
  std::vector<book::LevelView> views(levels);
  views.resize(listing.book.depth(side, views));
  std::vector<DepthLevel> rows;
  rows.reserve(views.size());
  for (const book::LevelView& view : views) rows.push_back({view.price, listing.units(view.visible), view.orders});
  return rows;
}

MarketRow ExchangeMachine::market_row(const Listing& listing, const MarketAsk& ask, LogTime now) const {
  const Instrument& i = listing.instrument();
  const uint32_t levels = std::min(ask.levels, kDepthLevelsMax);
  MarketRow row;
  row.listed = true;
  row.price_scale = i.price_scale;
  row.quantity_scale = i.quantity_scale;
  row.quote_scale = i.quote_scale;
  row.phase = listing.book.phase();
  row.working = listing.working();
  row.last_price = listing.last_price();
  row.depth = {market_.sequence(listing.number), levels_of(listing, book::Side::buy, levels),
               levels_of(listing, book::Side::sell, levels)};
  const CandleSeries& series = market_.candles(listing.number);
  row.candles = candles_seen(series, ask.candles);
  if (ask.days) row.days = series.list(CandleWidth::day, 0, kAllTimes, 2, true);
  const TradingDay day = market_day(listing, now);
  row.day = day.date * kDayNs;
  row.day_ends = day.ends;
  return row;
}

// A call that the end of a session ends is still of the session. What goes on beyond its end is asked for again a second later.
TradingDay ExchangeMachine::market_day(const Listing& listing, LogTime now) const {
  const Calendar* const calendar = listing.calendar == 0 ? nullptr : &calendars_.at(listing.calendar);
  const Instant* const last = calendar == nullptr ? nullptr : calendar->last(now);
  if (last != nullptr && last->ends && book::is_call(listing.book.phase())) return {last->date, 0, now + kAgainNs};
  return trading_day(&listing, now);
}

// Where nothing is counted a book that is watched would stand still.
bool ExchangeMachine::keeps_market(Reply& reply) const {
  const MarketState::Kept kept = market_.kept();
  if (kept == MarketState::Kept::no)
    refuse_query(reply, Errc::unsupported,
                 "market data is kept from version 2 of the exchange's logic on: heptane upgrade activate exchange");
  if (kept == MarketState::Kept::unknown)
    refuse_query(reply, Errc::overloaded, "the exchange has only begun: ask again in a moment");
  return kept == MarketState::Kept::yes;
}

void ExchangeMachine::query_market(const MarketQuery& asked, Reply& reply) const {
  if (!keeps_market(reply)) return;
  Packer out;
  size_t looked_at = 0;
  uint32_t answered = 0;
  const size_t most = std::min(asked.asks.size(), kMarketAsksMax);
  for (; answered < most && looked_at < kMarketLevelsMax && out.size() < kAnswerBytes; ++answered) {
    const MarketAsk& ask = asked.asks[answered];
    const Listing* listing = directory_.listing(ask.symbol);
    if (listing != nullptr && market_.sequence(listing->number) == ask.known && !listing->working()) continue;
    MarketRow row = listing == nullptr ? MarketRow() : market_row(*listing, ask, asked.now);
    row.ask = answered;
    looked_at += row.depth.bids.size() + row.depth.asks.size();
    out(row);
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {answered, 0};
}

void ExchangeMachine::query_candles(const CandlesQuery& asked, Reply& reply) const {
  if (market_.kept() == MarketState::Kept::no && !keeps_market(reply)) return;
  const Listing* listing = directory_.listing(asked.symbol);
  if (listing == nullptr) return refuse_query(reply, Errc::not_found, "there is no instrument " + asked.symbol);
  const Instrument& i = listing->instrument();
  const CandleSeries& series = market_.candles(listing->number);
  const size_t most = std::min<size_t>(asked.most, kCandlesKept);
  CandlesRow row{i.price_scale, i.quantity_scale, i.quote_scale, series.kept_from(asked.width), {}, 0};
  row.day = market_day(*listing, asked.now).date * kDayNs;
  row.candles = series.list(asked.width, asked.from.value_or(0), asked.to, most, !asked.from);
  reply.payload = packed(row);
}

}  // namespace heptane::fintech::exchange
