#include "modules/fintech/gateway/http/market_json.h"

#include "modules/fintech/domain/ledger/amount.h"

namespace heptane::fintech::exchange_http {

namespace {

using exchange::DepthLevel;
using exchange::price_text;
using http::JsonWriter;

void write_level(JsonWriter& out, const market::Quote& quote, const DepthLevel& level) {
  out.key("price").text(price_text(level.price, quote.price_scale));
  out.key("quantity").text(amount_text(level.quantity, quote.quantity_scale));
  out.key("orders").unsigned_number(level.orders);
}

void write_side(JsonWriter& out, std::string_view name, const market::Quote& quote,
                const std::vector<DepthLevel>& levels) {
  out.key(name).begin_array();
  for (const DepthLevel& level : levels) {
    out.begin_object();
    write_level(out, quote, level);
    out.end_object();
  }
  out.end_array();
}

void write_quote(JsonWriter& out, const market::Quote& quote) {
  out.key("phase").text(exchange::phase_name(quote.phase));
  if (quote.last_price) out.key("last_price").text(price_text(*quote.last_price, quote.price_scale));
}

std::string_view action_name(exchange::LevelAction action) {
  static constexpr std::string_view kNames[] = {"new", "change", "delete"};
  return kNames[static_cast<size_t>(action)];
}

}  // namespace

void write_depth(JsonWriter& out, const market::Quote& quote, const exchange::Depth& depth) {
  out.key("sequence").unsigned_number(depth.sequence);
  write_quote(out, quote);
  write_side(out, "bids", quote, depth.bids);
  write_side(out, "asks", quote, depth.asks);
}

void write_changes(JsonWriter& out, const market::Quote& quote, uint64_t from_sequence, uint64_t sequence,
                   const std::vector<exchange::LevelChange>& changes) {
  out.key("from_sequence").unsigned_number(from_sequence).key("sequence").unsigned_number(sequence);
  write_quote(out, quote);
  out.key("changes").begin_array();
  for (const exchange::LevelChange& change : changes) {
    out.begin_object().key("action").text(action_name(change.action));
    out.key("side").text(exchange::side_name(change.side));
    if (change.action == exchange::LevelAction::removed)
      out.key("price").text(price_text(change.level.price, quote.price_scale));
    else
      write_level(out, quote, change.level);
    out.end_object();
  }
  out.end_array();
}

void write_trade(JsonWriter& out, const market::Trade& trade) {
  out.key("offset").number(trade.offset).key("time_ms").number(trade.time_ms);
  out.key("trade_id").text(trade.trade_id);
  if (trade.event == market::TradeEvent::corrected) out.key("corrects").text(trade.corrects);
  out.key("price").text(trade.price).key("quantity").text(trade.quantity).key("notional").text(trade.notional);
  if (trade.event == market::TradeEvent::trade) out.key("aggressor").text(trade.aggressor);
}

void write_candle(JsonWriter& out, const market::Quote& quote, const exchange::Candle& candle, bool closed) {
  const auto price = [&](std::string_view name, int64_t value) {
    out.key(name).text(price_text(value, quote.price_scale));
  };
  out.key("start_ms").number(candle.start / kNsPerMilli);
  price("open", candle.open);
  price("high", candle.high);
  price("low", candle.low);
  price("close", candle.close);
  out.key("volume").text(amount_text(candle.volume, quote.quantity_scale));
  out.key("notional").text(amount_text(candle.notional, quote.quote_scale));
  out.key("trades").unsigned_number(candle.trades).key("closed").boolean(closed);
}

}  // namespace heptane::fintech::exchange_http
