#include "modules/fintech/gateway/http/market_socket.h"

#include <algorithm>

#include "kernel/admin/stored_records.h"
#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/gateway/http/market_json.h"

namespace heptane::fintech::exchange_http {

namespace {

using http::JsonFields;
using http::JsonValue;
using http::JsonWriter;
using http::WebSocket;

constexpr uint16_t kCloseRevoked = 4403;
constexpr std::array<int64_t, 4> kLevels = {1, 10, 100, 1'000};
constexpr int64_t kLevelsDefault = 10;
constexpr size_t kIdMax = 64;

std::string_view channel_text(size_t channel) {
  static constexpr std::string_view kNames[] = {"book", "trades", "candles"};
  return kNames[channel];
}

uint32_t levels_of(JsonFields& fields) {
  const int64_t levels = fields.integer_or("levels", kLevelsDefault, 1, kLevels.back());
  if (std::find(kLevels.begin(), kLevels.end(), levels) == kLevels.end())
    fields.fail("levels is one of 1, 10, 100, 1000");
  return static_cast<uint32_t>(levels);
}

}  // namespace

std::string MarketSocket::Wanted::key() const {
  return std::string(channel_text(static_cast<size_t>(channel))) + ' ' + symbol + ' ' +
         (channel == Channel::book      ? std::to_string(levels)
          : channel == Channel::candles ? std::string(candle_width_name(width))
                                        : "");
}

void MarketSocket::on_open(WebSocket& socket) {
  socket_ = &socket;
  if (standing_) look_again_ = socket.context().arm(admin::kLookAgainNs);
}

void MarketSocket::on_binary(Bytes, WebSocket& socket) {
  socket.close(http::kCloseUnsupportedData, "messages here are JSON texts");
}

// False: it is over.
bool MarketSocket::stands() {
  if (!admin::revoked(standing_)) return true;
  socket_->close(kCloseRevoked, admin::kRevoked);
  return false;
}

void MarketSocket::on_timer(net::SessionTimerId timer, WebSocket& socket) {
  if (timer == look_again_ && stands()) look_again_ = socket.context().arm(admin::kLookAgainNs);
}

void MarketSocket::on_writable(WebSocket&) {
  if (stands()) feed_.resumed(*this);
}

void MarketSocket::on_close(net::CloseReason) { feed_.leave(*this); }

// ---- what is asked for

Result<MarketSocket::Wanted> MarketSocket::wanted_of(std::string message, std::string& id) {
  return object_of<Wanted>(std::move(message), [&id](JsonFields& fields, Wanted& wanted) {
    if (const std::optional<JsonValue> said = fields.value("id")) {
      const bool known = said->type() == http::JsonType::text || said->type() == http::JsonType::integer;
      if (known && said->raw().size() <= kIdMax)
        wanted.id = id = said->raw();
      else
        fields.fail("id is a text or an integer of at most 64 bytes");
    }
    const std::string_view op = fields.text("op");
    wanted.subscribes = op == "subscribe";
    if (!wanted.subscribes && op != "unsubscribe") fields.fail("op is one of subscribe, unsubscribe");
    const std::string_view channel = fields.text("channel");
    for (const Channel one : {Channel::book, Channel::trades, Channel::candles})
      if (channel == channel_text(static_cast<size_t>(one))) wanted.channel = one;
    if (channel != channel_text(static_cast<size_t>(wanted.channel)))
      fields.fail("channel is one of book, trades, candles");
    wanted.symbol = fields.text("symbol");
    if (wanted.symbol.size() > exchange::kSymbolMax) fields.fail("symbol is longer than 32 bytes");
    if (wanted.channel == Channel::book) wanted.levels = levels_of(fields);
    if (wanted.channel == Channel::candles)
      wanted.width = enum_of<exchange::CandleWidth>(fields, "width", fields.text("width"), exchange::candle_width_name);
    if (wanted.channel == Channel::trades && fields.value("from"))
      wanted.from = fields.integer("from", 0, std::numeric_limits<int64_t>::max());
  });
}

void MarketSocket::on_text(std::string_view message, WebSocket&) {
  if (!stands()) return;
  std::string id;
  const Result<Wanted> wanted = wanted_of(std::string(message), id);
  if (!wanted) return refuse(wanted.error(), id);
  if (wanted->subscribes)
    subscribe(*wanted);
  else
    unsubscribe(*wanted);
}

// Of trades the answer says where they begin, once that is known.
void MarketSocket::subscribe(const Wanted& wanted) {
  if (by_key_.contains(wanted.key())) return refuse({Errc::exists, "it is subscribed to already", 0}, wanted.id);
  if (watches_.size() >= market::kWatchesMax)
    return refuse(
        {Errc::refused, "a connection has at most " + std::to_string(market::kWatchesMax) + " subscriptions", 0},
        wanted.id);
  if (wanted.channel != Channel::trades) answer("subscribed", wanted);
  market::WatchId id = 0;
  if (wanted.channel == Channel::book)
    id = feed_.watch_book(*this, wanted.symbol, wanted.levels);
  else if (wanted.channel == Channel::trades)
    id = feed_.watch_trades(*this, wanted.symbol, wanted.from);
  else
    id = feed_.watch_candles(*this, wanted.symbol, wanted.width);
  watches_.emplace(id, wanted);
  by_key_.emplace(wanted.key(), id);
}

void MarketSocket::unsubscribe(const Wanted& wanted) {
  const auto found = by_key_.find(wanted.key());
  if (found == by_key_.end()) return refuse({Errc::not_found, "it is not subscribed to", 0}, wanted.id);
  feed_.unwatch(found->second);
  watches_.erase(found->second);
  by_key_.erase(found);
  answer("unsubscribed", wanted);
}

// ---- what is said

JsonWriter MarketSocket::begin(std::string_view type, const Wanted& wanted) const {
  JsonWriter out;
  out.begin_object().key("type").text(type);
  out.key("channel").text(channel_text(static_cast<size_t>(wanted.channel))).key("symbol").text(wanted.symbol);
  if (wanted.channel == Channel::book) out.key("levels").unsigned_number(wanted.levels);
  if (wanted.channel == Channel::candles) out.key("width").text(candle_width_name(wanted.width));
  return out;
}

void MarketSocket::say(JsonWriter& message) {
  message.end_object();
  const std::string text = message.take();
  socket_->send_text(std::string_view(text).substr(0, text.size() - 1));  // without its line end
  (void)socket_->output_full();                                           // it leaves, also where nobody waits
}

void MarketSocket::answer(std::string_view type, const Wanted& wanted) {
  JsonWriter out = begin(type, wanted);
  if (!wanted.id.empty()) out.key("id").raw(wanted.id);
  say(out);
}

void MarketSocket::refuse(const Error& error, const std::string& id) {
  JsonWriter out;
  out.begin_object().key("type").text("error");
  if (!id.empty()) out.key("id").raw(id);
  out.key("error")
      .begin_object()
      .key("code")
      .text(errc_name(error.code))
      .key("message")
      .text(error.message)
      .end_object();
  say(out);
}

bool MarketSocket::has_room() { return !socket_->output_full(); }

void MarketSocket::on_snapshot(market::WatchId watch, const market::Quote& quote, const exchange::Depth& depth) {
  JsonWriter out = begin("snapshot", wanted(watch));
  write_depth(out, quote, depth);
  say(out);
}

void MarketSocket::on_changes(market::WatchId watch, const market::Quote& quote, uint64_t from_sequence,
                              const exchange::Depth& depth, const std::vector<exchange::LevelChange>& changes) {
  JsonWriter out = begin("increment", wanted(watch));
  write_changes(out, quote, from_sequence, depth.sequence, changes);
  say(out);
}

void MarketSocket::on_trades_from(market::WatchId watch, Offset next) {
  const Wanted& of = wanted(watch);
  JsonWriter out = begin("subscribed", of);
  out.key("from").number(next);
  if (!of.id.empty()) out.key("id").raw(of.id);
  say(out);
}

void MarketSocket::on_trade(market::WatchId watch, const market::Trade& trade) {
  static constexpr std::string_view kTypes[] = {"trade", "trade_busted", "trade_corrected"};
  JsonWriter out = begin(kTypes[static_cast<size_t>(trade.event)], wanted(watch));
  write_trade(out, trade);
  say(out);
}

void MarketSocket::on_candle(market::WatchId watch, const market::Quote& quote, const exchange::Candle& candle,
                             bool closed) {
  JsonWriter out = begin("candle", wanted(watch));
  write_candle(out, quote, candle, closed);
  say(out);
}

void MarketSocket::on_ended(market::WatchId watch, const Error& why) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return;
  const Wanted of = std::move(found->second);
  by_key_.erase(of.key());
  watches_.erase(found);
  refuse(why, of.id);
}

}  // namespace heptane::fintech::exchange_http
